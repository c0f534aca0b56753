"""The predict stage: new images in, a table of their classes out."""

import json
import logging
from collections import Counter
from collections.abc import Generator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from features.decoding.trial import Look
from features.disk import durable
from features.disk.locks import locked
from features.errors import DataError
from features.extraction.watch import Watch
from features.processes.progress import progress_bar
from features.sources.base import Source
from features.sources.reading import log_reading
from features.text import safe_name
from pipeline.classifiers.threads import one_thread
from pipeline.config import PredictConfig
from pipeline.config.predicting import EXPLAINED
from pipeline.predictors.agreement import check_agreement
from pipeline.predictors.explaining import explainer
from pipeline.predictors.judgement import Judge, judge_of
from pipeline.predictors.kit import Kit, open_kit
from pipeline.predictors.of_images import ImagePredictor, image_predictor
from pipeline.predictors.parts import Parts, partial_folder
from pipeline.predictors.sources import STANDARD_INPUT, open_images
from pipeline.reports.overlays import overlay
from pipeline.results import new_predictions, submission
from pipeline.results.decisions import decide
from pipeline.results.in_stores import in_stores
from pipeline.results.new_predictions import NewPredictions
from pipeline.results.records import versions
from pipeline.results.stored import local_path

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger("offshelf")


@in_stores(reads=("results",), files=("out",), inputs=("submission",))
def run(config: PredictConfig) -> NewPredictions:
    """Predict images that are new; a repeated run goes on from where an earlier one stopped.

    Raises:
        UsageError: no results folder, an unknown candidate, one of another tool, no image, or
            an output that holds something else.
        DataError: a record, the model, the features or the source are missing, damaged or others,
            or no image can be read.
        MissingPackageError: the candidate needs a package.
    """
    durable.prepare_folder(config.out.parent)
    new_predictions.check_replaceable(config.out)
    with (
        open_kit(config.results, config.candidate, config.metric, config.features) as kit,
        open_images(config.images, config.limit) as source,
        locked(partial_folder(config.out)),
    ):
        log_reading(source.reading)
        predictor = image_predictor(
            kit, config.weights, config.engine, config.precision, config.trust
        )
        asked = not (config.engine is config.precision is None)
        check_agreement(kit, predictor, config.features, asked)
        names = kit.record.class_names
        sample = submission.read_sample(config.submission, names) if config.submission else None
        top = len(names) if sample else config.top
        judge = judge_of(kit, top, config.coverage, config.alarms)
        facts = _describe(kit, predictor, judge, source)
        schema = new_predictions.columns(judge.top)
        parts = Parts(config.out, len(source), predictor.batch_size, schema)
        kept = parts.resume(facts, source, config.restart)
        predictor = _watched(predictor, source, parts.folder)
        if kept:
            log.info("resuming: %d of %d images were there", kept, len(source))
        _predict(parts, kept, source, predictor, judge, config.progress)
        facts |= _counts(parts)
        result = new_predictions.write(config.out, parts.read(), facts)
        if config.explain is not None:
            _explain(config.explain, source, kit, predictor, config)
        if sample is not None:
            submission.write(sample, config.out, parts.read(), names)
        parts.discard()
    if facts["unreadable"] == len(source):
        raise DataError(f"no image could be read; the reasons are in {config.out}")
    return result


def unfinished(config: PredictConfig) -> Path | None:
    """Return the folder where unfinished work lies; None where a run cannot be begun again."""
    return None if STANDARD_INPUT in config.images else partial_folder(local_path(config.out))


def _watched(predictor: ImagePredictor, source: Source, folder: Path) -> ImagePredictor:
    """Return a predictor that notes in a folder which images it decodes, see `features`."""
    watch = Watch(folder, Look(predictor.size, **predictor.loading))
    watch.take_up(source)
    return replace(predictor, loading=predictor.loading | {"watch": watch})


