"""The report stage: results folders in, one HTML file out that needs no other file."""

import dataclasses
import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from features.disk import durable
from features.errors import OffshelfError, UsageError
from pipeline.config import CompareConfig, ReportConfig
from pipeline.data.splits import Splits
from pipeline.predictors.mistakes_explained import Explained, explain_mistakes
from pipeline.reports.overlays import overlay
from pipeline.reports.report import html
from pipeline.results.comparison import Comparison, judge
from pipeline.results.entries import Entry
from pipeline.results.in_stores import in_stores
from pipeline.results.ranking import rank_candidates
from pipeline.results.report import EvidencePictures, Report, gather

log = logging.getLogger("offshelf")

_SIDE = 224  # pixels of the longer side of an image and of its evidence
_BYTES = 2_000_000  # of all pictures of evidence on a page, at most


@in_stores(reads=("results",), files=("out",))
def run(config: ReportConfig) -> Report:
    """Compare the candidates of results folders, and write all of it as a page.

    Raises:
        UsageError: an unknown metric, no candidate, folders with different splits, or a place
            that cannot be written to.
        DataError: a record or predictions cannot be read, or do not belong to the splits.
    """
    ranking = rank_candidates(config.results, config.metric, config.give_up)
    _prepare(config.out)
    compared = CompareConfig(
        config.results,
        None,
        config.metric,
        config.resamples,
        config.confidence,
        config.seed,
        config.give_up,
    )
    comparison = judge(ranking, compared)
    report = gather(config.out, comparison, config.features, config.images)
    if config.evidence:
        report = dataclasses.replace(report, evidence=_evidence(report, config))
    durable.write(config.out, html(report, config.paths).encode())
    return report


def write(
    comparison: Comparison, out: Path, features: Sequence[Path] = (), images: Path | None = None
) -> Report:
    """Write the page of a comparison, without pictures of the evidence in mistakes.

    Args:
        comparison: as `compare.run` or `results.comparison.judge` returns it.
        out: the HTML file.
        features: paths of feature files that have moved since.
        images: the source of the images, if it has moved since.

    Raises:
        UsageError: `out` cannot be written to.
        DataError: a file of the results folders cannot be read.
    """
    _prepare(out)
    report = gather(out, comparison, features, images)
    durable.write(out, html(report).encode())
    return report


def _evidence(report: Report, config: ReportConfig) -> EvidencePictures:
    """Return pictures of where the shown candidate sees evidence in images that it got wrong."""
    rank = report.comparison.ranking.shown
    entry = report.comparison.ranking.entries[rank]
    at_hand = [m for m in report.mistakes.telling(rank) if m.image in report.thumbnails.encoded]
    recipe = entry.record.inputs.get("recipe")
    files = [s.path for s in report.sources if not s.problem and s.recipe == recipe]
    pictures: dict[int, tuple[bytes, str]] = {}
    methods, size = Counter[str](), 0
    try:
        for explained in explain_mistakes(
            entry.folder.parent, entry.record, at_hand[: config.evidence], report.lookup,
            next(iter(files), None), config.progress,
        ):  # fmt: skip
            picture = overlay(explained.pixels, explained.explanation.shown, _SIDE, "WEBP")
            if (size := size + len(picture)) > _BYTES:
                break
            methods[explained.explanation.method] += 1
            sentence = _sentence(explained, entry, report.comparison.ranking.splits)
            pictures[explained.mistake.place] = picture, sentence
    except (OffshelfError, OSError) as error:
        log.warning("evidence in mistakes is not shown: %s", error)
        return EvidencePictures(rank, {}, f"Where evidence lies is not shown: {error}.")
    made = ", ".join(f"{count} by {method}" for method, count in methods.items()) or "none"
    return EvidencePictures(
        rank, pictures,
        f"Choose a framed image of {entry.label} to see where the evidence lies for the class that "
        f"it was taken for ({made}).",
    )  # fmt: skip


def _sentence(explained: Explained, entry: Entry, splits: Splits) -> str:
    """Return what is said below a picture: the method, and what the kept model says today."""
    names, mistake = entry.record.class_names, explained.mistake
    taken, right = (
        f"{names[number]} {100 * explained.probabilities[number]:.0f}"
        for number in (mistake.predicted, mistake.true)
    )
    since = ", which has learned from this image since," * (entry.record.rows > splits.smallest)
    return (
        f"Evidence for {names[mistake.predicted]}, by {explained.explanation.method}. The kept "
        f"model{since} gives {taken} % and {right} %."
    )


def _prepare(out: Path) -> None:
    if out.is_dir():
        raise UsageError(f"{out} is a folder, expected a file such as {out / 'report.html'}")
    durable.prepare_folder(out.parent)
