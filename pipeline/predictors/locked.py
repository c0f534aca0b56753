"""How each kind of candidate predicts the locked images."""

from collections.abc import Callable, Sequence

import numpy as np

from features.disk.leftovers import scratch_folder
from features.errors import UsageError
from pipeline.config import EvaluateConfig
from pipeline.data.layers import features_of, rows_of
from pipeline.data.splits import Splits
from pipeline.results.predictions import Predictions
from pipeline.results.records import CLASSIFIER, EXTERNAL, NETWORK, Record

_HELD_WHOLE = 2**28  # bytes of features; they are held twice while they are scaled

# Takes the config, the candidate's record and n ids; returns probabilities, float32 (n, K).
Predictor = Callable[[EvaluateConfig, Record, Sequence[str]], np.ndarray]


def predict(config: EvaluateConfig, splits: Splits, record: Record) -> Predictions:
    """Return a candidate's predictions of the locked images, in the order of the splits.

    Raises:
        UsageError: another tool made the candidate, or this version does not know its kind,
            or its model is an analyst's own estimator and is not trusted.
        DataError: the model, the features or the images are missing, damaged or others.
        MissingPackageError: the model needs a package that is not installed.
    """
    check_known(record)
    ids = splits.ids_of(splits.test)
    probabilities = PREDICTORS[record.kind](config, record, ids)  # (n, K)
    return Predictions(ids, splits.labels[splits.test], probabilities)


def check_known(record: Record) -> None:
    """Raise UsageError where a candidate cannot predict: another tool's, or of unknown kind."""
    if record.kind == EXTERNAL:
        raise UsageError(
            f"another tool made {record.name}, of which only the predictions on validation are "
            "known; name a candidate of `classify`, `finetune` or `scratch` instead"
        )
    if record.kind not in PREDICTORS:
        raise UsageError(
            f"{record.name} is of kind {record.kind!r}; this version knows {', '.join(PREDICTORS)}"
        )


def _from_features(config: EvaluateConfig, record: Record, ids: Sequence[str]) -> np.ndarray:
    from pipeline.classifiers import storage, streaming

    model = storage.load(config.results / record.name, record.model, config.trust)
    is_large = 4 * len(ids) * record.inputs["dimensions"] > _HELD_WHOLE
    read = rows_of if is_large else features_of
    x = read(record.inputs, ids, config.features)  # (n, D)
    return streaming.predict(model, x, len(record.class_names))


def _from_pixels(config: EvaluateConfig, record: Record, ids: Sequence[str]) -> np.ndarray:
    from pipeline.networks import pixels, storage
    from pipeline.networks.inference import probabilities

    network = storage.load(config.results / record.name, record.model)
    with scratch_folder(config.results, "pixels") as folder:
        x = pixels.locked(record.inputs, ids, folder, config.source)  # (n, H, W, 3)
        return probabilities(network, x, np.arange(len(ids)))


PREDICTORS: dict[str, Predictor] = {CLASSIFIER: _from_features, NETWORK: _from_pixels}
