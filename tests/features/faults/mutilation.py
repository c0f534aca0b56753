"""Images that were spoiled in every way that disks, copies and people know."""

import io
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image

from features.records import blake2b
from features.storage.store import FeatureFile
from tests.features.faults import stub
from tests.features.pictures import png

SHARD_IMAGES = 64  # of which some are spoiled in every shard


def _truncated(path: Path, content: bytes, random: Random) -> None:
    path.write_bytes(content[: random.randrange(1, len(content))])


def _bits_flipped(path: Path, content: bytes, random: Random) -> None:
    spoiled = bytearray(content)
    for _ in range(random.randint(1, 20)):
        spoiled[random.randrange(len(spoiled))] ^= 1 << random.randrange(8)
    path.write_bytes(spoiled)


def _wrong_suffix(path: Path, content: bytes, random: Random) -> None:
    other = {".png": "JPEG", ".jpg": "PNG"}[path.suffix]
    Image.open(io.BytesIO(content)).save(path, other)


def _empty(path: Path, content: bytes, random: Random) -> None:
    path.write_bytes(b"")


def _zeros(path: Path, content: bytes, random: Random) -> None:
    path.write_bytes(bytes(len(content)))


def _noise(path: Path, content: bytes, random: Random) -> None:
    path.write_bytes(random.randbytes(len(content)))


def _text(path: Path, content: bytes, random: Random) -> None:
    path.write_text("<html><body>404 Not Found</body></html>")


def _more_behind(path: Path, content: bytes, random: Random) -> None:
    path.write_bytes(content + random.randbytes(100))


def _bomb(path: Path, content: bytes, random: Random) -> None:
    path.write_bytes(png(40_000, 40_000, 8, 2, bytes(120_001 * 10)))


def _folder(path: Path, content: bytes, random: Random) -> None:
    path.unlink()
    path.mkdir()
    (path / "inside.png").write_bytes(content)


def _loop(path: Path, content: bytes, random: Random) -> None:
    path.unlink()
    path.symlink_to(path.name)


def _dangling(path: Path, content: bytes, random: Random) -> None:
    path.unlink()
    path.symlink_to("nowhere")


def _pipe(path: Path, content: bytes, random: Random) -> None:
    path.unlink()
    os.mkfifo(path)


def _unreadable(path: Path, content: bytes, random: Random) -> None:
    path.chmod(0)  # not for root, who reads it as ever


WAYS: tuple[Callable[[Path, bytes, Random], None], ...] = (
    _truncated, _bits_flipped, _wrong_suffix, _empty, _zeros, _noise, _text, _more_behind, _bomb,
    _folder, _loop, _dangling, _pipe, _unreadable,
)  # fmt: skip


def write_images(folder: Path, count: int) -> list[str]:
    """Write random images in three class folders, JPEG and PNG in turn; return their ids."""
    chance = np.random.default_rng(0)
    names = [f"{number % 3}/{number:05}{('.jpg', '.png')[number % 2]}" for number in range(count)]
    for label in "012":
        (folder / label).mkdir(parents=True)
    for name in names:
        Image.fromarray(chance.integers(0, 256, (12, 12, 3), np.uint8)).save(folder / name)
    return names


def mutilated(folder: Path, count: int, share: float = 0.3, seed: int = 0) -> Iterator[int]:
    """Spoil a share of `count` images; yield for each of them whether it was lost.

    Raises:
        AssertionError: another image's row is not as it is where none was spoiled.
    """
    random, source = Random(seed), folder / "images"
    names = write_images(source, count)
    whole = stub.extract(source, folder / "whole.h5", SHARD_IMAGES)
    spoiled = random.sample(names, round(share * count))
    for number, name in enumerate(spoiled):
        path = source / name
        WAYS[number % len(WAYS)](path, path.read_bytes(), random)
    out = stub.extract(source, folder / "out.h5", SHARD_IMAGES, max_rejected=1.0)
    before, after = _rows(whole), _rows(out)
    with FeatureFile(out) as file:
        assert file.problems() == []
        rejected = dict(file.rejected)
        assert len(file.rejected) == len(rejected)
        assert file.ids == sorted(file.ids)
    good = set(names) - set(spoiled)
    assert {name: after.get(name) for name in good} == {name: before[name] for name in good}
    for name in spoiled:
        row, reason = after.get(name), rejected.get(name)
        assert row is None or row[1] == blake2b((source / name).read_bytes())
        yield int((row is None) == (reason is None))
    shutil.rmtree(folder)


def _rows(path: Path) -> dict[str, tuple[bytes, bytes, int]]:
    """Return features, digest and label of each image by its id."""
    with FeatureFile(path) as file:
        columns = (map(np.ndarray.tobytes, file.features()), map(bytes, file.digests), file.labels)
        return dict(zip(file.ids, zip(*columns, strict=True), strict=True))
