"""Settings of the stage that packs a candidate."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from features.arguments import (
    as_location,
    check_flag,
    normalize,
    refused,
)
from pipeline.config.choices import PACK_SUFFIX, RECOMMENDED
from pipeline.config.readers import CANDIDATE


@dataclass(frozen=True)
class PackConfig:
    """Settings of `pack`.

    Attributes:
        results: a results folder, or the folder of one candidate in it.
        out: the .zip file to write.
        candidate: "recommended" by `compare`, "best" on validation, or a name.
        metric: the metric by which "best" and "recommended" are chosen; None takes the one that
            candidates were chosen by.
        with_weights: whether the converted backbone goes along, so that the pack needs neither
            weights nor TensorFlow where OpenVINO is.
        weights: the weights file, where the features were made from one.
        features: where the feature file lies now, if it has moved.
        trust: whether to load an analyst's own estimator, whose file can run any code.
    """

    results: Path
    out: Path
    candidate: str = RECOMMENDED
    metric: str | None = None
    with_weights: bool = False
    weights: str | None = None
    features: Path | None = None
    trust: bool = False

    def __post_init__(self) -> None:
        normalize(
            self,
            **CANDIDATE,
            out=_as_pack,
            with_weights=check_flag,
        )


def _as_pack(value: Any, option: str) -> Path:
    path = as_location(value, option)
    if path.suffix != PACK_SUFFIX:
        raise refused(str(path), option, f"a file ending in {PACK_SUFFIX}")
    return path
