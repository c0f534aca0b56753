"""Images in the plane: who they are, where they lie, and how far that can be trusted."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pipeline.config import MapConfig
from pipeline.data.layers import Layer

TITLES = {"tsne": "t-SNE", "umap": "UMAP"}
LOCKED = "locked"  # the part of the images whose class is not to be looked at


@dataclass(frozen=True)
class CandidatePredictions:
    """What a candidate predicted: int32 (N,), -1 of images that it did not validate on."""

    name: str
    title: str
    predicted: np.ndarray


@dataclass(frozen=True)
class Points:
    """N images of a feature file, in its order.

    Attributes:
        ids: N ids.
        rows: int64 (N,), where they stand in the file.
        labels: int32 (N,), indices into `class_names`; -1 where unlabelled or locked.
        class_names: of the whole file.
        parts: N names, such as "train", "validation", "locked" or "".
        candidates: of a results folder, the best on validation first.
    """

    ids: tuple[str, ...]
    rows: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]
    parts: tuple[str, ...]
    candidates: tuple[CandidatePredictions, ...] = field(default=())

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def locked(self) -> int:
        """How many of them belong to the locked test."""
        return self.parts.count(LOCKED)


@dataclass(frozen=True)
class Quality:
    """One way of laying points out, or the features themselves.

    Attributes:
        title: such as "t-SNE".
        accuracy: share of sampled points, 0 to 1, whose class most of the 10 nearest other points
            with a known class have; None where classes are not known.
        trustworthiness: 0 to 1; 1 where no two points are neighbours that were not so in the
            features. About 0.5 at random. None of the features themselves.
    """

    title: str
    accuracy: float | None
    trustworthiness: float | None


@dataclass(frozen=True)
class Map:
    """Images in the plane.

    Attributes:
        config: what was asked for.
        layer: whose features they are.
        points: who they are.
        coordinates: float32 (N, 2).
        components: how many principal components the method saw.
        share: of the variance that these hold, 0 to 1.
        quality: of the features, of this map, and of the first two components as a map.
        files: that were written.
    """

    config: MapConfig
    layer: Layer
    points: Points
    coordinates: np.ndarray
    components: int
    share: float
    quality: tuple[Quality, ...]
    files: tuple[Path, ...] = ()

    @property
    def title(self) -> str:
        """Method, backbone and layer."""
        return f"{TITLES[self.config.method]} of {self.layer.title}"
