"""The three formats, and what a network of Keras becomes in each."""

from importlib import import_module

import numpy as np

from pipeline.exporting.network import Parts
from pipeline.exporting.resizing import Resizing

FORMATS = {"onnx": "m.onnx", "keras": "m.keras", "openvino": "m"}
EXACT = Resizing("crop", "bilinear")  # which no file does itself
SCALED = Resizing("stretch", "bilinear")


def module(name):
    return import_module(f"pipeline.exporting.{name}_file")


def through(name, parts: Parts, pixels: np.ndarray, folder, facts=None) -> np.ndarray:
    """Return what a format's own runtime makes of pixels by the file that is written."""
    path = folder / FORMATS[name]
    module(name).write(parts, path, facts or {})
    return module(name).probabilities(path, pixels)


def whole(network, classes=3, resizing=EXACT) -> Parts:
    """Return a network from pixels as a candidate that is one network."""
    return Parts(network, network.input_shape[1:3], resizing, classes)
