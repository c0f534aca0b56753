"""Running a hand-crafted descriptor, as an engine runs a network."""

from functools import partial
from importlib.util import find_spec

import numpy as np

from features.descriptors import ENGINE, Descriptor
from features.engines.base import Choice, Compiled
from features.errors import MissingPackageError
from features.processes.cpus import available_cpus


def choose() -> Choice:
    """Return the library that computes descriptors.

    Raises:
        MissingPackageError: scikit-image is not installed.
    """
    if find_spec("skimage") is None:
        raise MissingPackageError(
            f'{ENGINE} is not installed; `pip install "offshelf[handcrafted]"` brings it'
        )
    return Choice(ENGINE, "float32", "it computes the hand-crafted descriptors")


def compiled(descriptor: Descriptor, size: tuple[int, int]) -> Compiled:
    """Return a descriptor ready to run on batches of a height and width, on every CPU."""
    workers = available_cpus()
    describe = partial(descriptor.describe, **descriptor.parameters)

    def forward(pixels: np.ndarray) -> dict[str, np.ndarray]:
        # Processes are used because Python's own share of the work keeps threads waiting for each
        # other. They are loky's, which need no `if __name__ == "__main__"` in the user's script.
        from joblib.externals.loky import get_reusable_executor

        pool = get_reusable_executor(workers, initializer=_leave_signals_to_the_parent)
        shares = np.array_split(pixels, min(workers, len(pixels)))
        return {descriptor.output: np.concatenate([*pool.map(describe, shares)])}

    return Compiled({descriptor.output: (descriptor.dimensions(size),)}, forward)


def _leave_signals_to_the_parent() -> None:
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)
