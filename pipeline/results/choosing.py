"""The candidate that a user names, or that validation chooses."""

from pathlib import Path

from features.errors import UsageError, unknown_name
from pipeline.config.choices import BEST, RECOMMENDED
from pipeline.results.ranking import Ranking, rank_candidates
from pipeline.results.records import Record, candidates


def chosen(results: Path, candidate: str, metric: str | None) -> tuple[Record, Ranking | None]:
    """Return the record of a candidate, and the ranking that chose it; None where it was named.

    Args:
        results: the results folder.
        candidate: a name, "best" on validation or "recommended".
        metric: the metric that ranks; None takes the one that candidates were chosen by.

    Raises:
        UsageError: there is no such candidate, or none is recommended.
        DataError: a record or predictions cannot be read.
    """
    known = candidates(results)
    if candidate in known:
        return known[candidate], None
    if candidate not in (BEST, RECOMMENDED):
        raise unknown_name("candidate", candidate, [*known, BEST, RECOMMENDED])
    ranking = rank_candidates([results], metric)
    entry = ranking.best_entry if candidate == BEST else ranking.recommended_entry
    if entry is None:
        raise UsageError(
            f"no candidate in {results} is better than class frequencies by {ranking.metric}, so "
            "that none is recommended; give --candidate a name"
        )
    return entry.record, ranking
