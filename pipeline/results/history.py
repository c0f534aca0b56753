"""The history of a training, epoch by epoch, and its file."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from features.disk import documents, durable
from features.disk.documents import Seconds, Share, Whole

FILE = "history.json"
SCHEMA = 1


@dataclass(frozen=True)
class Epoch:
    """One epoch of a stage.

    Attributes:
        epoch: the number of the epoch in its stage, from 1 on.
        stage: the name of the stage.
        learning_rate: the rate in the middle of the epoch.
        loss: the mean over the training images as they were shown: augmented, with smoothed labels.
        accuracy: the share of them that was predicted right meanwhile, 0 to 1.
        val_loss: the cross-entropy on the held-out images; None where no image is held out.
        val_accuracy: the accuracy on them, 0 to 1; None likewise.
        seconds: the duration of the epoch, validation included.
    """

    epoch: Whole
    stage: str
    learning_rate: float
    loss: float
    accuracy: Share
    val_loss: float | None
    val_accuracy: Share | None
    seconds: Seconds


@dataclass(frozen=True)
class History:
    """The epochs of one stage, or of several stages in turn."""

    epochs: tuple[Epoch, ...] = ()

    @property
    def best_epoch(self) -> int:
        """The number of the epoch with the lowest validation loss; the last where none has one."""
        losses = [epoch.val_loss for epoch in self.epochs]
        known = [loss for loss in losses if loss is not None]
        return losses.index(min(known)) + 1 if known else len(losses)

    @property
    def epochs_since_best(self) -> int:
        """The number of epochs after the best one."""
        return len(self.epochs) - self.best_epoch

    @property
    def seconds(self) -> float:
        """The duration of all epochs."""
        return sum(epoch.seconds for epoch in self.epochs)

    def of_stage(self, name: str) -> "History":
        """Return the epochs of one stage."""
        return History(tuple(epoch for epoch in self.epochs if epoch.stage == name))

    def __add__(self, other: "History") -> "History":
        return History(self.epochs + other.epochs)


@dataclass(frozen=True)
class Round:
    """One training from start to end: "fold 1", "held-out" or "last fit"."""

    name: str
    history: History


def write(folder: Path, rounds: Sequence[Round]) -> Path:
    """Write `history.json`, from which learning curves are drawn; return its path."""
    facts = {
        "schema": SCHEMA,
        "rounds": [
            {"name": each.name, "epochs": [asdict(epoch) for epoch in each.history.epochs]}
            for each in rounds
        ],
    }
    durable.write(folder / FILE, (json.dumps(facts, indent=1) + "\n").encode())
    return folder / FILE


@dataclass(frozen=True)
class _StoredRound:
    name: str
    epochs: tuple[Epoch, ...]


@dataclass(frozen=True)
class _File:
    """The content of `history.json`."""

    rounds: tuple[_StoredRound, ...]


def read(folder: Path) -> list[dict[str, Any]]:
    """Return the rounds of `history.json`: "name", and "epochs" with the fields of `Epoch`.

    Raises:
        DataError: it cannot be read as such.
    """
    return [asdict(turn) for turn in documents.read(folder / FILE, _File, SCHEMA).rounds]
