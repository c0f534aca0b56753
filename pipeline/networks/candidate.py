"""A network as a candidate: validated on the common splits, fitted once more, and recorded."""

import json
import logging
import shutil
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from features import durable
from features.errors import UsageError
from features.quiet import keras_here
from features.records import blake2b
from features.shards import locked
from pipeline.command_lines import spelled
from pipeline.config import NetworkConfig
from pipeline.networks import history, storage
from pipeline.networks.data import Data
from pipeline.networks.history import History, Round
from pipeline.networks.pixels import Pixels
from pipeline.networks.training import TrainStage, probabilities, shorter
from pipeline.results.memory import peak_since_reset, reset_peak
from pipeline.results.predictions import VALIDATION, Predictions
from pipeline.results.records import (
    RECORD,
    SCHEMA,
    Record,
    Trial,
    read_record,
    versions,
    write_record,
)
from pipeline.results.shared_splits import discard_candidates
from pipeline.statistics import calibration, metrics

log = logging.getLogger("offshelf")

NETWORK = "network"
WORKSHOP = ".networks"  # in the results folder: pixels, and the checkpoints of what is unfinished
_TIMED = 1000  # images
_KEY = 12  # hex digits in the name of a folder of checkpoints


@dataclass(frozen=True)
class Fitted:
    """A trained network.

    Attributes:
        network: a keras.Model from uint8 pixels (n, H, W, 3) to logits, float32 (n, K).
        history: of all its stages.
        facts: "kind" and what `storage` builds it from again, as JSON holds it.
    """

    network: Any
    history: History
    facts: dict[str, Any]


# Builds and trains from the start: on whom, through which stages, checkpoints in which folder
# (made if it is not there), and what messages call it ("fold 1").
Fit = Callable[[Data, Sequence[TrainStage], Path, str], Fitted]


@dataclass(frozen=True)
class NetworkPlan:
    """A candidate to be made; all that decides its result is in `setting` and `stages`.

    Attributes:
        name: of its folder.
        title: for tables, such as "small CNN from scratch".
        method: such as "scratch-small".
        setting: as JSON holds it.
        stages: of the validating rounds; the last fit ends each where it was best.
        fit: trains it.
    """

    name: str
    title: str
    method: str
    setting: dict[str, Any]
    stages: tuple[TrainStage, ...]
    fit: Fit


@contextmanager
def workshop(config: NetworkConfig, names: Sequence[str]) -> Iterator[Path]:
    """Hold the results folder, and yield the folder for pixels and checkpoints in it.

    What an earlier run left is thrown away where `--restart` asks for it. A stop by Ctrl-C is
    told with how to go on.

    Args:
        config: of the stage.
        names: of the candidates that are to be made.

    Raises:
        UsageError: another process holds the results folder.
        MissingPackageError: Keras is not installed.
    """
    keras_here()
    with locked(config.out):
        folder = config.out / WORKSHOP
        if config.restart:
            discard_candidates(config.out, lambda record: record.name in names)
            for name in names:
                _forget(folder, name)
        durable.make_folder(folder)
        try:
            yield folder
        except KeyboardInterrupt:
            log.warning(
                "stopped: the same command%s goes on from the last whole epoch",
                " without --restart" if config.restart else "",
            )
            raise
        finally:
            durable.empty_folder(folder, "*.npy")
            if not any(folder.iterdir()):
                folder.rmdir()


def make(config: NetworkConfig, pixels: Pixels, plan: NetworkPlan, folder: Path) -> Record:
    """Validate, fit and record a candidate; one that is there already is kept.

    Args:
        config: of the stage.
        pixels: of all images.
        plan: what is to be made.
        folder: that `workshop` yields.

    Raises:
        UsageError: there is a candidate of that name with other settings, or `--no-refit` where
            several networks validate.
        DataError: the loss is no longer finite, or something cannot be read or written.
    """
    if not config.refit and pixels.splits.count > 1:
        raise UsageError(
            f"--no-refit keeps the network that validated, but with {pixels.splits.count} folds "
            "there is one a fold; leave it out"
        )
    key = _key(config, pixels, plan)
    if (config.out / plan.name / RECORD).exists():
        before = read_record(config.out / plan.name)
        _check_same(before, key, plan)
        log.info("%s is there already", plan.name)
        return before
    reset_peak()
    checkpoints = folder / f"{plan.name}-{key[:_KEY]}"
    found, rounds, kept = _validate(pixels, plan, checkpoints)
    if config.refit:
        kept = _refit(pixels, plan, rounds, checkpoints)
        rounds = [*rounds, Round("last fit", kept.history)]
    draft = checkpoints / plan.name
    draft.mkdir(exist_ok=True)
    record = _record(config, pixels, plan, key, found, rounds, kept, draft)
    history.write(draft, rounds)
    write_record(draft, record)
    place = config.out / plan.name
    shutil.rmtree(place, ignore_errors=True)  # without a record it is no candidate
    durable.place_folder(draft, place)
    _forget(folder, plan.name)
    log.info("%s", _line(record))
    return record


