"""Settings of the stage that serves a candidate."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from features.arguments import (
    check_count,
    check_positive,
    check_share,
    check_text,
    normalize,
    refused,
)
from pipeline.config.choices import RECOMMENDED
from pipeline.config.predicting import PredictConfig
from pipeline.config.readers import CANDIDATE, check_confidence, check_not_negative


@dataclass(frozen=True)
class ServeConfig:
    """Settings of `serve`.

    Attributes:
        results: a results folder, the folder of one candidate in it, or a pack.
        candidate: "recommended" by `compare`, "best" on validation, or a name.
        metric: the metric by which "best" and "recommended" are chosen; None takes the one that
            candidates were chosen by.
        host: the address to listen on; only this machine reaches the default.
        port: the port to listen on.
        max_batch: images that are computed at a time.
        max_delay: milliseconds that an image waits for others, at most.
        max_waiting: images that wait, at most; more are refused.
        max_requests: requests that arrive at a time; more are refused.
        max_body: MiB of a request.
        timeout: seconds for a request to arrive.
        top: how many of the likeliest classes to give for each image.
        coverage: the promised share of prediction sets that hold the true class.
        alarms: the share of images like those learned from that are marked as unlike them.
        weights: the weights file, where the features were made from one.
        features: where the feature file lies now, if it has moved.
        trust: whether to load an analyst's own estimator, whose file can run any code.
    """

    results: Path
    candidate: str = RECOMMENDED
    metric: str | None = None
    host: str = "127.0.0.1"
    port: int = 8000
    max_batch: int = 8
    max_delay: float = 5.0
    max_waiting: int = 256
    max_requests: int = 64
    max_body: int = 32
    timeout: float = 30.0
    top: int = PredictConfig.top
    coverage: float = PredictConfig.coverage
    alarms: float = PredictConfig.alarms
    weights: str | None = None
    features: Path | None = None
    trust: bool = False

    def __post_init__(self) -> None:
        normalize(
            self,
            **CANDIDATE,
            host=check_text,
            port=_check_port,
            max_batch=check_count,
            max_delay=check_not_negative,
            max_waiting=check_count,
            max_requests=check_count,
            max_body=check_count,
            timeout=check_positive,
            top=check_count,
            coverage=check_confidence,
            alarms=check_share,
        )


def _check_port(value: Any, option: str) -> int:
    """Return a port; 0 takes any that is free."""
    port = check_count(value, option, at_least=0)
    if port > 65_535:
        raise refused(value, option, "a port, 0 to 65535")
    return port
