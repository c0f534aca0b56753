"""What Ray costs: the same extraction in this process and by 1 and 2 workers, interleaved.

    python -m benchmarks.cluster                          ResNet50 on the 2,000 bundled images
    python -m benchmarks.cluster --waiting 1 4 16 64      a network that only waits, so many workers

The cluster is there before the first run, and all runs have the same CPUs. CPU seconds are those of
the whole machine, as Ray's processes are nobody's children: other work counts too. With `--waiting`
an image takes 25 ms, as ResNet50 does on a core, and no CPU. The clock runs from when all workers
are there to the last shard, and what the driver computes for 1,000 images is told beside it.
"""

import argparse
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from unittest.mock import patch

import numpy as np

import features
from features.engines.base import Compiled
from features.extraction import ray_executor, shards
from features.extraction.ray_worker import Worker
from features.processes.cpus import available_cpus
from pipeline.reports.tables import render

IMAGE = 0.025  # seconds that an image waits
BATCH, SHARD = 8, 32  # images, of runs that wait


class Waiting(Worker):
    """A worker whose network only waits, and which is there when it has all that it needs."""

    def ready(self) -> str:
        """Return the name of the machine."""
        self._parts  # noqa: B018 - it is made when it is asked for
        return super().ready()

    @cached_property
    def _parts(self):
        with patch("features.extraction.ray_worker.compile_model", _waiting):
            return Worker._parts.func(self)


def _waiting(model: object, recipe: object) -> Compiled:
    def forward(pixels: np.ndarray) -> dict[str, np.ndarray]:
        time.sleep(IMAGE * len(pixels))
        return {name: np.zeros((len(pixels), 8), np.float32) for name in model.layers}

    return Compiled(dict.fromkeys(model.layers, (8,)), forward)


def overhead(source: Path, workers: list[int], rounds: int, options: list[str]) -> str:
    """Return seconds of the same extraction, local and by workers, in turns."""
    import ray

    address = ray.init("local", num_cpus=available_cpus(), **_SETTINGS).address_info["gcs_address"]
    rows, spent = [], dict[str, list[tuple[float, float]]]()
    by_ray = ["--executor", "ray", "--ray-address", address, "--workers"]
    ways = {"local": []} | {f"{n} worker{'s' * (n > 1)}": [*by_ray, str(n)] for n in workers}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds + 1):  # the first one fills caches
            for way, further in ways.items():
                out = Path(folder) / f"{way} {number}.h5"
                words = [sys.executable, "-m", "pipeline", "extract", source, "--out", out]
                started, computed = time.perf_counter(), _computed()
                subprocess.run([*map(str, words), "--quiet", *options, *further], check=True,
                               stdout=subprocess.DEVNULL)  # fmt: skip
                seconds = time.perf_counter() - started, _computed() - computed
                if number:
                    spent.setdefault(way, []).append(seconds)
                    local = spent["local"][-1]
                    ratios = [f"{mine / its:.2f}" for mine, its in zip(seconds, local, strict=True)]
                    rows.append((way, *(f"{value:.1f}" for value in seconds), *ratios))
    return render(("", "clock s", "CPU s", "clock of local", "CPU of local"), rows)


def waiting(workers: list[int], images: int) -> str:
    """Return the rate of workers whose network waits, and what the driver computes beside it."""
    import ray

    ray.init("local", num_cpus=max(workers), **_SETTINGS)
    rows = []
    with tempfile.TemporaryDirectory() as folder, patch.object(shards, "SHARD_IMAGES", SHARD):
        for count in workers:
            source = Path(folder) / "images.npz"
            total = images * count
            np.savez(source, images=np.zeros((total, 8, 8, 3), np.uint8))
            begun, seconds, computed = _waited(source, Path(folder) / f"{count}.h5", count)
            rows.append((count, total, f"{begun:.0f}", f"{total / seconds:.0f}",
                         f"{total / seconds * IMAGE / count:.2f}",
                         f"{1e6 * computed / total:.0f}"))  # fmt: skip
    head = ("workers", "images", "s until all are there", "images/s", "of the possible",
            "driver's CPU ms / 1,000")  # fmt: skip
    return render(head, rows)


def _waited(source: Path, out: Path, workers: int) -> tuple[float, float, float]:
    """Return seconds until all workers are there, then to the last shard, and the driver's CPU."""
    times, together, begun = [0.0], threading.Barrier(workers), set[int]()
    take_over: Callable = shards.Shards.take_over
    take: Callable = ray_executor._Waiting.take

    def timed(*arguments: object) -> None:
        take_over(*arguments)
        times.append(time.perf_counter())

    def taking(waiting: object) -> object:
        if threading.get_ident() not in begun:
            begun.add(threading.get_ident())
            together.wait()
            times[0] = time.perf_counter()
        return take(waiting)

    started, computed = time.perf_counter(), time.process_time()
    with (
        patch.object(ray_executor, "Worker", Waiting),
        patch("features.extraction.run.compile_model", _waiting),
        patch.object(shards.Shards, "take_over", timed),
        patch.object(ray_executor._Waiting, "take", taking),
    ):
        features.extract(
            source, out, backbone="mobilenetv2", weights="none", image_size=32, batch_size=BATCH,
            executor="ray", workers=workers, progress=False,
        )  # fmt: skip
    return times[0] - started, times[-1] - times[0], time.process_time() - computed


_SETTINGS = {
    "include_dashboard": False, "object_store_memory": 2**27, "log_to_driver": False,
    "configure_logging": False,
    "_system_config": {"worker_niceness": 0},  # Ray gives way to all else that a machine does
}  # fmt: skip


def _computed() -> float:
    """Return the CPU seconds that the machine has computed."""
    import psutil

    times = psutil.cpu_times()
    return times.user + times.system


def main() -> None:
    parser = argparse.ArgumentParser(
        "python -m benchmarks.cluster", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--source", type=Path, default=Path("examples/cifar10-2000.zip"))
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--options", default="", help="further options of `extract`")
    parser.add_argument("--waiting", type=int, nargs="+", metavar="WORKERS")
    parser.add_argument("--images", type=int, default=480, help="that each worker waits for")
    given = parser.parse_args()
    if given.waiting:
        print(waiting(given.waiting, given.images))
    else:
        print(overhead(given.source, given.workers, given.rounds, given.options.split()))


if __name__ == "__main__":
    from benchmarks import cluster  # workers find its class there

    cluster.main()
