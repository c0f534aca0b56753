"""From the pixels of new images to class probabilities, as a candidate learned it."""

import dataclasses
import json
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from features.backbones.stored import FILE
from features.errors import DataError, UsageError
from features.extraction.loading import load
from features.extraction.rebuilding import Rebuilt, rebuild
from features.records import Batch, Recipe
from features.sources.base import Source
from pipeline.data.layers import parts_of
from pipeline.predictors.kit import Kit
from pipeline.results.records import NETWORK, Record
from pipeline.statistics import calibration

_LOADING = ("resize", "interpolation", "exact_decode", "accept_damaged")  # settings of pixels
_COARSEST = ("int8", "bfloat16", "float16", "float32")
_NETWORK_BATCH = 32  # images in a forward pass: a single photograph costs no more than that
_MOST_PIXELS = 2**28  # of a batch: 800 MB


@dataclass(frozen=True)
class ImagePredictor:
    """A candidate that is ready to look at images.

    Attributes:
        size: height and width of the pixels that it takes.
        batch_size: images in a forward pass.
        loading: the further settings of `features.extraction.loading.load`.
        vectors: takes uint8 pixels (batch size, height, width, 3), returns float32 (batch size, D):
            features; of a network what its last layer takes, and beside it the logits.
        raw: takes float32 (n, D), returns probabilities before calibration, float32 (n, K).
        temperature: what calibrates them.
        classes: the number K of classes.
        precision: in which the network computes, a name from `features.config.PRECISIONS`.
        rebuilt: how the features are made, by each network that has a part in them; none for a
            network that predicts by itself.
        scores: takes float32 (n, D), returns the scores behind the probabilities, float64 (n, K),
            or None where there are none.
        network: the keras.Model from pixels to logits; None for a classifier.
    """

    size: tuple[int, int]
    batch_size: int
    loading: dict[str, Any]
    vectors: Callable[[np.ndarray], np.ndarray]
    raw: Callable[[np.ndarray], np.ndarray]
    temperature: float
    classes: int
    precision: str
    rebuilt: tuple[Rebuilt, ...] = ()
    scores: Callable[[np.ndarray], np.ndarray | None] = lambda vectors: None
    network: Any = None

    def embedding(self, vectors: np.ndarray) -> np.ndarray:
        """Return the columns of vectors by which images are told from unlike ones."""
        return vectors if self.network is None else vectors[:, : -self.classes]

    def deciding(self, vectors: np.ndarray) -> np.ndarray:
        """Return the columns of vectors from which the classes are told."""
        return vectors if self.network is None else vectors[:, -self.classes :]

    def batches(self, source: Source, start: int = 0, stop: int | None = None) -> Generator[Batch]:
        """Yield the images of a source, decoded ahead of their use."""
        return load(
            source, self.size, batch_size=self.batch_size, start=start, stop=stop, **self.loading
        )

    def probabilities(self, vectors: np.ndarray) -> np.ndarray:
        """Return calibrated probabilities, float32 (n, K), of vectors, float32 (n, D).

        Raises:
            DataError: what the classes are told from is not finite.
        """
        if not len(vectors):  # a batch in which no image could be read
            return np.empty((0, self.classes), np.float32)
        deciding = self.deciding(vectors)
        if not np.isfinite(deciding).all():
            raise DataError("the network gives numbers that are not finite; is it damaged?")
        return calibration.apply(self.raw(deciding), self.temperature)


def image_predictor(
    kit: Kit,
    weights: str | None = None,
    engine: str | None = None,
    precision: str | None = None,
    trust: bool = False,
    batch_size: int | None = None,
) -> ImagePredictor:
    """Return a candidate that is ready to look at images.

    Args:
        kit: the candidate.
        weights: the weights file, where the features were made from one.
        engine: another engine than that of the features learned from; None takes theirs.
        precision: another precision than theirs; None takes theirs.
        trust: whether to load an analyst's own estimator, which can run any code.
        batch_size: images in a forward pass; None takes as many as the features were made with.

    Raises:
        UsageError: its model is an analyst's own and is not trusted, or its weights came from a
            file that is not named.
        DataError: its model is missing or has changed, or what makes its features differs.
        MissingPackageError: it needs a package that is not installed.
    """
    folder, record = kit.results / kit.record.name, kit.record
    if record.kind == NETWORK:
        return _network(folder, record, batch_size or _NETWORK_BATCH)
    recipes = recipes_of(record)  # all networks see the same batches
    batch_size = batch_size or recipes[0].batch_size
    recipes = [dataclasses.replace(recipe, batch_size=batch_size) for recipe in recipes]
    rebuilt = tuple(
        rebuild(recipe, file, engine, precision, kit.converted)
        for recipe, file in zip(recipes, _weights_of(recipes, weights), strict=True)
    )
    _check_alike(rebuilt)
    return _classifier(folder, record, rebuilt, trust)


