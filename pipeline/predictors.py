"""What a candidate says of the locked images, whatever kind it is of."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from features.errors import UsageError
from pipeline.config import EvaluateConfig
from pipeline.data.layers import features_of
from pipeline.data.splits import Splits
from pipeline.networks import recording
from pipeline.results.predictions import Predictions
from pipeline.results.records import Record
from pipeline.search import runner


def predict(config: EvaluateConfig, splits: Splits, record: Record) -> Predictions:
    """Return a candidate's predictions of the locked images, in the order of the splits.

    Raises:
        UsageError: it is of a kind that this version does not know.
        DataError: its model, or what it is to look at, is missing, damaged or another.
        MissingPackageError: its model needs a package.
    """
    if record.kind not in _KINDS:
        raise UsageError(
            f"{record.name} is of kind {record.kind!r}; this version knows {', '.join(_KINDS)}"
        )
    ids = tuple(splits.ids[place] for place in splits.test)
    found = _KINDS[record.kind](config, record, ids)  # (n, K)
    return Predictions(ids, splits.labels[splits.test], found)


def _by_features(config: EvaluateConfig, record: Record, ids: tuple[str, ...]) -> np.ndarray:
    from pipeline.classifiers import storage as models
    from pipeline.classifiers.base import probabilities

    model = models.load(config.results / record.name, record.model)
    x = features_of(record.inputs, ids, config.features)  # (n, D)
    return probabilities(model, x, len(record.class_names))


def _by_pixels(config: EvaluateConfig, record: Record, ids: tuple[str, ...]) -> np.ndarray:
    from pipeline.networks import pixels, storage
    from pipeline.networks.inference import probabilities

    network = storage.load(config.results / record.name, record.model)
    with tempfile.TemporaryDirectory() as folder:
        x = pixels.locked(record.inputs, ids, Path(folder), config.source)  # (n, H, W, 3)
        return probabilities(network, x, np.arange(len(ids)))


_KINDS: dict[str, Callable[[EvaluateConfig, Record, tuple[str, ...]], np.ndarray]] = {
    runner.CLASSIFIER: _by_features,
    recording.NETWORK: _by_pixels,
}
