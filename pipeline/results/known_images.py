"""Images that a candidate learned from, as it sees them: what new ones are compared with.

A network keeps `known.npz`, because nothing else tells how it sees the images of its training. A
classifier needs none: its feature file does.
"""

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from features.errors import DataError
from pipeline.results import array_files
from pipeline.statistics import novelty

FILE = "known.npz"


@dataclass(frozen=True)
class KnownImages:
    """What is kept of images that were learned from.

    Attributes:
        vectors: float32 (m, D), of these images, as `compact` returns them.
        groups: int64 (m,), equal for images that are not independent.
        distances: float32 (V,): of each validated image to the nearest images that its network was
            trained on, from `novelty.distances_to`; empty where vectors were not learned from them.
    """

    vectors: np.ndarray
    groups: np.ndarray
    distances: np.ndarray = field(default_factory=lambda: np.empty(0, np.float32))

    @classmethod
    def none(cls) -> "KnownImages":
        """Return what is known where nothing is."""
        return cls(np.empty((0, 0), np.float32), np.empty(0, np.int64))

    def write(self, folder: Path) -> dict[str, Any]:
        """Write `known.npz` durably; return {"file", "bytes", "sha256"} for the record."""
        content = io.BytesIO()
        vectors = self.vectors.astype(np.float16)
        np.savez(content, vectors=vectors, groups=self.groups, distances=self.distances)
        return array_files.write(folder / FILE, content.getvalue())

    @classmethod
    def read(cls, folder: Path, facts: dict[str, Any]) -> "KnownImages":
        """Read what `write` wrote.

        Args:
            folder: the candidate's.
            facts: `Record.known_file`.

        Raises:
            DataError: there is none, or it has changed or cannot be read.
        """
        if not facts:
            raise DataError(
                f"{folder.name} was trained by a version that kept none of them; train it again "
                "with --restart"
            )
        path = folder / FILE
        known = array_files.read(path, facts, "train the network again", cls._of)
        vectors = known.vectors
        if (
            vectors.ndim != 2
            or known.groups.shape != vectors.shape[:1]
            or known.distances.ndim != 1
        ):
            raise DataError(f"{path} holds other shapes than those of known images")
        if not (np.isfinite(vectors).all() and np.isfinite(known.distances).all()):
            raise DataError(f"{path} holds numbers that are not finite")
        return known

    @classmethod
    def _of(cls, arrays: dict[str, np.ndarray]) -> "KnownImages":
        vectors = np.asarray(arrays["vectors"], np.float32)
        return cls(vectors, arrays["groups"], arrays["distances"])


def chosen(rows: np.ndarray, seed: int) -> np.ndarray:
    """Return rows, increasing int64, or a random choice where there are more than are looked at."""
    if len(rows) <= novelty.REFERENCES:
        return rows
    drawn = np.random.default_rng(seed).choice(rows, novelty.REFERENCES, replace=False)
    return np.sort(drawn)


def compact(vectors: np.ndarray) -> np.ndarray:
    """Return vectors, float32 (m, D), at most 1 in each, and rounded so that float16 holds them."""
    largest = np.abs(vectors).max(axis=1, keepdims=True, initial=np.float32(1e-30))
    return (vectors / largest).astype(np.float16).astype(np.float32)
