"""What a candidate leaves behind: its record, its predictions, its model.

A candidate is anything that predicts. `compare` and the report read records and never need to
know which kind they are looking at.

    results/<candidate>/record.json          everything about it
    results/<candidate>/validation.parquet   id, label, and a probability a class
    results/<candidate>/model.skops          (or model.keras)
    results/<candidate>/history.json         of a network: loss and accuracy of each epoch
"""

import dataclasses
import json
import platform
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from features import __version__, durable
from features.errors import DataError, UsageError

SCHEMA = 1
RECORD = "record.json"


@dataclass(frozen=True)
class Trial:
    """One setting that tuning tried: its score on validation, 0 to 1, and what it cost.

    `rows` is how many it was fitted on, fewer than all in the early rounds of a search.
    """

    setting: dict[str, Any]
    score: float
    seconds: float
    rows: int


@dataclass(frozen=True)
class Record:
    """Everything about one candidate, as `record.json` holds it.

    Attributes:
        name: unique in its results folder, such as "resnet50.avg_pool.linear-svm".
        kind: "classifier" on features, or "network" on pixels.
        title: for tables, such as "linear SVM".
        method: the classifier that was fitted, such as "rbf-svm-nystroem".
        requested: the one that was asked for; another than `method` after a fallback.
        reason: why there was a fallback, else empty.
        inputs: what it learned from, as `evaluation.inputs.Layer.facts` gives it, or for a
            network `networks.pixels.Pixels.facts`; "content" is a digest of either.
        splits: digest of the `Splits`.
        class_names: of the probabilities' columns.
        setting: the chosen parameters.
        trials: all that were tried.
        metric: by which the setting was chosen.
        seed: of everything random.
        rows: images of the last fit: all that are not locked, or fewer after a fallback.
        budget: seconds that the whole run had, None where they were not limited.
        key: digest of all that decides the result; equal keys need no second fit.
        seconds: "search", "fit" (the last one), "predict_1000".
        peak_memory: bytes resident at most while it was fitted.
        model: name, size in bytes and sha256 of the model's file.
        temperature: by which log probabilities are divided to be calibrated, fitted on
            validation.
        versions: of Python and the libraries.
        created: when, ISO 8601 in UTC.
    """

    name: str
    kind: str
    title: str
    method: str
    requested: str
    reason: str
    inputs: dict[str, Any]
    splits: str
    class_names: tuple[str, ...]
    setting: dict[str, Any]
    trials: tuple[Trial, ...]
    metric: str
    seed: int
    rows: int
    budget: float | None
    key: str
    seconds: dict[str, float]
    peak_memory: int
    model: dict[str, Any]
    temperature: float
    versions: dict[str, str]
    created: str
    schema: int = field(default=SCHEMA)

    @property
    def cost(self) -> float:
        """Seconds to fit it once and to predict 1,000 images: how the cheapest is chosen."""
        return self.seconds["fit"] + self.seconds["predict_1000"]

    def to_json(self) -> str:
        """Return it as indented JSON."""
        return json.dumps(dataclasses.asdict(self), indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Record":
        """Rebuild a record; raises KeyError, TypeError or ValueError where it is none."""
        values = json.loads(text)
        if values.get("schema") != SCHEMA:
            raise ValueError(f"its schema is {values.get('schema')}, this version reads {SCHEMA}")
        values["trials"] = tuple(Trial(**trial) for trial in values["trials"])
        values["class_names"] = tuple(values["class_names"])
        return cls(**values)


def write_record(folder: Path, record: Record) -> None:
    """Write `record.json` last of all: a candidate with a record is whole."""
    durable.write(folder / RECORD, record.to_json().encode())


def read_record(folder: Path) -> Record:
    """Read a candidate's record; raises DataError where it cannot be read as such."""
    path = folder / RECORD
    try:
        return Record.from_json(path.read_text(encoding="utf-8"))
    except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{path} cannot be read as a record: {error}") from None


def versions(*packages: str) -> dict[str, str]:
    """Return the versions of Offshelf, Python and those packages that are installed."""
    found = {"offshelf": __version__, "python": platform.python_version()}
    for package in packages:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def discard(results: Path, which: Callable[[Record], bool] = lambda record: True) -> None:
    """Remove candidates; what was opened of the locked test is remembered elsewhere."""
    for path in results.glob(f"*/{RECORD}"):
        if which(read_record(path.parent)):
            path.unlink()  # first, so that what is left after a kill is no candidate
            shutil.rmtree(path.parent)


def place_candidate(draft: Path, results: Path) -> None:
    """Move the folder of a finished candidate into the results folder, durably.

    Args:
        draft: the folder, named like the candidate, with its record in it.
        results: the results folder, on the same disk.
    """
    folder = results / draft.name
    shutil.rmtree(folder, ignore_errors=True)  # a folder without a record is no candidate
    durable.place_folder(draft, folder)


def candidates(results: Path) -> dict[str, Record]:
    """Return the finished candidates of a results folder by name, sorted.

    Raises:
        UsageError: there is no such folder, or no candidate in it.
        DataError: a record cannot be read.
    """
    if not results.is_dir():
        raise UsageError(f"there is no folder {results}; run `classify` with --out {results}")
    folders = sorted(path.parent for path in results.glob(f"*/{RECORD}"))
    if not folders:
        raise UsageError(f"{results} holds no finished candidate; run `classify` first")
    return {folder.name: read_record(folder) for folder in folders}
