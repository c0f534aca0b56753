"""The consolidate stage: a feature file in, the same in the other layout out; or several in."""

from pathlib import Path

from features.extraction.consolidating import consolidate
from pipeline.config import ConsolidateConfig


def run(config: ConsolidateConfig) -> Path:
    """Write a feature file in another layout, or join several; return its path.

    Raises:
        UsageError: it has that layout already, or there is something at `out`.
        DataError: a file is damaged, or the new one cannot be written; or files differ in their
            settings, or have an id in common.
    """
    return consolidate(config.features, config.out, config.layout, config.progress)
