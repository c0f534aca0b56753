"""Trained networks on disk, read back without running any code that a file holds.

The file is a Keras file, which Keras itself can open. We read its arrays alone; the network around
them is built by our own code from the facts in the candidate's record.
"""

import warnings
from pathlib import Path
from typing import Any

from features.backbones.weights_file import keras_file
from features.disk import durable
from features.errors import DataError, OffshelfError
from features.processes.packages import sha256_of
from features.processes.quiet import keras_here
from features.storage import hdf5_guard
from features.text import reason_of
from pipeline.networks import architectures, transfer
from pipeline.networks import facts as network_facts
from pipeline.results.model_files import check_archive

FILE = "model.keras"
NETWORK = "network"  # the field of a record's model that holds the facts of the network

# From the "kind" in these facts to the function that builds the network, without its weights.
_BUILDERS = {
    network_facts.FROM_SCRATCH: architectures.build,
    network_facts.FINE_TUNED: transfer.build,
}


def save(network: Any, folder: Path, facts: dict[str, Any]) -> dict[str, Any]:
    """Write a network durably; return {"file", "bytes", "sha256", "network": facts}.

    Args:
        network: a keras.Model, from uint8 pixels to logits.
        folder: the folder of the candidate.
        facts: "kind" and all that its builder needs, as JSON holds it.
    """
    path = folder / FILE
    durable.write(path, keras_file(network))
    size, digest = path.stat().st_size, sha256_of(path)
    return {"file": path.name, "bytes": size, "sha256": digest, NETWORK: facts}


def load(folder: Path, facts: dict[str, Any]) -> Any:
    """Return a network that `save` wrote, a keras.Model from uint8 pixels to logits.

    Args:
        folder: the folder of the candidate.
        facts: what `save` returned.

    Raises:
        DataError: the file is missing, has changed, or does not fit its record.
        MissingPackageError: Keras is not installed.
    """
    path = folder / FILE
    if not path.is_file():
        raise DataError(f"there is no {path}; train it again with --restart")
    if sha256_of(path) != facts.get("sha256"):
        raise DataError(f"{path} has changed since it was written; train it again with --restart")
    described: Any = facts.get(NETWORK)
    network_facts.check(described, path.stat().st_size, f"{folder}: its record's network")
    keras_here()
    try:
        check_archive(path)
        hdf5_guard.check(path, is_for_hdf5=True)
        network = _BUILDERS[described["kind"]](described)
        with warnings.catch_warnings():
            # Keras only warns of layers that the file lacks, and leaves them as they are.
            warnings.filterwarnings("error", "Skipping", UserWarning)
            network.load_weights(path)  # this reads the arrays alone, also of a .keras file
    except OffshelfError:
        raise
    except Exception as error:  # zipfile, h5py and Keras raise many kinds
        detail = reason_of(error)
        raise DataError(f"{path} cannot be read as a network: {detail}") from None
    return network
