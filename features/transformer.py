"""Features as a step of a scikit-learn pipeline."""

import threading
from contextlib import closing
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import Tags

from features.arguments import ImageSize, Names
from features.config import INT8, ExtractConfig
from features.engines.base import Compiled
from features.errors import DataError, UsageError
from features.extraction.model import Model, find_model
from features.extraction.planning import choose_given_size, compile_model, write_recipe
from features.extraction.stream import forward, load_batches
from features.records import Batch, Recipe
from features.sources.memory import MemorySource

_NETWORKS = 2  # kept ready to run in a process, for all estimators together

_running = threading.Lock()  # an engine runs one batch at a time


class FeatureExtractor(TransformerMixin, BaseEstimator):
    """Images to the features of a pretrained network, as a scikit-learn transformer.

        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline

        model = make_pipeline(features.FeatureExtractor(backbone="vgg16"), LogisticRegression())
        model.fit(paths, labels)

    Its features are those that `features.extract` stores, to the bit, for the same images in the
    same order, engine and precision. (A Pillow image is decoded whole, as with `exact_decode`.)
    Nothing is learnt, so `transform` works without `fit`. The last batch is filled up, so that one
    image takes as long as `batch_size` of them. The network is compiled on first use and shared by
    all estimators of a process with the same settings; a pickle does not hold it.

    Args:
        backbone: the name of a network from the catalog, or of a hand-crafted descriptor; or an
            own network, the path of an `.onnx`, `.xml` or `.keras` file; or "timm/" and a name.
        layers: the layers to tap, as one name, names with commas, or a sequence of names; None
            takes the last layer. The features of several layers stand side by side in this order.
        pooling: "avg", "max", "avgmax", "flatten" or "token".
        image_size: height and width the network sees, in pixels, or one int for both; None takes
            the backbone's own.
        resize: "stretch" keeps the whole image, "crop" its aspect ratio.
        interpolation: "bilinear", "bicubic", "lanczos" or "nearest", always with antialiasing.
        exact_decode: decode JPEGs at full scale also where half of it would do.
        weights: "imagenet" (from whichever source has them), the name of one weights source, a
            path to a weights file, or "none" for seeded random weights.
        scaling: the pixel scaling of a weights file given by path.
        engine: "openvino", "tensorflow", "jax", "torch", or "auto" for the fastest here.
        precision: "float32", "bfloat16", "float16", or "auto" for the fastest here.
        batch_size: images in a forward pass.
        seed: seed of the random weights.
    """

    def __init__(
        self,
        backbone: str | Path = ExtractConfig.backbone,
        *,
        layers: Names | None = ExtractConfig.layers,
        pooling: str = ExtractConfig.pooling,
        image_size: ImageSize | None = ExtractConfig.image_size,
        resize: str = ExtractConfig.resize,
        interpolation: str = ExtractConfig.interpolation,
        exact_decode: bool = ExtractConfig.exact_decode,
        weights: str | Path = ExtractConfig.weights,
        scaling: str | None = ExtractConfig.scaling,
        engine: str = ExtractConfig.engine,
        precision: str = ExtractConfig.precision,
        batch_size: int = ExtractConfig.batch_size,
        seed: int = ExtractConfig.seed,
    ) -> None:
        self.backbone = backbone
        self.layers = layers
        self.pooling = pooling
        self.image_size = image_size
        self.resize = resize
        self.interpolation = interpolation
        self.exact_decode = exact_decode
        self.weights = weights
        self.scaling = scaling
        self.engine = engine
        self.precision = precision
        self.batch_size = batch_size
        self.seed = seed

    def fit(self, X: Any = None, y: Any = None) -> "FeatureExtractor":  # noqa: N803 # sklearn's name
        """Check the settings and the types of the images; nothing is read or learnt.

        Args:
            X: images, as `transform` takes them; None checks the settings alone.
            y: is ignored.

        Raises:
            UsageError: a setting or the images are of another kind than expected.
        """
        self._config()
        if X is not None:
            MemorySource(X)
        return self

    def transform(self, X: Any) -> np.ndarray:  # noqa: N803 # sklearn's name
        """Return the features of images.

        Args:
            X: N images: a sequence of paths (str or Path) and Pillow images, or an array of
                pixels, uint8 of shape (N, H, W, 3), RGB from 0 to 255.

        Returns:
            float32 of shape (N, D).

        Raises:
            UsageError: a setting or the images are of another kind than expected.
            DataError: an image cannot be read; the message names it.
            MissingPackageError: the engine is not installed.
        """
        config, source = self._config(), MemorySource(X)
        model = find_model(config)
        size = choose_given_size(config, model, source.common_size)
        network = _network(config, model, size)
        rows = [np.empty((0, sum(_widths(model, network).values())), np.float32)]
        with closing(load_batches(config, source, size)) as batches:
            for batch in batches:
                _check_accepted(batch, source)
                with _running:
                    features = forward(network, batch)
                vectors = [
                    features[layer].reshape(len(batch.outcomes), -1) for layer in model.layers
                ]
                rows.append(np.concatenate(vectors, axis=1))
        return np.concatenate(rows)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return a name for each feature, "<layer>_<number>"; builds the network.

        Args:
            input_features: is ignored; images have no names.
        """
        config = self._config()
        model = find_model(config)
        widths = _widths(model, _network(config, model, model.image_size))
        names = [f"{layer}_{number}" for layer in widths for number in range(widths[layer])]
        return np.array(names, dtype=object)

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self) -> Tags:
        # scikit-learn's `check_estimator` feeds 2-D arrays of floats, which are no images.
        tags = super().__sklearn_tags__()
        tags.input_tags.one_d_array, tags.input_tags.two_d_array = True, False
        tags.input_tags.string = True
        tags.transformer_tags.preserves_dtype = []
        tags.requires_fit, tags.no_validation = False, True
        return tags

    def _config(self) -> ExtractConfig:
        """Return the settings as a config; its source and output play no role."""
        config = ExtractConfig(Path(), Path(), **self.get_params())
        if config.precision == INT8:
            raise UsageError(
                f"precision='{INT8}' is calibrated on the images of an extraction, and a "
                "transformer learns nothing; use `features.extract`, or another precision"
            )
        if config.pooling == "none":
            raise UsageError(
                "pooling='none' gives maps of shape (H, W, C), expected a pooling that gives a "
                "vector: avg, max, avgmax or flatten"
            )
        return config


@dataclass(frozen=True)
class _Job:
    """What `_compiled` compiles; equal where the networks are."""

    network_digest: str
    model: Model = field(compare=False)
    recipe: Recipe = field(compare=False)


@lru_cache(_NETWORKS)
def _compiled(job: _Job) -> Compiled:
    return compile_model(job.model, job.recipe)


def _network(config: ExtractConfig, model: Model, given_size: tuple[int, int]) -> Compiled:
    """Return the network ready to run, compiled unless this process has done so already."""
    recipe = write_recipe(config, model, given_size, source={})
    with _running:
        return _compiled(_Job(recipe.network_digest, model, recipe))


def _widths(model: Model, network: Compiled) -> dict[str, int]:
    """Return the number of features by layer, in the order in which the layers were asked for."""
    return {layer: int(np.prod(network.shapes[layer])) for layer in model.layers}


def _check_accepted(batch: Batch, source: MemorySource) -> None:
    for outcome in batch.outcomes:
        if outcome.reason is not None:
            raise DataError(
                f"{source[outcome.index].id}: {outcome.reason}; leave it out, or use "
                "`features.extract`, which lists such images and goes on"
            )
