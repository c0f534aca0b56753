"""Duplicates and near-duplicates: images in different splits that show the same picture.

A test image whose duplicate was trained on measures memory, not understanding. Equal content is
known by digest; near-duplicates (crops, other colours, the next shot of a burst) by the cosine of
mean-centred features, as B. Barz and J. Denzler found those of CIFAR ("Do we train on test data?
Purging CIFAR of near-duplicates", Journal of Imaging 6, 2020, section 3).
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from features.disk import durable
from features.disk.documents import Whole
from features.errors import DataError
from pipeline.data.groups import groups
from pipeline.data.neighbours import Neighbours, Search
from pipeline.data.splits import EXCLUDED, TEST, Splits
from pipeline.data.stored_rows import StoredRows
from pipeline.data.tables import Table

if TYPE_CHECKING:
    import pandas

FILE = "duplicates.parquet"
SCHEMA = 1
# Of CIFAR-10's test images and their most similar training images, by ResNet50's last features at
# 224 px, 40 pairs a band were looked at: about 38 showed the same picture or the next shot of it
# from 0.9 on, 34 from 0.88, 29 from 0.86, half of them from 0.84, a quarter from 0.75.
SIMILARITY = 0.88
MOST = 20  # duplicates listed of an image in each other split: flat images all resemble all
LARGEST = 200_000  # images: the time of the search for near-duplicates grows with their square
SAMPLED = 2000  # images of the locked test, and as many that validate, of which alone near ones
# are looked for among more images, in time that grows with their number

_META = b"offshelf"
# Median cosine, without its sign, of random pairs by last layers: 0.08 to 0.1. By VGG16 at 224 px
# it is 0.11: there only 10 of 23 pairs between 0.88 and 0.9 were the same picture, from 0.9 on most
# were, and 0.91 is asked. In shallow layers, whose features vary together, it is up to 0.3.
_SPREAD = 0.1
_CHECKED = 4 * MOST  # near-duplicates of an image in a split that are looked at closely


@dataclass(frozen=True)
class _Meta:
    """What the metadata of `duplicates.parquet` holds."""

    threshold: float
    near: bool
    cut: Whole
    tests: Whole
    sampled: Whole = 0


@dataclass(frozen=True)
class Duplicates:
    """Images and their duplicates in other splits.

    Attributes:
        table: pandas, a row for each image and each of its duplicates, so that a pair has two;
            the most similar first. Columns, named as in files: id, part (its split: "train",
            "validation", "test" or "fold 3"), twin (the duplicate), twin_part (the split of
            that), similarity (float32, at most 1), kind ("equal" or "near").
        threshold: the least similarity of near-duplicates: `SIMILARITY`, and more where random
            pairs are more similar than is usual.
        near: whether near-duplicates of all images were looked for; not of more than `LARGEST`.
        cut: rows left out because their image has `MOST` more similar duplicates in that split;
            an upper bound, as not all of these were looked at closely.
        tests: images in the test split.
        sampled: the images that are judged of which alone near-duplicates were looked for.
    """

    table: "pandas.DataFrame"
    threshold: float
    near: bool
    cut: int
    tests: int
    sampled: int = 0

    def summary(self, path: Path) -> str:
        """Return one line that counts them; `path` is the file that lists them."""
        line = "no image has a duplicate in another split"
        if len(self.table):
            kinds = self.table.groupby("id")["kind"].min()  # "equal" comes before "near"
            equal = int((kinds == "equal").sum())
            tests = self.table.loc[self.table["part"] == "test", "id"].nunique()
            line = (
                f"{len(kinds):,} images have a duplicate in another split ({equal:,} equal, "
                f"{len(kinds) - equal:,} near; {tests:,} of the {self.tests:,} test images), "
                f"listed in {path}"
            )
        if self.cut:
            line += f", the {MOST} most similar of each; up to {self.cut:,} more pairs left out"
        if not self.near:
            line += (
                f"; near-duplicates were looked for of {self.sampled:,} sampled images that are "
                f"judged, as there are more than {LARGEST:,} images"
            )
        return line

    def pairs(self, most: int) -> list[dict[str, Any]]:
        """Return the most similar pairs, each once, as dictionaries of the table's columns."""
        pairs: dict[frozenset[str], dict[str, Any]] = {}
        for row in self.table.to_dict("records"):
            if len(pairs) == most:
                break
            pairs.setdefault(frozenset((row["id"], row["twin"])), row)
        return list(pairs.values())


