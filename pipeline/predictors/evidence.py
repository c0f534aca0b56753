"""What is known of a candidate beside its model: how sure it was, and the images it knows."""

import dataclasses
import io
import logging
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from features.errors import DataError, OffshelfError
from features.sources.npz import read_arrays
from features.text import for_terminal
from pipeline.data.layers import features_of
from pipeline.data.splits import Splits
from pipeline.results import known_images
from pipeline.results.known_images import KnownImages
from pipeline.results.predictions import VALIDATION, Predictions
from pipeline.results.records import CLASSIFIER, Record
from pipeline.statistics import calibration, conformal, novelty

log = logging.getLogger("offshelf")


@dataclass(frozen=True)
class Evidence:
    """What sets and marks rest on.

    Attributes:
        of_true: float32 (R, n): the calibrated probability of the true class of each validated
            image, in each repeat of cross-validation.
        labels: int32 (n,), the true classes.
        groups: int64 (n,), equal for images that are not independent.
        known: float32 (m, D), features of images that were learned from, at most 1 in each, and
            rounded to float16; m is 0 where they are not at hand. Of a network, what its last layer
            takes.
        known_groups: int64 (m,), their groups.
        distances: of a network, which was trained on the known images, float32 (n,): how far each
            validated image was from those that it was validated without; empty for features.
    """

    of_true: np.ndarray
    labels: np.ndarray
    groups: np.ndarray
    known: np.ndarray
    known_groups: np.ndarray
    distances: np.ndarray = field(default_factory=lambda: np.empty(0, np.float32))

    def thresholds(self, classes: int, coverage: float) -> conformal.Thresholds:
        """Return the thresholds of prediction sets; say it where these can promise nothing."""
        thresholds = conformal.fit(self.of_true, self.labels, self.groups, classes, coverage)
        if thresholds.says_nothing:
            log.warning(
                "%d independent images validated, and sets that hold the true class with %.0f %% "
                "need %d: every set holds all classes", thresholds.groups, 100 * coverage,
                conformal.fewest_groups(coverage),
            )  # fmt: skip
        return thresholds

    def familiarity(self, alarms: float) -> novelty.Familiarity | None:
        """Return what tells unlike images, None without features of at least two groups."""
        if len(np.unique(self.known_groups)) < 2:
            return None
        if self.distances.size:
            familiarity = novelty.fit_held_out(self.known, self.distances, self.groups)
        else:
            familiarity = novelty.fit(self.known, self.known_groups)
        if (least := 1 / (1 + familiarity.beyond[0])) > alarms:
            log.warning(
                "no image is marked as unlike those learned from: %d independent ones tell what is "
                "usual, with which --alarms %.3f or more can be kept",
                round(familiarity.beyond[0]), least,
            )  # fmt: skip
        return familiarity

    def to_bytes(self) -> bytes:
        """Return it as an .npz file, whose features are float16."""
        buffer = io.BytesIO()
        np.savez(
            buffer, of_true=self.of_true, labels=self.labels, groups=self.groups,
            known=self.known.astype(np.float16), known_groups=self.known_groups,
            distances=self.distances,
        )  # fmt: skip
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> "Evidence":
        """Read what `to_bytes` returned; raises DataError where it is something else."""
        try:
            evidence = cls(**read_arrays(content))
            _check(evidence)
        except (ValueError, TypeError) as error:
            reason = for_terminal(str(error), 300)
            raise DataError(f"what sets rest on cannot be read: {reason}") from None
        return dataclasses.replace(evidence, known=evidence.known.astype(np.float32))

    def check(self, classes: int, dimensions: int | None) -> None:
        """Raise DataError where it is not that of a candidate.

        Args:
            classes: how many the candidate has.
            dimensions: of the features that it learned from; None for a network.
        """
        if self.labels.size and self.labels.max() >= classes:
            raise DataError(f"what sets rest on names class {self.labels.max()} of {classes}")
        if len(self.known) and dimensions is not None and self.known.shape[1] != dimensions:
            raise DataError(
                f"what marks rest on has {self.known.shape[1]} features, expected {dimensions}"
            )


def _check(evidence: Evidence) -> None:
    """Raise ValueError unless the arrays are of the kinds and shapes that `to_bytes` writes."""
    of_true, labels, known = evidence.of_true, evidence.labels, evidence.known
    images, references = len(labels), len(known)
    kinds = [array.dtype.kind for array in vars(evidence).values()]
    if kinds != ["f", "i", "i", "f", "i", "f"] or not (known.ndim == of_true.ndim == 2):
        raise ValueError(f"arrays of the kinds {kinds}")
    shapes = of_true.shape[1:], labels.shape, evidence.groups.shape, evidence.known_groups.shape
    if shapes != ((images,), (images,), (images,), (references,)) or not len(of_true):
        raise ValueError(f"arrays of the shapes {shapes}")
    if evidence.distances.shape not in ((0,), (images,)):
        raise ValueError(f"distances of shape {evidence.distances.shape}")
    if not ((of_true >= 0) & (of_true <= 1)).all() or labels.min(initial=0) < 0:
        raise ValueError("probabilities or classes that are none")
    if references > novelty.REFERENCES or not (
        np.isfinite(known).all() and np.isfinite(evidence.distances).all()
    ):
        raise ValueError(f"features of {references:,} images, or such that are not finite")


def gather(results: Path, record: Record, features: Path | None) -> Evidence:
    """Collect what a results folder and a feature file know of a candidate.

    Args:
        results: the results folder.
        record: the record of the candidate.
        features: where the feature file lies now, if it has moved.

    Raises:
        DataError: the splits or the predictions on validation cannot be read.
    """
    splits = Splits.read(results)
    predictions = Predictions.read(results / record.name / VALIDATION, record.class_names)
    rows = np.arange(len(predictions.labels))
    of_true = [
        calibration.apply(repeat, record.temperature)[rows, predictions.labels]
        for repeat in predictions.repeats
    ]
    try:
        known = _known(results / record.name, record, splits, features)
    except OffshelfError as error:
        log.warning("images unlike those learned from are not marked: %s", error)
        known = KnownImages.none()
    if known.distances.size not in (0, len(predictions.labels)):
        raise DataError(f"{record.name}: its known images were validated on others; train it again")
    return Evidence(
        np.stack(of_true), predictions.labels, splits.validation_groups,
        known.vectors, known.groups, known.distances,
    )  # fmt: skip


def _known(folder: Path, record: Record, splits: Splits, path: Path | None) -> KnownImages:
    """Return what is known of images that were learned from; raises DataError where nothing is."""
    if record.kind != CLASSIFIER:
        return KnownImages.read(folder, record.known_file)
    rows = known_images.chosen(splits.rest, record.seed)
    features = features_of(record.inputs, [splits.ids[row] for row in rows], path)
    return KnownImages(known_images.compact(features), splits.groups_of(rows))
