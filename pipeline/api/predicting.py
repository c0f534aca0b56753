"""Candidates at work: the classes of images that are new."""

from pathlib import Path

from features.arguments import Paths
from pipeline.config import ExportConfig, PackConfig, PredictConfig
from pipeline.results.new_predictions import NewPredictions
from pipeline.stages import export as export_stage
from pipeline.stages import pack as pack_stage
from pipeline.stages import predict as predict_stage


def predict(
    results: str | Path,
    images: Paths,
    out: str | Path = PredictConfig.out,
    *,
    candidate: str = PredictConfig.candidate,
    metric: str | None = PredictConfig.metric,
    top: int = PredictConfig.top,
    coverage: float = PredictConfig.coverage,
    alarms: float = PredictConfig.alarms,
    explain: str | Path | None = PredictConfig.explain,
    submission: str | Path | None = PredictConfig.submission,
    weights: str | Path | None = PredictConfig.weights,
    engine: str | None = PredictConfig.engine,
    precision: str | None = PredictConfig.precision,
    features: str | Path | None = PredictConfig.features,
    trust: bool = PredictConfig.trust,
    limit: int | None = PredictConfig.limit,
    restart: bool = PredictConfig.restart,
    progress: bool = PredictConfig.progress,
) -> NewPredictions:
    """Tell the classes of new images, as the command `predict` does.

    A repeated call goes on from where an earlier one stopped.

    Args:
        results: a results folder, the folder of one candidate in it, or a pack.
        images: one source, as `features.extract` takes it, or paths of image files.
        out: the table to write, .csv or .parquet; a note lies beside it, with the suffix .json.
        candidate: "recommended" by `compare`, "best" on validation, or a name.
        metric: the metric by which "best" and "recommended" are chosen; None takes the one that
            candidates were chosen by.
        top: how many of the likeliest classes to give for each image.
        coverage: the promised share, 0 to 1, of prediction sets that hold the true class.
        alarms: the share, 0 to 1, of images like those learned from that are marked as unlike.
        explain: a folder for pictures that show where the evidence for a class lies, of the first
            100 images; None makes none.
        submission: a competition's sample file; predictions are also written with its ids, in its
            order, and its columns, to a file with the suffix .submission.csv.
        weights: the weights file, where the features were made from one.
        engine: "openvino", "tensorflow", "jax", "torch" or "auto"; None takes the one that made the
            features learned from.
        precision: "float32", "bfloat16", "float16" or "auto"; None takes theirs too.
        features: where the feature file lies now, if it has moved.
        trust: whether to load an estimator of your own, whose file can run any code.
        limit: take that many images only, spread evenly over the source.
        restart: discard what an earlier run left and begin anew.
        progress: whether to show a progress bar.

    Returns:
        The table's path and its note; `frame()` reads the table.

    Raises:
        UsageError: a value is not what its option expects, there is no such candidate or image,
            or `out` holds something else.
        DataError: a record, the model, the features or the source are missing, damaged or others,
            or no image can be read.
        MissingPackageError: the candidate needs a package.
    """
    return predict_stage.run(PredictConfig(**locals()))


def pack(
    results: str | Path,
    out: str | Path,
    *,
    candidate: str = PackConfig.candidate,
    metric: str | None = PackConfig.metric,
    with_weights: bool = PackConfig.with_weights,
    weights: str | Path | None = PackConfig.weights,
    features: str | Path | None = PackConfig.features,
    trust: bool = PackConfig.trust,
) -> Path:
    """Put a candidate and all that it needs to predict into one file, as the command `pack` does.

    Args:
        results: a results folder, or the folder of one candidate in it.
        out: the .zip file to write.
        candidate: "recommended" by `compare`, "best" on validation, or a name.
        metric: the metric by which "best" and "recommended" are chosen; None takes the one that
            candidates were chosen by.
        with_weights: whether the converted backbone goes along, so that the pack needs neither
            weights nor TensorFlow where OpenVINO is.
        weights: the weights file, where the features were made from one.
        features: where the feature file lies now, if it has moved.
        trust: whether to load an estimator of your own, whose file can run any code.

    Returns:
        `out` as a Path, which `predict` takes in place of a results folder.

    Raises:
        UsageError: a value is not what its option expects, there is no such candidate, or `out`
            holds something else.
        DataError: a record, the model or the predictions are missing or damaged.
        MissingPackageError: the candidate needs a package.
    """
    return pack_stage.run(PackConfig(**locals()))


def export(
    results: str | Path,
    out: str | Path,
    *,
    candidate: str = ExportConfig.candidate,
    metric: str | None = ExportConfig.metric,
    weights: str | Path | None = ExportConfig.weights,
    features: str | Path | None = ExportConfig.features,
    trust: bool = ExportConfig.trust,
) -> Path:
    """Write a candidate as one network from pixels to probabilities, as the command `export` does.

    Args:
        results: a results folder, the folder of one candidate in it, or a pack.
        out: a file ending in .onnx or .keras, or a folder, whose name has no ending, for OpenVINO.
        candidate: "recommended" by `compare`, "best" on validation, or a name.
        metric: the metric by which "best" and "recommended" are chosen; None takes the one that
            candidates were chosen by.
        weights: the weights file, where the features were made from one.
        features: where the feature file lies now, if it has moved.
        trust: whether to load an estimator of your own, whose file can run any code.

    Returns:
        `out` as a Path.

    Raises:
        UsageError: a value is not what its option expects, there is no such candidate, the format
            cannot hold it, or `out` holds something else.
        DataError: a record or the model are missing or damaged, or the file does not predict what
            the candidate does.
        MissingPackageError: a package of the extra `export` is missing, or one that the candidate
            needs.
    """
    return export_stage.run(ExportConfig(**locals()))
