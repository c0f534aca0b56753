"""The settings of every stage; each default stands here or in `features.config`, once."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from features.config import ExtractConfig

__all__ = [
    "AdviseConfig",
    "ClassifyConfig",
    "CompareConfig",
    "DemoConfig",
    "EvaluateConfig",
    "ExtractConfig",
    "FinetuneConfig",
    "NetworkConfig",
    "ReportConfig",
    "ScratchConfig",
]

METRIC = "accuracy"
RESAMPLES, CONFIDENCE = 1000, 0.95  # of the bootstrap, and how sure its intervals are


@dataclass(frozen=True)
class ClassifyConfig:
    """What `classify` is told.

    Attributes:
        features: feature files of the same images.
        out: folder of the results; what is finished there is kept.
        classifiers: names from the suite; none given: all of it.
        layers: of each feature file; none given: the deepest; "all": every one.
        metric: one of `evaluation.metrics.METRICS`, by which settings are chosen.
        folds: of cross-validation; None leaves it to `evaluation.splits.SplitConfig`.
        group_by: a column of the manifest; images equal in it never part.
        tune: search each classifier's space, or take its default.
        budget: seconds for the whole; None for no end.
        restart: throw away the splits and the candidates of an earlier run.
        seed: of splits, searches and classifiers.
    """

    features: tuple[Path, ...]
    out: Path
    classifiers: tuple[str, ...] = ()
    layers: tuple[str, ...] = ()
    metric: str = METRIC
    folds: int | None = None
    group_by: str | None = None
    tune: bool = True
    budget: float | None = 3600.0
    restart: bool = False
    seed: int = 0
    progress: bool = True


@dataclass(frozen=True)
class NetworkConfig:
    """What every stage that trains networks on pixels is told.

    Attributes:
        command: that calls the stage.
        source: a folder, a manifest, an archive or a file of arrays.
        out: folder of the results; its splits are taken where it has some.
        name: of the candidate; None: what it is, such as "scratch-small".
        image_size: height and width the network sees, in pixels; None leaves it to the stage.
        limit: take that many images only, spread evenly over the source.
        folds: of cross-validation, where the folder has no splits yet; None leaves it to
            `evaluation.splits.SplitConfig`.
        group_by: a column of the manifest; images equal in it never part.
        augment: names from `networks.augmentation.AMOUNTS`, or "auto", or "none".
        batch_size: images a step.
        schedule: of the learning rate, one of `networks.schedules.SCHEDULES`.
        patience: epochs without a lower validation loss after which a stage ends; 0: never.
        label_smoothing: share of each label that is spread over all classes, 0 to 1.
        balanced: weigh the classes by how rare they are.
        precision: one of `networks.precision.PRECISIONS`.
        refit: train once more on all images that are not locked; else keep the network that
            validated, where one part is held out.
        metric: by which its validation is told; one of `evaluation.metrics.METRICS`.
        restart: throw away this candidate of an earlier run, finished or not.
        seed: of splits, weights and everything drawn.
    """

    command: ClassVar[str]

    source: Path
    out: Path
    name: str | None = None
    image_size: tuple[int, int] | None = None
    limit: int | None = None
    folds: int | None = None
    group_by: str | None = None
    augment: tuple[str, ...] = ("auto",)
    batch_size: int = 128
    schedule: str = "cosine"
    patience: int = 10
    label_smoothing: float = 0.0
    balanced: bool = False
    precision: str = "auto"
    refit: bool = True
    metric: str = METRIC
    restart: bool = False
    seed: int = 0
    progress: bool = True


@dataclass(frozen=True)
class ScratchConfig(NetworkConfig):
    """What `scratch` is told beside that.

    Attributes:
        architecture: one of `networks.architectures.ARCHITECTURES`.
        epochs: at most; None takes the architecture's own.
        learning_rate: the highest; None takes the architecture's own.
        weight_decay: of AdamW.
        batchnorm, dropout, standardize: each a trick of the trade that can be left out.
        ablate: train without each of them, without any, and with all; write ablation.csv.
    """

    command = "scratch"

    architecture: str = "small"
    epochs: int | None = None
    learning_rate: float | None = None
    weight_decay: float = 0.05
    batchnorm: bool = True
    dropout: bool = True
    standardize: bool = True
    ablate: bool = False


@dataclass(frozen=True)
class FinetuneConfig(NetworkConfig):
    """What `finetune` is told beside that; `image_size` is the backbone's own where it is None.

    Attributes:
        backbone: a name from the catalog.
        weights, scaling: as in `features.config.ExtractConfig`.
        unfreeze: what is trained beside the head, a stage each: "conv5_block1" (that block and
            all deeper ones), "conv5", a number of blocks, "all", or "none" alone; none given: as
            many of the deepest blocks as hold two fifths of the weights.
        epochs: of each stage that unfreezes something, at most.
        head_epochs: of the stage that trains the head alone, at most.
        learning_rate: the head's, the highest; blocks take a tenth and a hundredth of it.
        warmup: epochs in which a cosine rises.
        weight_decay: of AdamW.
        head: a logistic regression that the head starts from, instead of a stage of its own: the
            name of a candidate in `out`, or its folder.
        features: where the feature file of `head` lies now, if not where it was.
        cache_trunk: compute what is below the trained layers once; None: where that is at least
            half of the network's work.
        views: augmented ones of each image in the cache, beside the plain one.
        engine, engine_precision: of the extraction into the cache.
    """

    command = "finetune"

    backbone: str = ExtractConfig.backbone
    weights: str = ExtractConfig.weights
    scaling: str | None = None
    unfreeze: tuple[str, ...] = ()
    epochs: int = 10
    head_epochs: int = 5
    learning_rate: float = 1e-3
    warmup: float = 1.0
    weight_decay: float = 0.01
    head: str | None = None
    features: Path | None = None
    cache_trunk: bool | None = None
    views: int = 3  # each takes disk: 74 kB an image for ResNet50's conv5 at 96 px
    engine: str = ExtractConfig.engine
    engine_precision: str = ExtractConfig.precision


@dataclass(frozen=True)
class CompareConfig:
    """What `compare` is told.

    Attributes:
        results: folders that `classify` wrote, with equal splits.
        out: folder of comparison.csv and comparison.json; None: the first of `results`.
        metric: by which candidates are ranked, one of `evaluation.metrics.METRICS`.
        resamples: of the bootstrap.
        confidence: of its intervals, 0 to 1.
        seed: of the bootstrap.
    """

    results: tuple[Path, ...]
    out: Path | None = None
    metric: str = METRIC
    resamples: int = RESAMPLES
    confidence: float = CONFIDENCE
    seed: int = 0


@dataclass(frozen=True)
class EvaluateConfig:
    """What `evaluate` is told.

    Attributes:
        results: a folder that `classify` wrote.
        candidate: "best" on validation, "recommended" by `compare`, or a name.
        features: where the feature file lies now, if not where it was.
        source: where the images lie now, likewise, for a network trained on pixels.
        resamples: of the bootstrap.
        confidence: of its intervals, 0 to 1.
        seed: of the bootstrap.
    """

    results: Path
    candidate: str = "best"
    features: Path | None = None
    source: Path | None = None
    resamples: int = RESAMPLES
    confidence: float = CONFIDENCE
    seed: int = 0


@dataclass(frozen=True)
class AdviseConfig:
    """What `advise` is told.

    Attributes:
        features: a feature file.
        out: results folder for advice.json, whose splits are taken if it has some; None writes
            beside the feature file.
        folds: of cross-validation; None leaves it to `evaluation.splits.SplitConfig`.
        group_by: a column of the manifest; images equal in it never part.
        seed: of splits and of choices of rows.
    """

    features: Path
    out: Path | None = None
    folds: int | None = None
    group_by: str | None = None
    seed: int = 0
    progress: bool = True


@dataclass(frozen=True)
class ReportConfig:
    """What `report` is told.

    Attributes:
        results: folders that `classify` wrote, with equal splits.
        out: the HTML file to write.
        features: where feature files lie now that are not where they were.
        images: where the images lie now, if not where they were.
        metric: by which candidates are ranked, one of `evaluation.metrics.METRICS`.
        resamples: of the bootstrap.
        confidence: of its intervals, 0 to 1.
        seed: of the bootstrap.
    """

    results: tuple[Path, ...]
    out: Path = Path("report.html")
    features: tuple[Path, ...] = ()
    images: Path | None = None
    metric: str = METRIC
    resamples: int = RESAMPLES
    confidence: float = CONFIDENCE
    seed: int = 0


@dataclass(frozen=True)
class MapConfig:
    """What `map` is told.

    Attributes:
        features: a feature file.
        out: the map: an .html page, or a .png picture.
        layer: of the feature file; None takes the deepest.
        method: "tsne", or "umap", which is an extra.
        results: a folder that `classify` wrote for these images: who is locked, and what candidates
            predicted; None: the source's own test part is locked.
        images: where the images lie now; None: where the feature file says that they were.
        limit: take that many images only, spread evenly over the file.
        components: principal components that the method sees.
        perplexity: about how many neighbours an image has; UMAP takes it as their number.
        seed: of everything random.
    """

    features: Path
    out: Path
    layer: str | None = None
    method: str = "tsne"
    results: Path | None = None
    images: Path | None = None
    limit: int | None = None
    components: int = 50  # the custom for t-SNE; what is left out is mostly noise
    perplexity: float = 30.0
    seed: int = 0
    progress: bool = True


@dataclass(frozen=True)
class DemoConfig:
    """What `demo` is told.

    Attributes:
        out: folder for the feature files and the results.
        backbones: extracted one after the other.
        image_size: side in pixels; the bundled images have 32, three times that keeps it short.
        classifiers: those that need seconds, not minutes.
        folds: of cross-validation, which runs twice.
        candidate: for which the locked test is opened.
        seed: of everything random.
    """

    out: Path = Path("demo")
    backbones: tuple[str, ...] = ("vgg16", "resnet50")
    image_size: int = 96
    classifiers: tuple[str, ...] = (
        "logistic",
        "linear-svm",
        "rbf-svm",
        "knn-cosine",
        "nearest-centroid",
        "dummy",
    )
    folds: int = 3
    candidate: str = "recommended"
    seed: int = 0
    progress: bool = True
