"""Fitted models on disk, and back without running anything that a file says.

Pipelines are stored with skops; of those, types outside a fixed list are refused. A dense head is
stored as a Keras file that Keras can open too; we read only its arrays, and the parameters that
stand beside them as JSON, and build the network ourselves.
"""

import itertools
import json
import tempfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from features import durable
from features.errors import DataError, OffshelfError
from features.packages import sha256_of

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

SKOPS, KERAS = "model.skops", "model.keras"
_HEAD = "offshelf.json"  # in the Keras file: what a DenseHead is beside its arrays

# What the suite needs beside the types of numpy and scikit-learn that skops trusts by itself. It
# does not trust trees, because their node numbers are followed unchecked: `check_trees` checks.
_TRUSTED = (
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.tree._tree.Tree",
    "pipeline.classifiers.estimators.linear.LinearSVM",
    "pipeline.classifiers.estimators.linear.SoftmaxRegression",
    "pipeline.classifiers.estimators.unit_scale.UnitScale",
)


def save(model: "Pipeline", folder: Path) -> dict[str, Any]:
    """Write a fitted pipeline durably; return {"file", "bytes", "sha256"}.

    It is `model.keras` where its one step is a DenseHead, else `model.skops`, which needs nothing
    but scikit-learn to be read: what Intel's extension fitted is made scikit-learn's own.
    """
    from pipeline.classifiers.accelerated import plain

    if type(model[-1]).__name__ == "DenseHead":
        path = folder / KERAS
        durable.write(path, _keras_file(model[-1]))
    else:
        import skops.io

        path = folder / SKOPS
        with durable.replacing(path) as draft:
            skops.io.dump(plain(model), draft)
    return {"file": path.name, "bytes": path.stat().st_size, "sha256": sha256_of(path)}


def load(folder: Path, facts: dict[str, Any]) -> "Pipeline":
    """Read a pipeline that `save` wrote.

    Args:
        folder: of the candidate.
        facts: what `save` returned.

    Raises:
        DataError: the file is not there, has changed, or holds what a model of ours does not.
        MissingPackageError: it is a dense head, and Keras is not installed.
    """
    readers: dict[str, Callable[[Path], Pipeline]] = {SKOPS: _read_skops, KERAS: _read_keras}
    if (name := facts.get("file")) not in readers:
        raise DataError(f"{folder}: its record names a model {name!r}, expected {SKOPS} or {KERAS}")
    path = folder / name
    if not path.is_file():
        raise DataError(f"there is no {path}; run `classify` again")
    if sha256_of(path) != facts.get("sha256"):
        raise DataError(f"{path} has changed since it was written; run `classify` again")
    try:
        return readers[name](path)
    except OffshelfError:
        raise
    except Exception as error:  # skops, zipfile, h5py and Keras raise many kinds
        detail = " ".join(str(error).split())[:200]
        raise DataError(f"{path} cannot be read as a model: {detail}") from None


def _read_skops(path: Path) -> "Pipeline":
    import skops.io
    from sklearn.pipeline import Pipeline

    from pipeline.classifiers.trees import check_trees

    model = skops.io.load(path, trusted=list(_TRUSTED))
    if not isinstance(model, Pipeline):
        raise DataError(f"{path} holds a {type(model).__name__}, expected a pipeline")
    check_trees(model)
    return model


def _keras_file(head: Any) -> bytes:
    """Return a DenseHead as the bytes of a Keras file, without the state of its optimizer."""
    classes = head.classes_.tolist()
    bare = head.bare_network(head.n_features_in_, len(classes))
    bare.set_weights(head.network_.get_weights())
    facts = {"parameters": head.get_params(), "features": head.n_features_in_, "classes": classes}
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / KERAS
        bare.save(path)
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(_HEAD, json.dumps(facts))
        return path.read_bytes()


def _read_keras(path: Path) -> "Pipeline":
    from sklearn.pipeline import Pipeline

    from pipeline.classifiers.estimators.dense_head import DenseHead

    with zipfile.ZipFile(path) as archive:
        if _HEAD not in archive.namelist():
            raise DataError(f"{path} is no dense head of ours: it has no {_HEAD}")
        facts = json.loads(archive.read(_HEAD))
    parameters = facts["parameters"]
    parameters["hidden"] = tuple(int(units) for units in parameters["hidden"])
    head = DenseHead(**parameters)
    head.classes_, head.n_features_in_ = np.array(facts["classes"]), int(facts["features"])
    _check_size(path, (head.n_features_in_, *head.hidden, len(head.classes_)))
    head.network_ = head.bare_network(head.n_features_in_, len(head.classes_))
    with warnings.catch_warnings():
        # Of layers that a file lacks Keras only warns, and leaves them as they were.
        warnings.filterwarnings("error", "Skipping", UserWarning)
        head.network_.load_weights(path)  # of a .keras file too this reads the arrays alone
    return Pipeline([("model", head)])


def _check_size(path: Path, widths: tuple[int, ...]) -> None:
    """Raise DataError where a network of these layers is larger than its file."""
    kernels = sum(a * b for a, b in itertools.pairwise(widths))
    if min(widths) < 1 or 4 * kernels > path.stat().st_size:
        raise DataError(f"{path} is too small to hold layers of {widths} units")
