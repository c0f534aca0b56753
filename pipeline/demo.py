"""The demo: the bundled images from pixels to the locked test, by the stages of the commands."""

import logging
from pathlib import Path

from features import extraction
from features.config import ExtractConfig
from features.errors import DataError
from pipeline import classify, compare, evaluate
from pipeline.config import ClassifyConfig, CompareConfig, DemoConfig, EvaluateConfig

log = logging.getLogger("offshelf")

ARCHIVE = "cifar10-2000.zip"


def run(config: DemoConfig) -> str:
    """Extract, classify, compare, evaluate; return what compare and evaluate have to say."""
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
    return f"{comparison.text}\n\n{evaluation.text}"


def _extract(config: DemoConfig, images: Path, backbone: str) -> Path:
    log.info("%s on %s at %d x %d pixels", backbone, images.name, *[config.image_size] * 2)
    return extraction.run(
        ExtractConfig(
            images,
            config.out / f"{backbone}.h5",
            backbone=backbone,
            image_size=(config.image_size, config.image_size),
            progress=config.progress,
        )
    )


def bundled_images() -> Path:
    """Return the bundled archive: in an installed package, or in a checkout."""
    here = Path(__file__).parent
    for folder in (here / "examples", here.parent / "examples"):
        if (folder / ARCHIVE).exists():
            return folder / ARCHIVE
    raise DataError(f"{ARCHIVE} is missing from this installation; install offshelf again")
