"""Images to a feature file: planned, computed shard by shard, assembled; begun anew or resumed."""

import json
import logging
import math
import platform
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from features.arguments import ImageSize, Names, SplitFolders
from features.config import INT8, RAY, ExtractConfig
from features.disk.locks import locked
from features.engines.base import Compiled
from features.errors import DataError
from features.extraction import int8, ray_cluster, ray_executor
from features.extraction.planning import Plan, check_output, compile_model, plan_extraction
from features.extraction.reuse import is_finished, keep_unchanged
from features.extraction.shards import Shards, discard_shards, partial_folder, shard_images
from features.extraction.stream import stream_rows
from features.processes.progress import progress_bar
from features.processes.stopping import saying_how_to_go_on
from features.remote.attempts import telling_repeats
from features.remote.homes import without_home
from features.remote.location import is_remote
from features.remote.outputs import tell_working_path
from features.sources import open_source
from features.sources.base import Source
from features.sources.reading import Reading, log_reading, report_notes
from features.storage.index import discard_left
from features.storage.store import FeatureFile
from features.text import for_terminal

log = logging.getLogger("offshelf")


def extract(
    source: str | Path,
    out: str | Path,
    *,
    backbone: str | Path = ExtractConfig.backbone,
    weights: str | Path = ExtractConfig.weights,
    scaling: str | None = ExtractConfig.scaling,
    layers: Names | None = ExtractConfig.layers,
    pooling: str = ExtractConfig.pooling,
    image_size: ImageSize | None = ExtractConfig.image_size,
    resize: str = ExtractConfig.resize,
    interpolation: str = ExtractConfig.interpolation,
    exact_decode: bool = ExtractConfig.exact_decode,
    accept_damaged: bool = ExtractConfig.accept_damaged,
    decode_memory: float = ExtractConfig.decode_memory,
    engine: str = ExtractConfig.engine,
    precision: str = ExtractConfig.precision,
    force_int8: bool = ExtractConfig.force_int8,
    batch_size: int = ExtractConfig.batch_size,
    store: str = ExtractConfig.store,
    layout: str = ExtractConfig.layout,
    limit: int | None = ExtractConfig.limit,
    splits: SplitFolders | None = ExtractConfig.splits,
    max_rejected: float = ExtractConfig.max_rejected,
    restart: bool = ExtractConfig.restart,
    trust_source: bool = ExtractConfig.trust_source,
    seed: int = ExtractConfig.seed,
    progress: bool = ExtractConfig.progress,
    executor: str = ExtractConfig.executor,
    ray_address: str | None = ExtractConfig.ray_address,
    workers: int | None = ExtractConfig.workers,
    gpus_per_worker: int = ExtractConfig.gpus_per_worker,
) -> Path:
    """Turn images into a feature file, as `python -m pipeline extract` does.

    A repeated call goes on from where an earlier one stopped, and does nothing where the file is
    there already.

    Args:
        source: a folder, a manifest, an archive, a pattern of shards or a file of arrays.
        out: the feature file to write; of one in shards the index.
        backbone: the name of a network from the catalog, or of a hand-crafted descriptor; or an
            own network, the path of an `.onnx`, `.xml` or `.keras` file; or "timm/" and a name.
        weights: "imagenet" (from whichever source has them), the name of one weights source, a
            path to a weights file, or "none" for seeded random weights.
        scaling: the pixel scaling of a weights file given by path; None takes the one noted beside
            the file, else the one of Keras' own weights for this backbone. Of an own network: None
            takes what its file says.
        layers: the layers to tap, as one name, names with commas, or a sequence of names; None
            takes the last layer.
        pooling: "avg", "max", "avgmax", "flatten" or "none"; "token" takes the first of a
            transformer's tokens, the class token.
        image_size: height and width the network sees, in pixels, or one int for both; None takes
            the backbone's own.
        resize: "stretch" keeps the whole image, "crop" its aspect ratio.
        interpolation: "bilinear", "bicubic", "lanczos" or "nearest", always with antialiasing.
        exact_decode: decode JPEGs at full scale also where half of it would do.
        accept_damaged: take damaged JPEGs as far as they can be decoded; they are counted.
        decode_memory: the GiB that decoding may take, all threads together. Large images wait
            until so much is free; one that needs more is rejected.
        engine: "openvino", "tensorflow", "jax", "torch", or "auto" for the fastest here.
        precision: "float32", "bfloat16", "float16", or "auto" for the fastest of them here; "int8"
            is calibrated on images of the source, for OpenVINO alone.
        force_int8: take int8 also where it loses more of the features than the guard allows.
        batch_size: images in a forward pass.
        store: dtype of the stored features, "float32" or "float16".
        layout: "single" writes one file, "sharded" an index and a folder of many files beside it.
        limit: take that many images only, spread evenly over the source.
        splits: which folder holds which split, such as {"train": "training_set"}, where their
            names do not say so.
        max_rejected: the share of unreadable images, 0 to 1, above which the call fails.
        restart: discard what an earlier run left and begin anew.
        trust_source: take images for those of an earlier run by their names, labels and sizes,
            and do not read them again to compare their content.
        seed: seed of the random weights, and of the images that int8 is calibrated on.
        progress: whether to show a progress bar.
        executor: "local" computes in this process, "ray" in the workers of a Ray cluster.
        ray_address: the cluster's address; None takes $RAY_ADDRESS, else starts one here.
        workers: the number of workers of Ray; None takes one for each node, or for each GPU.
        gpus_per_worker: the number of GPUs that each of them has.

    Returns:
        `out` as a Path, which `features.FeatureFile` opens.

    Raises:
        UsageError: a value is not what its option expects, or `out` holds something else.
        DataError: the source or the weights are not what they should be, or more than
            `max_rejected` of the images could not be read (everything else is written by then); or
            int8 loses too much of the features.
        MissingPackageError: the engine is not installed.
    """
    return run(ExtractConfig(**locals()))  # the parameters are the fields of the config


