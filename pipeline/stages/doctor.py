"""The doctor stage: what was found on this machine, and how fast each engine runs here."""

import logging
import platform
import sys
import time
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from features import __version__, descriptors
from features.backbones.assembly import assemble
from features.backbones.catalog import find
from features.backbones.weights import RANDOM, resolve
from features.config import ENGINES, QUANTIZER, QUANTIZES, ExtractConfig
from features.engines import Choice, Compiled, choose, compile_network
from features.engines.hardware import cpu_flags, cpu_name, gpu_names
from features.extraction import handcrafted
from features.processes.cpus import available_cpus
from features.processes.packages import cache_folder
from pipeline.results.listings import Diagnosis, EngineRate, EngineRates
from pipeline.stages.weights import list_weights

log = logging.getLogger("offshelf")

_FURTHER = ("timm", "numpy", "h5py", "pillow", "numba", "scikit-learn", "pandas")
_PACKAGES = ("keras", *ENGINES, QUANTIZER, *_FURTHER)
_FOR_INT8 = ("avx_vnni", "avx512_vnni", "amx_int8")
_TELLING_FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "avx512_fp16", *_FOR_INT8)
SECONDS = 3.0  # of measuring each engine


def run() -> Diagnosis:
    """Look at the hardware, the engines, the versions, the cache and the weights."""
    choice = choose()
    return Diagnosis(
        offshelf=__version__,
        python=platform.python_version(),
        platform=platform.platform(),
        processor=cpu_name(),
        cores=available_cpus(),
        flags=tuple(flag for flag in _TELLING_FLAGS if flag in cpu_flags()),
        gpus=tuple(gpu_names()),
        engine=choice.engine,
        precision=choice.precision,
        reason=choice.reason,
        int8=_int8(),
        cache_folder=str(cache_folder()),
        cache_bytes=_bytes(cache_folder()),
        packages={name: _version(name) for name in _PACKAGES},
        weights=list_weights(),
    )


def _int8() -> str:
    """Return what int8 would run by here, or what it needs."""
    if any(find_spec(package) is None for package in (QUANTIZES, QUANTIZER)):
        return f'needs {QUANTIZES} and {QUANTIZER}; `pip install "offshelf[int8]"` brings them'
    flags = [flag for flag in _FOR_INT8 if flag in cpu_flags()]
    speed = f"fast by {', '.join(flags)}" if flags else "no instructions for it in this processor"
    return f"{QUANTIZES}, quantized by {QUANTIZER}; {speed}; never chosen by auto"


def measure(backbone: str, batch_size: int = ExtractConfig.batch_size) -> EngineRates:
    """Measure images a second, forward pass alone, of every engine that can be used.

    Raises:
        UsageError: no backbone has that name.
        MissingPackageError: the package that computes a hand-crafted descriptor is not installed.
    """
    if descriptor := descriptors.find(backbone):
        choice, size = handcrafted.choose(), (descriptor.size, descriptor.size)
        rate = _images_per_second(handcrafted.compiled(descriptor, size), (batch_size, *size, 3))
        measured = EngineRate(choice.engine, choice.precision, rate)
        return EngineRates(descriptor.name, batch_size, False, (measured,))
    find(backbone)
    rates = tuple(_rate(choice, backbone, batch_size) for choice in _usable())
    return EngineRates(backbone, batch_size, True, rates)


def _usable() -> Iterator[Choice]:
    for engine in ENGINES:
        if find_spec(engine) is not None:
            precisions = {choose(engine).precision: None, "float32": None}
            yield from (Choice(engine, precision, "") for precision in precisions)


def _rate(choice: Choice, name: str, batch_size: int) -> EngineRate:
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
        problem = (result.stderr.strip().splitlines() or ["no message"])[-1]
        return EngineRate(choice.engine, choice.precision, None, problem)
    return EngineRate(choice.engine, choice.precision, float(result.stdout.splitlines()[-1]))


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


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
