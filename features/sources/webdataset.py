"""WebDataset: tar shards in which the files of a sample share their name up to the first dot."""

import json
import re
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from features.arguments import as_location
from features.errors import DataError, UsageError
from features.processes.stopping import end_threads
from features.remote.location import is_remote, remote
from features.sources.archive import visible
from features.sources.base import ListedSource
from features.sources.blocks import Block, Span
from features.sources.files import check_regular
from features.sources.kinds import IMAGE_SUFFIXES, is_image_by_content, is_worth_opening, kind_of
from features.sources.layout import number_labels
from features.sources.tarred import TAR_SUFFIXES, TarArchive

_MOST_TEXT_BYTES, _MOST_NOTE_BYTES = 2**16, 2**24  # of a .cls and a .json file
_LISTED_AT_A_TIME = 4  # remote shards
_IMAGE_WORDS = ("input", "inputs", "image", "img")
_LABEL_WORDS = ("outputs", "output", "label", "target")
_RANGE = re.compile(r"\{(\d{1,10})\.\.(\d{1,10})\}")


class Samples(NamedTuple):
    """The files of a shard, by their positions in the archive.

    The key of a sample is its path up to the first dot of the file name: `a/0001` for
    `a/0001.seg.png`. Where no image has a plain suffix, `input.jpg`, `image.jpg` and `img.jpg` are
    images, or all of `<word>.jpg` if there is but one such word; the same holds for `<word>.cls`.

    Attributes:
        images: positions of images, by name.
        texts: positions of `.cls` files, which hold the label itself, by key.
        notes: positions of `.json` files, with the label under "label" or "class", by key.
        others: numbers of other files by kind.
    """

    images: dict[str, int]
    texts: dict[str, int]
    notes: dict[str, int]
    others: Counter[str]


class WebDatasetSource(ListedSource):
    """The images of one or more shards; ids are `<shard's name>/<image's name in the shard>`.

    Labels come from `<key>.cls` (a number or a name), else from `<key>.json`. Images are sorted
    by id; those of a compressed shard keep its order.
    """

    kind = "webdataset"

    def __init__(self, location: Path, shards: Iterable[TarArchive]) -> None:
        """Read the labels of all samples.

        Args:
            location: the path or pattern that the user gave.
            shards: the open shards, in the order of their names.

        Raises:
            DataError: a label is no text, or neither a name nor a number.
        """
        self._shards: list[TarArchive] = []
        self.warnings: list[str] = []
        ids: list[str] = []
        names: list[str] = []
        locations: list[np.ndarray] = []
        passed_over: Counter[str] = Counter()
        for number, shard in enumerate(shards):
            self._shards.append(shard)
            samples = find_samples(shard)
            self.warnings += shard.warnings
            self.is_cut |= shard.is_cut
            passed_over += samples.others
            images = list(samples.images) if shard.sequential else sorted(samples.images)
            ids += [f"{shard_name(shard.path)}/{name}" for name in images]
            names += [_label(shard, samples, name) for name in images]
            positions = np.array([samples.images[name] for name in images], np.int64)
            locations.append(np.stack([np.full_like(positions, number), positions], axis=1))
            shard.forget_names()
        self._locations = np.concatenate(locations)  # (N, 2): shard, position in it
        self.sequential = any(shard.sequential for shard in self._shards)
        self.reading_threads = max(shard.reading_threads for shard in self._shards)
        self.version = " ".join(map(_version, self._shards)).strip()
        sizes = np.array([self._shards[s].sizes[p] for s, p in self._locations], np.int64)
        labels, class_names = number_labels(names)
        splits = np.zeros(len(ids), np.uint8)
        super().__init__(location, ids, labels, splits, sizes, class_names)
        self.passed_over = passed_over

    def read(self, index: int) -> bytes:
        shard, position = self._locations[index].tolist()
        return self._shards[shard].read(position)

    def span(self, index: int) -> Span | None:
        shard, position = self._locations[index].tolist()
        return self._shards[shard].span(position)

    def read_from(self, block: Block, index: int) -> bytes:
        shard, position = self._locations[index].tolist()
        return self._shards[shard].read(position, block=block)

    def close(self) -> None:
        for shard in self._shards:
            shard.close()


def open_shards(location: Path, paths: Iterable[Path]) -> WebDatasetSource:
    """Return the source over several tars.

    Raises:
        UsageError: there are no shards, or two of them have the same name.
        DataError: as `TarArchive` and `WebDatasetSource`.
    """
    by_name: dict[str, Path] = {}
    for path in paths:
        if other := by_name.get(shard_name(path)):
            raise UsageError(f"{other} and {path}: shards need names of their own")
        by_name[shard_name(path)] = _found(path)
    if not by_name:
        raise UsageError(f"{location} stands for no shard; expected a rising range, {{000..012}}")
    # "/" is compared too, so that the ids of all shards together are in order
    ordered = sorted(by_name, key=lambda name: f"{name}/")
    return WebDatasetSource(location, _opened([by_name[name] for name in ordered]))


def _opened(paths: Sequence[Path]) -> Iterator[TarArchive]:
    """Yield tars in order; of remote ones some are listed at a time, as all of each passes by."""
    at_a_time = _LISTED_AT_A_TIME if is_remote(paths[0]) else 1
    pool, coming = ThreadPoolExecutor(at_a_time, "list"), deque[Future[TarArchive]]()
    try:
        for path in paths:
            coming.append(pool.submit(TarArchive, path))
            if len(coming) >= at_a_time:
                yield coming.popleft().result()
        while coming:
            yield coming.popleft().result()
    finally:
        end_threads(pool)


