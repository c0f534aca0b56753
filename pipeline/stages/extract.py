"""The extract stage: a source of images in, the path of a feature file out."""

from pathlib import Path

from features import extraction
from features.config import ExtractConfig


def run(config: ExtractConfig) -> Path:
    """Extract features as `config` says; see `features.extraction.run`."""
    return extraction.run(config)
