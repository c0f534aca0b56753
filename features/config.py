"""The settings of an extraction; every default stands here, once, with a word on why."""

from dataclasses import dataclass
from pathlib import Path

RESIZES = ("stretch", "crop")
INTERPOLATIONS = ("bilinear", "bicubic", "lanczos", "nearest")
STORES = ("float32", "float16")
ENGINES = ("openvino", "tensorflow", "jax")
PRECISIONS = ("float32", "bfloat16", "float16")
AUTO = "auto"


@dataclass(frozen=True)
class ExtractConfig:
    """What `features.extract` and `python -m pipeline extract` are told.

    Attributes:
        source: a folder, a manifest, an archive or a file of arrays.
        out: the feature file to write.
        backbone: a name from the catalog.
        weights: "imagenet" (whichever way they can be had), the name of one origin, a path to a
            weights file, or "none" for seeded random ones.
        scaling: pixel scaling of a weights file given by path; None takes the one noted beside
            the file, else the one of Keras' own weights for this backbone.
        layers: names of the layers to tap; None takes the last one.
        pooling: "avg", "max", "avgmax", "flatten" or "none".
        image_size: height and width the network sees, in pixels; None takes the backbone's own.
        resize: "stretch" keeps the whole image, "crop" its aspect ratio.
        exact_decode: decode JPEGs at full scale also where half of it would do.
        interpolation: how pixels are resampled, always with antialiasing.
        engine: "auto" takes the fastest that is installed and fits the hardware.
        precision: of the network's weights and operations; pooling is in float32 in any case.
        batch_size: images a forward pass; 32 is near the best rate on CPUs and small GPUs.
        store: dtype of the stored features; float16 halves the file.
        limit: take that many images only, spread evenly over the source.
        max_rejected: share of unreadable images, 0 to 1, above which the run ends as failed.
        restart: throw away what an earlier run left and begin anew.
        seed: of the random weights.
        progress: show a progress bar.
    """

    source: Path
    out: Path
    backbone: str = "resnet50"  # 2048 features, a fifth of VGG16's time
    weights: str = "imagenet"
    scaling: str | None = None
    layers: tuple[str, ...] | None = None
    pooling: str = "avg"  # what published linear probes use
    image_size: tuple[int, int] | None = None
    resize: str = "stretch"
    interpolation: str = "bilinear"
    exact_decode: bool = False
    engine: str = AUTO
    precision: str = AUTO  # bfloat16 where the hardware has it: 3 to 20 times the rate
    batch_size: int = 32
    store: str = "float32"
    limit: int | None = None
    max_rejected: float = 0.05
    restart: bool = False
    seed: int = 0
    progress: bool = True
