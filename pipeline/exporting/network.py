"""A candidate as Keras networks, from uint8 pixels to calibrated probabilities, in float32."""

import dataclasses
from dataclasses import dataclass
from typing import Any

from features.engines import use_keras_on
from features.errors import UsageError
from features.processes.quiet import keras_here
from pipeline.classifiers import storage
from pipeline.data.layers import parts_of as parts_of_inputs
from pipeline.exporting import heads
from pipeline.exporting.resizing import Resizing
from pipeline.networks import storage as networks
from pipeline.networks.precision import FLOAT32
from pipeline.predictors.kit import Kit
from pipeline.predictors.of_images import ImagePredictor
from pipeline.results.records import NETWORK, Record


@dataclass(frozen=True)
class Parts:
    """A candidate in parts that Keras and ONNX express.

    Attributes:
        pixels: a keras.Model from uint8 pixels (n, H, W, 3) to probabilities, float32 (n, K); with
            an estimator, to what that takes, (n, d).
        size: H and W.
        resizing: how pixels come to that size.
        classes: the number K of classes.
        exact: whether probabilities change smoothly, so that rounding cannot move one by a vote.
        estimator: a fitted estimator that ONNX alone has operators for; None for none.
        after: a keras.Model from what it gives to calibrated probabilities, (n, K).
    """

    pixels: Any
    size: tuple[int, int]
    resizing: Resizing
    classes: int
    exact: bool = True
    estimator: Any | None = None
    after: Any | None = None


def in_float32(kit: Kit) -> Kit:
    """Return a kit whose network is built anew and computes in float32."""
    record = kit.record
    if record.kind == NETWORK:
        facts = record.model[networks.NETWORK] | {"precision": FLOAT32}
        record = dataclasses.replace(record, model=record.model | {networks.NETWORK: facts})
    return dataclasses.replace(kit, record=record, converted=None)


def parts_of(kit: Kit, predictor: ImagePredictor, trust: bool) -> Parts:
    """Return a candidate in parts.

    Args:
        kit: the candidate, in float32.
        predictor: the candidate, ready to look at images.
        trust: whether to load an analyst's own estimator, which can run any code.

    Raises:
        UsageError: no network of Keras makes its features, or its model has to take along too many
            rows.
        DataError: its model is missing or has changed.
        MissingPackageError: TensorFlow is not installed.
    """
    use_keras_on("tensorflow")
    keras_here("an export")
    loading = predictor.loading
    resizing = Resizing(loading["resize"], loading["interpolation"])
    parts = _of_network if kit.record.kind == NETWORK else _of_classifier
    return parts(kit, predictor, resizing, trust)


def _of_network(kit: Kit, predictor: ImagePredictor, resizing: Resizing, trust: bool) -> Parts:
    import keras

    record = kit.record
    network = networks.load(kit.results / record.name, record.model)
    probabilities = heads.calibrated(heads.of_scores(network.output), record.temperature)
    pixels = keras.Model(network.input, probabilities, name="candidate")
    return Parts(pixels, predictor.size, resizing, predictor.classes)


def _of_classifier(kit: Kit, predictor: ImagePredictor, resizing: Resizing, trust: bool) -> Parts:
    import keras

    record, classes = kit.record, predictor.classes
    pixels, features = _features(record, predictor)
    model = storage.load(kit.results / record.name, record.model, trust)
    head = heads.head(model, features, classes)
    size, temperature = predictor.size, record.temperature
    if head.estimator is None:
        probabilities = heads.calibrated(head.values, temperature)
        whole = keras.Model(pixels, probabilities, name="candidate")
        return Parts(whole, size, resizing, classes, head.exact)
    before = keras.Model(pixels, head.values, name="candidate")
    after = heads.after(head.estimator, classes, temperature)
    return Parts(before, size, resizing, classes, head.exact, head.estimator, after)


def _features(record: Record, predictor: ImagePredictor) -> tuple[Any, Any]:
    """Return uint8 pixels and the features that a classifier takes of them, both symbolic."""
    import keras
    from keras import ops

    taken = parts_of_inputs(record.inputs)
    digests = dict.fromkeys(part["recipe_digest"] for part in taken)
    pixels = keras.Input((*predictor.size, 3), dtype="uint8", name="pixels")
    features = {}
    for digest, rebuilt in zip(digests, predictor.rebuilt or (), strict=True):
        if rebuilt.model.network is None:
            raise UsageError(
                f"{record.name} rests on features that no network of Keras makes, and no format "
                "can hold it; `pack` carries it"
            )
        layers = [part["layer"] for part in taken if part["recipe_digest"] == digest]
        network = rebuilt.model.network(layers)
        outputs = keras.Model(network.input, [network.output[name] for name in layers])(pixels)
        for name, values in zip(layers, keras.tree.flatten(outputs), strict=True):
            if rebuilt.config.store != "float32":  # training saw what the file stored
                values = ops.cast(ops.cast(values, rebuilt.config.store), "float32")
            features[digest, name] = values  # (n, D)
    joined = [features[part["recipe_digest"], part["layer"]] for part in taken]
    return pixels, ops.concatenate(joined, axis=1) if len(joined) > 1 else joined[0]
