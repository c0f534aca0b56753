"""A results folder as an object: its candidates and its splits as pandas frames."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from features.arguments import as_location
from features.remote.location import remote
from pipeline.data.splits import Splits
from pipeline.results import left_out
from pipeline.results.display import html
from pipeline.results.entries import read_entry
from pipeline.results.ranking import mean_score
from pipeline.results.records import Record, candidates, finished_records
from pipeline.results.stored import copy_of

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, init=False, repr=False)
class ResultsFolder(os.PathLike[str]):
    """The folder in which `classify`, `finetune` and `scratch` leave their candidates.

    It goes wherever a path goes, and is read anew at each call. Of a folder in a store the copy on
    this machine is read, which is brought when the object is made.

    Attributes:
        path: the folder; of one in a store its copy.
    """

    path: Path

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Keep the folder, a path or a URL.

        Raises:
            UsageError: it is in a store without such a bucket.
            DataError: the store cannot be read.
        """
        given = as_location(path, "results")
        address = remote(given)
        object.__setattr__(self, "path", given if address is None else copy_of(address))

    def __fspath__(self) -> str:
        return str(self.path)

    @property
    def records(self) -> dict[str, Record]:
        """The records of the finished candidates, by name.

        Raises:
            UsageError: there is no such folder, or no candidate in it.
            DataError: a record cannot be read.
        """
        return candidates(self.path)

    @property
    def left_out(self) -> dict[str, str]:
        """Why candidates of `classify` are missing, by `<backbone>.<layer>.<classifier>`.

        Raises:
            DataError: the list of them cannot be read.
        """
        return left_out.read(self.path)

    def frame(self) -> "pd.DataFrame":
        """Return a row for each candidate, the highest score first.

        `score` is on validation, 0 to 1, by the metric for which the candidate was tuned. It has
        no interval and no test beside it: `compare` gives those.

        Raises:
            UsageError: there is no such folder, or no candidate in it.
            DataError: a record, or predictions, cannot be read or do not belong to the splits.
        """
        import pandas as pd

        splits = Splits.read(self.path)
        rows = [self._row(record, splits) for record in self.records.values()]
        return pd.DataFrame(rows).sort_values(
            "score", ascending=False, kind="stable", ignore_index=True
        )

    def splits(self) -> "pd.DataFrame":
        """Return a row for each image: id, label, split, and its fold in each repeat.

        Raises:
            UsageError: the folder holds no splits.
            DataError: the splits cannot be read.
        """
        return Splits.read(self.path).frame()

    def _row(self, record: Record, splits: Splits) -> dict[str, Any]:
        entry = read_entry(record.name, self.path / record.name, record, splits)
        labels = splits.labels[splits.validated]
        return {
            "candidate": record.name,
            "title": record.title,
            "kind": record.kind,
            "metric": record.metric,
            "score": mean_score(record.metric, labels, entry.read_by(record.metric)),
            "rows": record.rows,
            "reason": record.reason,
            **record.costs,
        }

    def __repr__(self) -> str:
        count = len(finished_records(self.path))
        return f"ResultsFolder({str(self.path)!r}): {count} candidate{'s' * (count != 1)}"

    def _repr_html_(self) -> str:
        return html(repr(self), self.frame())
