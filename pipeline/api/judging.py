"""Candidates judged: on validation as often as wanted, on the locked test once."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from features.arguments import Paths
from pipeline.config import AddConfig, CompareConfig, EvaluateConfig, ReportConfig
from pipeline.results.comparison import Comparison
from pipeline.results.evaluation import Evaluation
from pipeline.results.folder import ResultsFolder
from pipeline.results.report import Report
from pipeline.stages import add as add_stage
from pipeline.stages import compare as compare_stage
from pipeline.stages import evaluate as evaluate_stage
from pipeline.stages import report as report_stage

if TYPE_CHECKING:
    import pandas as pd


def add_predictions(
    results: str | Path,
    table: "str | Path | pd.DataFrame",
    name: str,
    *,
    title: str | None = AddConfig.title,
    seconds: float | Mapping[str, float] | None = AddConfig.seconds,
    replace: bool = AddConfig.replace,
) -> ResultsFolder:
    """Make the validation predictions of another tool a candidate, as the command `add` does.

    Args:
        results: a results folder, whose `splits` say which images validate.
        table: a .csv or .parquet file, or a pandas frame: a column `id`, and for each image that
            validates either a probability for each class (columns `p:<class>`, or named like the
            classes) or a predicted class (column `predicted` or `label`).
        name: the name of the candidate, unique in the folder.
        title: the name of the candidate in tables; None takes `name`.
        seconds: "fit" (to fit once) and "predict_1000" (to predict 1,000 images), as far as they
            are known; a number is the time to fit. Without "predict_1000" it is never
            the cheapest.
        replace: whether to replace other predictions that were added under this name.

    Returns:
        The results folder, as an object with its candidates and splits.

    Raises:
        UsageError: a value is not what its option expects, there is no results folder or table,
            or the name is taken.
        DataError: the table does not hold predictions of exactly the images that validate.
    """
    return add_stage.run(AddConfig(**locals()))


def compare(
    results: Paths,
    out: str | Path | None = CompareConfig.out,
    *,
    metric: str | None = CompareConfig.metric,
    resamples: int = CompareConfig.resamples,
    confidence: float = CompareConfig.confidence,
    seed: int = CompareConfig.seed,
    give_up: float = CompareConfig.give_up,
) -> Comparison:
    """Rank candidates on validation, as the command `compare` does; the test stays locked.

    Args:
        results: one results folder, or several with equal splits.
        out: the folder of comparison.csv and comparison.json; None takes the first of `results`.
        metric: "accuracy", "balanced_accuracy", "macro_f1", "roc_auc", "average_precision" or
            "log_loss", by which candidates are ranked; None takes the one they were chosen by.
        resamples: the number of resamples of the bootstrap.
        confidence: the confidence level of its intervals, between 0 and 1.
        seed: the seed of the bootstrap.
        give_up: points of the metric, hundredths, that the recommended candidate may be below the
            best, for a lower cost.

    Returns:
        The ranking, with every metric, its interval and the tests between candidates.

    Raises:
        UsageError: a value is not what its option expects, there is no candidate, folders have
            different splits, or `out` cannot be written to.
        DataError: a record or predictions cannot be read, or do not belong to the splits.
    """
    return compare_stage.run(CompareConfig(**locals()))


def evaluate(
    results: str | Path,
    candidate: str = EvaluateConfig.candidate,
    *,
    features: str | Path | None = EvaluateConfig.features,
    source: str | Path | None = EvaluateConfig.source,
    trust: bool = EvaluateConfig.trust,
    metric: str | None = EvaluateConfig.metric,
    resamples: int = EvaluateConfig.resamples,
    confidence: float = EvaluateConfig.confidence,
    seed: int = EvaluateConfig.seed,
) -> Evaluation:
    """Open the locked test for one candidate, as the command `evaluate` does, and count it.

    A result that is stored already is returned without another opening.

    Args:
        results: a results folder.
        candidate: "best" on validation, "recommended" by `compare`, or a name.
        features: where the feature file lies now, if it has moved.
        source: where the images lie now, if they have moved, for a network trained on pixels.
        trust: whether to load an estimator of your own, whose file can run any code.
        metric: the metric by which "best" and "recommended" are chosen; None takes the one that
            candidates were chosen by.
        resamples: the number of resamples of the bootstrap.
        confidence: the confidence level of its intervals, between 0 and 1.
        seed: the seed of the bootstrap.

    Returns:
        Every metric on the locked test with its interval, and all openings so far.

    Raises:
        UsageError: a value is not what its option expects; an unknown candidate, or one whose
            model is not trusted; no locked test; or another process at work in the folder.
        DataError: a record, the model, the features or the images are missing, damaged or others.
        MissingPackageError: the candidate's model needs a package.
    """
    return evaluate_stage.run(EvaluateConfig(**locals()))


def report(
    results: Paths,
    out: str | Path = ReportConfig.out,
    *,
    features: Paths = ReportConfig.features,
    images: str | Path | None = ReportConfig.images,
    evidence: int = ReportConfig.evidence,
    metric: str | None = ReportConfig.metric,
    resamples: int = ReportConfig.resamples,
    confidence: float = ReportConfig.confidence,
    seed: int = ReportConfig.seed,
    give_up: float = ReportConfig.give_up,
    paths: bool = ReportConfig.paths,
    progress: bool = ReportConfig.progress,
) -> Report:
    """Compare candidates and write all of it as one HTML page, as the command `report` does.

    Args:
        results: one results folder, or several with equal splits.
        out: the HTML file to write.
        features: where feature files lie now that have moved.
        images: where the images lie now, if they have moved.
        evidence: mistakes of the recommended candidate in which a click shows where the evidence
            lies, at most; an eighth of them where it is found by covering parts; 0 shows none.
        metric: "accuracy", "balanced_accuracy", "macro_f1", "roc_auc", "average_precision" or
            "log_loss", by which candidates are ranked; None takes the one they were chosen by.
        resamples: the number of resamples of the bootstrap.
        confidence: the confidence level of its intervals, between 0 and 1.
        seed: the seed of the bootstrap.
        give_up: points of the metric, hundredths, that the recommended candidate may be below the
            best, for a lower cost.
        paths: whether the page shows whole paths, which may tell who made it.
        progress: whether to show a progress bar.

    Returns:
        The content of the page, with its path as `path`; the page works without a network.

    Raises:
        UsageError: a value is not what its option expects, there is no candidate, folders have
            different splits, or `out` cannot be written to.
        DataError: a file of the results folders cannot be read, or does not belong to the splits.
    """
    return report_stage.run(ReportConfig(**locals()))
