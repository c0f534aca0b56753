"""What people would write with Ray Data beside `--executor ray`, interleaved in one run.

    python -m benchmarks.ray_data                 ResNet50, 1,000 JPEGs of 500 x 375 pixels
    python -m benchmarks.ray_data --source FOLDER --engine tensorflow

Theirs is `read_images`, `map_batches` with an actor that holds our compiled network, and
`write_parquet`; ours writes a feature file. Both have one actor, the same CPUs of the same cluster,
which is there before, decode at full scale and resize by Pillow's bilinear filter. CPU seconds and
memory are those of the cluster and its driver; memory that processes share is counted once.
"""

import argparse
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import features
from benchmarks.images import make_jpegs
from features.config import ExtractConfig
from features.extraction.model import find_model
from features.extraction.planning import Plan, compile_model, plan_extraction
from features.processes.cpus import available_cpus
from features.records import Recipe
from pipeline.reports.tables import render

STORE_BYTES = 2**31  # of the object store
PAUSE = 0.5  # seconds between two looks at the memory
BATCH = ExtractConfig.batch_size


class Network:
    """The actor of Ray Data: our compiled network."""

    def __init__(self, config: ExtractConfig, recipe: str) -> None:
        """Compile the network, or take the one that was compiled before."""
        self._network = compile_model(find_model(config), Recipe.from_json(recipe))

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return features float32 (n, D) for pixels uint8 (n, H, W, 3), n <= the batch size."""
        pixels = batch["image"]
        if missing := BATCH - len(pixels):
            pixels = np.concatenate([pixels, np.zeros((missing, *pixels.shape[1:]), np.uint8)])
        (rows,) = self._network.forward(pixels).values()
        return {"path": batch["path"], "features": rows[: len(batch["path"])]}


def theirs(plan: Plan, out: Path) -> None:
    """Read, compute and write by operators of Ray Data."""
    import ray

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    ray.data.read_images(
        str(plan.config.source), size=plan.recipe.image_size, mode="RGB", include_paths=True
    ).map_batches(
        Network, batch_size=BATCH, concurrency=1, num_cpus=1,
        fn_constructor_args=(plan.config, plan.recipe.to_json()),
    ).write_parquet(str(out))  # fmt: skip


def ours(plan: Plan, out: Path) -> None:
    """Extract by one worker."""
    config = plan.config
    features.extract(
        config.source, out, backbone=config.backbone, engine=config.engine, exact_decode=True,
        precision=config.precision, executor="ray", workers=1, progress=False,
    )  # fmt: skip


@dataclass
class Spent:
    """What a run took.

    Attributes:
        seconds: by the clock.
        computed: CPU seconds.
        memory: the most bytes of all processes.
        stored: the most bytes in the object store.
        passed: bytes that went through it.
    """

    seconds: float = 0
    memory: int = 0
    stored: int = 0
    passed: int = 0
    processes: dict[int, float] = field(default_factory=dict)

    @property
    def computed(self) -> float:
        return sum(self.processes.values())


@contextmanager
def measured() -> Iterator[Spent]:
    """Look at processes and the object store while something runs."""
    spent, ended = Spent(), threading.Event()
    before, passed = _computed(), _store().cumulative_created_bytes

    def look() -> None:
        store = _store()
        spent.stored = max(spent.stored, store.object_store_bytes_used)
        spent.passed = store.cumulative_created_bytes - passed
        spent.memory = max(spent.memory, _memory())
        for process, seconds in _computed().items():
            spent.processes[process] = seconds - before.get(process, 0)

    def keep_looking() -> None:
        while not ended.wait(PAUSE):
            look()

    watcher = threading.Thread(target=keep_looking)
    watcher.start()
    started = time.perf_counter()
    try:
        yield spent
    finally:
        spent.seconds = time.perf_counter() - started
        ended.set()
        watcher.join()
    look()


def _processes() -> list[Any]:
    import psutil  # which comes with Ray

    own = psutil.Process()
    return [own, *own.children(recursive=True)]


def _computed() -> dict[int, float]:
    return dict(_of_each(lambda process: sum(process.cpu_times()[:2])))


def _memory() -> int:
    return sum(size for _, size in _of_each(lambda process: process.memory_full_info().pss))


def _of_each(fact: Callable[[Any], Any]) -> Iterator[tuple[int, Any]]:
    import psutil

    for process in _processes():
        try:
            yield process.pid, fact(process)
        except psutil.Error:
            continue


def _store() -> Any:
    import ray
    from ray._private.internal_api import node_stats

    (node,) = ray.nodes()
    return node_stats(node["NodeManagerAddress"], node["NodeManagerPort"], False).store_stats


def same_rows(parquet: Path, file: Path, source: Path) -> str:
    """Say how the rows of both ways differ."""
    import ray

    table = {
        os.path.relpath(row["path"], source.resolve()): row["features"]
        for row in ray.data.read_parquet(str(parquet)).take_all()
    }
    with features.FeatureFile(file) as opened:
        mine = opened.features()
        other = np.stack([table.pop(name) for name in opened.ids])
    equal = (mine == other).all(axis=1).sum()
    cosines = (mine * other).sum(1) / np.linalg.norm(mine, axis=1) / np.linalg.norm(other, axis=1)
    return (
        f"{equal:,} of {len(mine):,} rows are equal to the last bit, cosine at least "
        f"{cosines.min():.6f}; {len(table)} rows more in one"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        "python -m benchmarks.ray_data", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--source", type=Path, help="a folder of images, instead of made ones")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--backbone", default="resnet50")
    parser.add_argument("--engine", default="openvino")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        source = given.source or make_jpegs(scratch / "images", given.images)
        config = ExtractConfig(
            source, scratch / "out.h5", given.backbone, engine=given.engine, exact_decode=True
        )
        print(compared(config, scratch, given.rounds))


def compared(config: ExtractConfig, scratch: Path, rounds: int) -> str:
    """Run both ways in turn; return a table of what they took, and how their rows differ."""
    import ray

    ray.init(
        "local", num_cpus=available_cpus(), object_store_memory=STORE_BYTES, log_to_driver=False,
        include_dashboard=False, configure_logging=False, _system_config={"worker_niceness": 0},
    )  # fmt: skip
    with features.open_source(config.source) as source:
        plan, images = plan_extraction(config, source), len(source)
    rows, rates = [], dict[str, float]()
    for number in range(rounds + 1):  # the first one fills caches
        for name, way in (("Ray Data", theirs), ("--executor ray", ours)):
            out = scratch / name.replace(" ", "_") / "out"
            shutil.rmtree(out.parent, ignore_errors=True)
            out.parent.mkdir()
            with measured() as spent:
                way(plan, out)
            rates[name] = images / spent.seconds
            if number:
                ratio = rates[name] / rates["Ray Data"]
                rows.append((
                    name, f"{rates[name]:.1f}", f"{ratio:.2f}",
                    f"{1000 * spent.computed / images:.1f}", f"{spent.memory / 1e6:,.0f}",
                    f"{spent.stored / 1e6:,.0f}", f"{spent.passed / images / 1e3:,.1f}",
                ))  # fmt: skip
    head = ("", "images/s", "of Ray Data's", "CPU ms an image", "MB, all processes",
            "MB in the store, most", "kB an image through it")  # fmt: skip
    files = scratch / "Ray_Data" / "out", scratch / "--executor_ray" / "out"
    return f"{render(head, rows)}\n\n{same_rows(*files, config.source)}"


if __name__ == "__main__":
    from benchmarks import ray_data  # actors find its class there

    ray_data.main()
