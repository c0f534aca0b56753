"""Whether features that are made here today are those that a candidate learned from.

Where a library, the engine or the precision is another than it was, a few of the images that the
feature file holds are extracted again, and the features are compared with the stored ones.
"""

import logging
from contextlib import closing
from pathlib import Path

import numpy as np

from features.errors import DataError, OffshelfError
from features.sources import open_source
from features.sources.base import Subset
from features.store import FeatureFile
from pipeline.config import PredictConfig
from pipeline.predictors.of_images import ImagePredictor
from pipeline.results.records import Record

log = logging.getLogger("offshelf")

IMAGES = 8
# The length of the difference as a share of the features' own, up to which engines of one
# precision differ: measured between OpenVINO, TensorFlow and JAX, with a factor of ten to spare.
TOLERANCES = {"float32": 1e-3, "float16": 2e-2, "bfloat16": 6e-2}


def check_agreement(config: PredictConfig, record: Record, predictor: ImagePredictor) -> None:
    """Say how far features differ from those learned from, where they could.

    Raises:
        DataError: they differ by more than rounding, though engine and precision are the same.
    """
    rebuilt = predictor.rebuilt
    if rebuilt is None or not rebuilt.differences:
        return
    changes = "; ".join(rebuilt.differences)
    path = config.features or Path(record.inputs["file"])
    try:
        worst = _worst_difference(path, record.inputs["layer"], predictor)
    except (OffshelfError, OSError) as error:
        log.warning(
            "what makes the features has changed (%s), and whether they are still the same could "
            "not be checked: %s", changes, error,
        )  # fmt: skip
        return
    allowed = TOLERANCES[rebuilt.recipe.precision]
    said = f"features of {IMAGES} images that were learned from differ by {worst:.1e} at most"
    if worst > allowed and config.engine is config.precision is None:
        raise DataError(
            f"{said}, expected {allowed:.0e} at most; changed since: {changes}; extract and "
            "classify anew, or use the versions of then"
        )
    log.info("%s (changed since: %s)", said, changes)


def _worst_difference(path: Path, layer: str, predictor: ImagePredictor) -> float:
    """Return the largest relative difference of the features of a few images of a feature file."""
    with FeatureFile(path) as file:
        rows = np.unique(np.linspace(0, len(file) - 1, IMAGES).astype(np.int64))
        stored = np.asarray(file.features(layer, rows), np.float32)
        ids, digests = file.ids, file.digests[rows]
        source_path = file.provenance.get("source", "")
    with open_source(source_path) as source:
        numbers = {record.id: record.index for record in source}
        wanted = [numbers.get(ids[row], -1) for row in rows.tolist()]
        if min(wanted) < 0:
            raise DataError(f"{source_path} lacks {ids[rows[int(np.argmin(wanted))]]}")
        order = np.argsort(wanted)
        subset = Subset(source, np.array(wanted)[order])
        with closing(predictor.batches(subset)) as batches:
            made = [(predictor.vectors(b.pixels)[b.accepted], b.outcomes) for b in batches]
    seen = b"".join(outcome.digest for _, outcomes in made for outcome in outcomes)
    if seen != digests[order].tobytes():
        raise DataError(f"the images in {source_path} are others today")
    again = np.concatenate([vectors for vectors, _ in made])
    lengths = np.linalg.norm(stored[order], axis=1)
    return float((np.linalg.norm(again - stored[order], axis=1) / np.maximum(lengths, 1e-12)).max())
