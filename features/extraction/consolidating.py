"""A feature file in the other layout, or made of several: one file, or an index and its shards."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from features.disk import durable
from features.disk.locks import locked
from features.errors import UsageError
from features.extraction.joining import JoinedFiles
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
from features.storage.sharded import MOST_SHARDS

log = logging.getLogger("offshelf")

_OTHER = {SINGLE: SHARDED, SHARDED: SINGLE}

Content = CheckedFile | JoinedFiles


def consolidate(
    sources: Path | Sequence[Path], out: Path, layout: str | None = None, progress: bool = True
) -> Path:
    """Write a feature file in another layout, equal to the old one in every dataset, or join some.

    A block of rows is held in memory at a time. Everything that is read is compared with its
    digests, and the new file appears when all of it is there.

    Args:
        sources: a feature file, a path or a URL; or several that differ in nothing but their
            images, whose rows follow each other in the new file.
        out: the feature file to write, a path or a URL; of one in shards the index.
        layout: "single" or "sharded"; None takes that which `sources` does not have, and of
            several "sharded" where one has it.
        progress: whether to show a progress bar.

    Returns:
        `out`.

    Raises:
        UsageError: the file has that layout already, one has no rows, there is something at
            `out`, another process writes to it, or an extraction to it is not finished.
        DataError: one is damaged, or `out` cannot be written; or files cannot be joined, as they
            differ in their settings or an id is in two of them.
    """
    paths = sources if isinstance(sources, Sequence) else [sources]
    with telling_repeats(), ExitStack() as stack:
        files = [stack.enter_context(CheckedFile(path)) for path in paths]
        _check_rows(files)
        _check_place(out)
        content: Content = files[0] if len(files) == 1 else JoinedFiles(files)
        wanted = layout or (content.layout if len(files) > 1 else _OTHER[content.layout])
        if len(files) == 1 and content.layout == wanted:
            raise UsageError(
                f"{content.path} has --layout {wanted} already; there is nothing to be done"
            )
        stack.enter_context(locked(partial_folder(out)))
        index.discard_left(partial_folder(out), out)
        copy = _to_shards if wanted == SHARDED else _to_one_file
        copy(content, out, progress)
        if isinstance(content, JoinedFiles):
            log.info("joined %d files of %d images", len(files), content.recipe.source["count"])
    return out


def _check_rows(files: Sequence[CheckedFile]) -> None:
    for file in files:
        if not len(file):
            raise UsageError(f"{file.path} has no rows, and stays as it is")


def _check_place(out: Path) -> None:
    outputs.check_remote(out)
    durable.prepare_folder(outputs.working_path(out).parent)
    if out.exists():
        raise UsageError(f"{out} is there already; choose another --out, or remove it")
    if origin_of(out) == "":
        raise UsageError(
            f"an extraction to {out} has begun and is not finished; give its command again, or "
            "choose another --out"
        )


def _to_one_file(file: Content, out: Path, progress: bool) -> None:
    local, scratch = outputs.working_path(out), partial_folder(out)
    advice = f"nothing was written to {out}; the same command begins again"
    with (
        saying_how_to_go_on(lambda: advice),
        _copied(file, progress) as blocks,
        writing(local),
        durable.replacing(local, scratch=scratch) as draft,
    ):
        writer.write(draft, _checked(blocks, draft), file.size, file.copied_attributes())
    hdf5_guard.vouch(local)
    outputs.upload(local, out)
    discard_shards(out)  # of a copy the other way that was stopped


class _Copies(Shards):
    """The shards of a copy: each has the rows of a block that is copied, and is known by these."""

    def __init__(self, content: Content, out: Path) -> None:
        step = _rows_at_a_time(content)
        self._blocks_of_rows = [(a, b) for a, b in content.ranges(step) if a < b]
        if (count := len(self._blocks_of_rows)) > MOST_SHARDS:
            raise UsageError(
                f"{count:,} shards, expected at most {MOST_SHARDS:,}; join fewer files, or choose "
                "--layout single"
            )
        super().__init__(out, content.recipe, len(content), step, origin=content.origin)

    def ranges(self) -> Iterator[tuple[int, int]]:
        return iter(self._blocks_of_rows)


def _to_shards(file: Content, out: Path, progress: bool) -> None:
    shards = _Copies(file, out)
    shards.resume(restart=origin_of(out) != file.origin)

    def advice() -> str:
        return f"{len(shards.sizes)} shards are kept in {shards.place}; the same command goes on"

    with saying_how_to_go_on(advice), _copied(file, progress) as blocks:
        filled = (rows for rows in blocks if len(rows.ids))
        for (start, stop), rows in zip(shards.ranges(), filled, strict=True):
            if start not in shards.sizes:
                shards.write(start, stop, rows)
    with saying_how_to_go_on(advice):
        shards.assemble(out, file.copied_attributes(), SHARDED)


@contextmanager
def _copied(file: Content, progress: bool) -> Iterator[Iterator[Rows]]:
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


def _rows_at_a_time(file: Content) -> int:
    return shard_images(file.row_bytes, 1, len(file))
