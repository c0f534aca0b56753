"""The feature file, open for reading."""

import html
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import h5py
import numpy as np

from features.arguments import as_location
from features.errors import DataError, unknown_name
from features.records import SHARDED, SINGLE, UNLABELLED, Recipe, Split
from features.remote.cache import fetched
from features.sources.reading import Reading
from features.storage import facts, hdf5_guard
from features.storage.checks import find_problems
from features.storage.hdf5 import DAMAGE, attributes_of, blocks, texts_of
from features.storage.hdf5_chunks import ChunkedArray
from features.storage.row_blocks import COLUMN_GROUP
from features.storage.schema import column_names, is_index, reading, validate
from features.storage.sharded import ShardedArray, ShardFiles
from features.storage.texts import Texts

if TYPE_CHECKING:
    import pandas


class FeatureFile:
    """A feature file, open for reading; features and ids are read when they are asked for.

    Used in a `with` statement it is closed at the end. In a notebook it shows itself as a table.

    One in a store is fetched into the cache first, once for each version of it. Of one in shards
    that is the index; a shard is opened, and fetched, when its features are asked for.

    Attributes:
        path: the path or URL of the file.
        layers: the tapped layers, shallow to deep.
        class_names: names of the labels 0, 1, ...
        columns: names of the further columns of the manifest, in its order.
    """

    def __init__(self, path: str | Path) -> None:
        """Open the file and check its structure.

        Raises:
            UsageError: `path` is no path.
            DataError: the file is missing, is no feature file, is damaged, links elsewhere,
                goes beyond a bound, or was written before schema 2.
        """
        self.path = as_location(path, "path")
        if not self.path.is_file():
            raise DataError(f"{self.path}: no such feature file")
        local = fetched(self.path, is_hdf5=True)
        with reading(f"{self.path} is no feature file"):
            self._file = hdf5_guard.opened(local)
            self._arrays: dict[str, ChunkedArray | ShardedArray] = {}
            self._shards: ShardFiles | None = None
            try:
                validate(self._file)
                self._attributes = attributes_of(self._file)
                self.columns = column_names(self._file)
                self.class_names = facts.class_names(self._attributes)
                stored = tuple(self._file["features"])
                order = facts.layer_order(self._attributes)
                self.layers: tuple[str, ...] = tuple(sorted(stored, key=[*order, *stored].index))
                if is_index(self._file):
                    self._shards = ShardFiles(self.path, self._file)
            except BaseException:
                self._file.close()
                raise

    def __len__(self) -> int:
        return len(self._file["images/id"])

    def __repr__(self) -> str:
        if not self._file:
            return f"FeatureFile({str(self.path)!r}: closed)"
        layers = ", ".join(f"{name} {self.shape(name)[1:]}" for name in self.layers)
        return f"FeatureFile({str(self.path)!r}: {len(self)} images; {layers})"

    def _repr_html_(self) -> str:
        """Return the facts of the file as a small table, which notebooks show."""
        rows = "".join(
            f"<tr><th>{html.escape(name)}</th><td>{html.escape(text)}</td></tr>"
            for name, text in self._facts().items()
        )
        return f"<table>{rows}</table>"

    def _facts(self) -> dict[str, str]:
        facts = {"feature file": str(self.path)}
        if not self._file:
            return facts | {"state": "closed"}
        recipe, splits = self.recipe, np.bincount(self.splits, minlength=len(Split))
        counts = [f"{count} {Split(code).name.lower()}" for code, count in enumerate(splits)]
        size = "{} x {} pixels".format(*recipe.image_size)
        facts |= {
            "images": f"{len(self)}, and {len(self.rejected)} rejected",
            "splits": ", ".join(text for text, count in zip(counts, splits, strict=True) if count),
            "classes": f"{len(self.class_names)}: {', '.join(self.class_names)}"[:200],
            "backbone": f"{recipe.backbone}, weights {recipe.weights['origin']}, {size}",
            "engine": f"{recipe.engine} in {recipe.precision}",
        }
        return facts | {
            f"layer {name}": f"{self.shape(name)} {self._dataset(name).dtype}"
            for name in self.layers
        }

    def features(self, layer: str | None = None, rows: slice | np.ndarray = slice(None)) -> Any:
        """Return the features of one layer as they are stored.

        Args:
            layer: a name from `layers`; None takes the deepest.
            rows: a slice, or increasing row numbers (int64) or a mask (bool) of shape (N,).

        Returns:
            float32 or float16 of shape (n, D), or (n, H, W, C) with pooling `none`.
        """
        name = self._dataset(layer).name
        with self._named(), reading(f"{name} cannot be read", DAMAGE):
            return self._array(name.removeprefix("/"))[rows]

    def shape(self, layer: str | None = None) -> tuple[int, ...]:
        """Return the shape of a layer's features: (N, D) or (N, H, W, C)."""
        return (len(self), *self._dataset(layer).shape[1:])

    @property
    def layout(self) -> str:
        """How it is stored: "single", or "sharded" where its features lie in files of their own."""
        return SINGLE if self._shards is None else SHARDED

    @property
    def shards(self) -> list[Path]:
        """The paths or URLs of the shards in row order; none of a single file."""
        shards = self._shards
        return [] if shards is None else [shards.path(number) for number in range(len(shards))]

    @property
    def nbytes(self) -> int:
        """The size of the file, and of its shards as the index has it."""
        table = () if self._shards is None else self._shards.table
        return self.path.stat().st_size + sum(shard.bytes for shard in table)

    @property
    def ids(self) -> Texts:
        """The images' ids, in row order."""
        return self._strings("images/id")

    @property
    def labels(self) -> np.ndarray:
        """Indices into `class_names`, -1 where unlabelled: int32, shape (N,).

        Raises:
            DataError: a label is none of these, or the column cannot be read.
        """
        labels = self._values("images/label")
        with self._named():
            _check_codes("images/label", labels, UNLABELLED, len(self.class_names) - 1)
        return labels

    @property
    def splits(self) -> np.ndarray:
        """Codes of `features.records.Split`: uint8, shape (N,).

        Raises:
            DataError: a code is none of these, or the column cannot be read.
        """
        splits = self._values("images/split")
        with self._named():
            _check_codes("images/split", splits, Split.NONE, Split.TEST)
        return splits

    @property
    def digests(self) -> np.ndarray:
        """BLAKE2b of each image's bytes: uint8, shape (N, 16)."""
        return self._values("images/digest")

    def column(self, name: str) -> np.ndarray:
        """Return a further column of the manifest: str objects, shape (N,), "" where it was empty.

        Raises:
            UsageError: `name` is not among `columns`.
        """
        if name not in self.columns:
            raise unknown_name("column in this file", name, list(self.columns))
        return np.array(self._strings(f"{COLUMN_GROUP}/{name}").tolist(), dtype=object)

    @property
    def rejected(self) -> list[tuple[str, str]]:
        """Id of every image that has no row, and the reason in at most 300 characters."""
        pairs = zip(self._strings("rejected/id"), self._strings("rejected/reason"), strict=True)
        return list(pairs)

    @property
    def notes(self) -> dict[str, int]:
        """The numbers of images of which something was guessed or looks wrong, by what it is."""
        with self._named():
            return facts.notes(self._attributes)

    @property
    def recipe(self) -> Recipe:
        """Everything that can change a number in this file; DataError where it is damaged."""
        with self._named():
            return facts.recipe(self._attributes)

    @property
    def attributes(self) -> dict[str, Any]:
        """The file's attributes as they are stored."""
        return dict(self._attributes)

    @property
    def provenance(self) -> dict[str, Any]:
        """Where, when and on what the file was made; DataError where it is damaged."""
        with self._named():
            return facts.provenance(self._attributes)

    @property
    def parts(self) -> tuple[facts.Part, ...]:
        """The files that it was joined of; none of another one. DataError where damaged."""
        with self._named():
            return facts.parts(self._attributes)

    @property
    def source_options(self) -> dict[str, Any] | None:
        """The options by which the source was read, as `ExtractConfig` has them: limit, splits.

        None in files of Offshelf 0.2, DataError where they are damaged.
        """
        with self._named():
            return facts.source_options(self._attributes)

    @property
    def seconds_per_image(self) -> float | None:
        """Wall time from an image's bytes to its features; None where the file does not say.

        That of the last run, where several made the file; DataError where it is damaged.
        """
        images, seconds = (self.provenance.get(key) for key in ("images_this_run", "seconds"))
        return seconds / images if images and seconds else None

    @property
    def source_reading(self) -> Reading | None:
        """How the source was read; None in files of Offshelf 0.2, DataError where damaged."""
        values = self.provenance.get("reading")
        return None if values is None else Reading.from_dict(values)

    def frame(self, layer: str | None = None) -> "pandas.DataFrame":
        """Return a pandas frame indexed by id: `label`, `split`, `columns`, and the features.

        A column of the manifest whose name is taken already becomes "<name> (manifest)".

        Args:
            layer: a name from `layers`; None takes the deepest.
        """
        import pandas

        values = self.features(layer).reshape(len(self), -1)
        width = len(str(values.shape[1] - 1))
        names = [f"f{column:0{width}d}" for column in range(values.shape[1])]
        frame = pandas.DataFrame(
            values, index=pandas.Index(self.ids.tolist(), name="id"), columns=names
        )
        known = np.array([*self.class_names, None], dtype=object)  # -1 takes the None
        frame.insert(0, "label", known[self.labels])
        frame.insert(1, "split", [Split(code).name.lower() for code in self.splits])
        for position, name in enumerate(self.columns, 2):
            header = f"{name} (manifest)" if name in frame else name
            frame.insert(position, header, self.column(name))
        return frame

    def blocks(self, path: str) -> Iterator[np.ndarray]:
        """Yield a dataset, such as "features/block5_pool", in blocks of rows.

        Raises:
            DataError: a block is damaged.
        """
        with self._named(), reading(f"/{path} cannot be read", DAMAGE):
            yield from blocks(self._array(path))

    def problems(self) -> list[str]:
        """Read all of it, also every shard; return a line for each thing that is wrong with it."""
        return find_problems(self._file, self._shards)

    def close(self) -> None:
        """Close the file, and the shards that are open."""
        self._file.close()
        if self._shards is not None:
            self._shards.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _dataset(self, layer: str | None) -> h5py.Dataset:
        layer = self.layers[-1] if layer is None else layer
        if layer not in self.layers:
            raise unknown_name("layer in this file", layer, list(self.layers))
        return self._file[f"features/{layer}"]

    def _array(self, path: str) -> ChunkedArray | ShardedArray:
        if path not in self._arrays:
            dataset, is_layer = self._file[path], path.startswith("features/")
            if self._shards is not None and is_layer:
                self._arrays[path] = self._shards.array(path, dataset)
            else:
                self._arrays[path] = ChunkedArray(dataset)
        return self._arrays[path]

    def _values(self, path: str) -> np.ndarray:
        with reading(f"{self.path}: /{path} cannot be read"):
            return self._array(path)[:]

    def _strings(self, path: str) -> Texts:
        with reading(f"{self.path}: /{path} cannot be read"):
            return texts_of(self._file[path])

    def _named(self) -> AbstractContextManager[None]:
        """Put the path in front of the messages of errors."""
        return reading(str(self.path), (DataError,))


def _check_codes(path: str, codes: np.ndarray, least: int, most: int) -> None:
    """Raise DataError unless all codes lie from `least` to `most`."""
    wrong = (codes < least) | (codes > most)
    if wrong.any():
        row = int(wrong.argmax())
        raise DataError(f"/{path} holds {codes[row]} in row {row}, expected {least} to {most}")
