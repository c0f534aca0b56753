"""Seconds an epoch of fine-tuning's last stage, with a cached trunk and without.

    python -m benchmarks.finetuning                                 ResNet50 at 96 px, 1,000 images
    python -m benchmarks.finetuning --image-size 224 --images 500

Both train the same blocks on the same images by the same code, one after the other, without
augmentation. The second epoch counts, as TensorFlow compiles its graphs in the first.

How to read the columns:

    images/s       images that the network sees in a second of the epoch
    seconds        the duration of the epoch
    filling        seconds to fill the cache beforehand, once for all epochs, stages and rounds
    ratio          the uncached epoch as a multiple of the cached one
"""

import argparse
import dataclasses
import platform
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

from features.engines import hardware
from features.processes.cpus import available_cpus
from pipeline.commands.arguments import image_size
from pipeline.config import FinetuneConfig
from pipeline.config.choices import TRAINING_PRECISIONS
from pipeline.networks import finetune_plan, pixels
from pipeline.networks.data import TrainingData
from pipeline.networks.finetuning import FineTuning
from pipeline.networks.train_stage import TrainStage
from pipeline.reports.tables import render

EXAMPLES = Path(__file__).parent.parent / "examples" / "cifar10-2000.zip"
HEADER = ("trunk", "images/s", "seconds", "filling")
EPOCHS = 2


def main() -> None:
    options = _arguments()
    with tempfile.TemporaryDirectory(prefix="finetuning-") as folder:
        out = Path(folder)
        config = FinetuneConfig(
            options.source, out, image_size=options.image_size, limit=options.images,
            backbone=options.backbone, weights=options.weights, folds=2, augment=("none",),
            cache_trunk=True, batch_size=options.batch_size, precision=options.precision,
            progress=False, learning_rate=1e-3,
        )  # fmt: skip
        images = pixels.read(config, out, config.image_size)
        tuning = finetune_plan.prepare(config, images, out)
        started = time.perf_counter()
        tuning.fill_cache()
        filling = time.perf_counter() - started
        cached = _seconds(tuning, config, out / "cached")
        uncached = _seconds(dataclasses.replace(tuning, cache=None), config, out / "uncached")
    count = len(images.splits.rest) // config.batch_size * config.batch_size
    rows = [
        ("cached", f"{count / cached:.0f}", f"{cached:.2f}", f"{filling:.1f}"),
        ("computed in each epoch", f"{count / uncached:.0f}", f"{uncached:.2f}", ""),
    ]
    print(_facts(options, count, tuning))
    print(render(HEADER, rows))
    print(f"ratio: {uncached / cached:.1f}")


def _seconds(tuning: FineTuning, config: FinetuneConfig, folder: Path) -> float:
    """Return the seconds of the second epoch of the last stage."""
    images = tuning.images
    rest = images.splits.rest
    data = TrainingData(
        images.x, images.splits.labels, len(images.splits.class_names), rest, rest[:0]
    )
    stage = TrainStage("last", EPOCHS, config.learning_rate, config.batch_size)
    last = dataclasses.replace(tuning, unfrozen=tuning.unfrozen[-1:])
    return last.train(data, [stage], folder, "").history.epochs[-1].seconds


def _facts(options: argparse.Namespace, count: int, tuning: FineTuning) -> str:
    trained = ", ".join(tuning.blocks[position].name for position in tuning.unfrozen[-1])
    height, width = options.image_size
    return (
        f"{options.backbone} at {height} x {width}, {count} images, batches of "
        f"{options.batch_size}, {tuning.facts['precision']}, training {trained}; "
        f"{hardware.cpu_name()}, {available_cpus()} cores, {platform.system()}, "
        f"keras {version('keras')}"
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.finetuning", description=__doc__.splitlines()[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--source", type=Path, default=EXAMPLES, metavar="SOURCE")
    parser.add_argument("--backbone", default="resnet50", metavar="NAME")
    parser.add_argument("--weights", default="imagenet", metavar="WHAT")
    parser.add_argument("--image-size", type=image_size, default=(96, 96), metavar="SIZE")
    parser.add_argument("--images", type=int, default=1000, metavar="N")
    parser.add_argument("--batch-size", type=int, default=64, metavar="N")
    parser.add_argument("--precision", default="auto", choices=TRAINING_PRECISIONS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
