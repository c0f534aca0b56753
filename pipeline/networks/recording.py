"""The files of a trained network in its candidate's folder: predictions, model, history, record."""

import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline.command_lines import config_command_line
from pipeline.config import NetworkConfig
from pipeline.networks import storage
from pipeline.networks.inference import probabilities
from pipeline.networks.pixels import Pixels
from pipeline.networks.plan import NetworkPlan
from pipeline.networks.rounds import RoundsResult
from pipeline.results import history
from pipeline.results.memory import peak_since_reset
from pipeline.results.predictions import VALIDATION, Predictions
from pipeline.results.records import NETWORK, Record, Trial, versions, write_record
from pipeline.statistics import calibration, scoring

_TIMED_IMAGES = 1000


def write_candidate(
    config: NetworkConfig,
    images: Pixels,
    plan: NetworkPlan,
    key: str,
    result: RoundsResult,
    seconds: float,
    warned: tuple[str, ...],
    draft: Path,
) -> Record:
    """Write all files of a candidate into a folder, the record last; return the record.

    Args:
        config: the config of the stage.
        images: all images and their splits.
        plan: the candidate.
        key: the digest of all that decides its result.
        result: what its rounds gave.
        seconds: the wall time of all of it, from the reading of the images on.
        warned: what libraries warned of, each text once.
        draft: an existing folder.

    Raises:
        OSError: a file cannot be written.
    """
    splits = images.splits
    ids = splits.ids_of(splits.validated)
    labels = splits.labels[splits.validated]
    predictions = Predictions(ids, labels, result.probabilities)
    written = predictions.write(draft / VALIDATION, splits.class_names)
    model = storage.save(result.kept.network, draft, result.kept.facts)
    history.write(draft, result.rounds)
    record = _record(config, images, plan, key, result, _seconds(images, result, seconds), model)
    known = result.known.write(draft)
    record = replace(record, predictions=written, warnings=warned, known_file=known)
    write_record(draft, record, config.out)
    return record


def _record(
    config: NetworkConfig, images: Pixels, plan: NetworkPlan, key: str, result: RoundsResult,
    seconds: dict[str, float], model: dict[str, Any],
) -> Record:  # fmt: skip
    splits, probs = images.splits, result.probabilities
    labels = splits.labels[splits.validated]
    score = float(scoring.score(config.metric, labels, probs))
    command = config_command_line(
        config.command, config, ("source",), omit=("restart", "threshold")
    )
    return Record(
        name=plan.name, kind=NETWORK, title=plan.title, method=plan.method, requested=plan.method,
        reason="", inputs=images.facts | {"command": command}, splits=splits.digest,
        class_names=splits.class_names,
        setting=plan.setting,
        trials=(Trial(plan.setting, score, seconds["search"], splits.smallest),),
        metric=config.metric, seed=config.seed,
        rows=len(splits.rest) if result.refitted else splits.smallest,
        budget=None, key=key, seconds=seconds,
        peak_memory=peak_since_reset(), model=model,
        temperature=calibration.temperature(probs, labels), versions=_versions(),
        extraction={"seconds_1000": round(1000 * images.seconds / len(images.x), 4)},
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )  # fmt: skip


def _seconds(images: Pixels, result: RoundsResult, seconds: float) -> dict[str, float]:
    """Return the seconds of validation, of the last fit, and of predicting 1,000 images.

    The first two add up to the wall time without the reading of images. The fit holds what it would
    need again, such as the cached trunk. Where the network that validated is kept, all of it went
    into this fit.
    """
    fit = spent = seconds - images.seconds
    if result.refitted:
        *validated, last = (turn.history.seconds for turn in result.rounds)
        building = result.last_fit_seconds - last  # a network, which every round does
        fit = max(result.last_fit_seconds, fit - sum(validated) - building * len(validated))
    search = max(0.0, spent - fit)
    predict = _seconds_to_predict(result.kept.network, images)
    return {"search": round(search, 4), "fit": round(fit, 4), "predict_1000": round(predict, 4)}


def _seconds_to_predict(network: Any, images: Pixels) -> float:
    """Return the seconds to predict 1,000 images, after a first prediction that is not timed."""
    rows = images.splits.rest[:_TIMED_IMAGES]
    probabilities(network, images.x, rows)
    started = time.perf_counter()
    probabilities(network, images.x, rows)
    return (time.perf_counter() - started) * _TIMED_IMAGES / len(rows)


def _versions() -> dict[str, str]:
    import keras

    return versions("numpy", "scipy", "keras", keras.backend.backend())
