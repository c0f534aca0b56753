"""Candidates that a run of `classify` left out, and why: `left_out.json` in a results folder."""

import json
from pathlib import Path

from features import durable
from features.errors import DataError

FILE = "left_out.json"
SCHEMA = 1


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
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["left_out"]
        return {row["candidate"]: row["reason"] for row in rows}
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {error}") from None
