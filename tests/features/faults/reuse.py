"""What an earlier run left, or reads again, and that is no longer the same."""

import io
import json
import os
import shutil
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from random import Random
from unittest.mock import patch

import h5py
import numpy as np
from PIL import Image

from features.backbones.catalog import SCALINGS
from features.backbones.stored import PinnedFacts, Weights, read_cached, write_note
from features.disk import sealed
from features.errors import DataError, OffshelfError
from features.extraction.shards import Shards, partial_folder
from tests.features.faults import stub

IMAGES = 20  # three shards
ANYTHING = {"max_rejected": 1.0}


def _pixels(random: Random) -> np.ndarray:
    chance = np.random.default_rng(random.randrange(2**32))
    return chance.integers(0, 256, (IMAGES, 12, 12, 3), np.uint8)


def _write_folder(path: Path, pixels: np.ndarray) -> None:
    path.mkdir(exist_ok=True)
    for number, image in enumerate(pixels):
        file = path / f"{number:02}.bmp"
        if not file.exists() or not (np.asarray(Image.open(file)) == image).all():
            Image.fromarray(image).save(file)


def _write_zip(path: Path, pixels: np.ndarray) -> None:
    folder = path.with_suffix("")
    _write_folder(folder, pixels)
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.iterdir()):
            archive.write(file, file.name)


def _write_npz(path: Path, pixels: np.ndarray) -> None:
    np.savez(path, images=pixels)


def _write_hdf5(path: Path, pixels: np.ndarray) -> None:
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        file["images"] = pixels
    path.write_bytes(content.getvalue())  # in place: the run may have it open


SOURCES: tuple[tuple[str, Callable[[Path, np.ndarray], None]], ...] = (
    ("images", _write_folder), ("images.zip", _write_zip), ("images.npz", _write_npz),
    ("images.h5", _write_hdf5),
)  # fmt: skip


def _flip(path: Path, random: Random) -> None:
    """Flip a bit of a file, in place."""
    at = random.randrange(path.stat().st_size)
    with path.open("rb+") as file:
        file.seek(at)
        (byte,) = file.read(1)
        file.seek(at)
        file.write(bytes([byte ^ 1 << random.randrange(8)]))


def _change(
    path: Path, pixels: np.ndarray, write: Callable[[Path, np.ndarray], None], random: Random
) -> None:
    """Flip a bit of the source, or replace an image by another one of its size; keep all times."""
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    times = {file: file.stat() for file in files}
    if random.random() < 0.5:
        _flip(random.choice(files), random)
    else:
        other = pixels.copy()
        other[random.randrange(IMAGES)] ^= 255
        write(path, other)
    for file, status in times.items():
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))


def _run_and_change(source: Path, out: Path, change: Callable[[], None], random: Random) -> None:
    """Extract, and change the source while that runs, after it was stopped, or in the end."""
    at, moment = random.randrange(IMAGES + 1), random.randrange(3)

    def stop(*arguments: object) -> None:
        raise KeyboardInterrupt

    changed: list[bool] = []

    def change_once(covered: int) -> None:
        if covered >= at and not changed:
            changed.append(True)
            change()

    if moment == 0:
        with suppress(OffshelfError), stub.telling(change_once):
            stub.extract(source, out, **ANYTHING)
    elif moment == 1:
        with suppress(KeyboardInterrupt), patch.object(Shards, "assemble", stop):
            stub.extract(source, out, **ANYTHING)
        change()
        with suppress(OffshelfError):
            stub.extract(source, out, **ANYTHING)
    else:
        stub.extract(source, out, **ANYTHING)
        change()


