"""The doctor: what was found on this machine, and how fast each engine runs here."""

import logging
import platform
import sys
import time
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from features import __version__, descriptors, handcrafted
from features.backbones.assembly import assemble
from features.backbones.catalog import find
from features.backbones.weights import RANDOM, resolve
from features.config import ENGINES, ExtractConfig
from features.engines import Choice, Compiled, choose, compile_network
from features.engines.hardware import cpu_flags, cpu_name, gpu_names
from features.loading import available_cpus
from features.packages import cache_folder
from pipeline.reports.tables import render
from pipeline.stages.weights import listing

log = logging.getLogger("offshelf")

_PACKAGES = ("keras", *ENGINES, "numpy", "h5py", "pillow", "scikit-learn", "pandas")
_TELLING_FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "avx512_fp16", "amx_int8")
SECONDS = 3.0  # of measuring each engine


def report() -> str:
    """Return what was found: hardware, engines, versions, cache and weights."""
    choice = choose()
    facts = {
        "offshelf": f"{__version__}, Python {platform.python_version()}, {platform.platform()}",
        "processor": f"{cpu_name()}, {available_cpus()} cores",
        "flags": ", ".join(flag for flag in _TELLING_FLAGS if flag in cpu_flags()) or "none known",
        "GPUs": ", ".join(gpu_names()) or "none",
        "engine": f"{choice.engine} in {choice.precision}: {choice.reason}",
        "cache": f"{cache_folder()} ({_megabytes(cache_folder()):.0f} MB)",
    }
    found = "\n".join(f"{name:<10} {value}" for name, value in facts.items())
    versions = render(("package", "version"), [(name, _version(name)) for name in _PACKAGES])
    return f"{found}\n\n{versions}\n\n{listing()}"


def measure(backbone: str, batch_size: int = ExtractConfig.batch_size) -> str:
    """Return the table of images/s, forward pass alone, of every engine that can be used."""
    header = ("engine", "precision", "images/s")
    if descriptor := descriptors.find(backbone):
        choice, size = handcrafted.choose(), (descriptor.size, descriptor.size)
        rate = _images_per_second(handcrafted.compiled(descriptor, size), (batch_size, *size, 3))
        table = render(header, [(choice.engine, choice.precision, f"{rate:.1f}")])
        return f"{descriptor.name}, batches of {batch_size}\n\n{table}"
    find(backbone)
    rows = [
        (choice.engine, choice.precision, _rate(choice, backbone, batch_size))
        for choice in _usable()
    ]
    return f"{backbone}, batches of {batch_size}, random weights\n\n{render(header, rows)}"


def _usable() -> Iterator[Choice]:
    for engine in ENGINES:
        if find_spec(engine) is not None:
            precisions = {choose(engine).precision: None, "float32": None}
            yield from (Choice(engine, precision, "") for precision in precisions)


def _rate(choice: Choice, name: str, batch_size: int) -> str:
    """Measure in a process of its own, as Keras runs on one backend in each."""
    import subprocess

    code = (
        "from pipeline.stages.doctor import forward_rate; "
        f"print(forward_rate({choice.engine!r}, {choice.precision!r}, {name!r}, {batch_size}))"
    )
    log.info("measuring %s in %s", choice.engine, choice.precision)
    result = subprocess.run(  # noqa: S603
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    if result.returncode:
        last = (result.stderr.strip().splitlines() or ["no message"])[-1]
        return f"failed: {last[:80]}"
    return f"{float(result.stdout.splitlines()[-1]):.1f}"


def forward_rate(engine: str, precision: str, name: str, batch_size: int) -> float:
    """Return images/s of the forward pass alone, on noise, with random weights."""
    backbone = find(name)
    size, weights = (backbone.size, backbone.size), resolve(backbone, RANDOM)

    def make(weights_precision: str) -> object:
        return assemble(backbone, size, weights, [backbone.output], precision=weights_precision)

    batch_shape = (batch_size, *size, 3)
    compiled = compile_network(Choice(engine, precision, ""), make, batch_shape)
    return _images_per_second(compiled, batch_shape)


def _images_per_second(compiled: Compiled, batch_shape: tuple[int, int, int, int]) -> float:
    pixels = np.random.default_rng(0).integers(0, 256, batch_shape, np.uint8)
    compiled.forward(pixels)
    started, batches = time.perf_counter(), 0
    while (seconds := time.perf_counter() - started) < SECONDS or batches < 2:
        compiled.forward(pixels)
        batches += 1
    return batches * batch_shape[0] / seconds


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _megabytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6
