"""A small results folder with real candidates, as `classify` leaves one."""

import dataclasses
from pathlib import Path

import numpy as np
from PIL import Image

from features.records import blake2b
from pipeline.classifiers import find, storage
from pipeline.classifiers.base import Task, probabilities
from pipeline.data.images import read_images
from pipeline.data.layers import features_of, find_layers
from pipeline.data.splits import Splits
from pipeline.data.splitting import SplitConfig, make_splits
from pipeline.results.predictions import VALIDATION, Predictions
from pipeline.results.records import Record, read_record, write_record
from pipeline.statistics import calibration
from tests.pipeline.featurefiles import write_features

NAMES = ("ant", "bee", "cat")
METHODS = ("logistic", "nearest-centroid", "dummy")
IMAGES = 300
SUFFIX = ".png"  # of ids


def features(folder: Path, spread: float = 0.9, pictures: Path | None = None) -> Path:
    """Write a feature file of 300 images of three classes, which overlap by the spread.

    Where a folder for pictures is given, the images are really there.
    """
    path = folder / "features.h5"
    rng = np.random.default_rng(0)
    labels = (np.arange(IMAGES) % 3).astype(np.int32)
    values = np.eye(3, 8)[labels] + spread * rng.normal(size=(IMAGES, 8))
    ids = [f"{number:03d}{SUFFIX}" for number in range(IMAGES)]
    digests = pictures and draw(pictures, ids, rng)
    return write_features(
        path, values.astype(np.float32), labels, layer="pool", ids=ids, class_names=list(NAMES),
        digests=digests,
    )  # fmt: skip


def draw(pictures: Path, ids: list[str], rng: np.random.Generator) -> np.ndarray:
    """Write random pictures of 12 x 16 pixels; return their digests, uint8 (N, 16)."""
    pictures.mkdir()
    for image in ids:
        Image.fromarray(rng.integers(0, 256, (12, 16, 3), np.uint8)).save(pictures / image)
    digests = [blake2b((pictures / image).read_bytes()) for image in ids]
    return np.stack([np.frombuffer(digest, np.uint8) for digest in digests])


def results(
    folder: Path,
    methods=METHODS,
    spread: float = 0.9,
    seed: int = 0,
    pictures: Path | None = None,
) -> Path:
    """Fit the defaults of some classifiers; return the results folder."""
    folder.mkdir(parents=True, exist_ok=True)
    path = features(folder, spread, pictures)
    images = read_images(path, None)
    splits = make_splits(
        images.ids, images.labels, images.class_names, images.source_splits, images.groups,
        SplitConfig(folds=3, repeats=1, seed=seed),
    )  # fmt: skip
    out = folder / "results"
    out.mkdir()
    splits.write(out)
    for method in methods:
        add(out, path, splits, method)
    return out


def add(out: Path, path: Path, splits: Splits, method: str) -> Record:
    """Fit one classifier and leave what a candidate leaves."""
    (layer,) = find_layers(path, ())
    name = f"{layer.title}.{method}"
    folder = out / name
    folder.mkdir()
    x = features_of(layer.facts(), splits.ids)
    classifier, labels = find(method), splits.labels

    def fitted(rows):
        task = Task(len(rows), x.shape[1], len(NAMES), 0)
        return classifier.build(task).set_params(**classifier.default).fit(x[rows], labels[rows])

    predicted = np.zeros((len(x), len(NAMES)), np.float32)
    for train, held in splits.rounds():
        predicted[held] = probabilities(fitted(train), x[held], len(NAMES))
    at = splits.validated
    ids = tuple(splits.ids[place] for place in at)
    written = Predictions(ids, labels[at], predicted[at]).write(folder / VALIDATION, NAMES)
    record = Record(
        name=name, kind="classifier", title=classifier.title, method=method, requested=method,
        reason="", inputs=layer.facts(), splits=splits.digest, class_names=NAMES,
        setting=classifier.default, trials=(), metric="accuracy", seed=0, rows=len(splits.rest),
        budget=None, key=f"key of {name}",
        seconds={"search": 0.0, "fit": 1.0, "predict_1000": 0.5}, peak_memory=10**8,
        model=storage.save(fitted(splits.rest), folder),
        temperature=calibration.temperature(predicted[at], labels[at]), versions={}, created="now",
        predictions=written,
    )  # fmt: skip
    write_record(folder, record)
    return record


def predict(out: Path, name: str, predictions: Predictions) -> None:
    """Write other predictions of a candidate, as if it had made them."""
    change(out, name, predictions=predictions.write(out / name / VALIDATION, NAMES))


def change(out: Path, name: str, **changes) -> None:
    """Write a candidate's record anew with other values."""
    write_record(out / name, dataclasses.replace(read_record(out / name), **changes))
