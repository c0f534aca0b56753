"""The source of a feature file, and the commands that go on from it."""

import json
from dataclasses import dataclass
from pathlib import Path

from features.backbones.catalog import BACKBONES
from features.config import ExtractConfig
from features.records import Recipe
from features.store import FeatureFile
from pipeline.command_lines import command_line

_UNTRAINED = ("handcrafted", "random")


@dataclass(frozen=True)
class SourceOfFeatures:
    """A feature file, its recipe, and the images it was made from.

    Attributes:
        path: the feature file.
        recipe: the recipe by which it was made.
        source: the path of the images, as it was given to `extract`.
        results: the results folder that the commands name.
    """

    path: Path
    recipe: Recipe
    source: str
    results: Path

    @classmethod
    def of(cls, path: Path, results: Path) -> "SourceOfFeatures":
        """Read the source of a feature file; raises DataError where the file is none."""
        with FeatureFile(path) as file:
            provenance = json.loads(str(file.attributes.get("provenance", "{}")))
            return cls(path, file.recipe, provenance.get("source", "SOURCE"), results)

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
            "--classifiers", "logistic,linear-svm,rbf-svm",
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
        if self.recipe.backbone in BACKBONES:
            height, width = self.recipe.image_size
            size = BACKBONES[self.backbone].size
            if (height, width) != (size, size):
                words += ["--image-size", height if height == width else f"{height}x{width}"]
        out = self.path.with_name(f"{self.backbone}{kind}.h5")
        if out == self.path:
            out = out.with_name(f"{out.stem}-pretrained.h5")
        return command_line(*words, "--out", out)

    def finetune_command(self, blocks: str) -> str:
        """Return the command that fine-tunes the last blocks, or all of them."""
        return command_line(
            "finetune", self.source, "--out", self.results, "--backbone", self.backbone,
            "--unfreeze", blocks,
        )  # fmt: skip

    def scratch_command(self) -> str:
        """Return the command that trains a small network from scratch."""
        return command_line(
            "scratch", self.source, "--out", self.results, "--architecture", "small"
        )