def find_duplicates(splits: Splits, digests: np.ndarray, x: np.ndarray | StoredRows) -> Duplicates:
    """Find images that have a duplicate in another split; with folds, in those of the first repeat.

    Args:
        splits: the splits of N images.
        digests: uint8 (N, 16), of the images' content.
        x: features, float32 (N, D), finite, in the order of `splits`; may be a memory map, or
            rows that are read in blocks.
    """
    contents, near = groups(digests, None), len(splits) <= LARGEST
    batches = list(_equal(splits, contents))
    search = Search(x, splits.rest, splits.seed)
    threshold = _threshold(search.spread())
    sampled = np.empty(0, np.int64) if near else _judged(splits)
    if near:
        batches += list(_near(splits, contents, search, threshold))
    else:
        batches += list(_near_sampled(splits, contents, search, threshold, sampled))
    first, second, similarity = (
        np.concatenate([np.empty(0, kind), *(batch[column] for batch in batches)])
        for column, kind in enumerate((np.int64, np.int64, np.float32))
    )
    kept = _most_similar(first, splits.folds[0][second], similarity)
    cut = sum(batch.cut for batch in batches) + len(first) - len(kept)
    table = _table(splits, contents, first[kept], second[kept], similarity[kept])
    return Duplicates(table, threshold, near, cut, len(splits.test), len(sampled))


