"""Candidates that are networks, trained on pixels."""

from pathlib import Path

from features.arguments import ImageSize, Names, SplitFolders
from pipeline.config import FinetuneConfig, ScratchConfig
from pipeline.results.folder import ResultsFolder
from pipeline.stages import finetune as finetune_stage
from pipeline.stages import scratch as scratch_stage


def finetune(
    source: str | Path,
    out: str | Path,
    *,
    backbone: str = FinetuneConfig.backbone,
    weights: str | Path = FinetuneConfig.weights,
    scaling: str | None = FinetuneConfig.scaling,
    unfreeze: Names | int = FinetuneConfig.unfreeze,
    epochs: int | None = FinetuneConfig.epochs,
    head_epochs: int | None = FinetuneConfig.head_epochs,
    learning_rate: float | None = FinetuneConfig.learning_rate,
    warmup: float = FinetuneConfig.warmup,
    weight_decay: float = FinetuneConfig.weight_decay,
    head: str | Path | None = FinetuneConfig.head,
    features: str | Path | None = FinetuneConfig.features,
    cache_trunk: bool | None = FinetuneConfig.cache_trunk,
    views: int = FinetuneConfig.views,
    engine: str = FinetuneConfig.engine,
    engine_precision: str = FinetuneConfig.engine_precision,
    name: str | None = FinetuneConfig.name,
    image_size: ImageSize | None = FinetuneConfig.image_size,
    limit: int | None = FinetuneConfig.limit,
    splits: SplitFolders | None = FinetuneConfig.splits,
    accept_damaged: bool = FinetuneConfig.accept_damaged,
    folds: int | None = FinetuneConfig.folds,
    group_by: str | None = FinetuneConfig.group_by,
    augment: Names = FinetuneConfig.augment,
    batch_size: int | None = FinetuneConfig.batch_size,
    schedule: str = FinetuneConfig.schedule,
    patience: int = FinetuneConfig.patience,
    label_smoothing: float = FinetuneConfig.label_smoothing,
    balanced: bool = FinetuneConfig.balanced,
    precision: str = FinetuneConfig.precision,
    refit: bool = FinetuneConfig.refit,
    metric: str = FinetuneConfig.metric,
    threshold: bool = FinetuneConfig.threshold,
    restart: bool = FinetuneConfig.restart,
    seed: int = FinetuneConfig.seed,
    progress: bool = FinetuneConfig.progress,
) -> ResultsFolder:
    """Train a pretrained network on with your images, as the command `finetune` does.

    A repeated call goes on from the last whole epoch of one that was interrupted.

    Args:
        source: a folder, a manifest, an archive or a file of arrays, with labels.
        out: the folder of the results; its splits are taken where it has any.
        backbone: the name of a network from the catalog.
        weights: "imagenet" (from whichever source has them), the name of one weights source, a
            path to a weights file, or "none" for seeded random weights.
        scaling: the pixel scaling of a weights file given by path.
        unfreeze: what is trained beside the head, one stage for each: "conv5_block1" (that block
            and all deeper ones), "conv5", a number of blocks, "all", or "none" alone; nothing
            given means as many of the deepest blocks as hold two fifths of the weights.
        epochs: the largest number of epochs of each stage that unfreezes something; None chooses
            it by the number of images.
        head_epochs: the largest number of epochs of the stage that trains the head alone; None
            likewise.
        learning_rate: the head's highest learning rate; blocks take a tenth and a hundredth of it.
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
        name: the name of the candidate; None calls it what it is, such as "finetune-resnet50".
        image_size: height and width the network sees, in pixels, or one int for both; None takes
            the backbone's own.
        limit: take that many images only, spread evenly over the source.
        splits: which folder holds which split, as in `features.extract`.
        accept_damaged: take damaged JPEGs as far as they can be decoded; they are counted.
        folds: the number of folds of cross-validation, where the folder has no splits yet; None
            as in `classify`.
        group_by: a column of the manifest; images with the same value stay in the same split.
        augment: names among "flip", "rotation", "zoom", "translation" and "contrast"; or "auto",
            which suits the classes; or "none".
        batch_size: images in a training step; None chooses it by the number of images.
        schedule: "cosine", "plateau" or "constant": how the learning rate changes.
        patience: epochs without a lower validation loss after which a stage ends; 0 for never.
        label_smoothing: share of each label that is spread over all classes, 0 to 1.
        balanced: whether to weight the classes by how rare they are.
        precision: "float32", "mixed_bfloat16", or "auto" for the fastest here.
        refit: whether to train once more on all images that are not locked; otherwise the network
            that validated is kept, where one split is held out.
        metric: the metric of its validation, as in `classify`.
        threshold: whether it gets a decision threshold between two classes, as in `classify`.
        restart: whether to discard this candidate of an earlier call, finished or not.
        seed: the seed of splits, weights and everything drawn.
        progress: whether to show progress bars.

    Returns:
        The results folder, with a record of the network.

    Raises:
        UsageError: a value is not what its option expects, a head of another classifier, no room
            for the cached trunk, or a results folder of other images.
        DataError: images or weights cannot be read, or the loss is no longer finite.
        MissingPackageError: Keras is not installed.
    """
    return finetune_stage.run(FinetuneConfig(**locals()))