def _predict(
    parts: Parts,
    kept: int,
    source: Source,
    predictor: ImagePredictor,
    judge: Judge,
    progress: bool,
) -> None:
    """Predict the images of the parts that are missing; each part is safe before the next one."""
    total = len(source)
    try:
        # The network has its own threads; what follows are small products.
        with one_thread(), progress_bar(total, kept, "image", progress) as bar:
            for start, stop in parts.missing():
                with closing(_rows(source, predictor, judge, start, stop, bar)) as tables:
                    import pyarrow as pa

                    parts.write(start, pa.concat_tables(tables))
                kept += stop - start
    except KeyboardInterrupt:
        log.warning(
            "stopped: %d of %d images are kept in %s; the same command goes on from there",
            kept, total, parts.folder,
        )  # fmt: skip
        raise


def _rows(
    source: Source, predictor: ImagePredictor, judge: Judge, start: int, stop: int, bar: Any
) -> "Generator[pa.Table]":
    """Yield the rows of a range of images, batch by batch."""
    with closing(predictor.batches(source, start, stop)) as batches:
        for batch in batches:
            vectors = predictor.vectors(batch.pixels)[batch.accepted]  # (a, D)
            probabilities = predictor.probabilities(vectors)  # (a, K)
            ids = [source[outcome.index].id for outcome in batch.outcomes]
            embedding = predictor.embedding(vectors)
            yield judge.table(ids, list(batch.outcomes), embedding, probabilities)
            bar.update(len(batch.outcomes))


def _explain(
    folder: Path, source: Source, kit: Kit, predictor: ImagePredictor, config: PredictConfig
) -> None:
    """Write a picture of each of the first images: where the evidence for its class lies."""
    durable.prepare_folder(folder)
    explaining = explainer(kit, predictor, config.weights)
    count, names, methods = min(len(source), EXPLAINED), kit.record.class_names, Counter[str]()
    with (
        progress_bar(count, 0, "picture", config.progress) as bar,
        closing(predictor.batches(source, 0, count)) as batches,
    ):
        for batch in batches:
            probabilities = predictor.probabilities(predictor.vectors(batch.pixels))
            decided = decide(kit.record.threshold, names, probabilities, temperature=1.0)
            for row in batch.accepted.tolist():
                label = int(decided[row])
                explanation = explaining.explain(batch.pixels[row], label)
                methods[explanation.method] += 1
                name = f"{batch.start + row:05d}-{safe_name(names[label])}.png"
                durable.write(folder / name, overlay(batch.pixels[row], explanation.shown))
                bar.update(1)
    made = ", ".join(f"{count} by {method}" for method, count in methods.items()) or "none"
    log.info("pictures of the evidence in %s: %s, of %d images", folder, made, len(source))


def _describe(kit: Kit, predictor: ImagePredictor, judge: Judge, source: Source) -> dict[str, Any]:
    """Return all that decides the predictions, as JSON holds it."""
    record, thresholds = kit.record, judge.thresholds
    recipes = [json.loads(rebuilt.recipe.to_json()) for rebuilt in predictor.rebuilt]
    return {
        "schema": new_predictions.SCHEMA,
        "candidate": record.name,
        "key": record.key,
        "model": record.model.get("sha256"),
        "class_names": list(record.class_names),
        "temperature": record.temperature,
        "threshold": record.threshold,
        "splits": record.splits,
        "recipe": recipes[0] if len(recipes) == 1 else {},
        **({"recipes": recipes} if len(recipes) > 1 else {}),
        "top": judge.top,
        "coverage": thresholds.coverage,
        "lowest_probability": np.round(thresholds.lowest, 9).tolist(),
        "own_threshold": thresholds.own.tolist(),
        "alarms": judge.alarms if judge.familiarity else None,
        "source": {
            "kind": source.kind,
            "count": len(source),
            "fingerprint": source.fingerprint(),
        },
        "versions": versions("numpy", "scipy", "scikit-learn", "keras"),
    }


def _counts(parts: Parts) -> dict[str, Any]:
    """Return how many images have each class, cannot be read, and are unlike those learned from."""
    classes: Counter[str] = Counter()
    unlike, problems = 0, Counter[str]()
    for table in parts.read():
        classes.update(name for name in table["class"].to_pylist() if name is not None)
        unlike += sum(mark is True for mark in table["unlike"].to_pylist())
        problems.update(text for text in table["problem"].to_pylist() if text is not None)
    return {
        "classes": dict(classes.most_common()),
        "unlike": unlike,
        "unreadable": problems.total(),
        "problems": dict(problems.most_common(10)),
    }
