"""The loop: batches -> network -> shards -> feature file; begun anew or resumed."""

import json
import logging
import math
import platform
import time
from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from features.config import ExtractConfig
from features.engines import Compiled
from features.errors import DataError
from features.loading import load
from features.planning import Plan, check_options, plan_for
from features.progress import progress_bar
from features.records import DIGEST_BYTES, Batch, Outcome
from features.rows import Rows, shortened
from features.shards import (
    Shards,
    check_same,
    clear_up,
    has_shards_of,
    locked,
    partial_folder,
    shard_images,
)
from features.sources import open_source
from features.sources.base import Source
from features.store import FeatureFile

log = logging.getLogger("offshelf")


def extract(source: str | Path, out: str | Path, **options: Any) -> Path:
    """Turn images into a feature file; what `python -m pipeline extract` calls.

    Args:
        source: a folder, a manifest, an archive or a file of arrays.
        out: the feature file to write.
        **options: further fields of `features.config.ExtractConfig`, such as
            `backbone="vgg16", layers=("block4_pool", "block5_pool"), image_size=(96, 96)`.

    Returns:
        `out`, a file for `features.FeatureFile`.

    Raises:
        UsageError: an option cannot be meant, or `out` holds something else.
        DataError: the source or the weights are not what they should be, or more than
            `max_rejected` of the images could not be read (everything else is written by then).
    """
    return run(ExtractConfig(Path(source), Path(out), **options))


def run(config: ExtractConfig) -> Path:
    """Extract as `config` says; a repeated call goes on from where an earlier one stopped."""
    check_options(config)
    with open_source(config.source, config.limit) as source:
        plan = plan_for(config, source)
        if is_done(plan):
            clear_up(partial_folder(config.out))
        else:
            with locked(partial_folder(config.out)):
                make(plan)
    with FeatureFile(config.out) as file:
        report_rejected(file.rejected, len(file), config)
    return config.out


def is_done(plan: Plan) -> bool:
    """Tell whether the output is there already, whole and by this very recipe.

    Raises:
        UsageError: it was made by another recipe, and no run by this one was to replace it.
        DataError: it is damaged.
    """
    out = plan.config.out
    if plan.config.restart or not out.exists():
        return False
    with FeatureFile(out) as file:
        if file.recipe != plan.recipe and has_shards_of(plan.recipe, partial_folder(out)):
            return False
        check_same(file.recipe, plan.recipe, out)
        if problems := file.problems():
            raise DataError(f"{out} is damaged ({problems[0]}); --restart makes it anew")
        log.info("%s is there already: %d images", out, len(file))
    return True


def make(plan: Plan) -> None:
    """Compute the missing shards, keep each as it is done, assemble them all."""
    started, total = time.time(), len(plan.source)
    choice = plan.choice
    log.info("engine %s in %s: %s", choice.engine, choice.precision, choice.reason)
    compiled = plan.compile()
    row_bytes = sum(4 * math.prod(shape) for shape in compiled.shapes.values())
    images = shard_images(row_bytes, plan.config.batch_size)
    shards = Shards(plan.config.out, plan.recipe, total, images)
    kept = shards.resume(plan.config.restart)
    if kept:
        log.info("resuming: %d of %d images were there", kept, total)
    try:
        fill(shards, plan, compiled)
        shards.assemble(plan.config.out, attributes(plan, started, total - kept))
    except KeyboardInterrupt:
        log.warning("stopped: %s", how_to_go_on(shards, plan.config.restart))
        raise
    except DataError as error:
        raise DataError(f"{error}; {how_to_go_on(shards, plan.config.restart)}") from None


def how_to_go_on(shards: Shards, restart: bool) -> str:
    """Return what a run that ends early leaves, and how to make use of it."""
    return (
        f"{shards.covered} of {shards.total} images are kept in {shards.folder}; the same command "
        f"{'without --restart ' if restart else ''}goes on from there"
    )


