"""The settings of every stage; each default stands here or in `features.config`, once."""

from dataclasses import dataclass
from pathlib import Path

from features.config import ExtractConfig

__all__ = ["DemoConfig", "ExtractConfig"]


@dataclass(frozen=True)
class DemoConfig:
    """What `demo` is told.

    Attributes:
        out: folder for the feature files.
        backbones: extracted one after the other.
        image_size: side in pixels; the bundled images have 32, three times that keeps it short.
        regularization: C of the linear SVM on standardized features.
        seed: of the SVM's solver.
    """

    out: Path = Path("demo")
    backbones: tuple[str, ...] = ("vgg16", "resnet50")
    image_size: int = 96
    regularization: float = 1e-3
    seed: int = 0
    progress: bool = True
