"""Where a candidate sees evidence in images that it got wrong on validation."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from features.errors import DataError
from features.processes.progress import progress_bar
from features.records import Outcome
from features.sources import open_source
from features.sources.base import Source, Subset
from pipeline.predictors.agreement import check_agreement
from pipeline.predictors.explaining import OCCLUSION, Explainer, Explanation, explainer
from pipeline.predictors.kit import kit_of
from pipeline.predictors.of_images import image_predictor
from pipeline.results.mistakes import Mistake
from pipeline.results.records import Record
from pipeline.results.thumbnails import ImageLookup

COVERED = 8  # one of so many images is explained by occlusion, which takes seconds for each


@dataclass(frozen=True)
class Explained:
    """A mistaken image and the evidence for the class that it was taken for.

    Attributes:
        mistake: which image.
        pixels: uint8 (H, W, 3), as the network sees it.
        explanation: the evidence.
        probabilities: those that the kept model gives now, float32 (K,), calibrated.
    """

    mistake: Mistake
    pixels: np.ndarray
    explanation: Explanation
    probabilities: np.ndarray


def explain_mistakes(
    results: Path,
    record: Record,
    mistakes: Sequence[Mistake],
    lookup: ImageLookup,
    features: Path | None = None,
    progress: bool = True,
) -> Iterator[Explained]:
    """Yield images with their evidence, in the order of their source; fewer by occlusion.

    Images that are not where they were, or are others today, are passed over.

    Args:
        results: the results folder.
        record: the record of the candidate.
        mistakes: the images, the most telling first.
        lookup: where they are.
        features: where the feature file lies now, if it has moved.
        progress: whether to show a progress bar.

    Raises:
        UsageError: the source cannot be opened, or the model needs trust.
        DataError: the candidate cannot be rebuilt.
        MissingPackageError: the candidate needs a package.
    """
    if lookup.location is None:
        raise DataError("the source of the images is not known; say with --images where they lie")
    with open_source(lookup.location) as source:
        kit = kit_of(results, record, features)
        predictor = image_predictor(kit, batch_size=1)
        check_agreement(kit, predictor, features)
        yield from _explained(explainer(kit, predictor), source, mistakes, lookup, progress)


def _explained(
    explaining: Explainer,
    source: Source,
    mistakes: Sequence[Mistake],
    lookup: ImageLookup,
    progress: bool,
) -> Iterator[Explained]:
    wanted = {mistake.image: mistake for mistake in mistakes}
    telling = {mistake.image for mistake in mistakes[: -(-len(mistakes) // COVERED)]}
    places = [number for number, each in enumerate(source) if each.id in wanted]
    chosen, predictor, covers = (
        Subset(source, np.array(places, np.int64)),
        explaining.predictor,
        False,
    )
    with (
        closing(predictor.batches(chosen)) as batches,
        progress_bar(len(chosen), 0, "picture", progress) as bar,
    ):
        for batch in batches:  # of one image
            (outcome,) = batch.outcomes
            mistake = wanted[chosen[outcome.index].id]
            bar.update(1)
            if not _is_the_same(outcome, lookup.digests.get(mistake.image)):
                continue
            if covers and mistake.image not in telling:
                continue
            probabilities = predictor.probabilities(predictor.vectors(batch.pixels))[0]
            explanation = explaining.explain(batch.pixels[0], mistake.predicted)
            covers = explanation.method == OCCLUSION
            yield Explained(mistake, batch.pixels[0], explanation, probabilities)


def _is_the_same(outcome: Outcome, digest: bytes | None) -> bool:
    return outcome.reason is None and digest in (None, outcome.digest)
