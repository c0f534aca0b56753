"""What this installation offers, as data: backbones, classifiers, weights, the machine."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class BackboneFacts:
    """One pretrained network.

    Attributes:
        name: the name by which users call it.
        image_size: its own height and width in pixels.
        min_size: the smallest height or width that it accepts.
        features: the features of its deepest layer, pooled.
        parameters: the number of its weights.
        scaling: the pixel scaling of Keras' own weights.
        weights: the weights source of what is in the cache, "damaged", or None.
    """

    name: str
    image_size: int
    min_size: int
    features: int
    parameters: int
    scaling: str
    weights: str | None


@dataclass(frozen=True)
class DescriptorFacts:
    """One hand-crafted descriptor: its name, sizes in pixels, and a line about it."""

    name: str
    image_size: int
    min_size: int
    about: str


@dataclass(frozen=True)
class BackboneList:
    """All pretrained networks and hand-crafted descriptors, and what else can be named.

    Attributes:
        networks: those of the catalog.
        descriptors: those made by hand.
        elsewhere: what networks from elsewhere are, by how they are named, and what they need.
    """

    networks: tuple[BackboneFacts, ...]
    descriptors: tuple[DescriptorFacts, ...]
    elsewhere: dict[str, str]


@dataclass(frozen=True)
class TappableLayer:
    """One layer of a backbone at one image size.

    Attributes:
        name: the name of the layer.
        shape: height, width and channels of its output, or the number of its features alone.
        pooled: the features with average or maximum pooling.
        flattened: the features without pooling.
        receptive_field: side in pixels of the square that one output value depends on; None for
            the whole image.
        parameters: weights of all layers that it depends on, its own among them; None for a
            hand-crafted descriptor and for a network from elsewhere.
        macs: multiplications with kernel weights for one image; None likewise.
    """

    name: str
    shape: tuple[int, ...]
    pooled: int
    flattened: int
    receptive_field: int | None
    parameters: int | None
    macs: int | None


@dataclass(frozen=True)
class BackboneLayers:
    """The layers of a backbone that can be tapped.

    Attributes:
        backbone: the name of the backbone.
        image_size: height and width in pixels.
        about: one line about a hand-crafted descriptor, a network from elsewhere, or the dense
            layers of a network; else empty.
        settings: the parameters of a hand-crafted descriptor, else empty.
        layers: the layers, shallow to deep.
    """

    backbone: str
    image_size: tuple[int, int]
    about: str
    settings: dict[str, Any]
    layers: tuple[TappableLayer, ...]


@dataclass(frozen=True)
class ClassifierFacts:
    """One classifier of the suite.

    Attributes:
        name: the name by which users call it.
        title: its title in tables.
        fit_seconds: the time that its default takes to fit on 10,000 rows of 2,048 features.
        settings: how many settings tuning tries.
        space: the values that tuning tries, by parameter.
        good_for: one line for the analyst who chooses.
        fallback_of: the classifier that it stands in for where that one takes too long, or None.
    """

    name: str
    title: str
    fit_seconds: float
    settings: int
    space: dict[str, list[Any]]
    good_for: str
    fallback_of: str | None


@dataclass(frozen=True)
class WeightsFacts:
    """The weights of one backbone from one weights source.

    Attributes:
        backbone: the name of the backbone.
        weights_source: the name of the weights source.
        status: "cached", "damaged" or "not fetched".
        scaling: the pixel scaling that belongs to them, where they are cached.
        sha256: the checksum of the file, where it is cached.
        problem: what is wrong, where they are damaged.
    """

    backbone: str
    weights_source: str
    status: str
    scaling: str | None = None
    sha256: str | None = None
    problem: str | None = None


@dataclass(frozen=True)
class WeightsList:
    """The weights in the cache and those that could be fetched from a package.

    Attributes:
        folder: the folder of the cache.
        weights: one entry for each backbone and weights source.
    """

    folder: str
    weights: tuple[WeightsFacts, ...]


@dataclass(frozen=True)
class Diagnosis:
    """What was found on this machine.

    Attributes:
        offshelf, python, platform: versions, and the operating system.
        processor: the name of the CPU.
        cores: how many of its cores this process can use.
        flags: instruction sets of the CPU that engines can use.
        gpus: the names of the GPUs.
        engine, precision: what `extract` would choose.
        reason: why it would.
        int8: what `--precision int8` would run by, or what it needs.
        cache_folder: where weights and data sets are kept.
        cache_bytes: how much is in it.
        packages: versions of packages; None for one that is not installed.
        weights: as `weights list` shows them.
    """

    offshelf: str
    python: str
    platform: str
    processor: str
    cores: int
    flags: tuple[str, ...]
    gpus: tuple[str, ...]
    engine: str
    precision: str
    reason: str
    int8: str
    cache_folder: str
    cache_bytes: int
    packages: dict[str, str | None]
    weights: WeightsList


@dataclass(frozen=True)
class EngineRate:
    """The forward passes of one engine: images a second, or the problem that it met."""

    engine: str
    precision: str
    images_per_second: float | None
    problem: str | None = None


@dataclass(frozen=True)
class EngineRates:
    """How fast each engine runs a backbone here.

    Attributes:
        backbone: the name of the backbone.
        batch_size: images in a forward pass.
        random_weights: whether a network ran with random weights, which take as long as others.
        rates: one entry for each engine and precision.
    """

    backbone: str
    batch_size: int
    random_weights: bool
    rates: tuple[EngineRate, ...]
