"""The README is true: its commands are commands, its Python runs, its first lines are what CI does."""

import re
import shlex
from pathlib import Path

import pytest

from pipeline.commands.main import parser

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", README, re.DOTALL)
COMMANDS = [
    command
    for language, block in BLOCKS
    if not language
    for command in block.splitlines()
    if command.startswith("python -m pipeline")
]


def test_it_starts_with_two_commands():
    first = BLOCKS[0][1].splitlines()
    assert len(first) == 2
    assert first[0] == "pip install . && python -m pipeline demo"
    assert first[1] in (ROOT / ".ci" / "run").read_text().splitlines()


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_are_understood(command):
    options = parser().parse_args(shlex.split(command)[3:])
    assert callable(options.run)


def test_python_blocks_run(real_weights, tmp_path, monkeypatch, capsys):
    real_weights("resnet50")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    blocks = [block for language, block in BLOCKS if language == "python"]
    assert blocks
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})
    assert "40 images; conv5_block3_out (2048,)" in capsys.readouterr().out


@pytest.mark.parametrize("module", re.findall(r"^  (\w+\.py) ", README, re.MULTILINE))
def test_modules_it_names_are_there(module):
    assert (
        list(ROOT.glob(f"features/{module}"))
        + list(ROOT.glob(f"pipeline/{module}"))
        + list(ROOT.glob(f"features/*/{module}"))
    )


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)#]+)\)", README))
def test_links_lead_somewhere(link):
    assert (ROOT / link).exists()
