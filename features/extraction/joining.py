"""Feature files of one recipe, read one after the other as one file."""

import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from features.errors import DataError
from features.records import JOINED, SHARDED, SINGLE, UNLABELLED, Recipe, blake2b
from features.sources.layout import number_labels
from features.sources.reading import Reading
from features.storage.checked import CheckedFile
from features.storage.facts import Part
from features.storage.row_blocks import Rows, Size
from features.storage.texts import Texts

_SUMS = ("seconds", "images_this_run")  # of the provenance


class JoinedFiles:
    """Several feature files, read as a `CheckedFile` is: their rows in the order of the files.

    Attributes:
        path: the path of the first.
        class_names: those of the files where all have the same, else those of all in their order.
        recipe: that of the files, but for the source, whose fingerprint covers theirs.
    """

    def __init__(self, files: Sequence[CheckedFile]) -> None:
        """Compare the files.

        Raises:
            DataError: they differ in a setting or in their columns, an id is there twice, or a
                file is damaged.
        """
        self._files, self.path = files, files[0].path
        for file in files[1:]:
            _check_alike(files[0], file)
        for file in files:
            file.labels  # noqa: B018 - which are checked
        _check_distinct(files)
        self._labels, self.class_names = _numbered([file.class_names for file in files])
        self.recipe = self._recipe()

    def __len__(self) -> int:
        return sum(map(len, self._files))

    @property
    def layout(self) -> str:
        """The layout that all have; "sharded" where they differ."""
        return SINGLE if {file.layout for file in self._files} == {SINGLE} else SHARDED

    @property
    def row_bytes(self) -> int:
        """What the features of a row take."""
        return self._files[0].row_bytes

    @property
    def size(self) -> Size:
        """The space that all rows need in one file."""
        return Size.of_all(file.size for file in self._files)

    @property
    def origin(self) -> str:
        """What identifies the content of all, 32 hex digits."""
        return blake2b(" ".join(file.origin for file in self._files).encode()).hex()

    def ranges(self, step: int) -> list[tuple[int, int]]:
        """Return the rows of each block that `row_blocks` yields, as `CheckedFile` does."""
        found, at = [], 0
        for file in self._files:
            found += [(at + start, at + stop) for start, stop in file.ranges(step)]
            at += len(file)
        return found

    def row_blocks(self, step: int) -> Iterator[Rows]:
        """Yield all rows as `CheckedFile` does, with their labels among all classes.

        Raises:
            DataError: a file is damaged.
        """
        for file, labels in zip(self._files, self._labels, strict=True):
            for rows in file.row_blocks(step):
                yield replace(rows, labels=labels[rows.labels])  # -1 takes the last

    def copied_attributes(self) -> dict[str, Any]:
        """Return the attributes of the file that all are joined to."""
        notes = sum((Counter(file.notes) for file in self._files), Counter())
        parts = [asdict(part) for file in self._files for part in file.parts or (_part(file),)]
        return {
            "class_names": json.dumps(self.class_names),
            "recipe": self.recipe.to_json(),
            "recipe_digest": self.recipe.digest,
            "provenance": json.dumps(self._provenance()),
            "notes": json.dumps(notes),
            "parts": json.dumps(parts),
        }

    def _recipe(self) -> Recipe:
        sources = [file.recipe.source for file in self._files]
        text = json.dumps([sources, self.class_names], sort_keys=True)
        source = {
            "kind": JOINED,
            "count": sum(source["count"] for source in sources),
            "fingerprint": blake2b(text.encode()).hex(),
        }
        return replace(self._files[0].recipe, source=source)

    def _provenance(self) -> dict[str, Any]:
        every = [file.provenance for file in self._files]
        licences = dict.fromkeys(values.get("licence", "") for values in every)
        found: dict[str, Any] = {
            "created": time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime()),
            "licence": "; ".join(filter(None, licences)),
        }
        if all(values.get(name) is not None for values in every for name in _SUMS):
            found |= {name: sum(values[name] for values in every) for name in _SUMS}
        readings = [reading for file in self._files if (reading := file.source_reading)]
        if len(readings) == len(every):
            found["reading"] = _reading(readings, self.class_names).to_dict()
        return found


def _check_alike(first: CheckedFile, other: CheckedFile) -> None:
    """Raise DataError where two files differ in more than their images."""
    if found := first.recipe.differences(replace(other.recipe, source=first.recipe.source)):
        raise DataError(
            f"{other.path} was made with other settings than {first.path} ({'; '.join(found)}), "
            "and cannot be joined to it"
        )
    if first.columns != other.columns:
        ours, others = (", ".join(file.columns) or "none" for file in (first, other))
        raise DataError(
            f"{other.path} has other columns than {first.path} ({ours} -> {others}), and cannot "
            "be joined to it"
        )


def _check_distinct(files: Sequence[CheckedFile]) -> None:
    """Raise DataError where an id occurs twice; eight bytes are held of each."""
    hashes = np.empty(sum(sum(file.size.counts.values()) for file in files), np.uint64)
    at = 0
    for ids in (ids for file in files for ids in _ids_of(file)):
        hashes[at : at + len(ids)] = ids.hashes()
        at += len(ids)
    hashes.sort()
    alike = hashes[1:][hashes[1:] == hashes[:-1]]
    if not len(alike):
        return
    found = [ids[np.isin(ids.hashes(), alike)] for file in files for ids in _ids_of(file)]
    ids = Texts.joined(found)
    ids = ids[ids.order()]
    again = np.flatnonzero(ids[1:].equals(ids[:-1]))
    if len(again):
        example = ids[int(again[0])]
        having = [file for file in files for ids in _ids_of(file) if example in ids]
        occur = "id occurs" if len(again) == 1 else "ids occur"
        raise DataError(
            f"{len(again):,} {occur} more than once, such as {example} in "
            f"{' and '.join(str(file.path) for file in having[:2])}; the id of an image is its "
            "own, so that these files cannot be joined"
        )


def _ids_of(file: CheckedFile) -> tuple[Texts, Texts]:
    return file.ids, Texts.of(image for image, _ in file.rejected)


def _numbered(every: Sequence[tuple[str, ...]]) -> tuple[list[np.ndarray], tuple[str, ...]]:
    """Return the number that each class of a file has among all, and last -1: int32; and all."""
    if len({*every}) == 1:
        numbers, names = [np.arange(len(every[0]))] * len(every), every[0]
    else:
        together, names = number_labels([name for names in every for name in names])
        numbers = np.split(together, np.cumsum([len(names) for names in every])[:-1])
    return [np.append(each, UNLABELLED).astype(np.int32) for each in numbers], names


def _part(file: CheckedFile) -> Part:
    provenance = {name: value for name, value in file.provenance.items() if name != "reading"}
    rejected = len(file.rejected)
    return Part(len(file), rejected, file.recipe.source, file.origin, provenance)


def _reading(readings: Sequence[Reading], class_names: Sequence[str]) -> Reading:
    """Return how all sources were read together."""

    def total(counts: Sequence[Mapping[str, int]]) -> dict[str, int]:
        return dict(sum(map(Counter, counts), Counter[str]()))

    classes = total([reading.classes for reading in readings])
    return Reading(
        {name: classes.get(name, 0) for name in class_names},
        total([reading.splits for reading in readings]),
        sum(reading.unlabelled for reading in readings),
        total([reading.passed_over for reading in readings]),
        tuple(dict.fromkeys(name for reading in readings for name in reading.not_read)),
        tuple(dict.fromkeys(text for reading in readings for text in reading.warnings)),
    )
