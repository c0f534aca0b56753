"""The folder in a results folder that holds pixels and the checkpoints of unfinished candidates."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from features.disk import durable
from features.processes.quiet import keras_here
from features.processes.stopping import saying_how_to_go_on
from pipeline.config import NetworkConfig
from pipeline.results.locks import locked_results
from pipeline.results.shared_splits import discard_candidates

NAME = ".networks"
_KEY_DIGITS = 12  # hex digits of a candidate's key in the name of its folder of checkpoints


@contextmanager
def working_folder(config: NetworkConfig, names: Sequence[str]) -> Iterator[Path]:
    """Lock the results folder, and yield the folder in it for pixels and checkpoints.

    With `--restart`, the named candidates of an earlier run are removed first. When the user
    stops the run by Ctrl-C, a warning says how to resume it.

    Args:
        config: the config of the stage.
        names: the names of the candidates that will be trained.

    Raises:
        UsageError: another process holds the results folder.
        MissingPackageError: Keras is not installed.
    """
    keras_here()
    with locked_results(config.out):
        folder = config.out / NAME
        if config.restart:
            discard_candidates(config.out, lambda record: record.name in names)
            for name in names:
                remove_checkpoints(folder, name)
        durable.make_folder(folder)
        again = " without --restart" if config.restart else ""
        try:
            with saying_how_to_go_on(
                lambda: f"the same command{again} goes on from the last whole epoch"
            ):
                yield folder
        finally:
            durable.empty_folder(folder, "*.npy")
            if not any(folder.iterdir()):
                folder.rmdir()


def checkpoint_folder(folder: Path, name: str, key: str) -> Path:
    """Return the folder for the checkpoints of a candidate with this key."""
    return folder / f"{name}-{key[:_KEY_DIGITS]}"


def remove_checkpoints(folder: Path, name: str) -> None:
    """Remove the checkpoints of a candidate, whatever its key."""
    for checkpoints in folder.glob(f"{name}-{'[0-9a-f]' * _KEY_DIGITS}"):
        shutil.rmtree(checkpoints, ignore_errors=True)
