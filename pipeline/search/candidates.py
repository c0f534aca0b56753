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
from pipeline.data.layers import Layer, parts_of
from pipeline.data.splits import Splits
from pipeline.results.records import (
    CLASSIFIER,
    SCHEMA,
    Record,
    candidates,
    finished_records,
    versions,
)
from pipeline.search.memory import Memory
from pipeline.statistics.scoring import CLASS_WISE

log = logging.getLogger("offshelf")

NETWORKS = ("keras", "tensorflow", "jax", "torch")  # what a dense head may run on
_PACKAGES = ("numpy", "scipy", "scikit-learn", "scikit-learn-intelex")
IN_BLOCKS = "in blocks"  # how rows were read, in keys
_MORE = 1.5  # times the memory make another sample worth while: what is free varies
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
    splits: Splits, memory: Memory,
) -> list[PlannedCandidate]:  # fmt: skip
    """Return a candidate for each classifier on each layer."""
    return [
        PlannedCandidate(
            memory.adapted(classifier, layer.dimensions), layer,
            _key(config, layer, classifier, splits, memory),
        )
        for layer in layers
        for classifier in classifiers
    ]  # fmt: skip


def _key(
    config: ClassifyConfig, layer: Layer, classifier: Classifier, splits: Splits, memory: Memory
) -> str:
    """Return the digest of everything that decides a candidate's result.

    How many rows a sample has is not in it: `_may_improve` knows when there may be more.
    """
    # The digest of an analyst's own holds its space, whose values need not be written alike twice.
    members = () if classifier.own else (classifier, *classifier.fallbacks)
    searched = [[member.name, member.space, member.default] for member in members]
    inputs = [SCHEMA, classifier.name, layer.title, layer.digest, splits.digest, config.metric,
              config.tune, config.seed, classifier.digest, searched,
              deciding_versions(classifier)]  # fmt: skip
    inputs += [IN_BLOCKS] if memory.by_blocks else []
    return blake2b(json.dumps(inputs, default=repr).encode()).hex()


def deciding_versions(classifier: Classifier) -> dict[str, str]:
    """Return the versions of the installed libraries that can change a candidate's numbers."""
    packages = (*_PACKAGES, *(NETWORKS if classifier.needs else ()))
    return {name: number for name, number in versions(*packages).items() if name in packages}


def unfinished(
    config: ClassifyConfig, planned: Sequence[PlannedCandidate], memory: Memory
) -> list[PlannedCandidate]:
    """Return the candidates that the results folder does not hold yet.

    Raises:
        UsageError: the folder holds candidates of the same layer from other features.
    """
    known = candidates(config.out) if finished_records(config.out) else {}
    _check_features(config, planned, known)
    finished = {
        record.key for record in known.values() if not _may_improve(record, config.budget, memory)
    }
    remaining = [candidate for candidate in planned if candidate.key not in finished]
    if count := len(planned) - len(remaining):
        log.info("%d of %d candidates are finished already", count, len(planned))
    _tell_changes(config, remaining, [record for record in known.values() if record.key], memory)
    return remaining


def _tell_changes(
    config: ClassifyConfig,
    remaining: Sequence[PlannedCandidate],
    known: Sequence[Record],
    memory: Memory,
) -> None:
    """Say in one line why candidates that are there already are fitted again."""
    planned = {(candidate.layer.title, candidate.classifier.name): candidate
               for candidate in remaining}  # fmt: skip
    changes: dict[str, None] = {}
    count = 0
    for record in known:
        layer = f"{record.inputs.get('backbone')}.{record.inputs.get('layer')}"
        candidate = planned.get((layer, record.requested))
        if record.kind == CLASSIFIER and candidate and candidate.key != record.key:
            count += 1
            changes |= dict.fromkeys(_changes(config, record, candidate.classifier, memory))
    if count:
        each = "candidate is" if count == 1 else "candidates are"
        log.info("%d %s fitted again, because of %s", count, each, "; ".join(changes))


def _changes(
    config: ClassifyConfig, record: Record, classifier: Classifier, memory: Memory
) -> list[str]:
    """Return what differs between a record and what would be made now, in words."""
    changes = [
        f"{name} {number}, which was {record.versions[name]}"
        for name, number in deciding_versions(classifier).items()
        if record.versions.get(name, number) != number
    ]
    if record.metric != config.metric:
        changes.append(f"the metric {config.metric}, which was {record.metric}")
    if record.seed != config.seed:
        changes.append(f"the seed {config.seed}, which was {record.seed}")
    if bool(record.memory) != memory.by_blocks:
        now = "do not fit into memory now" if memory.by_blocks else "fit into memory now"
        changes.append(f"features that {now} (--memory)")
    if not record.trials_file:
        changes.append("an older version of Offshelf, which kept less of the search")
    return changes or ["other settings to search"]


def _check_features(
    config: ClassifyConfig, planned: Sequence[PlannedCandidate], known: dict[str, Record]
) -> None:
    layers = {candidate.layer.title: candidate.layer for candidate in planned}
    for name, record in known.items():
        layer = layers.get(f"{record.inputs.get('backbone')}.{record.inputs.get('layer')}")
        if layer and record.inputs["content"] != layer.digest:
            raise UsageError(
                f"{config.out} holds {name} from another feature file "
                f"({parts_of(record.inputs)[0]['file']}); "
                "choose another --out, or --restart to throw its candidates away"
            )


def _may_improve(record: Record, budget: float | None, memory: Memory) -> bool:
    """Tell whether a candidate was reduced for lack of time or memory, and now there is more."""
    if not record.reason:
        return False
    longer = record.budget is not None and (budget is None or budget > record.budget)
    return longer or 0 < _MORE * record.memory < memory.limit
