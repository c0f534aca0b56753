"""From the config of `finetune` to the network, its cached trunk and its stages."""

import logging
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from features.backbones import catalog
from features.backbones.catalog import Backbone
from features.backbones.stored import Weights
from features.backbones.weights import resolve
from features.config import AUTO, ExtractConfig
from features.errors import UsageError
from pipeline.config import FinetuneConfig
from pipeline.networks import augmentation, heads, precision, training_length, transfer
from pipeline.networks.blocks import blocks_to_unfreeze
from pipeline.networks.facts import FINE_TUNED
from pipeline.networks.finetuning import FACTORS, HEAD_STAGE, FineTuning, TrunkCache
from pipeline.networks.pixels import Pixels
from pipeline.networks.plan import NetworkPlan
from pipeline.networks.train_stage import TrainStage
from pipeline.networks.training_length import TrainingLength
from pipeline.networks.transfer import Transfer
from pipeline.networks.trunk import Views

log = logging.getLogger("offshelf")

# Learning rates of the head. A fitted one is lost at the rate that a random one needs: on 480
# images of CIFAR-10 (ResNet50 at 64 px) 61.4 % on validation became 53.9 %, at a tenth 60.0 %.
RATE_OF_RANDOM_HEAD, RATE_OF_FITTED_HEAD = 1e-3, 1e-4
WORTHWHILE = 0.5  # share of the backbone's work below the cut from which on a cache is the default


def candidate_name(config: FinetuneConfig) -> str:
    """Return the name of the candidate."""
    return config.name or f"finetune-{catalog.find(config.backbone).name}"


def prepare(config: FinetuneConfig, images: Pixels, folder: Path) -> FineTuning:
    """Return the network to be fine-tuned, after all checks that need images and weights.

    Args:
        config: the config of the stage.
        images: all images and their splits.
        folder: the working folder.

    Raises:
        UsageError: a block or a head is unknown or does not fit, or the trunk cannot be cached.
        DataError: the weights cannot be read.
    """
    backbone = catalog.find(config.backbone)
    weights = resolve(backbone, config.weights, config.scaling, config.seed)
    facts = _facts(config, images, backbone, weights)
    head = heads.choose(config, candidate_name(config), images, backbone, weights, facts)
    network = transfer.assemble(facts)
    unfrozen = blocks_to_unfreeze(network.blocks, config.unfreeze, backbone.name)
    names = augmentation.choose(config.augment, images.splits.class_names)
    cache = _cache(config, network, unfrozen, names, folder)
    return FineTuning(
        facts, weights, network.blocks, unfrozen, images, cache, head, names, config.seed,
        config.progress,
    )  # fmt: skip


def plan(config: FinetuneConfig, tuning: FineTuning) -> NetworkPlan:
    """Return the candidate."""
    backbone, rows = catalog.find(config.backbone), tuning.images.splits.smallest
    length = training_length.finetune(config, rows)
    if not _trains_head_first(tuning):
        length = replace(length, head_epochs=0)
    stages = tuple(_stages(config, tuning, length))
    log.info("%s", training_length.describe(length, rows))
    return NetworkPlan(
        candidate_name(config),
        f"{backbone.builder} fine-tuned",
        f"finetune-{backbone.name}",
        _setting(config, tuning, length),
        stages,
        tuning.train,
        partial(tuning.seconds, stages),
    )


def _facts(
    config: FinetuneConfig, images: Pixels, backbone: Backbone, weights: Weights
) -> dict[str, Any]:
    """Return the facts from which the network is built, now and when it is loaded again."""
    return {
        "kind": FINE_TUNED,
        "backbone": backbone.name,
        "image_size": list(images.size),
        "classes": len(images.splits.class_names),
        "scaling": weights.scaling.to_dict(),
        "seed": config.seed,
        "precision": precision.choose(config.precision),
    }


