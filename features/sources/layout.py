"""What the names of folders mean: the labels and the splits of the images in them."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from features.errors import UsageError
from features.records import UNLABELLED, Split

_SPLITS = {
    "train": Split.TRAIN,
    "training": Split.TRAIN,
    "validation": Split.VALIDATION,
    "valid": Split.VALIDATION,
    "val": Split.VALIDATION,
    "dev": Split.VALIDATION,
    "test": Split.TEST,
    "testing": Split.TEST,
}
_FILLERS = {"set", "data", "dataset", "images", "image", "imgs", "img", "split", "samples"}
_YEAR = re.compile(r"(?<=[a-z])(19|20)\d\d$")  # train2017
_MOST_SPLITS = 4  # train, validation, test, and one of unlabelled images
_NO_NAMES = {"nan", "none", "null", "na", "n/a", "<na>"}
_NUMBER = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,18})?")


NO_SPLITS: Mapping[str, Split] = MappingProxyType({})


class Layout(NamedTuple):
    """Labels (int32, (N,), -1 unlabelled), splits (uint8, (N,)) and the names of the labels."""

    labels: np.ndarray
    splits: np.ndarray
    class_names: tuple[str, ...]


def lay_out(
    ids: Sequence[str], named: Mapping[str, Split] = NO_SPLITS, without_top: bool = False
) -> Layout:
    """Return labels and splits of images, as `layout` does below folders that hold all of them.

    Only folders are looked at, of which there are few where images are many.

    Args:
        ids: paths relative to the source, with `/` as separator.
        named: as in `layout`.
        without_top: whether a single top folder is passed over where it has no folders, too.

    Raises:
        UsageError: as `layout`.
    """
    known: dict[str, int] = {}
    folders = (path[: path.rfind("/") + 1] for path in ids)
    which = np.fromiter((known.setdefault(f, len(known)) for f in folders), np.int32, len(ids))
    paths = [f"{folder}\0" for folder in known]  # one image stands for all in its folder
    paths = unwrap(paths) if without_top else paths
    inside = below_wrappers(paths, np.bincount(which, minlength=len(paths)))
    labels, splits, class_names = layout(inside, named)
    return Layout(labels[which], splits[which], class_names)


def layout(paths: Sequence[str], named: Mapping[str, Split] = NO_SPLITS) -> Layout:
    """Return labels and splits of images by the folders they lie in.

    The first folder is the class; deeper folders belong to it, and images beside the class folders
    are unlabelled. Where the first folders are splits (train, validation, test and the like; see
    `split_of`), the class is the folder below. They are taken as splits if all of them
    have such names, or at least two different splits occur among them: a class that happens to be
    called "train" is no split. The same holds where the splits lie below the classes.

    Args:
        paths: paths relative to the source, with `/` as separator.
        named: the split of each first folder that is one; if there are any, no name is guessed.

    Raises:
        UsageError: a folder in `named` does not exist.
    """
    folders = {path.partition("/")[0] for path in paths if "/" in path}
    if missing := [folder for folder in named if folder not in folders]:
        raise UsageError(
            f"--splits: there is no folder {missing[0]!r} with images; the folders are "
            f"{', '.join(sorted(folders)) or 'none'}"
        )
    split_in = named.get if named else split_of
    in_splits = bool(named) or _are_splits(folders)
    if not in_splits and (swapped := _with_splits_first(paths)):
        return layout(swapped)
    names: list[str] = []
    splits = np.zeros(len(paths), np.uint8)
    for index, path in enumerate(paths):
        folder, slash, below = path.partition("/")
        if in_splits and slash:
            split = split_in(folder)
            splits[index] = split or Split.NONE
            folder, slash, below = below.partition("/")
            if slash and "/" in below and split and split_of(folder) == split:
                folder, slash, below = below.partition("/")  # train/train/cat
        names.append(folder if slash else "")
    labels, class_names = number_labels(names)
    return Layout(labels, splits, class_names)


def _with_splits_first(paths: Sequence[str]) -> list[str]:
    """Return `train/cat/1.jpg` for `cat/train/1.jpg`, and so on; none where not all are so."""
    if any(path.count("/") < 2 for path in paths):
        return []
    splits = {split_of(name) for name in {path.split("/", 2)[1] for path in paths}}
    if None in splits or len(splits) < 2:
        return []
    parts = (path.split("/", 2) for path in paths)
    return ["/".join([split, label, below]) for label, split, below in parts]


def split_of(name: str) -> Split | None:
    """Return the split that a folder or a field is named after, None where it is none.

    These are train, training, validation, valid, val, dev, test and testing, in upper or lower
    case, also with words around them that say nothing: `training_set`, `TestImages`, `val2017`.
    """
    words = [word.lower() for word in re.findall(r"[A-Z]?[^\W_A-Z]+|[A-Z]+", name)]
    words = [word for word in words if word not in _FILLERS]
    if len(words) != 1:
        return None
    word = _YEAR.sub("", words[0])
    return _SPLITS.get(word, _SPLITS.get(word.removesuffix("set")))


def _are_splits(folders: Iterable[str]) -> bool:
    splits = {split_of(folder) for folder in folders}
    return bool(splits) and (None not in splits or len(splits) > 2)


def unwrap(paths: Sequence[str]) -> list[str]:
    """Return the paths without the top folder that holds all of them, if there is one.

    A top folder that is named like a split stays.
    """
    tops = {path.partition("/")[0] for path in paths}
    if len(tops) == 1 and split_of(tops.pop()) is None:
        below = [path.partition("/")[2] for path in paths]
        return below if all(below) else list(paths)
    return list(paths)


def below_wrappers(paths: Sequence[str], counts: np.ndarray | None = None) -> list[str]:
    """Return the paths without the top folders that hold all of them and have folders below.

    `pets/cat/1.jpg` and `pets/dog/1.jpg` become `cat/1.jpg` and `dog/1.jpg`; `cat/1.jpg` and
    `cat/2.jpg` stay as they are. A top folder that is named like a split stays.

    Args:
        paths: paths relative to the source.
        counts: the number of images that each path stands for; None: one.
    """
    paths = list(paths)
    images = np.ones(len(paths), np.int64) if counts is None else counts
    while True:
        below = unwrap(paths)
        folders = {path.partition("/")[0] for path in below if "/" in path}
        share = images[["/" in path for path in below]].sum() / max(1, images.sum())
        if below == paths or not (share == 1 or (len(folders) > 1 and share > 0.5)):
            return paths
        paths = below


def doubtful_names(classes: Mapping[str, int]) -> list[str]:
    """Return a sentence for each kind of class names that look as if they were none.

    Args:
        classes: the numbers of images by class.
    """
    sentences = [
        f"{count:,} image{' is' if count == 1 else 's are'} of a class called {name!r}; if that "
        "stands for no label, leave the field empty"
        for name, count in classes.items()
        if name.lower() in _NO_NAMES
    ]
    splits = {name: split for name in classes if (split := _split_within(name))}
    if len(set(splits.values())) > 1:
        options = ",".join(f"{split.name.lower()}={name}" for name, split in splits.items())
        sentences.append(
            f"{len(splits)} classes are called like splits of the data ({', '.join(splits)}); if "
            f"they are, say so by --splits {options}"
        )
    elif splits and len(classes) <= _MOST_SPLITS:
        sentences.append(
            f"a class is called like a split of the data ({next(iter(splits))}); if it is one, say "
            "so by --splits, such as --splits train=FOLDER,test=FOLDER"
        )
    spellings = defaultdict(list)
    for name in classes:
        spellings[" ".join(name.casefold().split())].append(name)
    for names in spellings.values():
        if len(names) > 1:
            sentences.append(f"{len(names)} classes differ in case or spaces alone: {names!r:.200}")
    return sentences


def _split_within(name: str) -> Split | None:
    words = re.split(r"[\W_\d]+", name)
    return next((split for word in words if (split := split_of(word))), None)


def number_labels(names: Sequence[str]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Number class names in sorted order, in numerical order where all of them are numbers.

    Names that differ in Unicode's forms alone (NFC, as most systems write; NFD, as macOS does) are
    one name, in NFC.

    Args:
        names: the class of each image, empty where it has none.

    Returns:
        Labels (int32, (N,), -1 where the name is empty) and the distinct names in their order.
    """
    composed = {name: unicodedata.normalize("NFC", name) for name in set(names)}
    distinct = set(composed.values()) - {""}
    if all(_NUMBER.fullmatch(name) for name in distinct):
        class_names = sorted(distinct, key=lambda name: (Decimal(name), name))
    else:
        class_names = sorted(distinct)
    numbers = {"": UNLABELLED} | {name: number for number, name in enumerate(class_names)}
    labels = np.fromiter((numbers[composed[name]] for name in names), np.int32, len(names))
    return labels, tuple(class_names)
