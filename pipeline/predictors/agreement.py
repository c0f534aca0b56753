"""Whether features that are made here today are those that a candidate learned from.

A pack brings what its network made of drawn images. In a results folder, where a library, the
engine or the precision is another than it was, a few of the images that the feature file holds are
extracted again, and the features are compared with the stored ones.
"""

import logging
from contextlib import closing
from pathlib import Path

import numpy as np

from features.config import INT8
from features.errors import DataError, OffshelfError
from features.sources import open_source
from features.sources.base import Subset
from features.storage.store import FeatureFile
from pipeline.data.layers import features_of, file_of, parts_of
from pipeline.predictors.kit import Kit
from pipeline.predictors.of_images import ImagePredictor
from pipeline.predictors.probe import IMAGES, Probe, drawn_images

log = logging.getLogger("offshelf")

# The length of the difference as a share of the features' own that is taken for rounding: engines
# of one precision differed by a tenth of it.
TOLERANCES = {"float32": 1e-3, "float16": 2e-2, "bfloat16": 6e-2, INT8: 6e-2}


def check_agreement(
    kit: Kit, predictor: ImagePredictor, features: Path | None = None, chosen: bool = False
) -> None:
    """Say how far features differ from those learned from, where they could.

    Args:
        kit: the candidate.
        predictor: the candidate, ready to look at images.
        features: where the feature file lies now, if it has moved.
        chosen: whether another engine or precision was asked for: a difference is said only.

    Raises:
        DataError: they differ by more than rounding.
    """
    lines = [line for rebuilt in predictor.rebuilt for line in rebuilt.differences]
    changes = "; ".join(dict.fromkeys(lines))
    if kit.probe is None and not changes:
        return
    try:
        made, known = (
            _since_extraction(kit, predictor, features)
            if kit.probe is None
            else (probe(predictor).vectors, kit.probe.vectors)
        )
        worst = Probe(known).difference(made)
    except (OffshelfError, OSError) as error:
        log.warning(
            "what makes the features has changed (%s), and whether they are still the same could "
            "not be checked: %s", changes, error,
        )  # fmt: skip
        return
    then = "learned from" if kit.probe is None else "shown when it was packed"
    said = f"features of {IMAGES} images that were {then} differ by {worst:.1e} at most"
    allowed = TOLERANCES[predictor.precision]
    if worst > allowed and not chosen:
        raise DataError(
            f"{said}, expected {allowed:.0e} at most; changed since: {changes or 'the machine'}; "
            "extract and classify anew, or use the versions of then"
        )
    both = min(len(made), len(known))  # batches of another size show more drawn images, or fewer
    likely = [predictor.probabilities(vectors[:both]) for vectors in (made, known)]
    moved = np.abs(likely[0] - likely[1]).max()
    since = f" (changed since: {changes})" if changes else ""
    log.info("%s, their probabilities by %.1e%s", said, moved, since)


def probe(predictor: ImagePredictor) -> Probe:
    """Return what a candidate's network makes of the drawn images."""
    pixels = drawn_images(predictor.batch_size, predictor.size)
    return Probe(predictor.deciding(predictor.vectors(pixels))[:IMAGES])


def _since_extraction(
    kit: Kit, predictor: ImagePredictor, features: Path | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the features of a few images of a feature file, made anew and stored, (n, D) each."""
    inputs = kit.record.inputs
    first = parts_of(inputs)[0]
    with FeatureFile(file_of(inputs, first, features)) as file:
        rows = np.unique(np.linspace(0, len(file) - 1, IMAGES).astype(np.int64))
        ids, digests = file.ids, file.digests[rows]
        location = file.provenance.get("source", "")
    stored = features_of(inputs, [ids[row] for row in rows.tolist()], features)
    with open_source(location) as source:
        numbers = {record.id: record.index for record in source}
        wanted = [numbers.get(ids[row], -1) for row in rows.tolist()]
        if min(wanted) < 0:
            raise DataError(f"{location} lacks {ids[rows[int(np.argmin(wanted))]]}")
        order = np.argsort(wanted)
        with closing(predictor.batches(Subset(source, np.array(wanted)[order]))) as batches:
            made = [(predictor.vectors(b.pixels)[b.accepted], b.outcomes) for b in batches]
    if b"".join(o.digest for _, outcomes in made for o in outcomes) != digests[order].tobytes():
        raise DataError(f"the images in {location} are others today")
    return np.concatenate([vectors for vectors, _ in made]), stored[order]
