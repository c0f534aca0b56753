"""From the config of `scratch` to the networks that it trains, and the variants of an ablation."""

import dataclasses
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from features.backbones.network import randomize
from pipeline.config import ScratchConfig
from pipeline.networks import architectures, augmentation, estimate, precision, training_length
from pipeline.networks.data import TrainingData
from pipeline.networks.estimate import StageWork
from pipeline.networks.facts import FROM_SCRATCH
from pipeline.networks.pixels import Pixels
from pipeline.networks.plan import NetworkPlan, TrainedNetwork
from pipeline.networks.train_stage import TrainStage
from pipeline.networks.training import Setup, train

log = logging.getLogger("offshelf")

_SCALED = 64  # images whose mean and spread suffice to time a network

TRICKS = ("batchnorm", "dropout", "augment", "standardize")


def variants(config: ScratchConfig) -> list[ScratchConfig]:
    """Return the config of each network to train.

    In an ablation these are the network with all tricks, without each of them, and without any.
    """
    if not config.ablate:
        return [config]
    left_out: list[tuple[str, ...]] = [(), *((trick,) for trick in TRICKS), TRICKS]
    return [_without(config, tricks) for tricks in left_out]


def missing_tricks(config: ScratchConfig) -> tuple[str, ...]:
    """Return the tricks that are left out."""
    used = {trick: getattr(config, trick) for trick in TRICKS}
    used["augment"] = config.augment != (augmentation.NONE,)
    return tuple(trick for trick in TRICKS if not used[trick])


def candidate_name(config: ScratchConfig) -> str:
    """Return the name of the candidate, such as "scratch-small.no-dropout"."""
    missing = missing_tricks(config)
    suffix = "" if not missing else ".plain" if missing == TRICKS else f".no-{'-'.join(missing)}"
    return config.name or f"scratch-{config.architecture}{suffix}"


def plan(config: ScratchConfig, images: Pixels) -> NetworkPlan:
    """Return the candidate; "auto" settings become what suits the images and the hardware."""
    names = augmentation.choose(config.augment, images.splits.class_names)
    training = ScratchTraining(config, names, precision.choose(config.precision))
    missing, title = missing_tricks(config), architectures.find(config.architecture).title
    rows = images.splits.smallest
    log.info("%s", training_length.describe(training_length.scratch(config, rows), rows))
    return NetworkPlan(
        candidate_name(config),
        f"{title} from scratch" + (f" without {', '.join(missing)}" if missing else ""),
        f"scratch-{config.architecture}",
        setting(config, rows) | {"augment": [*names], "precision": training.precision},
        (_stage(config, rows),),
        training.train,
        partial(training.seconds, images, _stage(config, rows)),
    )


@dataclass(frozen=True)
class ScratchTraining:
    """A network to be trained from scratch, in each round anew.

    Attributes:
        config: the config of the stage.
        augment: the names of augmentations.
        precision: a Keras dtype policy.
    """

    config: ScratchConfig
    augment: tuple[str, ...]
    precision: str

    def train(
        self, data: TrainingData, stages: Sequence[TrainStage], folder: Path, title: str
    ) -> TrainedNetwork:
        """Build the network and train it through its one stage; this is a `plan.TrainFunction`."""
        facts, seed = self._facts(data), self.config.seed
        network = architectures.build(facts)
        randomize(network, seed)
        layer = augmentation.layer(self.augment, seed)
        setup = Setup(seed, layer, title=title, progress=self.config.progress)
        (stage,) = stages
        return TrainedNetwork(network, train(network, data, stage, folder, setup), facts)

    def seconds(self, images: Pixels, stage: TrainStage, rounds: Sequence[int]) -> float:
        """Return the seconds that all rounds take at most."""
        splits = images.splits
        rest, classes = splits.rest[:_SCALED], len(splits.class_names)
        data = TrainingData(images.x, splits.labels, classes, rest, rest[:0])
        timing = estimate.measure(architectures.build(self._facts(data)), images.x)
        return estimate.total(timing, [StageWork(stage.epochs, 1 + estimate.BACKWARD)], rounds)

    def _facts(self, data: TrainingData) -> dict[str, Any]:
        """Return the facts from which the network is built, now and when it is loaded again."""
        config = self.config
        return {
            "kind": FROM_SCRATCH,
            "architecture": config.architecture,
            "image_size": list(data.x.shape[1:3]),
            "classes": data.classes,
            "scaling": architectures.scaling(data.x, data.train) if config.standardize else None,
            "batchnorm": config.batchnorm,
            "dropout": config.dropout,
            "seed": config.seed,
            "precision": self.precision,
        }


def setting(config: ScratchConfig, rows: int) -> dict[str, Any]:
    """Return the settings that a record keeps, for the training images of the smallest round."""
    kept = ("architecture", "batchnorm", "dropout", "augment", "standardize", "precision")
    stage = dataclasses.asdict(_stage(config, rows))
    for name in ("name", "rates"):
        del stage[name]
    return {name: getattr(config, name) for name in kept} | {"augment": [*config.augment]} | stage


def _without(config: ScratchConfig, tricks: Sequence[str]) -> ScratchConfig:
    changes = {trick: (augmentation.NONE,) if trick == "augment" else False for trick in tricks}
    changes["ablate"] = False
    return dataclasses.replace(config, **changes)  # type: ignore[arg-type] # by field


def _stage(config: ScratchConfig, rows: int) -> TrainStage:
    architecture = architectures.find(config.architecture)
    length = training_length.scratch(config, rows)
    return TrainStage(
        "scratch",
        length.epochs,
        config.learning_rate or architecture.learning_rate,
        length.batch_size,
        config.schedule,
        patience=config.patience,
        label_smoothing=config.label_smoothing,
        balanced=config.balanced,
        weight_decay=config.weight_decay,
    )
