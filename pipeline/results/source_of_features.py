"""The source of a feature file, and the commands that go on from it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from features.backbones.catalog import BACKBONES
from features.backbones.weights import weights_sources
from features.config import ExtractConfig
from features.errors import OffshelfError
from features.records import Recipe, decoding_options
from features.sources import open_source
from features.storage.store import FeatureFile
from pipeline.command_lines import command_line, option_text

_UNTRAINED = ("handcrafted", "random")


@dataclass(frozen=True)
class SourceOfFeatures:
    """A feature file, its recipe, and the images it was made from.

    Attributes:
        path: the feature file.
        recipe: the recipe by which it was made.
        source: the path of the images, as it was given to `extract`.
        results: the results folder that the commands name.
        options: the options by which the source was read and damaged images taken, where they
            are not the defaults, such as {"limit": 400}.
        seconds_per_image: the recorded time to extract an image, decoding included; None where
            the file records none.
        split_options: the words of the options by which the images are split, such as
            ("--folds", 3).
    """

    path: Path
    recipe: Recipe
    source: str
    results: Path
    options: Mapping[str, Any] = field(default_factory=dict)
    seconds_per_image: float | None = None
    split_options: tuple[object, ...] = ()

    @classmethod
    def of(
        cls, path: Path, results: Path, split_options: tuple[object, ...] = ()
    ) -> "SourceOfFeatures":
        """Read the source of a feature file; raises DataError where the file is none."""
        with FeatureFile(path) as file:
            source, recipe = file.provenance.get("source"), file.recipe
            seconds_per_image, options = file.seconds_per_image, file.source_options
        if options is None:
            options = {"limit": _limit(source, recipe)}
        return cls(
            path, recipe, source or "SOURCE", results, _given(options, recipe),
            seconds_per_image, split_options,
        )  # fmt: skip

    @property
    def pretrained(self) -> bool:
        """Whether the weights of the backbone were trained."""
        return self.recipe.weights["origin"] not in _UNTRAINED

    @property
    def backbone(self) -> str:
        """The file's own backbone if it is in the catalog, else the default."""
        name = self.recipe.backbone
        return name if name in BACKBONES else ExtractConfig.backbone

    @property
    def stages(self) -> tuple[str, ...]:
        """The ends of the network's stages, shallow to deep."""
        return tuple(name for name, _ in BACKBONES[self.backbone].layers)

    def classify_command(self, layer: str) -> str:
        """Return the command that fits simple classifiers on a layer."""
        return command_line(
            "classify", self.path, "--out", self.results, "--layers", layer,
            "--classifiers", "logistic,linear-svm,rbf-svm", *self.split_options,
        )  # fmt: skip

    def extract_command(self, layers: tuple[str, ...] | None) -> str:
        """Return the command that extracts layers of the backbone at the same size.

        Args:
            layers: names of layers; None takes the default ones.
        """
        kind = "-stages" if layers else ""
        words: list[object] = ["extract", self.source, "--backbone", self.backbone]
        if layers:
            words += ["--layers", ",".join(layers)]
        words += [*self._network_options(), *self._source_options()]
        out = self.path.with_name(f"{self.backbone}{kind}.h5")
        if out == self.path:
            out = out.with_name(f"{out.stem}-pretrained.h5")
        return command_line(*words, "--out", out)

    def finetune_command(self, blocks: str) -> str:
        """Return the command that fine-tunes the last blocks, or all of them."""
        return command_line(
            "finetune", self.source, "--out", self.results, "--backbone", self.backbone,
            "--unfreeze", blocks, *self._network_options(), *self._source_options(),
            *self.split_options,
        )  # fmt: skip

    def scratch_command(self) -> str:
        """Return the command that trains a small network from scratch."""
        return command_line(
            "scratch", self.source, "--out", self.results, "--architecture", "small",
            *self._source_options(), *self.split_options,
        )  # fmt: skip

    def _network_options(self) -> list[object]:
        """Return the options of the file's own network: its image size and weights."""
        if self.recipe.backbone not in BACKBONES:
            return []
        backbone, (height, width) = BACKBONES[self.backbone], self.recipe.image_size
        words: list[object] = []
        if (height, width) != (backbone.size, backbone.size):
            words += ["--image-size", height if height == width else f"{height}x{width}"]
        origin = self.recipe.weights["origin"]
        if origin in weights_sources(backbone)[1:]:  # the first is taken without the option
            words += ["--weights", origin]
        if origin == "file":  # whose path is not recorded
            words += ["--weights", "WEIGHTS"]
        return words

    def _source_options(self) -> list[object]:
        words: list[object] = []
        for name, value in self.options.items():
            words.append(f"--{name.replace('_', '-')}")
            words += [] if value is True else [option_text(value)]
        return words


def _given(options: Mapping[str, Any], recipe: Recipe) -> dict[str, Any]:
    """Return the options that are not the defaults, and whether damaged images are taken."""
    given = {name: value for name, value in options.items() if value is not None}
    accepts_damaged = decoding_options(recipe.decoding)["accept_damaged"]
    return given | ({"accept_damaged": True} if accepts_damaged else {})


def _limit(source: str | None, recipe: Recipe) -> int | None:
    """Return how many images were taken of a source that has more than the recipe counts."""
    if source is None:
        return None
    try:
        with open_source(source) as opened:
            available = len(opened)
    except OffshelfError:
        return None
    count: int = recipe.source["count"]
    return count if count < available else None
