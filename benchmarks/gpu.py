"""How fast PyTorch and JAX run networks on the accelerator that is here; needs no TensorFlow.

    python -m benchmarks.gpu                       ResNet50, VGG16, ViT-S/14; batches of 64 to 1024
    python -m benchmarks.gpu --quick               in a tiny form, which a CPU runs in a minute

Everything is measured in one process, in turn, with seeded random weights at 224 px. Rows:

    matrix      TFLOP/s of a square bfloat16 matrix product: what the card gives at most
    limit       PyTorch's own: a ready batch on the card, bfloat16, channels-last, `torch.compile`
                where it can compile here, else eager (the row says which)
    ours        `--engine torch` on the same network, from pixels in main memory to features there;
                Keras' own networks run on Keras' PyTorch backend, ViT-S/14 is timm's
    whole       the same behind decoding JPEG files of 500 x 375 on all CPUs, as `extract` does it
    JAX         a square bfloat16 matrix product by JAX, where it is installed

Columns: images/s; share of the limit's images/s at that batch; share of the matrix rate, by the
multiplications of the network (4.1, 15.5 and 5.5 thousand millions an image, two operations each).
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import machine
from benchmarks.images import make_jpegs
from features.backbones.assembly import assemble
from features.backbones.catalog import SCALINGS, find
from features.backbones.timm_here import timm_here
from features.backbones.weights import resolve
from features.engines import Choice, compile_network
from features.engines.base import Compiled
from features.extraction.loading import load
from features.sources import open_source
from pipeline.reports.tables import render

SIDE, PRECISION = 224, "bfloat16"
VIT = "vit_small_patch14_dinov2"
MULTIPLICATIONS = {"resnet50": 4.1e9, "vgg16": 15.5e9, VIT: 5.5e9}  # an image of 224 px
HEADER = ("what", "batch", "images/s", "of the limit", "of the matrix rate")


def main() -> None:
    arguments = _arguments()
    print(f"device: {_device_name()}")
    if find_spec("jax") is not None:
        print(f"JAX, matrix: {_jax_matrix(arguments.matrix) / 1e12:.2f} TFLOP/s")
    peak = _torch_matrix(arguments.matrix)
    print(f"PyTorch, matrix: {peak / 1e12:.2f} TFLOP/s in bfloat16, {arguments.matrix} a side\n")
    rows: list[tuple[str, ...]] = []
    with tempfile.TemporaryDirectory(prefix="gpu-") as scratch:
        folder = make_jpegs(Path(scratch) / "jpegs", arguments.images)
        for name in arguments.networks:
            for batch in arguments.batches:
                rows += _of_network(name, batch, folder, peak, arguments)
    print(render(HEADER, rows))
    facts = machine.facts("torch", "keras", "numpy", "simplejpeg")
    print("\n" + "\n".join(f"{name}: {value}" for name, value in facts.items()))


def _of_network(
    name: str, batch: int, folder: Path, peak: float, arguments: argparse.Namespace
) -> Iterator[tuple[str, ...]]:
    """Yield the rows of a network and a batch size."""
    import torch

    side = arguments.side
    pixels = np.random.default_rng(0).integers(0, 256, (batch, side, side, 3), np.uint8)
    theirs, how = _limit(name, batch, side)
    limit = batch / _seconds(theirs, arguments.seconds)
    ours = _ours(name, batch, side)
    forward = batch / _seconds(lambda: ours.forward(pixels), arguments.seconds)
    whole = _whole(ours, folder, batch, side)
    operations = 2 * MULTIPLICATIONS[name] * (side / SIDE) ** 2
    for what, rate in ((f"limit, {how}", limit), ("ours", forward), ("whole", whole)):
        share = f"{100 * rate * operations / peak:.1f} %"
        yield (f"{name}: {what}", str(batch), f"{rate:.1f}", f"{rate / limit:.3f}", share)
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _limit(name: str, batch: int, side: int) -> tuple[Callable[[], Any], str]:
    """Return PyTorch's own forward pass on a ready batch, and how it runs."""
    import torch

    from benchmarks.torch_networks import NETWORKS

    device = _device()
    network = _timm(side) if name == VIT else NETWORKS[name]()
    network = network.eval().to(device, torch.bfloat16, memory_format=torch.channels_last)
    values = torch.randn(batch, 3, side, side, device=device, dtype=torch.bfloat16)
    values = values.contiguous(memory_format=torch.channels_last)
    can_compile = device == "cuda" and find_spec("triton") is not None
    run = torch.compile(network) if can_compile else network

    def forward() -> None:
        with torch.inference_mode():
            run(values)
        _wait()

    return forward, "torch.compile" if can_compile else "eager"


