"""A feature file in the other layout: one file made of shards, or shards made of one file."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from features.disk import durable
from features.disk.locks import locked
from features.errors import UsageError
from features.extraction.shards import (
    Shards,
    discard_shards,
    origin_of,
    partial_folder,
    shard_images,
    writing,
)
from features.processes.progress import progress_bar
from features.processes.stopping import saying_how_to_go_on
from features.records import SHARDED, SINGLE
from features.remote import outputs
from features.remote.attempts import telling_repeats
from features.storage import hdf5_guard, index, writer
from features.storage.checked import CheckedFile
from features.storage.row_blocks import Rows
from features.storage.schema import DIGEST, FOLDER
from features.storage.store import FeatureFile

_OWN = ("schema", "complete", DIGEST, FOLDER)  # attributes that each file has for itself
_OTHER = {SINGLE: SHARDED, SHARDED: SINGLE}


def consolidate(source: Path, out: Path, layout: str | None = None, progress: bool = True) -> Path:
    """Write a feature file in another layout; it equals the old one in every dataset.

    A block of rows is held in memory at a time. Everything that is read is compared with its
    digests, and the new file appears when all of it is there.

    Args:
        source: a feature file, a path or a URL.
        out: the feature file to write, a path or a URL; of one in shards the index.
        layout: "single" or "sharded"; None takes that which `source` does not have.
        progress: whether to show a progress bar.

    Returns:
        `out`.

    Raises:
        UsageError: `source` has that layout already, there is something at `out`, another process
            writes to it, or an extraction to it is not finished.
        DataError: `source` is damaged, or `out` cannot be written.
    """
    with telling_repeats(), CheckedFile(source) as file:
        wanted = layout or _OTHER[file.layout]
        _check(file, out, wanted)
        with locked(partial_folder(out)):
            index.discard_left(partial_folder(out), out)
            copy = _to_shards if wanted == SHARDED else _to_one_file
            copy(file, out, progress)
    return out


def _check(file: CheckedFile, out: Path, wanted: str) -> None:
    if file.layout == wanted:
        raise UsageError(f"{file.path} has --layout {wanted} already; there is nothing to be done")
    if not len(file):
        raise UsageError(f"{file.path} has no rows, and stays as it is")
    outputs.check_remote(out)
    durable.prepare_folder(outputs.working_path(out).parent)
    if out.exists():
        raise UsageError(f"{out} is there already; choose another --out, or remove it")
    if origin_of(out) == "":
        raise UsageError(
            f"an extraction to {out} has begun and is not finished; give its command again, or "
            "choose another --out"
        )


def _to_one_file(file: CheckedFile, out: Path, progress: bool) -> None:
    local, scratch = outputs.working_path(out), partial_folder(out)
    advice = f"nothing was written to {out}; the same command begins again"
    with (
        saying_how_to_go_on(lambda: advice),
        _copied(file, progress) as blocks,
        writing(local),
        durable.replacing(local, scratch=scratch) as draft,
    ):
        writer.write(draft, _checked(blocks, draft), file.size, _attributes(file))
    hdf5_guard.vouch(local)
    outputs.upload(local, out)
    discard_shards(out)  # of a copy the other way that was stopped


def _to_shards(file: CheckedFile, out: Path, progress: bool) -> None:
    origin = str(file.attributes[DIGEST])
    shards = Shards(out, file.recipe, len(file), _rows_at_a_time(file), origin=origin)
    shards.resume(restart=origin_of(out) != origin)

    def advice() -> str:
        return f"{len(shards.sizes)} shards are kept in {shards.place}; the same command goes on"

    with saying_how_to_go_on(advice), _copied(file, progress) as blocks:
        for (start, stop), rows in zip(shards.ranges(), blocks, strict=True):
            if start not in shards.sizes:
                shards.write(start, stop, rows)
    with saying_how_to_go_on(advice):
        shards.assemble(out, _attributes(file), SHARDED)


@contextmanager
def _copied(file: CheckedFile, progress: bool) -> Iterator[Iterator[Rows]]:
    """Yield the blocks of a file, which a progress bar counts."""
    with progress_bar(len(file), 0, "row", progress) as bar:

        def counted() -> Iterator[Rows]:
            for rows in file.row_blocks(_rows_at_a_time(file)):
                yield rows
                bar.update(len(rows.ids))

        yield counted()


def _checked(blocks: Iterator[Rows], draft: durable.Draft) -> Iterator[Rows]:
    for rows in blocks:
        yield rows
        draft.check()


def _rows_at_a_time(file: FeatureFile) -> int:
    values = sum(math.prod(file.shape(layer)[1:]) for layer in file.layers)
    return shard_images(values * np.dtype(file.recipe.store).itemsize, 1, len(file))


def _attributes(file: FeatureFile) -> dict[str, Any]:
    return {name: value for name, value in file.attributes.items() if name not in _OWN}