def read_source(
    source: str | Path, limit: int | None = None, splits: SplitFolders | None = None
) -> Reading:
    """Look at a source without decoding an image, as `extract --dry-run` does.

    Args:
        source: as in `extract`.
        limit: as in `extract`.
        splits: as in `extract`.

    Returns:
        How it is read: numbers of images by class and split, files that are passed over by kind,
        what lies there unread, and warnings. Its `sentence()` says it in one line.

    Raises:
        UsageError: as `open_source`.
        DataError: as `open_source`.
    """
    with open_source(source, limit, splits) as opened:
        return opened.reading


def run(config: ExtractConfig, tells_reading: bool = True) -> Path:
    """Extract as `config` says; a repeated call goes on from where an earlier one stopped.

    Args:
        config: the settings.
        tells_reading: whether to say how the source was read; a source that is no user's is not.
    """
    with telling_repeats():
        return _run(config, tells_reading)


def _run(config: ExtractConfig, tells_reading: bool) -> Path:
    if config.executor == RAY:
        ray_cluster.check(config)
    check_output(config.out)
    with (
        _opened(config) as source,
        locked(partial_folder(config.out)),
    ):
        discard_left(partial_folder(config.out), config.out)
        if tells_reading:
            log_reading(source.reading)
        plan = plan_extraction(config, source)
        if not config.restart:
            plan.watch.take_up(source)
        if is_finished(plan):
            discard_shards(config.out)  # a kill may have left some
            int8.restore(plan)
        else:
            compute_features(plan)
    with FeatureFile(config.out) as file:
        report_notes(file.notes)
        report_rejected(file.rejected, len(file), config)
    source.check_end(config.out)
    return config.out


def _opened(config: ExtractConfig) -> Source:
    """Return the images; their place is absolute where workers have other working folders."""
    is_far = is_remote(config.source) or config.executor != RAY
    place = config.source if is_far else config.source.absolute()
    return open_source(place, config.limit, config.splits)


