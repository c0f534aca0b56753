"""How images are split: seeded, classes in proportion, groups together."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from features.errors import DataError
from features.records import Split
from features.text import plural
from pipeline.data.splits import EXCLUDED, TEST, Splits

# Of the images to learn from: where more would be left out, the source's splits are to be mended.
MOST_EXCLUDED = 0.2


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


def make_splits(
    ids: Sequence[str],
    labels: np.ndarray,
    class_names: tuple[str, ...],
    source_splits: np.ndarray,
    groups: np.ndarray,
    config: SplitConfig,
) -> Splits:
    """Split images so that groups stay together and classes keep their proportions.

    The source's own test split stays the locked one, its own validation split the held-out one.
    Images whose group the source has in a split that is judged, too, are left out of learning.

    Args:
        ids: N ids.
        labels: int32 (N,), 0 to K - 1.
        class_names: K names, each of which occurs.
        source_splits: uint8 (N,), the source's `features.records.Split` of each image.
        groups: int64 (N,), equal for images that must stay in one split.
        config: shares, folds and seed.

    Raises:
        DataError: a class has fewer images (or groups) than there are splits, or the source puts
            many groups on both sides.
    """
    groups = _numbered(groups)
    test, locked = source_splits == Split.TEST, "the source's test split locked away"
    if not test.any():
        count = round(1 / config.test_share)
        _check_classes(labels, groups, count, class_names, lockable=True)
        test = _folds(labels, groups, count, config.seed) == 0
        locked = f"{config.test_share:.0%} locked away"
    excluded = _excluded(groups, test, source_splits == Split.VALIDATION, config)
    rest = np.flatnonzero(~test & ~excluded)
    inner, count, how = _validation(
        labels[rest], source_splits[rest], groups[rest], class_names, config
    )
    folds = np.full((len(inner), len(ids)), TEST, np.int16)
    folds[:, rest], folds[:, excluded] = inner, EXCLUDED
    _check_training(labels, folds, class_names)
    return Splits(ids, labels, class_names, folds, count, f"{how}, {locked}", config.seed, groups)


def _numbered(groups: np.ndarray) -> np.ndarray:
    """Return groups numbered in the order in which they occur, int64 (N,)."""
    _, first, numbers = np.unique(groups, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[numbers].astype(np.int64)


def _excluded(
    groups: np.ndarray, test: np.ndarray, validation: np.ndarray, config: SplitConfig
) -> np.ndarray:
    """Return which images to leave out of learning, bool (N,).

    The locked test must not share a group with anything else, nor the source's own validation
    split, where it is held out, with what trains.

    Raises:
        DataError: they are more than `MOST_EXCLUDED` of the images that are not locked.
    """
    excluded = np.isin(groups, groups[test]) & ~test
    if validation.any() and not config.folds:
        excluded |= np.isin(groups, groups[validation & ~excluded]) & ~validation & ~test
    remaining = int((~test).sum())
    if (count := int(excluded.sum())) > MOST_EXCLUDED * remaining:
        raise DataError(
            f"{count} of {remaining} images to learn from belong to groups that the source's test "
            "or validation split has as well, so that scores would tell what was remembered; "
            "part the source by group, or leave its splits out, so that they are made by group"
        )
    return excluded


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
        _check_classes(labels, groups, folds, class_names)
        repeats = [
            _folds(labels, groups, folds, config.seed + 1 + repeat)
            for repeat in range(config.repeats)
        ]
        return np.stack(repeats), folds, f"{config.repeats} times {folds} folds"
    folds = round(1 / config.validation_share)
    _check_classes(labels, groups, folds, class_names)
    held = _folds(labels, groups, folds, config.seed + 1) == 0
    return np.where(held, 0, 1)[None], 1, f"{config.validation_share:.0%} held out to validate"


def _check_classes(
    labels: np.ndarray, groups: np.ndarray, count: int, class_names: tuple[str, ...],
    lockable: bool = False,
) -> None:  # fmt: skip
    """Raise DataError where a class has fewer images, or groups, than there are shares.

    Args:
        labels: int (n,).
        groups: int (n,).
        count: the shares, each of which needs an image of each class.
        class_names: K names.
        lockable: whether one share is to be locked away, whose size no option changes.
    """
    for label, name in enumerate(class_names):
        if (independent := len(np.unique(groups[labels == label]))) >= count:
            continue
        fewer = f", or ask for --folds {independent}" if independent > 1 and not lockable else ""
        raise DataError(
            f"class {name!r} has {plural(independent, 'independent image')}, expected at least "
            f"{count}, one for each of {count} shares"
            f"{', of which one is locked away' if lockable else ''}; add images of it, or leave it "
            f"out of the source{fewer}"
        )


def _folds(labels: np.ndarray, groups: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Return a fold for each image, int64 (n,): classes in proportion, groups together."""
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    _, numbers, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    # Images without a group are split by themselves, because the search for groups is slow.
    alone = sizes[numbers] == 1
    if np.bincount(labels[alone], minlength=int(labels.max()) + 1).min() < count:
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
    missing = set(range(len(class_names))) - set(labels[folds[0] >= 0].tolist())
    if missing:
        name = class_names[min(missing)]
        raise DataError(f"class {name!r} has images in the test split alone; nothing can learn it")
