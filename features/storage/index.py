"""Shards made one feature file without a copy: they get names beside the index that names them.

The index is written last. Until then shards have their names in the working folder too, so that a
run that is killed at any moment goes on as ever; and those of the file that is replaced stay.
"""

import json
import logging
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import numpy as np

from features.disk import documents, durable
from features.errors import DataError
from features.records import DIGEST_BYTES
from features.remote import outputs
from features.remote.location import is_remote
from features.storage.checked import CheckedFile
from features.storage.hdf5 import encoded
from features.storage.row_blocks import Columns, Size
from features.storage.schema import DIGEST
from features.storage.sharded import MOST_NAME, NAME, Shard
from features.storage.store import FeatureFile

log = logging.getLogger("offshelf")

_SUFFIX = ".shards"
_NOTE = "left.json"


def folder_of(out: Path) -> Path:
    """Return the folder of the shards of a feature file that is written to `out`."""
    return out.with_name(out.name + _SUFFIX)


def name_of(start: int, digest: str) -> str:
    """Return the name of a shard: equal ones have equal names, and no other one takes it."""
    return f"{start:010d}-{digest[:16]}.h5"


def columns_of(file: CheckedFile, start: int, table: list[Shard]) -> Columns:
    """Return what an index holds of a shard, and append it to the table of the index.

    Args:
        file: the shard, whose features are not read.
        start: its first image.
        table: what the index says of the shards before it.

    Raises:
        DataError: the shard is damaged.
    """
    columns, digest = file.checked_columns(), str(file.attributes[DIGEST])
    table.append(Shard(name_of(start, digest), len(file), file.nbytes, digest))
    return Columns(columns)


def index_size(rows: Size, shards: int) -> Size:
    """Return the space that an index needs: that of all rows without their features."""
    widths = rows.widths | {"shards/name": MOST_NAME}
    return Size(rows.counts | {"features": 0, "shards": shards}, widths)


def columns_of_table(table: list[Shard]) -> Columns:
    """Return the table of an index as its datasets."""
    digests = b"".join(bytes.fromhex(shard.digest) for shard in table)
    columns = {
        "shards/name": encoded([shard.name for shard in table]),
        "shards/rows": np.array([shard.rows for shard in table], np.int64),
        "shards/bytes": np.array([shard.bytes for shard in table], np.int64),
        "shards/digest": np.frombuffer(digests, np.uint8).reshape(-1, DIGEST_BYTES),
    }
    return Columns(columns)


def place(shards: Iterable[tuple[Path, str]], folder: Path) -> None:
    """Give shards their names in the folder beside the index.

    Args:
        shards: where each lies, and the name that it gets.
        folder: a folder on the disk, which is made.

    Raises:
        OSError: the folder cannot be written to.
    """
    durable.make_folder(folder)
    copied = sum(durable.link(path, folder / name) for path, name in shards)
    durable.disk.sync_folder(folder)
    if copied:
        log.warning(
            "%d shards were copied to %s, where a file cannot have two names", copied, folder
        )


def note_left(work: Path, out: Path, table: Iterable[Shard] = ()) -> None:
    """Note which shards a run may leave that no file names: those of the old file, and new ones.

    Args:
        work: the working folder, which keeps the note.
        out: the feature file that is about to be replaced.
        table: the shards that are about to be placed.

    Raises:
        OSError: the note could not be written.
    """
    if names := _named(out) | {shard.name for shard in table}:
        durable.write(work / _NOTE, json.dumps(sorted(names)).encode())


def discard_left(work: Path, out: Path) -> None:
    """Remove the shards that `note_left` noted and no file names; warn where that fails.

    Shards that no note has are not touched: an index that was renamed may name them.
    """
    note, folder = work / _NOTE, folder_of(out)
    if not note.exists():
        return
    try:
        names = documents.read(note, list[str])
        outputs.remove(folder, sorted({*filter(NAME.fullmatch, names)} - _named(out)))
        if not is_remote(folder):
            durable.remove_drafts(folder)
            with suppress(OSError):  # it is not empty
                durable.disk.remove_folder(folder)
        durable.disk.unlink(note)
    except (OSError, DataError) as error:
        log.warning("shards in %s that are no longer needed stay: %s", folder, error)


def _named(out: Path) -> set[str]:
    """Return the names of the shards in the folder of `out` that the file there names."""
    if not out.exists():
        return set()
    with FeatureFile(out) as file:
        return {path.name for path in file.shards if path.parent.name == folder_of(out).name}
