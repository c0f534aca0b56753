"""The loop: batches -> network -> shards -> feature file; begun anew or resumed."""

import json
import logging
import math
import platform
import time
from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from features import durable
from features.backbones import catalog
from features.backbones.network import build, feature_shapes, with_taps
from features.backbones.weights import Weights, resolve
from features.config import INTERPOLATIONS, RESIZES, STORES, ExtractConfig
from features.engines import ENGINES, PRECISION, Forward, compile_network
from features.errors import DataError, UsageError, unknown_name
from features.loading import load
from features.records import DIGEST_BYTES, Batch, Outcome, Recipe
from features.shards import Shards, check_same, locked, partial_folder, shard_images
from features.sources import open_source
from features.sources.base import Source
from features.store import FeatureFile, Rows

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
        job = Job(config, source)
        if not job.is_done():
            with locked(partial_folder(config.out)):
                job.extract()
    with FeatureFile(config.out) as file:
        report_rejected(file.rejected, len(file), config)
    return config.out


def check_options(config: ExtractConfig) -> None:
    """Raise UsageError for a setting outside its known values, or an output that cannot be."""
    backbone = catalog.find(config.backbone)
    choices = {
        "resize": (config.resize, RESIZES),
        "interpolation": (config.interpolation, INTERPOLATIONS),
        "pooling": (config.pooling, catalog.POOLINGS),
        "store dtype": (config.store, STORES),
    }
    for kind, (name, known) in choices.items():
        if name not in known:
            raise unknown_name(kind, name, list(known))
    if config.batch_size < 1:
        raise UsageError(f"batch size {config.batch_size}: expected at least 1")
    if min(config.image_size or (backbone.size,)) < backbone.min_size:
        height, width = config.image_size or (0, 0)
        raise UsageError(
            f"{backbone.name} needs images of at least {backbone.min_size} pixels a side, got "
            f"{height}x{width}; use --image-size {backbone.min_size} or more"
        )
    check_output(config)


def check_output(config: ExtractConfig) -> None:
    """Make the output's folder; UsageError where it cannot be written or `out` is not ours."""
    out = config.out
    durable.prepare_folder(out.parent)
    if out.exists():
        try:
            FeatureFile(out).close()
        except DataError as error:
            raise UsageError(f"{error}; it is not overwritten, choose another --out") from None


