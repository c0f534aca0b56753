"""Weights on the disk: loading a weights file, and the notes beside the files in the cache."""

import json
import warnings
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from features import durable
from features.backbones.catalog import PixelScaling
from features.backbones.network import randomize
from features.errors import DataError
from features.packages import cache_folder, sha256_of


@dataclass(frozen=True)
class Weights:
    """One set of weights for one backbone; its arrays are read when `load_into` is called.

    Attributes:
        backbone: the name of the backbone.
        weights_source: "keras", a mirror's name, "file" or "random".
        sha256: the SHA-256 that the recipe keeps: of the arrays in the network's order, or of the
            file where the user gave one; for random weights their seed.
        scaling: the pixel scaling that these weights expect.
        path: the weights file, None for random weights.
        licence: the licence of the weights, as far as known.
        seed: the seed of random weights.
    """

    backbone: str
    weights_source: str
    sha256: str
    scaling: PixelScaling
    path: Path | None = None
    licence: str = ""
    seed: int = 0

    def load_into(self, base: Any) -> None:
        """Set the weights of a bare network.

        Raises:
            DataError: the file does not hold the weights of this network.
        """
        if self.path is None:
            randomize(base, self.seed)
        else:
            _load(base, self.path, self.backbone)

    def top(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Return kernel (D, 1000) and bias (1000,) of the ImageNet classifier, None if not kept."""
        if self.path is None or not (path := top_path(self.path)).exists():
            return None
        with np.load(path) as arrays:
            return arrays["kernel"], arrays["bias"]


def write_note(weights: Weights, path: Path) -> None:
    """Write the note of the weights file at `path`: facts about it, and checksums.

    A weights file without a note does not count as cached.
    """
    files = [file for file in (path, top_path(path)) if file.exists()]
    values = {
        "backbone": weights.backbone,
        "origin": weights.weights_source,
        "licence": weights.licence,
        "scaling": weights.scaling.to_dict(),
        "sha256": weights.sha256,
        "files": {file.name: sha256_of(file) for file in files},
        "keras": version("keras"),
    }
    durable.write(note_path(path), json.dumps(values, indent=2).encode())


def read_note(path: Path) -> dict[str, Any]:
    """Return the note beside a weights file; raise DataError where it is damaged."""
    try:
        note = json.loads(note_path(path).read_text())
        PixelScaling.from_dict(note["scaling"])
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(f"{note_path(path)} is no note of weights: {error!r}; remove it") from None
    return note


def read_cached(path: Path) -> Weights | None:
    """Return the weights at `path` as their note describes them, None where there is no note.

    Raises:
        DataError: the note is damaged, or a file has changed since the note was written.
    """
    if not note_path(path).exists():
        return None
    note = read_note(path)
    for name, expected in note["files"].items():
        file = path.with_name(name)
        if not file.exists() or sha256_of(file) != expected:
            raise DataError(
                f"{file} is not the file that was put there; remove it and {note_path(path).name} "
                "and fetch it again"
            )
    scaling = PixelScaling.from_dict(note["scaling"])
    return Weights(note["backbone"], note["origin"], note["sha256"], scaling, path, note["licence"])


def _load(base: Any, path: Path, name: str) -> None:
    try:
        with warnings.catch_warnings():
            # Keras only warns of layers that a file lacks, and leaves them as they were.
            warnings.filterwarnings("error", "Skipping", UserWarning)
            if path.suffix == ".h5" and not path.name.endswith(".weights.h5"):
                _check_layer_names(base, path)
                base.load_weights(path, by_name=True)  # the file may hold a top, which is skipped
            else:
                base.load_weights(path)  # reads the arrays alone, of a .keras file too
    except DataError:
        raise
    except UserWarning:
        raise DataError(
            f"{path} does not hold the weights of {name}: it lacks layers of that network"
        ) from None
    except Exception as error:  # Keras and h5py raise errors of many types
        detail = " ".join(str(error).split())[:200]
        raise DataError(f"{path} does not hold the weights of {name}: {detail}") from None


def _check_layer_names(base: Any, path: Path) -> None:
    """Raise DataError unless the file has every layer: loading by name skips what it lacks."""
    import h5py

    with h5py.File(path, "r") as file:
        stored = set(file.get("model_weights", file))
    missing = [layer.name for layer in base.layers if layer.weights and layer.name not in stored]
    if missing:
        raise DataError(
            f"{path} lacks {len(missing)} layers of {base.name}, such as {missing[0]}: it holds "
            "the weights of another network"
        )


def cache_path(backbone: str, weights_source: str) -> Path:
    """Return the path at which the cache keeps a set of weights."""
    return cache_folder() / "weights" / f"{backbone}-{weights_source}.weights.h5"


def note_path(path: Path) -> Path:
    """Return the path of a weights file's note."""
    return path.with_name(path.name.removesuffix(".weights.h5") + ".json")


def top_path(path: Path) -> Path:
    """Return the path of the ImageNet classifier that belongs to a weights file."""
    return path.with_name(path.name.removesuffix(".weights.h5") + ".top.npz")
