"""The feature file: its schema, its writer and its reader, side by side.

Rows travel as `Rows` blocks. A shard is one block in a file of its own, a feature file is all of
them in one; both have the same layout, so one writer and one reader serve both.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from io import RawIOBase
from pathlib import Path
from threading import Event
from typing import IO, TYPE_CHECKING, Any

import h5py
import numpy as np

from features.errors import DataError, unknown_name
from features.records import Recipe, Split, blake2b
from features.schema import (
    COLUMNS,
    DIGEST,
    SCHEMA,
    attributes_of,
    content,
    hasher,
    seal,
    validate,
)

if TYPE_CHECKING:
    import pandas

CHUNK_BYTES = 2**20  # of a feature dataset: reading a few rows stays cheap, and so does a scan
BLOCK_BYTES = 2**26  # held in memory at a time while a file is checked

_CHANGED = "has changed since it was written: its digest differs"


@dataclass(frozen=True)
class Rows:
    """A block of consecutive rows, and the images among them that gave none.

    Shapes: features[layer] (n, D) or (n, H, W, C) float32 or float16; ids n strings; digests
    (n, 16) uint8; labels (n,) int32; splits (n,) uint8; rejected holds pairs of id and reason.
    """

    features: dict[str, np.ndarray]
    ids: Sequence[str]
    digests: np.ndarray
    labels: np.ndarray
    splits: np.ndarray
    rejected: Sequence[tuple[str, str]]

    @property
    def counts(self) -> dict[str, int]:
        """Number of rows by the group that holds them."""
        return {"images": len(self.ids), "rejected": len(self.rejected)}

    @property
    def columns(self) -> dict[str, np.ndarray]:
        """Every dataset of this block by its path in the file."""
        columns = {f"features/{layer}": values for layer, values in self.features.items()}
        return columns | {
            "images/id": _strings(self.ids),
            "images/digest": self.digests,
            "images/label": self.labels,
            "images/split": self.splits,
            "rejected/id": _strings([image for image, _ in self.rejected]),
            "rejected/reason": _strings([reason for _, reason in self.rejected]),
        }


def write(
    target: IO[bytes] | RawIOBase,
    blocks: Iterable[Rows],
    counts: dict[str, int],
    attributes: dict[str, Any],
) -> None:
    """Write a feature file from blocks of rows, holding one block in memory at a time.

    HDF5 does it in a thread of its own. Exceptions by signals, such as Ctrl-C, come to the main
    thread alone, and would crash HDF5 while it writes to a file object.

    Args:
        target: an empty file, open for binary writing and reading.
        blocks: the rows in order; at least one block.
        counts: `Rows.counts` summed over all blocks.
        attributes: of the file, beside `schema`, `complete` and `digest`.

    Raises:
        DataError: the blocks hold other numbers of rows than `counts` says.
    """
    stopped = Event()

    def until_stopped() -> Iterator[Rows]:
        for rows in blocks:
            if stopped.is_set():
                raise DataError("stopped")
            yield rows

    with ThreadPoolExecutor(1, "hdf5") as thread:
        writing = thread.submit(_write, target, until_stopped(), counts, attributes)
        try:
            writing.result()
        finally:
            stopped.set()


def _write(
    target: IO[bytes] | RawIOBase,
    blocks: Iterable[Rows],
    counts: dict[str, int],
    attributes: dict[str, Any],
) -> None:
    with h5py.File(target, "w") as file:
        columns: dict[str, _Column] = {}
        for rows in blocks:
            for path, values in rows.columns.items():
                if path not in columns:
                    count = counts["rejected" if path.startswith("rejected/") else "images"]
                    columns[path] = _Column(file, path, values, count)
                columns[path].append(values)
        for column in columns.values():
            column.finish()
        file.attrs.update(attributes)
        file.attrs["schema"] = SCHEMA
        file.attrs["complete"] = True
        file.attrs[DIGEST] = seal(file)


class _Column:
    """One dataset while it is filled from its start to its end, and the digest of its content."""

    def __init__(self, file: h5py.File, path: str, like: np.ndarray, count: int) -> None:
        shape = (count, *like.shape[1:])
        dtype = h5py.string_dtype() if like.dtype == object else like.dtype
        row_bytes = max(1, int(np.prod(like.shape[1:])) * like.dtype.itemsize)
        chunks = (max(1, min(count, CHUNK_BYTES // row_bytes)), *like.shape[1:])
        self.dataset = file.create_dataset(path, shape, dtype, chunks=chunks if count else None)
        self.path, self.filled, self.digest = path, 0, hasher()

    def append(self, values: np.ndarray) -> None:
        stop = self.filled + len(values)
        if stop > len(self.dataset):
            raise DataError(f"{self.path} gets more than the {len(self.dataset)} rows expected")
        self.dataset[self.filled : stop] = values
        self.digest.update(content(values))
        self.filled = stop

    def finish(self) -> None:
        if self.filled != len(self.dataset):
            raise DataError(f"{self.path} has {self.filled} rows, expected {len(self.dataset)}")
        self.dataset.attrs[DIGEST] = self.digest.hexdigest()


class FeatureFile:
    """A feature file, open for reading; nothing is loaded before it is asked for.

    Attributes:
        path: where it lies.
        layers: the tapped layers, shallow to deep.
        class_names: names of the labels 0, 1, ...

    Raises:
        DataError: the file is missing, is no feature file, is damaged, or links elsewhere.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise DataError(f"{self.path}: no such feature file")
        with _reading(f"{self.path} is no feature file"):
            self._file = h5py.File(self.path, "r", locking=False)
            try:
                validate(self._file)
                self._attributes = attributes_of(self._file)
                self.class_names = _names(self._text("class_names", "[]"))
                stored = tuple(self._file["features"])
                order = json.loads(self._text("recipe", "{}")).get("layers", stored)
                self.layers: tuple[str, ...] = tuple(sorted(stored, key=[*order, *stored].index))
            except BaseException:
                self._file.close()
                raise

    def __len__(self) -> int:
        return len(self._file["images/id"])

    def __repr__(self) -> str:
        layers = ", ".join(f"{name} {self.shape(name)[1:]}" for name in self.layers)
        return f"FeatureFile({str(self.path)!r}: {len(self)} images; {layers})"

    def features(self, layer: str | None = None, rows: slice | np.ndarray = slice(None)) -> Any:
        """Return features of one layer (the deepest by default) as stored.

        Args:
            layer: a name from `layers`.
            rows: a slice, or increasing row numbers (int64) or a mask (bool) of shape (N,).

        Returns:
            float32 or float16 of shape (n, D), or (n, H, W, C) with pooling `none`.
        """
        dataset = self._dataset(layer)
        with _reading(f"{self.path}: features cannot be read", (OSError, RuntimeError)):
            return dataset[rows]

    def shape(self, layer: str | None = None) -> tuple[int, ...]:
        """Return the shape of a layer's features: (N, D) or (N, H, W, C)."""
        return tuple(self._dataset(layer).shape)

    @property
    def ids(self) -> list[str]:
        """The images' ids, in row order."""
        return self._strings("images/id")

    @property
    def labels(self) -> np.ndarray:
        """Indices into `class_names`, -1 where unlabelled: int32, shape (N,)."""
        return self._column("images/label")

    @property
    def splits(self) -> np.ndarray:
        """Codes of `features.records.Split`: uint8, shape (N,)."""
        return self._column("images/split")

    @property
    def digests(self) -> np.ndarray:
        """BLAKE2b of each image's bytes: uint8, shape (N, 16)."""
        return self._column("images/digest")

    @property
    def rejected(self) -> list[tuple[str, str]]:
        """Id and reason of every image that gave no row."""
        pairs = zip(self._strings("rejected/id"), self._strings("rejected/reason"), strict=True)
        return list(pairs)

    @property
    def recipe(self) -> Recipe:
        """Everything that can change a number in this file; DataError where it is not whole."""
        with _reading(f"{self.path}: its recipe cannot be read"):
            return Recipe.from_json(self._text("recipe", ""))

    @property
    def attributes(self) -> dict[str, Any]:
        """The file's attributes as they stand."""
        return dict(self._attributes)

    def frame(self, layer: str | None = None) -> "pandas.DataFrame":
        """Return a pandas frame indexed by id: `label`, `split`, then one column a feature."""
        import pandas

        values = self.features(layer).reshape(len(self), -1)
        width = len(str(values.shape[1] - 1))
        names = [f"f{column:0{width}d}" for column in range(values.shape[1])]
        frame = pandas.DataFrame(values, index=pandas.Index(self.ids, name="id"), columns=names)
        known = np.array([*self.class_names, None], dtype=object)  # -1 takes the None
        frame.insert(0, "label", known[self.labels])
        frame.insert(1, "split", [Split(code).name.lower() for code in self.splits])
        return frame

    def blocks(self, path: str) -> Iterator[np.ndarray]:
        """Yield a dataset, such as "features/block5_pool", in blocks of at most 64 MiB."""
        dataset = self._file[path]
        step = max(
            1, BLOCK_BYTES // max(1, dataset.dtype.itemsize * int(np.prod(dataset.shape[1:])))
        )
        for start in range(0, len(dataset), step):
            yield dataset[start : start + step]

    def problems(self) -> list[str]:
        """Read the whole file; return what is wrong with it, one line each, empty where nothing."""
        found: list[str] = []
        for check in (self._check_seal, self._check_content, self._check_rows, self._check_recipe):
            try:
                with _reading("cannot be read"):
                    found.extend(check())
            except DataError as error:
                found.append(str(error))
        return found

    def rows(self) -> Rows:
        """Return the whole file as one block, compared with its digests; meant for shards.

        Raises:
            DataError: it is damaged.
        """
        with _reading(f"{self.path} is damaged"):
            for problem in self._check_seal():
                raise DataError(problem)
            rows = Rows(
                {layer: self.features(layer) for layer in self.layers},
                self.ids,
                self.digests,
                self.labels,
                self.splits,
                self.rejected,
            )
            for path, values in rows.columns.items():
                if blake2b(content(values)).hex() != attributes_of(self._file[path]).get(DIGEST):
                    raise DataError(f"/{path} {_CHANGED}")
        return rows

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> "FeatureFile":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _dataset(self, layer: str | None) -> h5py.Dataset:
        layer = self.layers[-1] if layer is None else layer
        if layer not in self.layers:
            raise unknown_name("layer in this file", layer, list(self.layers))
        return self._file[f"features/{layer}"]

    def _column(self, path: str) -> np.ndarray:
        with _reading(f"{self.path}: /{path} cannot be read"):
            return self._file[path][:]

    def _strings(self, path: str) -> list[str]:
        with _reading(f"{self.path}: /{path} cannot be read"):
            return self._file[path].asstr()[:].tolist()

    def _text(self, attribute: str, default: str) -> str:
        return str(self._attributes.get(attribute, default))

    def _check_seal(self) -> Iterator[str]:
        if seal(self._file) != self._attributes.get(DIGEST):
            yield "an attribute, or the shape or type of a dataset, " + _CHANGED

    def _check_content(self) -> Iterator[str]:
        for path in [*(f"features/{layer}" for layer in self.layers), *COLUMNS]:
            digest, finite = hasher(), True
            try:
                for block in self.blocks(path):
                    digest.update(content(block))
                    finite = finite and (block.dtype.kind != "f" or bool(np.isfinite(block).all()))
            except (OSError, RuntimeError) as error:
                yield f"/{path} cannot be read: {error}"
                continue
            if digest.hexdigest() != attributes_of(self._file[path]).get(DIGEST):
                yield f"/{path} {_CHANGED}"
            if not finite:
                yield f"/{path} holds values that are not finite"

    def _check_rows(self) -> Iterator[str]:
        if len(set(self.ids)) != len(self):
            yield f"/images/id: {len(self) - len(set(self.ids))} ids occur more than once"
        if len(self) and not -1 <= self.labels.min() <= self.labels.max() < len(self.class_names):
            yield f"/images/label: labels reach beyond the {len(self.class_names)} class names"
        if not self.attributes.get("complete", False):
            yield "the file is not marked as complete"

    def _check_recipe(self) -> Iterator[str]:
        try:
            recipe = self.recipe
        except DataError as error:
            yield str(error)
            return
        if recipe.digest != self._text("recipe_digest", ""):
            yield "the recipe does not match its digest"
        if set(recipe.layers) != set(self.layers):
            yield f"/features holds {self.layers}, the recipe names {recipe.layers}"
        if recipe.source["count"] != len(self) + len(self.rejected):
            yield (
                f"{len(self)} rows and {len(self.rejected)} rejected images, but the source had "
                f"{recipe.source['count']}"
            )


@contextmanager
def _reading(what: str, damage: tuple[type[Exception], ...] = (Exception,)) -> Iterator[None]:
    """Turn whatever damaged bytes make HDF5 and its users raise into a DataError of one line."""
    try:
        yield
    except damage as error:
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise DataError(f"{what}: {reason}") from None


def _names(text: str) -> tuple[str, ...]:
    names = json.loads(text)
    if not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
        raise DataError("its `class_names` are not a list of names")
    return tuple(names)


def _strings(values: Sequence[str]) -> np.ndarray:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array
