"""What a service gains by computing the images of concurrent requests together.

    python -m benchmarks.serving                                ResNet50 at 224 px, 200 requests
    python -m benchmarks.serving --backbone mobilenetv2 --requests 400

A candidate on a network of random weights, which costs the same, is packed with it and served by a
process of its own. JPEGs of 500 x 375 are sent one after the other (half of the requests), then
all at once by as many clients, then the other half one by one again; so both are measured in one
run. The network by itself is measured at both sizes of batches, which tells what is to be gained.
Seconds of all CPUs that the service spent are disturbed less by other work than those of the clock.
"""

import argparse
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.request import Request, urlopen

import numpy as np

import features
import pipeline
from benchmarks import machine
from benchmarks.images import make_jpegs
from pipeline.config import ServeConfig
from pipeline.predictors.kit import open_kit
from pipeline.predictors.of_images import image_predictor
from pipeline.reports.tables import render

LEARNED, PHOTO = 24, (500, 375)  # images to learn from; width and height in pixels
FORWARDS = 64  # images that go through the network by itself
HEADER = ("images", "seconds", "images/s", "CPU ms an image", "answered")


def main() -> None:
    arguments = _arguments()
    with tempfile.TemporaryDirectory(prefix="serving-") as scratch:
        folder = Path(scratch)
        paths = sorted(
            make_jpegs(folder / "photos", min(arguments.requests, 50), PHOTO).rglob("*.jpg")
        )
        photos = [path.read_bytes() for path in paths]
        sent = [photos[number % len(photos)] for number in range(arguments.requests)]
        pack = _pack(folder, arguments)
        alone = _network_alone(pack)
        with _service(pack) as (address, pid):
            _post(address, photos[0])
            half = len(sent) // 2
            before = _batches(address)
            single = [_measured(address, pid, sent[:half], 1)]
            after_single = _batches(address)
            together = _measured(address, pid, sent, len(sent))
            formed = _difference(_batches(address), after_single)
            single.append(_measured(address, pid, sent[half:], 1))
    assert _difference(after_single, before) == {1: half}
    by_one = tuple(np.sum(single, axis=0))
    print(render(HEADER, [_row("one by one", by_one), _row("all at once", together)]))
    (seconds, cpu, count, _), (all_seconds, all_cpu, total, _) = by_one, together
    gained, saved = total / all_seconds / (count / seconds), cpu / count / (all_cpu / total)
    print(f"\nimages/s: {gained:.2f} of one by one; by the seconds of all CPUs {saved:.2f}")
    print("batches formed: " + ", ".join(f"{n} x {size}" for size, n in sorted(formed.items())))
    print("the network alone: " + ", ".join(f"{ms:.0f} CPU ms an image by {n}" for n, ms in alone))
    for name, value in machine.facts("numpy", "openvino", "starlette", "uvicorn").items():
        print(f"{name}: {value}")


def _pack(folder: Path, arguments: argparse.Namespace) -> Path:
    """Return a pack of a candidate that learned from noise of two kinds."""
    x = np.random.default_rng(0).integers(0, 200, (LEARNED, 64, 64, 3), np.uint8)
    x[::2] += 50
    np.savez(folder / "c.npz", images=x, labels=np.arange(LEARNED) % 2)
    file = features.extract(
        folder / "c.npz", folder / "f.h5", backbone=arguments.backbone, weights="none",
        image_size=arguments.size, engine="openvino", progress=False,
    )  # fmt: skip
    pipeline.classify(
        file, folder / "results", classifiers=["logistic"], tune=False, folds=2, progress=False
    )
    return pipeline.pack(folder / "results", folder / "m.zip", candidate="best", with_weights=True)


def _network_alone(pack: Path) -> list[tuple[int, float]]:
    """Return the CPU ms an image of the network by 1 image, and by as many as a batch holds."""
    costs = []
    with open_kit(pack, "best") as kit:
        for count in (1, ServeConfig.max_batch):
            predictor = image_predictor(kit, batch_size=count)
            pixels = np.zeros((count, *predictor.size, 3), np.uint8)
            predictor.vectors(pixels)
            started = time.process_time()  # of all threads
            for _ in range(FORWARDS // count):
                predictor.vectors(pixels)
            costs.append((count, 1000 * (time.process_time() - started) / FORWARDS))
    return costs


@contextmanager
def _service(pack: Path) -> Iterator[tuple[str, int]]:
    """Yield the address of a service that runs, and the number of its process."""
    command = [sys.executable, "-m", "pipeline", "serve", str(pack), "--port", "0"]
    limits = ["--max-requests", "2000", "--max-waiting", "2000"]
    process = subprocess.Popen([*command, *limits], stderr=subprocess.PIPE, text=True)
    try:
        address = next(
            found[1] for line in process.stderr or ()
            if (found := re.search(r"served at (http://\S+)", line))
        )  # fmt: skip
        yield address, process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def _measured(
    address: str, pid: int, images: list[bytes], clients: int
) -> tuple[float, float, int, int]:
    """Send images; return seconds by the clock and of all CPUs, images, and those answered."""
    started, cpu = time.perf_counter(), _cpu_seconds(pid)
    with ThreadPoolExecutor(clients) as pool:
        answered = sum(pool.map(lambda image: _post(address, image), images))
    return time.perf_counter() - started, _cpu_seconds(pid) - cpu, len(images), answered


def _post(address: str, image: bytes) -> bool:
    with urlopen(Request(f"{address}/predict", image), timeout=600) as answer:
        return b'"probability"' in answer.read()


def _batches(address: str) -> dict[int, int]:
    """Return how many batches of each size the service has computed."""
    with urlopen(f"{address}/metrics", timeout=60) as answer:
        text = answer.read().decode()
    found = re.findall(r'offshelf_batches\{images="(\d+)"\} ([\d.]+)', text)
    return {int(size): int(float(count)) for size, count in found}


def _difference(now: dict[int, int], then: dict[int, int]) -> dict[int, int]:
    gained = {size: count - then.get(size, 0) for size, count in now.items()}
    return {size: count for size, count in gained.items() if count}


def _cpu_seconds(pid: int) -> float:
    """Return the seconds that a process has computed on all CPUs, as Linux counts them."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def _row(name: str, measured: tuple[float, ...]) -> tuple[str, ...]:
    seconds, cpu, count, answered = measured
    rate, cost = f"{count / seconds:.1f}", f"{1000 * cpu / count:.0f}"
    return name, f"{seconds:.1f}", rate, cost, f"{answered:.0f} of {count:.0f}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--backbone", default="resnet50")
    parser.add_argument("--size", type=int, default=224, help="pixels a side")
    parser.add_argument("--requests", type=int, default=200)
    return parser.parse_args()


if __name__ == "__main__":
    main()
