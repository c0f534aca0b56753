"""What a record says of a network, checked before anything of that size is built.

A network is built from these facts alone, so that a few of their digits could ask for more memory
than any machine has. Whatever is to be built must have its arrays in the model's file.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec

from features.backbones import catalog
from features.disk import documents
from features.disk.documents import Whole
from features.errors import DataError, OffshelfError
from pipeline.config.choices import ARCHITECTURES

FROM_SCRATCH, FINE_TUNED = "scratch", "finetune"  # the "kind" in the facts of these networks

_FLOAT_BYTES = 4
# Units before the logits of each architecture, and after the flattened maps of LeNet-5.
_WIDTHS = dict(zip(ARCHITECTURES, (256, 84, 512, 512), strict=True))
_FLATTENED, _MAPS, _SHRUNK = 120, 16, 4

_Side = Annotated[int, msgspec.Meta(ge=1, le=4096)]  # pixels
_Spread = Annotated[float, msgspec.Meta(gt=0)]


@dataclass(frozen=True)
class _Any:
    """What all networks have."""

    image_size: tuple[_Side, _Side]
    classes: Annotated[int, msgspec.Meta(ge=2, lt=2**31)]
    seed: Whole
    precision: Literal["float32", "mixed_bfloat16"]


@dataclass(frozen=True)
class _Moments:
    mean: tuple[float, float, float]
    deviation: tuple[_Spread, _Spread, _Spread]


@dataclass(frozen=True)
class _FromScratch(_Any):
    architecture: Literal[ARCHITECTURES]  # type: ignore[valid-type] # our own names
    scaling: _Moments | None
    batchnorm: bool
    dropout: bool

    @property
    def parameters(self) -> int:
        """The fewest numbers that such a network has."""
        height, width = self.image_size
        flat = (height // _SHRUNK) * (width // _SHRUNK) * _MAPS * _FLATTENED
        return self.classes * _WIDTHS[self.architecture] + flat * (self.architecture == "lenet")


@dataclass(frozen=True)
class _FineTuned(_Any):
    backbone: str
    scaling: catalog.PixelScaling

    @property
    def parameters(self) -> int:
        backbone = catalog.find(self.backbone)
        catalog.check_image_size(backbone, self.image_size)
        return backbone.parameters + self.classes * backbone.layers[-1][1]


_KINDS = {FROM_SCRATCH: _FromScratch, FINE_TUNED: _FineTuned}


def check(facts: Any, size: int, where: str) -> None:
    """Raise DataError unless facts describe a network whose arrays a file can hold.

    Args:
        facts: what is to be built, as a record has it.
        size: bytes of the file with the arrays.
        where: begins the message.
    """
    kind = documents.convert(facts, dict[str, Any], where).get("kind")
    if not isinstance(kind, str) or kind not in _KINDS:
        raise DataError(f"{where}: a network of kind {kind!r:.60}; known: {', '.join(_KINDS)}")
    try:
        needed = documents.convert(facts, _KINDS[kind], where).parameters * _FLOAT_BYTES
    except OffshelfError as error:
        raise DataError(str(error)) from None
    if needed > size:
        raise DataError(f"{where}: its arrays have {needed:,} bytes, and the file {size:,} in all")
