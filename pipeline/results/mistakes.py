"""The wrongly predicted images that a page shows: the surest of every kind of mistake."""

from dataclasses import dataclass

import numpy as np

from pipeline.results.entries import Entry
from pipeline.results.ranking import Ranking

MOST = 12  # images of each kind of mistake of each candidate
ALL = 3000  # images on the whole page, some megabytes


@dataclass(frozen=True)
class Mistake:
    """An image that a candidate got wrong.

    Attributes:
        place: its place in `Mistakes.ids`.
        image: its id.
        true, predicted: the numbers of its class, and of the one that it was taken for.
    """

    place: int
    image: str
    true: int
    predicted: int


@dataclass(frozen=True)
class Mistakes:
    """Images to show.

    Attributes:
        ids: the ids of the images, each once.
        cells: for each candidate, by true and predicted class: places in `ids`, and the
            calibrated probability (by the record's temperature) of the predicted class.
    """

    ids: tuple[str, ...]
    cells: tuple[dict[tuple[int, int], list[tuple[int, float]]], ...]

    def telling(self, rank: int) -> list[Mistake]:
        """Return the mistakes of a candidate: the surest of each kind, then the second of each."""
        listed = [
            (turn, -sureness, Mistake(place, self.ids[place], true, predicted))
            for (true, predicted), shown in self.cells[rank].items()
            for turn, (place, sureness) in enumerate(shown)
        ]
        listed.sort(key=lambda each: each[:2])
        return [mistake for _, _, mistake in listed]


def choose(ranking: Ranking) -> Mistakes:
    """Choose images for each candidate, the recommended one first, then from the best on.

    Images that are shown for a candidate already are preferred for the next ones, so that many
    candidates need few images, and can be compared on the same images.
    """
    places: dict[int, int] = {}  # row of the predictions -> place on the page
    cells: dict[int, dict[tuple[int, int], list[tuple[int, float]]]] = {}
    first = ranking.shown
    for rank in (first, *(rank for rank in range(len(ranking.entries)) if rank != first)):
        cells[rank] = _choose(ranking.entries[rank], ranking.labels, places)
    images = ranking.splits.validated
    ids = tuple(ranking.splits.ids[images[row]] for row in places)
    return Mistakes(ids, tuple(cells[rank] for rank in sorted(cells)))


def _choose(
    entry: Entry, labels: np.ndarray, places: dict[int, int]
) -> dict[tuple[int, int], list[tuple[int, float]]]:
    """Choose images of a candidate in its first repeat, and give places to new ones."""
    wrong = np.flatnonzero(entry.predicted != labels)
    sure = entry.calibrated[wrong, entry.predicted[wrong]]
    known = np.isin(wrong, list(places))
    classes = entry.probabilities.shape[2]
    kinds = labels[wrong].astype(np.int64) * classes + entry.predicted[wrong]
    order = np.lexsort((-sure, ~known, kinds))
    turns = _turns(kinds[order])
    order, turns = order[turns < MOST], turns[turns < MOST]
    # The first of each kind, then the second: all kinds are shown even where the page gets full.
    order = order[np.argsort(turns, kind="stable")]
    cells: dict[tuple[int, int], list[tuple[int, float]]] = {}
    for row, sureness in zip(wrong[order].tolist(), sure[order].tolist(), strict=True):
        if row in places or len(places) < ALL:
            place = places.setdefault(row, len(places))
            kind = int(labels[row]), int(entry.predicted[row])
            cells.setdefault(kind, []).append((place, round(sureness, 3)))
    return {kind: sorted(shown, key=lambda image: -image[1]) for kind, shown in cells.items()}


def _turns(kinds: np.ndarray) -> np.ndarray:
    """Return the rank of each number among equal ones, from 0, in a sorted array."""
    return np.arange(len(kinds)) - np.searchsorted(kinds, kinds)
