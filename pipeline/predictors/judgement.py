"""What is said of a new image: classes, a set that holds the true one, whether it is familiar."""

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from features.errors import OffshelfError
from pipeline.config import PredictConfig
from pipeline.data.layers import features_of
from pipeline.data.splits import Splits
from pipeline.predictors.parts import hex_digests
from pipeline.results.new_predictions import columns
from pipeline.results.predictions import VALIDATION, Predictions
from pipeline.results.records import CLASSIFIER, Record
from pipeline.statistics import calibration, conformal, novelty

if TYPE_CHECKING:
    import pyarrow as pa

    from features.records import Outcome

log = logging.getLogger("offshelf")


@dataclass(frozen=True)
class Judge:
    """What was learned from validation and from the images that a candidate knows.

    Attributes:
        class_names: the K classes.
        top: how many of the likeliest classes are named.
        thresholds: of the prediction sets.
        familiarity: what tells unlike images; None where the features are not at hand.
        alarms: the share of images like the known ones that are marked as unlike.
    """

    class_names: tuple[str, ...]
    top: int
    thresholds: conformal.Thresholds
    familiarity: novelty.Familiarity | None
    alarms: float

    def table(
        self,
        ids: list[str],
        outcomes: "list[Outcome]",
        vectors: np.ndarray,
        probabilities: np.ndarray,
    ) -> "pa.Table":
        """Return the rows of some images.

        Args:
            ids: n ids.
            outcomes: n outcomes of loading, a of them accepted.
            vectors: float32 (a, D), of the accepted ones.
            probabilities: float32 (a, K), calibrated.
        """
        import pyarrow as pa

        accepted = np.array([outcome.reason is None for outcome in outcomes], bool)
        filled: dict[str, list[Any]] = self._ranked(probabilities)
        sets = self.thresholds.sets(probabilities)
        filled["set"] = [[self.class_names[k] for k in np.flatnonzero(row)] for row in sets]
        if self.familiarity is not None:
            familiar = self.familiarity.of(vectors)
            filled["familiarity"] = familiar.tolist()
            filled["unlike"] = (familiar <= self.alarms).tolist()
        of_row = np.where(accepted, np.cumsum(accepted) - 1, -1).tolist()
        values: dict[str, list[Any]] = {
            name: [None if row < 0 else column[row] for row in of_row]
            for name, column in filled.items()
        }
        digests = [np.frombuffer(o.digest or bytes(16), np.uint8) for o in outcomes]
        values |= {
            "id": ids,
            "problem": [outcome.reason for outcome in outcomes],
            "digest": hex_digests(np.stack(digests)),
        }
        schema = columns(self.top)
        empty = [None] * len(ids)
        return pa.table({name: values.get(name, empty) for name in schema.names}, schema=schema)

    def _ranked(self, probabilities: np.ndarray) -> dict[str, list[Any]]:
        """Return the likeliest classes and their probabilities, by the names of columns."""
        order = np.argsort(-probabilities, axis=1, kind="stable")[:, : self.top]  # (a, top)
        values = np.take_along_axis(probabilities, order, axis=1)
        filled: dict[str, list[Any]] = {}
        for rank in range(self.top):
            ending = "" if rank == 0 else f"_{rank + 1}"
            filled[f"class{ending}"] = [self.class_names[k] for k in order[:, rank]]
            filled[f"probability{ending}"] = values[:, rank].tolist()
        return filled


def judge(config: PredictConfig, record: Record, splits: Splits) -> Judge:
    """Return what judges the images of a candidate.

    Raises:
        DataError: the predictions of its validation cannot be read.
    """
    predictions = Predictions.read(config.results / record.name / VALIDATION, record.class_names)
    repeats = np.stack(
        [calibration.apply(repeat, record.temperature) for repeat in predictions.repeats]
    )
    thresholds = conformal.fit(
        repeats, predictions.labels, splits.validation_groups, config.coverage
    )
    if thresholds.says_nothing:
        log.warning(
            "%d independent images validated, and sets that hold the true class with %.0f %% need "
            "%d: every set holds all classes", thresholds.groups, 100 * config.coverage,
            conformal.fewest_groups(config.coverage),
        )  # fmt: skip
    top = min(config.top, len(record.class_names))
    familiarity = _familiarity(config, record, splits)
    return Judge(record.class_names, top, thresholds, familiarity, config.alarms)


def _familiarity(
    config: PredictConfig, record: Record, splits: Splits
) -> novelty.Familiarity | None:
    if record.kind != CLASSIFIER:
        log.info("whether images are unlike those learned from is told on features alone")
        return None
    rows = splits.rest
    if len(rows) > novelty.REFERENCES:
        drawn = np.random.default_rng(record.seed).choice(rows, novelty.REFERENCES, replace=False)
        rows = np.sort(drawn)
    groups = rows if splits.groups is None else splits.groups[rows]
    if len(np.unique(groups)) < 2:
        return None
    try:
        features = features_of(record.inputs, [splits.ids[row] for row in rows], config.features)
    except OffshelfError as error:
        log.warning("images unlike those learned from are not marked: %s", error)
        return None
    familiarity = novelty.fit(features, groups)
    if (least := 1 / (1 + familiarity.beyond[0])) > config.alarms:
        log.warning(
            "no image is marked as unlike those learned from: these are %d independent ones, with "
            "which --alarms %.3f or more can be kept", round(familiarity.beyond[0]), least,
        )  # fmt: skip
    return familiarity
