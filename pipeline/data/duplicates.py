"""Images that are the same picture, or nearly: kept together by splits, and told where they part.

A test image whose twin was trained on measures memory, not understanding. Equal content is known
by digest; near-duplicates (crops, other colours, the next shot of a burst) by the cosine of
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

from features import durable
from features.errors import DataError
from pipeline.data.neighbours import Neighbours, Search
from pipeline.data.splits import TEST, Splits

if TYPE_CHECKING:
    import pandas

FILE = "duplicates.parquet"
SCHEMA = 1
# Of CIFAR-10's test images and their most similar training images, by ResNet50's last features at
# 224 px, 40 pairs a band were looked at: about 38 showed the same picture or the next shot of it
# from 0.9 on, 34 from 0.88, 29 from 0.86, half of them from 0.84, a quarter from 0.75.
SIMILARITY = 0.88
MOST = 20  # twins listed of an image in each other part: of flat images all are twins of all
LARGEST = 200_000  # images: the search for near ones takes time in proportion to their square

_META = b"offshelf"
# Median cosine, without its sign, of random pairs by last layers: 0.08 to 0.1. By VGG16 at 224 px
# it is 0.11: there only 10 of 23 pairs between 0.88 and 0.9 were the same picture, from 0.9 on most
# were, and 0.91 is asked. In shallow layers, whose features vary together, it is up to 0.3.
_SPREAD = 0.1
_CHECKED = 4 * MOST  # near ones of an image in a part that are looked at closely


@dataclass(frozen=True)
class Duplicates:
    """Images and their twins in other parts.

    Attributes:
        table: pandas, a row for each image and each of its twins, so that a pair has two; most
            similar first. Columns: id, part ("train", "validation", "test" or "fold 3"), twin,
            twin_part, similarity (float32, at most 1), kind ("equal" or "near").
        threshold: the least similarity of near ones: `SIMILARITY`, and more where random pairs
            are more similar than is usual.
        near: whether near ones were looked for; not among more than `LARGEST` images.
        cut: rows left out because their image has `MOST` more similar twins in that part;
            at most so many, as not all of these were looked at closely.
        tests: images in the test part.
    """

    table: "pandas.DataFrame"
    threshold: float
    near: bool
    cut: int
    tests: int

    def summary(self, path: Path) -> str:
        """Return one line that counts them; `path` is where they are listed."""
        line = "no image has a twin in another part"
        if len(self.table):
            kinds = self.table.groupby("id")["kind"].min()  # "equal" comes before "near"
            equal = int((kinds == "equal").sum())
            tests = self.table.loc[self.table["part"] == "test", "id"].nunique()
            line = (
                f"{len(kinds):,} images have a twin in another part ({equal:,} equal, "
                f"{len(kinds) - equal:,} near; {tests:,} of the {self.tests:,} test images), "
                f"listed in {path}"
            )
        if self.cut:
            line += f", the {MOST} most similar of each; up to {self.cut:,} more pairs left out"
        if not self.near:
            line += f"; near ones are not looked for among more than {LARGEST:,} images"
        return line

    def pairs(self, most: int) -> list[dict[str, Any]]:
        """Return the most similar pairs, each once, as dictionaries of the table's columns."""
        found: dict[frozenset[str], dict[str, Any]] = {}
        for row in self.table.to_dict("records"):
            if len(found) == most:
                break
            found.setdefault(frozenset((row["id"], row["twin"])), row)
        return list(found.values())


def groups(digests: np.ndarray, column: np.ndarray | None) -> np.ndarray:
    """Return a number for each image, int64 (N,), equal for images that must not part.

    Images belong together when their content is equal, when they are equal in the column, and
    when a chain of such images joins them.

    Args:
        digests: uint8 (N, 16), of the images' content.
        column: strings (N,); "" stands for a group of its own. None: no column.
    """
    import pandas
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    contents = np.ascontiguousarray(digests).view(f"S{digests.shape[1]}").ravel()
    _, numbers = np.unique(contents, return_inverse=True)
    if column is None:
        return numbers.astype(np.int64)
    names, _ = pandas.factorize(np.asarray(column, dtype=object))
    named = np.flatnonzero(np.asarray(column, dtype=object) != "")
    # Contents and names are the nodes of a graph, and each named image joins two of them.
    start = numbers.max(initial=-1) + 1
    nodes = start + names.max(initial=-1) + 1
    edges = (np.ones(len(named), bool), (numbers[named], start + names[named]))
    _, joined = connected_components(coo_array(edges, shape=(nodes, nodes)), directed=False)
    return joined[numbers].astype(np.int64)


def pairs(splits: Splits, digests: np.ndarray, x: np.ndarray) -> Duplicates:
    """Find images that have a twin in another part; with folds, those of the first repeat.

    Args:
        splits: of N images.
        digests: uint8 (N, 16), of the images' content.
        x: float32 (N, D), finite, may be a memory map; in the order of `splits`.
    """
    contents, near, threshold = groups(digests, None), len(splits) <= LARGEST, SIMILARITY
    found = list(_equal(splits.folds[0], contents))
    if near:
        search = Search(x, splits.rest, splits.seed)
        threshold = _threshold(search.spread())
        found += list(_near(splits, contents, search, threshold))
    first, twin, similarity = (
        np.concatenate([np.empty(0, kind), *(one[column] for one in found)])
        for column, kind in enumerate((np.int64, np.int64, np.float32))
    )
    kept = _most_similar(first, splits.folds[0][twin], similarity)
    cut = sum(one.cut for one in found) + len(first) - len(kept)
    table = _table(splits, contents, first[kept], twin[kept], similarity[kept])
    return Duplicates(table, threshold, near, cut, len(splits.test))


