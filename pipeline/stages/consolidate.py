"""The consolidate stage: a feature file in, the same in the other layout out."""

from pathlib import Path

from features.extraction.consolidating import consolidate
from pipeline.config import ConsolidateConfig


def run(config: ConsolidateConfig) -> Path:
    """Write a feature file in another layout; return its path.

    Raises:
        UsageError: it has that layout already, or there is something at `out`.
        DataError: the file is damaged, or the new one cannot be written.
    """
    return consolidate(config.features, config.out, config.layout, config.progress)
