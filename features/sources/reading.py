"""How a source was read: what was found in it, what was passed over, what lies there unread."""

import logging
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from features.disk import documents
from features.disk.documents import Whole
from features.records import UNLABELLED, Split
from features.text import for_terminal

log = logging.getLogger("offshelf")

_NAMED_CLASSES, _NAMED_KINDS, _NAMED_UNREAD = 5, 8, 5  # further ones are counted
_NAME_WIDTH = 40  # characters of a name that are shown


@dataclass(frozen=True)
class Reading:
    """What was made of a source.

    Attributes:
        classes: number of images by class name, in the order of the labels.
        splits: number of images by split: "train", "validation", "test", and "none" where an
            image belongs to no split.
        unlabelled: number of images without a label.
        passed_over: number of files that are no images that can be read, by kind: a suffix such
            as ".heic", or what the file is.
        not_read: names of files, arrays and columns that hold labels or look like it, and lie in
            the source unread.
        warnings: what was guessed, repaired or looks wrong, a whole sentence each.
    """

    classes: dict[str, Whole] = field(default_factory=dict)
    splits: dict[str, Whole] = field(default_factory=dict)
    unlabelled: Whole = 0
    passed_over: dict[str, Whole] = field(default_factory=dict)
    not_read: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def images(self) -> int:
        """The number of images."""
        return sum(self.classes.values()) + self.unlabelled

    def sentence(self) -> str:
        """Return one line without the warnings: 'found 1,200 images of 2 classes (cat 600, ...'."""
        clauses = [f"found {_plural(self.images, 'image')}{self._classes()}{self._splits()}"]
        clauses.append(f"unlabelled {self.unlabelled:,}")
        if self.passed_over:
            ranked = sorted(self.passed_over.items(), key=lambda kind: (-kind[1], kind[0]))
            kinds = [f"{count:,} {for_terminal(kind, _NAME_WIDTH)}" for kind, count in ranked]
            total = _plural(sum(self.passed_over.values()), "file")
            clauses.append(f"passed over {total}: {_listed(kinds, _NAMED_KINDS)}")
        if self.not_read:
            names = [for_terminal(name, _NAME_WIDTH) for name in self.not_read]
            clauses.append(f"not read: {_listed(names, _NAMED_UNREAD)}")
        return "; ".join(clauses)

    def _classes(self) -> str:
        if not self.classes:
            return ""
        counts = [
            f"{for_terminal(name, _NAME_WIDTH)} {count:,}" for name, count in self.classes.items()
        ]
        number = _plural(len(counts), "class", "classes")
        return f" of {number} ({_listed(counts, _NAMED_CLASSES)})"

    def _splits(self) -> str:
        if not self.splits.keys() - {"none"}:
            return ""
        counts = [
            f"{'no split' if name == 'none' else name} {count:,}"
            for name, count in self.splits.items()
        ]
        head, last = counts[:-1], counts[-1]
        return f" in {', '.join(head)} and {last}" if head else f" in {last}"

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON can hold them."""
        return asdict(self) | {"not_read": list(self.not_read), "warnings": list(self.warnings)}

    @classmethod
    def from_dict(cls, values: Any, where: str = "the reading") -> "Reading":
        """Rebuild what `to_dict` gave; raises DataError, whose message begins with `where`."""
        return documents.convert(values, cls, where)


def log_reading(reading: Reading) -> None:
    """Say in one line how a source was read, and what was guessed or looks wrong in a line each."""
    log.info("%s", reading.sentence())
    for warning in reading.warnings:
        log.warning("%s", warning)


def report_notes(notes: dict[str, int]) -> None:
    """Warn of what was guessed of images that were taken, or looks wrong; as in `Rows.notes`."""
    for sentence in note_sentences(notes):
        log.warning("%s", sentence)


def note_sentences(notes: dict[str, int]) -> list[str]:
    """Return "2 images are transparent everywhere" for each note, as in `Rows.notes`."""
    return [
        f"{count:,} image{' is' if count == 1 else 's are'} {note}" for note, count in notes.items()
    ]


def count_images(
    labels: np.ndarray, splits: np.ndarray, class_names: tuple[str, ...]
) -> tuple[dict[str, int], dict[str, int], int]:
    """Return the numbers of images by class and by split, and of those without a label.

    Args:
        labels: int32, (N,), indices into `class_names` or -1.
        splits: uint8, (N,), codes of `Split`.
        class_names: the names of the labels.
    """
    labelled = labels[labels != UNLABELLED]
    counts = np.bincount(labelled, minlength=len(class_names)).tolist()
    by_split = np.bincount(splits, minlength=len(Split)).tolist()
    order = (*(split for split in Split if split), Split.NONE)
    in_splits = {split.name.lower(): by_split[split] for split in order if by_split[split]}
    return (
        dict(zip(class_names, counts, strict=True)),
        in_splits,
        len(labels) - len(labelled),
    )


def _plural(count: int, noun: str, nouns: str = "") -> str:
    return f"{count:,} {noun if count == 1 else nouns or noun + 's'}"


def _listed(texts: list[str], shown: int) -> str:
    further = len(texts) - shown
    return ", ".join(texts[:shown]) + (f" and {further:,} more" if further > 0 else "")
