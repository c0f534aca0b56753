"""Settings of the stages that look at features, backbones and data sets."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from features.arguments import (
    as_image_size,
    as_location,
    as_path,
    check_choice,
    check_count,
    check_flag,
    check_positive,
    check_text,
    normalize,
    optional,
)
from features.errors import UsageError
from pipeline.config.choices import MAP_METHODS, MAP_SUFFIXES


@dataclass(frozen=True)
class MapConfig:
    """Settings of `map`.

    Attributes:
        features: a feature file.
        out: the map: an .html page, or a .png picture.
        layer: a layer of the feature file; None takes the deepest.
        method: one of `choices.MAP_METHODS`; "umap" needs an extra.
        results: a results folder of these images, which knows who is locked and what candidates
            predicted; None: the source's own test split is locked.
        images: where the images lie now; None: where the feature file says that they were.
        limit: take that many images only, spread evenly over the file.
        sample: of more images than `choices.MOST_DRAWN`, how many are laid out and drawn, a
            stratified sample; the others are placed among them.
        components: the number of principal components that the method sees.
        perplexity: about how many neighbours an image has; UMAP takes it as their number. None
            takes 30, or a third of the other images where they are few.
        seed: the seed of everything random.
        progress: whether to show a progress bar.
    """

    features: Path
    out: Path
    layer: str | None = None
    method: str = MAP_METHODS[0]
    results: Path | None = None
    images: Path | None = None
    limit: int | None = None
    sample: int = 50_000  # t-SNE of them takes minutes, and their page a second
    components: int = 50  # the custom for t-SNE; what is left out is mostly noise
    perplexity: float | None = None
    seed: int = 0
    progress: bool = True

    def __post_init__(self) -> None:
        normalize(
            self,
            features=as_location,
            out=as_location,
            layer=optional(check_text),
            method=partial(check_choice, choices=MAP_METHODS),
            results=optional(as_location),
            images=optional(as_location),
            limit=optional(check_count),
            sample=partial(check_count, at_least=100),
            components=partial(check_count, at_least=2),
            perplexity=optional(check_positive),
            seed=partial(check_count, at_least=0),
            progress=check_flag,
        )
        if self.out.suffix.lower() not in MAP_SUFFIXES:
            raise UsageError(
                f"{self.out}: expected a name that ends in {' or '.join(MAP_SUFFIXES)}"
            )


@dataclass(frozen=True)
class FetchConfig:
    """Settings of `fetch`.

    Attributes:
        name: the name of the data set, one of `datasets.catalog.DATASETS`.
        out: the file to write; None writes data/NAME.h5.
        progress: whether to show a progress bar.
    """

    name: str
    out: Path | None = None
    progress: bool = True

    def __post_init__(self) -> None:
        normalize(self, name=check_text, out=optional(as_path), progress=check_flag)


@dataclass(frozen=True)
class BackbonesConfig:
    """Settings of `backbones`.

    Attributes:
        name: a backbone, whose layers are listed; None lists all backbones.
        image_size: height and width in pixels; None takes the backbone's own.
        recommended_only: whether to list only the layers worth tapping.
    """

    name: str | None = None
    image_size: tuple[int, int] | None = None
    recommended_only: bool = True

    def __post_init__(self) -> None:
        normalize(
            self,
            name=optional(check_text),
            image_size=as_image_size,
            recommended_only=check_flag,
        )
