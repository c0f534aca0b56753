"""What a feature file holds, and whether it is as it was written."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from features.sources.reading import Reading
from pipeline.results.display import html

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class StoredLayer:
    """One layer of a feature file: the shape of a row, the pooling and the dtype."""

    name: str
    shape: tuple[int, ...]
    pooling: str
    dtype: str


@dataclass(frozen=True)
class ClassCount:
    """The images of one class, by split; `label` is None for unlabelled images."""

    label: str | None
    images: dict[str, int]


@dataclass(frozen=True, repr=False)
class Inspection:
    """What a feature file holds.

    Attributes:
        path: the feature file.
        images: the number of rows.
        facts: where the features come from: source, backbone, weights, pixels, engine, versions.
        layers: the layers, shallow to deep.
        splits: the splits that occur, "none" for images without one.
        classes: the images of each class that occurs, by split.
        columns: the number of distinct values of each column of the manifest.
        rejected: id and reason of each image that gave no row.
        problems: what is no longer as it was written, one line each; empty if all checks passed.
        reading: how the source was read; None in files of Offshelf 0.2.
        notes: the numbers of images of which something was guessed or looks wrong, by what it is.
    """

    path: Path
    images: int
    facts: dict[str, Any]
    layers: tuple[StoredLayer, ...]
    splits: tuple[str, ...]
    classes: tuple[ClassCount, ...]
    columns: dict[str, int]
    rejected: tuple[tuple[str, str], ...]
    problems: tuple[str, ...]
    reading: Reading | None = None
    notes: dict[str, int] = field(default_factory=dict)

    def frame(self) -> "pd.DataFrame":
        """Return a row for each class, with the number of its images in each split."""
        import pandas as pd

        rows = [{"class": count.label, **count.images} for count in self.classes]
        return pd.DataFrame(rows, columns=["class", *self.splits])

    def total(self, split: str) -> int:
        """Return the number of images in a split."""
        return sum(count.images[split] for count in self.classes)

    def __repr__(self) -> str:
        layers = _counted(len(self.layers), "layer")
        rejected, problems = len(self.rejected), len(self.problems)
        checks = _counted(problems, "problem") if problems else "every check passed"
        return (
            f"Inspection({str(self.path)!r}): {_counted(self.images, 'image')} through "
            f"{self.facts['backbone']}, {layers}, {rejected} rejected, {checks}"
        )

    def _repr_html_(self) -> str:
        return html(repr(self), self.frame())


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"
