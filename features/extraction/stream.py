"""The stream of rows: images loaded ahead, run through the network, and joined shard by shard."""

from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing

import numpy as np

from features.config import ExtractConfig
from features.engines.base import Compiled
from features.extraction.loading import load
from features.extraction.planning import Plan
from features.extraction.watch import Watch
from features.records import DIGEST_BYTES, Batch, Outcome
from features.sources.base import Source
from features.storage.row_blocks import Rows, shortened

Range = tuple[int, int]  # index of the first image, and one past that of the last


def stream_rows(
    plan: Plan, network: Compiled, ranges: Iterable[Range], advance: Callable[[int], object]
) -> Generator[tuple[int, int, Rows]]:
    """Yield (start, stop, rows) for each range of images, in order.

    Args:
        plan: the plan of the extraction.
        network: what computes the features.
        ranges: increasing ranges of the source, such as those of the missing shards. Each but the
            source's last one holds a multiple of the batch size.
        advance: is called with the number of images in each batch that is done.
    """
    config, source = plan.config, plan.source
    for adjacent in grouped(ranges):
        first, last = adjacent[0][0], adjacent[-1][1]
        batches = load_batches(config, source, plan.given_size, first, last, plan.watch)
        with closing(batches):
            for start, stop in adjacent:
                outcomes, features = _compute(batches, stop - start, network, advance)
                yield start, stop, _as_rows(source, outcomes, features, config.store)


def load_batches(
    config: ExtractConfig,
    source: Source,
    size: tuple[int, int],
    start: int = 0,
    stop: int | None = None,
    watch: Watch | None = None,
) -> Generator[Batch]:
    """Yield the batches of a range of images, read and decoded ahead of their use."""
    return load(
        source, size, config.resize, config.interpolation, config.batch_size, start, stop,
        exact=config.exact_decode, accept_damaged=config.accept_damaged,
        decode_memory=config.decode_memory, watch=watch,
    )  # fmt: skip


def forward(network: Compiled, batch: Batch) -> dict[str, np.ndarray]:
    """Return the features of a batch's accepted images by layer: float32, (accepted, *shape)."""
    features = network.forward(batch.pixels)
    return {layer: features[layer][batch.accepted] for layer in network.shapes}


def grouped(ranges: Iterable[Range]) -> list[list[Range]]:
    """Group ranges that touch, so that loading does not pause between them."""
    groups: list[list[Range]] = []
    for start, stop in ranges:
        if groups and groups[-1][-1][1] == start:
            groups[-1].append((start, stop))
        else:
            groups.append([(start, stop)])
    return groups


def _compute(
    batches: Iterator[Batch], images: int, network: Compiled, advance: Callable[[int], object]
) -> tuple[list[Outcome], dict[str, np.ndarray]]:
    """Compute the next `images` images; return their outcomes and the features of the accepted."""
    outcomes: list[Outcome] = []
    features: list[dict[str, np.ndarray]] = []
    while len(outcomes) < images:
        batch = next(batches)
        features.append(forward(network, batch))
        outcomes.extend(batch.outcomes)
        advance(len(batch.outcomes))
    layers = network.shapes
    return outcomes, {layer: np.concatenate([f[layer] for f in features]) for layer in layers}


def _as_rows(
    source: Source, outcomes: list[Outcome], features: dict[str, np.ndarray], store: str
) -> Rows:
    """Return the features of accepted images with what the source knows of these images.

    Reasons for rejections are cut to `row_blocks.REASON_CHARACTERS`.
    """
    accepted = [outcome for outcome in outcomes if outcome.reason is None]
    records = [source[outcome.index] for outcome in accepted]
    digests = b"".join(outcome.digest for outcome in accepted)
    return Rows(
        features={layer: values.astype(store, copy=False) for layer, values in features.items()},
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
        notes=Counter(note for outcome in accepted for note in outcome.notes),
    )
