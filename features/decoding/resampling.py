"""Pillow's resampling, to the bit, in a third of its time, compiled by Numba.

Pillow adds 8-bit pixels times weights of 22 bits, all integers, along one side of the image first
and then along the other, and rounds to 8 bits behind both. The same sums are taken here, so that
nothing could differ but the weights, which are floating-point numbers once; on x86-64 the same
operations on these give the same bits.
"""

import logging
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any, NamedTuple

import numba
import numpy as np
import pyarrow
from PIL import Image

from features.decoding import resizing

log = logging.getLogger("offshelf")

_BITS = 22  # of a weight: 8 are the pixel's, and 2 are left for sums
_HALF = 1 << _BITS - 1
_STRIP, _SQUARE = 128, 16  # rows, and pixels of a side, that are transposed at a time
_LONGEST = 2**14  # of a side; it bounds the weights that are kept
_KEPT = 64  # weights, each of a pair of lengths
_BICUBIC = -0.5  # the slope of the cubic at 1

# Tells whether Pillow resamples columns before rows, by width and height before and behind it.
Order = Callable[[tuple[int, int], tuple[int, int]], bool]


class Weights(NamedTuple):
    """How each pixel of a resampled line is made of those of the line as it was.

    Attributes:
        first: int32, (n,), the first pixel that has a weight.
        taps: int32, (n,), how many pixels have one.
        values: int32, (n, most taps), in units of 2**-22; zero behind the taps.
    """

    first: np.ndarray
    taps: np.ndarray
    values: np.ndarray


def fit(image: Image.Image, size: tuple[int, int], resize: str, interpolation: str) -> np.ndarray:
    """Return what `resizing.fit` returns; Pillow resamples what cannot be resampled here."""
    order, pixels = order_of_pillow(), _shared(image)
    is_unusual = interpolation not in _FILTERS or max(*image.size, *size) > _LONGEST
    if order is None or pixels is None or is_unusual:
        return resizing.fit(image, size, resize, interpolation)
    return _resampled(pixels, size, resize, interpolation, order)


@cache
def order_of_pillow() -> Order | None:
    """Return the order that the installed Pillow takes, found by comparing images to the bit.

    None, and a warning, where no order that is known gives what Pillow does.
    """
    pixels = np.random.default_rng(0).integers(0, 2**32, (60, 50), np.uint32)
    image = Image.fromarray(pixels.view(np.uint8).reshape(60, 50, 4)[:, :, :3])
    sizes = ((40, 40), (39, 40), (72, 64), (30, 60))  # on both sides of where the order changes
    cases = [(size, interpolation) for size in sizes for interpolation in _FILTERS]
    expected = [resizing.fit(image, size, "crop", kind) for size, kind in cases]
    for order in (_tall_columns_first, _rows_first):
        made = [_resampled(pixels, size, "crop", kind, order) for size, kind in cases]
        if all(map(np.array_equal, made, expected)):
            return order
    log.warning(
        "Pillow %s resamples in a way that is not known, and does so for all images: Numba could "
        "not give the same", Image.__version__,
    )  # fmt: skip
    return None


def _tall_columns_first(before: tuple[int, int], behind: tuple[int, int]) -> bool:
    """Pillow's order since version 13: it saves work where most of the height goes."""
    lost = before[1] - behind[1]
    return lost > max(0, 2 * (before[0] - behind[0]))


def _rows_first(before: tuple[int, int], behind: tuple[int, int]) -> bool:
    """Pillow's order up to version 12."""
    return False


def _shared(image: Image.Image) -> np.ndarray | None:
    """Return the memory of an RGB image, uint32 (height, width); None where it is in pieces."""
    try:
        values = pyarrow.array(image).values
    except ValueError:
        return None
    return values.to_numpy().view(np.uint32).reshape(image.height, image.width)


def _resampled(
    pixels: np.ndarray, size: tuple[int, int], resize: str, interpolation: str, order: Order
) -> np.ndarray:
    """Return uint8 (height, width, 3) of pixels, uint32 (h, w)."""
    before, behind = pixels.shape[::-1], size[::-1]
    left, top, right, bottom = resizing.box_of(before, size, resize)
    columns = weights(before[0], left, right, size[1], interpolation)
    rows = weights(before[1], top, bottom, size[0], interpolation)
    resampled = np.empty((*size, 3), np.uint8)
    resample = _columns_then_rows if order(before, behind) else _rows_then_columns
    resample(pixels, columns, rows, resampled)
    return resampled


def _triangle(distances: np.ndarray) -> np.ndarray:
    return np.where(distances < 1, 1 - distances, 0.0)


def _cubic(distances: np.ndarray) -> np.ndarray:
    near = ((_BICUBIC + 2) * distances - (_BICUBIC + 3)) * distances * distances + 1
    far = (((distances - 5) * distances + 8) * distances - 4) * _BICUBIC
    return np.where(distances < 1, near, np.where(distances < 2, far, 0.0))


# By interpolation: the weight by distance, in pixels of the smaller scale, and how far it reaches.
_FILTERS = {"bilinear": (_triangle, 1.0), "bicubic": (_cubic, 2.0)}


