"""Everything that a report shows, collected from what the stages left in results folders."""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from features.errors import DataError
from features.store import FeatureFile
from pipeline.data import duplicates
from pipeline.data.duplicates import Duplicates
from pipeline.results import evaluation, mistakes, openings, thumbnails
from pipeline.results.comparison import Comparison
from pipeline.results.mistakes import Mistakes
from pipeline.results.openings import Opening
from pipeline.results.thumbnails import ImageLookup, Thumbnails

log = logging.getLogger("offshelf")

HISTORY, ADVICE = "history.json", "advice.json"
SCHEMA = 1  # of histories
PAIRS = 12  # of duplicates that are shown as images


@dataclass(frozen=True)
class Source:
    """A feature file that candidates learned from.

    Attributes:
        path: where it lies.
        recipe: as records have it.
        location: of its images; None where nobody knows.
        rejected: id and reason of each image that gave no row.
        problem: why the file could not be read, else empty.
    """

    path: Path
    recipe: dict[str, Any]
    location: str | None
    rejected: tuple[tuple[str, str], ...]
    problem: str


@dataclass(frozen=True)
class Report:
    """Everything that the page shows; candidates go by their rank, 0 for the best.

    Attributes:
        comparison: of all candidates on validation.
        tests: what the locked test said, as `test.json` holds it, by rank.
        openings: of the locked test in each results folder.
        twins: images with a twin in another part, by results folder.
        sources: the feature files.
        histories: of trained networks, the rounds of `history.json`, by rank.
        advice: of `advice.json`, empty where there is none.
        mistakes: the images to show.
        thumbnails: of these, and of the most similar duplicates.
    """

    comparison: Comparison
    tests: dict[int, dict[str, Any]]
    openings: dict[Path, tuple[Opening, ...]]
    twins: dict[Path, Duplicates]
    sources: tuple[Source, ...]
    histories: dict[int, list[dict[str, Any]]]
    advice: dict[str, Any]
    mistakes: Mistakes
    thumbnails: Thumbnails


def gather(
    comparison: Comparison, features: Sequence[Path] = (), images: Path | None = None
) -> Report:
    """Collect what the stages left in the results folders; arguments and errors as of `write`."""
    folders = dict.fromkeys(comparison.config.results)
    entries = comparison.ranking.entries
    twins = {folder: duplicates.read(folder) for folder in folders if _has(folder, duplicates.FILE)}
    sources = _sources(comparison, features)
    chosen = mistakes.choose(comparison.ranking)
    tests = {rank: evaluation.stored(one.folder, one.record) for rank, one in enumerate(entries)}
    return Report(
        comparison,
        {rank: facts for rank, facts in tests.items() if facts is not None},
        {folder: openings.read(folder) for folder in folders},
        twins,
        sources,
        {
            rank: _history(one.folder)
            for rank, one in enumerate(entries)
            if _has(one.folder, HISTORY)
        },
        next((_advice(folder) for folder in folders if _has(folder, ADVICE)), {}),
        chosen,
        _thumbnails(chosen, twins, _origin(comparison, sources, images)),
    )


def _has(folder: Path, name: str) -> bool:
    return (folder / name).is_file()


def _sources(comparison: Comparison, moved: Sequence[Path]) -> tuple[Source, ...]:
    """Return the feature files of all records, each once."""
    inputs = [entry.record.inputs for entry in comparison.ranking.entries]
    found = {(one["file"], one["recipe_digest"]): one for one in inputs if "recipe_digest" in one}
    return tuple(_source(one, moved) for _, one in sorted(found.items()))


def _source(inputs: dict[str, Any], moved: Sequence[Path]) -> Source:
    """Look for a feature file where it was, then where it may lie now."""
    was, problem = Path(inputs["file"]), ""
    for path in (was, *moved):
        try:
            with FeatureFile(path) as file:
                if file.recipe.digest == inputs["recipe_digest"]:
                    provenance = json.loads(str(file.attributes.get("provenance", "{}")))
                    location, rejected = provenance.get("source"), tuple(file.rejected)
                    return Source(path, inputs["recipe"], location, rejected, "")
            problem = problem or f"{path} was made by another recipe since"
        except DataError as error:
            problem = problem or str(error)
    return Source(was, inputs["recipe"], None, (), f"{problem}; say with --features where it lies")


def _origin(comparison: Comparison, sources: Sequence[Source], images: Path | None) -> ImageLookup:
    """Return where the images are: by a feature file, else as networks learned from them."""
    for source in sources:
        if not source.problem:
            return ImageLookup.of_features(source.path, images)
    inputs = [entry.record.inputs for entry in comparison.ranking.entries]
    named = next((one["source"] for one in inputs if "source" in one), None)
    return ImageLookup(images or (Path(named) if named else None), {})


def _thumbnails(chosen: Mistakes, twins: dict[Path, Duplicates], origin: ImageLookup) -> Thumbnails:
    pairs = [pair for found in twins.values() for pair in found.pairs(PAIRS)]
    ids = dict.fromkeys([*chosen.ids, *(pair[key] for pair in pairs for key in ("id", "twin"))])
    found = thumbnails.thumbnails(origin, list(ids))
    for line in thumbnails.summary(found.lost, len(ids)):
        log.warning("%s", line)
    return found


def _history(folder: Path) -> list[dict[str, Any]]:
    """Return the rounds of a network's training."""
    facts = _json(folder / HISTORY)
    try:
        if facts["schema"] != SCHEMA:
            raise ValueError(f"its schema is {facts['schema']}, this version reads {SCHEMA}")
        return [{"name": str(one["name"]), "epochs": [*one["epochs"]]} for one in facts["rounds"]]
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{folder / HISTORY} cannot be read as a history: {error}") from None


def _advice(folder: Path) -> dict[str, Any]:
    facts = _json(folder / ADVICE)
    if not isinstance(facts, dict):
        raise DataError(f"{folder / ADVICE} holds no advice; run `advise` again")
    return facts


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {error}") from None