def changed_sources(folder: Path, seed: int = 0) -> Iterator[int]:
    """Change a source at any moment and repeat the command; yield the wrong rows it is content with.

    A command that says what has changed, and changes nothing, is right.
    """
    random = Random(seed)
    for number in count():
        place = folder / str(number)
        place.mkdir(parents=True)
        name, write = SOURCES[number % len(SOURCES)]
        source, out, pixels = place / name, place / "out.h5", _pixels(random)
        write(source, pixels)
        _run_and_change(source, out, lambda: _change(source, pixels, write, random), random)  # noqa: B023
        yield _wrong_rows(source, out)
        shutil.rmtree(place)


def _wrong_rows(source: Path, out: Path) -> int:
    try:
        stub.extract(source, out, **ANYTHING)
    except OffshelfError:
        return 0
    try:
        fresh = stub.extract(source, out.with_name("fresh.h5"), **ANYTHING)
    except OffshelfError:
        return 1  # what cannot be read now was taken for what it was
    return stub.rows_lost(out, fresh)


def changed_shards(folder: Path, seed: int = 0) -> Iterator[int]:
    """Flip a bit of a shard between two runs; yield the rows that are wrong in the end."""
    random = Random(seed)
    folder.mkdir(parents=True, exist_ok=True)
    source = stub.images(folder / "images.npz", IMAGES)
    whole = stub.extract(source, folder / "whole.h5")

    def stop(*arguments: object) -> None:
        raise KeyboardInterrupt

    for number in count():
        out = folder / str(number) / "out.h5"
        with suppress(KeyboardInterrupt), patch.object(Shards, "assemble", stop):
            stub.extract(source, out)
        _flip(random.choice(sorted(partial_folder(out).glob("*.h5"))), random)
        try:
            stub.extract(source, out)
        except OffshelfError:
            yield 0
        else:
            yield stub.rows_lost(out, whole)
        shutil.rmtree(out.parent)


def _damage(path: Path, random: Random) -> None:
    content = bytearray(path.read_bytes())
    at = random.randrange(len(content))
    way = random.randrange(5)
    if way == 0:
        path.unlink()
    elif way == 1:
        path.write_bytes(content[:at])
    elif way == 2:
        path.write_bytes(content + random.randbytes(8))
    elif way == 3:
        content[at : at + 40] = bytes(len(content[at : at + 40]))
        path.write_bytes(content)
    else:
        _flip(path, random)


def changed_cache(folder: Path, seed: int = 0) -> Iterator[int]:
    """Damage a file of the cache; yield whether something else than was put there is taken.

    In turn these are a converted network and a weights file, with their notes.
    """
    random = Random(seed)
    folder.mkdir(parents=True, exist_ok=True)
    network, read_network = _network(folder / "networks" / "key", random)
    weights, read_weights = _weights(folder / "weights" / "b-keras.weights.h5", random)
    for number in count():
        kept, read = (network, read_network) if number % 2 else (weights, read_weights)
        expected, path = read(), random.choice(sorted(kept.iterdir()))
        content = path.read_bytes()
        _damage(path, random)
        try:
            found = read()
        except DataError:
            yield 0
        else:
            yield int(found is not None and found != expected)
        path.write_bytes(content)


def _network(place: Path, random: Random) -> tuple[Path, Callable[[], object]]:
    place.mkdir(parents=True)
    (place / "network.xml").write_bytes(random.randbytes(300))
    (place / "network.bin").write_bytes(random.randbytes(3000))
    sealed.write_note(place, place.name)
    return place, lambda: sealed.read_files(place, place.name, ("network.xml", "network.bin"))


def _weights(path: Path, random: Random) -> tuple[Path, Callable[[], object]]:
    path.parent.mkdir(parents=True)
    path.write_bytes(random.randbytes(3000))
    pinned = PinnedFacts("b", "keras", SCALINGS["tf"], "free")
    write_note(Weights("b", "keras", "ab" * 32, pinned.scaling, path, pinned.licence), path)

    def read() -> object:
        weights = read_cached(path, pinned)
        return weights and (weights, path.read_bytes())

    assert json.loads(path.with_name("b-keras.json").read_text())["seal"]
    return path.parent, read
