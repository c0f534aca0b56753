"""Splits into training, validation and locked test: seeded, stratified, kept by image id.

Every candidate of one comparison sees the same `Splits`, whether it reads features or pixels.
Images that belong together (equal content, or one group such as a patient) stay in one split.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from features import durable
from features.errors import DataError, UsageError
from features.records import DIGEST_BYTES, Split

if TYPE_CHECKING:
    import pandas as pd

FILE = "splits.parquet"
TEST = -1  # stands for the fold of locked images
SCHEMA = 1
_META = b"offshelf"


@dataclass(frozen=True)
class SplitConfig:
    """Settings of the splits.

    Attributes:
        test_share: the share that is locked away, where the source has no test split of its own.
        validation_share: the share of the rest that validates, where the source has no validation
            split and `folds` is None: as usual with CIFAR-10, 40,000 to 10,000.
        folds: the folds of cross-validation; None takes `few_folds` for fewer than `few` images,
            else one held-out split.
        repeats: the repeats of cross-validation, each with folds of its own.
        few: the number of images that are not locked, below which `few_folds` holds.
        few_folds: the folds of cross-validation for few images.
        seed: the seed of the shuffling.
    """

    test_share: float = 0.2
    validation_share: float = 0.2
    folds: int | None = None
    repeats: int = 2
    few: int = 2000
    few_folds: int = 5
    seed: int = 0


@dataclass(frozen=True)
class Splits:
    """The labelled images of a feature file and the split of each.

    Attributes:
        ids: N ids, in the order of the feature file.
        labels: int32 (N,), 0 to K - 1.
        class_names: the K classes that occur.
        folds: int16 (repeats, N): the fold in which an image validates; it trains in all others
            of that repeat. `TEST` for locked images. With one held-out split there is one repeat,
            fold 0 validates, and fold 1 only trains.
        count: the folds of a repeat that validate: 1 with a held-out split, k with k folds.
        scheme: the way of splitting, in words.
        seed: the seed of the shuffling.
    """

    ids: tuple[str, ...]
    labels: np.ndarray
    class_names: tuple[str, ...]
    folds: np.ndarray
    count: int
    scheme: str
    seed: int

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def test(self) -> np.ndarray:
        """Positions of the locked images, int64."""
        return np.flatnonzero(self.folds[0] == TEST)

    @cached_property
    def rest(self) -> np.ndarray:
        """Positions of all images that are not locked, int64; the last fit is on these."""
        return np.flatnonzero(self.folds[0] != TEST)

    @cached_property
    def validated(self) -> np.ndarray:
        """Increasing positions of the images that validate in some fold, int64."""
        return np.flatnonzero((self.folds[0] >= 0) & (self.folds[0] < self.count))

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
        digest.update("\0".join((*self.ids, "", *self.class_names)).encode())
        digest.update(np.ascontiguousarray(self.labels, np.int32).data.cast("B"))
        digest.update(np.ascontiguousarray(self.folds, np.int16).data.cast("B"))
        return digest.hexdigest()

    def counts(self) -> str:
        """Return the number of images in each split, in words."""
        sizes = [f"{len(self.rest)} to learn from ({self.scheme})", f"{len(self.test)} locked away"]
        return f"{len(self)} images of {len(self.class_names)} classes: " + ", ".join(sizes)

    def frame(self) -> "pd.DataFrame":
        """Return a row for each image, in the feature file's order.

        Returns:
            columns `id`, `label` (the class name; none for images of the locked test), `split`
            ("train", "validation", "train and validation" or "test") and for each repeat
            `fold_<repeat>`: the fold in which the image validates, -1 for locked images.
        """
        import pandas as pd

        split = self._split_names()
        label = [
            None if name == "test" else self.class_names[number]
            for number, name in zip(self.labels.tolist(), split, strict=True)
        ]
        folds = {f"fold_{repeat}": values for repeat, values in enumerate(self.folds)}
        return pd.DataFrame({"id": list(self.ids), "label": label, "split": split, **folds})

    def write(self, folder: Path) -> Path:
        """Write `splits.parquet`, a row for each image: id, label, part (its split), and folds."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        columns = {
            "id": pa.array(self.ids, pa.string()),
            "label": pa.array([self.class_names[label] for label in self.labels], pa.string()),
            "part": pa.array(self._split_names(), pa.string()),
        } | {f"fold_{number}": pa.array(folds) for number, folds in enumerate(self.folds)}
        meta = {"schema": SCHEMA, "class_names": self.class_names, "count": self.count,
                "scheme": self.scheme, "seed": self.seed, "digest": self.digest}  # fmt: skip
        table = pa.table(columns).replace_schema_metadata({_META: json.dumps(meta)})
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink)
        durable.write(folder / FILE, sink.getvalue().to_pybytes())
        return folder / FILE

    def _split_names(self) -> list[str]:
        names = {TEST: "test"} | (
            {0: "validation", 1: "train"}
            if self.count == 1
            else dict.fromkeys(range(self.count), "train and validation")
        )
        return [names[fold] for fold in self.folds[0].tolist()]

    @classmethod
    def read(cls, folder: Path) -> "Splits":
        """Read the splits that `write` wrote.

        Raises:
            UsageError: the folder holds none.
            DataError: they cannot be read, or have changed since they were written.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = folder / FILE
        if not path.is_file():
            raise UsageError(f"{folder} is no results folder: it has no {FILE}; run `classify`")
        try:
            table = pq.read_table(path)
            meta = json.loads(table.schema.metadata[_META])
            names = tuple(meta["class_names"])
            numbers = {name: number for number, name in enumerate(names)}
            folds = [table[name] for name in table.column_names if name.startswith("fold_")]
            splits = cls(
                tuple(table["id"].to_pylist()),
                np.array([numbers[name] for name in table["label"].to_pylist()], np.int32),
                names,
                np.stack([fold.to_numpy() for fold in folds]).astype(np.int16),
                *(meta[key] for key in ("count", "scheme", "seed")),
            )
        except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
            raise DataError(f"{path} cannot be read: {str(error).partition(chr(10))[0]}") from None
        if splits.digest != meta.get("digest"):
            raise DataError(f"{path} has changed since it was written; use another --out")
        return splits


def make_splits(
    ids: tuple[str, ...],
    labels: np.ndarray,
    class_names: tuple[str, ...],
    source_splits: np.ndarray,
    groups: np.ndarray,
    config: SplitConfig,
) -> Splits:
    """Split images so that groups stay together and classes keep their proportions.

    The source's own test split stays the locked one, its own validation split the held-out one.

    Args:
        ids: N ids.
        labels: int32 (N,), 0 to K - 1.
        class_names: K names, each of which occurs.
        source_splits: uint8 (N,), the source's `features.records.Split` of each image.
        groups: int64 (N,), equal for images that must stay in one split.
        config: shares, folds and seed.

    Raises:
        DataError: a class has fewer images (or groups) than there are splits.
    """
    test, locked = source_splits == Split.TEST, "the source's test split locked away"
    if not test.any():
        test = _folds(labels, groups, round(1 / config.test_share), config.seed, class_names) == 0
        locked = f"{config.test_share:.0%} locked away"
    rest = np.flatnonzero(~test)
    inner, count, how = _validation(
        labels[rest], source_splits[rest], groups[rest], class_names, config
    )
    folds = np.full((len(inner), len(ids)), TEST, np.int16)
    folds[:, rest] = inner
    _check_training(labels, folds, class_names)
    return Splits(ids, labels, class_names, folds, count, f"{how}, {locked}", config.seed)


def _validation(
    labels: np.ndarray,
    source_splits: np.ndarray,
    groups: np.ndarray,
    class_names: tuple[str, ...],
    config: SplitConfig,
) -> tuple[np.ndarray, int, str]:
    """Return folds (repeats, n) of the images that are not locked, folds a repeat, and words."""
    own = source_splits == Split.VALIDATION
    if own.any() and not config.folds:
        return np.where(own, 0, 1)[None], 1, "the source's validation split held out"
    if folds := config.folds or (config.few_folds if len(labels) < config.few else 0):
        repeats = [
            _folds(labels, groups, folds, config.seed + 1 + repeat, class_names)
            for repeat in range(config.repeats)
        ]
        return np.stack(repeats), folds, f"{config.repeats} times {folds} folds"
    folds = round(1 / config.validation_share)
    held = _folds(labels, groups, folds, config.seed + 1, class_names) == 0
    return np.where(held, 0, 1)[None], 1, f"{config.validation_share:.0%} held out to validate"


def _folds(
    labels: np.ndarray, groups: np.ndarray, count: int, seed: int, class_names: tuple[str, ...]
) -> np.ndarray:
    """Return a fold for each image, int64 (n,): classes in proportion, groups together."""
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    for label, name in enumerate(class_names):
        if (independent := len(np.unique(groups[labels == label]))) < count:
            raise DataError(
                f"class {name!r} has {independent} independent images, expected at least {count}, "
                f"one for each of {count} splits; add images, leave the class out, or ask for "
                "fewer --folds"
            )
    _, numbers, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    # Images without a group are split by themselves, because the search for groups is slow.
    alone = sizes[numbers] == 1
    if np.bincount(labels[alone], minlength=len(class_names)).min() < count:
        alone[:] = False
    folds = numbers % count  # for groups that are too few to be stratified
    if alone.any():
        _place(StratifiedKFold(count, shuffle=True, random_state=seed), labels, None, alone, folds)
    if np.bincount(labels[~alone], minlength=1).max() >= count <= len(np.unique(numbers[~alone])):
        splitter = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
        _place(splitter, labels, numbers, ~alone, folds)
    return folds


def _place(
    splitter: Any,
    labels: np.ndarray,
    groups: np.ndarray | None,
    rows: np.ndarray,
    folds: np.ndarray,
) -> None:
    """Write the fold of each image of the mask `rows` into `folds`."""
    places = np.flatnonzero(rows)
    rounds = splitter.split(places, labels[places], None if groups is None else groups[places])
    for fold, (_, held) in enumerate(rounds):
        folds[places[held]] = fold


def _check_training(labels: np.ndarray, folds: np.ndarray, class_names: tuple[str, ...]) -> None:
    """Raise DataError where the source's own splits leave a class without training images."""
    missing = set(range(len(class_names))) - set(labels[folds[0] != TEST].tolist())
    if missing:
        name = class_names[min(missing)]
        raise DataError(f"class {name!r} has images in the test split alone; nothing can learn it")
