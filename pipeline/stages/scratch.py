"""The scratch stage: images in, a CNN trained on nothing but them out, as a candidate."""

import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from features.backbones.network import randomize
from features.errors import UsageError
from pipeline.config import ScratchConfig
from pipeline.networks import architectures, augmentation, pixels, precision
from pipeline.networks.candidate import Fitted, NetworkPlan, make, workshop
from pipeline.networks.data import Data
from pipeline.networks.pixels import Pixels
from pipeline.networks.training import Setup, TrainStage, train
from pipeline.reports import ablation
from pipeline.results.ablation import Ablation

log = logging.getLogger("offshelf")

TRICKS = ("batchnorm", "dropout", "augment", "standardize")


def run(config: ScratchConfig) -> Path:
    """Train a CNN from scratch; return the folder of the results.

    Raises:
        UsageError: an unknown name, a number that cannot be meant, or a results folder of other
            images.
        DataError: the images cannot be read or are unlabelled, or the loss is no longer finite.
    """
    _check(config)
    variants = _variants(config)
    with workshop(config, [_name(one) for one in variants]) as folder:
        images = pixels.read(config, folder, config.image_size)
        size = tuple(images.x.shape[1:3])
        architectures.check_size(config.architecture, size)
        made = [make(one, images, _plan(one, images), folder) for one in variants]
    if config.ablate:
        found = Ablation([*map(_missing, variants)], made, config.out)
        found.write()
        log.info("%s", ablation.text(found))
    return config.out


def _check(config: ScratchConfig) -> None:
    if config.ablate and _missing(config):
        raise UsageError("--ablate leaves out each trick by itself; give it no --no-... beside")
    if config.ablate and config.name:
        raise UsageError("--ablate names its candidates itself; leave --name out")


def _variants(config: ScratchConfig) -> list[ScratchConfig]:
    """Return what is to be trained: with all tricks, without each of them, and without any."""
    if not config.ablate:
        return [config]
    grid: list[tuple[str, ...]] = [(), *((trick,) for trick in TRICKS), TRICKS]
    return [_without(config, tricks) for tricks in grid]


def _without(config: ScratchConfig, tricks: Sequence[str]) -> ScratchConfig:
    changes = {trick: (augmentation.NONE,) if trick == "augment" else False for trick in tricks}
    changes["ablate"] = False
    return dataclasses.replace(config, **changes)  # type: ignore[arg-type] # by field


def _missing(config: ScratchConfig) -> tuple[str, ...]:
    """Return the tricks that are left out."""
    off = {"augment": config.augment == (augmentation.NONE,)}
    return tuple(trick for trick in TRICKS if off.get(trick, not getattr(config, trick)))


def _name(config: ScratchConfig) -> str:
    missing = _missing(config)
    suffix = "" if not missing else ".plain" if missing == TRICKS else f".no-{'-'.join(missing)}"
    return config.name or f"scratch-{config.architecture}{suffix}"


def _plan(config: ScratchConfig, images: Pixels) -> NetworkPlan:
    """Return the candidate that is asked for."""
    names = augmentation.choose(config.augment, images.splits.class_names)
    settled = dataclasses.replace(
        config, augment=names, precision=precision.choose(config.precision)
    )
    missing, title = _missing(config), architectures.find(config.architecture).title
    return NetworkPlan(
        _name(config),
        f"{title} from scratch" + (f" without {', '.join(missing)}" if missing else ""),
        f"scratch-{config.architecture}",
        _setting(settled),
        (_stage(config),),
        lambda *round_: _fit(settled, *round_),
    )


def _stage(config: ScratchConfig) -> TrainStage:
    architecture = architectures.find(config.architecture)
    return TrainStage(
        "scratch",
        config.epochs or architecture.epochs,
        config.learning_rate or architecture.learning_rate,
        config.batch_size,
        config.schedule,
        patience=config.patience,
        label_smoothing=config.label_smoothing,
        balanced=config.balanced,
        weight_decay=config.weight_decay,
    )


def _setting(config: ScratchConfig) -> dict[str, Any]:
    """Return what a record keeps of how it was trained."""
    kept = ("architecture", "batchnorm", "dropout", "augment", "standardize", "precision")
    stage = dataclasses.asdict(_stage(config))
    for name in ("name", "rates"):
        del stage[name]
    return {name: getattr(config, name) for name in kept} | {"augment": [*config.augment]} | stage


def _fit(
    config: ScratchConfig, data: Data, stages: Sequence[TrainStage], folder: Path, title: str
) -> Fitted:
    """Build the network and train it."""
    facts = {
        "kind": architectures.KIND,
        "architecture": config.architecture,
        "image_size": list(data.x.shape[1:3]),
        "classes": data.classes,
        "scaling": architectures.scaling(data.x, data.train) if config.standardize else None,
        "batchnorm": config.batchnorm,
        "dropout": config.dropout,
        "seed": config.seed,
        "precision": config.precision,
    }
    network = architectures.build(facts)
    randomize(network, config.seed)
    layer = augmentation.layer(config.augment, config.seed)
    setup = Setup(config.seed, layer, title=title, progress=config.progress)
    (stage,) = stages
    return Fitted(network, train(network, data, stage, folder, setup), facts)
