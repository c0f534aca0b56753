"""A pretrained backbone under a new head: whole for pixels, and cut where training begins.

Its batch norms stay as they are while blocks are trained: statistics of a small batch are noise
(ResNet50 at 96 px has 9 positions an image in its last stage), and what is below, the cached trunk
too, was measured with the stored ones. Keras keeps a norm at inference, whatever it is called with,
when it is frozen; kernel and bias of the convolution before it can learn what its scale and shift
could.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from features.backbones import catalog
from features.backbones import network as networks
from features.backbones.anatomy import measure
from features.backbones.catalog import Backbone
from features.backbones.stored import Weights
from pipeline.networks.blocks import Block, blocks
from pipeline.networks.precision import policy
from pipeline.networks.products import use_products

KIND = "finetune"
HEAD = "head"


@dataclass(frozen=True)
class Cut:
    """One tensor that everything behind it depends on, and nothing before it otherwise.

    Attributes:
        layer: whose output it is, a name that `extract --layers` takes.
        tensor: it, in the bare network's graph.
    """

    layer: str
    tensor: Any


@dataclass(frozen=True)
class Transfer:
    """One network, seen from two places; all weights are shared.

    Attributes:
        backbone: its entry in the catalog.
        base: the bare backbone.
        blocks: its blocks, shallow to deep.
        whole: from uint8 pixels (b, H, W, 3) to logits, float32 (b, K).
        body: from scaled pixels to what the head takes, float32 (b, D).
    """

    backbone: Backbone
    base: Any
    blocks: tuple[Block, ...]
    whole: Any
    body: Any

    def cut(self, deepest: int) -> Cut | None:
        """Return the deepest cut before the blocks from this position on; None where there is none.

        Only layers that can be tapped by name count, so that `extract` can give what is there.
        """
        trained = {name for block in self.blocks[deepest:] for name in block.layers}
        return _find_cut(self.body, self._tensors, trained)

    def work_below(self, cut: Cut) -> float:
        """Return the share of the backbone's multiplications that lie below a cut, 0 to 1."""
        macs = {layer.name: layer.macs for layer in measure(self.base, self.backbone.output)}
        return macs[cut.layer] / macs[self.backbone.output]

    def above(self, layer: str) -> Any:
        """Return the network from a cut layer's output, float16 (b, h, w, c), to logits."""
        import keras
        from keras import ops

        tensor = self._tensors[layer]
        upper = keras.Model(tensor, self.body.output, name="trained")
        stored = keras.Input(tensor.shape[1:], dtype="float16", name="activations")
        values = upper(ops.cast(stored, tensor.dtype))
        return keras.Model(stored, self.whole.get_layer(HEAD)(values))

    @cached_property
    def _tensors(self) -> dict[str, Any]:
        """The outputs of layers that can be tapped, by name."""
        known = networks.tappable(list(networks.walk(self.base)), self.backbone.output)
        return {name: step.output for name, step in known.items()}

    def train_only(self, places: Collection[int]) -> None:
        """Freeze the backbone but for blocks at these positions; the head is always trained."""
        from keras.layers import BatchNormalization

        trained = {name for place in places for name in self.blocks[place].layers}
        for layer in self.base.layers:
            is_norm = isinstance(layer, BatchNormalization)
            layer.trainable = layer.name in trained and not is_norm
        use_products(layer for layer in self.base.layers if layer.trainable)

    def factors(self, network: Any, by_block: Mapping[int, float]) -> list[float]:
        """Return the factor of each trainable variable of `whole` or `above`; the head's is 1."""
        known = {
            id(variable): factor
            for place, factor in by_block.items()
            for name in self.blocks[place].layers
            for variable in self.base.get_layer(name).trainable_variables
        }
        return [known.get(id(variable), 1.0) for variable in network.trainable_variables]

    def set_head(self, kernel: np.ndarray, bias: np.ndarray) -> None:
        """Give the head its weights: float32 (D, K) and (K,)."""
        self.whole.get_layer(HEAD).set_weights([kernel, bias])


def assemble(facts: dict[str, Any], weights: Weights | None = None) -> Transfer:
    """Return the network that facts describe, all of it trainable.

    Args:
        facts: "backbone", "image_size", "classes", "scaling" (of pixels), "seed" (of the head)
            and "precision" (a Keras dtype policy).
        weights: of the backbone; None leaves it as Keras makes it.

    Raises:
        DataError: weights and network do not fit.
        UsageError: the images are too small for the network.
    """
    import keras
    from keras import ops

    backbone = catalog.find(facts["backbone"])
    with policy(facts["precision"]):
        base = networks.build(backbone, tuple(facts["image_size"]))
        features = networks.taps(base, backbone, (backbone.output,), "avg")[backbone.output]
        body = keras.Model(base.input, features, name="backbone")
    if weights is not None:
        weights.load_into(base)
    pixels = keras.Input((*facts["image_size"], 3), dtype="uint8", name="pixels")
    scaling = catalog.PixelScaling.from_dict(facts["scaling"])
    values = body(networks.scaled(ops.cast(pixels, "float32"), scaling))
    start = keras.initializers.GlorotUniform(seed=facts["seed"])
    head = keras.layers.Dense(
        facts["classes"], kernel_initializer=start, dtype="float32", name=HEAD
    )
    whole = keras.Model(pixels, head(values), name=backbone.name)
    return Transfer(backbone, base, tuple(blocks(base)), whole, body)


def build(facts: dict[str, Any]) -> Any:
    """Return the network from pixels to logits, its weights yet to be loaded; see `assemble`."""
    return assemble(facts).whole


def _find_cut(body: Any, tensors: Mapping[str, Any], trained: Collection[str]) -> Cut | None:
    """Follow the graph; a cut is where a single tensor has readers that are yet to come."""
    import keras

    names = {id(tensor): name for name, tensor in tensors.items()}
    last_use = {
        id(tensor): place
        for place, operation in enumerate(body.operations)
        for tensor in keras.tree.flatten(operation.input)
    }
    alive: dict[int, Any] = {}
    cut = None
    for place, operation in enumerate(body.operations):
        if operation.name in trained:
            break
        alive[id(operation.output)] = operation.output
        alive = {key: tensor for key, tensor in alive.items() if last_use.get(key, -1) > place}
        if len(alive) == 1 and (key := next(iter(alive))) in names:
            cut = Cut(names[key], alive[key])
    return cut
