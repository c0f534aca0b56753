"""The content of a report: everything that the stages left in results folders."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from features.arguments import as_location
from features.disk import documents
from features.disk.documents import Share, Whole
from features.errors import DataError
from features.sources.reading import Reading
from features.storage.store import FeatureFile
from pipeline.data import duplicates
from pipeline.data.duplicates import Duplicates
from pipeline.data.layers import parts_of
from pipeline.results import evaluation, history, mistakes, openings, thumbnails
from pipeline.results.comparison import Comparison
from pipeline.results.entries import Entry
from pipeline.results.mistakes import Mistakes
from pipeline.results.openings import Opening
from pipeline.results.thumbnails import ImageLookup, Thumbnails

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger("offshelf")

ADVICE = "advice.json"
PAIRS = 12  # pairs of duplicates that are shown as images


@dataclass(frozen=True)
class Source:
    """A feature file that candidates learned from.

    Attributes:
        path: the path of the file.
        recipe: its recipe, as records have it.
        location: the source of its images; None where it is not known.
        options: the options by which that was read, as `FeatureFile.source_options`.
        notes: the numbers of images of which something was guessed, as `FeatureFile.notes`.
        rejected: id and reason of each image that gave no row.
        problem: why the file could not be read, else empty.
        reading: how the source was read; None where it is not known.
    """

    path: Path
    recipe: dict[str, Any]
    location: str | None
    rejected: tuple[tuple[str, str], ...]
    problem: str
    reading: Reading | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    notes: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class EvidencePictures:
    """Pictures of where one candidate sees evidence in images that it got wrong.

    Attributes:
        rank: the candidate.
        pictures: by an image's place in `Mistakes.ids`: a WebP file, and a sentence on it.
        note: how they were made, or why there are none; in one line.
    """

    rank: int
    pictures: dict[int, tuple[bytes, str]]
    note: str


@dataclass(frozen=True, repr=False)
class Report:
    """Everything that the page shows; candidates go by their rank, 0 for the best.

    Attributes:
        path: the HTML file.
        comparison: all candidates on validation.
        tests: the results on the locked test, as `test.json` holds them, by rank.
        openings: the openings of the locked test in each results folder.
        uncounted: sentences on results of the test that a list of openings does not have.
        duplicates: images with a duplicate in another split, by results folder.
        sources: the feature files.
        histories: of trained networks, the rounds of `history.json`, by rank.
        advice: the content of `advice.json`, empty where there is none.
        mistakes: the images to show.
        thumbnails: small images of these, and of the most similar duplicates.
        lookup: where the images are.
        evidence: pictures of the evidence in some of the mistakes; None where none were asked for.
    """

    path: Path
    comparison: Comparison
    tests: dict[int, dict[str, Any]]
    openings: dict[Path, tuple[Opening, ...]]
    uncounted: tuple[str, ...]
    duplicates: dict[Path, Duplicates]
    sources: tuple[Source, ...]
    histories: dict[int, list[dict[str, Any]]]
    advice: dict[str, Any]
    mistakes: Mistakes
    thumbnails: Thumbnails
    lookup: ImageLookup
    evidence: EvidencePictures | None = None

    def frame(self) -> "pd.DataFrame":
        """Return a row for each candidate, best first, with the columns of comparison.csv."""
        return self.comparison.frame()

    def __repr__(self) -> str:
        return f"Report {self.path}\n{self.comparison!r}"

    def _repr_html_(self) -> str:
        return f"<p>{escape(str(self.path))}</p>\n{self.comparison._repr_html_()}"


def gather(
    path: Path, comparison: Comparison, features: Sequence[Path] = (), images: Path | None = None
) -> Report:
    """Collect what the stages left in the results folders.

    Args:
        path: the HTML file that is to be written.
        comparison: the candidates.
        features: paths of feature files that have moved since.
        images: the source of the images, if it has moved since.

    Raises:
        DataError: a file of the results folders cannot be read.
    """
    folders = dict.fromkeys(comparison.config.results)
    openings.warn_of_uncounted(*folders)
    entries = comparison.ranking.entries
    listed = {
        folder: duplicates.read(folder) for folder in folders if _has(folder, duplicates.FILE)
    }
    sources = _sources(comparison, features)
    shown = mistakes.choose(comparison.ranking)
    tests = {rank: _test(entry) for rank, entry in enumerate(entries)}
    lookup = _image_lookup(comparison, sources, images)
    return Report(
        path,
        comparison,
        {rank: facts for rank, facts in tests.items() if facts is not None},
        {folder: openings.read(folder) for folder in folders},
        tuple(filter(None, map(openings.uncounted, folders))),
        listed,
        sources,
        {
            rank: history.read(entry.folder)
            for rank, entry in enumerate(entries)
            if _has(entry.folder, history.FILE)
        },
        next((_advice(folder) for folder in folders if _has(folder, ADVICE)), {}),
        shown,
        _thumbnails(shown, listed, lookup),
        lookup,
    )


def _test(entry: Entry) -> dict[str, Any] | None:
    """Return the result on the locked test of a candidate as it decides now."""
    facts = evaluation.stored(entry.folder, entry.record)
    if facts is None or facts.get("threshold", {}) == entry.record.threshold:
        return facts
    log.warning(
        "%s: its threshold is another than that of its result on the locked test, which is left "
        "out; `evaluate` computes it anew and opens nothing", entry.label,
    )  # fmt: skip
    return None


def _has(folder: Path, name: str) -> bool:
    return (folder / name).is_file()


def _sources(comparison: Comparison, moved: Sequence[Path]) -> tuple[Source, ...]:
    """Return the feature files of all records, each once."""
    distinct = {
        (inputs["file"], inputs["recipe_digest"]): inputs
        for entry in comparison.ranking.entries
        for inputs in parts_of(entry.record.inputs)
        if "recipe_digest" in inputs
    }
    return tuple(_source(inputs, moved) for _, inputs in sorted(distinct.items()))


def _source(inputs: dict[str, Any], moved: Sequence[Path]) -> Source:
    """Look for a feature file at the path in the record, then at those that were given."""
    recorded, problem = as_location(inputs["file"], "file"), ""
    for path in (recorded, *moved):
        try:
            with FeatureFile(path) as file:
                if file.recipe.digest == inputs["recipe_digest"]:
                    return Source(
                        path, inputs["recipe"], file.provenance.get("source"),
                        tuple(file.rejected), "", file.source_reading, file.source_options or {},
                        file.notes,
                    )  # fmt: skip
            problem = problem or f"{path} was made by another recipe since"
        except DataError as error:
            problem = problem or str(error)
    return Source(
        recorded, inputs["recipe"], None, (), f"{problem}; say with --features where it lies"
    )


def _image_lookup(
    comparison: Comparison, sources: Sequence[Source], images: Path | None
) -> ImageLookup:
    """Return how to find the images: by a feature file, else by the source of a network."""
    for source in sources:
        if not source.problem:
            return ImageLookup.of_features(source.path, images)
    inputs = [entry.record.inputs for entry in comparison.ranking.entries]
    named = next((facts["source"] for facts in inputs if "source" in facts), None)
    return ImageLookup(images or (Path(named) if named else None), {})


def _thumbnails(shown: Mistakes, listed: dict[Path, Duplicates], lookup: ImageLookup) -> Thumbnails:
    pairs = [pair for table in listed.values() for pair in table.pairs(PAIRS)]
    ids = dict.fromkeys([*shown.ids, *(pair[key] for pair in pairs for key in ("id", "twin"))])
    small = thumbnails.thumbnails(lookup, list(ids))
    for line in thumbnails.summary(small.lost, len(ids)):
        log.warning("%s", line)
    return small


@dataclass(frozen=True)
class _Point:
    """An accuracy on a layer, 0 to 1."""

    layer: str
    accuracy: Share
    low: Share
    high: Share


@dataclass(frozen=True)
class _CurvePoint(_Point):
    rows: Whole


@dataclass(frozen=True)
class _Recommendation:
    command: str
    reason: str


@dataclass(frozen=True)
class _Advice:
    """What pages show of `advice.json`."""

    recommendation: _Recommendation
    learning_curve: tuple[_CurvePoint, ...] = ()
    layers: tuple[_Point, ...] = ()


def _advice(folder: Path) -> dict[str, Any]:
    facts: dict[str, Any] = documents.load(folder / ADVICE)
    documents.convert(facts, _Advice, str(folder / ADVICE))
    return facts
