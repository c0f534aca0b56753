import sys
from importlib import import_module
from importlib.util import find_spec

import numpy as np
import pytest
from sklearn.pipeline import Pipeline

from pipeline.classifiers.accelerated import estimator, plain
from pipeline.search.worker import Worker

CASES = [
    ("svm", "SVC", {"gamma": 0.05, "C": 2.0}),
    ("svm", "SVC", {"gamma": 0.05, "C": 2.0, "class_weight": "balanced"}),
    ("neighbors", "KNeighborsClassifier", {"algorithm": "brute"}),
]


def mixture(classes):
    rng = np.random.default_rng(0)
    y = rng.integers(0, classes, 300)
    x = rng.normal(size=(classes, 8))[y] + rng.normal(size=(300, 8))
    return x.astype(np.float32), y


def scores(model, x):
    return model.predict_proba(x) if hasattr(model, "predict_proba") else model.decision_function(x)


@pytest.fixture(scope="module")
def worker(tmp_path_factory):
    """A worker process, because OpenVINO may have been loaded in this one before."""
    if find_spec("sklearnex") is None:
        pytest.skip("scikit-learn-intelex is not installed")
    with Worker(tmp_path_factory.mktemp("worker") / "log") as worker:
        yield worker


def compare_with_scikit_learn(job, report):
    module, name, options, classes = job
    x, y = mixture(classes)
    kind = estimator(module, name)
    assert kind.__module__.startswith("sklearnex.")
    fast = Pipeline([("model", kind(**options))]).fit(x[:200], y[:200])
    own = plain(fast)
    assert type(own[-1]) is getattr(import_module(f"sklearn.{module}"), name)
    assert np.allclose(scores(own, x), scores(fast, x), atol=1e-3)
    theirs = type(own[-1])(**options).fit(x[:200], y[:200])
    assert np.array_equal(own.predict(x), theirs.predict(x))
    assert vars(own[-1]).keys() == vars(theirs).keys()
    return "equal"


@pytest.mark.parametrize("classes", [2, 3, 5])
@pytest.mark.parametrize("module, name, options", CASES)
def test_what_intel_fits_becomes_scikit_learns_own(worker, module, name, options, classes):
    assert worker.run(compare_with_scikit_learn, (module, name, options, classes)) == "equal"


def test_scikit_learns_own_where_intels_is_not_installed(monkeypatch):
    for module, name, _ in CASES:
        monkeypatch.setitem(sys.modules, f"sklearnex.{module}", None)  # makes its import fail
        assert estimator(module, name).__module__.startswith("sklearn.")


def test_scikit_learns_own_where_intels_is_no_better():
    assert estimator("ensemble", "RandomForestClassifier").__module__.startswith("sklearn.")
