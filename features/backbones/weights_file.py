"""Weights files of every kind that Keras writes, loaded into a bare network.

A file is read once, whole: what is loaded is what was checked, and no lock is asked for, which
some network file systems do not have.
"""

import hashlib
import io
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from features.errors import DataError
from features.storage import hdf5_guard
from features.storage.hdf5_walk import KERAS_MEMBER, opened
from features.storage.schema import reading
from features.text import reason_of


def check(path: Path) -> None:
    """Raise DataError unless a file opens as weights, and nothing in it would do harm."""
    hdf5_guard.check(path, is_for_hdf5=True)
    with reading("it cannot be opened"), opened(str(path)):
        pass


def load(base: Any, path: Path, name: str, sha256: str = "") -> None:
    """Set the weights of a bare network from a file of the network, or of a model around it.

    Args:
        base: the network.
        path: a `.weights.h5`, `.keras` or older `.h5` file.
        name: the name of the network in messages.
        sha256: the SHA-256 that the file must have; empty where it is not known.

    Raises:
        DataError: the file cannot be read, has changed, or does not hold weights of this network.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None
    if sha256 and hashlib.sha256(content).hexdigest() != sha256:
        raise DataError(f"{path} has changed since it was checked; start again")
    try:
        with warnings.catch_warnings():
            # Keras only warns of layers that a file lacks, and leaves them as they were.
            warnings.filterwarnings("error", "Skipping", UserWarning)
            _read(base, path, content)
    except DataError:
        raise
    except UserWarning:
        raise DataError(
            f"{path} does not hold the weights of {name}: it lacks layers of that network"
        ) from None
    except Exception as error:  # Keras and h5py raise errors of many types
        detail = reason_of(error)
        raise DataError(f"{path} does not hold the weights of {name}: {detail}") from None


def weights_file(network: Any) -> bytes:
    """Return the `.weights.h5` file of a network.

    It is made in memory, because HDF5 itself was seen to crash where the disk is full.
    """
    content = _Content(b"", ".weights.h5")
    network.save_weights(content)
    return content.getvalue()


def keras_file(network: Any) -> bytes:
    """Return the `.keras` file of a network, without its optimizer; it is made in memory too."""
    content = _Content(b"", ".keras")
    network.save(content, include_optimizer=False)
    return content.getvalue()


class _Content(io.BytesIO):
    """The content of a weights file, which Keras takes for a file of that kind."""

    def __init__(self, content: bytes, suffix: str) -> None:
        super().__init__(content)
        self._suffix = suffix

    def __str__(self) -> str:
        return f"content{self._suffix}"


def _read(base: Any, path: Path, content: bytes) -> None:
    if path.name.endswith((".weights.h5", ".keras")):
        if path.suffix == ".keras":
            content = zipfile.ZipFile(io.BytesIO(content)).read(KERAS_MEMBER)
        _read_by_structure(base, content)
    else:
        _read_by_name(base, path, content)


def _read_by_structure(base: Any, content: bytes) -> None:
    """Load Keras 3's format, in which layers are numbered by their kind."""
    try:
        base.load_weights(_Content(content, ".weights.h5"))
    except Exception:  # Keras raises errors of many types
        if not any(_fits(base, nested) for nested in _nested_models(content)):
            raise


def _fits(base: Any, content: bytes) -> bool:
    """Load the content if it fits the network; return whether it does."""
    try:
        base.load_weights(_Content(content, ".weights.h5"))
    except Exception:
        return False
    return True


def _nested_models(content: bytes) -> Iterator[bytes]:
    """Yield each model that is a layer of a model in the file, as a file of its own."""
    with h5py.File(io.BytesIO(content), "r") as file:
        groups: list[str] = []
        file.visititems(lambda path, item: groups.append(path))
        for path in (path for path in groups if f"{path}/layers" in file):
            with io.BytesIO() as target:
                with h5py.File(target, "w") as copy:
                    for name in file[path]:
                        file.copy(f"{path}/{name}", copy)
                yield target.getvalue()


def _read_by_name(base: Any, path: Path, content: bytes) -> None:
    """Load the format of Keras 1 and 2, in which layers have names."""
    with h5py.File(io.BytesIO(content), "r") as file:
        layers = file.get("model_weights", file)
        missing = [
            layer.name for layer in base.layers if layer.weights and layer.name not in layers
        ]
        if not missing:
            # The file may hold a top, which is skipped.
            base.load_weights(_Content(content, ".h5"), by_name=True)
        elif (values := _nested_values(base, layers)) is not None:
            base.set_weights(values)
        else:
            raise DataError(
                f"{path} lacks {len(missing)} layers of {base.name}, such as {missing[0]}: it "
                "holds the weights of another network"
            )


def _nested_values(base: Any, layers: h5py.Group) -> list[np.ndarray] | None:
    """Return the weights of the network from a model that is a layer in the file, else None."""
    wanted = [_last_names(weight.path) for weight in base.weights]
    for group in layers.values():
        datasets: dict[str, h5py.Dataset] = {}

        def keep(path: str, item: Any, datasets: dict[str, h5py.Dataset] = datasets) -> None:
            if isinstance(item, h5py.Dataset):
                datasets[_last_names(path)] = item

        group.visititems(keep)
        if all(name in datasets for name in wanted):
            return [datasets[name][...] for name in wanted]
    return None


def _last_names(path: str) -> str:
    """Return the names of a weight's layer and of the weight, such as "Conv1/kernel"."""
    return "/".join(path.removesuffix(":0").split("/")[-2:])
