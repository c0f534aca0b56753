"""The blocks of a backbone, shallow to deep, and which of them fine-tuning unfreezes when."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from features.errors import UsageError, unknown_name

ALL, NONE = "all", "none"
STEM, TOP = "stem", "top"  # what comes before the first block that has a name, and after the last
SHARE = 0.4  # of all weights: what is unfrozen where nobody says; ResNet's conv5, VGG's block5

# How the names of layers in keras.applications begin; what is in brackets is the block's.
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
    """Some layers that are frozen and trained together.

    Attributes:
        name: such as "conv5_block1"; "stem" and "top" are before and after those with names.
        layers: names of its layers with weights.
        parameters: number of their weights.
    """

    name: str
    layers: tuple[str, ...]
    parameters: int


def blocks(network: Any) -> list[Block]:
    """Return the blocks of a bare network of keras.applications, shallow to deep.

    A layer whose name says no block, such as a shortcut that Keras numbers, belongs to the next
    one that has a name.

    Args:
        network: what `features.backbones.network.build` returned.
    """
    found: dict[str, list[Any]] = {}
    waiting: list[Any] = []
    for layer in network.layers:
        waiting.append(layer)
        if (name := _block_name(layer.name)) is not None:
            if not found and len(waiting) > 1:
                found[STEM], waiting = waiting[:-1], waiting[-1:]
            found.setdefault(name, []).extend(waiting)
            waiting = []
    if waiting:
        found[TOP] = waiting
    made = [_block(name, layers) for name, layers in found.items()]
    return [block for block in made if block.layers]


def _block_name(layer: str) -> str | None:
    if (match := _NAME.match(layer)) is None:
        return None
    name = "".join(filter(None, match.groups()))
    return f"cell_{name}" if name.isdigit() else name


def _block(name: str, layers: Sequence[Any]) -> Block:
    weighty = [layer for layer in layers if layer.weights]
    parameters = sum(math.prod(weight.shape) for layer in weighty for weight in layer.weights)
    return Block(name, tuple(layer.name for layer in weighty), parameters)


def stages(found: Sequence[Block], unfreeze: Sequence[str], backbone: str) -> list[tuple[int, ...]]:
    """Return which blocks each stage of fine-tuning unfreezes, as positions in `found`.

    The first stage trains the head alone and is not listed. Each entry of `unfreeze` is one more
    stage, which trains its own blocks and those of the stages before, whatever their order here.

    Args:
        found: blocks, shallow to deep.
        unfreeze: each "conv5_block1" (that block and all deeper ones), "conv5" (likewise from the
            first block whose name begins so), a number n (the n deepest blocks) or "all"; a
            single "none" for the head alone. None given: as many of the deepest blocks as hold
            `SHARE` of the weights.
        backbone: its name, for messages.

    Returns:
        A tuple a stage, the deepest blocks first; no block is in two of them.

    Raises:
        UsageError: an entry names no block, or a number is not from 1 to all.
    """
    if tuple(unfreeze) == (NONE,):
        return []
    entries = [_start(found, entry, backbone) for entry in unfreeze] or [_enough(found)]
    starts = sorted(set(entries), reverse=True)
    ends = [len(found), *starts]
    return [tuple(range(start, end)) for start, end in zip(starts, ends, strict=False)]


def _start(found: Sequence[Block], entry: str, backbone: str) -> int:
    """Return the position of the shallowest block that an entry unfreezes."""
    if entry == ALL:
        return 0
    if entry.isdigit():
        if not 1 <= int(entry) <= len(found):
            raise UsageError(
                f"--unfreeze {entry}: {backbone} has {len(found)} blocks, expected 1 to "
                f"{len(found)}, or {NONE} for the head alone"
            )
        return len(found) - int(entry)
    for place, block in enumerate(found):
        if block.name == entry or block.name.startswith(f"{entry}_") or entry in block.layers:
            return place
    raise unknown_name(f"block of {backbone}", entry, [block.name for block in found])


def _enough(found: Sequence[Block]) -> int:
    """Return where the deepest blocks begin that hold `SHARE` of the weights."""
    total = sum(block.parameters for block in found)
    held = 0
    for place in reversed(range(len(found))):
        held += found[place].parameters
        if held >= SHARE * total:
            return place
    return 0
