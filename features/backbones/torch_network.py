"""A timm model as a network from uint8 pixels to features, for any engine that takes PyTorch."""

import copy
import inspect
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from features.backbones.catalog import PixelScaling
from features.backbones.elsewhere import Tap

FEATURES, EMBEDDING, HEAD = "features", "embedding", "head"  # of every model, behind its blocks


class PixelNetwork(nn.Module):
    """A timm model with pixel scaling before it and pooling behind it.

    `forward` takes RGB uint8 pixels (batch, height, width, 3) and returns a tuple of float32
    tensors, one for each name in `layers`, in this order.

    Args:
        model: the model, in evaluation mode; it is not changed.
        layers: names of layers, as `taps` lists them.
        pooling: a name from `catalog.POOLINGS`.
        scaling: the pixel scaling that it expects.
        size: height and width that it sees; pixels of another size are enlarged.
        dtype: of its weights and operations; scaling and pooling are in float32.
    """

    def __init__(
        self,
        model: nn.Module,
        layers: Sequence[str],
        pooling: str,
        scaling: PixelScaling,
        size: tuple[int, int],
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        self.layers, self._pooling, self._size = tuple(layers), pooling, size
        self._order, self._dtype = scaling.order, dtype
        self.model = model if dtype == torch.float32 else copy.deepcopy(model).to(dtype)
        self.register_buffer("_scale", torch.tensor(scaling.scale).reshape(1, 3, 1, 1))
        self.register_buffer("_offset", torch.tensor(scaling.offset).reshape(1, 3, 1, 1))

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the features of a batch; see the class."""
        values = pixels.permute(0, 3, 1, 2).to(torch.float32)
        if tuple(values.shape[2:]) != tuple(self._size):
            values = torch.round(
                nn.functional.interpolate(values, self._size, mode="bilinear", align_corners=False)
            )
        if self._order == "BGR":
            values = values.flip(1)
        values = (values * self._scale + self._offset).to(self._dtype)
        outputs = tapped(self.model, values, self.layers)
        return tuple(_pooled(*outputs[name], self._pooling) for name in self.layers)


# A layer's positions, (batch, channels, h, w) or (batch, positions, channels), or a vector; and the
# tokens that are no positions, the class token first, None where there are none.
Output = tuple[torch.Tensor, torch.Tensor | None]


def tapped(model: Any, values: torch.Tensor, names: Sequence[str]) -> dict[str, Output]:
    """Return the outputs of layers for scaled images (batch, 3, height, width)."""
    blocks = block_names(model)
    wanted = [number for number, name in enumerate(blocks) if name in names]
    outputs: dict[str, Output] = {}
    if wanted:
        options = {"return_prefix_tokens": True} if _has_prefix(model) else {}
        final, found = model.forward_intermediates(
            values, indices=wanted, output_fmt="NCHW", **options
        )
        for number, output in zip(wanted, found, strict=True):
            both = output if isinstance(output, tuple) else (output, None)
            outputs[blocks[number]] = both
    else:
        final = model.forward_features(values)
    outputs[FEATURES] = _split(model, final)
    if EMBEDDING in names:
        outputs[EMBEDDING] = (model.forward_head(final, pre_logits=True), None)
    if HEAD in names:
        outputs[HEAD] = (model.forward_head(final), None)
    return outputs


def taps(model: Any, size: tuple[int, int]) -> list[Tap]:
    """Return the layers of a model that can be tapped, shallow to deep.

    Args:
        model: a model without content, on PyTorch's device "meta".
        size: height and width of the images.
    """
    names = [*block_names(model), FEATURES, EMBEDDING]
    if getattr(model, "num_classes", 0):
        names.append(HEAD)
    with torch.no_grad():
        outputs = tapped(model, torch.zeros(2, 3, *size, device="meta"), names)
    result = []
    for name in names:
        positions, tokens = outputs[name]
        _, *shape = positions.shape
        if len(shape) == 3:
            shape = [shape[1], shape[2], shape[0]]
        result.append(Tap(name, tuple(shape), name, tokens is not None))
    return [tap for tap in result if len(tap.shape) <= 3]


def block_names(model: Any) -> list[str]:
    """Return the names of what timm's `forward_intermediates` can give, in its order."""
    if not hasattr(model, "forward_intermediates"):
        return []
    return [str(block["module"]) for block in model.feature_info]


def _has_prefix(model: Any) -> bool:
    return "return_prefix_tokens" in inspect.signature(model.forward_intermediates).parameters


def _split(model: Any, final: torch.Tensor) -> Output:
    """Return what `forward_features` gave: channels-first maps, or positions and other tokens."""
    if final.ndim == 4:
        is_last = getattr(model, "output_fmt", "NCHW") == "NHWC"
        return (final.permute(0, 3, 1, 2) if is_last else final), None
    count = getattr(model, "num_prefix_tokens", 0) or 0
    if final.ndim != 3 or count == 0:
        return final, None
    return final[:, count:], final[:, :count]


def _pooled(positions: torch.Tensor, tokens: torch.Tensor | None, pooling: str) -> torch.Tensor:
    """Return a layer's output pooled, float32; a vector stays as it is."""
    positions = positions.float()
    if positions.ndim == 2:
        return positions
    if pooling == "token":
        assert tokens is not None  # noqa: S101 - `elsewhere.check_pooling` has looked
        return tokens[:, 0].float()
    last = positions.permute(0, 2, 3, 1) if positions.ndim == 4 else positions
    if pooling == "flatten":
        return last.flatten(1)
    if pooling == "none":
        return last if last.ndim == 4 else last.unsqueeze(1)
    axes = tuple(range(1, last.ndim - 1))
    parts = {"avg": [torch.mean], "max": [torch.amax], "avgmax": [torch.mean, torch.amax]}[pooling]
    return torch.cat([part(last, dim=axes) for part in parts], dim=-1)


def randomize(model: nn.Module, seed: int) -> None:
    """Set all weights to seeded random ones, the same with every version of PyTorch.

    Matrices and kernels are drawn from a normal distribution of variance 1 / fan-in, position
    embeddings and tokens of deviation 0.02; vectors keep what timm gave them, but biases become
    zeros, and the scales of layers 0.1, so that no block is without effect.
    """
    import numpy as np

    rng = np.random.default_rng(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            last = name.rpartition(".")[2]
            if weight.ndim >= 2:
                is_added = last.endswith(("embed", "token", "reg_token"))
                spread = 0.02 if is_added else math.prod(weight.shape[1:]) ** -0.5
                values = rng.standard_normal(tuple(weight.shape), np.float32) * np.float32(spread)
                weight.copy_(torch.from_numpy(values))
            elif last == "bias":
                weight.zero_()
            elif last.startswith("gamma"):
                weight.fill_(0.1)
