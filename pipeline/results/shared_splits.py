"""The splits of a results folder: made once, then shared by all its candidates."""

import dataclasses
import logging
from collections.abc import Callable
from pathlib import Path

from features.errors import UsageError
from features.remote.mirror import put_up
from pipeline.data import duplicates
from pipeline.data.images import Images
from pipeline.data.splits import FILE, Splits
from pipeline.data.splitting import SplitConfig, make_splits
from pipeline.results.records import Record, discard, finished_records

log = logging.getLogger("offshelf")


def load_or_make_splits(out: Path, images: Images, folds: int | None, seed: int) -> Splits:
    """Return the splits of these images; a folder without splits gets them.

    Where no number of folds is asked for, a folder keeps the one that it has.

    Args:
        out: the results folder.
        images: all labelled images.
        folds: the number of folds that is asked for, if any.
        seed: of the splits.

    Raises:
        UsageError: the folder has other splits.
        DataError: a class has too few images.
    """
    if not (out / FILE).exists():
        splits = _make(images, folds, seed)
        splits.write(out)
        put_up(out)  # before any work, so that no two machines begin with different ones
        return splits
    before = Splits.read(out)
    kept = folds is None and before.count > 1
    splits = _make(images, before.count if kept else folds, seed)
    if before.groups is None:  # version 0.2.0 did not keep groups
        splits = dataclasses.replace(splits, groups=None)
    if before.digest != splits.digest:
        raise UsageError(
            f"{out} was made from other images or with other --folds, --group-by or --seed "
            f"({before.counts()}; now {splits.counts()}); choose another --out, or --restart to "
            "throw its candidates away (those of this command; remove others by hand)"
        )
    if kept and before.count != SplitConfig.few_folds:
        log.info("%s keeps its %d folds", out, before.count)
    return splits


def _make(images: Images, folds: int | None, seed: int) -> Splits:
    return make_splits(
        images.ids, images.labels, images.class_names, images.source_splits, images.groups,
        SplitConfig(folds=folds, seed=seed),
    )  # fmt: skip


def discard_candidates(out: Path, which: Callable[[Record], bool]) -> None:
    """Remove candidates, and with the last one the splits and the list of duplicates."""
    discard(out, which)
    if not finished_records(out):
        (out / FILE).unlink(missing_ok=True)
        (out / duplicates.FILE).unlink(missing_ok=True)
