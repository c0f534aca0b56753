"""What is said of a new image: classes, a set that holds the true one, whether it is familiar."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.predictors.kit import Kit
from pipeline.predictors.parts import hex_digests
from pipeline.results.decisions import decide
from pipeline.results.new_predictions import columns, ranked_columns
from pipeline.statistics import conformal, novelty

if TYPE_CHECKING:
    import pyarrow as pa

    from features.records import Outcome


@dataclass(frozen=True)
class Judge:
    """What is told of images beside their probabilities.

    Attributes:
        class_names: the K classes.
        top: how many of the likeliest classes are named.
        thresholds: of the prediction sets.
        familiarity: what tells unlike images; None where the features are not at hand.
        alarms: the share of images like the known ones that are marked as unlike.
        threshold: between two classes, as `Record.threshold` keeps it; empty for the likeliest.
    """

    class_names: tuple[str, ...]
    top: int
    thresholds: conformal.Thresholds
    familiarity: novelty.Familiarity | None
    alarms: float
    threshold: dict[str, Any]

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
        decided = decide(self.threshold, self.class_names, probabilities, temperature=1.0)
        filled: dict[str, list[Any]] = self._ranked(probabilities, decided)
        sets = self.thresholds.sets(probabilities)
        sets[np.arange(len(sets)), decided] = True
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

    def _ranked(self, probabilities: np.ndarray, decided: np.ndarray) -> dict[str, list[Any]]:
        """Return the class decided for, then the likeliest others, with their probabilities."""
        ranks = -probabilities
        ranks[np.arange(len(ranks)), decided] = -2  # before all others
        order = np.argsort(ranks, axis=1, kind="stable")[:, : self.top]  # (a, top)
        values = np.take_along_axis(probabilities, order, axis=1)
        filled: dict[str, list[Any]] = {}
        for rank, (of, value) in enumerate(ranked_columns(self.top)):
            filled[of] = [self.class_names[k] for k in order[:, rank]]
            filled[value] = values[:, rank].tolist()
        return filled


def judge_of(kit: Kit, top: int, coverage: float, alarms: float) -> Judge:
    """Return what judges the images of a candidate.

    Args:
        kit: the candidate.
        top: how many of the likeliest classes are named, at most.
        coverage: the promised share of prediction sets that hold the true class.
        alarms: the share of images like the known ones that are marked as unlike.
    """
    names = kit.record.class_names
    return Judge(
        names,
        min(top, len(names)),
        kit.evidence.thresholds(len(names), coverage),
        kit.evidence.familiarity(alarms),
        alarms,
        kit.record.threshold,
    )
