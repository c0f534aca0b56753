"""A head that starts from the weights of a linear classifier.

A. Kumar et al. 2022, "Fine-Tuning can Distort Pretrained Features and Underperform
Out-of-Distribution", section 3.4 (LP-FT): a random head sends large gradients into features that
were good; a fitted one does not.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from features.arguments import as_location
from features.backbones.catalog import Backbone
from features.errors import UsageError
from pipeline.classifiers import find, storage
from pipeline.classifiers.base import Task
from pipeline.data.layers import features_of
from pipeline.data.splits import Splits
from pipeline.results.records import RECORD, Record, read_record

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

METHOD = "logistic"


@dataclass(frozen=True)
class LinearHead:
    """A logistic regression from `classify`, on the features that the head will take.

    Attributes:
        folder: the folder of the candidate.
        record: the record of the candidate.
        splits: the splits of the results folder.
        features: the path of its feature file now; None: where it was.
    """

    folder: Path
    record: Record
    splits: Splits
    features: Path | None

    def weights_from(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return kernel (D, K) and bias (K,), float32, learned from these images alone.

        The stored model has seen the images that validate. For a round in which they are held
        out, the model is fitted anew with the same setting.

        Args:
            rows: the images, as positions in the splits, int64; none of them is locked.

        Raises:
            DataError: the feature file or the model is missing or has changed.
        """
        if np.array_equal(rows, self.splits.rest):
            return as_dense(storage.load(self.folder, self.record.model), self._classes)
        x = self._x[np.searchsorted(self.splits.rest, rows)]
        task = Task(len(rows), x.shape[1], self._classes, self.record.seed)
        model = find(METHOD).build(task).set_params(**self.record.setting)
        return as_dense(model.fit(x, self.splits.labels[rows]), self._classes)

    passes: ClassVar[int] = (
        0  # the images that must be sent through the network: their features are stored
    )

    @property
    def key(self) -> str:
        """All that decides the start: the key of the candidate."""
        return self.record.key

    @property
    def _classes(self) -> int:
        return len(self.splits.class_names)

    @cached_property
    def _x(self) -> np.ndarray:
        ids = self.splits.ids_of(self.splits.rest)
        return features_of(self.record.inputs, ids, self.features)


def as_dense(model: "Pipeline", classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the dense layer that maps raw features to a logistic regression's scores.

    Args:
        model: a fitted pipeline of UnitScale and SoftmaxRegression.
        classes: the number of classes, K; a class that the model has not seen gets a score far
            below all others.

    Returns:
        Kernel (D, K) and bias (K,), float32.
    """
    scale, linear = model[0], model[-1]
    coef, intercept = (
        np.asarray(linear.coef_, np.float64),
        np.asarray(linear.intercept_, np.float64),
    )
    if len(coef) == 1:  # with two classes, the score of the first is 0
        coef, intercept = np.vstack([0 * coef, coef]), np.append(0.0, intercept)
    kernel = np.zeros((coef.shape[1], classes), np.float32)
    bias = np.full(classes, intercept.min() - 100.0, np.float32)
    seen = np.asarray(linear.classes_, int)
    kernel[:, seen] = coef.T / scale.scale_
    bias[seen] = intercept - coef @ scale.mean_ / scale.scale_
    return kernel, bias


def find_head(
    wanted: str,
    results: Path,
    splits: Splits,
    backbone: Backbone,
    weights: str,
    image_size: tuple[int, int],
    features: Path | None = None,
) -> LinearHead:
    """Return the head that starts from a candidate, after a check that it fits the network.

    Args:
        wanted: the candidate, by its name in `results` or the path of its folder.
        results: the results folder of the network to be fine-tuned.
        splits: the splits of that folder.
        backbone: the backbone to be fine-tuned.
        weights: sha256 of its weights.
        image_size: height and width that it sees, in pixels.
        features: the path of the candidate's feature file now; None: where it was.

    Raises:
        UsageError: there is no such candidate, or it does not fit the network.
        DataError: its record cannot be read.
    """
    folders = [results / wanted, Path(wanted)]
    folder = next((folder for folder in folders if (folder / RECORD).is_file()), None)
    if folder is None:
        raise UsageError(
            f"--head {wanted}: no candidate of that name is in {results}, nor is it a candidate's "
            f"folder; `classify` with --classifiers {METHOD} --out {results} makes one"
        )
    record = read_record(folder)
    actual = _actual(record)
    for what, expected in _expected(splits, backbone, weights, image_size).items():
        if actual[what] != expected:
            raise UsageError(
                f"--head {wanted} has {what} {actual[what]}, expected {expected}; fit a logistic "
                "regression on features of this backbone, with these weights, at this --image-size"
            )
    return LinearHead(folder, record, splits, features)


def fitting_heads(
    results: Path,
    splits: Splits,
    backbone: Backbone,
    weights: str,
    image_size: tuple[int, int],
    features: Path | None = None,
) -> list[LinearHead]:
    """Return the heads that start from candidates of the results folder that fit the network.

    Args:
        results: the results folder.
        splits: the splits of that folder.
        backbone: the backbone to be fine-tuned.
        weights: sha256 of its weights.
        image_size: height and width that it sees, in pixels.
        features: the path of the feature file now; None: where it was.

    Returns:
        Those whose features are still there, by name.
    """
    expected = _expected(splits, backbone, weights, image_size)
    folders = sorted(path.parent for path in results.glob(f"*/{RECORD}"))
    records = {folder: read_record(folder) for folder in folders}
    return [
        LinearHead(folder, record, splits, features)
        for folder, record in records.items()
        if _actual(record) == expected
        and as_location(features or record.inputs["file"], "file").is_file()
    ]


def _expected(
    splits: Splits, backbone: Backbone, weights: str, size: tuple[int, int]
) -> dict[str, Any]:
    return {
        "classifier": METHOD,
        "backbone": backbone.name,
        "layer": backbone.output,
        "pooling": "avg",
        "weights": weights,
        "image size": [*size],
        "classes": ", ".join(splits.class_names),
        "splits": splits.digest,
    }


def _actual(record: Record) -> dict[str, Any]:
    facts = record.inputs
    recipe = facts.get("recipe", {})
    return {
        "classifier": record.method,
        "backbone": facts.get("backbone"),
        "layer": facts.get("layer"),
        "pooling": recipe.get("pooling"),
        "weights": recipe.get("weights", {}).get("sha256"),
        "image size": [*recipe.get("image_size", ())],
        "classes": ", ".join(record.class_names),
        "splits": record.splits,
    }
