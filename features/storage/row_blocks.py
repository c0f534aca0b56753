"""Blocks of rows that are to be written to a feature file, and the space that they need."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from features.storage.hdf5 import encoded

COLUMN_GROUP = "images/column"  # the group of a manifest's further columns

# Reasons for rejections are cut to this length. Some quote the content of a file, and the longest
# text of a dataset sets the width of all.
REASON_CHARACTERS = 300


@dataclass(frozen=True)
class Size:
    """The space that rows need in a file.

    Attributes:
        counts: the number of rows by the group that holds them: "images", "rejected", of an index
            "shards"; and "features" where these are not as many as images.
        widths: the bytes of the longest text by the path of its dataset, at least 1.
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
class Columns:
    """A block of consecutive rows of some datasets, as they are stored.

    Attributes:
        columns: the values by the path of the dataset, texts as utf-8 of dtype S.
    """

    columns: dict[str, np.ndarray]


@dataclass(frozen=True)
class Rows:
    """A block of consecutive rows, and the rejected images between them, which have no row.

    Shapes: features[layer] (n, D) or (n, H, W, C) float32 or float16; ids n strings; digests
    (n, 16) uint8; labels (n,) int32; splits (n,) uint8; rejected holds pairs of id and reason;
    extra[name] has n strings for each further column of the source; notes counts what was guessed
    of images or looks wrong.
    """

    features: dict[str, np.ndarray]
    ids: Sequence[str]
    digests: np.ndarray
    labels: np.ndarray
    splits: np.ndarray
    rejected: Sequence[tuple[str, str]]
    extra: dict[str, Sequence[str]] = field(default_factory=dict)
    notes: dict[str, int] = field(default_factory=dict)

    @property
    def size(self) -> Size:
        """The space that this block needs."""
        counts = {"images": len(self.ids), "rejected": len(self.rejected)}
        texts = {path: values for path, values in self.columns.items() if values.dtype.kind == "S"}
        return Size(counts, {path: values.dtype.itemsize for path, values in texts.items()})

    @property
    def columns(self) -> dict[str, np.ndarray]:
        """Every dataset of this block by its path in the file; DataError if a text has a NUL."""
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
    """Return a reason as it is stored: at most `REASON_CHARACTERS`, all of them valid in utf-8."""
    return (
        reason.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()[:REASON_CHARACTERS]
    )
