"""Rates, measured alike for everybody."""

import time
from collections.abc import Callable
from typing import Any

SECONDS = 3.0


def forward_rate(forward: Callable[[], Any], batch: int) -> float:
    """Return images/s of a function that takes one ready batch: warmed up, then for 3 seconds."""
    forward()
    forward()
    started, calls = time.perf_counter(), 0
    while calls < 3 or time.perf_counter() - started < SECONDS:
        forward()
        calls += 1
    return calls * batch / (time.perf_counter() - started)


def seconds(action: Callable[[], Any]) -> float:
    """Return how long one call takes."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started
