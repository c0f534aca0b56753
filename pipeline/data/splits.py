"""Splits into training, validation and locked test: seeded, stratified, kept by image id.

Every candidate of one comparison sees the same `Splits`, whether it reads features or pixels.
Images that belong together (equal content, or one group such as a patient) stay in one split.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import numpy as np

from features.disk import durable
from features.errors import DataError, UsageError
from features.records import DIGEST_BYTES
from features.storage.texts import Texts
from pipeline.data.tables import Table, named_column, text_column

if TYPE_CHECKING:
    import pandas as pd

FILE = "splits.parquet"
TEST = -1  # stands for the fold of locked images
EXCLUDED = -2  # and of images that must not be learned from, as others of their group are judged
SCHEMA = 1
_META = b"offshelf"


@dataclass(frozen=True)
class Splits:
    """The labelled images of a feature file and the split of each.

    Attributes:
        ids: N ids, in the order of the feature file.
        labels: int32 (N,), 0 to K - 1.
        class_names: the K classes that occur.
        folds: int16 (repeats, N): the fold in which an image validates; it trains in all others
            of that repeat. `TEST` for locked images, `EXCLUDED` for those that are left out. With
            one held-out split there is one repeat, fold 0 validates, and fold 1 only trains.
        count: the folds of a repeat that validate: 1 with a held-out split, k with k folds.
        scheme: the way of splitting, in words.
        seed: the seed of the shuffling.
        groups: int64 (N,), equal for images that stay in one split, numbered as they occur; None
            where a file does not say, as those of version 0.2.0: each image is then its own.
    """

    ids: Sequence[str]
    labels: np.ndarray
    class_names: tuple[str, ...]
    folds: np.ndarray
    count: int
    scheme: str
    seed: int
    groups: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def test(self) -> np.ndarray:
        """Positions of the locked images, int64."""
        return np.flatnonzero(self.folds[0] == TEST)

    @cached_property
    def rest(self) -> np.ndarray:
        """Positions of all images to learn from, int64; the last fit is on these."""
        return np.flatnonzero(self.folds[0] >= 0)

    @cached_property
    def excluded(self) -> np.ndarray:
        """Positions of images that are neither learned from nor judged, int64."""
        return np.flatnonzero(self.folds[0] == EXCLUDED)

    def groups_of(self, rows: np.ndarray) -> np.ndarray:
        """Return the groups, int64 (n,), of images by their positions."""
        return rows if self.groups is None else self.groups[rows]

    @cached_property
    def validation_groups(self) -> np.ndarray:
        """The groups of the images in `validated`, int64: what is independent of each other."""
        return self.groups_of(self.validated)

    @cached_property
    def test_groups(self) -> np.ndarray:
        """The groups of the images in `test`, int64."""
        return self.groups_of(self.test)

    @cached_property
    def validated(self) -> np.ndarray:
        """Increasing positions of the images that validate in some fold, int64."""
        return np.flatnonzero((self.folds[0] >= 0) & (self.folds[0] < self.count))

    def ids_of(self, places: np.ndarray) -> Texts:
        """Return the ids of the images at these positions, int64 (n,)."""
        return Texts.of(self.ids)[places]

    def rounds(self, repeats: int | None = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield positions for training and for validation, int64, of each fold of each repeat."""
        for folds in self.folds[:repeats]:
            for fold in range(self.count):
                yield np.flatnonzero((folds >= 0) & (folds != fold)), np.flatnonzero(folds == fold)

    @cached_property
    def smallest(self) -> int:
        """The number of training images in the smallest round."""
        return min(len(train) for train, _ in self.rounds(1))

    @cached_property
    def digest(self) -> str:
        """32 hex digits over all fields; equal for candidates that can be compared."""
        digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
        for block in Texts.of(self.ids).terminated():
            digest.update(block)
        digest.update("\0".join(("", *self.class_names)).encode())
        digest.update(np.ascontiguousarray(self.labels, np.int32).tobytes())
        digest.update(np.ascontiguousarray(self.folds, np.int16).tobytes())
        if self.groups is not None and self.groups.max(initial=-1) + 1 < len(self):
            digest.update(np.ascontiguousarray(self.groups, np.int64).tobytes())
        return digest.hexdigest()

    def counts(self) -> str:
        """Return the number of images in each split, in words."""
        sizes = [f"{len(self.rest)} to learn from ({self.scheme})", f"{len(self.test)} locked away"]
        if self.excluded.size:
            sizes.append(f"{len(self.excluded)} left out, because others of their group are judged")
        return f"{len(self)} images of {len(self.class_names)} classes: " + ", ".join(sizes)

    def frame(self) -> "pd.DataFrame":
        """Return a row for each image, in the feature file's order.

        Returns:
            columns `id`, `label` (the class name; none for images of the locked test), `split`
            ("train", "validation", "train and validation", "test" or "excluded") and for each
            repeat `fold_<repeat>`: the fold in which the image validates, -1 for locked images,
            -2 for excluded ones.
        """
        import pandas as pd

        split = self._split_names()
        names = np.array([*self.class_names, None], object)
        label = names[np.where(self.folds[0] == TEST, -1, self.labels)]
        folds = {f"fold_{repeat}": values for repeat, values in enumerate(self.folds)}
        return pd.DataFrame({"id": list(self.ids), "label": label, "split": split, **folds})

    def write(self, folder: Path) -> Path:
        """Write `splits.parquet`, a row for each image: id, label, part (its split), and folds."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        columns = {
            "id": text_column(self.ids),
            "label": named_column(self.labels, self.class_names),
            "part": pa.array(self._split_names(), pa.string()),
        } | {f"fold_{number}": pa.array(folds) for number, folds in enumerate(self.folds)}
        if self.groups is not None:
            columns["group"] = pa.array(self.groups, pa.int64())
        meta = {"schema": SCHEMA, "class_names": self.class_names, "count": self.count,
                "scheme": self.scheme, "seed": self.seed, "digest": self.digest}  # fmt: skip
        table = pa.table(columns).replace_schema_metadata({_META: json.dumps(meta)})
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink)
        durable.write(folder / FILE, sink.getvalue().to_pybytes())
        return folder / FILE

    def _split_names(self) -> np.ndarray:
        """Return the name of each image's split, str objects (N,), of which few are stored."""
        names = {TEST: "test", EXCLUDED: "excluded"} | (
            {0: "validation", 1: "train"}
            if self.count == 1
            else dict.fromkeys(range(self.count), "train and validation")
        )
        folds = self.folds[0]
        split = np.full(len(folds), "", object)
        for fold in np.unique(folds).tolist():
            split[folds == fold] = names[fold]
        return split

    @classmethod
    def read(cls, folder: Path) -> "Splits":
        """Read the splits that `write` wrote.

        Raises:
            UsageError: the folder holds none.
            DataError: they cannot be read, or have changed since they were written.
        """
        path = folder / FILE
        if not path.is_file():
            raise UsageError(f"{folder} is no results folder: it has no {FILE}; run `classify`")
        table = Table(path, remedy="use another --out")
        meta = table.meta(_META, _Meta, SCHEMA)
        folds = table.numbers([name for name in table.names if name.startswith("fold_")], "i")
        grouped = "group" in table.names
        groups = table.numbers(["group"], "i")[:, 0].astype(np.int64) if grouped else None
        splits = cls(
            table.ids("id"), table.numbered("label", meta.class_names), meta.class_names,
            np.ascontiguousarray(folds.T.clip(-(2**15), 2**15 - 1), np.int16), meta.count,
            meta.scheme, meta.seed, groups,
        )  # fmt: skip
        if problem := _problem(splits):
            raise DataError(f"{path}: {problem}")
        if splits.digest != meta.digest:
            raise DataError(f"{path} has changed since it was written; use another --out")
        return splits


@dataclass(frozen=True)
class _Meta:
    """What the metadata of `splits.parquet` holds."""

    class_names: tuple[str, ...]
    count: Annotated[int, msgspec.Meta(ge=1, lt=2**15)]
    scheme: str
    seed: int
    digest: str


def _problem(splits: Splits) -> str:
    """Return what is wrong with the values of splits, empty where nothing is."""
    folds, last = splits.folds, max(splits.count, 2) - 1
    if Texts.of(splits.ids).repeated():
        return "ids stand there twice"
    if len(set(splits.class_names)) < len(splits.class_names):
        return "names of classes stand there twice"
    if (splits.labels < 0).any():
        return "a label is none of its classes"
    if ((folds < EXCLUDED) | (folds > last)).any():
        return f"a fold is beyond {EXCLUDED} to {last}"
    if (np.where(folds < 0, folds, 0) != np.where(folds[:1] < 0, folds[:1], 0)).any():
        return "an image is locked away or left out in some repeats only"
    return ""
