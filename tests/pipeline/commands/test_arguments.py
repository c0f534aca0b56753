"""A config spelled as a command line is read as that very config."""

import shlex
from pathlib import Path

import pytest

from pipeline.command_lines import config_command_line
from pipeline.commands.arguments import given
from pipeline.commands.main import parser
from pipeline.config import (
    AddConfig,
    AdviseConfig,
    ClassifyConfig,
    CompareConfig,
    ConsolidateConfig,
    EvaluateConfig,
    ExtractConfig,
    FetchConfig,
    FinetuneConfig,
    MapConfig,
    ReportConfig,
    ScratchConfig,
)

HERE, OUT = Path("my images.h5"), Path("results")


@pytest.mark.parametrize(
    "config",
    [
        ScratchConfig(HERE, OUT),
        ScratchConfig(
            HERE, OUT, image_size=(32, 64), augment=("none",), batchnorm=False, refit=False,
            balanced=True, epochs=3,
        ),
        ScratchConfig(
            HERE, OUT, splits={"train": "my cohort", "test": "b"}, accept_damaged=True, limit=5,
        ),
        FinetuneConfig(HERE, OUT, unfreeze=("conv5", "conv4"), cache_trunk=False, head="a.logistic"),
        FinetuneConfig(HERE, OUT, cache_trunk=True, learning_rate=1e-05, features=Path("f.h5")),
    ],
)  # fmt: skip
def test_it_comes_back(config):
    words = shlex.split(config_command_line(config.command, config, ("source",)))
    options = parser().parse_args(words[3:])
    assert type(config)(**given(options, type(config))) == config


@pytest.mark.parametrize(
    ("line", "config"),
    [
        ("add r t.csv --name own --seconds 2", AddConfig("r", "t.csv", "own", seconds=2)),
        ("advise f.h5 --folds 3", AdviseConfig("f.h5", folds=3)),
        ("classify a.h5 b.h5 --out r --classifiers ridge,lda --no-tune --budget none --quiet",
         ClassifyConfig(["a.h5", "b.h5"], "r", "ridge,lda", tune=False, budget=None, progress=False)),
        ("compare a b --confidence 0.9", CompareConfig(["a", "b"], confidence=0.9)),
        ("consolidate a.h5 --out b.h5 --layout sharded", ConsolidateConfig("a.h5", "b.h5", "sharded")),
        ("consolidate a.h5 b.h5 --out c.h5", ConsolidateConfig(["a.h5", "b.h5"], "c.h5")),
        ("evaluate r --candidate recommended", EvaluateConfig("r", "recommended")),
        ("extract photos --out f.h5 --image-size 96 --layers a,b --layout sharded",
         ExtractConfig("photos", "f.h5", image_size=96, layers=("a", "b"), layout="sharded")),
        ("fetch cifar10", FetchConfig("cifar10")),
        ("map f.h5 --out m.png --method umap", MapConfig("f.h5", "m.png", method="umap")),
        ("report r --features a.h5 b.h5", ReportConfig("r", features=["a.h5", "b.h5"])),
    ],
)  # fmt: skip
def test_a_command_gives_every_setting_of_its_config(line, config):
    options = parser().parse_args(shlex.split(line))
    assert type(config)(**given(options, type(config))) == config


def test_defaults_are_left_unsaid():
    line = config_command_line(
        "scratch", ScratchConfig(HERE, OUT, restart=True), ("source",), ("restart",)
    )
    assert line == "python -m pipeline scratch 'my images.h5' --out results"
