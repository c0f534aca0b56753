"""Which resizing a file does itself, and which is left to those who use it."""

from dataclasses import dataclass

CUBIC = -0.5  # the coefficient of Pillow's bicubic filter
_INSIDE = ("bilinear", "bicubic")  # which ONNX and OpenVINO antialias as Pillow does


@dataclass(frozen=True)
class Resizing:
    """How pixels come to the size that a network sees.

    Attributes:
        resize: "stretch" or "crop", see `features.decoding.resizing.fit`.
        interpolation: a name of Pillow's.
    """

    resize: str
    interpolation: str

    @property
    def inside(self) -> bool:
        """Whether a file of ONNX or OpenVINO resizes pixels of any size itself."""
        return self.resize == "stretch" and self.interpolation in _INSIDE