def _cache(
    config: FinetuneConfig,
    network: Transfer,
    unfrozen: Sequence[tuple[int, ...]],
    names: tuple[str, ...],
    folder: Path,
) -> TrunkCache | None:
    """Return the cached trunk if it is asked for, or by default if it saves half of the work."""
    trained = [position for positions in unfrozen for position in positions]
    cut = network.cut(min(trained, default=len(network.blocks)))
    if config.cache_trunk is False or (cut is None and config.cache_trunk is None):
        return None
    if cut is None:
        raise UsageError(
            f"--cache-trunk: in {config.backbone} no single layer is before all that is "
            "trained; leave it out, or --unfreeze less"
        )
    share = network.work_below(cut.layer)
    if config.cache_trunk is None and share < WORTHWHILE:
        log.info("no cached trunk: only %.0f%% of the work lies below %s", 100 * share, cut.layer)
        return None
    extract = ExtractConfig(
        Path(), Path(), network.backbone.name, config.weights, config.scaling, (cut.layer,),
        image_size=network.base.input_shape[1:3], engine=_engine(config.engine),
        precision=config.engine_precision, seed=config.seed, progress=config.progress,
    )  # fmt: skip
    views = Views(config.views if names else 0, names, config.seed)
    return TrunkCache(cut.layer, tuple(cut.tensor.shape[1:]), extract, views, folder)


def _engine(engine: str) -> str:
    """Return the engine of the cached trunk; with Keras on JAX, only JAX's engine works."""
    import keras

    return "jax" if engine == AUTO and keras.backend.backend() == "jax" else engine


def _stages(config: FinetuneConfig, tuning: FineTuning, length: TrainingLength) -> list[TrainStage]:
    """Return a stage for each unfreezing, after one for the head unless a classifier gives it."""

    def stage(name: str, epochs: int) -> TrainStage:
        return TrainStage(
            name, epochs, _learning_rate(config, tuning), length.batch_size, config.schedule,
            config.warmup, config.patience, config.label_smoothing, config.balanced,
            config.weight_decay,
        )  # fmt: skip

    first = [stage(HEAD_STAGE, length.head_epochs)] if length.head_epochs else []
    return [*first, *(stage(name, length.epochs) for name in _stage_names(tuning))]


def _trains_head_first(tuning: FineTuning) -> bool:
    return not (tuning.head and tuning.unfrozen)


def _learning_rate(config: FinetuneConfig, tuning: FineTuning) -> float:
    default = RATE_OF_RANDOM_HEAD if tuning.head is None else RATE_OF_FITTED_HEAD
    return config.learning_rate or default


def _stage_names(tuning: FineTuning) -> list[str]:
    """Return the name of the shallowest block that each stage unfreezes."""
    return [tuning.blocks[positions[0]].name for positions in tuning.unfrozen]


def _setting(config: FinetuneConfig, tuning: FineTuning, length: TrainingLength) -> dict[str, Any]:
    """Return the settings that the record keeps."""
    return tuning.facts | {
        "weights": {"origin": tuning.weights.weights_source, "sha256": tuning.weights.sha256},
        "unfrozen": _stage_names(tuning),
        "factors": list(FACTORS),
        "augment": list(tuning.augment),
        "cache": _cache_setting(tuning.cache),
        "head": None if tuning.head is None else tuning.head.key,
        "learning_rate": _learning_rate(config, tuning),
        "batch_size": length.batch_size,
        "epochs": length.epochs,
        "head_epochs": length.head_epochs,
        "schedule": config.schedule,
        "label_smoothing": config.label_smoothing,
        "balanced": config.balanced,
        "weight_decay": config.weight_decay,
    }


def _cache_setting(cache: TrunkCache | None) -> dict[str, Any] | None:
    if cache is None:
        return None
    return {
        "layer": cache.layer, "views": asdict(cache.views), "engine": cache.extract.engine,
        "precision": cache.extract.precision,
    }  # fmt: skip
