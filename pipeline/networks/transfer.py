"""A pretrained backbone under a new head: whole for pixels, and cut where training begins.

Batch norms stay frozen while blocks are trained: the statistics of a small batch are noise
(ResNet50 at 96 px has 9 positions an image in its last stage), and the layers below, also those of
the cached trunk, were computed with the stored statistics. A frozen norm runs in inference mode in
Keras, whatever it is called with; the kernel and bias of the convolution before it can learn what
its scale and shift could.
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
from pipeline.networks.blocks import Block, blocks_of
from pipeline.networks.narrows import narrows
from pipeline.networks.precision import policy
from pipeline.networks.products import use_products

HEAD_LAYER = "head"


@dataclass(frozen=True)
class Cut:
    """The one tensor through which all deeper layers depend on the input.

    Attributes:
        layer: the layer whose output it is, by a name that `extract --layers` takes.
        tensor: the tensor in the bare network's graph.
    """

    layer: str
    tensor: Any


@dataclass(frozen=True)
class Transfer:
    """A backbone with a new head, as models that share all weights.

    Attributes:
        backbone: the entry of the backbone in the catalog.
        base: the bare backbone.
        blocks: the blocks of the backbone, shallow to deep.
        whole: the model from uint8 pixels (b, H, W, 3) to logits, float32 (b, K).
        body: the model from scaled pixels to the features that the head takes, float32 (b, D).
    """

    backbone: Backbone
    base: Any
    blocks: tuple[Block, ...]
    whole: Any
    body: Any

    def cut(self, deepest: int) -> Cut | None:
        """Return the deepest cut before the block at a position; None where there is none.

        Only layers that can be tapped by name count, so that `extract` can compute their output.
        """
        trained = {name for block in self.blocks[deepest:] for name in block.layers}
        return _find_cut(self.body, self._tensors, trained)

    def work_below(self, layer: str) -> float:
        """Return the share of the backbone's multiplications up to a layer, 0 to 1."""
        macs = {layer.name: layer.macs for layer in measure(self.base, self.backbone.output)}
        return macs[layer] / macs[self.backbone.output]

    def above(self, layer: str) -> Any:
        """Return the model from the output of a cut layer, float16 (b, h, w, c), to logits."""
        import keras
        from keras import ops

        tensor = self._tensors[layer]
        upper = keras.Model(tensor, self.body.output, name="trained")
        stored = keras.Input(tensor.shape[1:], dtype="float16", name="activations")
        values = upper(ops.cast(stored, tensor.dtype))
        return keras.Model(stored, self.whole.get_layer(HEAD_LAYER)(values))

    @cached_property
    def _tensors(self) -> dict[str, Any]:
        """The outputs of layers that can be tapped, by name."""
        known = networks.tappable(list(networks.walk(self.base)), self.backbone.output)
        return {name: step.output for name, step in known.items()}

    def train_only(self, positions: Collection[int]) -> None:
        """Freeze the backbone but for the blocks at these positions; the head stays trainable."""
        from keras.layers import BatchNormalization

        trained = {name for position in positions for name in self.blocks[position].layers}
        for layer in self.base.layers:
            is_norm = isinstance(layer, BatchNormalization)
            layer.trainable = layer.name in trained and not is_norm
        use_products(layer for layer in self.base.layers if layer.trainable)

    def factors(self, network: Any, by_block: Mapping[int, float]) -> list[float]:
        """Return the factor of the learning rate of each trainable variable; the head's is 1.

        Args:
            network: `whole`, or what `above` returned.
            by_block: the factor of each block, by its position.
        """
        known = {
            id(variable): factor
            for position, factor in by_block.items()
            for name in self.blocks[position].layers
            for variable in self.base.get_layer(name).trainable_variables
        }
        return [known.get(id(variable), 1.0) for variable in network.trainable_variables]

    def set_head(self, kernel: np.ndarray, bias: np.ndarray) -> None:
        """Set the weights of the head: float32 (D, K) and (K,)."""
        self.whole.get_layer(HEAD_LAYER).set_weights([kernel, bias])


def assemble(facts: dict[str, Any], weights: Weights | None = None) -> Transfer:
    """Return the network that facts describe, all of it trainable.

    Args:
        facts: "backbone", "image_size", "classes", "scaling" (of pixels), "seed" (of the head)
            and "precision" (a Keras dtype policy).
        weights: the weights of the backbone; None leaves those that Keras initializes.

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
    initializer = keras.initializers.GlorotUniform(seed=facts["seed"])
    head = keras.layers.Dense(
        facts["classes"], kernel_initializer=initializer, dtype="float32", name=HEAD_LAYER
    )
    whole = keras.Model(pixels, head(values), name=backbone.name)
    return Transfer(backbone, base, tuple(blocks_of(base)), whole, body)


def build(facts: dict[str, Any]) -> Any:
    """Return the network from pixels to logits, without its trained weights; see `assemble`."""
    return assemble(facts).whole


def _find_cut(body: Any, tensors: Mapping[str, Any], trained: Collection[str]) -> Cut | None:
    """Return the deepest cut before the first operation that is trained."""
    names = {id(tensor): name for name, tensor in tensors.items()}
    cut = None
    for operation, tensor in narrows(body):
        if operation.name in trained:
            break
        if id(tensor) in names:
            cut = Cut(names[id(tensor)], tensor)
    return cut
