"""Evidence as pictures: an image, and beside it the same under the evidence for its class."""

import io

import numpy as np
from PIL import Image

SIDE = 320  # pixels of the longer side of each half
_LEAST, _MOST = 0.45, 0.6  # of the colours over the image: what is no evidence is darkened
_GAP = 8  # pixels between the halves
# Those of "inferno", RGB: even in lightness, so that they can be read without telling hues apart.
_COLOURS = ((0, 0, 4), (87, 16, 110), (188, 55, 84), (249, 142, 9), (252, 255, 164))


def overlay(
    pixels: np.ndarray, evidence: np.ndarray, side: int = SIDE, encoding: str = "PNG"
) -> bytes:
    """Return a picture file.

    Args:
        pixels: uint8 (H, W, 3), the image as the network sees it.
        evidence: float (h, w), 0 to 1.
        side: pixels of the longer side of each half.
        encoding: "PNG" or "WEBP".
    """
    scale = side / max(pixels.shape[:2])
    height, width = (max(1, round(side * scale)) for side in pixels.shape[:2])
    image = _resized(Image.fromarray(pixels), width, height)
    canvas = Image.new("RGB", (2 * width + _GAP, height), "white")
    canvas.paste(Image.fromarray(image), (0, 0))
    strength = _resized(Image.fromarray(np.float32(evidence)), width, height).clip(0, 1)
    canvas.paste(Image.fromarray(_overlaid(image, strength)), (width + _GAP, 0))
    encoded = io.BytesIO()
    canvas.save(encoded, encoding)
    return encoded.getvalue()


def _resized(image: Image.Image, width: int, height: int) -> np.ndarray:
    return np.asarray(image.resize((width, height), Image.Resampling.BICUBIC))


def _overlaid(image: np.ndarray, evidence: np.ndarray) -> np.ndarray:
    """Return an image, uint8 (H, W, 3), under the colours of evidence, float32 (H, W), 0 to 1."""
    stops = np.linspace(0, 1, len(_COLOURS))
    colours = np.stack([np.interp(evidence, stops, c) for c in np.transpose(_COLOURS)], axis=-1)
    weight = (_LEAST + (_MOST - _LEAST) * evidence)[..., None]
    return np.rint((1 - weight) * image + weight * colours).astype(np.uint8)
