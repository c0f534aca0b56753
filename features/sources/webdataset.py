"""WebDataset: tars in which the files of one sample share a name up to its first dot."""

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from features.errors import DataError, UsageError
from features.sources.archive import visible
from features.sources.base import ListedSource
from features.sources.layout import IMAGE_SUFFIXES, number_labels
from features.sources.tarred import TAR_SUFFIXES, TarArchive

_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")


class Samples(NamedTuple):
    """Where a shard's files are: positions in the archive, by key but for the images.

    The key is a name up to the first dot of its last part: `a/0001` for `a/0001.seg.png`.
    """

    images: dict[str, int]  # by name
    texts: dict[str, int]  # .cls: the label itself
    notes: dict[str, int]  # .json: the label under "label" or "class"
    ignored: int


class WebDatasetSource(ListedSource):
    """The images of one or more shards; ids are `<shard's name>/<image's name in the shard>`.

    Labels come from `<key>.cls` (a number or a name), else from `<key>.json`. Images are sorted
    by id, in a compressed shard they keep its order.
    """

    kind = "webdataset"

    def __init__(self, location: Path, shards: Iterable[TarArchive]) -> None:
        """Read the labels of all samples; `shards` come in the order of their names.

        Raises:
            DataError: a label is no text, or no name or number.
        """
        self._shards: list[TarArchive] = []
        ids: list[str] = []
        names: list[str] = []
        places: list[np.ndarray] = []
        ignored = 0
        for number, shard in enumerate(shards):
            self._shards.append(shard)
            samples = find_samples(shard)
            ignored += samples.ignored
            images = list(samples.images) if shard.sequential else sorted(samples.images)
            ids += [f"{shard_name(shard.path)}/{name}" for name in images]
            names += [_label(shard, samples, name) for name in images]
            positions = np.array([samples.images[name] for name in images], np.int64)
            places.append(np.stack([np.full_like(positions, number), positions], axis=1))
            shard.names.clear()  # millions of them, and not needed any more
        self._places = np.concatenate(places)  # (N, 2): shard, position in it
        self.sequential = any(shard.sequential for shard in self._shards)
        sizes = np.array([self._shards[s].sizes[p] for s, p in self._places], np.int64)
        labels, class_names = number_labels(names)
        splits = np.zeros(len(ids), np.uint8)
        super().__init__(location, ids, labels, splits, sizes, class_names, ignored)

    def read(self, index: int) -> bytes:
        shard, position = self._places[index].tolist()
        return self._shards[shard].read(position)

    def close(self) -> None:
        for shard in self._shards:
            shard.close()


def open_shards(location: Path, paths: Iterable[Path]) -> WebDatasetSource:
    """Return the source over several tars.

    Raises:
        UsageError: there are none, or two of them have the same name.
        DataError: as `TarArchive` and `WebDatasetSource` do.
    """
    by_name: dict[str, Path] = {}
    for path in paths:
        if other := by_name.get(shard_name(path)):
            raise UsageError(f"{other} and {path}: shards need names of their own")
        by_name[shard_name(path)] = path
    if not by_name:
        raise UsageError(f"{location} stands for no shard; expected a rising range, {{000..012}}")
    # "/" is compared too, so that the ids of all shards together are sorted
    ordered = sorted(by_name, key=lambda name: f"{name}/")
    return WebDatasetSource(location, (TarArchive(by_name[name]) for name in ordered))


def is_pattern(path: str) -> bool:
    """Tell whether a path stands for several shards: `name-{000..012}.tar`."""
    return _RANGE.search(path) is not None


def expand(pattern: str) -> Iterator[Path]:
    """Yield the shards that a pattern stands for, numbered as a shell would.

    Raises:
        UsageError: one of them is not there.
    """
    found = _RANGE.search(pattern)
    if found is None:
        if not Path(pattern).is_file():
            raise UsageError(f"there is no shard {pattern}; the pattern names it")
        yield Path(pattern)
        return
    first, last = found.groups()
    padded = any(len(number) > 1 and number[0] == "0" for number in (first, last))
    width = max(len(first), len(last)) if padded else 0
    for number in range(int(first), int(last) + 1):
        yield from expand(f"{pattern[: found.start()]}{number:0{width}}{pattern[found.end() :]}")


def shard_name(path: Path) -> str:
    """Return a tar's file name without its suffix."""
    name = path.name
    ends = [suffix for suffix in TAR_SUFFIXES if name.lower().endswith(suffix)]
    return name[: -len(ends[0])] if ends else name


def find_samples(shard: TarArchive) -> Samples:
    """Sort a shard's files by what they are."""
    samples = Samples({}, {}, {}, 0)
    ignored = 0
    for name, position in visible(shard.names).items():
        key, suffix = _split(name)
        if suffix in IMAGE_SUFFIXES:
            samples.images[name] = position
        elif suffix == ".cls":
            samples.texts[key] = position
        elif suffix == ".json":
            samples.notes[key] = position
        else:
            ignored += 1
    return samples._replace(ignored=ignored)


def is_webdataset(shard: TarArchive) -> bool:
    """Tell whether there are labels beside images: `.cls`, or `.json` that holds one."""
    samples = find_samples(shard)
    keys = [_split(name)[0] for name in samples.images]
    if any(key in samples.texts for key in keys):
        return True
    noted = next((key for key in keys if key in samples.notes), None)
    return noted is not None and bool(_label(shard, samples, f"{noted}.jpg"))


def _split(name: str) -> tuple[str, str]:
    """Return key and suffix: ("a/0001", ".seg.png") for "a/0001.seg.PNG"."""
    folder, slash, base = name.rpartition("/")
    stem, dot, suffix = base.partition(".")
    return f"{folder}{slash}{stem}", f"{dot}{suffix.lower()}"


def _label(shard: TarArchive, samples: Samples, name: str) -> str:
    key = _split(name)[0]
    try:
        if key in samples.texts:
            return shard.read(samples.texts[key]).decode("utf-8-sig").strip()
        if key in samples.notes:
            return _noted(json.loads(shard.read(samples.notes[key])))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{shard.path}: the label of {key!r} cannot be read: {error}") from None
    return ""


def _noted(note: Any) -> str:
    if not isinstance(note, dict):
        return ""
    label = note.get("label", note.get("class"))
    if label is None:
        return ""
    if not isinstance(label, str | int):
        raise ValueError(f"{label!r:.60} is neither a name nor a number")
    return str(label).strip()
