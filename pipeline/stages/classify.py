"""The classify stage: feature files in, a results folder of fitted classifiers out."""

import logging
from pathlib import Path

from features.errors import UsageError
from features.storage.store import FeatureFile
from pipeline import classifiers
from pipeline.classifiers.base import Classifier
from pipeline.config import ClassifyConfig
from pipeline.data import duplicates
from pipeline.data.images import Images, check_same_images, read_images, suggest_groups
from pipeline.data.joined import is_joined, join
from pipeline.data.layers import Layer, find_layers
from pipeline.data.splits import Splits
from pipeline.results import left_out, thresholds
from pipeline.results.folder import ResultsFolder
from pipeline.results.in_stores import in_stores
from pipeline.results.locks import locked_results
from pipeline.results.memory import give_back
from pipeline.results.records import CLASSIFIER
from pipeline.results.shared_splits import discard_candidates, load_or_make_splits
from pipeline.search import candidates
from pipeline.search.budget import Budget
from pipeline.search.candidates import PlannedCandidate
from pipeline.search.fitting import Matrix, opened
from pipeline.search.memory import Memory, measure
from pipeline.search.runner import CandidateRunner
from pipeline.search.worker import Worker
from pipeline.search.workspace import WORKER_LOG, matrices, workspace

log = logging.getLogger("offshelf")


@in_stores(writes=("out",))
def run(config: ClassifyConfig) -> ResultsFolder:
    """Tune and fit every classifier on every layer; return the results folder.

    Finished candidates are kept, so that the same call continues after an interruption.

    Raises:
        UsageError: an unknown name, feature files of different images, or a results folder made
            from other images or with other splits.
        DataError: a feature file is incomplete, damaged, unlabelled or of one class only; a class
            has too few images; or no candidate could be finished.
        MissingPackageError: a classifier that was asked for by name needs a package.
    """
    budget = Budget(config.budget)
    chosen = classifiers.choose(config.classifiers)
    images, layers = _read(config)
    thresholds.check(config.threshold, images.class_names)
    with locked_results(config.out):
        splits = _splits(config, images)
        log.info("%s", splits.counts())
        suited = candidates.suited(chosen, splits, config.metric)
        memory = _memory(config, splits, layers, suited)
        planned = candidates.plan(config, layers, suited, splits, memory)
        if remaining := candidates.unfinished(config, planned, memory):
            _fit(config, images, splits, remaining, budget, memory)
        keys = {candidate.key for candidate in planned}
        thresholds.settle(config.out, lambda record: record.key in keys, config.threshold)
    return ResultsFolder(config.out)


def _read(config: ClassifyConfig) -> tuple[Images, list[Layer]]:
    """Return the images, which all feature files must share, and the layers to learn from."""
    layers: dict[str, Layer] = {}
    with FeatureFile(config.features[0]) as file:
        joined = [name for name in config.layers if is_joined(name) and name not in file.layers]
    plain = [name for name in config.layers if name not in joined]
    images = read_images(config.features[0], config.group_by)
    if config.group_by is None:
        suggest_groups(config.features[0])
    for path in config.features:
        if path != config.features[0]:
            check_same_images(images, path, read_images(path, config.group_by))
        for layer in find_layers(path, plain) if plain or not joined else ():
            if (other := layers.setdefault(layer.title, layer)) is not layer:
                raise UsageError(
                    f"both {other.path} and {path} hold {layer.title}; classify them with an "
                    "--out each, and compare the two folders"
                )
    for name in joined:
        layer = join(config.features, name)
        layers[layer.title] = layer
    if images.unlabelled:
        log.info("%d images have no label and are left out", images.unlabelled)
    return images, list(layers.values())


def _splits(config: ClassifyConfig, images: Images) -> Splits:
    """Return the splits of the results folder, which are made if it has none."""
    if config.restart:
        left_out.write(config.out, {})
        discard_candidates(config.out, lambda record: record.kind == CLASSIFIER)
    return load_or_make_splits(config.out, images, config.folds, config.seed)


def _memory(
    config: ClassifyConfig, splits: Splits, layers: list[Layer], suited: list[Classifier]
) -> Memory:
    """Return the memory of the run, and say where features do not fit into it."""
    widths = [layer.dimensions for layer in layers]
    settings = max(len(classifier.space) for classifier in suited) if config.tune else 1
    memory = measure(config.memory, splits, widths, settings)
    if memory.by_blocks:
        log.info(
            "%s images x %s features are read in blocks, as they do not fit into %.1f GB "
            "(--memory); %s",
            f"{len(splits):,}", f"{max(widths):,}", memory.limit / 1e9,
            "classifiers that cannot learn so take a stratified sample, which their names say",
        )  # fmt: skip
    return memory


def _fit(
    config: ClassifyConfig,
    images: Images,
    splits: Splits,
    remaining: list[PlannedCandidate],
    budget: Budget,
    memory: Memory,
) -> None:
    """List the duplicates and fit the candidates in a worker process."""
    with workspace(config.out) as folder, Worker(folder / WORKER_LOG) as worker:
        found = matrices(folder, images, remaining, memory)
        _list_duplicates(config.out, splits, images, next(iter(found.values())))
        give_back()
        CandidateRunner(config, splits, found, worker, budget, memory).run(remaining)


def _list_duplicates(out: Path, splits: Splits, images: Images, matrix: Matrix) -> None:
    """List the images that have a near-duplicate in another split, unless that was done before."""
    if (out / duplicates.FILE).exists():
        return
    if len(splits) > duplicates.LARGEST:
        log.info("looking for duplicates among %s images", f"{len(splits):,}")
    try:
        pairs = duplicates.find_duplicates(splits, images.digests, opened(matrix))
    except Exception as error:  # candidates do not depend on it, so they are fitted all the same
        why = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        log.warning("duplicates are not listed, because the search for them failed: %s", why)
        return
    log.info("%s", pairs.summary(duplicates.write(out, pairs)))
