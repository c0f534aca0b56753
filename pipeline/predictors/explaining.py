"""Where in an image the evidence for a class lies.

Where the scores of a classifier are affine in features that are averages over positions, the scores
of the positions by themselves are a map whose mean is the image's score: the class activation map
(B. Zhou et al., "Learning Deep Features for Discriminative Localization", CVPR 2016, section 2). It
is taken where that is so, which is computed, not assumed. A network trained on pixels is asked for
gradients (`networks.inside.Halves`). For all other candidates parts of the image are covered one
after the other, and the map is what the probability loses (M. Zeiler and R. Fergus, "Visualizing
and Understanding Convolutional Networks", ECCV 2014, section 4.2).
"""

import dataclasses
import logging
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np

from features.backbones.catalog import BACKBONES
from features.engines.base import Compiled
from features.errors import OffshelfError
from features.extraction.rebuilding import Rebuilt, rebuild
from pipeline.predictors.kit import Kit
from pipeline.predictors.of_images import ImagePredictor, recipes_of

log = logging.getLogger("offshelf")

ACTIVATION, GRADIENT, OCCLUSION = "class activation map", "Grad-CAM", "occlusion"
_AFFINE = 0.02  # of the largest score: by which the mean of a map may miss it, in bfloat16
_CELLS = 14  # a side of an occlusion map, at most
_CELL_PIXELS = 4  # a side of a cell, at least
_COVERED = 3  # cells a side of what is covered


@dataclass(frozen=True)
class Explanation:
    """The evidence for a class.

    Attributes:
        method: `ACTIVATION`, `GRADIENT` or `OCCLUSION`.
        values: float32 (h, w): scores whose mean is the image's, maps weighted by gradients, or
            losses of probability.
    """

    method: str
    values: np.ndarray

    @property
    def shown(self) -> np.ndarray:
        """The values from 0 to 1, as a picture shows them; a gain by covering counts as none."""
        least = self.values.min() if self.method == ACTIVATION else 0.0
        above = np.maximum(self.values - least, 0)
        return above / (above.max() or 1.0)


