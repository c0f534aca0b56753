"""The advise stage: a feature file in, what to do next out; the locked test is never touched."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from features import durable
from features.errors import UsageError
from pipeline.config import AdviseConfig
from pipeline.evaluation import guidance, inputs, powerlaw, probes
from pipeline.evaluation.guidance import Findings, Recommendation
from pipeline.evaluation.inputs import Images
from pipeline.evaluation.origin import Origin
from pipeline.evaluation.progress import Bar
from pipeline.evaluation.records import versions
from pipeline.evaluation.splits import FILE as SPLITS
from pipeline.evaluation.splits import SplitConfig, Splits, make_splits

SCHEMA = 1
JSON = "advice.json"
AHEAD = (2, 4)  # times the training rows, to which the learning curve is extended
RESULTS = Path("results")  # that commands name, unless a folder is given


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
        layer = guidance.best(found.probes).layer
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

    @property
    def text(self) -> str:
        """All of it for a terminal."""
        from pipeline.reports import advice

        return advice.text(self)


def run(config: AdviseConfig) -> Advice:
    """Probe the layers of a feature file, extend the learning curve, and say what to do next.

    Raises:
        UsageError: an unknown column, or a results folder with the splits of other images.
        DataError: the file is incomplete, damaged, unlabelled or of one class only; a class has
            too few images; or the advice cannot be written.
    """
    images = inputs.images(config.features, config.group_by)
    layers = inputs.layers(config.features, (inputs.ALL,))
    splits = _splits(config, images)
    origin = Origin.of(config.features, config.out or RESULTS)
    file = _place(config)
    with Bar(len(layers) + len(probes.SHARES), config.progress, "step") as bar:
        probed = []
        for layer in layers:
            bar.begin(layer.name)
            probed.append(probes.probe(layer, images, splits, config.seed))
            bar.end()
        bar.begin("learning curve")
        top, curve = guidance.best(probed).layer, []
        for point in probes.learning_curve(top, images, splits, config.seed, bar.say):
            curve.append(point)
            bar.end()
    findings = Findings(
        origin, tuple(probed), tuple(curve), powerlaw.fit(curve),
        guidance.distance(probed, origin.pretrained), len(splits.rest) / len(splits.class_names),
    )  # fmt: skip
    advice = Advice(config, splits, findings, guidance.recommend(findings), file)
    durable.write(file, (json.dumps(advice.facts, indent=1) + "\n").encode())
    return advice


def _splits(config: AdviseConfig, images: Images) -> Splits:
    """Return the splits that `classify` would make, or those that the results folder has."""
    if config.out and (config.out / SPLITS).is_file():
        there = Splits.read(config.out)
        if (there.ids, there.class_names) != (images.ids, images.class_names):
            raise UsageError(
                f"{config.out} holds the splits of other images than {config.features}; choose "
                "another --out"
            )
        return there
    return make_splits(
        images.ids, images.labels, images.class_names, images.parts, images.groups,
        SplitConfig(folds=config.folds, seed=config.seed),
    )  # fmt: skip


def _place(config: AdviseConfig) -> Path:
    """Return the file to write, whose folder is there."""
    out = config.out or config.features.parent
    durable.prepare_folder(out)
    return out / (JSON if config.out else f"{config.features.stem}.{JSON}")
