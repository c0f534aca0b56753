"""A candidate as a file of ONNX."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from features.disk import durable
from features.errors import UsageError
from pipeline.exporting.heads import gives_scores
from pipeline.exporting.network import Parts
from pipeline.exporting.onnx_graph import OPSET, OPSET_OF_TREES, PIXELS, Graph, Value
from pipeline.exporting.onnx_layers import call
from pipeline.exporting.onnx_trees import boosting

_LARGEST = 2**31 - 2**20  # bytes of a protobuf file, less what is no constant
RESIZES = True

EXAMPLE = """\
import onnxruntime
session = onnxruntime.InferenceSession("{name}")
(probabilities,) = session.run(None, {{"pixels": pixels}})"""


def write(parts: Parts, path: Path, facts: dict[str, str]) -> None:
    """Write the file; raises UsageError where ONNX cannot hold the candidate, and OSError."""
    graph = Graph()
    value = call(graph, parts.pixels, graph.pixels(parts.size, parts.resizing))
    if parts.estimator is not None:
        value = call(graph, parts.after, _estimated(graph, parts.estimator, value))
    if graph.bytes > _LARGEST:
        raise UsageError(
            f"{path.name}: {graph.bytes / 1e9:.1f} GB are more than the 2 GB that a file of ONNX "
            "can have; .keras and openvino/ can hold more"
        )
    durable.write(path, graph.finish(value, "candidate", facts).SerializeToString())


def probabilities(path: Path, pixels: np.ndarray) -> np.ndarray:
    """Return what a file makes of uint8 pixels (n, h, w, 3): float32 (n, K)."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    result: np.ndarray = session.run(None, {PIXELS: pixels})[0]
    return result


def is_ours(path: Path) -> bool:
    """Return whether a file was written here, by the name of its producer at its begin."""
    with path.open("rb") as file:
        return b"offshelf" in file.read(64)


def _estimated(graph: Graph, estimator: Any, value: Value) -> Value:
    """Add an estimator to the graph; return its scores, or else its probabilities."""
    if gives_scores(estimator):
        return boosting(graph, estimator, value)
    return graph.include(_operators(estimator, int(value.shape[1] or 0)), value)


def _operators(estimator: Any, width: int) -> Any:
    """Return what skl2onnx makes of an estimator that takes float32 (n, width)."""
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType

    if not hasattr(estimator, "predict_proba"):
        raise UsageError(
            f"no format can hold a {type(estimator).__name__}, which gives no probabilities; "
            "`pack` carries it"
        )
    try:
        return convert_sklearn(
            estimator,
            initial_types=[("x", FloatTensorType([None, width]))],
            target_opset={"": OPSET, "ai.onnx.ml": OPSET_OF_TREES},
            options={id(estimator): {"zipmap": False}},
        )
    except Exception as error:  # of many kinds, where a class or a setting of it is not known
        reason = str(error).partition("\n")[0][:200]
        raise UsageError(
            f"no format can hold a {type(estimator).__name__} ({reason}); `pack` carries it"
        ) from None
