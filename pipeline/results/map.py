"""A map: images in the plane, and how far their neighbourhoods can be trusted."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from features.storage.texts import Texts
from pipeline.config import MapConfig
from pipeline.data.layers import Layer
from pipeline.results.display import html

if TYPE_CHECKING:
    import pandas as pd

TITLES = {"tsne": "t-SNE", "umap": "UMAP"}
LOCKED = "locked"  # the split of images whose class must not be shown


@dataclass(frozen=True)
class CandidatePredictions:
    """Classes that a candidate predicted: int32 (N,), -1 for images outside validation."""

    name: str
    title: str
    predicted: np.ndarray


@dataclass(frozen=True)
class Points:
    """N images of a feature file, in its order.

    Attributes:
        ids: N ids.
        rows: int64 (N,), their rows in the file.
        labels: int32 (N,), indices into `class_names`; -1 where unlabelled or locked.
        class_names: the classes of the whole file.
        splits: N names, such as "train", "validation", "locked" or "".
        candidates: the candidates of a results folder, the best on validation first.
    """

    ids: Sequence[str]
    rows: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]
    splits: tuple[str, ...]
    candidates: tuple[CandidatePredictions, ...] = field(default=())

    def __len__(self) -> int:
        return len(self.ids)

    def subset(self, places: np.ndarray) -> "Points":
        """Return some of the images, int64 (n,), increasing."""
        splits = np.array(self.splits, object)[places]
        candidates = tuple(
            replace(candidate, predicted=candidate.predicted[places])
            for candidate in self.candidates
        )
        return Points(
            Texts.of(self.ids)[places], self.rows[places], self.labels[places], self.class_names,
            tuple(splits.tolist()), candidates,
        )  # fmt: skip

    @property
    def locked(self) -> int:
        """How many of them belong to the locked test."""
        return self.splits.count(LOCKED)


@dataclass(frozen=True)
class Quality:
    """The quality of a layout, or of the features themselves.

    Attributes:
        title: the name of the layout, such as "t-SNE".
        accuracy: the share of sampled points, 0 to 1, whose class is that of most of their 10
            nearest points with a known class; None where no classes are known.
        trustworthiness: 0 to 1; 1 where all neighbours in the layout are neighbours in the
            features, about 0.5 at random. None for the features themselves.
    """

    title: str
    accuracy: float | None
    trustworthiness: float | None


@dataclass(frozen=True, repr=False)
class Map:
    """Images in the plane.

    Attributes:
        config: the settings of `map`.
        layer: the layer of the features.
        points: the images.
        coordinates: float32 (N, 2), x and y of each image.
        components: the number of principal components that the method was given.
        share: the share of the variance that these hold, 0 to 1.
        quality: the quality of the features, of this map, and of the first two components as a
            map.
        files: the files that were written: the page or picture, and the coordinates as CSV.
        laid_out: int64 (n,), which images were laid out, where they were too many: the others were
            placed among them, and these alone are drawn. None: all.
        total: the images of the map of which this one has those that are drawn; 0: it has all.
    """

    config: MapConfig
    layer: Layer
    points: Points
    coordinates: np.ndarray
    components: int
    share: float
    quality: tuple[Quality, ...]
    files: tuple[Path, ...] = ()
    laid_out: np.ndarray | None = None
    total: int = 0

    @property
    def drawn(self) -> "Map":
        """The map of those images that are drawn."""
        if self.laid_out is None:
            return self
        return replace(
            self, points=self.points.subset(self.laid_out), laid_out=None, total=len(self.points),
            coordinates=self.coordinates[self.laid_out],
        )  # fmt: skip

    @property
    def sampled(self) -> str:
        """What was laid out and drawn, where that is a sample of the images; else empty."""
        total = self.total or len(self.points)
        laid_out = len(self.points) if self.laid_out is None else len(self.laid_out)
        if laid_out == total:
            return ""
        return (
            f"a stratified sample of {laid_out:,} of {total:,} images was laid out and is drawn; "
            "the others were placed among it"
        )

    @property
    def title(self) -> str:
        """Method, backbone and layer."""
        return f"{TITLES[self.config.method]} of {self.layer.title}"

    def frame(self) -> "pd.DataFrame":
        """Return a row for each image, in the order of the feature file.

        Returns:
            columns `id`, `x`, `y`, `class` (missing where unlabelled or locked) and `split`
            ("train", "validation", "train and validation", "locked" or "").
        """
        import pandas as pd

        points = self.points
        names = np.array([*points.class_names, None], object)  # -1 takes the last
        return pd.DataFrame(
            {
                "id": list(points.ids),
                "x": self.coordinates[:, 0],
                "y": self.coordinates[:, 1],
                "class": names[points.labels],
                "split": list(points.splits),
            }
        )

    def __repr__(self) -> str:
        quality = self.quality[1]
        return (
            f"Map of {len(self.points):,} images: {self.title}, trustworthiness "
            f"{quality.trustworthiness:.3f}{'; ' if self.sampled else ''}{self.sampled}\n"
            f"written: {', '.join(map(str, self.files))}"
        )

    def _repr_html_(self) -> str:
        return html(repr(self), self.frame())