def is_pattern(path: str) -> bool:
    """Tell whether a path stands for several shards: `name-{000..012}.tar`."""
    return _RANGE.search(path) is not None


def expand(pattern: str) -> Iterator[Path]:
    """Yield the shards that a pattern stands for, numbered as a shell would.

    Raises:
        UsageError: one of the shards does not exist.
    """
    match = _RANGE.search(pattern)
    if match is None:
        yield _found(as_location(pattern, "source"))
        return
    first, last = match.groups()
    padded = any(len(number) > 1 and number[0] == "0" for number in (first, last))
    width = max(len(first), len(last)) if padded else 0
    for number in range(int(first), int(last) + 1):
        yield from expand(f"{pattern[: match.start()]}{number:0{width}}{pattern[match.end() :]}")


def _found(path: Path) -> Path:
    """Return a shard that is there; a remote one is then the object that it is now."""
    address = remote(path)
    try:
        if address is not None:
            return address.pinned()  # type: ignore[return-value] # it stands for a path
        is_there = path.is_file()
    except FileNotFoundError:
        is_there = False
    if not is_there:
        raise UsageError(f"there is no shard {path}; the pattern names it")
    check_regular(path)
    return path


def _version(shard: TarArchive) -> str:
    address = remote(shard.path)
    return "" if address is None else address.stat().version


def shard_name(path: Path) -> str:
    """Return a tar's file name without its suffix."""
    name = path.name
    ends = [suffix for suffix in TAR_SUFFIXES if name.lower().endswith(suffix)]
    return name[: -len(ends[0])] if ends else name


def find_samples(shard: TarArchive) -> Samples:
    """Sort a shard's files into images, texts and notes."""
    samples = Samples({}, {}, {}, Counter())
    members = visible(shard.names)
    suffixes = {name: _split(name)[1] for name in members}
    image_suffixes = _chosen(suffixes.values(), IMAGE_SUFFIXES, _IMAGE_WORDS)
    label_suffixes = _chosen(suffixes.values(), (".cls",), _LABEL_WORDS)
    for name, position in members.items():
        key, suffix = _split(name)
        if suffix in image_suffixes or _is_image_by_content(shard, name, position):
            samples.images[name] = position
        elif suffix in label_suffixes:
            samples.texts[key] = position
        elif suffix == ".json":
            samples.notes[key] = position
        else:
            samples.others[suffix or "without a suffix"] += 1
    return samples


def _chosen(suffixes: Iterable[str], plain: tuple[str, ...], words: tuple[str, ...]) -> set[str]:
    """Return the suffixes of images or labels: plain ones, else those with a word before them."""
    known = set(suffixes)
    if chosen := known & set(plain):
        return chosen
    compound = {suffix for suffix in known if suffix[suffix.rfind(".") :] in plain}
    by_word = {word: {s for s in compound if s[: s.rfind(".")] == f".{word}"} for word in words}
    first = next((of_word for of_word in by_word.values() if of_word), None)
    if first is not None:
        return first
    return compound if len({suffix[: suffix.rfind(".")] for suffix in compound}) == 1 else set()


def _is_image_by_content(shard: TarArchive, name: str, position: int) -> bool:
    """Tell whether a file with a plain suffix that is no image's is one: `0001.avif`, `0001`."""
    if "." in _split(name)[1][1:] or kind_of(name) in IMAGE_SUFFIXES or not is_worth_opening(name):
        return False
    return is_image_by_content(name, shard.head(position))


def is_webdataset(shard: TarArchive) -> bool:
    """Tell whether there are labels beside images: a `.cls`, or a `.json` that holds a label."""
    samples = find_samples(shard)
    keys = [_split(name)[0] for name in samples.images]
    if any(key in samples.texts for key in keys):
        return True
    with_note = next((key for key in keys if key in samples.notes), None)
    return with_note is not None and bool(_label(shard, samples, f"{with_note}.jpg"))


def _split(name: str) -> tuple[str, str]:
    """Return key and suffix: ("a/0001", ".seg.png") for "a/0001.seg.PNG"."""
    folder, slash, base = name.rpartition("/")
    stem, dot, suffix = base.partition(".")
    return f"{folder}{slash}{stem}", f"{dot}{suffix.lower()}"


def _label(shard: TarArchive, samples: Samples, name: str) -> str:
    key = _split(name)[0]
    try:
        if key in samples.texts:
            text = _read_small(shard, samples.texts[key], _MOST_TEXT_BYTES)
            return text.decode("utf-8-sig").strip()
        if key in samples.notes:
            note = _read_small(shard, samples.notes[key], _MOST_NOTE_BYTES)
            return _label_of_note(json.loads(note))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{shard.path}: the label of {key!r} cannot be read: {error}") from None
    return ""


def _read_small(shard: TarArchive, position: int, most: int) -> bytes:
    if shard.sizes[position] > most:
        raise ValueError(f"its file is larger than {most:,} bytes")
    return shard.read(position, is_image=False)


def _label_of_note(note: Any) -> str:
    if not isinstance(note, dict):
        return ""
    label = note.get("label", note.get("class"))
    if label is None:
        return ""
    if not isinstance(label, str | int):
        raise ValueError(f"{label!r:.60} is neither a name nor a number")
    str(label).encode()  # a lone surrogate is a ValueError, as no file can hold it
    return str(label).strip()
