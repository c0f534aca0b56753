"""Which wrongly predicted images a page shows: of every kind of mistake the surest ones."""

from dataclasses import dataclass

import numpy as np

from pipeline.results.ranking import Entry, Ranking

MOST = 12  # images of one kind of mistake, of one candidate
ALL = 3000  # on the whole page: some megabytes


@dataclass(frozen=True)
class Mistakes:
    """Images to show.

    Attributes:
        ids: of the images, each once.
        cells: of each candidate, by true and predicted class: places in `ids`, and how sure the
            candidate was of what it predicted, 0 to 1.
    """

    ids: tuple[str, ...]
    cells: tuple[dict[tuple[int, int], list[tuple[int, float]]], ...]


def choose(ranking: Ranking) -> Mistakes:
    """Choose what to show of each candidate, the recommended one first, then from the best on.

    What is shown for one candidate already is taken first for the next ones, so that many
    candidates need few images, and the same images are seen under different candidates.
    """
    places: dict[int, int] = {}  # row of the predictions -> place on the page
    cells: dict[int, dict[tuple[int, int], list[tuple[int, float]]]] = {}
    first = ranking.recommended
    for rank in (first, *(rank for rank in range(len(ranking.entries)) if rank != first)):
        cells[rank] = _choose(ranking.entries[rank], ranking.labels, places)
    images = ranking.splits.validated
    ids = tuple(ranking.splits.ids[images[row]] for row in places)
    return Mistakes(ids, tuple(cells[rank] for rank in sorted(cells)))


def _choose(
    entry: Entry, labels: np.ndarray, places: dict[int, int]
) -> dict[tuple[int, int], list[tuple[int, float]]]:
    """Choose images of one candidate; new ones get the next places."""
    wrong = np.flatnonzero(entry.predicted != labels)
    sure = entry.probabilities[wrong, entry.predicted[wrong]]
    known = np.isin(wrong, list(places))
    kinds = labels[wrong].astype(np.int64) * entry.probabilities.shape[1] + entry.predicted[wrong]
    order = np.lexsort((-sure, ~known, kinds))
    turns = _turns(kinds[order])
    order, turns = order[turns < MOST], turns[turns < MOST]
    # One of each kind first, then the seconds: so that all kinds are shown where the page is full.
    order = order[np.argsort(turns, kind="stable")]
    cells: dict[tuple[int, int], list[tuple[int, float]]] = {}
    for row, sureness in zip(wrong[order].tolist(), sure[order].tolist(), strict=True):
        if row in places or len(places) < ALL:
            place = places.setdefault(row, len(places))
            kind = int(labels[row]), int(entry.predicted[row])
            cells.setdefault(kind, []).append((place, round(sureness, 3)))
    return {kind: sorted(shown, key=lambda one: -one[1]) for kind, shown in cells.items()}


def _turns(kinds: np.ndarray) -> np.ndarray:
    """Return, of sorted numbers, the how-manieth of its like each is, from 0."""
    return np.arange(len(kinds)) - np.searchsorted(kinds, kinds)
