"""timm's models as networks from elsewhere: what timm says of one is all that is known of it."""

import functools
import logging
from collections.abc import Sequence
from typing import Any

from features.backbones import golden
from features.backbones.catalog import SCALINGS, PixelScaling, standardized
from features.backbones.elsewhere import Network, Tap, Wanted, check_pooling
from features.backbones.timm_here import PREFIX, record_of, timm_here
from features.backbones.timm_weights import resolve
from features.engines.base import BatchShape
from features.errors import DataError, UsageError
from features.text import reason_of

_ENGINES = ("openvino", "torch")
_IMAGENET = 1000  # classes
_SCALING = "timm"  # the name of a scaling that timm's record says

log = logging.getLogger("offshelf")


def open_network(wanted: Wanted) -> Network:
    """Return a timm model with its weights; see `opening.find`."""
    name, record = record_of(wanted.backbone)
    own_size: tuple[int, int] = tuple(record["input_size"][1:])
    size = wanted.image_size or own_size
    options = {"img_size": size} if record.get("fixed_input_size") and size != own_size else {}
    taps = _taps(name, size, bool(options))
    weights = resolve(name, record, wanted.weights, wanted.seed, options)
    scaling = SCALINGS[wanted.scaling] if wanted.scaling else _scaling(record)
    _tell(name, record["interpolation"], record["crop_pct"], weights.licence)

    def make(
        names: Sequence[str], pooling: str, precision: str, batch_shape: BatchShape
    ) -> Any:  # a torch.nn.Module
        import torch

        from features.backbones.torch_network import PixelNetwork

        check_pooling([tap for tap in taps if tap.name in names], pooling)
        model, dtype = weights.model(), getattr(torch, precision)
        return PixelNetwork(model, names, pooling, scaling, size, dtype).eval()

    return Network(
        f"{PREFIX}{name}", {"origin": weights.origin, "sha256": weights.sha256}, weights.licence,
        taps, "features", size, scaling, _ENGINES, ("timm", "torch"), make,
    )  # fmt: skip


def fetch(backbone: str, wanted: str) -> list[str]:
    """Fetch the weights of a model, and let it tell the bundled photographs; return what to say.

    Args:
        backbone: "timm/" and its name.
        wanted: a weights source.

    Raises:
        UsageError: timm has no such model, or it has no such weights source.
        DataError: the weights could not be fetched, or the photographs are not what it says.
    """
    import torch

    name, record = record_of(backbone)
    weights = resolve(name, record, wanted, 0, {})
    lines = [f"{PREFIX}{name}: weights from {weights.origin}, sha256 {weights.sha256}"]
    if record.get("num_classes") == _IMAGENET:
        from features.backbones.torch_network import HEAD, PixelNetwork

        size = (int(record["input_size"][1]), int(record["input_size"][2]))
        pixels = golden.photographs(size)
        network = PixelNetwork(weights.model(), [HEAD], "avg", _scaling(record), size).eval()
        with torch.no_grad():
            (logits,) = network(torch.from_numpy(pixels))
        lines += golden.check_classes(f"{PREFIX}{name} ({weights.origin})", logits.numpy())
    return lines


@functools.lru_cache(16)
def _taps(name: str, size: tuple[int, int], is_told_size: bool) -> tuple[Tap, ...]:
    """Return the layers, found on a model without content, which takes no memory and no time."""
    import torch

    from features.backbones.torch_network import taps

    options = {"img_size": size} if is_told_size else {}
    try:
        with torch.device("meta"):
            model = timm_here().create_model(name, pretrained=False, **options).eval()
        return tuple(taps(model, size))
    except Exception as error:  # timm's models raise errors of many types
        detail = reason_of(error)
        text = f"{PREFIX}{name} does not take images of {size[0]} x {size[1]} pixels"
        raise UsageError(f"{text} (--image-size): {detail}") from None


def _scaling(record: dict[str, Any]) -> PixelScaling:
    if len(record["mean"]) != 3 or record["input_size"][0] != 3:
        raise DataError(f"it takes {record['input_size'][0]} channels, expected 3: RGB images")
    return standardized(_SCALING, record["mean"], record["std"])


@functools.cache
def _tell(name: str, interpolation: str, share: float, licence: str) -> None:
    """Say once how timm itself prepares images, and the licence."""
    log.info(
        "%s%s: timm's record says %s interpolation and the central %.0f %% of the image (see "
        "--interpolation, --resize); licence %s",
        PREFIX, name, interpolation, 100 * share, licence or "not stated",
    )  # fmt: skip
