"""A plain grid search: StandardScaler, an estimator of scikit-learn, GridSearchCV.

Each search runs in a separate process with a time limit: `run_search` starts
`python -m benchmarks.grid_search FOLDER CLASSIFIER`, which prints its figures as JSON.

The grids are our own spaces in the units of standardized features. Rows of D such features have a
mean squared norm of D where ours have 1, so C and gamma are divided by D and alpha is multiplied.
Models are as large as ours, forests and neighbours get all cores, and everything else is
scikit-learn's default, except for the iterations that logistic regression needs to converge.
"""

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.classifiers import find
from pipeline.data.splits import Splits

MATRIX = "x.npy"
STARTING = 30.0  # seconds that imports and reading may take beyond the limit


@dataclass(frozen=True)
class Competitor:
    """An estimator of scikit-learn that stands for a classifier of ours.

    Attributes:
        estimator: its module and class in scikit-learn.
        parameters: the parameters that it is given.
        powers: a value of ours is multiplied by the number of features to this power.
        names: its name of a parameter of ours, where they differ; empty for one that it lacks.
    """

    estimator: str
    parameters: dict[str, Any] = field(default_factory=dict)
    powers: dict[str, int] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)


_FOREST = {"n_estimators": 300, "n_jobs": -1, "random_state": 0}
COMPETITORS = {
    "logistic": Competitor("linear_model.LogisticRegression", {"max_iter": 1000}, {"C": -1}),
    "linear-svm": Competitor("svm.LinearSVC", {"random_state": 0}, {"C": -1}),
    "rbf-svm": Competitor("svm.SVC", {}, {"gamma": -1}),
    "random-forest": Competitor("ensemble.RandomForestClassifier", _FOREST),
    "extra-trees": Competitor("ensemble.ExtraTreesClassifier", _FOREST),
    "gradient-boosting": Competitor(
        "ensemble.HistGradientBoostingClassifier",
        {"max_iter": 300, "early_stopping": True, "random_state": 0},
    ),
    "knn-cosine": Competitor("neighbors.KNeighborsClassifier", {"metric": "cosine", "n_jobs": -1}),
    "knn-euclidean": Competitor("neighbors.KNeighborsClassifier", {"n_jobs": -1}),
    "ridge": Competitor("linear_model.RidgeClassifier", {}, {"alpha": 1}),
    "lda": Competitor("discriminant_analysis.LinearDiscriminantAnalysis", {"solver": "lsqr"}),
    "nearest-centroid": Competitor("neighbors.NearestCentroid"),
    "dense-head": Competitor(
        "neural_network.MLPClassifier",
        {"early_stopping": True, "random_state": 0},
        names={"hidden": "hidden_layer_sizes", "dropout": ""},
    ),
    "dummy": Competitor("dummy.DummyClassifier"),
}


def run_search(folder: Path, classifier: str, limit: float) -> dict[str, float] | None:
    """Run one search; return its seconds and validation score, None where it took too long.

    Args:
        folder: a folder with splits.parquet and `MATRIX`, float32 (N, D) in their order.
        classifier: a name from `COMPETITORS`.
        limit: the time limit in seconds.
    """
    child = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.grid_search", str(folder), classifier],
        cwd=Path(__file__).parent.parent, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, start_new_session=True,
    )  # fmt: skip
    try:
        output, errors = child.communicate(timeout=limit + STARTING)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)  # with joblib's processes
        child.communicate()
        return None
    if child.returncode:
        raise RuntimeError(f"{classifier}: {errors.strip()}")
    figures = json.loads(output.splitlines()[-1])
    return figures if figures["seconds"] <= limit else None


def grid(classifier: str, features: int) -> list[dict[str, list]]:
    """Return our space in the competitor's names and units, with an entry for each setting."""
    competitor, settings = COMPETITORS[classifier], []
    for setting in find(classifier).space:
        ours = {name.removeprefix("model__"): value for name, value in setting.items()}
        theirs = {
            competitor.names.get(name, name): value * float(features) ** competitor.powers[name]
            if name in competitor.powers
            else value
            for name, value in ours.items()
        }
        settings.append({f"model__{name}": [value] for name, value in theirs.items() if name})
    return settings


def main(folder: Path, classifier: str) -> None:
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler

    splits = Splits.read(folder)
    rest = splits.rest
    x, y = np.load(folder / MATRIX)[rest], splits.labels[rest]
    rounds = [
        (np.searchsorted(rest, train), np.searchsorted(rest, validation))
        for train, validation in splits.rounds(1)
    ]
    competitor = COMPETITORS[classifier]
    module, name = competitor.estimator.rsplit(".", 1)
    estimator = getattr(importlib.import_module(f"sklearn.{module}"), name)
    model = Pipeline([("scale", StandardScaler()), ("model", estimator(**competitor.parameters))])
    search = GridSearchCV(model, grid(classifier, x.shape[1]), cv=rounds, n_jobs=-1)
    started = time.perf_counter()
    search.fit(x, y)  # and, at the end, the best setting on training and validation rows
    seconds = time.perf_counter() - started
    print(json.dumps({"seconds": seconds, "score": float(search.best_score_)}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
