"""What an extraction will do, settled before it begins: options checked, weights found, recipe."""

from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

from features import durable, handcrafted
from features.backbones import catalog
from features.backbones.assembly import assemble
from features.backbones.stored import Weights
from features.backbones.weights import resolve
from features.config import INTERPOLATIONS, RESIZES, STORES, ExtractConfig
from features.engines import Choice, Compiled, choose, compile_network
from features.errors import DataError, UsageError, unknown_name
from features.packages import cache_folder
from features.records import Recipe
from features.sources.base import Source
from features.store import FeatureFile


@dataclass(frozen=True)
class Plan:
    """One extraction: what was asked, the images, and everything that follows from both.

    Nothing is found, fetched or built before it is asked for.
    """

    config: ExtractConfig
    source: Source

    @cached_property
    def backbone(self) -> catalog.Backbone:
        """The catalog's entry."""
        return catalog.find(self.config.backbone)

    @cached_property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers to tap."""
        return catalog.resolve_layers(self.backbone, self.config.layers)

    @cached_property
    def size(self) -> tuple[int, int]:
        """Height and width the network sees."""
        return self.config.image_size or (self.backbone.size, self.backbone.size)

    @cached_property
    def given_size(self) -> tuple[int, int]:
        """Height and width that the images are given to the network in.

        A GPU enlarges small images of one size itself: fewer bytes travel, and few CPUs keep pace
        with one. On a CPU that was measured to be slower than Pillow. It is done only where it is
        the same as what Pillow would do.
        """
        config, given = self.config, self.source.common_size
        if given is None or config.interpolation != "bilinear" or not self.choice.on_gpu:
            return self.size
        same_shape = given[0] * self.size[1] == given[1] * self.size[0]
        enlarges = given[0] <= self.size[0] and given[1] <= self.size[1]
        return given if enlarges and (config.resize == "stretch" or same_shape) else self.size

    @cached_property
    def weights(self) -> Weights:
        """The weights, fetched on first use."""
        config = self.config
        return resolve(self.backbone, config.weights, config.scaling, config.seed)

    @cached_property
    def choice(self) -> Choice:
        """Engine and precision."""
        return choose(self.config.engine, self.config.precision)

    @cached_property
    def recipe(self) -> Recipe:
        """The recipe; known before any network is built."""
        return self._recipe({}, self.config.pooling, ("keras",))

    def _recipe(self, facts: dict[str, Any], pooling: str, needs: tuple[str, ...]) -> Recipe:
        config = self.config
        packages = ("offshelf", *needs, self.choice.engine, "numpy", "pillow", "h5py")
        weights = {"origin": self.weights.origin, "sha256": self.weights.sha256}
        return Recipe(
            backbone=self.weights.backbone,
            weights=weights | facts,
            layers=self.layers,
            pooling=pooling,
            image_size=self.size,
            decoding="exact" if config.exact_decode else "reduced",
            given_size=self.given_size,
            resize=config.resize,
            interpolation=config.interpolation,
            scaling=self.weights.scaling.to_dict(),
            engine=self.choice.engine,
            precision=self.choice.precision,
            store=config.store,
            batch_size=config.batch_size,
            source={
                "kind": self.source.kind,
                "count": len(self.source),
                "fingerprint": self.source.fingerprint(),
            },
            versions={name: version(name) for name in packages},
        )

    def compile(self) -> Compiled:
        """Return the network, ready to run; one that an engine converted before is not built."""
        batch_shape = (self.config.batch_size, *self.given_size, 3)
        kept = cache_folder() / "networks" / self.recipe.network_digest
        return compile_network(self.choice, self.network, batch_shape, kept)

    def network(self, precision: str) -> Any:
        """Build the Keras network from uint8 pixels to {layer: float32 features}."""
        return assemble(
            self.backbone, self.size, self.weights, self.layers, self.config.pooling, precision,
            self.given_size,
        )  # fmt: skip


class HandcraftedPlan(Plan):
    """An extraction by a hand-crafted descriptor, which takes the network's place."""

    @cached_property
    def descriptor(self) -> handcrafted.Descriptor:
        """What describes the images."""
        found = handcrafted.find(self.config.backbone)
        assert found is not None  # noqa: S101 - `plan_for` looked
        return found

    @cached_property
    def layers(self) -> tuple[str, ...]:
        """Its only one."""
        return (self.descriptor.output,)

    @cached_property
    def size(self) -> tuple[int, int]:
        """Height and width that it sees."""
        return self.config.image_size or (self.descriptor.size, self.descriptor.size)

    @cached_property
    def weights(self) -> Weights:
        """It has none, and takes pixels as they are."""
        return Weights(self.descriptor.name, "handcrafted", "", catalog.SCALINGS["none"])

    @cached_property
    def choice(self) -> Choice:
        """What computes it."""
        return handcrafted.choose()

    @cached_property
    def recipe(self) -> Recipe:
        """The recipe, with the descriptor's parameters among the facts of the weights."""
        return self._recipe(self.descriptor.parameters, "none", ())

    def compile(self) -> Compiled:
        """Return the descriptor, ready to run."""
        return handcrafted.compiled(self.descriptor, self.size)


def plan_for(config: ExtractConfig, source: Source) -> Plan:
    """Return the plan for a network, or for a descriptor made by hand."""
    kind = HandcraftedPlan if handcrafted.find(config.backbone) else Plan
    return kind(config, source)


def check_options(config: ExtractConfig) -> None:
    """Raise UsageError for a setting outside its known values, or an output that cannot be."""
    if descriptor := handcrafted.find(config.backbone):
        handcrafted.check_options(config, descriptor)
    backbone = descriptor or catalog.find(config.backbone)
    choices = {
        "resize": (config.resize, RESIZES),
        "interpolation": (config.interpolation, INTERPOLATIONS),
        "pooling": (config.pooling, catalog.POOLINGS),
        "store dtype": (config.store, STORES),
    }
    for kind, (name, known) in choices.items():
        if name not in known:
            raise unknown_name(kind, name, list(known))
    if config.batch_size < 1:
        raise UsageError(f"batch size {config.batch_size}: expected at least 1")
    catalog.check_image_size(backbone, config.image_size or (backbone.size, backbone.size))
    _check_output(config.out)


def _check_output(out: Path) -> None:
    durable.prepare_folder(out.parent)
    if out.exists():
        try:
            FeatureFile(out).close()
        except DataError as error:
            raise UsageError(f"{error}; it is not overwritten, choose another --out") from None
