"""The extract stage: a source of images in, the path of a feature file out."""

from pathlib import Path

from features.config import ExtractConfig
from features.extraction import run as extraction
from features.extraction.shards import partial_folder
from features.sources.reading import Reading


def read_source(config: ExtractConfig) -> Reading:
    """Return how the source is read; no image is decoded and nothing is written."""
    return extraction.read_source(config.source, config.limit, config.splits)


def run(config: ExtractConfig) -> Path:
    """Extract features as `config` says; see `features.extraction.run`."""
    return extraction.run(config)


def unfinished(config: ExtractConfig) -> Path:
    """Return the folder on this machine where unfinished work lies."""
    return partial_folder(config.out)
