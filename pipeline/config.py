"""The settings of every stage; each default stands here or in `features.config`, once."""

from dataclasses import dataclass
from pathlib import Path

from features.config import ExtractConfig

__all__ = [
    "AdviseConfig",
    "ClassifyConfig",
    "CompareConfig",
    "DemoConfig",
    "EvaluateConfig",
    "ExtractConfig",
    "ReportConfig",
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
        resamples: of the bootstrap.
        confidence: of its intervals, 0 to 1.
        seed: of the bootstrap.
    """

    results: Path
    candidate: str = "best"
    features: Path | None = None
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
