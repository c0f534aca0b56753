"""Checkpoints: the state of a stage of training after an epoch, in one file, whole or absent."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from features.disk import documents, durable
from features.errors import DataError
from pipeline.results.history import Epoch, History

Arrays = list[np.ndarray]


@dataclass(frozen=True)
class State:
    """Everything that a stage needs to resume as if it had never stopped.

    Attributes:
        finished: whether the stage has ended; then only `best` is kept, its final weights.
        history: the epochs so far.
        best: the weights with the lowest validation loss so far.
        variables: the weights and the states of random generators, in the network's order.
        optimizer: the variables of the optimizer: its step, its moments.
    """

    finished: bool
    history: History
    best: Arrays
    variables: Arrays
    optimizer: Arrays


@dataclass(frozen=True)
class _Facts:
    """The JSON in a checkpoint."""

    finished: bool
    epochs: tuple[Epoch, ...]


def write(path: Path, state: State) -> None:
    """Write a state durably, in place of the last one; raises OSError."""
    facts = {
        "finished": state.finished,
        "epochs": [asdict(epoch) for epoch in state.history.epochs],
    }
    groups = {"best": state.best, "variables": state.variables, "optimizer": state.optimizer}
    arrays: dict[str, Any] = {
        f"{name}.{number}": array
        for name, group in groups.items()
        for number, array in enumerate(group)
    }
    with durable.replacing(path) as draft:
        np.savez(draft, facts=np.array(json.dumps(facts)), **arrays)


def read(path: Path) -> State | None:
    """Return the state in a checkpoint; None where the file does not exist.

    Raises:
        DataError: the file cannot be read as a checkpoint.
    """
    if not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as stored:
            facts = documents.decode(str(stored["facts"]), _Facts, "facts")
            groups = [_group(stored, name) for name in ("best", "variables", "optimizer")]
        return State(facts.finished, History(facts.epochs), *groups)
    except Exception as error:  # numpy and zipfile raise many kinds
        detail = str(error).partition("\n")[0]
        raise DataError(
            f"{path} cannot be read as a checkpoint ({detail}); remove it, or --restart"
        ) from None


def seconds(path: Path) -> float:
    """Return the duration of the epochs in a checkpoint; 0 where it cannot be read."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            return History(documents.decode(str(stored["facts"]), _Facts, "facts").epochs).seconds
    except Exception:  # `read` tells what is wrong
        return 0.0


def _group(stored: Any, name: str) -> Arrays:
    count = sum(key.startswith(f"{name}.") for key in stored.files)
    return [stored[f"{name}.{number}"] for number in range(count)]


def values(variables: Sequence[Any]) -> Arrays:
    """Return the values of Keras variables, as copies."""
    from keras import ops

    return [np.array(ops.convert_to_numpy(variable.value)) for variable in variables]


def assign(variables: Sequence[Any], arrays: Arrays, path: Path) -> None:
    """Assign values to Keras variables.

    Raises:
        DataError: the shapes differ, as the checkpoint at `path` is of another network.
    """
    shapes = [tuple(variable.shape) for variable in variables]
    if shapes != [array.shape for array in arrays]:
        raise DataError(f"{path} belongs to another network; remove it, or --restart")
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)
