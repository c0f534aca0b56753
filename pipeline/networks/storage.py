"""Trained networks on disk, and back without running anything that a file says.

The file is a Keras file that Keras can open too. We read only its arrays; the network around them
is built by our own code from the facts that stand in the candidate's record.
"""

import tempfile
import warnings
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from features import durable
from features.errors import DataError, OffshelfError
from features.packages import sha256_of
from features.quiet import keras_here

FILE = "model.keras"
NETWORK = "network"  # in the facts of a record's model: what the network is built from

# By the "kind" among these facts: the module whose `build(facts)` builds it, without its weights.
_BUILDERS = {
    "scratch": "pipeline.networks.architectures",
    "finetune": "pipeline.networks.transfer",
}


def save(network: Any, folder: Path, facts: dict[str, Any]) -> dict[str, Any]:
    """Write a network durably; return {"file", "bytes", "sha256", "network": facts}.

    Args:
        network: a keras.Model, from uint8 pixels to logits.
        folder: of the candidate.
        facts: "kind", and whatever its builder needs, as JSON holds it.
    """
    path = folder / FILE
    with tempfile.TemporaryDirectory() as scratch:
        draft = Path(scratch) / FILE
        network.save(draft, include_optimizer=False)
        durable.write(path, draft.read_bytes())
    size, digest = path.stat().st_size, sha256_of(path)
    return {"file": path.name, "bytes": size, "sha256": digest, NETWORK: facts}


def load(folder: Path, facts: dict[str, Any]) -> Any:
    """Return a network that `save` wrote, a keras.Model from uint8 pixels to logits.

    Args:
        folder: of the candidate.
        facts: what `save` returned.

    Raises:
        DataError: the file is not there, has changed, or does not fit its record.
        MissingPackageError: Keras is not installed.
    """
    path = folder / FILE
    if not path.is_file():
        raise DataError(f"there is no {path}; train it again with --restart")
    if sha256_of(path) != facts.get("sha256"):
        raise DataError(f"{path} has changed since it was written; train it again with --restart")
    keras_here()
    try:
        network = _builder(facts[NETWORK])(facts[NETWORK])
        with warnings.catch_warnings():
            # Of layers that a file lacks Keras only warns, and leaves them as they were.
            warnings.filterwarnings("error", "Skipping", UserWarning)
            network.load_weights(path)  # of a .keras file too this reads the arrays alone
    except OffshelfError:
        raise
    except Exception as error:  # zipfile, h5py and Keras raise many kinds
        detail = " ".join(str(error).split())[:200]
        raise DataError(f"{path} cannot be read as a network: {detail}") from None
    return network


def _builder(facts: dict[str, Any]) -> Callable[[dict[str, Any]], Any]:
    if (kind := facts.get("kind")) not in _BUILDERS:
        raise DataError(f"its record names a network of kind {kind!r}; known: {[*_BUILDERS]}")
    builder: Callable[[dict[str, Any]], Any] = import_module(_BUILDERS[kind]).build
    return builder
