"""Networks from elsewhere: what the rest needs to know of one that the catalog does not have.

Such a network is named by a file of it (`my.onnx`, `my.xml`, `my.keras`) or by its name in timm.
Whatever it is, it is asked for once, by `opening.find`, and answers with one record: what it is
called, what its pixels must be, which layers can be tapped, what identifies it, and how an engine
gets it.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from features.backbones.catalog import PixelScaling
from features.engines.base import BatchShape
from features.errors import DataError, UsageError
from features.processes import bounded

NO_WEIGHTS = ""  # of what is opened to be listed, not to be run
REMEMBERED = 16  # files that were looked through
_MEMORY, _MEMORY_FACTOR = 2**32, 12  # bytes, and times the bytes of the file
_SECONDS, _BYTES_A_SECOND = 60, 2**23


@dataclass(frozen=True)
class Tap:
    """One layer that can be tapped.

    Attributes:
        name: its name in the recipe and the feature file; of letters, digits and "._-:".
        shape: of one image's output: (height, width, channels) of a map, (tokens, channels), or
            (channels,).
        original: its name in the network itself, by which it can be asked for as well.
        has_token: whether there is a class token, which `--pooling token` takes.
    """

    name: str
    shape: tuple[int, ...]
    original: str = ""
    has_token: bool = False


@dataclass(frozen=True)
class Wanted:
    """What a user asked for.

    Attributes:
        backbone: the path of the file, or "timm/" and a name.
        weights: what `--weights` said; `NO_WEIGHTS` where the layers alone are of interest.
        scaling: the name of a pixel scaling, None where the network is to say it itself.
        image_size: height and width in pixels, None where the network is to say it itself.
        batch_size: images in a forward pass.
        seed: the seed of random weights.
    """

    backbone: str
    weights: str
    scaling: str | None
    image_size: tuple[int, int] | None
    batch_size: int
    seed: int


# Takes names of layers, pooling, precision and the shape of a batch of uint8 pixels; returns what
# an engine takes: a keras.Model, an openvino.Model or a torch.nn.Module, from pixels (batch,
# height, width, 3) to float32 features by layer.
MakeTapped = Callable[[Sequence[str], str, str, BatchShape], Any]


@dataclass(frozen=True)
class Network:
    """A network from elsewhere: opened, looked through, and not made ready to run yet.

    Attributes:
        name: what the recipe calls it.
        weights: its identity: "origin", "sha256", and further checksums where it has more files.
        licence: the licence of the weights, as far as known.
        taps: the layers that can be tapped, shallow to deep.
        output: the name of the layer that is tapped by default.
        image_size: height and width that it sees, in pixels.
        scaling: the pixel scaling that it expects; None where nobody said it.
        engines: names of the engines that can run it, the best one first.
        packages: names of packages beside the engine on which its numbers depend.
        make: makes it, see `MakeTapped`.
    """

    name: str
    weights: dict[str, Any]
    licence: str
    taps: tuple[Tap, ...]
    output: str
    image_size: tuple[int, int]
    scaling: PixelScaling | None
    engines: tuple[str, ...]
    packages: tuple[str, ...]
    make: MakeTapped

    def resolve(self, names: Sequence[str] | None) -> tuple[str, ...]:
        """Return the names of the layers to tap; None takes the default one.

        Raises:
            UsageError: there is no such layer, or it is named twice.
        """
        if names is None:
            return (self.output,)
        known = {tap.original: tap.name for tap in self.taps} | {t.name: t.name for t in self.taps}
        for name in names:
            if name not in known:
                near = get_close_matches(name, known, cutoff=0.5) or list(known)[-3:]
                hint = f"such as {', '.join(near)}; `backbones` lists them"
                raise UsageError(f"{self.name} has no layer {name!r:.100}, but others {hint}")
        layers = tuple(known[name] for name in names)
        if len(set(layers)) < len(layers):
            raise UsageError(f"--layers {','.join(names)}: name each layer once")
        return layers


def file_of(backbone: str) -> Path:
    """Return the file that a backbone is named by; raise UsageError where there is none."""
    path = Path(backbone).expanduser()
    if not path.is_file():
        raise UsageError(f"--backbone {backbone}: there is no such file")
    return path


def check_own_weights(wanted: Wanted, path: Path) -> None:
    """Raise UsageError where weights are asked for of a file that has its own."""
    if wanted.weights not in (NO_WEIGHTS, "imagenet", wanted.backbone):
        raise UsageError(
            f"--weights {wanted.weights}: {path.name} has its weights in it; leave it out"
        )


def look_through(function: str, path: Path, stored: int, **request: Any) -> dict[str, Any]:
    """Return what a function finds in a file, called by a process that may be lost.

    Args:
        function: "module:name" of a function that takes the path as text, and what is in `request`.
        path: the file.
        stored: the bytes of all files that make the network.
        request: of types that JSON knows.

    Raises:
        DataError: what the function raises, or the process was lost; the message begins with the
            path.
        UsageError: likewise.
    """
    try:
        facts: dict[str, Any] = bounded.ask(
            function, {"path": str(path.resolve()), **request}, _MEMORY + _MEMORY_FACTOR * stored,
            _SECONDS + stored // _BYTES_A_SECOND,
        )  # fmt: skip
    except (DataError, UsageError) as error:
        raise type(error)(f"{path}: {error}") from None
    return facts


def tap_name(original: str) -> str:
    """Return a layer's name as a recipe, a feature file and a folder of candidates can have it."""
    return re.sub(r"[^\w.\-:]", "_", original.strip("/").replace("/", "."))


def check_pooling(taps: Sequence[Tap], pooling: str) -> None:
    """Raise UsageError where a class token is asked for of layers that have no tokens."""
    for tap in taps:
        if pooling == "token" and not tap.has_token:
            raise UsageError(
                f"--pooling token: {tap.name} has no class token, its shape is "
                f"{'x'.join(map(str, tap.shape))}; take avg, or a layer of tokens"
            )
