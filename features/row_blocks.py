"""Rows on their way to a feature file, and the room that they take there."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from features.hdf5 import encoded

COLUMN_GROUP = "images/column"  # the further columns of a manifest

# A reason for a rejection is cut to so many characters. Some repeat what stands in a file, and a
# single long one would widen all of them.
REASON_CHARACTERS = 300


@dataclass(frozen=True)
class Size:
    """The room that rows take in a file.

    Attributes:
        counts: number of rows by the group that holds them, "images" and "rejected".
        widths: bytes of the longest text by the path of its dataset, at least 1.
    """

    counts: dict[str, int]
    widths: dict[str, int]

    @classmethod
    def of_all(cls, sizes: Iterable["Size"]) -> "Size":
        """Return the size of several blocks together."""
        counts: Counter[str] = Counter()
        widths: dict[str, int] = {}
        for size in sizes:
            counts.update(size.counts)
            for path, width in size.widths.items():
                widths[path] = max(width, widths.get(path, 1))
        return cls(dict(counts), widths)


@dataclass(frozen=True)
class Rows:
    """A block of consecutive rows, and the images among them that gave none.

    Shapes: features[layer] (n, D) or (n, H, W, C) float32 or float16; ids n strings; digests
    (n, 16) uint8; labels (n,) int32; splits (n,) uint8; rejected holds pairs of id and reason;
    extra[name] has n strings for each further column of the source.
    """

    features: dict[str, np.ndarray]
    ids: Sequence[str]
    digests: np.ndarray
    labels: np.ndarray
    splits: np.ndarray
    rejected: Sequence[tuple[str, str]]
    extra: dict[str, Sequence[str]] = field(default_factory=dict)

    @property
    def size(self) -> Size:
        """The room that this block takes."""
        counts = {"images": len(self.ids), "rejected": len(self.rejected)}
        texts = {path: values for path, values in self.columns.items() if values.dtype.kind == "S"}
        return Size(counts, {path: values.dtype.itemsize for path, values in texts.items()})

    @property
    def columns(self) -> dict[str, np.ndarray]:
        """Every dataset of this block by its path in the file; DataError for a text with a NUL."""
        columns = {f"features/{layer}": values for layer, values in self.features.items()}
        columns |= {
            "images/id": encoded(self.ids),
            "images/digest": self.digests,
            "images/label": self.labels,
            "images/split": self.splits,
            "rejected/id": encoded([image for image, _ in self.rejected]),
            "rejected/reason": encoded([reason for _, reason in self.rejected]),
        }
        return columns | {
            f"{COLUMN_GROUP}/{name}": encoded(texts) for name, texts in self.extra.items()
        }


def shortened(reason: str) -> str:
    """Return a reason as it is stored: at most `REASON_CHARACTERS`, all of which utf-8 can hold."""
    return (
        reason.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()[:REASON_CHARACTERS]
    )
