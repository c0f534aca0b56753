"""A config spelled as a command line is read as that very config."""

import shlex
from pathlib import Path

import pytest

from pipeline.command_lines import config_command_line
from pipeline.commands.arguments import given
from pipeline.commands.main import parser
from pipeline.config import FinetuneConfig, ScratchConfig

HERE, OUT = Path("my images.h5"), Path("results")


@pytest.mark.parametrize(
    "config",
    [
        ScratchConfig(HERE, OUT),
        ScratchConfig(
            HERE, OUT, image_size=(32, 64), augment=("none",), batchnorm=False, refit=False,
            balanced=True, epochs=3,
        ),
        FinetuneConfig(HERE, OUT, unfreeze=("conv5", "conv4"), cache_trunk=False, head="a.logistic"),
        FinetuneConfig(HERE, OUT, cache_trunk=True, learning_rate=1e-05, features=Path("f.h5")),
    ],
)  # fmt: skip
def test_it_comes_back(config):
    words = shlex.split(config_command_line(config.command, config, ("source",)))
    options = parser().parse_args(words[3:])
    assert type(config)(**given(options, type(config))) == config


def test_defaults_are_left_unsaid():
    line = config_command_line(
        "scratch", ScratchConfig(HERE, OUT, restart=True), ("source",), ("restart",)
    )
    assert line == "python -m pipeline scratch 'my images.h5' --out results"
