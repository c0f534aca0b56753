"""Settings of the stages that learn from feature files."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from features.arguments import (
    as_image_size,
    as_location,
    as_locations,
    as_names,
    as_path,
    check_choice,
    check_count,
    check_flag,
    check_positive,
    check_text,
    normalize,
    optional,
)
from pipeline.config.choices import METRIC, METRICS
from pipeline.config.readers import as_bytes, as_classifiers, check_threshold


@dataclass(frozen=True)
class ClassifyConfig:
    """Settings of `classify`.

    Attributes:
        features: feature files of the same images.
        out: the folder of the results; what is finished there is kept.
        classifiers: names from the suite, and estimators of your own, each as a tuple (name,
            estimator, search space); none means the whole suite.
        layers: names of layers of each feature file; none means the deepest, "all" every one.
            Layers joined by a plus stand side by side; a name with a colon is of that network or
            file, as in "vgg16:block5_pool+resnet50:conv5_block3_out"; "all+" joins all.
        metric: the metric by which settings are chosen, one of `choices.METRICS`.
        threshold: whether candidates for two classes get a decision threshold, chosen on validation
            for the metric; see `results.decisions`.
        folds: the number of folds of cross-validation; None holds a fifth of the images out, or
            takes 5 folds where images are few.
        group_by: a column of the manifest; images with the same value stay in the same split.
        tune: whether to search each classifier's space or to take its defaults.
        budget: seconds for the whole run; None for no limit.
        memory: bytes for the whole run, or a text such as "4G"; features that do not fit are read
            in blocks. None takes half of what is free.
        restart: whether to discard the splits and the candidates of an earlier run.
        seed: the seed of splits, searches and classifiers.
        progress: whether to show a progress bar.
    """

    features: tuple[Path, ...]
    out: Path
    classifiers: tuple[Any, ...] = ()
    layers: tuple[str, ...] = ()
    metric: str = METRIC
    threshold: bool = False
    folds: int | None = None
    group_by: str | None = None
    tune: bool = True
    budget: float | None = 3600.0
    memory: int | None = None
    restart: bool = False
    seed: int = 0
    progress: bool = True

    def __post_init__(self) -> None:
        normalize(
            self,
            features=partial(as_locations, at_least=1),
            out=as_location,
            classifiers=as_classifiers,
            layers=as_names,
            metric=partial(check_choice, choices=METRICS),
            threshold=check_flag,
            folds=optional(partial(check_count, at_least=2)),
            group_by=optional(check_text),
            tune=check_flag,
            budget=optional(check_positive),
            memory=optional(as_bytes),
            restart=check_flag,
            seed=partial(check_count, at_least=0),
            progress=check_flag,
        )
        check_threshold(self.threshold, self.metric)


@dataclass(frozen=True)
class AdviseConfig:
    """Settings of `advise`.

    Attributes:
        features: a feature file.
        out: the results folder for advice.json, whose splits are taken if it has any; None writes
            beside the feature file.
        folds: the number of folds of cross-validation; None as in `ClassifyConfig`.
        group_by: a column of the manifest; images with the same value stay in the same split.
        seed: the seed of the splits and of the choice of rows.
        progress: whether to show a progress bar.
    """

    features: Path
    out: Path | None = None
    folds: int | None = None
    group_by: str | None = None
    seed: int = 0
    progress: bool = True

    def __post_init__(self) -> None:
        normalize(
            self,
            features=as_location,
            out=optional(as_location),
            folds=optional(partial(check_count, at_least=2)),
            group_by=optional(check_text),
            seed=partial(check_count, at_least=0),
            progress=check_flag,
        )


@dataclass(frozen=True)
class DemoConfig:
    """Settings of `demo`.

    Attributes:
        out: the folder of the feature files and the results.
        backbones: the networks that extract features, one after the other.
        image_size: height and width in pixels; the bundled images have 32, and three times that
            keeps the demo short.
        classifiers: names from the suite: those that need seconds, not minutes.
        folds: the number of folds of cross-validation, which runs twice.
        candidate: the candidate for which the locked test is opened.
        seed: the seed of everything random.
        progress: whether to show progress bars.
    """

    out: Path = Path("demo")
    backbones: tuple[str, ...] = ("vgg16", "resnet50")
    image_size: tuple[int, int] = (96, 96)
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

    def __post_init__(self) -> None:
        normalize(
            self,
            out=as_path,
            backbones=partial(as_names, at_least=1),
            image_size=as_image_size,
            classifiers=partial(as_names, at_least=1),
            folds=partial(check_count, at_least=2),
            candidate=check_text,
            seed=partial(check_count, at_least=0),
            progress=check_flag,
        )
