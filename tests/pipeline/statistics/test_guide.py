"""The guide at the head of the statistics runs as it stands there."""

import re

import numpy as np

import pipeline.statistics
from pipeline.statistics import (
    best_set,
    influence,
    intervals,
    resampling,
    scoring,
    selection,
    significance,
    threshold,
)


def test_the_lines_of_the_guide_run_one_after_another():
    (code,) = re.findall(r"```python\n(.*?)```", pipeline.statistics.__doc__, re.DOTALL)
    rng = np.random.default_rng(0)
    labels, groups = rng.integers(0, 2, 300), np.arange(300) // 2
    ones = np.clip(0.5 + 0.3 * (labels - 0.5) + rng.normal(0, 0.2, (3, 2, 300)), 0.01, 0.99)
    names = {"metric": "balanced_accuracy", "labels": labels, "groups": groups, "K": 2, "seed": 0,
             "predicted": (ones[:, 0] > 0.5).astype(int),
             "probabilities": [np.stack([1 - one, one], axis=-1) for one in ones]}  # fmt: skip
    modules = (
        best_set,
        influence,
        intervals,
        resampling,
        scoring,
        selection,
        significance,
        threshold,
    )
    names |= {module.__name__.rpartition(".")[2]: module for module in modules}
    lines = code.strip().splitlines()
    for line in lines[:-1]:
        exec(line, names)
    assert eval(lines[1].partition("= ")[2], names).scores.min() > 0.6
    assert eval(lines[3].partition("#")[0], names).any()
    assert eval(lines[6].partition("#")[0], names).all()
    names["probabilities"] = [given[0] for given in names["probabilities"]]
    exec(lines[-1], names)
