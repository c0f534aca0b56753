"""A network as a candidate: validated on the shared splits, fitted once more, and recorded."""

import json
import logging
from dataclasses import asdict
from pathlib import Path

from features.errors import UsageError
from features.records import blake2b
from pipeline.config import NetworkConfig
from pipeline.networks import estimate
from pipeline.networks.elapsed import measured
from pipeline.networks.pixels import Pixels
from pipeline.networks.plan import NetworkPlan
from pipeline.networks.recording import write_candidate
from pipeline.networks.rounds import run_rounds
from pipeline.networks.working_folder import checkpoint_folder, remove_checkpoints
from pipeline.results.library_warnings import collected_warnings
from pipeline.results.memory import reset_peak
from pipeline.results.records import RECORD, SCHEMA, Record, place_candidate, read_record

log = logging.getLogger("offshelf")


def train_candidate(
    config: NetworkConfig, images: Pixels, plan: NetworkPlan, folder: Path
) -> Record:
    """Validate, fit and record a candidate; a finished one with equal settings is kept.

    Args:
        config: the config of the stage.
        images: all images and their splits.
        plan: the candidate.
        folder: the working folder.

    Raises:
        UsageError: a candidate of that name has other settings, or `--no-refit` is given where
            several networks validate.
        DataError: the loss is no longer finite, or something cannot be read or written.
    """
    _check_refit(config, images)
    key = _key(config, images, plan)
    if (config.out / plan.name / RECORD).exists():
        return _finished(config.out / plan.name, plan, key)
    reset_peak()
    checkpoints = checkpoint_folder(folder, plan.name, key)
    with measured(checkpoints, images.seconds) as elapsed, collected_warnings() as warned:
        log.info("%s", _forecast(config, images, plan))
        result = run_rounds(images, plan, checkpoints, config.refit, config.seed)
    draft = checkpoints / plan.name
    draft.mkdir(exist_ok=True)
    record = write_candidate(config, images, plan, key, result, elapsed(), tuple(warned), draft)
    place_candidate(draft, config.out)
    remove_checkpoints(folder, plan.name)
    log.info("%s", _summary(record))
    return record


def _forecast(config: NetworkConfig, images: Pixels, plan: NetworkPlan) -> str:
    """Return in words how long all rounds take at most."""
    rounds = [len(train) for train, _ in images.splits.rounds(1)]
    rounds += [len(images.splits.rest)] if config.refit else []
    seconds = estimate.describe(plan.estimate(rounds))
    return f"{plan.name}: {len(rounds)} trainings, {seconds} at most, by the time of one batch"


def _check_refit(config: NetworkConfig, images: Pixels) -> None:
    if not config.refit and images.splits.count > 1:
        raise UsageError(
            f"--no-refit keeps the network that validated, but with {images.splits.count} folds "
            "there is one for each fold; leave the option out"
        )


def _key(config: NetworkConfig, images: Pixels, plan: NetworkPlan) -> str:
    """Return a digest of all that decides the result."""
    facts = {name: value for name, value in images.facts.items() if name != "source"}
    stages = [asdict(stage) for stage in plan.stages]
    decides = [SCHEMA, plan.name, plan.setting, stages, facts, images.splits.digest,
               config.refit, config.metric, config.seed]  # fmt: skip
    return blake2b(json.dumps(decides, sort_keys=True).encode()).hex()


def _finished(folder: Path, plan: NetworkPlan, key: str) -> Record:
    """Return the record of a finished candidate; raise UsageError where its key differs."""
    record = read_record(folder)
    if record.key == key:
        log.info("%s exists already, from an earlier run", plan.name)
        return record
    old, new = record.setting, plan.setting
    changed = [
        f"{name}: {old.get(name)} -> {new.get(name)}"
        for name in dict.fromkeys([*old, *new])
        if old.get(name) != new.get(name)
    ]
    raise UsageError(
        f"{plan.name} exists already, trained with other settings "
        f"({'; '.join(changed) or 'of images, seed, metric or last fit'}); choose another --name "
        "for this run, or --restart to discard the earlier candidate"
    )


def _summary(record: Record) -> str:
    seconds = record.seconds["search"] + record.seconds["fit"]
    return (
        f"{record.name}: {record.metric.replace('_', ' ')} {record.trials[0].score:.4f} on "
        f"validation, {seconds:.0f} s"
    )
