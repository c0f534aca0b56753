"""Blocks of Markdown pages: commands and Python, run as a reader would, or checked."""

import ast
import inspect
import re
import shlex
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import features
import pipeline
from pipeline.commands.main import main
from pipeline.commands.parser import parser

ROOT = Path(__file__).parent.parent
PIPELINE = "python -m pipeline "
_BLOCK = re.compile(
    r"^(?:<!-- not run: (?P<why>[^\n]+) -->\n)?```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
_TOOLS = {re.split(r"\W*[<>=\[]", package)[0] for package in _EXTRAS["dev"] + _EXTRAS["docs"]}


@dataclass(frozen=True)
class Block:
    """A fenced block of a page.

    Attributes:
        page: its file.
        line: of its first line of text, from 1.
        language: "sh", "python", or another that is neither run nor checked.
        text: between the fences.
        not_run: why it is only checked, as the comment above it says; empty where it is run.
    """

    page: Path
    line: int
    language: str
    text: str
    not_run: str

    @property
    def commands(self) -> list[str]:
        """The commands of a block of them, one a line; a backslash carries a line on."""
        text = self.text.replace("\\\n", " ") if self.language == "sh" else ""
        return [line for line in text.splitlines() if line and not line.startswith("#")]


def blocks(page: Path) -> Iterator[Block]:
    """Yield the fenced blocks of a page."""
    text = page.read_text()
    for match in _BLOCK.finditer(text):
        line = text.count("\n", 0, match.start("text")) + 1
        yield Block(page, line, match["language"], match["text"], match["why"] or "")


def run(page: Path) -> None:
    """Run what a page says, from top to bottom, in the current folder."""
    names: dict[str, object] = {}
    for block in blocks(page):
        if block.not_run:
            continue
        for command in block.commands:
            if command.startswith(PIPELINE):
                code = main(shlex.split(command)[3:])
                assert code == 0, f"{page.name}: {command} ended with exit code {code}"
        if block.language == "python":
            text = "\n" * (block.line - 1) + block.text  # so that errors name the page's line
            exec(compile(text, str(page), "exec"), names)


def check_python(text: str) -> None:
    """Raise where a call of ours has arguments that it does not take."""
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="features" | "pipeline" as name))):
                called = getattr({"features": features, "pipeline": pipeline}[name], node.func.attr)
                keywords = {keyword.arg: None for keyword in node.keywords}
                inspect.signature(called).bind(*node.args, **keywords)


def check_command(command: str) -> None:
    """Raise where a command is none: an unknown option, module, package, extra or file."""
    for step in command.split(" && "):
        match shlex.split(step):
            case ["python", "-m", "pipeline", *arguments]:
                assert callable(parser().parse_args(arguments).run)
            case ["python", "-m", "pytest", *paths]:
                assert all((ROOT / path).exists() for path in paths)
            case ["python", "-m", "benchmarks" as module, *arguments]:
                _check_benchmark(f"{module}.__main__", arguments)
            case ["python", "-m", module, *arguments] if module.startswith("benchmarks."):
                _check_benchmark(module, arguments)
            case ["python", "-m", module, *_]:
                assert find_spec(module)
            case ["pip", "install", *arguments]:
                assert set(re.findall(r"\w+", arguments[-1])) <= set(_EXTRAS)
            case ["ray", "exec", cluster, "--tmux", command]:
                assert (ROOT / cluster).exists()
                check_command(command.removeprefix("~/venv/bin/"))
            case ["ray", "up" | "down", cluster]:
                assert (ROOT / cluster).exists()
            case ["bash", script]:
                assert (ROOT / script).exists()
            case ["source", script]:
                assert script == ".venv/bin/activate"
            case [tool, *_]:
                assert tool in _TOOLS


def _check_benchmark(module: str, arguments: list[str]) -> None:
    before, sys.argv = sys.argv, [module, *arguments]
    try:
        import_module(module)._arguments()
    finally:
        sys.argv = before
