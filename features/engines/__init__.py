"""How a network runs forward: the choice among the engines, and the one call that compiles."""

from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from features.arguments import check_choice
from features.config import AUTO, ENGINES, INT8, PRECISIONS, QUANTIZES
from features.engines.base import (
    BatchShape,
    Calibrate,
    Choice,
    Compiled,
    Make,
    use_keras_on,
)
from features.engines.hardware import cpu_has_bfloat16, gpu_names, is_x86
from features.errors import MissingPackageError, UsageError

__all__ = ["Choice", "Compiled", "choose", "compile_network", "reference", "use_keras_on"]

REFERENCE = "float32"


def choose(engine: str = AUTO, precision: str = AUTO, among: Sequence[str] = ENGINES) -> Choice:
    """Return what runs fastest here, within what the user has fixed.

    Args:
        engine: a name from `ENGINES`, or "auto": whichever is installed first of OpenVINO (on
            x86-64), TensorFlow, PyTorch and JAX on a CPU, of TensorFlow, JAX and PyTorch on a GPU.
        precision: a name from `PRECISIONS`, or "auto": bfloat16 on GPUs and on CPUs that compute
            in it, float32 elsewhere; "int8", which "auto" never takes, for OpenVINO alone.
        among: names of the engines that can run the network, the best one first.

    Raises:
        UsageError: a name is not known, or the engine does not have the precision, or cannot run
            the network.
        MissingPackageError: the engine is not installed.
    """
    check_choice(engine, "engine", (AUTO, *ENGINES))
    check_choice(precision, "precision", (AUTO, *PRECISIONS, INT8))
    if precision == INT8:
        return _quantizing(engine)
    if engine not in (AUTO, *among):
        raise UsageError(f"--engine {engine}: this network is run by {' or '.join(among)}")
    gpus = gpu_names()
    place = f"a GPU ({gpus[0]})" if gpus else "a CPU"
    if engine == AUTO and len(among) == 1:
        engine, reason = among[0], "what runs this network"
    elif engine == AUTO:
        engine, reason = _fastest(bool(gpus), among), f"the fastest that is installed for {place}"
        if gpus:
            reason = f"the first that is installed for {place}, where none was measured"
    else:
        reason = "asked for"
    if find_spec(engine) is None:
        raise MissingPackageError(f"{engine} is not installed; `pip install {engine}` brings it")
    on_gpu = bool(gpus) and engine != "openvino"  # which runs on the CPU in any case
    if precision == AUTO:
        is_fast = _is_fast_in_bfloat16(engine, on_gpu)
        precision = "bfloat16" if is_fast else REFERENCE
        reason += f"; bfloat16 is {'fast' if is_fast else 'not fast'} there"
    return Choice(engine, precision, reason, on_gpu)


def reference() -> Choice:
    """Return float32 on the engine whose numbers are nearest to Keras' own."""
    for engine in ("tensorflow", "jax", "openvino", "torch"):
        if find_spec(engine) is not None:
            return Choice(engine, REFERENCE, "the reference")
    raise MissingPackageError("no engine is installed; `pip install tensorflow` brings one")


def compile_network(
    choice: Choice,
    make: Make,
    batch_shape: BatchShape,
    cache: Path | None = None,
    calibrate: Calibrate | None = None,
) -> Compiled:
    """Make a network ready to run.

    Args:
        choice: the engine and the precision, as `choose` returns them.
        make: makes the Keras network; not called where the engine finds its own form in `cache`.
        batch_shape: (batch size, height, width, 3), the only shape that the result will take.
        cache: folder of this very network, for an engine that keeps a converted form; None keeps
            nothing.
        calibrate: gives the images that int8 is calibrated on, unless the result is in `cache`.

    Raises:
        DataError: there is nothing to calibrate int8 on.
        UsageError: Keras is already running on a backend that this engine cannot use.
    """
    module = import_module(f"features.engines.{choice.engine}_engine")
    further = (calibrate,) if choice.precision == INT8 else ()
    return module.compile_network(make, batch_shape, choice.precision, cache, *further)


def _quantizing(engine: str) -> Choice:
    if engine not in (AUTO, QUANTIZES):
        raise UsageError(f"{engine} has no {INT8}; {QUANTIZES} has")
    if find_spec(QUANTIZES) is None:
        raise MissingPackageError(f"{INT8} needs {QUANTIZES}; `pip install {QUANTIZES}` brings it")
    return Choice(QUANTIZES, INT8, "asked for, and the engine that has it")


def _is_fast_in_bfloat16(engine: str, on_gpu: bool) -> bool:
    return on_gpu or (cpu_has_bfloat16() and engine != "jax")  # XLA emulates it on CPUs


def _fastest(on_gpu: bool, among: Sequence[str]) -> str:
    # On CPUs as measured, see docs/speed.md; on GPUs nothing was.
    order = ["tensorflow", "jax", "torch"] if on_gpu else ["tensorflow", "torch", "jax"]
    if is_x86() and not on_gpu:
        order.insert(0, "openvino")
    installed = [engine for engine in (*order, *among) if find_spec(engine) is not None]
    otherwise = "tensorflow" if "tensorflow" in among else among[0]
    return next((engine for engine in installed if engine in among), otherwise)
