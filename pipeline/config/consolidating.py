"""Settings of the stage that writes a feature file in another layout."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from features.arguments import as_location, check_choice, check_flag, normalize, optional
from features.records import LAYOUTS


@dataclass(frozen=True)
class ConsolidateConfig:
    """Settings of `consolidate`.

    Attributes:
        features: a feature file; of one in shards the index.
        out: the feature file to write.
        layout: "single" or "sharded"; None takes that which `features` does not have.
        progress: whether to show a progress bar.
    """

    features: Path
    out: Path
    layout: str | None = None
    progress: bool = True

    def __post_init__(self) -> None:
        normalize(
            self,
            features=as_location,
            out=as_location,
            layout=optional(partial(check_choice, choices=LAYOUTS)),
            progress=check_flag,
        )
