"""The state of a stage of training after an epoch: one file, wholly there or not at all."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from features import durable
from features.errors import DataError
from pipeline.networks import history
from pipeline.networks.history import History

Arrays = list[np.ndarray]


@dataclass(frozen=True)
class State:
    """What a stage needs to go on as if it had never stopped.

    Attributes:
        finished: whether it has ended; then only `best` is kept, the weights it ended with.
        history: its epochs so far.
        best: weights with the least validation loss so far.
        variables: weights and the states of random generators, in the network's order.
        optimizer: its variables: steps, momenta.
    """

    finished: bool
    history: History
    best: Arrays
    variables: Arrays
    optimizer: Arrays


def write(path: Path, state: State) -> None:
    """Write a state durably in place of the last one; raises OSError."""
    facts = {"finished": state.finished, "epochs": [asdict(one) for one in state.history.epochs]}
    groups = {"best": state.best, "variables": state.variables, "optimizer": state.optimizer}
    arrays: dict[str, Any] = {
        f"{name}.{number}": array
        for name, group in groups.items()
        for number, array in enumerate(group)
    }
    with durable.replacing(path) as draft:
        np.savez(draft, facts=np.array(json.dumps(facts)), **arrays)


def read(path: Path) -> State | None:
    """Return the state that was written; None where there is none.

    Raises:
        DataError: it cannot be read as such.
    """
    if not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as stored:
            facts = json.loads(str(stored["facts"]))
            groups = [_group(stored, name) for name in ("best", "variables", "optimizer")]
        return State(facts["finished"], history.from_facts(facts["epochs"]), *groups)
    except Exception as error:  # numpy and zipfile raise many kinds
        detail = str(error).partition("\n")[0]
        raise DataError(
            f"{path} cannot be read as a checkpoint ({detail}); remove it, or --restart"
        ) from None


def _group(stored: Any, name: str) -> Arrays:
    count = sum(key.startswith(f"{name}.") for key in stored.files)
    return [stored[f"{name}.{number}"] for number in range(count)]


def values(variables: Sequence[Any]) -> Arrays:
    """Return copies of Keras variables as arrays."""
    from keras import ops

    return [np.array(ops.convert_to_numpy(variable.value)) for variable in variables]


def assign(variables: Sequence[Any], arrays: Arrays, path: Path) -> None:
    """Give Keras variables their values back.

    Raises:
        DataError: the checkpoint at `path` is of another network.
    """
    shapes = [tuple(variable.shape) for variable in variables]
    if shapes != [array.shape for array in arrays]:
        raise DataError(f"{path} belongs to another network; remove it, or --restart")
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)
