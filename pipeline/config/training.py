"""Settings of the stages that train networks on pixels."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

from features.arguments import (
    as_image_size,
    as_location,
    as_splits,
    check_choice,
    check_count,
    check_flag,
    check_positive,
    check_share,
    check_text,
    normalize,
    optional,
)
from features.backbones import catalog
from features.config import AUTO, ENGINES, PRECISIONS, ExtractConfig
from pipeline.config.choices import ARCHITECTURES, METRIC, METRICS, SCHEDULES, TRAINING_PRECISIONS
from pipeline.config.readers import (
    as_augmentations,
    as_blocks,
    as_text_or_path,
    check_new_name,
    check_not_negative,
    check_threshold,
)


@dataclass(frozen=True)
class NetworkConfig:
    """Settings of every stage that trains networks on pixels.

    Attributes:
        command: the name of the command that calls the stage.
        source: a folder, a manifest, an archive or a file of arrays.
        out: the folder of the results; its splits are taken where it has any.
        name: the name of the candidate; None calls it what it is, such as "scratch-small".
        image_size: height and width the network sees, in pixels; None leaves it to the stage.
        limit: take that many images only, spread evenly over the source.
        splits: as in `features.config.ExtractConfig`.
        accept_damaged: as in `features.config.ExtractConfig`.
        folds: the number of folds of cross-validation, where the folder has no splits yet; None
            as in `ClassifyConfig`.
        group_by: a column of the manifest; images with the same value stay in the same split.
        augment: names from `choices.AUGMENTATIONS`, or "auto", or "none".
        batch_size: images in a training step; None chooses it by the number of images.
        schedule: how the learning rate changes, one of `choices.SCHEDULES`.
        patience: epochs without a lower validation loss after which a stage ends; 0 for never.
        label_smoothing: share of each label that is spread over all classes, 0 to 1.
        balanced: whether to weight the classes by how rare they are.
        precision: the precision of the training, one of `choices.TRAINING_PRECISIONS`.
        refit: whether to train once more on all images that are not locked; otherwise the network
            that validated is kept, where one split is held out.
        metric: the metric of its validation, one of `choices.METRICS`.
        threshold: as in `ClassifyConfig`.
        restart: whether to discard this candidate of an earlier run, finished or not.
        seed: the seed of splits, weights and everything drawn.
        progress: whether to show progress bars.
    """

    command: ClassVar[str]

    source: Path
    out: Path
    name: str | None = None
    image_size: tuple[int, int] | None = None
    limit: int | None = None
    splits: tuple[tuple[str, str], ...] | None = None
    accept_damaged: bool = False
    folds: int | None = None
    group_by: str | None = None
    augment: tuple[str, ...] = ("auto",)
    batch_size: int | None = None
    schedule: str = SCHEDULES[0]
    patience: int = 10
    label_smoothing: float = 0.0
    balanced: bool = False
    precision: str = AUTO
    refit: bool = True
    metric: str = METRIC
    threshold: bool = False
    restart: bool = False
    seed: int = 0
    progress: bool = True

    def __post_init__(self) -> None:
        normalize(
            self,
            source=as_location,
            out=as_location,
            name=optional(check_new_name),
            image_size=as_image_size,
            limit=optional(check_count),
            splits=optional(as_splits),
            accept_damaged=check_flag,
            folds=optional(partial(check_count, at_least=2)),
            group_by=optional(check_text),
            augment=as_augmentations,
            batch_size=optional(check_count),
            schedule=partial(check_choice, choices=SCHEDULES),
            patience=partial(check_count, at_least=0),
            label_smoothing=check_share,
            balanced=check_flag,
            precision=partial(check_choice, choices=TRAINING_PRECISIONS),
            refit=check_flag,
            metric=partial(check_choice, choices=METRICS),
            threshold=check_flag,
            restart=check_flag,
            seed=partial(check_count, at_least=0),
            progress=check_flag,
        )
        check_threshold(self.threshold, self.metric)


@dataclass(frozen=True)
class ScratchConfig(NetworkConfig):
    """Settings of `scratch`, beside those of every network.

    Attributes:
        architecture: one of `choices.ARCHITECTURES`.
        epochs: the largest number of epochs; None chooses it by the number of images, from half of
            the architecture's own to twice as many.
        learning_rate: the highest learning rate; None takes the architecture's own.
        weight_decay: the weight decay of AdamW.
        batchnorm: whether the network has batch normalization.
        dropout: whether the network has dropout.
        standardize: whether pixels are standardized by the mean and spread of the training images.
        ablate: whether to train with all of these and augmentation, without each of them and
            without any; writes ablation.csv.
    """

    command = "scratch"

    architecture: str = ARCHITECTURES[0]
    epochs: int | None = None
    learning_rate: float | None = None
    weight_decay: float = 0.05
    batchnorm: bool = True
    dropout: bool = True
    standardize: bool = True
    ablate: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        normalize(
            self,
            architecture=partial(check_choice, choices=ARCHITECTURES),
            epochs=optional(check_count),
            learning_rate=optional(check_positive),
            weight_decay=check_not_negative,
            batchnorm=check_flag,
            dropout=check_flag,
            standardize=check_flag,
            ablate=check_flag,
        )


@dataclass(frozen=True)
class FinetuneConfig(NetworkConfig):
    """Settings of `finetune`, beside those of every network.

    `image_size` is the backbone's own where it is None.

    Attributes:
        backbone: a name from the catalog.
        weights, scaling: as in `features.config.ExtractConfig`.
        unfreeze: what is trained beside the head, one stage for each: "conv5_block1" (that block
            and all deeper ones), "conv5", a number of blocks, "all", or "none" alone; nothing
            given means as many of the deepest blocks as hold two fifths of the weights.
        epochs: the largest number of epochs of each stage that unfreezes something; None chooses
            it by the number of images.
        head_epochs: the largest number of epochs of the stage that trains the head alone; None
            likewise.
        learning_rate: the head's highest learning rate; blocks take a tenth and a hundredth of it.
            None takes 0.001, and a tenth of it where a logistic regression gives the head.
        warmup: epochs in which the learning rate of a cosine schedule rises.
        weight_decay: the weight decay of AdamW.
        head: a logistic regression that the head starts from, instead of a stage of its own: the
            name of a candidate in `out`, or its folder; None takes one in `out` that fits the
            network, or else fits one, "none" starts from random weights.
        features: where the feature file of `head` lies now, if it has moved.
        cache_trunk: whether to compute what is below the trained layers only once; None does so
            where that is at least half of the network's work.
        views: augmented views of each image in the cache, beside the plain one.
        engine: the engine that fills the cache.
        engine_precision: the precision of that engine.
    """

    command = "finetune"

    backbone: str = ExtractConfig.backbone
    weights: str = ExtractConfig.weights
    scaling: str | None = None
    unfreeze: tuple[str, ...] = ()
    epochs: int | None = None
    head_epochs: int | None = None
    learning_rate: float | None = None
    warmup: float = 1.0
    weight_decay: float = 0.01
    head: str | None = None
    features: Path | None = None
    cache_trunk: bool | None = None
    views: int = 3  # each takes disk: 74 kB an image for ResNet50's conv5 at 96 px
    engine: str = ExtractConfig.engine
    engine_precision: str = ExtractConfig.precision

    def __post_init__(self) -> None:
        super().__post_init__()
        normalize(
            self,
            backbone=check_text,
            weights=as_text_or_path,
            scaling=optional(partial(check_choice, choices=catalog.SCALINGS)),
            unfreeze=as_blocks,
            epochs=optional(check_count),
            head_epochs=optional(check_count),
            learning_rate=optional(check_positive),
            warmup=check_not_negative,
            weight_decay=check_not_negative,
            head=optional(as_text_or_path),
            features=optional(as_location),
            cache_trunk=optional(check_flag),
            views=partial(check_count, at_least=0),
            engine=partial(check_choice, choices=(AUTO, *ENGINES)),
            engine_precision=partial(check_choice, choices=(AUTO, *PRECISIONS)),
        )
        backbone = catalog.find(self.backbone)
        catalog.check_image_size(backbone, self.image_size or (backbone.size, backbone.size))
