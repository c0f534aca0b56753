"""How the names, labels, splits and columns of a source differ from those of a feature file."""

from collections.abc import Sequence

import numpy as np

from features.records import UNLABELLED
from features.sources.base import Source
from features.storage.row_blocks import COLUMN_GROUP
from features.storage.store import FeatureFile
from features.storage.texts import Texts

_UNKNOWN = -2  # the number of a class that the file does not have


def listing_changes(source: Source, file: FeatureFile) -> list[str]:
    """Return a phrase for each way in which names, labels, splits and columns differ."""
    ids, stored, rejected = source.ids, file.ids, Texts.of(image for image, _ in file.rejected)
    rows, rejections = stored.places_of(ids), rejected.places_of(ids)
    images = np.flatnonzero(rows >= 0)
    rows_of_images = rows[images]
    gone = Texts.joined([_without(stored, rows), _without(rejected, rejections)])
    relabelled = _labels_in(file, source)[images] != file.labels[rows_of_images]
    moved = ~relabelled & (source.splits[images] != file.splits[rows_of_images])
    phrases = [
        phrase(gone[gone.order()], "has gone", "have gone"),
        phrase(ids[(rows < 0) & (rejections < 0)], "is new", "are new"),
        phrase(ids[images[relabelled]], "has another label", "have other labels"),
        phrase(ids[images[moved]], "is in another split", "are in other splits"),
    ]
    if file.class_names != source.class_names:
        phrases.append(f"classes {', '.join(file.class_names)} -> {', '.join(source.class_names)}")
    if file.columns != tuple(source.columns):
        phrases.append(f"columns {', '.join(file.columns)} -> {', '.join(source.columns)}")
    else:
        for column, texts in source.columns.items():
            before = Texts.of_bytes(file.blocks(f"{COLUMN_GROUP}/{column}"))[rows_of_images]
            changed = images[~before.equals(Texts.of(texts)[images])]
            phrases.append(phrase(ids[changed], f"has another {column}", f"have other {column}"))
    return [text for text in phrases if text]


def phrase(names: Sequence[str], singular: str, plural: str) -> str:
    """Return "a.png has changed", or "3 images, such as a.png, have changed"; "" for none."""
    if not names:
        return ""
    if len(names) == 1:
        return f"{names[0]} {singular}"
    return f"{len(names)} images, such as {names[0]}, {plural}"


def _without(texts: Texts, numbers: np.ndarray) -> Texts:
    """Return texts but those of some numbers, of which -1 is none."""
    stays = np.ones(len(texts) + 1, bool)
    stays[numbers] = False
    return texts[stays[:-1]]


def _labels_in(file: FeatureFile, source: Source) -> np.ndarray:
    """Return the labels of a source as the numbers that a file has for these classes: int (N,)."""
    numbers = {name: number for number, name in enumerate(file.class_names)}
    known = [numbers.get(name, _UNKNOWN) for name in source.class_names]
    return np.array([*known, UNLABELLED])[source.labels]  # -1 takes the last
