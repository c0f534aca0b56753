"""Fine-tuning: the head of a pretrained network is trained first, then its deepest blocks."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from features.backbones.stored import Weights
from features.config import ExtractConfig
from pipeline.networks import augmentation, estimate, transfer, trunk
from pipeline.networks.blocks import Block
from pipeline.networks.data import TrainingData
from pipeline.networks.estimate import StageWork
from pipeline.networks.heads import Head
from pipeline.networks.optimizers import discriminative_adamw
from pipeline.networks.pixels import Pixels
from pipeline.networks.plan import TrainedNetwork
from pipeline.networks.train_stage import TrainStage
from pipeline.networks.training import Setup, train
from pipeline.networks.transfer import Transfer
from pipeline.networks.trunk import Views
from pipeline.results.history import History

# Factors of the learning rate: of the blocks that are unfrozen first, and of all later ones.
FACTORS = (0.1, 0.01)
HEAD_STAGE = "head"  # the name of the stage that trains the head alone


@dataclass(frozen=True)
class TrunkCache:
    """Stored activations of the frozen layers, which training reads instead of pixels.

    Attributes:
        layer: the last frozen layer.
        shape: (h, w, c) of its output.
        extract: how its output is extracted.
        views: the views of each image.
        folder: the folder in which the activations are kept.
    """

    layer: str
    shape: tuple[int, ...]
    extract: ExtractConfig
    views: Views
    folder: Path

    def activations(self, images: Pixels, weights: str) -> np.ndarray:
        """Return what `trunk.activations` returns; raise what it raises."""
        return trunk.activations(self.folder, self.extract, self.shape, images, self.views, weights)


@dataclass(frozen=True)
class FineTuning:
    """A network to be fine-tuned, in each round anew.

    Attributes:
        facts: the facts from which `transfer.assemble` builds the network.
        weights: the weights of the backbone.
        blocks: the blocks of the backbone, shallow to deep.
        unfrozen: the positions of the blocks that each stage unfreezes, from
            `blocks.blocks_to_unfreeze`.
        images: all images and their splits.
        cache: the cached trunk; None computes the frozen layers anew in each epoch.
        head: the classifier from which the head starts; None starts from random weights.
        augment: the names of augmentations.
        seed: seed of the order of images and of the augmentations.
        progress: whether to show progress bars.
    """

    facts: dict[str, Any]
    weights: Weights
    blocks: Sequence[Block]
    unfrozen: Sequence[tuple[int, ...]]
    images: Pixels
    cache: TrunkCache | None
    head: Head | None
    augment: tuple[str, ...]
    seed: int
    progress: bool

    def train(
        self, data: TrainingData, stages: Sequence[TrainStage], folder: Path, title: str
    ) -> TrainedNetwork:
        """Build the network and train it through the stages; this is a `plan.TrainFunction`.

        The stage `HEAD_STAGE`, if it is among them, trains the head alone. Each further stage
        trains its own blocks and those of the stages before.
        """
        network = transfer.assemble(self.facts, self.weights)
        if self.head is not None:
            network.set_head(*self.head.weights_from(data.train))
        model, layer = network.whole, augmentation.layer(self.augment, self.seed)
        if self.cache is not None:
            model, layer = network.above(self.cache.layer), None
            data = self._on_activations(data, self.cache)
        history, first = History(), 1 + len(self.unfrozen) - len(stages)  # 1 without the head's
        for count, stage in enumerate(stages, first):
            factors = _factors(self.unfrozen[:count])
            network.train_only(factors)
            optimizer = discriminative_adamw(network.factors(model, factors), stage.weight_decay)
            setup = Setup(self.seed, layer, optimizer, title, self.progress)
            history += train(model, data, stage, folder, setup)
        return TrainedNetwork(network.whole, history, self.facts)

    def seconds(self, stages: Sequence[TrainStage], rounds: Sequence[int]) -> float:
        """Return the seconds that all rounds take at most, the cached trunk included."""
        network = transfer.assemble(self.facts)
        timing = estimate.measure(network.whole, self.images.x)
        below = 0.0 if self.cache is None else network.work_below(self.cache.layer)
        first = 1 + len(self.unfrozen) - len(stages)
        work = [
            StageWork(
                stage.epochs,
                1 - below + estimate.BACKWARD * self._trained_share(network, self.unfrozen[:count]),
            )
            for count, stage in enumerate(stages, first)
        ]
        views = 0 if self.cache is None else 1 + self.cache.views.count
        trunk = views * len(self.images.splits.rest) * below
        head = 0 if self.head is None else self.head.passes
        return (trunk + head) * timing.forward + estimate.total(timing, work, rounds)

    def _trained_share(self, network: Transfer, unfrozen: Sequence[tuple[int, ...]]) -> float:
        """Return the share of the backbone's work through which gradients go."""
        if not unfrozen:
            return 0.0
        cut = network.cut(min(min(positions) for positions in unfrozen))
        return 1.0 if cut is None else 1 - network.work_below(cut.layer)

    def fill_cache(self) -> None:
        """Compute the cached trunk now instead of at its first use."""
        self._activations  # noqa: B018

    @cached_property
    def _activations(self) -> np.ndarray:
        """The cached trunk, computed at its first use, for all rounds."""
        if self.cache is None:
            raise ValueError("there is no cache to fill")
        return self.cache.activations(self.images, self.weights.sha256)

    def _on_activations(self, data: TrainingData, cache: TrunkCache) -> TrainingData:
        """Return the same examples as activations; these hold the images that are not locked."""
        rest = self.images.splits.rest
        train, held_out = (np.searchsorted(rest, rows) for rows in (data.train, data.held_out))
        return TrainingData(
            self._activations, data.labels[rest], data.classes, train, held_out,
            1 + cache.views.count,
        )  # fmt: skip


def _factors(unfrozen: Sequence[tuple[int, ...]]) -> dict[int, float]:
    """Return the factor of the learning rate of each unfrozen block, by its position."""
    return {
        position: FACTORS[min(stage, len(FACTORS) - 1)]
        for stage, positions in enumerate(unfrozen)
        for position in positions
    }
