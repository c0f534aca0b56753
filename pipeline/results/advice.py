"""The result of `advise`: probes of layers, a learning curve, and what to do next."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from features.remote.homes import without_home
from pipeline.config import AdviseConfig
from pipeline.data.layers import Layer
from pipeline.data.splits import Splits
from pipeline.results.display import html
from pipeline.results.learning_curve import CurvePoint, PowerLaws, Score, mean_of_groups
from pipeline.results.records import versions
from pipeline.results.source_of_features import SourceOfFeatures

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = 1
AHEAD = (2, 4)  # times the training rows, to which the learning curve is extended


@dataclass(frozen=True)
class Probe:
    """The accuracy that a linear model and class means reach on a layer.

    Attributes:
        layer: the layer.
        rows: training rows of a round.
        linear: the score of a logistic regression.
        means: the score of the nearest class mean, in units of each feature's spread within
            classes.
        chance: the share of the largest class among the validation images, 0 to 1.
        hits: which validation images the logistic regression predicts right, bool (V,).
        groups: int64 (V,), equal for validation images that belong together.
        alike: the mean cosine between the features of two images, -1 to 1.
    """

    layer: Layer
    rows: int
    linear: Score
    means: Score
    chance: float
    hits: np.ndarray
    groups: np.ndarray
    alike: float

    def ahead_of(self, other: "Probe") -> tuple[float, float]:
        """Return how much higher the accuracy is than on another layer, and the standard error.

        Both are scored on the same images, so that images that are hard for both do not blur the
        difference.
        """
        gain, squared, _ = mean_of_groups(self.hits.astype(float) - other.hits, self.groups)
        return gain, math.sqrt(squared)


@dataclass(frozen=True)
class Distance:
    """A guess of how far a task is from ImageNet, and the sentences that it rests on."""

    guess: str
    evidence: tuple[str, ...]


@dataclass(frozen=True)
class Gain:
    """The gain in accuracy that is expected of fine-tuning, 0 to 1, and its range."""

    expected: float
    low: float
    high: float

    def __str__(self) -> str:
        return (
            f"about {100 * self.expected:+.1f} points "
            f"({100 * self.low:+.1f} to {100 * self.high:+.1f})"
        )


@dataclass(frozen=True)
class Cost:
    """How long a command takes on this machine, an estimate.

    Attributes:
        seconds: the time; None where nothing is known of it.
        basis: what the estimate rests on.
        timed: whether it rests on what this run timed itself.
    """

    seconds: float | None
    basis: str
    timed: bool = False


@dataclass(frozen=True)
class Recommendation:
    """A command and a sentence on why, what it costs, and what it is expected to gain.

    Attributes:
        command: the command line.
        reason: why it is the next one.
        cost: how long it takes.
        gain: the gain on a linear model on the best layer; None where it cannot be told.
    """

    command: str
    reason: str
    cost: Cost
    gain: Gain | None = None

    def facts(self) -> dict[str, Any]:
        """Return the fields as JSON holds them; a time that varies between runs is left out."""
        return asdict(self) | {"cost": None if self.cost.timed else asdict(self.cost)}


@dataclass(frozen=True)
class Together:
    """The probe of all layers side by side, and the seconds that it took."""

    probe: Probe
    seconds: float


@dataclass(frozen=True)
class Findings:
    """The evidence that the advice rests on.

    Attributes:
        source: where the feature file comes from.
        probes: the probes of its layers, shallow to deep.
        curve: the learning curve of the best layer.
        laws: the power laws that fit the curve; None where it has too few points.
        distance: the distance from ImageNet.
        images: images for each class that are not locked, on average.
        rounds: training rows of each network of a candidate: of the rounds that validate, and of
            the last fit.
        probe_seconds: how long the probe of the best layer took.
        together: all layers side by side; None where there is one only.
    """

    source: SourceOfFeatures
    probes: tuple[Probe, ...]
    curve: tuple[CurvePoint, ...]
    laws: PowerLaws | None
    distance: Distance
    images: float
    rounds: tuple[int, ...]
    probe_seconds: float
    together: Together | None = None


@dataclass(frozen=True, repr=False)
class Advice:
    """The result of `advise`.

    Attributes:
        config: the settings of `advise`.
        splits: the splits by which images trained and validated.
        findings: the evidence.
        recommendation: the next command, and why.
        file: the JSON file that was written.
    """

    config: AdviseConfig
    splits: Splits
    findings: Findings
    recommendation: Recommendation
    file: Path

    @property
    def facts(self) -> dict[str, Any]:
        """The content of `advice.json`; equal inputs and seeds give equal facts."""
        findings, laws = self.findings, self.findings.laws
        layer = best(findings.probes).layer.name
        curve = [
            {"layer": layer, "rows": point.rows, **point.score.facts()} for point in findings.curve
        ]
        expected = [] if laws is None else [
            {"layer": layer, "rows": rows, **laws.at(rows).facts()} for rows in self.ahead
        ]  # fmt: skip
        return {
            "schema": SCHEMA,
            "features": without_home(self.config.features),
            "recipe_digest": findings.source.recipe.digest,
            "splits": self.splits.digest,
            "seed": self.config.seed,
            "images_a_class": round(findings.images, 1),
            "learning_curve": curve,
            "extrapolation": expected,
            "power_law": None if laws is None else laws.mean(),
            "layers": [
                {"layer": probe.layer.name, "dimensions": probe.layer.dimensions,
                 "rows": probe.rows, **probe.linear.facts(), "class_means": probe.means.facts(),
                 "mean_cosine": round(probe.alike, 4)}
                for probe in findings.probes
            ],
            "together": None if findings.together is None else {
                "dimensions": findings.together.probe.layer.dimensions,
                **findings.together.probe.linear.facts(),
                "class_means": findings.together.probe.means.facts(),
            },
            "distance": asdict(findings.distance) | {"evidence": [*findings.distance.evidence]},
            "recommendation": self.recommendation.facts(),
            "versions": versions("numpy", "scipy", "scikit-learn"),
        }  # fmt: skip

    @property
    def ahead(self) -> list[int]:
        """Rows to which the curve is extended: all that train, where it ended before, and more."""
        everything = self.splits.smallest
        short = [everything] if self.findings.curve[-1].rows < everything else []
        return short + [times * everything for times in AHEAD]

    def frame(self) -> "pd.DataFrame":
        """Return a row for each layer, shallow to deep.

        Returns:
            columns `layer`, `dimensions`, `rows` (that trained), `accuracy` of a linear model with
            its 95 % interval `low` and `high`, and the same of class means as `class_means`,
            `class_means_low` and `class_means_high`; all from 0 to 1.
        """
        import pandas as pd

        rows = []
        for probe in self.findings.probes:
            means = probe.means
            rows.append(
                {"layer": probe.layer.name, "dimensions": probe.layer.dimensions,
                 "rows": probe.rows, **asdict(probe.linear), "class_means": means.accuracy,
                 "class_means_low": means.low, "class_means_high": means.high}
            )  # fmt: skip
        return pd.DataFrame(rows)

    def learning_curve(self) -> "pd.DataFrame":
        """Return the learning curve of the best layer, a row for each number of training rows.

        Returns:
            columns `layer`, `rows`, `accuracy` with its 95 % interval `low` and `high` (0 to 1),
            and `measured`: false where power laws extend the curve.
        """
        import pandas as pd

        findings, layer = self.findings, best(self.findings.probes).layer.name
        points = [(point.rows, point.score, True) for point in findings.curve]
        if findings.laws is not None:
            points += [(rows, findings.laws.at(rows), False) for rows in self.ahead]
        return pd.DataFrame(
            [
                {"layer": layer, "rows": rows, **asdict(score), "measured": measured}
                for rows, score, measured in points
            ]
        )

    def __repr__(self) -> str:
        top = best(self.findings.probes)
        return (
            f"Advice: {self.recommendation.command}\n"
            f"best layer {top.layer.name}, {100 * top.linear.accuracy:.1f} % by a linear probe; "
            f"distance from ImageNet, a guess: {self.findings.distance.guess}"
        )

    def _repr_html_(self) -> str:
        return html(repr(self), self.frame())


def best(probes: Sequence[Probe]) -> Probe:
    """Return the probe with the highest accuracy, of equals the deepest."""
    return max(reversed(probes), key=lambda probe: probe.linear.accuracy)
