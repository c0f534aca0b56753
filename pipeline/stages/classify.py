"""The classify stage: feature files in, a folder with a candidate for each classifier out."""

import json
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from features.errors import UsageError
from features.records import blake2b
from features.shards import locked
from pipeline.classifiers import SUITE, find
from pipeline.classifiers.base import Classifier
from pipeline.config import ClassifyConfig
from pipeline.data import duplicates
from pipeline.data.images import Images, check_same_images, read_images
from pipeline.data.layers import Layer, find_layers, write_matrix
from pipeline.data.splits import Splits
from pipeline.results.records import RECORD, SCHEMA, Record, candidates
from pipeline.results.shared_splits import discard_candidates, load_or_make_splits
from pipeline.search.runner import CLASSIFIER, CandidateRunner, PlannedCandidate
from pipeline.search.worker import Worker

log = logging.getLogger("offshelf")

WORKSHOP = ".work"  # what is in it goes when the run ends


def run(config: ClassifyConfig) -> Path:
    """Fit and tune every classifier on every layer; return the folder of the results.

    What is finished there is kept, so that the same command goes on after an interruption.

    Raises:
        UsageError: an unknown name, feature files of different images, or a results folder made
            from other images or with other splits.
        DataError: a feature file is incomplete, damaged, unlabelled or of one class only; a class
            has too few images; or no candidate could be finished.
        MissingPackageError: a classifier that was asked for by name needs a package.
    """
    methods = _methods(config)
    images, layers = _read(config)
    with locked(config.out):
        splits = _splits(config, images)
        log.info("%s", splits.counts())
        wanted = [
            _candidate(config, layer, method, splits) for layer in layers for method in methods
        ]
        left = _unfinished(config, wanted)
        if left:
            with _workshop(config.out) as workshop, Worker(workshop / "worker.log") as worker:
                matrices = _matrices(workshop, images, left)
                _find_duplicates(config.out, splits, images, next(iter(matrices.values())))
                CandidateRunner(config, splits, matrices, worker).run(left)
    return config.out


def _methods(config: ClassifyConfig) -> list[Classifier]:
    """Return the classifiers to fit."""
    return [find(name) for name in dict.fromkeys(config.classifiers)] or list(SUITE)


def _read(config: ClassifyConfig) -> tuple[Images, list[Layer]]:
    """Return the images, which all feature files must share, and the layers to learn from."""
    layers: dict[str, Layer] = {}
    first = read_images(config.features[0], config.group_by)
    for path in config.features:
        if path != config.features[0]:
            check_same_images(first, path, read_images(path, config.group_by))
        for layer in find_layers(path, config.layers):
            if (other := layers.setdefault(layer.title, layer)) is not layer:
                raise UsageError(
                    f"both {other.path} and {path} hold {layer.title}; classify them with an "
                    "--out each, and compare the two folders"
                )
    if first.unlabelled:
        log.info("%d images have no label and are left out", first.unlabelled)
    return first, list(layers.values())


def _splits(config: ClassifyConfig, images: Images) -> Splits:
    """Return the splits, which are those that the results folder has, if it has any."""
    if config.restart:
        discard_candidates(config.out, lambda record: record.kind == CLASSIFIER)
    return load_or_make_splits(config.out, images, config.folds, config.seed)


def _candidate(
    config: ClassifyConfig, layer: Layer, method: Classifier, splits: Splits
) -> PlannedCandidate:
    decides = [SCHEMA, method.name, layer.title, layer.digest, splits.digest, config.metric,
               config.tune, config.seed]  # fmt: skip
    return PlannedCandidate(method, layer, blake2b(json.dumps(decides).encode()).hex())


def _unfinished(config: ClassifyConfig, wanted: list[PlannedCandidate]) -> list[PlannedCandidate]:
    """Return the candidates that are not in the results folder yet.

    Raises:
        UsageError: a candidate of the same name learned from other features.
    """
    there = candidates(config.out) if any(config.out.glob(f"*/{RECORD}")) else {}
    layers = {candidate.layer.title: candidate.layer for candidate in wanted}
    for name, record in there.items():
        layer = layers.get(f"{record.inputs.get('backbone')}.{record.inputs.get('layer')}")
        if layer and record.inputs["content"] != layer.digest:
            raise UsageError(
                f"{config.out} holds {name} from another feature file ({record.inputs['file']}); "
                "choose another --out, or --restart to throw its candidates away"
            )
    done = {record.key for record in there.values() if not _deserves_more(record, config.budget)}
    left = [candidate for candidate in wanted if candidate.key not in done]
    if len(left) < len(wanted):
        log.info("%d of %d candidates are finished already", len(wanted) - len(left), len(wanted))
    return left


def _deserves_more(record: Record, budget: float | None) -> bool:
    """Tell whether something was given up for lack of time, and there is more time now."""
    return (
        bool(record.reason)
        and record.budget is not None
        and (budget is None or budget > record.budget)
    )


def _matrices(workshop: Path, images: Images, left: list[PlannedCandidate]) -> dict[str, Path]:
    """Write each layer's features to a file that all processes map; return these by title."""
    layers = {candidate.layer.title: candidate.layer for candidate in left}
    matrices = {title: workshop / f"{number}.npy" for number, title in enumerate(layers)}
    for title, layer in layers.items():
        write_matrix(layer, images.rows, matrices[title])
    return matrices


def _find_duplicates(out: Path, splits: Splits, images: Images, matrix: Path) -> None:
    """List images that have a twin in another part, unless an earlier run did."""
    import numpy as np

    if (out / duplicates.FILE).exists():
        return
    found = duplicates.pairs(splits, images.digests, np.load(matrix, mmap_mode="r"))
    log.info("%s", found.summary(duplicates.write(out, found)))


@contextmanager
def _workshop(out: Path) -> Iterator[Path]:
    folder = out / WORKSHOP
    shutil.rmtree(folder, ignore_errors=True)  # of a run that was killed
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
