"""Facts about the machine, read without importing any engine."""

import platform
from functools import cache
from pathlib import Path

_BFLOAT16_FLAGS = {"amx_bf16", "avx512_bf16"}
_GPUS = Path("/proc/driver/nvidia/gpus")


def is_x86() -> bool:
    """Tell whether this is a 64-bit Intel or AMD processor."""
    return platform.machine().lower() in ("x86_64", "amd64")


@cache
def cpu_flags() -> frozenset[str]:
    """Return the processor's feature flags as Linux names them; empty on other systems."""
    return frozenset(_cpu_fact("flags", "Features").split())


def cpu_has_bfloat16() -> bool:
    """Tell whether the processor multiplies in bfloat16 (AMX or AVX512-BF16)."""
    return bool(cpu_flags() & _BFLOAT16_FLAGS)


def cpu_name() -> str:
    """Return the processor's name, or its architecture where the system does not know more."""
    return _cpu_fact("model name") or platform.processor() or platform.machine()


def _cpu_fact(*names: str) -> str:
    """Return the value that Linux gives for the first processor under one of these names, or ""."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(names)), "")


def gpu_names() -> list[str]:
    """Return the names of the NVIDIA GPUs whose driver is loaded."""
    names = []
    for information in sorted(_GPUS.glob("*/information")):
        lines = information.read_text().splitlines()
        model = next((line for line in lines if line.startswith("Model")), ": NVIDIA GPU")
        names.append(model.partition(":")[2].strip())
    return names