def write(folder: Path, found: Duplicates) -> Path:
    """Write `duplicates.parquet` and return where it is."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    meta = {"schema": SCHEMA, "threshold": found.threshold, "near": found.near, "cut": found.cut,
            "tests": found.tests}  # fmt: skip
    table = pa.Table.from_pandas(found.table, _schema(), preserve_index=False)
    sink = pa.BufferOutputStream()
    pq.write_table(table.replace_schema_metadata({_META: json.dumps(meta)}), sink)
    durable.write(folder / FILE, sink.getvalue().to_pybytes())
    return folder / FILE


def read(folder: Path) -> Duplicates:
    """Read what `write` wrote.

    Raises:
        DataError: the folder has no such file, or it cannot be read as such.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = folder / FILE
    try:
        table = pq.read_table(path)
        meta = json.loads(table.schema.metadata[_META])
        if meta.pop("schema") != SCHEMA:
            raise ValueError("another version wrote it")
        return Duplicates(table.select(_schema().names).cast(_schema()).to_pandas(), **meta)
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise DataError(f"{path} cannot be read: {reason}; run `classify` again") from None


def ids_with_duplicates(folder: Path, part: str) -> frozenset[str]:
    """Return ids of images that a classifier may have known by a twin when it was scored on them.

    Args:
        folder: of the results; where it lists no duplicates, there are none.
        part: "validation": images that validate at some time, with a twin that is not locked
            away. "test": locked images with a twin anywhere else.

    Raises:
        DataError: the list cannot be read.
    """
    if not (folder / FILE).is_file():
        return frozenset()
    table = read(folder).table
    if part == "test":
        chosen = table["part"] == "test"
    else:
        chosen = ~table["part"].isin(["train", "test"]) & (table["twin_part"] != "test")
    return frozenset(table.loc[chosen, "id"])


def without_duplicates(folders: Sequence[Path], part: str, ids: Sequence[str]) -> np.ndarray:
    """Return bool (n,): which of n images are suspects in none of the folders."""
    found = frozenset().union(*(ids_with_duplicates(folder, part) for folder in folders))
    return np.array([image not in found for image in ids], bool)


def _equal(parts: np.ndarray, contents: np.ndarray) -> Iterator[Neighbours]:
    """Yield pairs of images with equal content in different parts, of each content."""
    repeated = np.flatnonzero(np.bincount(contents)[contents] > 1)
    order = repeated[np.argsort(contents[repeated], kind="stable")]
    starts = np.flatnonzero(np.diff(contents[order])) + 1
    for members in np.split(order, starts):
        for part in np.unique(parts[members]):
            first, twins = members[parts[members] != part], members[parts[members] == part]
            listed = twins[:MOST]
            count = len(first) * len(listed)
            yield Neighbours(
                np.repeat(first, len(listed)),
                np.tile(listed, len(first)),
                np.ones(count, np.float32),
                len(first) * len(twins) - count,
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
    """Yield pairs of near-duplicates in different parts, without those of equal content."""
    places = [np.flatnonzero(splits.folds[0] == part) for part in np.unique(splits.folds[0])]
    for rows, columns in permutations(places, 2):
        for first, twin, similarity, cut in search.pairs(rows, columns, threshold, _CHECKED):
            near = contents[first] != contents[twin]
            yield Neighbours(first[near], twin[near], similarity[near], cut)


def _most_similar(first: np.ndarray, part: np.ndarray, similarity: np.ndarray) -> np.ndarray:
    """Return the numbers of the rows to keep: `MOST` of an image and a part of its twins."""
    order = np.lexsort((-similarity, part, first))
    new = np.ones(len(order), bool)
    new[1:] = (np.diff(first[order]) != 0) | (np.diff(part[order]) != 0)
    places = np.arange(len(order))
    rank = places - np.maximum.accumulate(np.where(new, places, 0))
    kept = order[rank < MOST]
    return kept[np.argsort(-similarity[kept], kind="stable")]


def _table(
    splits: Splits,
    contents: np.ndarray,
    first: np.ndarray,
    twin: np.ndarray,
    similarity: np.ndarray,
) -> "pandas.DataFrame":
    import pandas

    ids, parts = np.array(splits.ids, object), _parts(splits)
    equal = contents[first] == contents[twin]
    return pandas.DataFrame(
        {"id": ids[first], "part": parts[first], "twin": ids[twin], "twin_part": parts[twin],
         "similarity": similarity, "kind": np.where(equal, "equal", "near")}
    )  # fmt: skip


def _parts(splits: Splits) -> np.ndarray:
    """Return the name of each image's part, (N,)."""
    names = (
        {0: "validation", 1: "train"}
        if splits.count == 1
        else {fold: f"fold {fold}" for fold in range(splits.count)}
    ) | {TEST: "test"}
    return np.array([names[fold] for fold in splits.folds[0].tolist()], object)


def _schema():  # type: ignore[no-untyped-def]
    import pyarrow as pa

    text = dict.fromkeys(("id", "part", "twin", "twin_part"), pa.string())
    return pa.schema(text | {"similarity": pa.float32(), "kind": pa.string()})
