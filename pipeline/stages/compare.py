"""The compare stage: results folders in, a ranking out; the locked test is never touched."""

from dataclasses import replace

from features.disk import durable
from pipeline.config import CompareConfig
from pipeline.reports import comparison
from pipeline.results import openings
from pipeline.results.comparison import Comparison, judge
from pipeline.results.in_stores import in_stores
from pipeline.results.ranking import rank_candidates

CSV, JSON = "comparison.csv", "comparison.json"


@in_stores(reads=("results",), writes=("out",))
def run(config: CompareConfig) -> Comparison:
    """Rank candidates on validation; write comparison.csv and comparison.json.

    Raises:
        UsageError: an unknown metric, no candidate, folders with different splits, or a place
            that cannot be written to.
        DataError: a record or predictions cannot be read, or do not belong to the splits.
    """
    ranking = rank_candidates(config.results, config.metric, config.give_up)
    openings.warn_of_uncounted(*config.results)
    out = config.out or config.results[0]
    durable.prepare_folder(out)
    result = replace(judge(ranking, config), files=(out / CSV, out / JSON))
    durable.write(out / CSV, comparison.csv_text(result).encode())
    durable.write(out / JSON, comparison.json_text(result).encode())
    return result
