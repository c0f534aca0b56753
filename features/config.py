"""The settings of an extraction; every default stands here, once, with a word on why."""

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from features import descriptors
from features.arguments import (
    as_image_size,
    as_location,
    as_names,
    as_splits,
    check_choice,
    check_count,
    check_flag,
    check_positive,
    check_share,
    check_text,
    normalize,
    optional,
)
from features.backbones import catalog
from features.backbones.names import is_elsewhere
from features.errors import UsageError
from features.records import LAYOUTS, SINGLE

RESIZES = ("stretch", "crop")
INTERPOLATIONS = ("bilinear", "bicubic", "lanczos", "nearest")
STORES = ("float32", "float16")
ENGINES = ("openvino", "tensorflow", "jax", "torch")
LOCAL, RAY = EXECUTORS = ("local", "ray")
PRECISIONS = ("float32", "bfloat16", "float16")
INT8, QUANTIZES = "int8", "openvino"  # a precision for images alone, and the engine that has it
QUANTIZER = "nncf"  # the package that makes an int8 network
AUTO = "auto"


@dataclass(frozen=True)
class ExtractConfig:
    """Settings of `features.extract` and of `python -m pipeline extract`.

    Values are brought into form as soon as a config is made: paths may come as str, names as one
    string with commas or as a sequence, an image size as one int.

    Attributes:
        source: a folder, a manifest, an archive, a pattern of shards or a file of arrays; a path
            or a URL.
        out: the feature file to write; a path or a URL.
        backbone: the name of a network from the catalog, or of a hand-crafted descriptor; or an
            own network, the path of an `.onnx`, `.xml` or `.keras` file; or "timm/" and a name.
        weights: "imagenet" (from whichever source has them), the name of one weights source, a
            path to a weights file, or "none" for seeded random weights.
        scaling: the pixel scaling of a weights file given by path; None takes the one noted beside
            the file, else the one of Keras' own weights for this backbone. Of an own network: None
            takes what its file says.
        layers: names of the layers to tap; None takes the last one.
        pooling: "avg", "max", "avgmax", "flatten" or "none"; "token" takes the first of a
            transformer's tokens, the class token. A dense layer has no positions, and gives its
            vector with each of them.
        image_size: height and width the network sees, in pixels; None takes the backbone's own.
        resize: "stretch" keeps the whole image, "crop" its aspect ratio.
        interpolation: how pixels are resampled, always with antialiasing.
        exact_decode: decode JPEGs at full scale also where half of it would do.
        accept_damaged: take damaged JPEGs as far as they can be decoded; they are counted.
        decode_memory: the GiB that decoding may take, all threads together. Large images wait
            until so much is free; one that needs more is rejected.
        engine: "openvino", "tensorflow", "jax" or "torch"; "auto" takes the fastest that is
            installed and fits the hardware.
        precision: of the network's weights and operations; pooling is in float32 in any case.
            "int8" is calibrated on images of the source, and for OpenVINO alone.
        force_int8: take int8 also where it loses more of the features than the guard allows.
        batch_size: images in a forward pass; 32 is near the best rate on CPUs and small GPUs.
        store: dtype of the stored features; float16 halves the file.
        layout: "single" writes one file, "sharded" an index and a folder of many files beside it.
        limit: take that many images only, spread evenly over the source.
        splits: which folder holds which split, such as {"train": "training_set"}, where their
            names do not say so.
        max_rejected: the share of unreadable images, 0 to 1, above which the run ends as failed.
        restart: discard what an earlier run left and begin anew.
        trust_source: take images for those of an earlier run by their names, labels and sizes,
            and do not read them again to compare their content.
        seed: seed of the random weights, and of the images that int8 is calibrated on.
        progress: whether to show a progress bar.
        executor: "local" computes in this process, "ray" in the workers of a Ray cluster.
        ray_address: the cluster's address; None takes $RAY_ADDRESS, else starts one here.
        workers: the number of workers; None takes one for each node, or for each GPU.
        gpus_per_worker: the number of GPUs that each worker has.

    Raises:
        UsageError: a value is of another type than described, is none of the known ones, or is
            out of range; or it has no meaning for a hand-crafted descriptor.
    """

    source: Path
    out: Path
    backbone: str = "resnet50"  # 2048 features, a fifth of VGG16's time
    weights: str = "imagenet"
    scaling: str | None = None
    layers: tuple[str, ...] | None = None
    pooling: str = "avg"  # what published linear probes use
    image_size: tuple[int, int] | None = None
    resize: str = "stretch"
    interpolation: str = "bilinear"
    exact_decode: bool = False
    accept_damaged: bool = False  # half of such an image may be grey
    decode_memory: float = 2.0  # the largest RGB image that is decoded; see decoding/limits.py
    engine: str = AUTO
    precision: str = AUTO  # bfloat16 where the hardware has it: 3 to 20 times the rate
    force_int8: bool = False
    batch_size: int = 32
    store: str = "float32"
    layout: str = SINGLE  # one file to carry about
    limit: int | None = None
    splits: tuple[tuple[str, str], ...] | None = None
    max_rejected: float = 0.05
    restart: bool = False
    trust_source: bool = False  # reading takes a small share of the time to decode
    seed: int = 0
    progress: bool = True
    executor: str = LOCAL
    ray_address: str | None = None
    workers: int | None = None
    gpus_per_worker: int = 0

    def __post_init__(self) -> None:
        normalize(
            self,
            source=as_location,
            out=as_location,
            backbone=_as_name_or_path,
            weights=_as_name_or_path,
            scaling=optional(partial(check_choice, choices=catalog.SCALINGS)),
            layers=optional(partial(as_names, at_least=1)),
            pooling=partial(check_choice, choices=catalog.POOLINGS),
            image_size=as_image_size,
            resize=partial(check_choice, choices=RESIZES),
            interpolation=partial(check_choice, choices=INTERPOLATIONS),
            exact_decode=check_flag,
            accept_damaged=check_flag,
            decode_memory=check_positive,
            engine=partial(check_choice, choices=(AUTO, *ENGINES)),
            precision=partial(check_choice, choices=(AUTO, *PRECISIONS, INT8)),
            force_int8=check_flag,
            batch_size=check_count,
            store=partial(check_choice, choices=STORES),
            layout=partial(check_choice, choices=LAYOUTS),
            limit=optional(check_count),
            splits=optional(as_splits),
            max_rejected=check_share,
            restart=check_flag,
            trust_source=check_flag,
            seed=partial(check_count, at_least=0),
            progress=check_flag,
            executor=partial(check_choice, choices=EXECUTORS),
            ray_address=optional(check_text),
            workers=optional(check_count),
            gpus_per_worker=partial(check_count, at_least=0),
        )
        _check_executor(self)
        self._check_backbone()
        if self.precision == INT8 and self.engine not in (AUTO, QUANTIZES):
            raise UsageError(
                f"--engine {self.engine} --precision {INT8}: {INT8} is for {QUANTIZES} alone; "
                "leave out one of the two"
            )

    def _check_backbone(self) -> None:
        """Check what depends on the backbone, by the tables alone."""
        if is_elsewhere(self.backbone):
            return
        if self.pooling == catalog.TOKEN:
            raise UsageError(
                f"pooling={catalog.TOKEN}: {self.backbone} has no class token, expected one of "
                f"{', '.join(catalog.MAP_POOLINGS)}"
            )
        descriptor = descriptors.find(self.backbone)
        if descriptor is not None:
            _check_no_network_options(self, descriptor)
        backbone = descriptor or catalog.find(self.backbone)
        size = self.image_size or (backbone.size, backbone.size)
        catalog.check_image_size(backbone, size)
        if isinstance(backbone, catalog.Backbone):
            catalog.check_layers(backbone, self.layers, size)


