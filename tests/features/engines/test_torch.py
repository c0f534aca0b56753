"""PyTorch gives the features of plain Keras; in processes of their own, as Keras has one backend in each."""

import os
import subprocess
import sys

import numpy as np
import pytest

from features.storage.store import FeatureFile
from tests.features.engines.test_engines import BATCH, LAYERS, expected, least_cosine, pixels

pytest.importorskip("torch", reason="needs an extra that CI does not install")

__all__ = ["expected", "pixels"]  # fixtures


def run_code(code: str, *arguments: str) -> str:
    result = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return result.stdout


RUN = """
import sys
import numpy as np
import torch
from features.engines import Choice, compile_network, torch_engine
from tests.features.engines.test_engines import BATCH, make

torch_engine._gpus = lambda: [torch.device("cpu")] * 2
pixels = np.random.default_rng(0).integers(0, 256, BATCH, np.uint8)
five = np.concatenate([pixels, pixels[:1]])
found = {}
for precision in ("float32", "bfloat16"):
    compiled = compile_network(Choice("torch", precision, ""), make, five.shape)
    first = compiled.forward(five)
    copies = {layer: values.copy() for layer, values in first.items()}
    compiled.forward(255 - five)
    for layer, values in first.items():
        assert values.dtype == np.float32 and values.shape[1:] == compiled.shapes[layer]
        assert np.array_equal(values, copies[layer]), "the arrays are the caller's own"
        found[f"{precision} {layer}"] = values
np.savez(sys.argv[1], **found)
"""


def test_features_are_those_of_keras_also_by_two_devices(tmp_path, expected):
    """Two replicas on one CPU stand in for two GPUs; 5 images leave the last share one short."""
    run_code(RUN, str(tmp_path / "found.npz"))
    with np.load(tmp_path / "found.npz") as found:
        for precision, least in (("float32", 0.999999), ("bfloat16", 0.998)):
            for layer in LAYERS:
                values = found[f"{precision} {layer}"]
                assert values.shape[0] == 5
                assert least_cosine(values[: BATCH[0]], expected[layer]) > least
                np.testing.assert_allclose(values[4], values[0], rtol=1e-4, atol=1e-5)


GRAPH = """
import numpy as np
import torch
from torch import nn
from features.engines import Choice, compile_network
from features.engines.torch_graph import written_down
from features.engines.torch_engine import _module
from tests.features.engines.test_engines import BATCH, make

class Own(nn.Module):
    layers = ("mean", "conv")

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, pixels):
        values = self.conv(pixels.permute(0, 3, 1, 2).float() / 255)
        return values.mean((2, 3)), values.permute(0, 2, 3, 1)

from features.engines import use_keras_on
use_keras_on("torch")
pixels = torch.zeros(BATCH, dtype=torch.uint8)
graph = written_down(_module(make("float32")), pixels)
targets = [str(node.target) for node in graph.graph.nodes]
assert not [target for target in targets if "contiguous" in target or "assert" in target]
calls = [node for node in graph.graph.nodes if node.op == "call_function"]
convolutions = [node for node in calls if "conv2d" in str(node.target)]
assert len(convolutions) == 52
for node in convolutions:
    weight = node.args[1]
    assert weight.op == "get_attr", "what depends on weights alone is computed before"
    assert node.args[2] is not None, "the bias is the convolution's own"

own = Own()
compiled = compile_network(Choice("torch", "float32", ""), lambda precision: own, BATCH)
noise = np.random.default_rng(0).integers(0, 256, BATCH, np.uint8)
found = compiled.forward(noise)
with torch.no_grad():
    theirs = own(torch.from_numpy(noise))
assert compiled.shapes == {"mean": (4,), "conv": (30, 30, 4)}
for name, values in zip(own.layers, theirs):
    np.testing.assert_allclose(found[name], values.numpy(), rtol=1e-4, atol=1e-5)
"""


def test_the_graph_is_light_and_modules_of_torch_take_the_same_way():
    run_code(GRAPH)


def test_it_extracts(photos, tmp_path, cache):
    def extract(engine: str) -> None:
        arguments = ["extract", str(photos), "--backbone", "mobilenetv2", "--weights", "none"]
        arguments += ["--image-size", "32", "--batch-size", "4", "--precision", "float32"]
        arguments += ["--engine", engine, "--out", str(tmp_path / f"{engine}.h5")]
        run_code(
            f"import sys; from pipeline.commands.main import main; sys.exit(main({arguments}))"
        )

    for engine in ("torch", "tensorflow"):
        extract(engine)
    with FeatureFile(tmp_path / "torch.h5") as a, FeatureFile(tmp_path / "tensorflow.h5") as b:
        assert a.recipe.engine == "torch"
        assert {"torch", "keras"} <= a.recipe.versions.keys()
        assert least_cosine(a.features(), b.features()) > 0.999999
