"""Layers that stand side by side as one: of one feature file, or of several with the same images.

They are written `block3_pool+block5_pool`, with the network or the name of the file before a layer
where several files have one of that name, `vgg16:block5_pool+resnet50:conv5_block3_out`; `all+` are
all layers of all files together.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from features.errors import UsageError, unknown_name
from features.records import blake2b
from pipeline.data.layers import ALL, Layer, find_layers

JOIN, OF = "+", ":"
EVERY = ALL + JOIN  # stands for all layers of all files, side by side
_LONGEST = 100  # characters of the layers' names in that of a candidate, which is one of a folder


@dataclass(frozen=True)
class Joined(Layer):
    """Layers side by side, in the place of one.

    What it has of a `Layer` beside is that of the first.

    Attributes:
        layers: the layers, two or more.
    """

    layers: tuple[Layer, ...] = ()

    @classmethod
    def of(cls, layers: Sequence[Layer]) -> "Joined":
        """Join layers."""
        first = layers[0]
        names = JOIN.join(layer.name for layer in layers)
        if len(names) > _LONGEST:
            which = blake2b(names.encode()).hex()[:8]
            names = f"{len(layers)}-layers-{which}"
        seconds = {layer.path: layer.seconds_per_image for layer in layers}
        known = [value for value in seconds.values() if value is not None]
        return cls(
            first.path, names, first.recipe, sum(layer.dimensions for layer in layers),
            sum(known) if len(known) == len(seconds) else None, tuple(layers),
        )  # fmt: skip

    @property
    def parts(self) -> tuple[Layer, ...]:
        """The layers."""
        return self.layers

    @property
    def backbone(self) -> str:
        """The networks, each once."""
        return JOIN.join(dict.fromkeys(layer.backbone for layer in self.layers))

    @property
    def digest(self) -> str:
        """A digest of the values of all layers, 32 hex digits."""
        return blake2b(" ".join(layer.digest for layer in self.layers).encode()).hex()

    def facts(self) -> dict[str, Any]:
        """Return the facts that a record keeps: of each part, and of all together."""
        return {
            "parts": [layer.facts() for layer in self.layers],
            "backbone": self.backbone,
            "layer": self.name,
            "dimensions": self.dimensions,
            "content": self.digest,
        }


def is_joined(name: str) -> bool:
    """Tell whether a name stands for layers of chosen files, one or several side by side."""
    return JOIN in name or OF in name


def join(paths: Sequence[Path], name: str) -> Layer:
    """Return what a name stands for: layers side by side, or one layer of the file that it says.

    Args:
        paths: the feature files.
        name: as the module's docstring says it.

    Raises:
        UsageError: a layer is in none of the files or in several, is there twice, or holds maps;
            or there is nothing to join.
        DataError: a file cannot be read.
    """
    known = [layer for path in paths for layer in find_layers(path, (ALL,))]
    parts = () if name == EVERY else name.split(JOIN)
    found = [_one(known, part, name) for part in parts] or known
    if len(set(map(id, found))) < len(found):
        raise UsageError(f"--layers {name}: a layer is there twice; name each once")
    if len(found) == 1:
        if not parts:
            raise UsageError(f"--layers {name}: there is one layer only, {found[0].name}")
        return found[0]
    return Joined.of(found)


def _one(known: Sequence[Layer], part: str, name: str) -> Layer:
    """Return the layer that a part of a name stands for."""
    fits = [layer for layer in known if part in _names(layer)]
    if len(fits) > 1:
        raise UsageError(
            f"--layers {name}: {part} is in {fits[0].path} and in {fits[1].path}; say of which "
            f"network or file: {fits[0].backbone}{OF}{part}, or {fits[1].path.stem}{OF}{part}"
        )
    if not fits:
        names = [each for layer in known for each in _names(layer)]
        raise unknown_name("layer in these feature files", part, list(dict.fromkeys(names)))
    return fits[0]


def _names(layer: Layer) -> Iterator[str]:
    """Yield the ways to name a layer."""
    yield layer.name
    yield f"{layer.backbone}{OF}{layer.name}"
    if layer.path.stem != layer.backbone:
        yield f"{layer.path.stem}{OF}{layer.name}"


def written(inputs: dict[str, Any]) -> str:
    """Return the name by which `join` finds the layers of a record's inputs again."""
    parts = inputs.get("parts")
    if parts is None:
        return str(inputs["layer"])
    return JOIN.join(f"{part['backbone']}{OF}{part['layer']}" for part in parts)
