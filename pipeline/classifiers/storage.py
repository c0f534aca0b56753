"""Fitted models on disk, and how they are read without running code from a file.

The suite's pipelines are stored with skops, and types outside a fixed list are refused. A dense
head is stored as a Keras file, which Keras can open too; we read only its arrays and the parameters
that stand beside them as JSON, and build the network ourselves.

An analyst's own estimator can be of any class, so it is stored with joblib, whose files can run any
code when they are loaded. It lies in a folder of its own, `models/untrusted` in the results folder,
and is loaded only for those who say that they trust it.
"""

import io
import itertools
import json
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from features.backbones.weights_file import keras_file
from features.disk import documents, durable
from features.disk.documents import Whole
from features.errors import DataError, OffshelfError, UsageError
from features.processes.packages import sha256_of
from features.storage import hdf5_guard
from features.text import reason_of
from pipeline.classifiers.base import probabilities
from pipeline.results.array_files import facts_of
from pipeline.results.model_files import check_archive
from pipeline.results.records import UNTRUSTED

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

SKOPS, KERAS, JOBLIB = "model.skops", "model.keras", "model.joblib"
_WIDEST = 2**24  # features that a model takes, or classes that it tells
_HEAD = "offshelf.json"  # in the Keras file: the parameters of a DenseHead, and its numbers

# The types that the suite needs beside those of NumPy and scikit-learn that skops trusts itself.
# It does not trust trees, whose node numbers are followed unchecked; `check_trees` checks them.
_TRUSTED = (
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.tree._tree.Tree",
    "pipeline.classifiers.estimators.block_scale.BlockScale",
    "pipeline.classifiers.estimators.lda.LinearDiscriminant",
    "pipeline.classifiers.estimators.linear.LinearSVM",
    "pipeline.classifiers.estimators.linear.SoftmaxRegression",
    "pipeline.classifiers.estimators.unit_scale.UnitScale",
)


