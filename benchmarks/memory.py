"""Resident memory over a long extraction: does it stay small, and does it stay the same?

    python -m benchmarks.memory                    a million images
    python -m benchmarks.memory --images 100000    a tenth of that

Images of 32 x 32 random pixels lie in an HDF5 file and go through the first layers of MobileNet
on TensorFlow, so that time goes into what this is about: reading, batching, storing. After every
shard the resident memory of this process is noted. The run fails where the peak passes the limit,
or where memory at the end lies more than the slack above that at image 10,000.
"""

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path
from unittest.mock import patch

import h5py
import numpy as np

import features
from features.extraction.shards import Shards
from features.storage.row_blocks import Rows
from pipeline.reports.tables import render

BACKBONE, LAYER = "mobilenet", "conv_pw_1_relu"  # 64 features from a few thousand operations
SIDE, BLOCK, EARLY = 32, 10_000, 10_000
LIMIT, SLACK = 1500.0, 50.0  # MB


def main() -> int:
    arguments = _arguments()
    with tempfile.TemporaryDirectory(prefix="memory-", dir=arguments.folder) as scratch:
        source = make_images(Path(scratch) / "images.h5", arguments.images)
        started = time.perf_counter()
        samples = extract(source, Path(scratch) / "features.h5", arguments.engine)
        seconds = time.perf_counter() - started
    early = next(sample for sample in samples if sample[0] >= min(EARLY, arguments.images))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    later = samples[samples.index(early) :]
    shown = [*later[:: -(-len(later) // 8)], later[-1]]
    rows = [(f"{images:,}", f"{memory:.0f}") for images, memory in shown]
    print(render(("images", "resident MB"), rows))
    growth = samples[-1][1] - early[1]
    print(
        f"\npeak {peak:.0f} MB (limit {LIMIT:.0f}), growth from image {early[0]:,} to the end "
        f"{growth:+.0f} MB (slack {SLACK:.0f}), {arguments.images / seconds:.0f} images/s"
    )
    return int(peak > LIMIT or growth > SLACK)


def make_images(path: Path, count: int) -> Path:
    """Write random images and labels, block by block: the same pixels, shifted by the block."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (BLOCK, SIDE, SIDE, 3), np.uint8)
    with h5py.File(path, "w") as file:
        shape = (count, SIDE, SIDE, 3)
        images = file.create_dataset("images", shape, np.uint8, chunks=(256, *shape[1:]))
        for start in range(0, count, BLOCK):
            block = pixels[: count - start] + np.uint8(start // BLOCK % 256)
            images[start : start + BLOCK] = block
        file["labels"] = np.arange(count) % 10
    return path


def extract(source: Path, out: Path, engine: str) -> list[tuple[int, float]]:
    """Extract; return images done and resident MB after every shard and at the very end."""
    samples: list[tuple[int, float]] = []
    write = Shards.write

    def noting(shards: Shards, start: int, stop: int, rows: Rows) -> None:
        write(shards, start, stop, rows)
        samples.append((stop, resident()))

    with patch.object(Shards, "write", noting):
        features.extract(
            source, out, backbone=BACKBONE, layers=(LAYER,), weights="none", engine=engine,
            image_size=(SIDE, SIDE), batch_size=256, progress=sys.stderr.isatty(),
        )  # fmt: skip
    return [*samples, (samples[-1][0], resident())]


def resident() -> float:
    """Return this process' resident memory in MB, as Linux tells it."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m benchmarks.memory", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--engine", default="tensorflow")
    parser.add_argument("--folder", type=Path, help="where 3 kB an image fit; default: temporary")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
