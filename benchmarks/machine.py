"""What figures depend on, beside what is measured."""

import platform
from importlib.metadata import version

from features.engines import hardware
from features.processes.cpus import available_cpus


def facts(*packages: str) -> dict[str, str]:
    """Return processor, platform and the versions of packages, in words."""
    return {
        "processor": f"{hardware.cpu_name()}, {available_cpus()} CPUs",
        "platform": f"{platform.platform()}, Python {platform.python_version()}",
        "versions": ", ".join(f"{name} {version(name)}" for name in packages),
    }
