"""Descriptors made by hand: what images were classified by before networks learned their own.

They take the place of a backbone: the same loading, shards, recipe and feature file. Their
parameters stand in the recipe where a network has its weights.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np

from features.config import AUTO, ExtractConfig
from features.engines import Choice, Compiled
from features.errors import MissingPackageError, UsageError
from features.loading import available_cpus

ENGINE = "scikit-image"


@dataclass(frozen=True)
class Descriptor:
    """One way to describe an image by hand.

    Attributes:
        name: what users call it, as they call a backbone.
        output: what its only layer is called in a feature file.
        size: height and width in pixels that images are brought to, unless others are asked for.
        min_size: smallest height or width.
        parameters: what `describe` is told beside the pixels, as JSON takes it.
        describe: takes uint8 pixels (n, h, w, 3), returns float32 (n, D).
        about: one line on what it is, and whose.
    """

    name: str
    output: str
    size: int
    min_size: int
    parameters: dict[str, Any]
    describe: Callable[..., np.ndarray]
    about: str

    def dimensions(self, size: tuple[int, int]) -> int:
        """Return the number D of features at a height and width in pixels."""
        blank = np.zeros((1, *size, 3), np.uint8)
        return int(self.describe(blank, **self.parameters).shape[1])


def _hog(pixels: np.ndarray, **parameters: Any) -> np.ndarray:
    """Histograms of oriented gradients, of the colour channel with the steepest in each pixel.

    N. Dalal and B. Triggs, "Histograms of Oriented Gradients for Human Detection", CVPR 2005,
    section 6.
    """
    from skimage.feature import hog

    described = [hog(image, channel_axis=-1, **parameters) for image in pixels]
    return np.stack(described).astype(np.float32)


def _colour(pixels: np.ndarray, bins: list[int]) -> np.ndarray:
    """Joint histograms of hue, saturation and value, as square roots of the bins' shares.

    The bins are those of MPEG-7's scalable colour descriptor (B. Manjunath et al., "Color and
    Texture Descriptors", IEEE Transactions on Circuits and Systems for Video Technology 11, 2001,
    section III). With roots, products of histograms are Hellinger kernels, which suit linear
    classifiers (A. Vedaldi and A. Zisserman, "Efficient Additive Kernels via Explicit Feature
    Maps", PAMI 34, 2012).
    """
    from skimage.color import rgb2hsv

    count = int(np.prod(bins))
    levels = np.minimum(rgb2hsv(pixels) * bins, np.array(bins) - 1).astype(np.int64)
    places = np.ravel_multi_index(tuple(np.moveaxis(levels, -1, 0)), bins)  # (n, h, w)
    rows = np.arange(len(pixels))[:, None] * count
    histograms = np.bincount((places.reshape(len(pixels), -1) + rows).ravel(),
                             minlength=len(pixels) * count)  # fmt: skip
    shares = histograms.reshape(len(pixels), count) / (pixels.shape[1] * pixels.shape[2])
    return np.sqrt(shares).astype(np.float32)


DESCRIPTORS = {
    descriptor.name: descriptor
    for descriptor in (
        Descriptor(
            "hog", "blocks", 64, 16,
            {"orientations": 9, "pixels_per_cell": [8, 8], "cells_per_block": [2, 2],
             "block_norm": "L2-Hys"},
            _hog, "histograms of oriented gradients (Dalal and Triggs 2005)",
        ),
        Descriptor(
            "colour", "histogram", 64, 1, {"bins": [16, 4, 4]},
            _colour, "joint histogram of hue, saturation, value (bins of MPEG-7)",
        ),
    )
}  # fmt: skip


def find(name: str) -> Descriptor | None:
    """Return the descriptor of that name, in whatever case; None where there is none."""
    return DESCRIPTORS.get(name.strip().lower())


def check_options(config: ExtractConfig, descriptor: Descriptor) -> None:
    """Raise UsageError for what only a network could be told."""
    told = {
        "--layers": config.layers not in (None, (descriptor.output,)),
        "--weights": config.weights != ExtractConfig.weights,
        "--scaling": config.scaling is not None,
        "--pooling": config.pooling != ExtractConfig.pooling,
        "--engine": config.engine != AUTO,
        "--precision": config.precision not in (AUTO, "float32"),
    }
    if senseless := [option for option, given in told.items() if given]:
        raise UsageError(
            f"{', '.join(senseless)}: {descriptor.name} is made by hand by {ENGINE} in float32 and "
            "has neither layers nor weights; leave the option out"
        )


def choose() -> Choice:
    """Return what describes images; MissingPackageError where that is not installed."""
    if find_spec("skimage") is None:
        raise MissingPackageError(
            f'{ENGINE} is not installed; `pip install "offshelf[handcrafted]"` brings it'
        )
    return Choice(ENGINE, "float32", "made by hand")


def compiled(descriptor: Descriptor, size: tuple[int, int]) -> Compiled:
    """Return a descriptor ready to run on batches of a height and width, on every CPU."""
    workers = available_cpus()
    describe = partial(descriptor.describe, **descriptor.parameters)

    def forward(pixels: np.ndarray) -> dict[str, np.ndarray]:
        # Processes, as Python's own share of the work keeps threads waiting for each other; of
        # loky, as its own need no guard in the script that calls.
        from joblib.externals.loky import get_reusable_executor

        pool = get_reusable_executor(workers, initializer=_leave_signals_to_the_parent)
        parts = np.array_split(pixels, min(workers, len(pixels)))
        return {descriptor.output: np.concatenate([*pool.map(describe, parts)])}

    return Compiled({descriptor.output: (descriptor.dimensions(size),)}, forward)


def _leave_signals_to_the_parent() -> None:
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)
