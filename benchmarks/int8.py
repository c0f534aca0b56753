"""What int8 gains and what it loses: each backbone in float32, bfloat16 and int8 on OpenVINO.

    python -m benchmarks.int8                       ResNet50, VGG16, MobileNetV2; some minutes
    python -m benchmarks.int8 --dim 1 0.5 0.2 0.1   calibrated on ever darker copies of the images

Features are those of the 2,000 bundled images, int8 is calibrated as `extract` does it. Weights are
real where the cache has them, else random. Columns:

    rate      images/s of a core, by the CPU seconds of forward passes of 32 images at --rate-size;
              the precisions take turns, so that other work on the machine disturbs all alike
    ratio     median over the turns of float32's seconds to these
    mean, lowest    cosine of an image's features to those of float32
    kept      nearest neighbours among 64 images that are the same, as the guard of `extract` counts
              them; the mean of 20 draws, with the lowest
    probe     accuracy of a linear probe (ridge regression on the classes, features standardized) in
              five folds, at three penalties

Dark calibration images make ranges too narrow: so it is seen at what a loss a probe begins to
suffer, which is where the bar of the guard stands.
"""

import argparse
import dataclasses
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from benchmarks import machine
from features.backbones.catalog import find
from features.backbones.weights import cached
from features.config import INT8, ExtractConfig
from features.engines.base import Compiled
from features.engines.hardware import cpu_has_bfloat16
from features.extraction import calibration, int8
from features.extraction.planning import compile_model, plan_extraction
from features.extraction.stream import forward, load_batches
from features.sources import open_source
from pipeline.reports.tables import render
from pipeline.stages.demo import bundled_images

BACKBONES = ("resnet50", "vgg16", "mobilenetv2")
HEADER = ("network", "precision", "rate", "ratio", "mean", "lowest", "kept", "probe")
PENALTIES = (300.0, 3000.0, 30000.0)
DRAWS = 20
BATCH = 32


def main() -> None:
    arguments = _arguments()
    rows: list[tuple[str, ...]] = []
    with tempfile.TemporaryDirectory(prefix="int8-") as cache, ExitStack() as stack:
        stack.enter_context(patch("features.extraction.planning.cache_folder", lambda: Path(cache)))
        for name in arguments.backbones:
            rows += _of_backbone(name, arguments)
    facts = machine.facts("openvino", "nncf", "keras", "tensorflow")
    print(render(HEADER, rows))
    print("\n" + "\n".join(f"{name}: {value}" for name, value in facts.items()))


def _of_backbone(name: str, arguments: argparse.Namespace) -> Iterator[tuple[str, ...]]:
    weights = "imagenet" if cached(find(name)) else "none"
    kinds = ["float32", *(["bfloat16"] if cpu_has_bfloat16() else []), INT8]
    rates = _rates(name, weights, kinds, arguments) if arguments.rounds else {}
    exact, labels = _features(_config(name, weights, "float32", arguments), 1.0)
    for kind in kinds:
        for share in arguments.dim if kind == INT8 else [1.0]:
            found, _ = _features(_config(name, weights, kind, arguments), share)
            title = f"{name}, {'random' if weights == 'none' else weights}"
            dimmed = f"{kind}, calibrated at {share:g}" if share != 1 else kind
            yield (title, dimmed, *rates.get(kind, ("", "")), *_compared(exact, found, labels))


def _config(name: str, weights: str, precision: str, arguments: Any) -> ExtractConfig:
    return ExtractConfig(
        bundled_images(), Path("none"), backbone=name, weights=weights, precision=precision,
        engine="openvino", image_size=arguments.size, limit=arguments.images, batch_size=BATCH,
        progress=False,
    )  # fmt: skip


def _network(config: ExtractConfig, source: Any, share: float = 1.0) -> Compiled:
    """Return a network ready to run; `share` darkens the images that int8 is calibrated on."""
    plan = plan_extraction(config, source)
    if config.precision != INT8:
        return compile_model(plan.model, plan.recipe)
    parts = int8.calibration_parts(plan)
    dark = dataclasses.replace(parts, pixels=(parts.pixels * share).astype(np.uint8))
    known = plan.recipe.calibration | {"digest": f"{share}"}
    recipe = dataclasses.replace(plan.recipe, calibration=known)
    return compile_model(plan.model, recipe, lambda: dark)


def _features(config: ExtractConfig, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the features of all images, float32 (N, D), and their labels."""
    with open_source(config.source, config.limit) as source:
        network = _network(config, source, share)
        size = config.image_size or (0, 0)
        rows = [forward(network, batch) for batch in load_batches(config, source, size)]
        labels = np.array(source.labels)
    (layer,) = network.shapes
    return np.concatenate([row[layer] for row in rows]), labels


def _rates(
    name: str, weights: str, kinds: list[str], arguments: argparse.Namespace
) -> dict[str, tuple[str, str]]:
    size = arguments.rate_size
    configs = [
        dataclasses.replace(_config(name, weights, kind, arguments), image_size=(size, size))
        for kind in kinds
    ]
    with open_source(bundled_images(), None) as source:
        networks = {config.precision: _network(config, source) for config in configs}
    pixels = np.random.default_rng(0).integers(0, 256, (BATCH, size, size, 3), np.uint8)
    seconds: dict[str, list[float]] = {kind: [] for kind in kinds}
    for number in range(arguments.rounds + 1):
        for kind, network in networks.items():
            started = time.process_time()
            network.forward(pixels)
            if number:
                seconds[kind].append(time.process_time() - started)
    return {kind: _rate(seconds["float32"], taken) for kind, taken in seconds.items()}


def _rate(exact: list[float], taken: list[float]) -> tuple[str, str]:
    ratio = statistics.median(a / b for a, b in zip(exact, taken, strict=True))
    return f"{BATCH / statistics.median(taken):.1f}", f"{ratio:.2f}"


def _compared(exact: np.ndarray, found: np.ndarray, labels: np.ndarray) -> tuple[str, ...]:
    whole, rng = int8.compare("", exact, found), np.random.default_rng(0)
    draws = [rng.choice(len(exact), calibration.JUDGED, replace=False) for _ in range(DRAWS)]
    kept = [int8.compare("", exact[rows], found[rows]).kept for rows in draws]
    probes = "/".join(f"{100 * _probe(found, labels, c):.1f}" for c in PENALTIES)
    return (
        f"{whole.mean:.4f}", f"{whole.lowest:.4f}", f"{np.mean(kept):.2f} ({min(kept):.2f})", probes
    )  # fmt: skip


def _probe(values: np.ndarray, labels: np.ndarray, penalty: float) -> float:
    from sklearn.linear_model import RidgeClassifier
    from sklearn.model_selection import StratifiedKFold, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), RidgeClassifier(alpha=penalty))
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    return float(cross_val_score(model, values, labels, cv=folds).mean())


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m benchmarks.int8", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--backbones", nargs="+", default=BACKBONES, metavar="NAME")
    parser.add_argument("--images", type=int, default=2000, metavar="N")
    parser.add_argument("--size", type=int, default=96, help="pixels a side of the images")
    parser.add_argument("--rate-size", type=int, default=224, metavar="SIDE")
    parser.add_argument("--rounds", type=int, default=15, help="0 leaves the rate out")
    parser.add_argument("--dim", type=float, nargs="+", default=[1.0], metavar="SHARE")
    return parser.parse_args()


if __name__ == "__main__":
    main()
