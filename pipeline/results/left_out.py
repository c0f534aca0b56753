"""Candidates that a run of `classify` left out, and why: `left_out.json` in a results folder."""

import json
from dataclasses import dataclass
from pathlib import Path

from features.disk import documents, durable

FILE = "left_out.json"
SCHEMA = 1


@dataclass(frozen=True)
class _Row:
    candidate: str
    reason: str


@dataclass(frozen=True)
class _File:
    """The content of `left_out.json`."""

    left_out: tuple[_Row, ...]


def write(results: Path, left_out: dict[str, str]) -> None:
    """Write the reason for each left-out candidate durably; with none the file goes."""
    if not left_out:
        (results / FILE).unlink(missing_ok=True)
        return
    rows = [{"candidate": name, "reason": reason} for name, reason in left_out.items()]
    text = json.dumps({"schema": SCHEMA, "left_out": rows}, indent=1) + "\n"
    durable.write(results / FILE, text.encode())


def read(results: Path) -> dict[str, str]:
    """Return the reason for each left-out candidate, by `<layer>.<classifier>`.

    Raises:
        DataError: the file cannot be read.
    """
    path = results / FILE
    if not path.is_file():
        return {}
    return {row.candidate: row.reason for row in documents.read(path, _File, SCHEMA).left_out}
