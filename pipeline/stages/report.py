"""The report stage: results folders in, one HTML file out that needs nothing but itself."""

import logging
from collections.abc import Sequence
from pathlib import Path

from features import durable
from features.errors import UsageError
from pipeline.config import CompareConfig, ReportConfig
from pipeline.reports.report import html
from pipeline.results.comparison import Comparison, judge
from pipeline.results.ranking import rank_candidates
from pipeline.results.report import gather

log = logging.getLogger("offshelf")

HISTORY, ADVICE = "history.json", "advice.json"
SCHEMA = 1  # of histories


def run(config: ReportConfig) -> Path:
    """Compare the candidates of results folders, and write all of it as a page.

    Raises:
        UsageError: an unknown metric, no candidate, folders with different splits, or a place
            that cannot be written to.
        DataError: a record or predictions cannot be read, or do not belong to the splits.
    """
    ranking = rank_candidates(config.results, config.metric)
    _prepare(config.out)
    asked = CompareConfig(
        config.results, None, config.metric, config.resamples, config.confidence, config.seed
    )
    return write(judge(ranking, asked), config.out, config.features, config.images)


def write(
    comparison: Comparison, out: Path, features: Sequence[Path] = (), images: Path | None = None
) -> Path:
    """Write the page of a comparison; return its path.

    Args:
        comparison: as `compare.run` or `compare.judge` gives it.
        out: the HTML file.
        features: where feature files lie now that are not where they were.
        images: where the images lie now, if not where they were.

    Raises:
        UsageError: `out` cannot be written to.
        DataError: a file of the results folders cannot be read.
    """
    _prepare(out)
    durable.write(out, html(gather(comparison, features, images)).encode())
    return out


def _prepare(out: Path) -> None:
    if out.is_dir():
        raise UsageError(f"{out} is a folder, expected a file such as {out / 'report.html'}")
    durable.prepare_folder(out.parent)
