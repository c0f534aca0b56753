"""What `advise` found: probes of layers, a learning curve, and what to do next."""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.config import AdviseConfig
from pipeline.data.layers import Layer
from pipeline.data.splits import Splits
from pipeline.results.records import versions
from pipeline.results.source_of_features import SourceOfFeatures

SCHEMA = 1
AHEAD = (2, 4)  # times the training rows, to which the learning curve is extended
Z = 1.96  # of a 95 % interval


@dataclass(frozen=True)
class Score:
    """An accuracy on validation, 0 to 1, with its 95 % interval."""

    accuracy: float
    low: float
    high: float

    @property
    def error(self) -> float:
        """Half the interval as a standard error."""
        return (self.high - self.low) / (2 * Z)

    def facts(self) -> dict[str, float]:
        """Return the fields as JSON takes them."""
        return {name: round(value, 4) for name, value in dataclasses.asdict(self).items()}


@dataclass(frozen=True)
class Probe:
    """What a linear model and class means alone make of a layer.

    Distances from the means are in units of each feature's spread within classes. `rows` train in
    a round; `chance` is the share of the largest class among what validates;
    `hits` tells which of these the linear model gets right, bool (V,).
    """

    layer: Layer
    rows: int
    linear: Score
    means: Score
    chance: float
    hits: np.ndarray

    def ahead_of(self, other: "Probe") -> tuple[float, float]:
        """Return by how much accuracy is higher than of another layer, and the standard error.

        Both are judged on the same images, so that those hard for both do not blur it.
        """
        apart = self.hits.astype(float) - other.hits
        return float(apart.mean()), float(apart.std() / math.sqrt(len(apart)))


@dataclass(frozen=True)
class Point:
    """One point of a learning curve: rows that train, and what came of it."""

    rows: int
    score: Score


@dataclass(frozen=True)
class Laws:
    """Laws a n^-b + c for the error, with weights that sum to 1; float64 (L,) each."""

    a: np.ndarray
    b: np.ndarray
    c: np.ndarray
    weights: np.ndarray

    def at(self, rows: int) -> Score:
        """Return the accuracy to be expected of so many rows."""
        accuracy = np.clip(1 - self.a * float(rows) ** -self.b - self.c, 0, 1)
        order = np.argsort(accuracy)
        reached = np.cumsum(self.weights[order])
        low, high = (
            float(accuracy[order][min(np.searchsorted(reached, q), len(order) - 1)])
            for q in (0.025, 0.975)
        )
        mean = float(self.weights @ accuracy)
        return Score(mean, min(low, mean), max(high, mean))

    def mean(self) -> dict[str, float]:
        """Return the weighted means of a, b and c."""
        return {name: float(f"{self.weights @ getattr(self, name):.4g}") for name in "abc"}


@dataclass(frozen=True)
class Distance:
    """A guess of how far a task is from ImageNet, and what it rests on."""

    guess: str
    evidence: tuple[str, ...]


@dataclass(frozen=True)
class Recommendation:
    """A command, and a sentence on why."""

    command: str
    reason: str


@dataclass(frozen=True)
class Findings:
    """All that the advice rests on.

    Attributes:
        origin: of the feature file.
        probes: of its layers, shallow to deep.
        curve: of the best layer.
        laws: fitted to it; None where it is too short.
        distance: from ImageNet.
        images: a class to learn from, on average.
    """

    origin: SourceOfFeatures
    probes: tuple[Probe, ...]
    curve: tuple[Point, ...]
    laws: Laws | None
    distance: Distance
    images: float


@dataclass(frozen=True)
class Advice:
    """What `advise` found.

    Attributes:
        config: what was asked for.
        splits: who trained and who validated.
        findings: the evidence.
        recommendation: the next command, and why.
        file: that was written.
    """

    config: AdviseConfig
    splits: Splits
    findings: Findings
    recommendation: Recommendation
    file: Path

    @property
    def facts(self) -> dict[str, Any]:
        """All of it as `advice.json` has it; equal inputs and seeds give equal facts."""
        found, laws = self.findings, self.findings.laws
        layer = best(found.probes).layer
        curve = [
            {"layer": layer.name, "rows": point.rows, **point.score.facts()}
            for point in found.curve
        ]
        ahead = [] if laws is None else [
            {"layer": layer.name, "rows": rows, **laws.at(rows).facts()} for rows in self.ahead
        ]  # fmt: skip
        return {
            "schema": SCHEMA,
            "features": str(self.config.features),
            "recipe_digest": found.origin.recipe.digest,
            "splits": self.splits.digest,
            "seed": self.config.seed,
            "images_a_class": round(found.images, 1),
            "learning_curve": curve,
            "extrapolation": ahead,
            "power_law": None if laws is None else laws.mean(),
            "layers": [
                {"layer": probe.layer.name, "dimensions": probe.layer.dimensions,
                 "rows": probe.rows, **probe.linear.facts(), "class_means": probe.means.facts()}
                for probe in found.probes
            ],
            "distance": {
                "guess": found.distance.guess, "evidence": [*found.distance.evidence]
            },
            "recommendation": {
                "command": self.recommendation.command, "reason": self.recommendation.reason
            },
            "versions": versions("numpy", "scipy", "scikit-learn"),
        }  # fmt: skip

    @property
    def ahead(self) -> list[int]:
        """Rows to which the curve is extended: all that train, if it ended before, and more."""
        everything = self.splits.smallest
        short = [everything] if self.findings.curve[-1].rows < everything else []
        return short + [times * everything for times in AHEAD]


def best(probes: Sequence[Probe]) -> Probe:
    """Return the probe with the highest accuracy, of equals the deepest."""
    return max(reversed(probes), key=lambda probe: probe.linear.accuracy)
