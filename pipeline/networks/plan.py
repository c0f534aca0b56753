"""The plan of a network that becomes a candidate: its settings, its stages, how it is trained."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.networks.data import TrainingData
from pipeline.networks.train_stage import TrainStage
from pipeline.results.history import History


@dataclass(frozen=True)
class TrainedNetwork:
    """A network after its last stage.

    Attributes:
        network: a keras.Model from uint8 pixels (n, H, W, 3) to logits, float32 (n, K).
        history: the epochs of all its stages.
        facts: "kind" and all else that `storage` builds the network from again, as JSON holds it.
    """

    network: Any
    history: History
    facts: dict[str, Any]


# A function that builds a network and trains it from the start. Its arguments are the data, the
# stages, the folder of the checkpoints (made if it is missing) and a title such as "fold 1".
TrainFunction = Callable[[TrainingData, Sequence[TrainStage], Path, str], TrainedNetwork]


@dataclass(frozen=True)
class NetworkPlan:
    """A candidate that is to be trained; `setting` and `stages` hold all that decides its result.

    Attributes:
        name: the candidate's name and that of its folder.
        title: the title in tables, such as "small CNN from scratch".
        method: the method, such as "scratch-small".
        setting: the settings that the record keeps, as JSON holds them.
        stages: the stages of the rounds that validate; the last fit ends each of them at its best
            epoch.
        train: the function that trains the network.
        estimate: a function from the training images of each round to the seconds that all of
            them take at most.
    """

    name: str
    title: str
    method: str
    setting: dict[str, Any]
    stages: tuple[TrainStage, ...]
    train: TrainFunction
    estimate: Callable[[Sequence[int]], float]
