"""Colours of classes, on a light and on a dark background."""

import colorsys
import math

# Ten that can be told apart with each of the three colour blindnesses (simulated after G.
# Machado et al., IEEE TVCG 15, 2009), and from the grey of images without a class.
_TEN = (
    "#3a9bfd", "#ff9e14", "#176c5f", "#ba0d01", "#902cab",
    "#2bd1fe", "#db640e", "#99c597", "#455ef8", "#a76eac",
)  # fmt: skip
GREY = "#9b9b9b"

_GOLDEN = (math.sqrt(5) - 1) / 2
_LIGHTNESS = (0.45, 0.6, 0.72)


def colours(count: int) -> list[str]:
    """Return a colour for each of `count` classes, as "#rrggbb".

    Beyond ten, only neighbours in the list can be told apart; the page names each class and
    highlights it on demand.
    """
    return list(_TEN[:count]) if count <= len(_TEN) else [_spread(n) for n in range(count)]


def _spread(number: int) -> str:
    hue, lightness = number * _GOLDEN % 1, _LIGHTNESS[number % len(_LIGHTNESS)]
    red, green, blue = colorsys.hls_to_rgb(hue, lightness, 0.65)
    return "#" + "".join(f"{round(255 * channel):02x}" for channel in (red, green, blue))
