"""Candidates that learn from feature files, and what can be known before and after them."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from features.arguments import Names, Paths
from pipeline.config import AdviseConfig, ClassifyConfig
from pipeline.results.advice import Advice
from pipeline.results.folder import ResultsFolder
from pipeline.stages import advise as advise_stage
from pipeline.stages import classify as classify_stage

if TYPE_CHECKING:
    import pandas as pd


def classify(
    features: Paths,
    out: str | Path,
    *,
    classifiers: Names | Sequence[Any] = ClassifyConfig.classifiers,
    layers: Names = ClassifyConfig.layers,
    metric: str = ClassifyConfig.metric,
    threshold: bool = ClassifyConfig.threshold,
    folds: int | None = ClassifyConfig.folds,
    group_by: str | None = ClassifyConfig.group_by,
    tune: bool = ClassifyConfig.tune,
    budget: float | None = ClassifyConfig.budget,
    memory: int | str | None = ClassifyConfig.memory,
    restart: bool = ClassifyConfig.restart,
    seed: int = ClassifyConfig.seed,
    progress: bool = ClassifyConfig.progress,
) -> ResultsFolder:
    """Fit, tune and record classifiers on feature files, as the command `classify` does.

    What is finished in `out` is kept, so that a repeated call goes on after an interruption.

    Args:
        features: one feature file, or several of the same images.
        out: the folder of the results.
        classifiers: names from the suite, as a string with commas or a sequence; none means all of
            it. An estimator of your own stands in the sequence as a tuple: a name, a scikit-learn
            estimator from a module that can be imported again, and the space to search (a
            dictionary of parameters with lists of values, a list of settings, or None). Its model
            is kept apart, and `evaluate` loads it only with `trust=True`.
        layers: names of layers of each feature file; none means the deepest, "all" every one.
            Layers joined by a plus stand side by side; a name with a colon is of that network or
            file, as in "vgg16:block5_pool+resnet50:conv5_block3_out"; "all+" joins all.
        metric: "accuracy", "balanced_accuracy", "macro_f1", "roc_auc", "average_precision" or
            "log_loss", by which settings are chosen.
        threshold: whether candidates for two classes get a decision threshold, chosen on validation
            for the metric (one of the first three); finished ones get it without another fit.
        folds: the number of folds of cross-validation; None holds a fifth of the images out, or
            takes 5 folds where images are few.
        group_by: a column of the manifest; images with the same value stay in the same split.
        tune: whether to search each classifier's space or to take its defaults.
        budget: seconds for the whole call; None for no limit.
        memory: bytes for the whole call, or a text such as "4G"; features that do not fit are read
            in blocks, see "How far it carries". None takes half of what is free.
        restart: whether to discard the splits and the candidates of an earlier call.
        seed: the seed of splits, searches and classifiers.
        progress: whether to show a progress bar.

    Returns:
        The results folder, with a record of each candidate.

    Raises:
        UsageError: a value is not what its option expects; feature files of different images; a
            results folder made from other images or with other splits.
        DataError: a feature file is incomplete, damaged, unlabelled or of one class only; a class
            has too few images; or no candidate could be finished.
        MissingPackageError: a classifier that was asked for by name needs a package.
    """
    return classify_stage.run(ClassifyConfig(**locals()))  # the parameters are its fields


def splits(results: str | Path) -> "pd.DataFrame":
    """Return the splits of a results folder, to train another tool on the same images.

    Args:
        results: a results folder, on the disk or in a store.

    Returns:
        A row for each image: its id, label and split, and its fold in each repeat.

    Raises:
        UsageError: the folder holds no splits.
        DataError: the splits cannot be read.
    """
    return ResultsFolder(results).splits()


def advise(
    features: str | Path,
    out: str | Path | None = AdviseConfig.out,
    *,
    folds: int | None = AdviseConfig.folds,
    group_by: str | None = AdviseConfig.group_by,
    seed: int = AdviseConfig.seed,
    progress: bool = AdviseConfig.progress,
) -> Advice:
    """Say from a feature file what to do next, as the command `advise` does.

    It probes the layers and extends the learning curve; the locked test is never looked at.

    Args:
        features: a feature file.
        out: the results folder for advice.json, whose splits are taken if it has any; None writes
            beside the feature file.
        folds: the number of folds of cross-validation; None as in `classify`.
        group_by: a column of the manifest; images with the same value stay in the same split.
        seed: the seed of the splits and of the choice of rows.
        progress: whether to show a progress bar.

    Returns:
        The probes, the learning curve and the recommended command.

    Raises:
        UsageError: a value is not what its option expects, or the results folder has the splits of
            other images.
        DataError: the file is incomplete, damaged, unlabelled or of one class only; a class has
            too few images; or the advice cannot be written.
    """
    return advise_stage.run(AdviseConfig(**locals()))