def scratch(
    source: str | Path,
    out: str | Path,
    *,
    architecture: str = ScratchConfig.architecture,
    epochs: int | None = ScratchConfig.epochs,
    learning_rate: float | None = ScratchConfig.learning_rate,
    weight_decay: float = ScratchConfig.weight_decay,
    batchnorm: bool = ScratchConfig.batchnorm,
    dropout: bool = ScratchConfig.dropout,
    standardize: bool = ScratchConfig.standardize,
    ablate: bool = ScratchConfig.ablate,
    name: str | None = ScratchConfig.name,
    image_size: ImageSize | None = ScratchConfig.image_size,
    limit: int | None = ScratchConfig.limit,
    splits: SplitFolders | None = ScratchConfig.splits,
    accept_damaged: bool = ScratchConfig.accept_damaged,
    folds: int | None = ScratchConfig.folds,
    group_by: str | None = ScratchConfig.group_by,
    augment: Names = ScratchConfig.augment,
    batch_size: int | None = ScratchConfig.batch_size,
    schedule: str = ScratchConfig.schedule,
    patience: int = ScratchConfig.patience,
    label_smoothing: float = ScratchConfig.label_smoothing,
    balanced: bool = ScratchConfig.balanced,
    precision: str = ScratchConfig.precision,
    refit: bool = ScratchConfig.refit,
    metric: str = ScratchConfig.metric,
    threshold: bool = ScratchConfig.threshold,
    restart: bool = ScratchConfig.restart,
    seed: int = ScratchConfig.seed,
    progress: bool = ScratchConfig.progress,
) -> ResultsFolder:
    """Train a CNN on your images alone, as the command `scratch` does.

    A repeated call goes on from the last whole epoch of one that was interrupted.

    Args:
        source: a folder, a manifest, an archive or a file of arrays, with labels.
        out: the folder of the results; its splits are taken where it has any.
        architecture: "small", "lenet", "vgg" or "resnet18".
        epochs: the largest number of epochs; None chooses it by the number of images.
        learning_rate: the highest learning rate; None takes the architecture's own.
        weight_decay: the weight decay of AdamW.
        batchnorm: whether the network has batch normalization.
        dropout: whether the network has dropout.
        standardize: whether pixels are standardized by the mean and spread of the training images.
        ablate: whether to train with all of these and augmentation, without each of them and
            without any; writes ablation.csv.
        name: the name of the candidate; None calls it what it is, such as "scratch-small".
        image_size: height and width the network sees, in pixels, or one int for both; None takes
            the images' own.
        limit: take that many images only, spread evenly over the source.
        splits: which folder holds which split, as in `features.extract`.
        accept_damaged: take damaged JPEGs as far as they can be decoded; they are counted.
        folds: the number of folds of cross-validation, where the folder has no splits yet; None
            as in `classify`.
        group_by: a column of the manifest; images with the same value stay in the same split.
        augment: names among "flip", "rotation", "zoom", "translation" and "contrast"; or "auto",
            which suits the classes; or "none".
        batch_size: images in a training step; None chooses it by the number of images.
        schedule: "cosine", "plateau" or "constant": how the learning rate changes.
        patience: epochs without a lower validation loss after which training ends; 0 for never.
        label_smoothing: share of each label that is spread over all classes, 0 to 1.
        balanced: whether to weight the classes by how rare they are.
        precision: "float32", "mixed_bfloat16", or "auto" for the fastest here.
        refit: whether to train once more on all images that are not locked; otherwise the network
            that validated is kept, where one split is held out.
        metric: the metric of its validation, as in `classify`.
        threshold: whether it gets a decision threshold between two classes, as in `classify`.
        restart: whether to discard this candidate of an earlier call, finished or not.
        seed: the seed of splits, weights and everything drawn.
        progress: whether to show progress bars.

    Returns:
        The results folder, with a record of each network.

    Raises:
        UsageError: a value is not what its option expects, images too small for the architecture,
            or a results folder of other images.
        DataError: the images cannot be read or are unlabelled, or the loss is no longer finite.
        MissingPackageError: Keras is not installed.
    """
    return scratch_stage.run(ScratchConfig(**locals()))
