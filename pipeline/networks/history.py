"""How training went, epoch by epoch, and the file that says it."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from features import durable

FILE = "history.json"
SCHEMA = 1


@dataclass(frozen=True)
class Epoch:
    """One epoch of a stage.

    Attributes:
        epoch: 1 for the stage's first.
        stage: its name.
        learning_rate: in the middle of the epoch.
        loss: mean over the training images as they were shown: augmented, labels smoothed.
        accuracy: share of them predicted right meanwhile, 0 to 1.
        val_loss: cross-entropy on the held-out images; None where none are held out.
        val_accuracy: likewise, 0 to 1.
        seconds: that it took, validation included.
    """

    epoch: int
    stage: str
    learning_rate: float
    loss: float
    accuracy: float
    val_loss: float | None
    val_accuracy: float | None
    seconds: float


@dataclass(frozen=True)
class History:
    """The epochs of one stage, or of several one after the other."""

    epochs: tuple[Epoch, ...] = ()

    @property
    def best(self) -> int:
        """The epochs up to that with the least validation loss; all where nothing validates."""
        losses = [epoch.val_loss for epoch in self.epochs]
        known = [loss for loss in losses if loss is not None]
        return losses.index(min(known)) + 1 if known else len(losses)

    @property
    def waited(self) -> int:
        """Epochs since the best one."""
        return len(self.epochs) - self.best

    @property
    def seconds(self) -> float:
        """That all epochs took."""
        return sum(epoch.seconds for epoch in self.epochs)

    def stage(self, name: str) -> "History":
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
    """Write `history.json`, from which curves are drawn; return where it is."""
    facts = {
        "schema": SCHEMA,
        "rounds": [
            {"name": one.name, "epochs": [asdict(epoch) for epoch in one.history.epochs]}
            for one in rounds
        ],
    }
    durable.write(folder / FILE, (json.dumps(facts, indent=1) + "\n").encode())
    return folder / FILE


def from_facts(epochs: Sequence[dict[str, Any]]) -> History:
    """Rebuild a history; raises TypeError where an epoch is none."""
    return History(tuple(Epoch(**epoch) for epoch in epochs))