def _as_name_or_path(value: Any, option: str) -> str:
    return check_text(os.fspath(value) if isinstance(value, os.PathLike) else value, option)


def _check_executor(config: ExtractConfig) -> None:
    """Raise UsageError where an option of Ray was given without it."""
    given = {
        "--ray-address": config.ray_address is not None,
        "--workers": config.workers is not None,
        "--gpus-per-worker": config.gpus_per_worker > 0,
    }
    if config.executor != RAY and (
        options := [name for name, is_given in given.items() if is_given]
    ):
        raise UsageError(f"{', '.join(options)}: only workers of Ray have it; give --executor ray")
    if config.executor == RAY and config.precision == INT8:
        raise UsageError(
            f"--precision {INT8} is calibrated by the machine that computes, and workers of Ray "
            "could differ; leave one of the two out"
        )


def _check_no_network_options(config: ExtractConfig, descriptor: descriptors.Descriptor) -> None:
    """Raise UsageError where an option was given that only a network has."""
    given = {
        "--layers": config.layers not in (None, (descriptor.output,)),
        "--weights": config.weights != ExtractConfig.weights,
        "--scaling": config.scaling is not None,
        "--pooling": config.pooling != ExtractConfig.pooling,
        "--engine": config.engine != AUTO,
        "--precision": config.precision not in (AUTO, "float32"),
    }
    if options := [option for option, is_given in given.items() if is_given]:
        raise UsageError(
            f"{', '.join(options)}: {descriptor.name} is made by hand by {descriptors.ENGINE} in "
            "float32 and has neither layers nor weights; leave the option out"
        )
