"""A pretrained backbone under a new head: whole for pixels, and cut where training begins.

The backbone runs as at inference while it is trained too: its batch norms keep the statistics of
ImageNet. Those of a small batch are noise (ResNet50 at 96 px has 9 positions an image in its last
stage), and frozen layers, the cached trunk among them, were measured with the stored ones. Scale
and shift of the norms in trained blocks are weights like any other, and are trained.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from features.backbones import catalog
from features.backbones import network as networks
from features.backbones.anatomy import measure
from features.backbones.catalog import Backbone
from features.backbones.stored import Weights
from pipeline.networks.blocks import Block, blocks
from pipeline.networks.precision import policy

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
        base: the bare backbone.
        blocks: its blocks, shallow to deep.
        whole: from uint8 pixels (b, H, W, 3) to logits, float32 (b, K).
        features: what the head takes, a tensor (b, D) in the graph of `base`.
    """

    base: Any
    blocks: tuple[Block, ...]
    whole: Any
    features: Any

    def above(self, cut: Cut) -> Any:
        """Return the network from activations at a cut, float16 (b, h, w, c), to logits."""
        import keras
        from keras import ops

        upper = keras.Model(cut.tensor, self.features, name="trained")
        stored = keras.Input(cut.tensor.shape[1:], dtype="float16", name="activations")
        values = upper(ops.cast(stored, cut.tensor.dtype), training=False)
        return keras.Model(stored, self.whole.get_layer(HEAD)(values))

    def train_only(self, places: Collection[int]) -> None:
        """Freeze the backbone but for blocks at these positions; the head is always trained."""
        trained = {name for place in places for name in self.blocks[place].layers}
        for layer in self.base.layers:
            layer.trainable = layer.name in trained

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
    values = body(networks.scaled(ops.cast(pixels, "float32"), scaling), training=False)
    start = keras.initializers.GlorotUniform(seed=facts["seed"])
    head = keras.layers.Dense(
        facts["classes"], kernel_initializer=start, dtype="float32", name=HEAD
    )
    whole = keras.Model(pixels, head(values), name=backbone.name)
    return Transfer(base, tuple(blocks(base)), whole, features)


def build(facts: dict[str, Any]) -> Any:
    """Return the network from pixels to logits, its weights yet to be loaded; see `assemble`."""
    return assemble(facts).whole


def find_cut(base: Any, backbone: Backbone, trained: Sequence[Block]) -> Cut | None:
    """Return the deepest cut before the first layer of `trained`; None where there is none.

    Only layers that can be tapped by name count, so that `extract` can give what is there.
    """
    import keras

    layers = {name for block in trained for name in block.layers}
    known = networks.tappable(list(networks.walk(base)), backbone.output)
    names = {id(step.output): name for name, step in known.items()}
    last_use = {
        id(tensor): place
        for place, operation in enumerate(base.operations)
        for tensor in keras.tree.flatten(operation.input)
    }
    last_use[id(base.output)] = len(base.operations)
    alive: dict[int, Any] = {}
    cut = None
    for place, operation in enumerate(base.operations):
        if operation.name in layers:
            break
        alive[id(operation.output)] = operation.output
        alive = {key: tensor for key, tensor in alive.items() if last_use.get(key, -1) > place}
        if len(alive) == 1 and (key := next(iter(alive))) in names:
            cut = Cut(names[key], alive[key])
    return cut


def work_below(base: Any, backbone: Backbone, cut: Cut) -> float:
    """Return the share of the backbone's multiplications that lie below a cut, 0 to 1."""
    macs = {layer.name: layer.macs for layer in measure(base, backbone.output)}
    return macs[cut.layer] / macs[backbone.output]
