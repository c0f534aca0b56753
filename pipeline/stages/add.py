"""The add stage: the predictions of another tool in, one more candidate of a results folder out."""

from pipeline.config import AddConfig
from pipeline.data.splits import Splits
from pipeline.results import external
from pipeline.results.folder import ResultsFolder
from pipeline.results.in_stores import in_stores
from pipeline.results.locks import locked_results
from pipeline.results.prediction_tables import read_table


@in_stores(writes=("results",), inputs=("table",))
def run(config: AddConfig) -> ResultsFolder:
    """Check predictions against the splits, and record them as a candidate.

    The same predictions under the same name are kept as they are.

    Raises:
        UsageError: there is no results folder or table, or the name is taken.
        DataError: the table does not hold predictions of exactly the images that validate.
    """
    splits = Splits.read(config.results)
    predictions = read_table(config.table, splits)
    with locked_results(config.results):
        record = external.make_record(config, predictions, splits)
        if not external.is_kept(config, record):
            external.write(config, record, predictions, splits)
    return ResultsFolder(config.results)
