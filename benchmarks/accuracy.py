"""Are fast features the same features? Each engine and precision against float32 Keras.

    python -m benchmarks.accuracy              the 2,000 bundled CIFAR-10 images at 96 px
    python -m benchmarks.accuracy --reduced    JPEGs decoded at reduced scale against exactly

The reference is the network of keras.applications as it is, nothing folded, in `model.predict`
with float32, on the same real weights and pixels. Columns: the lowest and the mean cosine
similarity of an image's features to the reference, and the test accuracy of a linear SVM on
them. The SVM is the judge in the end: a precision that costs it nothing costs nothing.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from benchmarks.images import make_jpegs
from benchmarks.jobs import Job, measure
from features import extract
from features.config import ENGINES, ExtractConfig
from features.engines import use_keras_on
from features.loading import load
from features.planning import Plan
from features.sources import open_source
from features.store import FeatureFile
from pipeline.config import DemoConfig
from pipeline.demo import bundled_images, linear_svm_accuracy
from pipeline.reports.tables import render

BACKBONES = ("vgg16", "resnet50")
HEADER = ("network", "features by", "lowest cosine", "mean cosine", "test accuracy", "images/s")
JPEG_SIZE = (1000, 750)


def main() -> None:
    arguments = _arguments()
    with tempfile.TemporaryDirectory(prefix="accuracy-") as scratch:
        rows = (_decoding if arguments.reduced else _engines)(Path(scratch), arguments)
        print(render(HEADER, list(rows)))


def reference(job: Job) -> dict[str, Any]:
    """Save the features that float32 Keras gives, with the labels and splits, as one `.npz`."""
    use_keras_on("tensorflow")
    with open_source(job.folder, job.images) as source:
        plan = Plan(_config(job, "tensorflow", "float32"), source)
        started = time.perf_counter()
        model = _plain(plan)
        features = [
            model.predict(batch.pixels, verbose=0)[plan.layers[-1]][batch.accepted]
            for batch in load(source, plan.size, "stretch", "bilinear", job.batch, exact=False)
        ]
        seconds = time.perf_counter() - started
        labels, splits = (np.array([getattr(r, name) for r in source]) for name in ("label", "split"))
    values = {"features": np.concatenate(features), "labels": labels, "splits": splits}
    np.savez(job.scratch / f"{job.backbone}.npz", **values)
    return {"whole": len(labels) / seconds}


def _plain(plan: Plan) -> Any:
    """Return the network as keras.applications builds it: nothing folded, float32."""
    from features.backbones.network import build, with_taps

    base = build(plan.backbone, plan.size)
    plan.weights.load_into(base)
    return with_taps(base, plan.backbone, plan.layers, "avg", plan.weights.scaling)


def ours(job: Job) -> dict[str, Any]:
    """Extract with one engine and precision into `<backbone>-<engine>-<precision>.h5`."""
    config = _config(job, job.engine, job.precision)
    started = time.perf_counter()
    extract(**vars(config))
    return {"whole": job.images / (time.perf_counter() - started)}
