"""A candidate as a file of Keras."""

import json
import zipfile
from pathlib import Path

import numpy as np

from features.backbones.weights_file import keras_file
from features.disk import durable
from features.processes.quiet import keras_here
from pipeline.exporting.network import Parts

RESIZES = False  # rows, then columns, with a rounding between, is more than its layers can say
_FACTS = "offshelf.json"  # in the file, which is a zip

EXAMPLE = """\
import keras
model = keras.saving.load_model("{name}")
probabilities = model.predict_on_batch(pixels)"""


def write(parts: Parts, path: Path, facts: dict[str, str]) -> None:
    """Write the file; raises OSError."""
    durable.write(path, keras_file(parts.pixels))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(_FACTS, json.dumps(facts, indent=1))


def probabilities(path: Path, pixels: np.ndarray) -> np.ndarray:
    """Return what a file makes of uint8 pixels (n, h, w, 3): float32 (n, K)."""
    keras = keras_here()
    model = keras.saving.load_model(path)
    return np.asarray(keras.ops.convert_to_numpy(model(pixels, training=False)), np.float32)


def is_ours(path: Path) -> bool:
    """Return whether a file was written here."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return _FACTS in archive.namelist()