@lru_cache(_KEPT)
def weights(length: int, low: float, high: float, size: int, interpolation: str) -> Weights:
    """Return the weights by which a section of a line becomes `size` pixels, as Pillow has them.

    Args:
        length: of the line, in pixels.
        low: where the section begins, in pixels, of which Pillow keeps 32 bits.
        high: where it ends.
        size: pixels of the result.
        interpolation: "bilinear" or "bicubic".
    """
    weigh, reach = _FILTERS[interpolation]
    scale = float(np.float32(high) - np.float32(low)) / size
    stretch = max(scale, 1.0)  # smaller sizes are antialiased
    reach *= stretch
    centres = float(np.float32(low)) + (np.arange(size) + 0.5) * scale
    first = np.maximum((centres - reach + 0.5).astype(np.int32), 0)
    taps = np.minimum((centres + reach + 0.5).astype(np.int32), length) - first
    tap = np.arange(taps.max())  # (t,)
    distances = np.abs((tap + first[:, None] - centres[:, None] + 0.5) * (1 / stretch))  # (n, t)
    shares = np.where(tap < taps[:, None], weigh(distances), 0.0)
    shares /= np.cumsum(shares, axis=1)[:, -1:]  # added one after the other
    values = np.trunc(shares * 2**_BITS + np.copysign(0.5, shares)).astype(np.int32)
    return Weights(first, taps, values)


_INDICES = numba.int32[::1]
_WEIGHTS = numba.types.NamedTuple([_INDICES, _INDICES, numba.int32[:, ::1]], Weights)
_GIVEN = numba.types.Array(numba.uint32, 2, "C", readonly=True)
_MADE, _RGB = numba.uint32[:, ::1], numba.uint8[:, :, ::1]


def _compiled(*types: Any) -> Any:
    """Compile a function of arguments of these types, or take it from Numba's cache."""
    return numba.njit(numba.void(*types), nogil=True, cache=True)


@_compiled(_GIVEN, _WEIGHTS, _MADE)
def _along_columns(pixels: np.ndarray, weights: Weights, low: np.ndarray) -> None:
    """Write pixels, uint32 (h, w), into uint32 (height, w)."""
    pixel_bytes, low_bytes = pixels.view(np.uint8), low.view(np.uint8)
    length = low_bytes.shape[1]
    sums = np.empty(length, np.int32)
    for y in range(len(low)):
        for n in range(length):
            sums[n] = _HALF
        for tap in range(weights.taps[y]):
            weight, line = weights.values[y, tap], pixel_bytes[weights.first[y] + tap]
            for n in range(length):
                sums[n] += weight * np.int32(line[n])
        for n in range(length):
            low_bytes[y, n] = min(max(sums[n] >> _BITS, 0), 255)


@_compiled(_GIVEN, _MADE)
def _transpose(pixels: np.ndarray, turned: np.ndarray) -> None:
    """Write uint32 (h, w) into uint32 (w, h), in squares that stay in the processor's cache."""
    height, width = pixels.shape
    whole_height, whole_width = height // _SQUARE * _SQUARE, width // _SQUARE * _SQUARE
    for top in range(0, whole_height, _SQUARE):
        for left in range(0, whole_width, _SQUARE):
            for y in range(_SQUARE):
                for x in range(_SQUARE):
                    turned[left + x, top + y] = pixels[top + y, left + x]
    for y in range(height):
        for x in range(whole_width if y < whole_height else 0, width):
            turned[x, y] = pixels[y, x]


@_compiled(_GIVEN, _WEIGHTS, _MADE)
def _along_rows(pixels: np.ndarray, weights: Weights, narrow: np.ndarray) -> None:
    """Write pixels, uint32 (h, w), into uint32 (h, width).

    Some rows at a time are turned into columns, of which one instruction takes several.
    """
    (height, width), new_width = pixels.shape, narrow.shape[1]
    strip = min(_STRIP, height)
    turned = np.empty((width, strip), np.uint32)
    turned_narrow = np.empty((new_width, strip), np.uint32)
    for start in range(0, height, strip):
        top = min(start, height - strip)  # the last strip takes some rows once more
        _transpose(pixels[top : top + strip], turned)
        _along_columns(turned, weights, turned_narrow)
        _transpose(turned_narrow, narrow[top : top + strip])


@_compiled(_GIVEN, _RGB)
def _without_padding(pixels: np.ndarray, resampled: np.ndarray) -> None:
    """Write three of the four bytes of each pixel, uint32 (h, w), into uint8 (h, w, 3)."""
    quads = pixels.view(np.uint8)
    for y in range(resampled.shape[0]):
        for x in range(resampled.shape[1]):
            for band in range(3):
                resampled[y, x, band] = quads[y, 4 * x + band]


@_compiled(_GIVEN, _WEIGHTS, _WEIGHTS, _RGB)
def _rows_then_columns(
    pixels: np.ndarray, columns: Weights, rows: Weights, resampled: np.ndarray
) -> None:
    """Write pixels, uint32 (h, w), into uint8 (height, width, 3) by the weights of both sides."""
    begin, end = rows.first[0], rows.first[-1] + rows.taps[-1]
    narrow = np.empty((len(pixels), len(columns.first)), np.uint32)
    _along_rows(pixels[begin:end], columns, narrow[begin:end])
    small = np.empty((len(rows.first), len(columns.first)), np.uint32)
    _along_columns(narrow, rows, small)
    _without_padding(small, resampled)


@_compiled(_GIVEN, _WEIGHTS, _WEIGHTS, _RGB)
def _columns_then_rows(
    pixels: np.ndarray, columns: Weights, rows: Weights, resampled: np.ndarray
) -> None:
    """Do as `_rows_then_columns`, in the other order."""
    low = np.empty((len(rows.first), pixels.shape[1]), np.uint32)
    _along_columns(pixels, rows, low)
    small = np.empty((len(rows.first), len(columns.first)), np.uint32)
    _along_rows(low, columns, small)
    _without_padding(small, resampled)
