"""PyTorch: a network as a plain graph of operations, on every GPU there is, or on the CPU.

A Keras network runs on Keras' own PyTorch backend only once, while its operations are written down.
Modules of PyTorch itself take the same way; such a module takes uint8 pixels (batch, height, width,
3) and returns a tuple of float32 tensors for the names in its attribute `layers`.
"""

import copy
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

from features.engines.base import BatchShape, Compiled, Make, use_keras_on
from features.engines.torch_graph import written_down
from features.errors import UsageError


class _KerasNetwork(torch.nn.Module):
    """A Keras network with a tuple of outputs, in the order of `layers`."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network, self.layers = network, tuple(network.output)

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        outputs = self.network(pixels, training=False)
        return tuple(outputs[name] for name in self.layers)


def compile_network(
    make: Make, batch_shape: BatchShape, precision: str, cache: Path | None
) -> Compiled:
    """Write scaling, network and pooling down as one graph; see `engines.compile_network`.

    Several GPUs take equal shares of every batch.
    """
    use_keras_on("torch")
    module = _module(_made(make, precision))
    home = next(iter(module.parameters())).device
    devices = _gpus() or [home]
    share = -(-batch_shape[0] // len(devices))
    pixels = torch.zeros((share, *batch_shape[1:]), dtype=torch.uint8, device=home)
    with torch.inference_mode():
        shapes = [tuple(output.shape[1:]) for output in module(pixels)]
    graph = written_down(module, pixels)
    replicas = [_ready(graph, device) for device in devices]
    return Compiled(
        dict(zip(module.layers, shapes, strict=True)),
        _Forward(replicas, devices, share, tuple(module.layers)),
    )


def _made(make: Make, precision: str) -> Any:
    try:
        return make(precision)
    except ValueError as error:  # such as of NASNet, which Keras has not for PyTorch
        reason = str(error).partition("\n")[0]
        raise UsageError(f"--engine torch cannot run this network: {reason}") from None


def _module(network: Any) -> Any:
    """Return what is to be written down, ready for inference."""
    keras = sys.modules.get("keras")
    is_of_keras = keras is not None and isinstance(network, keras.Model)
    return (_KerasNetwork(network) if is_of_keras else network).eval()


def _gpus() -> list[torch.device]:
    return [torch.device("cuda", number) for number in range(torch.cuda.device_count())]


def _ready(graph: torch.fx.GraphModule, device: torch.device) -> Any:
    """Return a copy of the graph on a device; on GPUs compiled, where Triton is installed.

    On CPUs compiling would need a C++ compiler, and OpenVINO stays faster.
    """
    replica = copy.deepcopy(graph).to(device)
    for node in replica.graph.nodes:
        if "device" in node.kwargs:
            node.kwargs = node.kwargs | {"device": device}
    replica.recompile()
    can_compile = device.type == "cuda" and find_spec("triton") is not None
    return torch.compile(replica) if can_compile else replica


class _Forward:
    """Splits a batch into shares, and runs each by a replica on its device."""

    def __init__(
        self, replicas: list[Any], devices: list[torch.device], share: int, names: tuple[str, ...]
    ) -> None:
        self.replicas, self.devices, self.share, self.names = replicas, devices, share, names

    def __call__(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        count = len(pixels)
        if missing := self.share * len(self.devices) - count:
            pixels = np.concatenate([pixels, pixels[:missing]])
        with torch.inference_mode():
            outputs = [
                replica(torch.from_numpy(part).to(device, non_blocking=True))
                for replica, device, part in zip(
                    self.replicas, self.devices, np.split(pixels, len(self.devices)), strict=True
                )  # the GPUs run at the same time
            ]
            return {
                name: np.concatenate([values[number].cpu().numpy() for values in outputs])[:count]
                for number, name in enumerate(self.names)
            }