def _key(config: NetworkConfig, pixels: Pixels, plan: NetworkPlan) -> str:
    facts = {name: value for name, value in pixels.facts.items() if name != "source"}
    stages = [asdict(stage) for stage in plan.stages]
    decides = [SCHEMA, plan.name, plan.setting, stages, facts, pixels.splits.digest,
               config.refit, config.metric, config.seed]  # fmt: skip
    return blake2b(json.dumps(decides, sort_keys=True).encode()).hex()


def _check_same(before: Record, key: str, plan: NetworkPlan) -> None:
    if before.key == key:
        return
    now = plan.setting
    changed = [
        f"{name}: {before.setting.get(name)} -> {now.get(name)}"
        for name in dict.fromkeys([*before.setting, *now])
        if before.setting.get(name) != now.get(name)
    ]
    raise UsageError(
        f"{plan.name} is there already, made with other settings "
        f"({'; '.join(changed) or 'of images, seed, metric or last fit'}); give this one another "
        "--name, or --restart to throw that one away"
    )


def _validate(
    pixels: Pixels, plan: NetworkPlan, checkpoints: Path
) -> tuple[np.ndarray, list[Round], Fitted]:
    """Train in each round; return probabilities of those that validate, and the last network."""
    splits = pixels.splits
    found = np.zeros((len(splits), len(splits.class_names)), np.float32)
    rounds: list[Round] = []
    for number, (train, held) in enumerate(splits.rounds(1)):
        name = "held-out" if splits.count == 1 else f"fold {number + 1}"
        fitted = plan.fit(_data(pixels, train, held), plan.stages, checkpoints / name, name)
        found[held] = probabilities(fitted.network, pixels.x, held)
        rounds.append(Round(name, fitted.history))
    return found[splits.validated], rounds, fitted


def _refit(pixels: Pixels, plan: NetworkPlan, rounds: Sequence[Round], checkpoints: Path) -> Fitted:
    """Train on all that are not locked, each stage as long as was best on validation."""
    stages = [_as_long(stage, [one.history.stage(stage.name) for one in rounds])
              for stage in plan.stages]  # fmt: skip
    data = _data(pixels, pixels.splits.rest, np.empty(0, np.int64))
    return plan.fit(data, stages, checkpoints / "last fit", "last fit")


def _as_long(stage: TrainStage, histories: Sequence[History]) -> TrainStage:
    """Return the stage as long as it was best in the median round."""
    median = statistics.median_low([one.best for one in histories])
    return shorter(stage, next(one for one in histories if one.best == median))


def _data(pixels: Pixels, train: np.ndarray, held: np.ndarray) -> Data:
    splits = pixels.splits
    return Data(pixels.x, splits.labels, len(splits.class_names), train, held)


def _record(
    config: NetworkConfig, pixels: Pixels, plan: NetworkPlan, key: str, found: np.ndarray,
    rounds: Sequence[Round], kept: Fitted, draft: Path,
) -> Record:  # fmt: skip
    """Write model and predictions; return the record."""
    splits, fit = pixels.splits, kept.history.seconds
    truth = splits.labels[splits.validated]
    ids = tuple(splits.ids[place] for place in splits.validated)
    Predictions(ids, truth, found).write(draft / VALIDATION, splits.class_names)
    search = sum(one.history.seconds for one in rounds) - fit
    score = float(metrics.score(config.metric, truth, found))
    refitted = rounds[-1].name == "last fit"
    command = spelled(config.command, config, ("source",), unsaid=("restart",))
    return Record(
        name=plan.name, kind=NETWORK, title=plan.title, method=plan.method, requested=plan.method,
        reason="", inputs=pixels.facts | {"command": command}, splits=splits.digest,
        class_names=splits.class_names,
        setting=plan.setting,
        trials=(Trial(plan.setting, score, round(search, 4), splits.smallest),),
        metric=config.metric, seed=config.seed,
        rows=len(splits.rest) if refitted else splits.smallest,
        budget=None, key=key,
        seconds={"search": round(search, 4), "fit": round(fit, 4),
                 "predict_1000": round(_predicting(kept.network, pixels), 4)},
        peak_memory=peak_since_reset(), model=storage.save(kept.network, draft, kept.facts),
        temperature=calibration.temperature(found, truth), versions=_versions(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )  # fmt: skip


def _predicting(network: Any, pixels: Pixels) -> float:
    """Return seconds to predict 1,000 images, once everything is warm."""
    rows = pixels.splits.rest[:_TIMED]
    probabilities(network, pixels.x, rows)
    started = time.perf_counter()
    probabilities(network, pixels.x, rows)
    return (time.perf_counter() - started) * _TIMED / len(rows)


def _versions() -> dict[str, str]:
    import keras

    return versions("numpy", "scipy", "keras", keras.backend.backend())


def _forget(folder: Path, name: str) -> None:
    for place in folder.glob(f"{name}-{'[0-9a-f]' * _KEY}"):
        shutil.rmtree(place, ignore_errors=True)


def _line(record: Record) -> str:
    seconds = record.seconds["search"] + record.seconds["fit"]
    return (
        f"{record.name}: {record.metric.replace('_', ' ')} {record.trials[0].score:.4f} on "
        f"validation, {seconds:.0f} s"
    )