def compute_features(plan: Plan) -> None:
    """Compute and keep the shards that are missing, then assemble the feature file from all."""
    started, config, choice = time.perf_counter(), plan.config, plan.model.choice
    tell_working_path(config.out)
    log.info("engine %s in %s: %s", choice.engine, choice.precision, choice.reason)
    network, losses = _compiled(plan)
    row_bytes = sum(4 * math.prod(shape) for shape in network.shapes.values())
    images = shard_images(row_bytes, config.batch_size, len(plan.source))
    shards = Shards(config.out, plan.recipe, len(plan.source), images)
    shards.resume(config.restart)
    keep_unchanged(plan, shards)
    if kept := shards.covered:
        log.info("resuming: %d of %d images were there", kept, shards.total)
    with explaining_how_to_go_on(shards, config.restart):
        write_missing_shards(shards, plan, network)
        attributes = describe_file(plan, started, shards.total - kept, losses)
        attributes["notes"] = json.dumps(shards.notes)
        shards.assemble(config.out, attributes, config.layout)


def _compiled(plan: Plan) -> tuple[Compiled, list[dict[str, Any]]]:
    """Return the network ready to run, and what int8 loses by layer; empty without int8."""
    if plan.model.choice.precision == INT8:
        return int8.compile_guarded(plan)
    return compile_model(plan.model, plan.recipe), []


def write_missing_shards(shards: Shards, plan: Plan, network: Compiled) -> None:
    """Compute every shard that is missing, in order; each is safe on disk before the next one.

    The workers of Ray compute them in any order.
    """
    if plan.config.executor == RAY:
        shown = plan.config.progress
        with progress_bar(shards.total, shards.covered, "image", shown) as bar:
            ray_executor.compute_shards(plan, shards, bar.update)
        return
    with (
        progress_bar(shards.total, shards.covered, "image", plan.config.progress) as bar,
        closing(stream_rows(plan, network, shards.missing(), bar.update)) as stream,
    ):
        for start, stop, rows in stream:
            shards.write(start, stop, rows)


@contextmanager
def explaining_how_to_go_on(shards: Shards, restart: bool) -> Iterator[None]:
    """Add to an error, or log at Ctrl-C, what the run leaves and how to make use of it."""

    def advice() -> str:
        return (
            f"{shards.covered} of {shards.total} images are kept in {shards.place}; the same "
            f"command {'without --restart ' if restart else ''}goes on from there"
        )

    try:
        with saying_how_to_go_on(advice):
            yield
    except DataError as error:
        raise DataError(f"{error}; {advice()}") from None


def describe_file(
    plan: Plan, started: float, images: int, losses: list[dict[str, Any]]
) -> dict[str, Any]:
    """Return the attributes of the feature file; only `provenance` differs between equal runs.

    Args:
        plan: the plan of the extraction.
        started: when the run began, as `time.perf_counter` gives it.
        images: the number of images that this run computed.
        losses: what int8 loses by layer, as `int8.compile_guarded` returns it; else empty.
    """
    provenance = {
        "source": without_home(plan.source.location),
        "options": {"limit": plan.config.limit, "splits": plan.config.splits},
        "reading": plan.source.reading.to_dict(),
        "licence": plan.model.licence,
        "created": time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime()),
        "seconds": round(time.perf_counter() - started, 1),
        "images_this_run": images,
        "platform": platform.platform(),
        "python": platform.python_version(),
    }
    if losses:
        provenance["int8"] = losses
    return {
        "class_names": json.dumps(plan.source.class_names),
        "recipe": plan.recipe.to_json(),
        "recipe_digest": plan.recipe.digest,
        "provenance": json.dumps(provenance),
    }


def report_rejected(rejected: list[tuple[str, str]], rows: int, config: ExtractConfig) -> None:
    """Warn of images that gave no row; raise DataError where they are too many."""
    if not rejected:
        return
    total = rows + len(rejected)
    reasons = Counter(reason for _, reason in rejected)
    common = "; ".join(f"{count} x {reason}" for reason, count in reasons.most_common(3))
    examples = ", ".join(for_terminal(image) for image, _ in rejected[:3])
    message = (
        f"{len(rejected)} of {total} images were rejected ({common}), such as {examples}; "
        f"all are listed in {config.out} under /rejected"
    )
    if len(rejected) > config.max_rejected * total:
        raise DataError(f"{message}; more than --max-rejected {config.max_rejected:g}")
    log.warning("%s", message)
