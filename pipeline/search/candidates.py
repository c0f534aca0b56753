"""The candidates of a run: each a classifier on a layer, with a key that decides on reuse."""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from features.errors import UsageError
from features.records import blake2b
from pipeline.classifiers.base import Classifier
from pipeline.config import ClassifyConfig
from pipeline.data.layers import Layer
from pipeline.data.splits import Splits
from pipeline.results.records import SCHEMA, Record, candidates, finished_records
from pipeline.statistics.scoring import CLASS_WISE

log = logging.getLogger("offshelf")

UNEQUAL = 3  # times as many images of the largest class as of the smallest


@dataclass(frozen=True)
class PlannedCandidate:
    """A classifier to be fitted on a layer; equal keys lead to equal results."""

    classifier: Classifier
    layer: Layer
    key: str

    @property
    def title(self) -> str:
        """Its name in messages."""
        return f"{self.layer.title}.{self.classifier.name}"


def suited(classifiers: Sequence[Classifier], splits: Splits, metric: str) -> list[Classifier]:
    """Return the classifiers with the search spaces that suit the images and the metric.

    Settings that need more training rows than there are go; class weights are searched where rare
    classes matter: by a metric that counts classes alike, or where classes differ in size by more
    than `UNEQUAL`.
    """
    sizes = np.bincount(splits.labels[splits.rest], minlength=len(splits.class_names))
    fewest = min(len(train) for train, _ in splits.rounds())
    cut = [classifier.cut_to(fewest) for classifier in classifiers]
    if metric in CLASS_WISE or sizes.max() > UNEQUAL * sizes.min():
        return [classifier.with_class_weights() for classifier in cut]
    return cut


def plan(
    config: ClassifyConfig, layers: Sequence[Layer], classifiers: Sequence[Classifier],
    splits: Splits,
) -> list[PlannedCandidate]:  # fmt: skip
    """Return a candidate for each classifier on each layer."""
    return [
        PlannedCandidate(classifier, layer, _key(config, layer, classifier, splits))
        for layer in layers
        for classifier in classifiers
    ]


def _key(config: ClassifyConfig, layer: Layer, classifier: Classifier, splits: Splits) -> str:
    """Return the digest of everything that decides a candidate's result."""
    inputs = [SCHEMA, classifier.name, layer.title, layer.digest, splits.digest, config.metric,
              config.tune, config.seed, *filter(None, [classifier.digest])]  # fmt: skip
    return blake2b(json.dumps(inputs).encode()).hex()


def unfinished(
    config: ClassifyConfig, planned: Sequence[PlannedCandidate]
) -> list[PlannedCandidate]:
    """Return the candidates that the results folder does not hold yet.

    Raises:
        UsageError: the folder holds candidates of the same layer from other features.
    """
    known = candidates(config.out) if finished_records(config.out) else {}
    _check_features(config, planned, known)
    finished = {record.key for record in known.values() if not _may_improve(record, config.budget)}
    remaining = [candidate for candidate in planned if candidate.key not in finished]
    if count := len(planned) - len(remaining):
        log.info("%d of %d candidates are finished already", count, len(planned))
    return remaining


def _check_features(
    config: ClassifyConfig, planned: Sequence[PlannedCandidate], known: dict[str, Record]
) -> None:
    layers = {candidate.layer.title: candidate.layer for candidate in planned}
    for name, record in known.items():
        layer = layers.get(f"{record.inputs.get('backbone')}.{record.inputs.get('layer')}")
        if layer and record.inputs["content"] != layer.digest:
            raise UsageError(
                f"{config.out} holds {name} from another feature file ({record.inputs['file']}); "
                "choose another --out, or --restart to throw its candidates away"
            )


def _may_improve(record: Record, budget: float | None) -> bool:
    """Tell whether a candidate was reduced for lack of time, and now there is more time."""
    return (
        bool(record.reason)
        and record.budget is not None
        and (budget is None or budget > record.budget)
    )