@dataclass(frozen=True)
class Explainer:
    """A candidate, ready to explain what it sees.

    Attributes:
        predictor: the candidate.
        maps: the network up to its last positions; None where there are none to be had.
        layer: the layer in it.
        gradients: takes pixels and the number of a class, returns where a trained network has
            evidence, float32 (h, w), 0 or above; None without such a network.
    """

    predictor: ImagePredictor
    maps: Compiled | None
    layer: str
    gradients: Callable[[np.ndarray, int], np.ndarray] | None = None

    def explain(self, pixels: np.ndarray, label: int) -> Explanation:
        """Return the evidence in one image, uint8 (H, W, 3), for a class by its number."""
        return (
            self._activation(pixels, label)
            or self._gradient(pixels, label)
            or self._occlusion(pixels, label)
        )

    def _gradient(self, pixels: np.ndarray, label: int) -> Explanation | None:
        """Return the gradients' map, None where nothing in it speaks for the class."""
        if self.gradients is None or not (values := self.gradients(pixels, label)).any():
            return None
        return Explanation(GRADIENT, values)

    def _activation(self, pixels: np.ndarray, label: int) -> Explanation | None:
        """Return the class activation map, None where the image's scores are not its mean."""
        if self.maps is None:
            return None
        batch = _filled(pixels[None], self.predictor.batch_size)
        positions = self.maps.forward(batch)[self.layer][0]  # (h, w, C)
        h, w, channels = positions.shape
        by_position = self.predictor.scores(positions.reshape(-1, channels))  # (h * w, K)
        whole = self.predictor.scores(self.predictor.vectors(batch)[:1])  # (1, K)
        if by_position is None or whole is None:
            return None
        if np.abs(by_position.mean(axis=0) - whole).max() > _AFFINE * np.abs(whole).max():
            return None
        return Explanation(ACTIVATION, by_position[:, label].reshape(h, w).astype(np.float32))

    def _occlusion(self, pixels: np.ndarray, label: int) -> Explanation:
        """Return what the probability loses where parts of the image are covered by its mean."""
        rows, columns = (
            np.linspace(0, side, max(1, min(_CELLS, side // _CELL_PIXELS)) + 1).astype(int)
            for side in pixels.shape[:2]
        )
        h, w = len(rows) - 1, len(columns) - 1
        covered = np.repeat(pixels[None], h * w + 1, axis=0)  # the last one stays whole
        for number in range(h * w):
            top, left = _first(number // w, h), _first(number % w, w)
            part = (
                slice(rows[top], rows[min(top + _COVERED, h)]),
                slice(columns[left], columns[min(left + _COVERED, w)]),
            )
            covered[number][part] = pixels.mean(axis=(0, 1)).astype(np.uint8)
        probabilities = self._probabilities(covered)[:, label]
        losses = (probabilities[-1] - probabilities[:-1]).reshape(h, w)
        return Explanation(OCCLUSION, losses.astype(np.float32))

    def _probabilities(self, pixels: np.ndarray) -> np.ndarray:
        size, results = self.predictor.batch_size, []
        for start in range(0, len(pixels), size):
            batch = pixels[start : start + size]
            vectors = self.predictor.vectors(_filled(batch, size))[: len(batch)]
            results.append(self.predictor.probabilities(vectors))
        return np.concatenate(results)


def explainer(kit: Kit, predictor: ImagePredictor, weights: str | None = None) -> Explainer:
    """Return a candidate that is ready to explain what it sees.

    Args:
        kit: the candidate.
        predictor: the candidate, ready to look at images.
        weights: the weights file, where the features were made from one.
    """
    layer = kit.record.inputs.get("layer", "")
    if predictor.network is not None:
        return Explainer(predictor, None, layer, _gradients(predictor.network))
    if "parts" in kit.record.inputs:  # whose positions are not those of one another
        return Explainer(predictor, None, layer)
    rebuilt = predictor.rebuilt[0] if predictor.rebuilt else None
    if rebuilt is None or rebuilt.model.pooling != "avg" or _is_dense(rebuilt, layer):
        return Explainer(predictor, None, layer)
    if kit.converted is not None and find_spec("keras") is None:  # nothing is fetched in vain
        log.info("evidence is shown by occlusion: maps need Keras, and the pack has averages alone")
        return Explainer(predictor, None, layer)
    recipe = dataclasses.replace(
        recipes_of(kit.record)[0], pooling="none", layers=(layer,), batch_size=predictor.batch_size
    )
    try:
        maps = rebuild(recipe, weights, rebuilt.recipe.engine, rebuilt.recipe.precision).compile()
    except OffshelfError as error:  # such as weights that cannot be fetched
        log.info("evidence is shown by occlusion: %s", error)
        return Explainer(predictor, None, layer)
    return Explainer(predictor, maps, layer)


def _is_dense(rebuilt: Rebuilt, layer: str) -> bool:
    """Return whether a layer is one above the network's last map, which has no positions."""
    backbone = BACKBONES.get(rebuilt.model.backbone)
    return backbone is not None and layer in backbone.dense


def _gradients(network: Any) -> Callable[[np.ndarray, int], np.ndarray] | None:
    """Return what maps the evidence of a trained network; None, told, where nothing can."""
    import keras

    from pipeline.networks.inside import halves

    if (backend := keras.backend.backend()) != "tensorflow":
        log.info("Grad-CAM needs TensorFlow and Keras runs %s: occlusion shows evidence", backend)
        return None
    cut = halves(network)
    return None if cut is None else cut.gradient_map


def _first(cell: int, cells: int) -> int:
    """Return the first of the cells that are covered around one."""
    return max(0, min(cell - _COVERED // 2, cells - _COVERED))


def _filled(pixels: np.ndarray, size: int) -> np.ndarray:
    """Return a batch of a size that begins with these images."""
    batch = np.zeros((size, *pixels.shape[1:]), np.uint8)
    batch[: len(pixels)] = pixels
    return batch
