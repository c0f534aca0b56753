"""Weights on the disk: loading a weights file, and the notes beside the files in the cache."""

import json
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from features import durable, sealed
from features.backbones.catalog import PixelScaling
from features.backbones.network import randomize
from features.backbones.weights_file import load
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
        file_sha256: the SHA-256 of the file at `path`, which is checked when it is loaded; empty
            where it is not known.
    """

    backbone: str
    weights_source: str
    sha256: str
    scaling: PixelScaling
    path: Path | None = None
    licence: str = ""
    seed: int = 0
    file_sha256: str = ""

    def load_into(self, base: Any) -> None:
        """Set the weights of a bare network.

        Raises:
            DataError: the file does not hold the weights of this network.
        """
        if self.path is None:
            randomize(base, self.seed)
        else:
            load(base, self.path, self.backbone, self.file_sha256)

    def top(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Return kernel (D, 1000) and bias (1000,) of the ImageNet classifier, None if not kept."""
        if self.path is None or not (path := top_path(self.path)).exists():
            return None
        with np.load(path) as arrays:
            return arrays["kernel"], arrays["bias"]


@dataclass(frozen=True)
class PinnedFacts:
    """What the catalog and the mirrors say of one set of weights; see `Weights`."""

    backbone: str
    weights_source: str
    scaling: PixelScaling
    licence: str


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
    durable.write(note_path(path), json.dumps(sealed.sealed(values), indent=2).encode())


def read_note(path: Path) -> dict[str, Any]:
    """Return the note beside a weights file; raise DataError where it is damaged."""
    try:
        note = json.loads(note_path(path).read_text())
        PixelScaling.from_dict(note["scaling"])
        if sealed.has_seal(note) and not sealed.is_intact(note):
            raise ValueError("it has changed since it was written")
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError(f"{note_path(path)} is no note of weights: {error!r}; remove it") from None
    return note


def read_cached(path: Path, pinned: PinnedFacts) -> Weights | None:
    """Return the weights at `path`, None where there is no note of them.

    Args:
        path: the weights file in the cache.
        pinned: what is known of these weights without their note, which must say the same.

    Raises:
        DataError: the note is damaged or of other weights, or a file has changed since the note
            was written.
    """
    if not note_path(path).exists():
        return None
    note = read_note(path)
    facts = PinnedFacts(
        note.get("backbone", ""), note.get("origin", ""), PixelScaling.from_dict(note["scaling"]),
        note.get("licence", ""),
    )  # fmt: skip
    files = note.get("files")
    if facts != pinned or not isinstance(files, dict) or path.name not in files:
        raise DataError(f"{note_path(path)} is the note of other weights; remove it")
    for name, expected in files.items():
        file = path.with_name(name)
        if not file.is_file() or sha256_of(file) != expected:
            raise DataError(f"{file} is not the file that was put there")
    return Weights(
        pinned.backbone, pinned.weights_source, note["sha256"], pinned.scaling, path,
        pinned.licence, file_sha256=files[path.name],
    )  # fmt: skip


def cache_path(backbone: str, weights_source: str) -> Path:
    """Return the path at which the cache keeps a set of weights."""
    return cache_folder() / "weights" / f"{backbone}-{weights_source}.weights.h5"


def note_path(path: Path) -> Path:
    """Return the path of a weights file's note."""
    return path.with_name(path.name.removesuffix(".weights.h5") + ".json")


def top_path(path: Path) -> Path:
    """Return the path of the ImageNet classifier that belongs to a weights file."""
    return path.with_name(path.name.removesuffix(".weights.h5") + ".top.npz")