def save(model: "Pipeline", folder: Path) -> dict[str, Any]:
    """Write a fitted pipeline durably; return {"file", "bytes", "sha256"}.

    The file is `model.keras` where the last step is a DenseHead, else `model.skops`. The latter
    needs only scikit-learn to be read: classes of Intel's extension are turned into its own.
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
    return facts_of(path)


def save_untrusted(model: "Pipeline", folder: Path) -> dict[str, Any]:
    """Write a fitted pipeline of an analyst's own as `model.joblib`, durably.

    Args:
        model: the pipeline.
        folder: a draft of the candidate, named like it.

    Returns:
        {"file", "bytes", "sha256", "trusted": False}; the file is the one in the results folder to
        which `place_untrusted` moves it, relative to that folder.
    """
    import joblib

    path = folder / JOBLIB
    with durable.replacing(path) as draft:
        joblib.dump(model, draft)
    return {
        "file": _untrusted_file(folder.name),
        "bytes": path.stat().st_size,
        "sha256": sha256_of(path),
        "trusted": False,
    }


def place_untrusted(draft: Path, results: Path) -> None:
    """Move the model that `save_untrusted` left in a draft to its place in the results folder."""
    path = results / _untrusted_file(draft.name)
    durable.make_folder(path.parent)
    durable.disk.rename(draft / JOBLIB, path)
    durable.disk.sync_folder(path.parent)


def _untrusted_file(name: str) -> str:
    return f"{UNTRUSTED}/{name}/{JOBLIB}"


def load(folder: Path, facts: dict[str, Any], trust: bool = False) -> "Pipeline":
    """Read a pipeline that `save` or `save_untrusted` wrote.

    Args:
        folder: the folder of the candidate.
        facts: what the function that saved it returned.
        trust: whether to load an analyst's own estimator, which can run any code.

    Raises:
        UsageError: it is an analyst's own estimator, and `trust` is False.
        DataError: the file is missing, has changed, or holds what a model of ours does not.
        MissingPackageError: it is a dense head, and Keras is not installed.
    """
    own = _untrusted_file(folder.name)
    readers: dict[str, Callable[[Path], Pipeline]] = {
        SKOPS: _read_skops, KERAS: _read_keras, own: _read_joblib
    }  # fmt: skip
    if (name := facts.get("file")) not in readers:
        raise DataError(f"{folder}: its record names a model {name!r}, expected {SKOPS} or {KERAS}")
    path = (folder.parent if name == own else folder) / name
    if not path.is_file():
        raise DataError(f"there is no {path}; run `classify` again")
    if name == own and not trust:
        raise UsageError(
            f"{folder.name} is an estimator of an analyst's own, and loading {path} runs whatever "
            "code is in that file; if you or someone you trust wrote it, allow it by --trust (in "
            "Python trust=True)"
        )
    if sha256_of(path) != facts.get("sha256"):
        raise DataError(f"{path} has changed since it was written; run `classify` again")
    try:
        model = readers[name](path)
        if name != own:  # an estimator of an analyst's own may be of a kind that this is unfair to
            _check_predicts(model, path)
        return model
    except OffshelfError:
        raise
    except Exception as error:  # skops, joblib, zipfile, h5py and Keras raise many kinds
        detail = reason_of(error)
        raise DataError(f"{path} cannot be read as a model: {detail}") from None


def _check_predicts(model: "Pipeline", path: Path) -> None:
    """Raise an error where a model gives no probabilities, as one does whose arrays are spoiled."""
    width, classes = getattr(model, "n_features_in_", 0), np.asarray(model.classes_, int)
    if not width:  # class frequencies do not say how many features they take
        return
    if width > _WIDEST or classes.max() >= _WIDEST or classes.min() < 0:
        raise DataError(f"{path} takes {width} features and tells {classes.max() + 1} classes")
    if not np.isfinite(probabilities(model, np.zeros((1, width), "f4"), classes.max() + 1)).all():
        raise DataError(f"{path} gives numbers that are not finite")


def _read_joblib(path: Path) -> "Pipeline":
    import joblib
    from sklearn.pipeline import Pipeline

    model = joblib.load(path)
    if not isinstance(model, Pipeline):
        raise DataError(f"{path} holds a {type(model).__name__}, expected a pipeline")
    return model


def _read_skops(path: Path) -> "Pipeline":
    import skops.io
    from sklearn.pipeline import Pipeline

    from pipeline.classifiers.trees import check_trees

    check_archive(path)
    model = skops.io.load(path, trusted=list(_TRUSTED))
    if not isinstance(model, Pipeline):
        raise DataError(f"{path} holds a {type(model).__name__}, expected a pipeline")
    check_trees(model)
    return model


def _keras_file(head: Any) -> bytes:
    """Return the bytes of a Keras file that holds a DenseHead without its optimizer."""
    classes = head.classes_.tolist()
    bare = head.bare_network(head.n_features_in_, len(classes))
    bare.set_weights(head.network_.get_weights())
    facts = {"parameters": head.get_params(), "features": head.n_features_in_, "classes": classes,
             "factor": head.factor_}  # fmt: skip
    content = io.BytesIO(keras_file(bare))
    with zipfile.ZipFile(content, "a") as archive:
        archive.writestr(_HEAD, json.dumps(facts))
    return content.getvalue()


def _read_keras(path: Path) -> "Pipeline":
    from sklearn.pipeline import Pipeline

    from pipeline.classifiers.estimators.dense_head import DenseHead

    check_archive(path)
    hdf5_guard.check(path, is_for_hdf5=True)
    with zipfile.ZipFile(path) as archive:
        if _HEAD not in archive.namelist():
            raise DataError(f"{path} is no dense head of ours: it has no {_HEAD}")
        facts = documents.decode(archive.read(_HEAD), _Head, f"{path}: {_HEAD}")
    hidden = documents.convert(facts.parameters.get("hidden"), tuple[Whole, ...], f"{path}: hidden")
    head = DenseHead(**facts.parameters | {"hidden": hidden})
    head.classes_, head.n_features_in_ = np.array(facts.classes), facts.features
    head.factor_ = facts.factor
    _check_size(path, (head.n_features_in_, *head.hidden, len(head.classes_)))
    head.network_ = head.bare_network(head.n_features_in_, len(head.classes_))
    with warnings.catch_warnings():
        # Keras only warns of layers that are not in the file, and leaves them as they were.
        warnings.filterwarnings("error", "Skipping", UserWarning)
        head.network_.load_weights(path)  # reads the arrays alone, from a .keras file too
    return Pipeline([("model", head)])


@dataclass(frozen=True)
class _Head:
    """The facts of a dense head, beside its arrays."""

    parameters: dict[str, Any]
    features: Whole
    classes: tuple[Whole, ...]
    factor: float = 1.0


def _check_size(path: Path, widths: tuple[int, ...]) -> None:
    """Raise DataError if a network of layers of these widths is larger than its file."""
    kernels = sum(a * b for a, b in itertools.pairwise(widths))
    if min(widths) < 1 or 4 * kernels > path.stat().st_size:
        raise DataError(f"{path} is too small to hold layers of {widths} units")
