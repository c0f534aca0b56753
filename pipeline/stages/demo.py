"""The demo: the bundled images from pixels to the locked test, by the stages of the commands."""

import logging
from pathlib import Path

from features.config import ExtractConfig
from features.errors import DataError
from features.extraction import run as extraction
from pipeline.config import ClassifyConfig, CompareConfig, DemoConfig, EvaluateConfig
from pipeline.results.comparison import Comparison
from pipeline.results.evaluation import Evaluation
from pipeline.stages import classify, compare, evaluate

log = logging.getLogger("offshelf")

ARCHIVE = "cifar10-2000.zip"


def run(config: DemoConfig) -> tuple[Comparison, Evaluation]:
    """Extract, classify, compare, evaluate; return the results of the last two."""
    images, results = bundled_images(), config.out / "results"
    files = tuple(_extract(config, images, backbone) for backbone in config.backbones)
    classify.run(
        ClassifyConfig(
            files, results, classifiers=config.classifiers, folds=config.folds, seed=config.seed,
            progress=config.progress,
        )
    )  # fmt: skip
    comparison = compare.run(CompareConfig((results,), seed=config.seed))
    evaluation = evaluate.run(EvaluateConfig(results, config.candidate, seed=config.seed))
    return comparison, evaluation


def _extract(config: DemoConfig, images: Path, backbone: str) -> Path:
    log.info("%s on %s at %d x %d pixels", backbone, images.name, *config.image_size)
    return extraction.run(
        ExtractConfig(
            images,
            config.out / f"{backbone}.h5",
            backbone=backbone,
            image_size=config.image_size,
            progress=config.progress,
        )
    )


def bundled_images() -> Path:
    """Return the bundled archive: in an installed package, or in a checkout."""
    package = Path(__file__).parents[1]
    for folder in (package / "examples", package.parent / "examples"):
        if (folder / ARCHIVE).exists():
            return folder / ARCHIVE
    raise DataError(f"{ARCHIVE} is missing from this installation; install offshelf again")
