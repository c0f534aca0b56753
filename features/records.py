"""Records that the other modules exchange: images, outcomes, batches, recipes.

It needs light packages alone, so that every module can afford to import it.
"""

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated, Any

import msgspec
import numpy as np

from features.disk import documents
from features.disk.documents import Whole
from features.errors import DataError

SINGLE, SHARDED = LAYOUTS = ("single", "sharded")  # of feature files: one file, or an index of many
JOINED = "joined"  # the kind of source of a file that was made of several
DIGEST_BYTES = 16
UNLABELLED = -1

_Pixels = Annotated[int, msgspec.Meta(ge=1, lt=2**31)]


class Split(IntEnum):
    """The split of the data that an image belongs to, as stored in `/images/split`."""

    NONE = 0
    TRAIN = 1
    VALIDATION = 2
    TEST = 3


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """One image of a source, before it is read.

    Attributes:
        index: its position in the source's fixed order.
        id: its path relative to the source, with `/` as separator.
        label: an index into the source's class names, or -1.
        split: the split that it belongs to.
    """

    index: int
    id: str
    label: int = UNLABELLED
    split: Split = Split.NONE


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of loading one image.

    Attributes:
        index: its position in the source's fixed order.
        digest: the 16-byte BLAKE2b of its bytes, empty where they could not be read.
        reason: why it was rejected, None where it was decoded.
        notes: what was guessed of it or looks wrong, as in `decoding.decode`.
    """

    index: int
    digest: bytes
    reason: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Batch:
    """Consecutive images of a source: rows `start` to `start + len(outcomes)`.

    `pixels` is RGB uint8 of shape (batch size, height, width, 3). Rows of rejected images and
    rows past the last image are zero, and the features of such rows must not be used.
    """

    start: int
    pixels: np.ndarray
    outcomes: tuple[Outcome, ...]

    @property
    def accepted(self) -> np.ndarray:
        """Rows of `pixels` that hold an image: int64, shape (accepted,)."""
        rows = [row for row, outcome in enumerate(self.outcomes) if outcome.reason is None]
        return np.array(rows, dtype=np.int64)


@dataclass(frozen=True)
class Recipe:
    """Everything that can change a number in a feature file.

    Two runs with equal digests on equal hardware write equal features. The content of images and
    weights is covered by it, the paths at which they lie are not.
    """

    backbone: str
    weights: dict[str, Any]  # "origin" (the weights source), "sha256"; "top_sha256" of dense layers
    layers: tuple[str, ...]
    pooling: str
    image_size: tuple[_Pixels, _Pixels]  # height, width
    given_size: tuple[_Pixels, _Pixels]  # of the pixels; the network enlarges smaller ones
    decoding: (
        str  # "exact", or "reduced": JPEGs at a scale that leaves twice the size; see planning
    )
    resize: str
    interpolation: str
    scaling: dict[str, Any]  # channel order, scale and offset per channel
    engine: str
    precision: str
    store: str  # dtype of the stored features
    batch_size: Whole
    source: dict[str, Any]  # kind, count, fingerprint
    versions: dict[str, str]
    calibration: dict[str, Any] | None = None  # of int8: number and digest of the images

    def to_json(self) -> str:
        """Return canonical JSON: sorted keys, no spaces, so that equal recipes give equal text."""
        return json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))

    def to_dict(self) -> dict[str, Any]:
        """Return the fields; without one that only int8 has, where it has nothing to say."""
        values = dataclasses.asdict(self)
        if self.calibration is None:
            del values["calibration"]
        return values

    @classmethod
    def from_json(cls, text: str, where: str = "the recipe") -> "Recipe":
        """Rebuild a recipe.

        Raises:
            DataError: a field is missing, unknown or not what it should be; the message begins
                with `where`. An unknown one is a setting of a later version, and may change
                numbers.
        """
        recipe = cls.from_dict(values := documents.parse(text, where), where)
        known = [field.name for field in dataclasses.fields(cls)]
        if unknown := [name for name in values if name not in known]:
            raise DataError(f"{where}: {unknown[0]!r:.60} is no field of a recipe of this version")
        return recipe

    @classmethod
    def from_dict(cls, values: Any, where: str = "the recipe") -> "Recipe":
        """Rebuild a recipe from what JSON holds, as `from_json`; unknown fields are passed over."""
        documents.convert(values, _Nested, where)
        return documents.convert(values, cls, where)

    @property
    def digest(self) -> str:
        """Return the BLAKE2b of the canonical JSON, 32 hex digits."""
        return blake2b(self.to_json().encode()).hex()

    @property
    def network_digest(self) -> str:
        """Return the digest of the settings that make the network, whatever the images.

        A calibrated network is one for batches of every size.
        """
        network = self.to_dict()
        of_images = ("decoding", "resize", "interpolation", "store", "source")
        for key in (*of_images, "batch_size") if self.calibration else of_images:
            del network[key]
        return blake2b(json.dumps(network, sort_keys=True).encode()).hex()

    def differences(self, other: "Recipe") -> list[str]:
        """Return a line 'setting: value here -> value in other' for each that differs."""
        return _differences(self.to_dict(), other.to_dict())


@dataclass(frozen=True)
class _Weights:
    origin: str
    sha256: str


@dataclass(frozen=True)
class _Scaling:
    name: str


@dataclass(frozen=True)
class _Images:
    kind: str
    count: Whole
    fingerprint: str = ""


@dataclass(frozen=True)
class _Calibration:
    images: Whole
    digest: documents.Digest


@dataclass(frozen=True)
class _Nested:
    """What the dictionaries of a recipe hold at least."""

    weights: _Weights
    scaling: _Scaling
    source: _Images
    calibration: _Calibration | None = None


def describe_decoding(exact_decode: bool, accept_damaged: bool) -> str:
    """Return how JPEGs are decoded, as a recipe has it."""
    scale = "exact" if exact_decode else "reduced"
    return f"{scale}, damaged ones too" if accept_damaged else scale


def decoding_options(decoding: str) -> dict[str, bool]:
    """Return the options of an extraction that `describe_decoding` describes."""
    return {
        "exact_decode": decoding.startswith("exact"),
        "accept_damaged": decoding.endswith("damaged ones too"),
    }


def _differences(ours: dict[str, Any], others: dict[str, Any], prefix: str = "") -> list[str]:
    lines = []
    for key in dict.fromkeys([*ours, *others]):
        here, there = ours.get(key), others.get(key)
        if isinstance(here, dict) and isinstance(there, dict):
            lines += _differences(here, there, f"{prefix}{key}.")
        elif here != there:
            lines.append(f"{prefix}{key}: {here} -> {there}")
    return lines


def blake2b(data: bytes | memoryview) -> bytes:
    """Return the 16-byte BLAKE2b of `data`, the digest used throughout the project."""
    return hashlib.blake2b(data, digest_size=DIGEST_BYTES).digest()
