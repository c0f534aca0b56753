"""The house in CONTRIBUTING.md is the one that stands here: its rooms, and what each imports."""

import re
from collections import defaultdict

import pytest

from tests.pages import ROOT
from tests.test_architecture import MODULES, ROOMS, dotted, imported_modules

PAGE = (ROOT / "CONTRIBUTING.md").read_text()
BELOW_ALL = "features"


def room_of(module: str) -> str:
    """The room of a module: `pipeline.data.splits` is in `data`, all of `features` in `features`."""
    top, _, rest = module.partition(".")
    return BELOW_ALL if top == BELOW_ALL else rest.partition(".")[0] or "__init__"


def arrows() -> dict[str, list[str]]:
    """For each room of `pipeline`, the other rooms that it imports, from the top down."""
    below = defaultdict(set)
    for path in MODULES:
        if path.is_relative_to(ROOT / "pipeline"):
            room = room_of(dotted(path))
            below[room] |= {room_of(module) for module in imported_modules(path)} - {room}
    order = [*ROOMS, BELOW_ALL]
    return {room: sorted(below[room], key=order.index) for room in ROOMS}


def rows(heading: str) -> dict[str, list[str]]:
    """The cells of a table's rows by the name in their first cell."""
    table = PAGE.partition(heading)[2].partition("\n\n")[2].partition("\n\n")[0]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    return {first.strip("`"): rest for first, *rest in cells[2:]}


def test_rooms_stand_from_the_top_down():
    assert [*rows("### The rooms of `pipeline`")] == [*ROOMS]


@pytest.mark.parametrize("room", ROOMS)
def test_arrows_are_the_imports(room):
    drawn = re.findall(r"`(\w+)`", rows("### The rooms of `pipeline`")[room][1])
    assert drawn == arrows()[room]


def test_the_plan_of_features_names_every_module():
    plan = rows("### The plan of `features`").values()
    drawn = {name for (files,) in plan for name in re.findall(r"`([\w/.]+)`", files)}
    there = {
        f"{path.name}/" if path.is_dir() else path.name
        for path in (ROOT / "features").iterdir()
        if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert drawn == there - {"__init__.py"}
