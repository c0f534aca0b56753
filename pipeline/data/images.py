"""The labelled images that candidates learn from, checked before any fit."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from features.errors import DataError, UsageError
from features.records import UNLABELLED
from features.storage.store import FeatureFile
from features.storage.texts import Texts
from pipeline.data.groups import columns_like_groups, groups

log = logging.getLogger("offshelf")


@dataclass(frozen=True)
class Images:
    """The labelled images of a feature file, or of a source, N of them, in its order.

    Attributes:
        ids: N ids.
        labels: int32 (N,), 0 to K - 1.
        class_names: the K names that occur.
        source_splits: uint8 (N,), the source's `features.records.Split` of each.
        groups: int64 (N,), equal for images that must stay together.
        digests: uint8 (N, 16), of each image's bytes.
        rows: int64 (N,), their rows in the file.
        unlabelled: how many images without a label the file holds.
    """

    ids: Sequence[str]
    labels: np.ndarray
    class_names: tuple[str, ...]
    source_splits: np.ndarray
    groups: np.ndarray
    digests: np.ndarray
    rows: np.ndarray
    unlabelled: int


def read_images(path: Path, group_by: str | None) -> Images:
    """Read the ids, labels, splits and groups of a feature file's images, not their features.

    Raises:
        UsageError: `group_by` is no column of the file.
        DataError: the file is incomplete, has no labels, or one class only.
    """
    with FeatureFile(path) as file:
        if not file.attributes.get("complete", False):
            raise DataError(f"{path} is not complete; run `extract` again")
        column = None if group_by is None else file.column(group_by)
        return labelled_images(
            path, file.ids, file.labels, file.class_names, file.splits, file.digests, column
        )


def suggest_groups(path: Path) -> None:
    """Say which columns of a feature file may name images that belong together."""
    with FeatureFile(path) as file:
        columns = {name: file.column(name).tolist() for name in file.columns}
        for name in columns_like_groups(columns, file.labels):
            log.info(
                "column %s has %d values for %d images: if equal ones belong together, such as "
                "those of one patient, --group-by %s keeps them in one split", name,
                len(set(columns[name])), len(file), name,
            )  # fmt: skip


def labelled_images(
    path: Path,
    ids: Sequence[str],
    labels: np.ndarray,
    class_names: Sequence[str],
    source_splits: np.ndarray,
    digests: np.ndarray,
    column: np.ndarray | None,
) -> Images:
    """Return those of n images that have a label; classes that occur are numbered anew, from 0.

    Args:
        path: the file that messages name.
        ids: n ids.
        labels: int (n,), indices into `class_names`; -1 without a label.
        class_names: the classes that labels point to.
        source_splits: uint8 (n,), `features.records.Split` of each.
        digests: uint8 (n, 16), of each image's bytes.
        column: strings (n,); images that are equal in it stay in one split. None: no column.

    Raises:
        DataError: no image has a label, or all are of one class.
    """
    rows = np.flatnonzero(labels != UNLABELLED)
    if not rows.size:
        raise DataError(
            f"{path} has no labels, so there is nothing to learn; take a source with a folder a "
            "class, or a manifest with a column `label`"
        )
    known, codes = np.unique(labels[rows], return_inverse=True)
    names = tuple(class_names[label] for label in known.tolist())
    if len(names) < 2:
        raise DataError(f"{path} has one class only, {names[0]!r}; expected at least two")
    return Images(
        Texts.of(ids)[rows],
        codes.astype(np.int32),
        names,
        source_splits[rows],
        groups(digests[rows], None if column is None else column[rows]),
        digests[rows],
        rows,
        len(labels) - len(rows),
    )


def check_same_images(first: Images, path: Path, other: Images) -> None:
    """Raise UsageError unless another file holds the same images and labels in the same order."""
    if (first.ids, first.class_names) != (other.ids, other.class_names) or not (
        np.array_equal(first.labels, other.labels) and np.array_equal(first.rows, other.rows)
    ):
        raise UsageError(
            f"{path} holds {len(other.ids)} labelled images, but not the {len(first.ids)} of the "
            "first feature file in the same order; classify it with another --out"
        )
    if not np.array_equal(first.digests, other.digests):
        row = int((first.digests != other.digests).any(axis=1).argmax())
        raise UsageError(
            f"{path} was made from other images than the first feature file, such as "
            f"{first.ids[row]}; extract both from the same source"
        )
