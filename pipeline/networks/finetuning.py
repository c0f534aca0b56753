"""How a pretrained network is trained on: the head first, then its blocks, the deepest first."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np

from features.backbones.stored import Weights
from features.config import ExtractConfig
from pipeline.networks import augmentation, rates, transfer, trunk
from pipeline.networks.blocks import Block
from pipeline.networks.candidate import Fitted
from pipeline.networks.data import Data
from pipeline.networks.history import History
from pipeline.networks.linear_head import LinearHead
from pipeline.networks.pixels import Pixels
from pipeline.networks.training import Setup, TrainStage, train
from pipeline.networks.trunk import Views

# Of the learning rate: the blocks that are unfrozen first, and all that follow.
FACTORS = (0.1, 0.01)
HEAD = "head"  # the stage that trains it alone


@dataclass(frozen=True)
class Cache:
    """The frozen part's activations, instead of pixels.

    Attributes:
        layer: where it ends.
        shape: (h, w, c) of its output.
        extract: how it is extracted.
        views: of each image.
        work: folder that they are kept in.
    """

    layer: str
    shape: tuple[int, ...]
    extract: ExtractConfig
    views: Views
    work: Path


@dataclass(frozen=True)
class FineTuning:
    """One network to be fine-tuned, in as many rounds as there are.

    Attributes:
        facts: of `transfer.assemble`.
        weights: of the backbone.
        blocks: of the backbone.
        unfrozen: the blocks that each stage after the head unfreezes, as `blocks.stages` says.
        pixels: of all images.
        cache: of the frozen part; None computes it anew in each epoch.
        head: that the network starts from; None for a random one.
        augment: names of augmentations.
        seed: of what is drawn.
        progress: whether bars are drawn.
    """

    facts: dict[str, Any]
    weights: Weights
    blocks: Sequence[Block]
    unfrozen: Sequence[tuple[int, ...]]
    pixels: Pixels
    cache: Cache | None
    head: LinearHead | None
    augment: tuple[str, ...]
    seed: int
    progress: bool

    def fit(self, data: Data, stages: Sequence[TrainStage], folder: Path, title: str) -> Fitted:
        """Build a network and train it through the stages; what `candidate.NetworkPlan` wants.

        The stage `HEAD`, if there, trains the head alone; each further one its own blocks and
        those of the stages before.
        """
        network = transfer.assemble(self.facts, self.weights)
        if self.head is not None:
            network.set_head(*self.head.on(data.train))
        seen, layer = network.whole, augmentation.layer(self.augment, self.seed)
        if self.cache is not None:
            seen, layer, data = network.above(self.cache.layer), None, self._cached(data)
        history, first = History(), 1 + len(self.unfrozen) - len(stages)  # 1 without the head's
        for count, stage in enumerate(stages, first):
            factors = _factors(self.unfrozen[:count])
            network.train_only(factors)
            make = rates.adamw(network.factors(seen, factors), stage.weight_decay)
            setup = Setup(self.seed, layer, make, title, self.progress)
            history += train(seen, data, stage, folder, setup)
        return Fitted(network.whole, history, self.facts)

    def _cached(self, data: Data) -> Data:
        """Return the same images as activations: those that are not locked, and their views."""
        rest = self.pixels.splits.rest
        views = 1 if self.cache is None else 1 + self.cache.views.count
        train, held = (np.searchsorted(rest, rows) for rows in (data.train, data.held))
        return Data(self._activations, data.labels[rest], data.classes, train, held, views)

    def fill(self) -> None:
        """Compute the cached trunk now; raises what `trunk.activations` raises."""
        self._activations  # noqa: B018

    @cached_property
    def _activations(self) -> np.ndarray:
        """The cached trunk, computed when it is first needed, for all rounds."""
        cache = cast(Cache, self.cache)
        return trunk.activations(
            cache.work, cache.extract, cache.shape, self.pixels, cache.views, self.weights.sha256
        )


def _factors(unfrozen: Sequence[tuple[int, ...]]) -> dict[int, float]:
    """Return the factor of the learning rate by block."""
    return {
        place: FACTORS[min(number, len(FACTORS) - 1)]
        for number, places in enumerate(unfrozen)
        for place in places
    }