def write(folder: Path, duplicates: Duplicates) -> Path:
    """Write `duplicates.parquet` into a results folder; return the file's path."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    meta = {"schema": SCHEMA} | {
        name: getattr(duplicates, name) for name in ("threshold", "near", "cut", "tests", "sampled")
    }
    table = pa.Table.from_pandas(duplicates.table, _schema(), preserve_index=False)
    sink = pa.BufferOutputStream()
    pq.write_table(table.replace_schema_metadata({_META: json.dumps(meta)}), sink)
    durable.write(folder / FILE, sink.getvalue().to_pybytes())
    return folder / FILE


def read(folder: Path) -> Duplicates:
    """Read what `write` wrote.

    Raises:
        DataError: the folder has no such file, or it cannot be read as such.
    """
    import pandas

    table = Table(folder / FILE)
    meta = table.meta(_META, _Meta, SCHEMA)
    columns: dict[str, Any] = {
        name: table.texts(name) for name in ("id", "part", "twin", "twin_part", "kind")
    }
    if not set(columns["kind"]) <= {"equal", "near"}:
        raise DataError(f"{table.path}: a kind is neither 'equal' nor 'near'; run `classify` again")
    columns["similarity"] = table.numbers(["similarity"], "f")[:, 0]
    frame = pandas.DataFrame(columns)[_schema().names]
    return Duplicates(frame, meta.threshold, meta.near, meta.cut, meta.tests, meta.sampled)


def near_duplicate_ids(folder: Path, split: str) -> frozenset[str]:
    """Return ids of images that a candidate may have learned from by a duplicate.

    Args:
        folder: the results folder; where it lists no duplicates, there are none.
        split: "validation": validation images with a duplicate that is not locked away; "test":
            locked images with a duplicate anywhere else.

    Raises:
        DataError: the list cannot be read.
    """
    if not (folder / FILE).is_file():
        return frozenset()
    table = read(folder).table
    if split == "test":
        chosen = table["part"] == "test"
    else:
        chosen = ~table["part"].isin(["train", "test"]) & (table["twin_part"] != "test")
    return frozenset(table.loc[chosen, "id"])


def free_of_near_duplicates(folders: Sequence[Path], split: str, ids: Sequence[str]) -> np.ndarray:
    """Return bool (n,): which of n images are among `near_duplicate_ids` of none of the folders."""
    known = frozenset().union(*(near_duplicate_ids(folder, split) for folder in folders))
    return np.array([image not in known for image in ids], bool)


def _equal(splits: Splits, contents: np.ndarray) -> Iterator[Neighbours]:
    """Yield, for each content, pairs of images that have it in different splits."""
    folds = splits.folds[0]
    repeated = np.flatnonzero((np.bincount(contents)[contents] > 1) & (folds != EXCLUDED))
    order = repeated[np.argsort(contents[repeated], kind="stable")]
    starts = np.flatnonzero(np.diff(contents[order])) + 1
    for members in np.split(order, starts):
        for fold in np.unique(folds[members]):
            first, others = members[folds[members] != fold], members[folds[members] == fold]
            listed = others[:MOST]
            count = len(first) * len(listed)
            yield Neighbours(
                np.repeat(first, len(listed)),
                np.tile(listed, len(first)),
                np.ones(count, np.float32),
                len(first) * len(others) - count,
            )


def _threshold(spread: float) -> float:
    """Return the similarity that is as rare as `SIMILARITY` usually is.

    Cosines in fewer independent dimensions spread wider; their inverse hyperbolic tangents spread
    in proportion, as those of correlations do (R. A. Fisher, "Frequency distribution of the values
    of the correlation coefficient", Biometrika 10, 1915).
    """
    return float(np.tanh(np.arctanh(SIMILARITY) * max(1.0, spread / _SPREAD)))


def _near(
    splits: Splits, contents: np.ndarray, search: Search, threshold: float
) -> Iterator[Neighbours]:
    """Yield pairs of near-duplicates in different splits, without those of equal content."""
    folds = splits.folds[0]
    members = [np.flatnonzero(folds == fold) for fold in np.unique(folds[folds != EXCLUDED])]
    for rows, columns in permutations(members, 2):
        for first, second, similarity, cut in search.pairs(rows, columns, threshold, _CHECKED):
            near = contents[first] != contents[second]
            yield Neighbours(first[near], second[near], similarity[near], cut)


def _judged(splits: Splits) -> np.ndarray:
    """Return positions of `SAMPLED` images of the locked test, and of as many that validate."""
    random = np.random.default_rng(splits.seed)
    chosen = [random.permutation(rows)[:SAMPLED] for rows in (splits.test, splits.validated)]
    return np.sort(np.concatenate(chosen))


def _near_sampled(
    splits: Splits, contents: np.ndarray, search: Search, threshold: float, sampled: np.ndarray
) -> Iterator[Neighbours]:
    """Yield pairs as `_near` does, of the sampled images and any others, and both ways."""
    folds, is_sampled = splits.folds[0], np.zeros(len(splits), bool)
    is_sampled[sampled] = True
    first, second, similarity, cut = search.pairs_with_all(sampled, threshold, _CHECKED)
    other = (folds[first] != folds[second]) & (folds[second] != EXCLUDED)
    near = other & (contents[first] != contents[second])
    yield Neighbours(first[near], second[near], similarity[near], cut)
    turned = near & ~is_sampled[second]
    yield Neighbours(second[turned], first[turned], similarity[turned], 0)


def _most_similar(first: np.ndarray, fold: np.ndarray, similarity: np.ndarray) -> np.ndarray:
    """Return the rows to keep, most similar first: `MOST` of an image and a fold of duplicates."""
    order = np.lexsort((-similarity, fold, first))
    new = np.ones(len(order), bool)
    new[1:] = (np.diff(first[order]) != 0) | (np.diff(fold[order]) != 0)
    places = np.arange(len(order))
    rank = places - np.maximum.accumulate(np.where(new, places, 0))
    kept = order[rank < MOST]
    return kept[np.argsort(-similarity[kept], kind="stable")]


def _table(
    splits: Splits,
    contents: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    similarity: np.ndarray,
) -> "pandas.DataFrame":
    import pandas

    names = _split_names(splits)
    equal = contents[first] == contents[second]
    return pandas.DataFrame(
        {"id": splits.ids_of(first).tolist(), "part": names[first],
         "twin": splits.ids_of(second).tolist(), "twin_part": names[second],
         "similarity": similarity, "kind": np.where(equal, "equal", "near")}
    )  # fmt: skip


def _split_names(splits: Splits) -> np.ndarray:
    """Return the name of each image's split, (N,)."""
    names = (
        {0: "validation", 1: "train"}
        if splits.count == 1
        else {fold: f"fold {fold}" for fold in range(splits.count)}
    ) | {TEST: "test", EXCLUDED: "excluded"}
    folds = splits.folds[0]
    split = np.full(len(folds), "", object)
    for fold in np.unique(folds).tolist():
        split[folds == fold] = names[fold]
    return split


def _schema():  # type: ignore[no-untyped-def]
    import pyarrow as pa

    text = dict.fromkeys(("id", "part", "twin", "twin_part"), pa.string())
    return pa.schema(text | {"similarity": pa.float32(), "kind": pa.string()})
