"""The demo: the bundled images through both backbones, and a linear SVM on each."""

import logging
import time
from pathlib import Path

import numpy as np

from features import extraction
from features.config import ExtractConfig
from features.errors import DataError
from features.records import Split
from features.store import FeatureFile
from pipeline.config import DemoConfig
from pipeline.reports.tables import render

log = logging.getLogger("offshelf")

ARCHIVE = "cifar10-2000.zip"


def run(config: DemoConfig) -> str:
    """Extract, fit, score; return the table that compares the backbones."""
    images = bundled_images()
    rows = []
    for backbone in config.backbones:
        log.info("%s on %s at %d x %d pixels", backbone, images.name, *[config.image_size] * 2)
        started = time.perf_counter()
        path = extraction.run(
            ExtractConfig(
                images,
                config.out / f"{backbone}.h5",
                backbone=backbone,
                image_size=(config.image_size, config.image_size),
                progress=config.progress,
            )
        )
        seconds = time.perf_counter() - started
        with FeatureFile(path) as file:
            accuracy = linear_svm_accuracy(file, config)
            rows.append(
                (backbone, file.recipe.weights["origin"], file.layers[-1], file.shape()[1],
                 f"{seconds:.1f}", f"{100 * accuracy:.1f} %", path)
            )  # fmt: skip
    header = ("backbone", "weights", "layer", "features", "seconds", "test accuracy", "file")
    return render(header, rows)


def bundled_images() -> Path:
    """Return the bundled archive: in an installed package, or in a checkout."""
    here = Path(__file__).parent
    for folder in (here / "examples", here.parent / "examples"):
        if (folder / ARCHIVE).exists():
            return folder / ARCHIVE
    raise DataError(f"{ARCHIVE} is missing from this installation; install offshelf again")


def linear_svm_accuracy(file: FeatureFile, config: DemoConfig) -> float:
    """Fit on the training part, score on the test part, of one feature file; 0 to 1."""
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import LinearSVC

    x, y, split = file.features(), file.labels, file.splits
    train, test = (np.flatnonzero(split == part) for part in (Split.TRAIN, Split.TEST))
    svm = make_pipeline(
        StandardScaler(), LinearSVC(C=config.regularization, random_state=config.seed)
    )
    return float(svm.fit(x[train], y[train]).score(x[test], y[test]))
