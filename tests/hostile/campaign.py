"""Many hostile files of every kind, and what became of each."""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from tests.hostile.limits import Kind, Outcome, outcomes
from tests.hostile.targets import TARGETS, Spoiled, Whole


class Result(NamedTuple):
    """The outcome of one hostile file; target and number make it again."""

    target: str
    number: int
    outcome: Outcome

    def __str__(self) -> str:
        return f"{self.target} {self.number}: {self.outcome.kind}: {self.outcome.said}"


def hostile(folder: Path, count: int, first: int = 0, only: str = "") -> Iterator[Result]:
    """Read about `count` hostile files, each kind by its share; yield what became of each.

    Args:
        folder: for scratch.
        count: the number of files.
        first: the number of the first one of each kind.
        only: the only kind, if any.
    """
    there = {name: target for name, target in TARGETS.items() if find_spec(target.package)}
    shares = {only: 1} if only else {name: target.share for name, target in there.items()}
    for name, share in shares.items():
        wanted = round(count * share / sum(shares.values()))
        yield from spoiled(folder, name, range(first, first + wanted))


def spoiled(folder: Path, name: str, numbers: range) -> Iterator[Result]:
    """Read spoiled files of one kind; yield what became of each."""
    make = TARGETS[name].make
    template, runs = folder / f"valid-{id(make):x}", folder / "runs"  # targets may share it
    runs.mkdir(parents=True, exist_ok=True)
    if not template.exists():
        template.mkdir()
        make(template)
    commands, needs = sorted(set(TARGETS[name].commands)), TARGETS[name].needs
    whole = [Whole(template, command, needs) for command in commands]
    for case, outcome in zip(whole, outcomes(whole, runs), strict=True):
        assert outcome.kind == Kind.TAKEN, f"{case.command} of {name}: {outcome}"
    cases = [Spoiled(name, template, number) for number in numbers]
    for number, outcome in zip(numbers, outcomes(cases, runs), strict=True):
        yield Result(name, number, outcome)
