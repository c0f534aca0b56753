"""The golden check: do these weights see a cat in a cat, and give the features they should?

Two photographs travel with the package, and the features that VGG16 and ResNet50 give of them,
computed once by other code than ours from the same weights in their original form.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from features.backbones.assembly import assemble
from features.backbones.catalog import BACKBONES
from features.decoding import decode, fit
from features.engines import compile_network, reference
from features.errors import DataError

if TYPE_CHECKING:
    from features.backbones.stored import Weights

FOLDER = Path(__file__).parent / "golden"
PHOTOS = ("cat", "coffee")
LEAST_COSINE = 0.9999

# ImageNet-1k class numbers that are right for each photograph, with their names.
RIGHT_CLASSES = {
    "cat": {281: "tabby", 282: "tiger cat", 285: "Egyptian cat"},
    "coffee": {504: "coffee mug", 967: "espresso", 968: "cup"},
}


def check(weights: "Weights") -> Iterator[str]:
    """Yield a line for each thing found right about a backbone's weights.

    Raises:
        DataError: a class is wrong, or features differ from the stored ones.
    """
    found = features(weights)
    yield from _check_classes(weights, found)
    yield from _check_values(weights, found)


def features(weights: "Weights") -> np.ndarray:
    """Return the average-pooled features of both photographs: float32, shape (2, D)."""
    backbone = BACKBONES[weights.backbone]
    size = (backbone.size, backbone.size)
    pixels = np.stack(
        [
            fit(decode((FOLDER / f"{photo}.png").read_bytes()), size, "stretch", "bilinear")
            for photo in PHOTOS
        ]
    )
    layer = backbone.output
    compiled = compile_network(
        reference(),
        lambda precision: assemble(backbone, size, weights, [layer], precision=precision),
        pixels.shape,
    )
    return compiled.forward(pixels)[layer]


def named(weights: "Weights") -> str:
    """Return backbone and weights source, as messages name a set of weights."""
    return f"{weights.backbone} ({weights.weights_source})"


def _check_classes(weights: "Weights", found: np.ndarray) -> Iterator[str]:
    top = weights.top()
    if top is None:
        return
    kernel, bias = top
    for photo, best in zip(PHOTOS, (found @ kernel + bias).argmax(axis=1), strict=True):
        right = RIGHT_CLASSES[photo]
        if best not in right:
            raise DataError(
                f"{named(weights)} calls the {photo} photograph class {best}, "
                f"expected one of {sorted(right)}: weights or pixel scaling are wrong"
            )
        yield f"{named(weights)} calls the {photo} photograph: {right[best]}"


def _check_values(weights: "Weights", found: np.ndarray) -> Iterator[str]:
    path = FOLDER / f"{weights.backbone}-{weights.scaling.name}.npy"
    if not path.exists():
        yield f"{named(weights)}: no stored features to compare with"
        return
    expected = np.load(path, allow_pickle=False)
    lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(expected, axis=1)
    cosine = float(((found * expected).sum(axis=1) / lengths).min())
    if not cosine > LEAST_COSINE:
        raise DataError(
            f"{named(weights)}: features of the photographs have cosine "
            f"{cosine:.5f} to the stored ones, expected above {LEAST_COSINE}: weights or pixel "
            "scaling are wrong"
        )
    yield (
        f"{named(weights)}: features of the photographs match the stored ones (cosine {cosine:.6f})"
    )
