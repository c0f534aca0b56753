"""What a candidate leaves behind: its record, its predictions, its model.

A candidate is anything that predicts. `compare` and the report read records and never need to
know of which kind a candidate is.

    results/<candidate>/record.json          everything about the candidate
    results/<candidate>/validation.parquet   id, label, and a probability for each class
    results/<candidate>/trials.npz           the classes that each tried setting predicted
    results/<candidate>/model.skops          the model of a classifier; model.keras of a network
    results/models/untrusted/<candidate>/model.joblib   that of an analyst's own estimator
    results/<candidate>/history.json         loss and accuracy of each epoch of a network
    results/<candidate>/known.npz            what a network makes of images that it learned from
"""

import dataclasses
import json
import math
import platform
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any, TypedDict

import msgspec

from features import __version__
from features.disk import documents, durable
from features.disk.documents import Seconds, Share, Whole
from features.disk.locks import locked
from features.errors import DataError, OffshelfError, UsageError
from features.remote import homes
from features.remote.mirror import put_up
from pipeline.config.choices import MODELS_FOLDER
from pipeline.results import inputs as candidate_inputs
from pipeline.statistics.metrics import METRICS
from pipeline.statistics.scoring import RANKING_METRICS

SCHEMA = 1
RECORD = "record.json"
UNTRUSTED = (
    f"{MODELS_FOLDER}/untrusted"  # in a results folder: models that can run code when loaded
)

# The kinds of candidates: a classifier on features, a network on pixels, and another tool, of
# which only the predictions on validation are known.
CLASSIFIER, NETWORK, EXTERNAL = "classifier", "network", "external"


@dataclass(frozen=True)
class Trial:
    """One setting that tuning tried.

    Attributes:
        setting: parameters by name.
        score: the metric on validation; of log loss lower is better.
        seconds: to fit and to score it.
        rows: images it was fitted on, fewer than all in the early rounds of a search.
    """

    setting: dict[str, Any]
    score: float
    seconds: Seconds
    rows: Whole