def fill(shards: Shards, plan: Plan, compiled: Compiled) -> None:
    """Compute and keep every shard that is missing, in order."""
    with progress_bar(shards.total, shards.covered, "image", plan.config.progress) as bar:
        for first, last in joined(shards.missing()):
            with closing(batches(plan, first, last)) as stream:
                for start in range(first, last, shards.images):
                    stop = min(start + shards.images, last)
                    outcomes, features = forward(stream, stop - start, compiled, bar)
                    rows = as_rows(plan.source, outcomes, features, plan.config.store)
                    shards.write(start, stop, rows)


def batches(plan: Plan, start: int, stop: int) -> Generator[Batch]:
    """Yield the batches of a range of images, read and decoded ahead of their use."""
    config = plan.config
    return load(
        plan.source, plan.given_size, config.resize, config.interpolation, config.batch_size,
        start, stop, exact=config.exact_decode,
    )  # fmt: skip


def forward(
    stream: Iterator[Batch], images: int, compiled: Compiled, bar: Any
) -> tuple[list[Outcome], dict[str, np.ndarray]]:
    """Run the next batches of `images` images; return their outcomes and the accepted rows."""
    outcomes: list[Outcome] = []
    parts: list[dict[str, np.ndarray]] = []
    while len(outcomes) < images:
        batch = next(stream)
        values = compiled.forward(batch.pixels)
        parts.append({name: values[name][batch.accepted] for name in compiled.shapes})
        outcomes.extend(batch.outcomes)
        bar.update(len(batch.outcomes))
    features = {name: np.concatenate([part[name] for part in parts]) for name in compiled.shapes}
    return outcomes, features


def as_rows(
    source: Source, outcomes: list[Outcome], features: dict[str, np.ndarray], store: str
) -> Rows:
    """Return the rows of accepted images with what the source knows of them.

    Reasons of rejected ones are cut to `rows.REASON_CHARACTERS`.
    """
    accepted = [outcome for outcome in outcomes if outcome.reason is None]
    records = [source[outcome.index] for outcome in accepted]
    digests = b"".join(outcome.digest for outcome in accepted)
    return Rows(
        features={name: values.astype(store, copy=False) for name, values in features.items()},
        ids=[record.id for record in records],
        digests=np.frombuffer(digests, np.uint8).reshape(-1, DIGEST_BYTES),
        labels=np.array([record.label for record in records], np.int32),
        splits=np.array([record.split for record in records], np.uint8),
        rejected=[
            (source[outcome.index].id, shortened(outcome.reason))
            for outcome in outcomes
            if outcome.reason is not None
        ],
        extra={
            name: [texts[outcome.index] for outcome in accepted]
            for name, texts in source.columns.items()
        },
    )


def attributes(plan: Plan, started: float, images: int) -> dict[str, Any]:
    """Return what the file says of itself; only `provenance` differs between equal runs."""
    provenance = {
        "source": str(plan.source.location),
        "licence": plan.weights.licence,
        "created": time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime()),
        "seconds": round(time.time() - started, 1),
        "images_this_run": images,
        "platform": platform.platform(),
        "python": platform.python_version(),
    }
    return {
        "class_names": json.dumps(plan.source.class_names),
        "recipe": plan.recipe.to_json(),
        "recipe_digest": plan.recipe.digest,
        "provenance": json.dumps(provenance),
    }


def joined(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Join ranges that touch, so that loading does not pause between them."""
    result: list[tuple[int, int]] = []
    for start, stop in ranges:
        if result and result[-1][1] == start:
            start = result.pop()[0]
        result.append((start, stop))
    return result


def report_rejected(rejected: list[tuple[str, str]], rows: int, config: ExtractConfig) -> None:
    """Warn of images that gave no row; raise DataError where they are too many."""
    if not rejected:
        return
    total = rows + len(rejected)
    reasons = Counter(reason for _, reason in rejected)
    common = "; ".join(f"{count} x {reason}" for reason, count in reasons.most_common(3))
    first = ", ".join(image for image, _ in rejected[:3])
    message = (
        f"{len(rejected)} of {total} images were rejected ({common}), such as {first}; "
        f"all are listed in {config.out} under /rejected"
    )
    if len(rejected) > config.max_rejected * total:
        raise DataError(f"{message}; more than --max-rejected {config.max_rejected:g}")
    log.warning("%s", message)
