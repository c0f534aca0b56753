"""Settings of the stage that exports a candidate."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from features.arguments import as_location, normalize, refused
from features.remote.location import is_remote
from pipeline.config.choices import EXPORT_SUFFIXES, RECOMMENDED
from pipeline.config.readers import CANDIDATE


@dataclass(frozen=True)
class ExportConfig:
    """Settings of `export`.

    Attributes:
        results: a results folder, the folder of one candidate in it, or a pack.
        out: a file ending in .onnx or .keras, or a folder, whose name has no ending, for OpenVINO.
        candidate: "recommended" by `compare`, "best" on validation, or a name.
        metric: the metric by which "best" and "recommended" are chosen; None takes the one that
            candidates were chosen by.
        weights: the weights file, where the features were made from one.
        features: where the feature file lies now, if it has moved.
        trust: whether to load an analyst's own estimator, whose file can run any code.
    """

    results: Path
    out: Path
    candidate: str = RECOMMENDED
    metric: str | None = None
    weights: str | None = None
    features: Path | None = None
    trust: bool = False

    def __post_init__(self) -> None:
        normalize(
            self,
            **CANDIDATE,
            out=_as_export,
        )


def _as_export(value: Any, option: str) -> Path:
    path = as_location(value, option)
    if path.suffix not in EXPORT_SUFFIXES or path.name in ("", ".."):
        raise refused(
            str(path), option, "a file ending in .onnx or .keras, or a folder such as openvino"
        )
    if is_remote(path) and not path.suffix:
        raise refused(
            str(path),
            option,
            "a file ending in .onnx or .keras; a folder is written to a path on this machine",
        )
    return path
