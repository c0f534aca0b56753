"""Hand-crafted descriptors: what images were classified by before networks learned their own.

A descriptor takes the place of a backbone: the same loading, shards, recipe and feature file. Its
parameters stand in the recipe where a network has its weights.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the catalog imports this module, and commands print it without NumPy
    import numpy as np

ENGINE = "scikit-image"


@dataclass(frozen=True)
class Descriptor:
    """One way to describe an image without a trained network.

    Attributes:
        name: the name by which users call it, as they call a backbone.
        output: the name of its only layer in a feature file.
        size: height and width in pixels that images are resized to by default.
        min_size: the smallest height or width that it accepts.
        parameters: the keyword arguments of `describe`, of types that JSON knows.
        describe: a function from uint8 pixels (n, h, w, 3) to float32 features (n, D).
        about: one line that says what it is and who published it.
    """

    name: str
    output: str
    size: int
    min_size: int
    parameters: dict[str, Any]
    describe: "Callable[..., np.ndarray]"
    about: str

    def dimensions(self, size: tuple[int, int]) -> int:
        """Return the number D of features at a height and width in pixels."""
        import numpy as np

        blank = np.zeros((1, *size, 3), np.uint8)
        return int(self.describe(blank, **self.parameters).shape[1])


def _hog(pixels: "np.ndarray", **parameters: Any) -> "np.ndarray":
    """Histograms of oriented gradients, of the colour channel with the steepest in each pixel.

    N. Dalal and B. Triggs, "Histograms of Oriented Gradients for Human Detection", CVPR 2005,
    section 6.
    """
    import numpy as np
    from skimage.feature import hog

    rows = [hog(image, channel_axis=-1, **parameters) for image in pixels]
    return np.stack(rows).astype(np.float32)


def _colour(pixels: "np.ndarray", bins: list[int]) -> "np.ndarray":
    """Joint histograms of hue, saturation and value, as square roots of the bins' shares.

    The bins are those of MPEG-7's scalable colour descriptor (B. Manjunath et al., "Color and
    Texture Descriptors", IEEE Transactions on Circuits and Systems for Video Technology 11, 2001,
    section III). With roots, products of histograms are Hellinger kernels, which suit linear
    classifiers (A. Vedaldi and A. Zisserman, "Efficient Additive Kernels via Explicit Feature
    Maps", PAMI 34, 2012).
    """
    import numpy as np
    from skimage.color import rgb2hsv

    count = int(np.prod(bins))
    levels = np.minimum(rgb2hsv(pixels) * bins, np.array(bins) - 1).astype(np.int64)
    bin_numbers = np.ravel_multi_index(tuple(np.moveaxis(levels, -1, 0)), bins)  # (n, h, w)
    row_starts = np.arange(len(pixels))[:, None] * count
    histograms = np.bincount((bin_numbers.reshape(len(pixels), -1) + row_starts).ravel(),
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
    """Return the descriptor of that name, in upper or lower case; None where there is none."""
    return DESCRIPTORS.get(name.strip().lower())
