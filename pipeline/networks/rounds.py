"""The rounds of training of a candidate: those that validate, and the last fit."""

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.networks.data import TrainingData
from pipeline.networks.inference import embeddings, probabilities
from pipeline.networks.inside import with_embedding
from pipeline.networks.pixels import Pixels
from pipeline.networks.plan import NetworkPlan, TrainedNetwork
from pipeline.networks.train_stage import TrainStage, shortened
from pipeline.results import known_images
from pipeline.results.history import History, Round
from pipeline.results.known_images import KnownImages
from pipeline.statistics import novelty

LAST_FIT = "last fit"


@dataclass(frozen=True)
class RoundsResult:
    """What all rounds of a candidate gave.

    Attributes:
        probabilities: those of the images that validate, float32 (n, K), each from a network that
            was trained without the image.
        rounds: the history of each round; the last fit, if there was one, comes last.
        kept: the network that the candidate keeps.
        last_fit_seconds: the wall time of the last fit; 0 where there was none.
        known: images that the kept network was trained on, and how far others are from such.
    """

    probabilities: np.ndarray
    rounds: tuple[Round, ...]
    kept: TrainedNetwork
    last_fit_seconds: float
    known: KnownImages

    @property
    def refitted(self) -> bool:
        """Whether there was a last fit."""
        return self.rounds[-1].name == LAST_FIT


def run_rounds(
    images: Pixels, plan: NetworkPlan, checkpoints: Path, refit: bool, seed: int = 0
) -> RoundsResult:
    """Train in each round of the splits, then once more on all images that are not locked.

    Args:
        images: all images and their splits.
        plan: the candidate.
        checkpoints: the folder of its checkpoints; rounds that are whole there are not repeated.
        refit: whether there is a last fit; else the network of the last round is kept.
        seed: of the choice of images that are kept as known.

    Raises:
        DataError: the loss is no longer finite, or a checkpoint cannot be read or written.
    """
    probs, distances, rounds, kept = _validate(images, plan, checkpoints, seed)
    seconds, learned = 0.0, next(images.splits.rounds(1))[0]
    if refit:
        learned = images.splits.rest
        started = time.perf_counter()
        kept = _fit_last(images, plan, rounds, checkpoints / LAST_FIT)
        seconds = max(time.perf_counter() - started, kept.history.seconds)
        rounds.append(Round(LAST_FIT, kept.history))
    rows = known_images.chosen(learned, seed)
    vectors = embeddings(with_embedding(kept.network), images.x, rows)
    known = KnownImages(known_images.compact(vectors), images.splits.groups_of(rows), distances)
    return RoundsResult(probs, tuple(rounds), kept, seconds, known)


def _validate(
    images: Pixels, plan: NetworkPlan, checkpoints: Path, seed: int
) -> tuple[np.ndarray, np.ndarray, list[Round], TrainedNetwork]:
    """Train in each round; return what came of the images that validate, and the last network.

    Of these images there are the probabilities, and how far they are from those learned from.
    """
    splits = images.splits
    probs = np.zeros((len(splits), len(splits.class_names)), np.float32)
    distances = np.zeros(len(splits), np.float32)
    rounds: list[Round] = []
    for number, (train, held_out) in enumerate(splits.rounds(1)):
        name = "held-out" if splits.count == 1 else f"fold {number + 1}"
        data = _training_data(images, train, held_out)
        trained = plan.train(data, plan.stages, checkpoints / name, name)
        probs[held_out] = probabilities(trained.network, images.x, held_out)
        distances[held_out] = _distances(trained.network, images.x, train, held_out, seed)
        rounds.append(Round(name, trained.history))
    return probs[splits.validated], distances[splits.validated], rounds, trained


def _distances(
    network: Any, x: np.ndarray, train: np.ndarray, held_out: np.ndarray, seed: int
) -> np.ndarray:
    """Return how far held-out images are from those that a network was trained on, float32 (n,)."""
    inner = with_embedding(network)
    known = embeddings(inner, x, known_images.chosen(train, seed))
    return novelty.distances_to(known_images.compact(known), embeddings(inner, x, held_out))


def _fit_last(
    images: Pixels, plan: NetworkPlan, rounds: Sequence[Round], checkpoints: Path
) -> TrainedNetwork:
    """Train on all images that are not locked, each stage up to its best epoch on validation."""
    stages = [
        _up_to_best(stage, [finished.history.of_stage(stage.name) for finished in rounds])
        for stage in plan.stages
    ]
    data = _training_data(images, images.splits.rest, np.empty(0, np.int64))
    return plan.train(data, stages, checkpoints, LAST_FIT)


def _up_to_best(stage: TrainStage, histories: Sequence[History]) -> TrainStage:
    """Return the stage, ended at the best epoch of the median round."""
    median = statistics.median_low([history.best_epoch for history in histories])
    return shortened(stage, next(each for each in histories if each.best_epoch == median))


def _training_data(images: Pixels, train: np.ndarray, held_out: np.ndarray) -> TrainingData:
    splits = images.splits
    return TrainingData(images.x, splits.labels, len(splits.class_names), train, held_out)