@dataclass(frozen=True)
class Job:
    """One extraction: what was asked, the images, and everything that follows from both."""

    config: ExtractConfig
    source: Source

    @cached_property
    def backbone(self) -> catalog.Backbone:
        """The catalog's entry."""
        return catalog.find(self.config.backbone)

    @cached_property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers to tap."""
        return tuple(catalog.resolve_layers(self.backbone, self.config.layers))

    @cached_property
    def size(self) -> tuple[int, int]:
        """Height and width the network sees."""
        return self.config.image_size or (self.backbone.size, self.backbone.size)

    @cached_property
    def weights(self) -> Weights:
        """The weights, fetched on first use."""
        config = self.config
        return resolve(self.backbone, config.weights, config.scaling, config.seed)

    @cached_property
    def recipe(self) -> Recipe:
        """The recipe; known before any network is built."""
        config = self.config
        return Recipe(
            backbone=self.backbone.name,
            weights={"origin": self.weights.origin, "sha256": self.weights.sha256},
            layers=self.layers,
            pooling=config.pooling,
            image_size=self.size,
            resize=config.resize,
            interpolation=config.interpolation,
            scaling=self.weights.scaling.to_dict(),
            engine=ENGINES[0],
            precision=PRECISION,
            store=config.store,
            batch_size=config.batch_size,
            source={
                "kind": self.source.kind,
                "count": len(self.source),
                "fingerprint": self.source.fingerprint(),
            },
            versions={
                name: version(name)
                for name in ("offshelf", "keras", "tensorflow", "numpy", "pillow", "h5py")
            },
        )

    def is_done(self) -> bool:
        """Tell whether the output is there already, whole and by this very recipe."""
        out = self.config.out
        if self.config.restart or not out.exists():
            return False
        with FeatureFile(out) as file:
            check_same(file.recipe, self.recipe, out)
            log.info("%s is there already: %d images", out, len(file))
        return True

    def extract(self) -> None:
        """Compute the missing shards, keep each as it is done, assemble them all."""
        started = time.time()
        network = self._network()
        shapes = feature_shapes(network).values()
        row_bytes = sum(4 * math.prod(shape) for shape in shapes)
        images = shard_images(row_bytes, self.config.batch_size)
        shards = Shards(self.config.out, self.recipe, len(self.source), images)
        kept = shards.resume(self.config.restart)
        if kept:
            log.info("resuming: %d of %d images were there", kept, len(self.source))
        try:
            self._fill(shards, network, kept)
        except KeyboardInterrupt:
            log.warning(
                "stopped: %d of %d images are kept in %s; the same command goes on from there",
                shards.covered, len(self.source), shards.folder,
            )  # fmt: skip
            raise
        shards.assemble(self.config.out, self._attributes(started, kept))

    def _network(self) -> Any:
        base = build(self.backbone, self.size)
        self.weights.load_into(base)
        return with_taps(
            base, self.backbone, self.layers, self.config.pooling, self.weights.scaling
        )

    def _fill(self, shards: Shards, network: Any, kept: int) -> None:
        if not (missing := shards.missing()):
            return
        batch_shape = (self.config.batch_size, *self.size, 3)
        forward = compile_network(ENGINES[0], network, batch_shape)
        with progress_bar(len(self.source), kept, self.config.progress) as bar:
            for first, last in joined(missing):
                with closing(self._load(first, last)) as batches:
                    for start in range(first, last, shards.images):
                        stop = min(start + shards.images, last)
                        rows = self._rows(start, stop, batches, forward, bar)
                        shards.write(start, stop, rows)

    def _load(self, start: int, stop: int) -> Generator[Batch]:
        config = self.config
        return load(
            self.source, self.size, config.resize, config.interpolation, config.batch_size,
            start, stop,
        )  # fmt: skip

    def _rows(
        self, start: int, stop: int, batches: Iterator[Batch], forward: Forward, bar: Any
    ) -> Rows:
        """Take the batches of one shard from the stream and return its rows."""
        outcomes: list[Outcome] = []
        parts: list[dict[str, np.ndarray]] = []
        while start + len(outcomes) < stop:
            batch = next(batches)
            values = forward(batch.pixels)
            parts.append({name: values[name][batch.accepted] for name in self.layers})
            outcomes.extend(batch.outcomes)
            bar.update(len(batch.outcomes))
        accepted = [outcome for outcome in outcomes if outcome.reason is None]
        records = [self.source[outcome.index] for outcome in accepted]
        digests = b"".join(outcome.digest for outcome in accepted)
        return Rows(
            features={
                name: np.concatenate([part[name] for part in parts]).astype(self.config.store)
                for name in self.layers
            },
            ids=[record.id for record in records],
            digests=np.frombuffer(digests, np.uint8).reshape(-1, DIGEST_BYTES),
            labels=np.array([record.label for record in records], np.int32),
            splits=np.array([record.split for record in records], np.uint8),
            rejected=[
                (self.source[outcome.index].id, outcome.reason)
                for outcome in outcomes
                if outcome.reason is not None
            ],
        )

    def _attributes(self, started: float, kept: int) -> dict[str, Any]:
        """Return what the file says of itself; only `provenance` differs between equal runs."""
        seconds = time.time() - started
        provenance = {
            "source": str(self.source.location),
            "licence": self.weights.licence,
            "created": time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime()),
            "seconds": round(seconds, 1),
            "images_this_run": len(self.source) - kept,
            "platform": platform.platform(),
            "python": platform.python_version(),
        }
        return {
            "class_names": json.dumps(self.source.class_names),
            "recipe": self.recipe.to_json(),
            "recipe_digest": self.recipe.digest,
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


def progress_bar(total: int, done: int, shown: bool) -> Any:
    """Return a progress bar in images with a rate and an ETA, on standard error."""
    import sys

    from tqdm import tqdm

    # In a log file every refresh is a line, so there they come rarely.
    interval = 0.2 if sys.stderr.isatty() else 10.0
    return tqdm(
        total=total, initial=done, unit="image", mininterval=interval, disable=not shown,
        dynamic_ncols=True, smoothing=0.1,
    )  # fmt: skip


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
