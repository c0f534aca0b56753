"""One network of every family, with weights that are random and yet do something everywhere."""

import functools
import http.server
import threading

import numpy as np
import pytest

from features.backbones import golden
from features.backbones.catalog import BACKBONES
from features.backbones.network import build, randomize

SMALLEST = {
    backbone.family: backbone
    for backbone in sorted(BACKBONES.values(), key=lambda b: b.parameters, reverse=True)
    if backbone.by_keras
}


def draw_pixels(height: int, width: int, count: int = 2) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, height, width, 3), np.uint8)


def draw_statistics(network) -> None:
    """Give batch norms, layer norms, layer scales and biases values that matter."""
    rng = np.random.default_rng(1)
    for layer in network.layers:
        kind = type(layer).__name__
        if kind in ("BatchNormalization", "LayerNormalization", "LayerScale"):
            for weight in layer.weights:
                spread = weight.name in ("beta", "moving_mean")
                low, high = (-0.5, 0.5) if spread else (0.5, 1.5)
                weight.assign(rng.uniform(low, high, weight.shape))
        elif kind == "Normalization" and layer.weights:  # as in EfficientNet's weights files
            mean, deviation = np.array([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])
            layer.set_weights([mean, deviation, np.array(0)])
            layer.finalize_state()


@pytest.fixture(scope="session", params=SMALLEST.values(), ids=list(SMALLEST))
def family(request):
    """The smallest backbone of a family, seeded weights in its network, and pixels for it.

    The images have the least height, and a width that makes the last map 1 x 2 or more.
    """
    backbone = request.param
    size = (backbone.min_size, backbone.min_size + 32)
    base = build(backbone, size)
    randomize(base, 0)
    draw_statistics(base)
    return backbone, base, draw_pixels(*size)


@pytest.fixture
def unchecked(monkeypatch):
    """Weights that are random cannot pass the golden check."""
    monkeypatch.setattr(golden, "check", lambda weights: iter(()))


class _Server(http.server.ThreadingHTTPServer):
    def __init__(self, folder):
        handler = functools.partial(_Quiet, directory=str(folder))
        super().__init__(("127.0.0.1", 0), handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch, cache):
    """Keras' downloads come from a folder on a local server, and into a cache of their own."""
    from keras.src.applications import mobilenet_v2, resnet
    from keras.src.utils import file_utils

    folder = tmp_path / "server"
    folder.mkdir()
    server = _Server(folder)
    monkeypatch.setattr(mobilenet_v2, "BASE_WEIGHT_PATH", f"{server.url}/")
    monkeypatch.setattr(resnet, "BASE_WEIGHTS_PATH", f"{server.url}/")
    get_file = functools.partial(file_utils.get_file, cache_dir=tmp_path / "keras")
    monkeypatch.setattr(file_utils, "get_file", get_file)
    yield folder
    server.shutdown()
    server.server_close()


@pytest.fixture
def served(server):
    """MobileNetV2 with its top, random, in the format and under the name of Keras' own file."""
    import h5py
    import keras
    from keras.src.legacy.saving import legacy_h5_format

    whole = keras.applications.MobileNetV2(weights=None)
    randomize(whole, 11)
    name = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224.h5"
    with h5py.File(server / name, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, whole)
    return whole
