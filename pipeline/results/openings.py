"""How often the locked test was opened, and for which candidates: `openings.json`."""

import dataclasses
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from features import durable
from features.errors import DataError
from pipeline.results.records import Record

FILE = "openings.json"
SCHEMA = 1


@dataclass(frozen=True)
class Opening:
    """One opening of the locked test.

    Attributes:
        number: 1 for the first opening of a results folder.
        when: time of the opening, ISO 8601 in UTC.
        candidate: the candidate's name.
        key: the key of its record, a digest of all that decides the result.
        model: sha256 of the model's file; a candidate that was fitted again is another one.
    """

    number: int
    when: str
    candidate: str
    key: str
    model: str


def read(results: Path) -> tuple[Opening, ...]:
    """Return all openings, oldest first; raises DataError where the file cannot be read."""
    path = results / FILE
    if not path.exists():
        return ()
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        if facts["schema"] != SCHEMA:
            raise ValueError("another version wrote it")
        return tuple(Opening(**opening) for opening in facts["openings"])
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{path} cannot be read ({error}), so that nobody knows how often the locked test was "
            "opened; bring it back from a copy"
        ) from None


def add(results: Path, record: Record) -> Opening:
    """Record that the test is opened for a candidate; it is safe on disk when this returns."""
    before = read(results)
    when = datetime.now(UTC).isoformat(timespec="seconds")
    opening = Opening(len(before) + 1, when, record.name, record.key, record.model["sha256"])
    facts = {
        "schema": SCHEMA,
        "openings": [dataclasses.asdict(each) for each in (*before, opening)],
    }
    durable.write(results / FILE, (json.dumps(facts, indent=1) + "\n").encode())
    return opening


def contenders(openings: tuple[Opening, ...]) -> int:
    """Return for how many different candidates the test was opened."""
    return len({(opening.candidate, opening.key, opening.model) for opening in openings})
