"""The finetune stage: images in, a pretrained network trained on with them out, as a candidate."""

import logging
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from features.backbones import catalog
from features.backbones.weights import resolve
from features.config import AUTO, ExtractConfig
from features.errors import UsageError
from pipeline.config import FinetuneConfig
from pipeline.networks import augmentation, pixels, precision, transfer, trunk
from pipeline.networks.blocks import stages
from pipeline.networks.candidate import NetworkPlan, make, workshop
from pipeline.networks.finetuning import FACTORS, HEAD, Cache, FineTuning
from pipeline.networks.linear_head import find_head
from pipeline.networks.pixels import Pixels
from pipeline.networks.training import TrainStage
from pipeline.networks.transfer import Transfer
from pipeline.networks.trunk import Views

log = logging.getLogger("offshelf")

WORTH = 0.5  # share of the backbone's work below the cut from which on a cache is the default


def run(config: FinetuneConfig) -> Path:
    """Fine-tune a pretrained network; return the folder of the results.

    Raises:
        UsageError: an unknown name, a number that cannot be meant, a head of another classifier,
            no room for the cached trunk, or a results folder of other images.
        DataError: images or weights cannot be read, or the loss is no longer finite.
    """
    backbone = catalog.find(config.backbone)
    size = config.image_size or (backbone.size, backbone.size)
    name = config.name or f"finetune-{backbone.name}"
    with workshop(config, [name]) as folder:
        images = pixels.read(config, folder, size)
        tuning = prepare(config, images, folder)
        make(config, images, _plan(config, name, tuning), folder)
        for place in folder.glob(trunk.FOLDERS):
            shutil.rmtree(place)
    return config.out


def prepare(config: FinetuneConfig, images: Pixels, folder: Path) -> FineTuning:
    """Return what is to be trained, after a look at all that could be wrong with it."""
    backbone = catalog.find(config.backbone)
    weights = resolve(backbone, config.weights, config.scaling, config.seed)
    size = (int(images.x.shape[1]), int(images.x.shape[2]))
    facts = {
        "kind": transfer.KIND,
        "backbone": backbone.name,
        "image_size": list(size),
        "classes": len(images.splits.class_names),
        "scaling": weights.scaling.to_dict(),
        "seed": config.seed,
        "precision": precision.choose(config.precision),
    }
    head = None
    if config.head is not None:
        head = find_head(
            config.head, config.out, images.splits, backbone, weights.sha256, size, config.features
        )
    network = transfer.assemble(facts)
    unfrozen = stages(network.blocks, config.unfreeze, backbone.name)
    names = augmentation.choose(config.augment, images.splits.class_names)
    return FineTuning(
        facts, weights, network.blocks, unfrozen, images,
        _cache(config, network, unfrozen, names, folder), head, names, config.seed, config.progress,
    )  # fmt: skip


def _cache(
    config: FinetuneConfig,
    network: Transfer,
    unfrozen: Sequence[tuple[int, ...]],
    names: tuple[str, ...],
    folder: Path,
) -> Cache | None:
    """Return the cached trunk where it is asked for, or nobody says and it saves half the work."""
    deepest = min((place for places in unfrozen for place in places), default=len(network.blocks))
    cut = network.cut(deepest)
    if cut is None or config.cache_trunk is False:
        if config.cache_trunk:
            raise UsageError(
                f"--cache-trunk: in {config.backbone} no single layer is before all that is "
                "trained; leave it out, or --unfreeze less"
            )
        return None
    share = network.work_below(cut)
    if config.cache_trunk is None and share < WORTH:
        log.info("no cached trunk: only %.0f%% of the work lies below %s", 100 * share, cut.layer)
        return None
    extract = ExtractConfig(
        Path(), Path(), network.backbone.name, config.weights, config.scaling, (cut.layer,),
        image_size=network.base.input_shape[1:3], engine=_engine(config.engine),
        precision=config.engine_precision, seed=config.seed, progress=config.progress,
    )  # fmt: skip
    views = Views(config.views if names else 0, names, config.seed)
    return Cache(cut.layer, tuple(cut.tensor.shape[1:]), extract, views, folder)


def _engine(wanted: str) -> str:
    """Return the engine of the cached trunk: others than JAX's need Keras on TensorFlow."""
    import keras

    return "jax" if wanted == AUTO and keras.backend.backend() == "jax" else wanted


def _plan(config: FinetuneConfig, name: str, tuning: FineTuning) -> NetworkPlan:
    network = catalog.find(config.backbone)
    return NetworkPlan(
        name,
        f"{network.builder} fine-tuned",
        f"finetune-{network.name}",
        _setting(config, tuning),
        tuple(_stages(config, tuning)),
        tuning.fit,
    )


def _stages(config: FinetuneConfig, tuning: FineTuning) -> list[TrainStage]:
    """Return the head's stage, unless it comes from a classifier, and one for each unfreezing."""

    def stage(name: str, epochs: int) -> TrainStage:
        return TrainStage(
            name, epochs, config.learning_rate, config.batch_size, config.schedule,
            config.warmup, config.patience, config.label_smoothing, config.balanced,
            config.weight_decay,
        )  # fmt: skip

    first = [] if tuning.head and tuning.unfrozen else [stage(HEAD, config.head_epochs)]
    names = [tuning.blocks[places[0]].name for places in tuning.unfrozen]
    return [*first, *(stage(name, config.epochs) for name in names)]


def _setting(config: FinetuneConfig, tuning: FineTuning) -> dict[str, Any]:
    """Return what a record keeps of how it was trained."""
    cache = tuning.cache
    return tuning.facts | {
        "weights": {"origin": tuning.weights.weights_source, "sha256": tuning.weights.sha256},
        "unfrozen": [tuning.blocks[places[0]].name for places in tuning.unfrozen],
        "factors": list(FACTORS),
        "augment": list(tuning.augment),
        "cache": None if cache is None else {
            "layer": cache.layer, "views": asdict(cache.views), "engine": cache.extract.engine,
            "precision": cache.extract.precision,
        },
        "head": None if tuning.head is None else tuning.head.record.key,
        "learning_rate": config.learning_rate,
        "batch_size": config.batch_size,
        "schedule": config.schedule,
        "label_smoothing": config.label_smoothing,
        "balanced": config.balanced,
        "weight_decay": config.weight_decay,
    }  # fmt: skip
