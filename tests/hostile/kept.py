"""What every kept hostile file comes to: `python -m tests.hostile` writes the table of docs/hostile.md.

The files stand in `tests/hostile/cases`; each goes to the commands that would be given it.
"""

import html
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.hostile.limits import Kind, Outcome, outcomes

CASES = Path(__file__).parent / "cases"
PAGE = Path(__file__).parents[2] / "docs" / "hostile.md"
_SHOWN = 160  # characters of what a command said

INSPECT = "inspect {}"
CLASSIFY = "classify {} --out out --classifiers nearest-centroid --no-tune"
ADVISE = "advise {} --out out"
MAP = "map {} --out out.html --perplexity 1"
EXTRACT = "extract {} --out out.h5"

# The commands by how the names of files begin; what is not here is a source of images.
COMMANDS = {
    "bomb_": (INSPECT, CLASSIFY), "complete_": (INSPECT, ADVISE), "prov_": (INSPECT, ADVISE),
    "recipe_": (INSPECT, CLASSIFY), "esc_": (INSPECT,), "label_": (INSPECT, CLASSIFY, MAP),
    "split9": (INSPECT, CLASSIFY, MAP), "huge_": (CLASSIFY, ADVISE, MAP),
    "zero_": (CLASSIFY, ADVISE, MAP),
}  # fmt: skip
_IMAGES = (".webp", ".jpg")  # which lie in a folder


@dataclass(frozen=True)
class Kept:
    """A case for `limits.outcomes`: a kept file and one command."""

    name: str
    command: str

    def __call__(self, place: Path) -> list[str]:
        folder = place / "images" if self.name.endswith(_IMAGES) else place
        folder.mkdir(exist_ok=True)
        shutil.copy(CASES / self.name, folder)
        given = folder.name if folder != place else self.name
        return self.command.format(given).split(" ")


def kept() -> list[Kept]:
    """Return every case, in the order of its file's name."""
    names = sorted(path.name for path in CASES.iterdir())
    return [Kept(name, command) for name in names for command in _commands(name)]


def _commands(name: str) -> tuple[str, ...]:
    found = [commands for prefix, commands in COMMANDS.items() if name.startswith(prefix)]
    return found[0] if found else (EXTRACT,)


def results(folder: Path) -> Iterator[tuple[Kept, Outcome]]:
    """Run every case below a folder; yield each with its outcome."""
    cases = kept()
    yield from zip(cases, outcomes(cases, folder), strict=True)


def said(outcome: Outcome) -> str:
    """Return the line that a command ended with, shortened; "taken" where it had none to say."""
    lines = [line for line in outcome.said.splitlines() if "RANDOM WEIGHTS" not in line]
    if not lines:
        return str(outcome.kind) if outcome.kind == Kind.TAKEN else "its problems are listed"
    return lines[-1] if len(lines[-1]) <= _SHOWN else f"{lines[-1][: _SHOWN - 3]}..."


def row(case: Kept, outcome: Outcome) -> str:
    """Return a row of the table."""
    command = case.command.split(" ")[0]
    text = html.escape(said(outcome), quote=False).replace("|", "&#124;")
    text = re.sub(r"([\\`*_{}\[\]#])", r"\\\1", text)
    size = (CASES / case.name).stat().st_size
    return (
        f"| `{case.name}` | {size:,} | `{command}` | {text} | "
        f"{outcome.seconds:.1f} | {max(0, outcome.peak) / 2**20:.0f} |"
    )


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        found = list(results(Path(folder)))
    head = (
        "| file | bytes | command | what it says | seconds | MiB |",
        "|---|--:|---|---|--:|--:|",
    )
    table = "\n".join([*head, *(row(*pair) for pair in found)])
    before, mark, _ = PAGE.read_text().partition("\n| file |")
    assert mark, "the page has lost its table"
    PAGE.write_text(f"{before}\n{table}\n")
    faults = [
        f"{case.name}, {case.command}: {outcome}" for case, outcome in found if outcome.is_fault
    ]
    print("\n".join(faults) or f"{len(found)} commands, no fault: {PAGE}")
    return int(bool(faults))
