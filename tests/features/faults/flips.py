"""Bytes that change on the disk: in a feature file, and in a shard."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

from features.errors import DataError
from features.extraction.shards import Shards
from features.storage.store import FeatureFile
from tests.features.examples import attributes, recipe, rows, write

SECONDS = 20  # after which a file counts as one that keeps a reader for ever
_CONTEXT = get_context("forkserver")
_CONTEXT.set_forkserver_preload([__name__])


def everything(file: FeatureFile) -> tuple:
    """Return all that can be got from a feature file."""
    features = [
        (name, file.features(name).dtype, file.features(name).tolist()) for name in file.layers
    ]
    names = sorted(file.attributes.items())
    columns = [column.tolist() for column in (file.digests, file.labels, file.splits)]
    columns += [(name, file.column(name).tolist()) for name in file.columns]
    return features, names, columns, file.ids, file.rejected, file.class_names


def read_file(path: Path) -> object:
    """Read as `inspect` does; None where damage is found."""
    with suppress(DataError), FeatureFile(path) as file:
        if not file.problems():
            return everything(file)
    return None


def read_shard(path: Path) -> object:
    """Read as a run does that goes on; None where the shard is made again."""
    shards = Shards(path.parent / "out.h5", recipe(), 6, 6)
    shards.folder = path.parent
    if not shards.resume(restart=False):
        return None
    return {name: column.tolist() for name, column in shards.read(0, 6).columns.items()}


def feature_file(folder: Path) -> Path:
    path = folder / "out.h5"
    own = recipe(source={"kind": "folder", "count": 6, "fingerprint": "f"})
    write(path, [rows(0, 4, 2)], attributes(own))
    return path


def shard(folder: Path) -> Path:
    shards = Shards(folder / "out.h5", recipe(), 6, 6)
    shards.folder = folder
    shards.write(0, 6, rows(0, 4, 2))
    return folder / "0000000000.h5"


def flips(
    make: Callable[[Path], Path], read: Callable[[Path], object], folder: Path, count: int
) -> Iterator[int]:
    """Flip `count` bits, one at a time; yield whether it did harm.

    Harm is a change of what is read that nobody notices, a crash, and a reader kept for ever. The
    bits are spread evenly over the file; `count` may be more than it has.
    """
    path = make(folder)
    size, at = 8 * path.stat().st_size, 0
    step = -(-size // count)
    while at < size:
        ours, theirs = _CONTEXT.Pipe(duplex=False)
        process = _CONTEXT.Process(target=_child, args=(path, read, range(at, size, step), theirs))
        process.start()
        theirs.close()
        try:
            while ours.poll(SECONDS):
                yield ours.recv()
                at += step
        except EOFError:  # it has come to the end, or HDF5 has crashed on what it found
            pass
        finally:
            process.kill()
            process.join()
        if at < size:
            print(f"bit {at} of {path.name} keeps or crashes HDF5")
            at += step
            yield 1


def _child(path: Path, read: Callable[[Path], object], places: range, pipe: Connection) -> None:
    whole = path.read_bytes()
    expected = read(path)
    assert expected is not None
    place = path.parent / str(places.start)
    place.mkdir()
    for at in places:
        spoiled = bytearray(whole)
        spoiled[at // 8] ^= 1 << ((at + at // 8) % 8)  # every bit in turn, also where steps are 8
        (place / path.name).write_bytes(spoiled)
        found = read(place / path.name)
        pipe.send(int(found is not None and found != expected))
