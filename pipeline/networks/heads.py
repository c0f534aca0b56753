"""Where the head of a network to be fine-tuned starts."""

import logging
from functools import partial
from typing import Any

from features.backbones.catalog import Backbone
from features.backbones.stored import Weights
from pipeline.config import FinetuneConfig
from pipeline.config.choices import RANDOM_HEAD
from pipeline.networks.linear_head import LinearHead, find_head, fitting_heads
from pipeline.networks.own_head import OwnHead, body_of
from pipeline.networks.pixels import Pixels
from pipeline.results.records import RECORD, read_record

log = logging.getLogger("offshelf")

Head = LinearHead | OwnHead


def choose(
    config: FinetuneConfig,
    name: str,
    images: Pixels,
    backbone: Backbone,
    weights: Weights,
    facts: dict[str, Any],
) -> Head | None:
    """Return the head that a config asks for; None for one that starts from random weights.

    By default it starts from a candidate of the results folder that fits the network, and where
    there is none, from a classifier that is fitted for it. A network of this name that is finished
    keeps the start that it had.

    Args:
        config: the config of the stage.
        name: the name of the network's candidate.
        images: all images and their splits.
        backbone: the backbone to be fine-tuned.
        weights: its weights.
        facts: the facts from which the network is built.

    Raises:
        UsageError: the candidate that is asked for does not fit the network.
        DataError: a record cannot be read.
    """
    if config.head == RANDOM_HEAD:
        return None
    network = (images.splits, backbone, weights.sha256, images.size, config.features)
    if config.head is not None:
        return find_head(config.head, config.out, *network)
    heads: list[Head | None] = [
        *fitting_heads(config.out, *network),
        OwnHead(images, partial(body_of, weights, facts), config.seed),
    ]
    head = next((each for each in (*heads, None) if _is_start_of(config, name, each)), heads[0])
    log.info("the head starts from %s%s", *_described(head))
    return head


def _is_start_of(config: FinetuneConfig, name: str, head: Head | None) -> bool:
    """Return whether the network of this name, if it is finished, started from this head."""
    folder = config.out / name
    if not (folder / RECORD).is_file():
        return True
    start: Any = read_record(folder).setting.get("head")
    return start == (None if head is None else head.key)


def _described(head: Head | None) -> tuple[str, str]:
    otherwise = " (--head none: from random weights)"
    if head is None:
        return "random weights", ", as it did"
    if isinstance(head, OwnHead):
        return f"a logistic regression fitted on {head.passes} images", otherwise
    return head.record.name, otherwise
