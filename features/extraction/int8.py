"""An int8 network for an extraction: calibrated, and compared with float32 before it is used."""

import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from features.config import INT8
from features.engines.base import Compiled
from features.errors import DataError
from features.extraction import calibration
from features.extraction.model import find_model
from features.extraction.planning import Plan, compile_model, write_recipe
from features.processes.progress import progress_bar

log = logging.getLogger("offshelf")

LEAST_COSINE = 0.95  # on average; docs/speed.md says why so much
LEAST_KEPT = 0.6  # of the nearest neighbours


@dataclass(frozen=True)
class Loss:
    """What int8 loses of the features of a layer.

    Attributes:
        layer: the name of the layer.
        images: the number of images that were compared.
        mean: the mean over images of the cosine of int8's features to those of float32.
        lowest: the lowest of these cosines.
        kept: the share of images whose nearest neighbour among the others, by cosine, is the same.
    """

    layer: str
    images: int
    mean: float
    lowest: float
    kept: float

    @property
    def is_bearable(self) -> bool:
        """Whether so much may be lost."""
        return self.mean >= LEAST_COSINE and self.kept >= LEAST_KEPT

    def __str__(self) -> str:
        return (
            f"{self.layer}: cosine to float32 {self.mean:.4f} on average, {self.lowest:.4f} at "
            f"least; {100 * self.kept:.0f} % of the nearest neighbours among {self.images} images "
            "kept"
        )


def compile_guarded(plan: Plan) -> tuple[Compiled, list[dict[str, Any]]]:
    """Return the int8 network of a plan, and what it loses by layer.

    Raises:
        DataError: it loses too much, and was not asked for in spite of that; or no image can be
            read.
        MissingPackageError: NNCF is not installed.
    """
    network = compile_model(plan.model, plan.recipe, partial(calibration_parts, plan))
    losses = list(_losses(plan, network))
    for loss in losses:
        log.info("%s, %s", INT8, loss)
    if not (plan.config.force_int8 or all(loss.is_bearable for loss in losses)):
        raise DataError(
            f"{INT8} loses too much of the features, expected a mean cosine of {LEAST_COSINE} and "
            f"{100 * LEAST_KEPT:.0f} % of the neighbours; leave --precision {INT8} out, or take "
            "it all the same by --force-int8"
        )
    return network, [asdict(loss) for loss in losses]


def restore(plan: Plan) -> None:
    """Make the int8 network behind finished features anew where the cache has lost it."""
    if plan.model.choice.precision == INT8:
        compile_model(plan.model, plan.recipe, partial(calibration_parts, plan))


@dataclass(frozen=True)
class CalibrationParts:
    """Images, `together` at a time; a bar shows how far one is with them."""

    pixels: np.ndarray
    together: int
    progress: bool

    def __len__(self) -> int:
        return -(-len(self.pixels) // self.together)

    def __iter__(self) -> Iterator[np.ndarray]:
        with progress_bar(len(self.pixels), 0, "image", self.progress) as bar:
            bar.set_description_str("calibrating", refresh=False)
            for start in range(0, len(self.pixels), self.together):
                part = self.pixels[start : start + self.together]
                bar.update(len(part))
                yield part


def calibration_parts(plan: Plan, together: int) -> CalibrationParts:
    """Return the calibration images of a plan, so many at a time."""
    known = plan.recipe.calibration or {}
    log.info("calibrating %s on %d images of the source", INT8, known["images"])
    images = calibration.choose(plan.config, plan.source).calibration
    read = calibration.pixels(
        plan.config, plan.source, plan.given_size, images, known["digest"], plan.watch
    )
    return CalibrationParts(np.concatenate([*read]), together, plan.config.progress)


def _losses(plan: Plan, network: Compiled) -> Iterator[Loss]:
    """Yield what each layer loses, on images of the source."""
    model = find_model(replace(plan.config, precision="float32", engine=plan.model.choice.engine))
    recipe = write_recipe(plan.config, model, plan.given_size, source={})
    exact = compile_model(model, recipe)
    images = calibration.choose(plan.config, plan.source).judging
    found: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {name: [] for name in network.shapes}
    judged = calibration.pixels(plan.config, plan.source, plan.given_size, images, watch=plan.watch)
    for pixels in judged:
        batch = np.zeros((recipe.batch_size, *pixels.shape[1:]), np.uint8)
        batch[: len(pixels)] = pixels
        theirs, ours = exact.forward(batch), network.forward(batch)
        for name, pairs in found.items():
            pairs.append((theirs[name][: len(pixels)], ours[name][: len(pixels)]))
    for name, pairs in found.items():
        yield compare(name, *(np.concatenate(values) for values in zip(*pairs, strict=True)))


def compare(layer: str, exact: np.ndarray, ours: np.ndarray) -> Loss:
    """Return what features lose against exact ones of the same images, both float32 (n, ...)."""
    units = [_units(values.reshape(len(values), -1)) for values in (exact, ours)]
    cosines = (units[0] * units[1]).sum(axis=1)
    kept = float((_nearest(units[0]) == _nearest(units[1])).mean())
    return Loss(layer, len(exact), float(cosines.mean()), float(cosines.min()), kept)


def _units(rows: np.ndarray) -> np.ndarray:
    """Return rows of length 1, float64; a row of zeros stays one."""
    lengths = np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
    return rows / np.maximum(lengths, np.finfo(np.float64).tiny)


def _nearest(units: np.ndarray) -> np.ndarray:
    """Return the number of each row's nearest other row by cosine: int64 (n,)."""
    cosines = units @ units.T
    np.fill_diagonal(cosines, -np.inf)
    return cosines.argmax(axis=1)
