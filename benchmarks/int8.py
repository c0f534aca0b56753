"""What int8 gains and what it loses: each backbone in float32, bfloat16 and int8 on OpenVINO.

    python -m benchmarks.int8                           every network; an hour on two cores
    python -m benchmarks.int8 --backbones resnet50      one network; some minutes
    python -m benchmarks.int8 --dim 1 0.5 0.2 0.1       calibrated on ever darker copies of images
    python -m benchmarks.int8 --cifar data/cifar10.h5   and ResNet50 on CIFAR-10's whole test split

Features are those of the 2,000 bundled images, int8 is calibrated as `extract` does it. Weights are
real where the cache or a package mirror has them, else random. Columns:

    rate      images/s of a core, by the CPU seconds of forward passes of 32 images at --rate-size;
              the precisions take turns, so that other work on the machine disturbs all alike
    ratio     median over the turns of float32's CPU seconds to these, and the lowest and highest
    clock     the same ratio of seconds by the clock, which other work disturbs more
    mean, lowest    cosine of an image's features to those of float32
    kept      nearest neighbours among 64 images that are the same, as the guard of `extract` counts
              them; the mean of 20 draws, with the lowest
    probe     accuracy of a linear probe (ridge regression on the classes, features standardized) in
              five folds, at three penalties; of real weights

The table of CIFAR-10 is described in `benchmarks.int8_cifar`.

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

from benchmarks import int8_cifar, machine
from features.backbones.catalog import find
from features.backbones.names import is_timm
from features.backbones.timm_weights import MIRRORS
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

BACKBONES = (
    "resnet50", "vgg16", "mobilenetv2", "efficientnetb0", "densenet121", "convnexttiny",
    "timm/tf_efficientnet_lite0", "timm/vit_tiny_patch16_224",
)  # fmt: skip
HEADER = ("network", "precision", "rate", "ratio", "clock", "mean", "lowest", "kept", "probe")
CIFAR_BACKBONE = "resnet50"
PENALTIES = (300.0, 3000.0, 30000.0)
DRAWS = 20
BATCH = 32
TOGETHER, FOR_RATES = 10, 20  # images at a time, and images, of a calibration


def main() -> None:
    arguments = _arguments()
    with tempfile.TemporaryDirectory(prefix="int8-") as cache, ExitStack() as stack:
        stack.enter_context(patch("features.extraction.planning.cache_folder", lambda: Path(cache)))
        for name in arguments.backbones:
            print(render(HEADER, list(_of_backbone(name, arguments))) + "\n", flush=True)
    if arguments.cifar:
        found = int8_cifar.rows(
            arguments.cifar, CIFAR_BACKBONE, _kinds(), arguments.train, arguments.keep,
            arguments.rate_size,
        )  # fmt: skip
        print(render(int8_cifar.HEADER, list(found)) + "\n")
    facts = machine.facts("openvino", "nncf", "keras", "tensorflow")
    print("\n".join(f"{name}: {value}" for name, value in facts.items()))


def _kinds() -> list[str]:
    return ["float32", *(["bfloat16"] if cpu_has_bfloat16() else []), INT8]


def _weights(name: str) -> str:
    """Return "imagenet" where real weights are at hand."""
    if not is_timm(name):
        return "imagenet" if cached(find(name)) else "none"
    mirrored = [f"timm/{mirror.name.partition('.')[0]}" for mirror in MIRRORS]
    return "imagenet" if name in mirrored else "none"


def _of_backbone(name: str, arguments: argparse.Namespace) -> Iterator[tuple[str, ...]]:
    weights, kinds = _weights(name), _kinds()
    rates = _rates(name, weights, kinds, arguments) if arguments.rounds else {}
    if not arguments.images:
        yield from ((name, kind, *rates[kind], "", "", "", "") for kind in rates)
        return
    exact, labels = _features(_config(name, weights, "float32", arguments), 1.0)
    for kind in kinds:
        for share in arguments.dim if kind == INT8 else [1.0]:
            found, _ = _features(_config(name, weights, kind, arguments), share)
            title = f"{name}, {'random' if weights == 'none' else weights}"
            dimmed = f"{kind}, calibrated at {share:g}" if share != 1 else kind
            rate = rates.get(kind, ("", "", ""))
            yield (title, dimmed, *rate, *_compared(exact, found, labels, weights != "none"))


def _config(name: str, weights: str, precision: str, arguments: Any) -> ExtractConfig:
    return ExtractConfig(
        bundled_images(), Path("none"), backbone=name, weights=weights, precision=precision,
        engine="openvino", image_size=arguments.size, limit=arguments.images or None,
        batch_size=BATCH, progress=False,
    )  # fmt: skip


def _network(config: ExtractConfig, source: Any, share: float = 1.0) -> Compiled:
    """Return a network ready to run; `share` darkens the images that int8 is calibrated on."""
    plan = plan_extraction(config, source)
    if config.precision != INT8:
        return compile_model(plan.model, plan.recipe)
    parts = int8.calibration_parts(plan, TOGETHER)
    dark = dataclasses.replace(parts, pixels=(parts.pixels * share).astype(np.uint8))
    known = plan.recipe.calibration | {"digest": f"{share}"}
    recipe = dataclasses.replace(plan.recipe, calibration=known)
    return compile_model(
        plan.model, recipe, lambda together: dataclasses.replace(dark, together=together)
    )


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
) -> dict[str, tuple[str, ...]]:
    size = arguments.rate_size
    configs = [
        dataclasses.replace(_config(name, weights, kind, arguments), image_size=(size, size))
        for kind in kinds
    ]
    # Few images: how fast int8 runs does not depend on the ranges that it was given.
    with open_source(bundled_images(), FOR_RATES) as source:
        networks = {config.precision: _network(config, source) for config in configs}
    pixels = np.random.default_rng(0).integers(0, 256, (BATCH, size, size, 3), np.uint8)
    seconds: dict[str, list[tuple[float, float]]] = {kind: [] for kind in kinds}
    for number in range(arguments.rounds + 1):
        for kind, network in networks.items():
            started = time.process_time(), time.perf_counter()
            network.forward(pixels)
            if number:  # the first one warms up
                ended = time.process_time(), time.perf_counter()
                seconds[kind].append((ended[0] - started[0], ended[1] - started[1]))
    return {kind: _rate(seconds["float32"], taken) for kind, taken in seconds.items()}


def _rate(
    exact: list[tuple[float, float]], taken: list[tuple[float, float]]
) -> tuple[str, str, str]:
    """Return rate, ratio by CPU seconds and ratio by the clock, of (CPU, clock) seconds by turn."""
    ratios = np.array(exact) / np.array(taken)  # (turns, 2)
    low, middle, high = np.percentile(ratios[:, 0], [0, 50, 100])
    rate = BATCH / statistics.median(cpu for cpu, _ in taken)
    return f"{rate:.1f}", f"{middle:.2f} ({low:.2f}-{high:.2f})", f"{np.median(ratios[:, 1]):.2f}"


def _compared(
    exact: np.ndarray, found: np.ndarray, labels: np.ndarray, is_real: bool
) -> tuple[str, ...]:
    whole, rng = int8.compare("", exact, found), np.random.default_rng(0)
    draws = [rng.choice(len(exact), calibration.JUDGED, replace=False) for _ in range(DRAWS)]
    kept = [int8.compare("", exact[rows], found[rows]).kept for rows in draws]
    probes = [f"{100 * _probe(found, labels, c):.1f}" for c in PENALTIES if is_real]
    return (
        f"{whole.mean:.4f}", f"{whole.lowest:.4f}", f"{np.mean(kept):.2f} ({min(kept):.2f})",
        "/".join(probes),
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
    parser.add_argument("--backbones", nargs="*", default=BACKBONES, metavar="NAME")
    parser.add_argument("--images", type=int, default=2000, metavar="N", help="0: rates alone")
    parser.add_argument("--size", type=int, default=96, help="pixels a side of the images")
    parser.add_argument("--rate-size", type=int, default=224, metavar="SIDE")
    parser.add_argument("--rounds", type=int, default=15, help="0 leaves the rate out")
    parser.add_argument("--cifar", type=Path, metavar="FILE", help="what `fetch cifar10` wrote")
    parser.add_argument("--train", type=int, default=10_000, metavar="N", help="of CIFAR-10")
    parser.add_argument("--keep", type=Path, default=Path("data/int8"), metavar="FOLDER")
    parser.add_argument("--dim", type=float, nargs="+", default=[1.0], metavar="SHARE")
    return parser.parse_args()


if __name__ == "__main__":
    main()