@dataclass(frozen=True)
class Record:
    """Everything about one candidate, as `record.json` holds it.

    Attributes:
        name: unique in its results folder, such as "resnet50.avg_pool.linear-svm".
        kind: `CLASSIFIER`, `NETWORK` or `EXTERNAL`.
        title: the name in tables, such as "linear SVM".
        method: the classifier that was fitted, such as "rbf-svm-nystroem".
        requested: the classifier that was asked for; another than `method` after a fallback.
        reason: why there was a fallback, or how its predictions must be read; else empty.
        inputs: what the candidate learned from, as `data.layers.Layer.facts` gives it, for a
            network `networks.pixels.Pixels.facts`, for another tool the table of its
            predictions; "content" is a digest of any.
        splits: digest of the `Splits`.
        class_names: the classes of the probabilities' columns.
        setting: the chosen parameters.
        trials: all settings that were tried.
        metric: the metric by which the setting was chosen.
        seed: the seed of everything random.
        rows: images of the last fit: all that are not locked, or fewer after a fallback; 0 where
            it is not known.
        budget: seconds that the whole run had, None where they were not limited.
        key: digest of all that decides the result; equal keys need no second fit.
        seconds: "search", "fit" (the last one) and "predict_1000", as far as they are known.
        peak_memory: resident bytes at most while the candidate was fitted; 0 where not known.
        model: "file", "bytes" and "sha256" of the model's file; empty and 0 without a model.
            An analyst's own estimator has "trusted", False, too, and its file is named relative to
            the results folder.
        temperature: the number by which log probabilities are divided to be calibrated, fitted
            on validation.
        versions: versions of Python and the libraries.
        created: time of writing, ISO 8601 in UTC.
        extraction: of what it reads, as far as known: "seconds_1000" (to extract the features of
            1,000 images, at the rate at which the file was made; of a network to read them).
        trials_file: "file", "bytes" and "sha256" of `trials.npz`; empty where there is none.
        expected: what new images will give of the best of all its settings, by `metric`, corrected
            for the choice: "value", "low", "high" (None where there is no interval), "settings"
            (how many); empty where no settings were kept.
        warnings: what libraries warned of in the last fit (of a network: in training), each once.
        threshold: between two classes, as `results.thresholds` chooses it; empty where the most
            probable class is predicted.
        predictions: "file", "bytes" and "sha256" of `validation.parquet`; empty in those of 0.2.0.
        memory: bytes that the run was allowed, where the features did not fit into them, so that
            they were read in blocks; else 0.
        known_file: "file", "bytes" and "sha256" of a network's `known.npz`; empty where there is
            none.
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
    rows: Whole
    budget: Seconds | None
    key: str
    seconds: dict[str, Seconds]
    peak_memory: Whole
    model: dict[str, Any]
    temperature: Annotated[float, msgspec.Meta(gt=0)]
    versions: dict[str, str]
    created: str
    schema: int = field(default=SCHEMA)
    extraction: dict[str, Any] = field(default_factory=dict)
    trials_file: dict[str, Any] = field(default_factory=dict)
    expected: dict[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    threshold: dict[str, Any] = field(default_factory=dict)
    predictions: dict[str, Any] = field(default_factory=dict)
    memory: Whole = 0
    known_file: dict[str, Any] = field(default_factory=dict)

    @property
    def cost(self) -> float:
        """Seconds from image bytes to the prediction of 1,000 images: how the cheapest is chosen.

        They hold the extraction, at the rate that the feature file was made at, or of a network the
        reading of images, as far as these are recorded. Infinite where the time to predict is not
        known.
        """
        extracted = self.extraction.get("seconds_1000", 0.0)
        return float(self.seconds.get("predict_1000", math.inf) + extracted)

    @property
    def training(self) -> float:
        """Seconds from image bytes to the model, with the chosen setting: to train it again.

        Infinite where the time of the last fit or the rate of the extraction is not known.
        """
        if "fit" not in self.seconds or "seconds_1000" not in self.extraction:
            return math.inf
        return float(self.seconds["fit"] + self.extraction["seconds_1000"] * self.rows / 1000)

    @property
    def costs(self) -> dict[str, float]:
        """Times in seconds and sizes in bytes, as tables have them; what is not known is left out.

        The names are "search_seconds", "fit_seconds", "predict_1000_seconds", "train_seconds"
        (from image bytes to the model), "images_1000_seconds" (from the bytes of 1,000 images to
        the prediction), "model_bytes" and "peak_bytes".
        """
        sizes = {"model_bytes": self.model["bytes"], "peak_bytes": self.peak_memory}
        times = {f"{name}_seconds": value for name, value in self.seconds.items()}
        from_images = {"train_seconds": self.training, "images_1000_seconds": self.cost}
        times |= {name: round(s, 4) for name, s in from_images.items() if math.isfinite(s)}
        return times | {name: size for name, size in sizes.items() if size}

    @property
    def warned(self) -> str:
        """The kinds of its warnings, such as "ConvergenceWarning", each once; empty without any."""
        return ", ".join(dict.fromkeys(text.partition(":")[0] for text in self.warnings))

    def to_json(self) -> str:
        """Return the record as indented JSON."""
        return json.dumps(dataclasses.asdict(self), indent=1) + "\n"

    @classmethod
    def from_dict(cls, values: Any, where: str = "the record") -> "Record":
        """Rebuild a record from what JSON holds; raises DataError, which begins with `where`."""
        documents.convert(values, _Nested, where, SCHEMA)
        record = documents.convert(values, cls, where)
        candidate_inputs.check(record.inputs, f"{where}: inputs")
        if len(set(record.class_names)) < len(record.class_names):
            raise DataError(f"{where}: class_names are not distinct")
        if record.metric not in RANKING_METRICS:
            known = ", ".join(RANKING_METRICS)
            raise DataError(f"{where}: metric is {record.metric!r:.60}, expected one of {known}")
        if record.threshold:
            _check_threshold(record, f"{where}: threshold")
        return record


_Threshold = TypedDict(
    "_Threshold", {"class": str, "value": Share, "metric": str, "score": float, "usual": float}
)


def _check_threshold(record: Record, where: str) -> None:
    kept = documents.convert(record.threshold, _Threshold, where)
    if len(record.class_names) != 2 or kept["class"] not in record.class_names:
        raise DataError(f"{where}: {kept['class']!r:.60} is none of two classes")
    if kept["metric"] not in METRICS:
        raise DataError(f"{where}: metric is {kept['metric']!r:.60}, expected {', '.join(METRICS)}")


@dataclass(frozen=True)
class _Model:
    file: str
    bytes: Whole
    sha256: str
    trusted: bool = True
    network: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _File:
    file: str = ""
    bytes: Whole = 0
    sha256: str = ""


@dataclass(frozen=True)
class _Extraction:
    seconds_1000: Seconds = 0.0


@dataclass(frozen=True)
class _Expected:
    value: float = 0.0
    low: float | None = None
    high: float | None = None
    settings: Whole = 0


@dataclass(frozen=True)
class _Nested:
    """What the dictionaries of a record hold at least."""

    model: _Model
    extraction: _Extraction = field(default_factory=_Extraction)
    trials_file: _File = field(default_factory=_File)
    predictions: _File = field(default_factory=_File)
    known_file: _File = field(default_factory=_File)
    expected: _Expected = field(default_factory=_Expected)


def write_record(folder: Path, record: Record, results: Path | None = None) -> None:
    """Write `record.json`; it comes last of all, so that a candidate with a record is whole.

    Args:
        folder: the folder of the candidate.
        record: what is written; paths of its inputs become relative to the results folder.
        results: that folder; None where it is the one that holds `folder`.
    """
    inputs = _paths(record.inputs, homes.kept, results or folder.parent)
    stored = dataclasses.replace(record, inputs=inputs)
    durable.write(folder / RECORD, stored.to_json().encode())


def _paths(
    inputs: dict[str, Any], change: Callable[[str, Path], str], results: Path
) -> dict[str, Any]:
    """Return inputs with their paths changed."""
    return {
        name: change(value, results) if name in ("file", "source") else value
        for name, value in inputs.items()
    }


def read_record(folder: Path) -> Record:
    """Read a candidate's record.

    Raises:
        DataError: it cannot be read as such, or names another folder than its own, to which
            nothing must be written in its name.
    """
    path = folder / RECORD
    record = Record.from_dict(documents.load(path), str(path))
    if record.name != folder.resolve().name:
        raise DataError(f"{path}: name is {record.name!r:.100}, expected that of its folder")
    inputs = _paths(record.inputs, homes.found, folder.parent)
    return dataclasses.replace(record, inputs=inputs)


def versions(*packages: str) -> dict[str, str]:
    """Return the versions of Offshelf, Python and those packages that are installed."""
    installed = {"offshelf": __version__, "python": platform.python_version()}
    for package in packages:
        with suppress(PackageNotFoundError):
            installed[package] = version(package)
    return installed


def finished_records(results: Path) -> list[Path]:
    """Return the paths of the records of all candidates, in no order."""
    records = results.glob(f"*/{RECORD}")
    return [path for path in records if not path.parent.name.endswith(durable.REPLACED)]


def discard(results: Path, which: Callable[[Record], bool] = lambda record: True) -> None:
    """Remove candidates; the openings of the locked test are kept, in a file of their own."""
    for path in finished_records(results):
        if which(read_record(path.parent)):
            path.unlink()  # first, so that what a kill leaves behind is no candidate
            shutil.rmtree(path.parent)
            shutil.rmtree(results / UNTRUSTED / path.parent.name, ignore_errors=True)


def place_candidate(draft: Path, results: Path, replaces: str = "") -> None:
    """Move the folder of a finished candidate into the results folder, durably.

    Whatever the moment of a kill, the candidate is there in its old or in its new version. Where
    the results folder lies in a store it is put there.

    Args:
        draft: the folder, named like the candidate, with its record in it.
        results: the results folder, on the same disk.
        replaces: the key of candidates that give way to this one, whatever their names.
    """
    durable.place_folder(draft, results / draft.name)
    if replaces:
        discard(results, lambda old: old.key == replaces and old.name != draft.name)
    put_up(results, now=False)


def recover_candidates(results: Path) -> None:
    """Bring back candidates that a kill left aside; the caller holds the lock of the folder."""
    for folder in results.glob(f".*{durable.REPLACED}"):
        name = folder.name.removeprefix(".").removesuffix(durable.REPLACED)
        durable.recover_folder(results / name)


def candidates(results: Path) -> dict[str, Record]:
    """Return the finished candidates of a results folder by name, sorted.

    Raises:
        UsageError: there is no such folder, or no candidate in it.
        DataError: a record cannot be read.
    """
    if not results.is_dir():
        raise UsageError(f"there is no folder {results}; run `classify` with --out {results}")
    if any(results.glob(f".*{durable.REPLACED}")):  # a kill left it, or a run is just writing
        with suppress(OffshelfError), locked(results):
            recover_candidates(results)
    folders = sorted(path.parent for path in finished_records(results))
    if not folders:
        raise UsageError(f"{results} holds no finished candidate; run `classify` first")
    return {folder.name: read_record(folder) for folder in folders}
