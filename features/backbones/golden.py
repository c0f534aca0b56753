"""The golden check: whether weights recognize a cat as a cat, and give the right features.

Two photographs are part of the package, and so are the features of them by VGG16 and ResNet50.
These were computed once by other code than ours, from the same weights in their original form.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from features.backbones.assembly import assemble
from features.backbones.catalog import BACKBONES, LOGITS
from features.backbones.stored import Weights
from features.decoding import decode, fit
from features.engines import compile_network, reference
from features.errors import DataError

FOLDER = Path(__file__).parent / "golden"
PHOTOS = ("cat", "coffee")
LEAST_COSINE = 0.9999

# ImageNet-1k class numbers that are right for each photograph, with their names.
RIGHT_CLASSES = {
    "cat": {281: "tabby", 282: "tiger cat", 285: "Egyptian cat"},
    "coffee": {504: "coffee mug", 967: "espresso", 968: "cup"},
}


def check(weights: Weights) -> Iterator[str]:
    """Yield a line for each check that a backbone's weights have passed.

    Raises:
        DataError: a class is wrong, or features differ from the stored ones.
    """
    layers = features(weights)
    if weights.has_top:
        yield from check_classes(_named(weights), layers[LOGITS])
    yield from _check_values(weights, layers[BACKBONES[weights.backbone].output])


def features(weights: Weights) -> dict[str, np.ndarray]:
    """Return what both photographs give.

    Returns:
        the average-pooled features of the last map, float32 (2, D), by its name; and logits,
        float32 (2, 1000), where the weights have the layers up to them.
    """
    backbone = BACKBONES[weights.backbone]
    size = (backbone.size, backbone.size)
    pixels = photographs(size)
    layers = [backbone.output, *([LOGITS] if weights.has_top else [])]
    compiled = compile_network(
        reference(),
        lambda precision: assemble(backbone, size, weights, layers, precision=precision),
        pixels.shape,
    )
    return compiled.forward(pixels)


def photographs(size: tuple[int, int]) -> np.ndarray:
    """Return both photographs at a height and width, uint8 (2, height, width, 3)."""
    return np.stack(
        [
            fit(decode((FOLDER / f"{photo}.png").read_bytes()), size, "stretch", "bilinear")
            for photo in PHOTOS
        ]
    )


def _named(weights: Weights) -> str:
    """Return backbone and weights source, as messages name a set of weights."""
    return f"{weights.backbone} ({weights.weights_source})"


def check_classes(name: str, logits: np.ndarray) -> Iterator[str]:
    """Yield a line for each photograph whose class is right.

    Args:
        name: what messages call the weights.
        logits: of both photographs, float32 (2, 1000), ImageNet's classes in their usual order.

    Raises:
        DataError: a class is wrong.
    """
    for photo, label in zip(PHOTOS, logits.argmax(axis=1), strict=True):
        right = RIGHT_CLASSES[photo]
        if label not in right:
            raise DataError(
                f"{name} calls the {photo} photograph class {label}, "
                f"expected one of {sorted(right)}: weights or pixel scaling are wrong"
            )
        yield f"{name} calls the {photo} photograph: {right[label]}"


def _check_values(weights: Weights, values: np.ndarray) -> Iterator[str]:
    path = FOLDER / f"{weights.backbone}-{weights.scaling.name}.npy"
    if not path.exists():
        yield f"{_named(weights)}: no stored features to compare with"
        return
    expected = np.load(path, allow_pickle=False)
    lengths = np.linalg.norm(values, axis=1) * np.linalg.norm(expected, axis=1)
    cosine = float(((values * expected).sum(axis=1) / lengths).min())
    if not cosine > LEAST_COSINE:
        raise DataError(
            f"{_named(weights)}: features of the photographs have cosine "
            f"{cosine:.5f} to the stored ones, expected above {LEAST_COSINE}: weights or pixel "
            "scaling are wrong"
        )
    name = _named(weights)
    yield f"{name}: features of the photographs match the stored ones (cosine {cosine:.6f})"
