"""Keras and what it runs on."""

from types import ModuleType

from features.errors import MissingPackageError
from features.quiet import quiet_import


def keras_here(who: str = "a network") -> ModuleType:
    """Return Keras; raises MissingPackageError where it or its backend is not installed.

    Args:
        who: needs it, as the message says.
    """
    try:
        return quiet_import("keras")
    except ImportError as error:
        reason = str(error).partition("\n")[0]
        raise MissingPackageError(
            f"{who} needs Keras and a backend ({reason}); `pip install tensorflow` brings one, "
            "or name one that is installed: KERAS_BACKEND=jax"
        ) from None


def compiles() -> bool:
    """Tell whether XLA compiles: JAX needs it; on CPUs TensorFlow's own kernels are faster."""
    return str(keras_here().backend.backend()) == "jax"
