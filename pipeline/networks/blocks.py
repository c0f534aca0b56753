"""The blocks of a backbone, shallow to deep, and the order in which fine-tuning unfreezes them."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from features.errors import UsageError, unknown_name

ALL, NONE = "all", "none"
STEM, TOP = "stem", "top"  # the layers before the first block that has a name, and after the last
UNFROZEN_SHARE = 0.4  # of all weights, by default: ResNet's conv5, VGG's block5

# How the names of layers in keras.applications begin; the brackets hold the name of the block.
_NAME = re.compile(
    r"""(conv\d+_block\d+)_                     # ResNet, DenseNet
      | (block(?:8|17|35)_\d+)_                 # InceptionResNet
      | (block\d+[a-z]?)_                       # VGG, Xception, EfficientNet
      | (block_\d+)_                            # MobileNetV2
      | (expanded_conv(?:_\d+)?)_               # MobileNetV2, V3
      | (conv)_(?:dw|pw|pad)(_\d+)              # MobileNet
      | (mixed)_?(\d+[a-z]?)$                   # Inception
      | convnext_[a-z]+_(stage_\d+_block_\d+)_
      | .*?(?:normal|reduction|adjust)_(?:\w*?_)?((?:stem_|reduce_)?\d+)$   # the cells of NASNet
    """,
    re.VERBOSE,
)


@dataclass(frozen=True)
class Block:
    """Layers that are frozen and trained together.

    Attributes:
        name: the name, such as "conv5_block1"; "stem" and "top" hold the layers before and after
            the blocks that have names.
        layers: the names of its layers with weights.
        parameters: the number of their weights.
    """

    name: str
    layers: tuple[str, ...]
    parameters: int


def blocks_of(network: Any) -> list[Block]:
    """Return the blocks of a bare network, shallow to deep.

    A layer whose name does not give its block, such as a shortcut that Keras numbers, belongs to
    the next block that has a name. Where no name gives a block, as in AlexNet, each layer with
    weights is one.

    Args:
        network: what `features.backbones.network.build` returned.
    """
    layers_of: dict[str, list[Any]] = {}
    unnamed: list[Any] = []  # layers since the last one that gave its block
    for layer in network.layers:
        if (name := _block_name(layer.name)) is None:
            unnamed.append(layer)
            continue
        if not layers_of and unnamed:
            layers_of[STEM], unnamed = unnamed, []
        layers_of.setdefault(name, []).extend([*unnamed, layer])
        unnamed = []
    if not layers_of:
        layers_of, unnamed = {layer.name: [layer] for layer in unnamed}, []
    if unnamed:
        layers_of[TOP] = unnamed
    blocks = [_block(name, layers) for name, layers in layers_of.items()]
    return [block for block in blocks if block.layers]


def _block_name(layer: str) -> str | None:
    if (match := _NAME.match(layer)) is None:
        return None
    name = "".join(filter(None, match.groups()))
    return f"cell_{name}" if name.isdigit() else name


def _block(name: str, layers: Sequence[Any]) -> Block:
    layers = [layer for layer in layers if layer.weights]
    parameters = sum(math.prod(weight.shape) for layer in layers for weight in layer.weights)
    return Block(name, tuple(layer.name for layer in layers), parameters)


def blocks_to_unfreeze(
    blocks: Sequence[Block], unfreeze: Sequence[str], backbone: str
) -> list[tuple[int, ...]]:
    """Return the blocks that each stage of fine-tuning unfreezes, as positions in `blocks`.

    The stage that trains the head alone is not listed. Each entry of `unfreeze` is a stage, which
    trains its own blocks and those of the stages before. Stages run from the deepest blocks to the
    shallowest, whatever the order of the entries.

    Args:
        blocks: the blocks of the backbone, shallow to deep.
        unfreeze: the entries: "conv5_block1" (that block and all deeper ones), "conv5" (the first
            block whose name begins so, and all deeper ones), a number n (the n deepest blocks) or
            "all"; a single "none" leaves the head alone. If empty, as many of the deepest blocks
            as hold `UNFROZEN_SHARE` of the weights.
        backbone: the name of the backbone, for messages.

    Returns:
        A tuple for each stage; no block is in two of them.

    Raises:
        UsageError: an entry names no block, or a number is not from 1 to the number of blocks.
    """
    if tuple(unfreeze) == (NONE,):
        return []
    entries = [_start(blocks, entry, backbone) for entry in unfreeze] or [_default_start(blocks)]
    starts = sorted(set(entries), reverse=True)
    ends = [len(blocks), *starts]
    return [tuple(range(start, end)) for start, end in zip(starts, ends, strict=False)]


def _start(blocks: Sequence[Block], entry: str, backbone: str) -> int:
    """Return the position of the shallowest block that an entry unfreezes."""
    if entry == ALL:
        return 0
    if entry.isdigit():
        if not 1 <= int(entry) <= len(blocks):
            raise UsageError(
                f"--unfreeze {entry}: {backbone} has {len(blocks)} blocks, expected 1 to "
                f"{len(blocks)}, or {NONE} for the head alone"
            )
        return len(blocks) - int(entry)
    for position, block in enumerate(blocks):
        if block.name == entry or block.name.startswith(f"{entry}_") or entry in block.layers:
            return position
    raise unknown_name(f"block of {backbone}", entry, [block.name for block in blocks])


def _default_start(blocks: Sequence[Block]) -> int:
    """Return the position from which on the blocks hold `UNFROZEN_SHARE` of the weights."""
    total = sum(block.parameters for block in blocks)
    unfrozen = 0
    for position in reversed(range(len(blocks))):
        unfrozen += blocks[position].parameters
        if unfrozen >= UNFROZEN_SHARE * total:
            return position
    return 0
