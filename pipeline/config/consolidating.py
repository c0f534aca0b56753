"""Settings of the stage that writes a feature file in another layout, or made of several."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from features.arguments import (
    as_location,
    as_locations,
    check_choice,
    check_flag,
    normalize,
    optional,
)
from features.records import LAYOUTS


@dataclass(frozen=True)
class ConsolidateConfig:
    """Settings of `consolidate`.

    Attributes:
        features: a feature file, of one in shards the index; or several that are joined.
        out: the feature file to write.
        layout: "single" or "sharded"; None takes that which `features` does not have, and of
            several "sharded" where one has it.
        progress: whether to show a progress bar.
    """

    features: tuple[Path, ...]
    out: Path
    layout: str | None = None
    progress: bool = True

    def __post_init__(self) -> None:
        normalize(
            self,
            features=partial(as_locations, at_least=1),
            out=as_location,
            layout=optional(partial(check_choice, choices=LAYOUTS)),
            progress=check_flag,
        )
