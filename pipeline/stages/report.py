"""The report stage: results folders in, one HTML file out that needs no other file."""

from collections.abc import Sequence
from pathlib import Path

from features import durable
from features.errors import UsageError
from pipeline.config import CompareConfig, ReportConfig
from pipeline.reports.report import html
from pipeline.results.comparison import Comparison, judge
from pipeline.results.ranking import rank_candidates
from pipeline.results.report import Report, gather


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
    return write(judge(ranking, compared), config.out, config.features, config.images)


def write(
    comparison: Comparison, out: Path, features: Sequence[Path] = (), images: Path | None = None
) -> Report:
    """Write the page of a comparison.

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


def _prepare(out: Path) -> None:
    if out.is_dir():
        raise UsageError(f"{out} is a folder, expected a file such as {out / 'report.html'}")
    durable.prepare_folder(out.parent)