def _ours(name: str, batch: int, side: int) -> Compiled:
    def make(precision: str) -> Any:
        if name == VIT:
            return _timm_pixels(side, precision)
        backbone = find(name)
        weights = resolve(backbone, "none")
        layers = [backbone.output]
        return assemble(backbone, (side, side), weights, layers, precision=precision)

    return compile_network(Choice("torch", PRECISION, ""), make, (batch, side, side, 3))


def _timm(side: int) -> Any:
    return timm_here().create_model(VIT, num_classes=0, img_size=side)


def _timm_pixels(side: int, precision: str) -> Any:
    """Return timm's network from uint8 pixels to features, as an extraction takes it."""
    import torch

    from features.backbones.torch_network import PixelNetwork

    size, dtype = (side, side), getattr(torch, precision)
    return PixelNetwork(_timm(side), ["features"], "avg", SCALINGS["torch"], size, dtype)


def _whole(network: Compiled, folder: Path, batch: int, side: int) -> float:
    """Return images/s from JPEG files to features; the last batch is filled up, as ever."""
    with open_source(folder) as source:
        started = time.perf_counter()
        batches = load(source, (side, side), "stretch", "bilinear", batch, exact=False)
        for part in batches:
            network.forward(part.pixels)
        return len(source) / (time.perf_counter() - started)


def _torch_matrix(side: int) -> float:
    """Return operations/s of a square bfloat16 matrix product by PyTorch."""
    import torch

    matrix = torch.randn(side, side, device=_device(), dtype=torch.bfloat16)

    def product() -> None:
        torch.mm(matrix, matrix)
        _wait()

    return 2 * side**3 / _seconds(product, 1.0)


def _jax_matrix(side: int) -> float:
    """Return operations/s of the same by JAX."""
    import jax
    import jax.numpy as jnp

    matrix = jax.random.normal(jax.random.key(0), (side, side), jnp.bfloat16)
    product = jax.jit(lambda values: values @ values)
    return 2 * side**3 / _seconds(lambda: product(matrix).block_until_ready(), 1.0)


def _seconds(action: Callable[[], Any], at_least: float) -> float:
    """Return the seconds of a call: warmed up, then the mean of calls for some seconds."""
    action()
    action()
    started, calls = time.perf_counter(), 0
    while calls < 2 or time.perf_counter() - started < at_least:
        action()
        calls += 1
    return (time.perf_counter() - started) / calls


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _device_name() -> str:
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU, no GPU"


def _wait() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m benchmarks.gpu", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--networks", nargs="+", default=["resnet50", "vgg16", VIT])
    parser.add_argument("--batches", nargs="+", type=int, default=[64, 128, 256, 512, 1024])
    parser.add_argument("--images", type=int, default=8192, help="JPEG files")
    parser.add_argument("--quick", action="store_true", help="small images, few of them")
    arguments = parser.parse_args()
    quick = {"batches": [2], "images": 8, "side": 56, "seconds": 0.1, "matrix": 512}
    slow = {"side": SIDE, "seconds": 3.0, "matrix": 8192}
    return argparse.Namespace(**(vars(arguments) | (quick if arguments.quick else slow)))


if __name__ == "__main__":
    main()