def recipes_of(record: Record) -> list[Recipe]:
    """Return the recipes of the features that a classifier learned from, each once.

    Raises:
        DataError: a batch of its images would take more memory than any that we made.
    """
    found = {part["recipe_digest"]: part["recipe"] for part in parts_of(record.inputs)}
    recipes = [Recipe.from_json(json.dumps(recipe)) for recipe in found.values()]
    for recipe in recipes:
        height, width = recipe.image_size
        if (pixels := recipe.batch_size * height * width) > _MOST_PIXELS:
            raise DataError(
                f"{record.name}: batches of {recipe.batch_size:,} images of {height} x {width} "
                f"pixels, which are {pixels:,}, expected at most {_MOST_PIXELS:,}"
            )
    return recipes


def _weights_of(recipes: Sequence[Recipe], weights: str | None) -> list[str | None]:
    """Return the weights file of each network, where it came from one."""
    if len(recipes) == 1:
        return [weights]
    of_files = [recipe for recipe in recipes if recipe.weights["origin"] == FILE]
    if weights is not None and len(of_files) != 1:
        raise UsageError(
            f"--weights names one file, and {len(of_files)} of the networks "
            f"({', '.join(recipe.backbone for recipe in recipes)}) came from one; leave it out, or "
            "predict by a candidate on one network"
        )
    return [weights if recipe in of_files else None for recipe in recipes]


def _check_alike(rebuilt: Sequence[Rebuilt]) -> None:
    """Raise UsageError where networks do not see the same pixels, which are decoded once."""
    first = _seen(rebuilt[0])
    for other in rebuilt[1:]:
        for name, value in _seen(other).items():
            if value != first[name]:
                raise UsageError(
                    f"{rebuilt[0].model.backbone} sees images with {name} {first[name]}, "
                    f"{other.model.backbone} with {value}; new images are predicted by networks "
                    "that see them alike: extract both with the same options, and classify anew"
                )


def _seen(rebuilt: Rebuilt) -> dict[str, Any]:
    """Return how a network sees images."""
    return {
        "image_size": rebuilt.model.image_size,
        **{name: getattr(rebuilt.config, name) for name in _LOADING},
    }


def _classifier(
    folder: Path, record: Record, rebuilt: tuple[Rebuilt, ...], trust: bool
) -> ImagePredictor:
    from pipeline.classifiers import storage
    from pipeline.classifiers.base import probabilities, scores

    model = storage.load(folder, record.model, trust)
    settings = rebuilt[0].config

    return ImagePredictor(
        rebuilt[0].model.image_size,
        settings.batch_size,
        {
            "resize": settings.resize,
            "interpolation": settings.interpolation,
            "exact": settings.exact_decode,
            "accept_damaged": settings.accept_damaged,
        },
        _vectors(record, rebuilt),
        lambda x: probabilities(model, x, len(record.class_names)),
        record.temperature,
        len(record.class_names),
        min((each.recipe.precision for each in rebuilt), key=_COARSEST.index),
        rebuilt,
        lambda x: scores(model, x, len(record.class_names)),
    )


def _vectors(record: Record, rebuilt: Sequence[Rebuilt]) -> Callable[[np.ndarray], np.ndarray]:
    """Return what makes features of pixels, as the classifier learned from them."""
    digests = list(dict.fromkeys(part["recipe_digest"] for part in parts_of(record.inputs)))
    compiled = dict(zip(digests, (one.compile() for one in rebuilt), strict=True))
    stores = dict(zip(digests, (one.config.store for one in rebuilt), strict=True))
    places = [(part["recipe_digest"], part["layer"]) for part in parts_of(record.inputs)]

    def vectors(pixels: np.ndarray) -> np.ndarray:
        outputs = {digest: network.forward(pixels) for digest, network in compiled.items()}
        # Training saw what the files stored, which may be float16.
        values = [
            outputs[digest][layer].astype(stores[digest]).astype(np.float32)
            for digest, layer in places
        ]
        return values[0] if len(values) == 1 else np.concatenate(values, axis=1)

    return vectors


def _network(folder: Path, record: Record, batch_size: int) -> ImagePredictor:
    from pipeline.networks import pixel_reader, storage
    from pipeline.networks.inference import of_logits
    from pipeline.networks.inside import with_embedding

    network = storage.load(folder, record.model)
    inner = with_embedding(network)

    def vectors(pixels: np.ndarray) -> np.ndarray:
        return np.concatenate([np.asarray(v) for v in inner.predict_on_batch(pixels)], axis=1)

    return ImagePredictor(
        tuple(record.inputs["image_size"]),
        batch_size,
        {"resize": pixel_reader.RESIZE, "interpolation": pixel_reader.INTERPOLATION},
        vectors,
        of_logits,
        record.temperature,
        len(record.class_names),
        record.model[storage.NETWORK].get("precision", "float32").removeprefix("mixed_"),
        network=network,
    )
