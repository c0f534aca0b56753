"""Weights on the disk: loading a weights file, and the notes beside the files in the cache."""

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from features.backbones import tops
from features.backbones.catalog import Backbone, PixelScaling
from features.backbones.network import randomize
from features.backbones.tops import TopWeights
from features.backbones.weights_file import load
from features.disk import documents, durable, sealed
from features.errors import DataError
from features.processes.packages import cache_folder, sha256_of

FILE = "file"  # the weights source of a file that a user gave


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
        top_sha256: of the arrays of the dense layers above the last map; empty where they are not
            wanted, or where `sha256` covers them.
    """

    backbone: str
    weights_source: str
    sha256: str
    scaling: PixelScaling
    path: Path | None = None
    licence: str = ""
    seed: int = 0
    file_sha256: str = ""
    top_sha256: str = ""

    def load_into(self, base: Any) -> None:
        """Set the weights of a bare network.

        Raises:
            DataError: the file does not hold the weights of this network, or its arrays are not
                those of `sha256`, which the recipe will name.
        """
        if self.path is None:
            randomize(base, self.seed)
        else:
            load(base, self.path, self.backbone, self.file_sha256)
            if self.weights_source != FILE and arrays_sha256(base.get_weights()) != self.sha256:
                raise DataError(
                    f"{self.path} holds other arrays than its note says; remove "
                    f"{note_path(self.path)}, so that the weights are fetched anew"
                )

    @property
    def has_top(self) -> bool:
        """Whether the dense layers lie beside a file in the cache."""
        return self.path is not None and top_path(self.path).exists()

    def load_top(self, backbone: Backbone, base: Any) -> TopWeights:
        """Return the weights of the dense layers above the last map.

        Args:
            backbone: the entry of the catalog.
            base: the bare network below them.

        Raises:
            DataError: they are not there, or are not those of `top_sha256`.
        """
        if self.path is None:
            *_, channels = shape = base.output.shape[1:]
            return tops.draw(
                backbone, math.prod(shape) if backbone.top.flattens else channels, self.seed
            )
        if self.weights_source == FILE:
            return self._top_of_file(backbone, len(base.weights))
        top = tops.read(backbone, top_path(self.path))
        if self.top_sha256 and top_digest(top) != self.top_sha256:
            raise DataError(f"{top_path(self.path)} has changed since it was checked; start again")
        return top

    def _top_of_file(self, backbone: Backbone, below: int) -> TopWeights:
        assert self.path is not None  # noqa: S101 - a file that a user gave
        whole = tops.whole_network(backbone)
        try:
            load(whole, self.path, self.backbone, self.file_sha256)
        except DataError as error:
            raise DataError(
                f"{self.path} holds no top of {backbone.name} ({', '.join(backbone.dense)}) that "
                f"can be read: {error}"
            ) from None
        return tops.split(backbone, whole.get_weights()[below:])


@dataclass(frozen=True)
class PinnedFacts:
    """What the catalog and the mirrors say of one set of weights; see `Weights`."""

    backbone: str
    weights_source: str
    scaling: PixelScaling
    licence: str
    sha256: str = ""  # of the arrays; empty where it is not pinned
    top_sha256: str = ""  # of those of the dense layers; likewise


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


@dataclass(frozen=True)
class Note:
    """The content of a note; one beside a file that a user gave may have its scaling alone."""

    scaling: PixelScaling
    backbone: str = ""
    origin: str = ""
    licence: str = ""
    sha256: str = ""
    files: dict[str, str] = field(default_factory=dict)


def read_note(path: Path) -> Note:
    """Return the note beside a weights file; raise DataError where it is damaged."""
    place = note_path(path)
    try:
        values = documents.load(place)
        note = documents.convert(values, Note, str(place))
        if sealed.has_seal(values) and not sealed.is_intact(values):
            raise DataError(f"{place} has changed since it was written")
    except DataError as error:
        raise DataError(f"{error}; it is no note of weights, remove it") from None
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
        note.backbone, note.origin, note.scaling, note.licence,
        note.sha256 if pinned.sha256 else "", pinned.top_sha256,
    )  # fmt: skip
    known = {path.name, top_path(path).name}
    if facts != pinned or path.name not in note.files or not note.files.keys() <= known:
        raise DataError(f"{note_path(path)} is the note of other weights; remove it")
    for name, expected in note.files.items():
        file = path.with_name(name)
        if not file.is_file() or sha256_of(file) != expected:
            raise DataError(f"{file} is not the file that was put there")
    return Weights(
        pinned.backbone, pinned.weights_source, note.sha256, pinned.scaling, path,
        pinned.licence, file_sha256=note.files[path.name],
    )  # fmt: skip


def with_top(weights: Weights, backbone: Backbone, pinned: PinnedFacts) -> Weights:
    """Return weights from the cache, with the digest of their dense layers.

    Raises:
        DataError: the dense layers cannot be read, or are not those that are pinned.
    """
    path = top_path(weights.path or Path())
    digest = top_digest(tops.read(backbone, path))
    if pinned.top_sha256 not in ("", digest):
        raise DataError(
            f"{path} holds other arrays than it should; remove {note_path(path)}, so that the "
            "weights are fetched anew"
        )
    return replace(weights, top_sha256=digest)


def top_digest(top: TopWeights) -> str:
    """Return the SHA-256 of the arrays of a top, from the map upwards."""
    return arrays_sha256([array for pair in top.values() for array in pair])


def arrays_sha256(arrays: Sequence[np.ndarray]) -> str:
    """Return the SHA-256 of arrays, their shapes and dtypes, in their order."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(repr((array.shape, array.dtype.str)).encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def cache_path(backbone: str, weights_source: str) -> Path:
    """Return the path at which the cache keeps a set of weights."""
    return cache_folder() / "weights" / f"{backbone}-{weights_source}.weights.h5"


def note_path(path: Path) -> Path:
    """Return the path of a weights file's note."""
    return path.with_name(path.name.removesuffix(".weights.h5") + ".json")


def top_path(path: Path) -> Path:
    """Return the path of the ImageNet classifier that belongs to a weights file."""
    return path.with_name(path.name.removesuffix(".weights.h5") + ".top.npz")
