"""Who resizes images: Pillow, or for many of them Numba, which gives the same pixels."""

import logging
import platform
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec

import numpy as np
from PIL import Image

from features.decoding.resizing import fit
from features.text import reason_of

Fit = Callable[[Image.Image, tuple[int, int], str, str], np.ndarray]

log = logging.getLogger("offshelf")

_MANY = 1000  # images, from which on half a second pays in which Numba starts


def fit_for(images: int) -> Fit:
    """Return `fit`, or for many images what gives the same pixels in less time.

    That needs Numba, and a processor on which it has been shown to be the same.
    """
    return fit if images < _MANY else _fastest()


@cache
def _fastest() -> Fit:
    if platform.machine() not in ("x86_64", "AMD64") or find_spec("numba") is None:
        return fit
    try:
        from features.decoding import resampling

        return resampling.fit if resampling.order_of_pillow() else fit
    except Exception as error:  # of versions that do not fit, or of no place for what is compiled
        log.warning("Pillow resamples the images, as Numba cannot: %s", reason_of(error, 120))
        return fit
