"""Extraction with a network that costs nothing; everything else is as ever.

`python -m tests.features.faults.stub extract ...` is the command with it.
"""

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import h5py
import numpy as np

import features
from features.engines.base import Compiled
from features.extraction.model import Model
from features.extraction.shards import Shards
from features.records import Recipe
from features.storage.index import folder_of
from features.storage.row_blocks import Rows
from features.storage.store import FeatureFile
from pipeline.commands.main import main

OPTIONS = {"backbone": "mobilenetv2", "weights": "none", "image_size": (32, 32), "batch_size": 4}
ARGUMENTS = ["--backbone=mobilenetv2", "--weights=none", "--image-size=32", "--batch-size=4"]


def compiled(model: Model, recipe: Recipe) -> Compiled:
    """Features are sums over columns of pixels: exact in float32, whatever the batch."""
    width = model.image_size[1] * 3
    shape = (1, 1, width) if model.pooling == "none" else (width,)

    def forward(pixels: np.ndarray) -> dict[str, np.ndarray]:
        sums = pixels.sum(axis=1, dtype=np.float32).reshape(len(pixels), *shape)
        return dict.fromkeys(model.layers, sums)

    return Compiled(dict.fromkeys(model.layers, shape), forward)


@contextmanager
def stubbed(shard_images: int = 8) -> Iterator[None]:
    """Replace the network, and make shards small."""
    with (
        patch("features.extraction.run.compile_model", compiled),
        patch("features.extraction.rebuilding.compile_model", compiled),
        patch("features.extraction.shards.SHARD_IMAGES", shard_images),
    ):
        yield


def extract(source: Path, out: Path, shard_images: int = 8, **options: object) -> Path:
    with stubbed(shard_images):
        return features.extract(source, out, progress=False, **(OPTIONS | options))


def images(path: Path, count: int, side: int = 12) -> Path:
    """Write a source of random images in three classes."""
    chance = np.random.default_rng(0)
    pixels = chance.integers(0, 256, (count, side, side, 3), np.uint8)
    np.savez(path, images=pixels, labels=np.arange(count) % 3)
    return path


def datasets(path: Path) -> dict[str, list]:
    """The content of every dataset in a file; features in shards are read from there."""
    content = {}

    def keep(name: str, item: h5py.Dataset | h5py.Group) -> None:
        if isinstance(item, h5py.Dataset):
            content[name] = item[:].tolist()

    with h5py.File(path) as file:
        file.visititems(keep)
        folder = file.attrs.get("shards", b"")
    if not folder:
        return content
    whole = {name: rows for name, rows in content.items() if not name.startswith("shards/")}
    for name in content["shards/name"]:
        with h5py.File(path.parent / folder.decode() / name.decode()) as shard:
            for layer in shard["features"]:
                whole[f"features/{layer}"] += shard[f"features/{layer}"][:].tolist()
    return whole


def rows_lost(path: Path, whole: Path) -> int:
    """Count the rows and rejected images of `whole` that `path` does not have as they are there.

    Anything else that is not as it should be counts as one.
    """
    if not path.exists():
        return sum(len(datasets(whole)[name]) for name in ("images/id", "rejected/id"))
    found, expected = datasets(path), datasets(whole)
    lost = 0
    for group in ("images", "rejected"):
        columns = [n for n in expected if n.startswith(group) or (n[0] == "f" and group[0] == "i")]
        rows = [
            zip(*(content[name] for name in columns), strict=True) for content in (found, expected)
        ]
        lost += len({repr(row) for row in rows[1]} - {repr(row) for row in rows[0]})
    with FeatureFile(path) as file:
        odd = file.problems() != [] or found != expected
    return lost or int(odd)


@contextmanager
def telling(tell: Callable[[int], object]) -> Iterator[None]:
    """Call `tell` with the number of images that are reported as safe, at first and after each shard."""
    resume, write = Shards.resume, Shards.write

    def resuming(shards: Shards, restart: bool) -> int:
        covered = resume(shards, restart)
        tell(covered)
        return covered

    def writing(shards: Shards, start: int, stop: int, rows: Rows) -> None:
        write(shards, start, stop, rows)
        tell(shards.covered)

    with patch.object(Shards, "resume", resuming), patch.object(Shards, "write", writing):
        yield


@contextmanager
def messages() -> Iterator[list[str]]:
    """Collect the warnings that a user would read."""
    warnings: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: warnings.append(record.getMessage())
    log = logging.getLogger("offshelf")
    log.addHandler(handler)
    try:
        yield warnings
    finally:
        log.removeHandler(handler)


def rows_lost_going_on(source: Path, out: Path, whole: Path, safe: int, **options: object) -> int:
    """Repeat a command that did not end well; count what it lost of `whole`.

    Images that were reported as safe, `safe` of them, and are extracted again are lost too. What
    is half there, or lies about in the end, counts as one.
    """
    resumed: list[int] = []
    with telling(resumed.append), messages() as warnings:
        extract(source, out, **options)
    again = max(0, safe - resumed[0]) if resumed else 0
    halves = sum("extracted again" in line for line in warnings)
    strays = len({*out.parent.iterdir()} - {out, folder_of(out)})
    with FeatureFile(out) as file:
        strays += len({*folder_of(out).glob("*")} ^ {*file.shards})
    return rows_lost(out, whole) + again + halves + strays


if __name__ == "__main__":
    with stubbed():
        sys.exit(main([*sys.argv[1:], *ARGUMENTS]))
