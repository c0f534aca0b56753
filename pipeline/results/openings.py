"""How often the locked test was opened, and for which candidates: `openings.json`.

A stored result of the test beside it counts, too, when the file does not know of it.
"""

import dataclasses
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec

from features.disk import documents, durable
from features.errors import DataError
from features.remote.mirror import put_up
from features.text import for_terminal
from pipeline.results.records import RECORD, Record

FILE = "openings.json"
TEST, RESULT = "test.parquet", "test.json"  # in the folder of a candidate
RESULT_BYTES = 2**27  # of `test.json`, whose confusion matrix grows with the square of the classes
SCHEMA = 1

log = logging.getLogger("offshelf")


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

    number: Annotated[int, msgspec.Meta(ge=1)]
    when: str
    candidate: str
    key: str
    model: str


@dataclass(frozen=True)
class _File:
    """The content of `openings.json`."""

    openings: tuple[Opening, ...]

    def __post_init__(self) -> None:
        if [opening.number for opening in self.openings] != [*range(1, len(self.openings) + 1)]:
            raise ValueError("openings are not numbered 1, 2, 3, ...")


@dataclass(frozen=True)
class _Result:
    """What is read of `test.json` to count its opening."""

    opening: Opening


def read(results: Path) -> tuple[Opening, ...]:
    """Return all openings: those of `openings.json`, oldest first, then those of `uncounted`.

    Raises:
        DataError: the file cannot be read.
    """
    listed = _listed(results)
    lost = _standing_beside(results, listed)
    return listed + tuple(
        replace(opening, number=number) for number, opening in enumerate(lost, len(listed) + 1)
    )


def uncounted(results: Path) -> str:
    """Return in a sentence which results of the test stand there and are not in `openings.json`.

    Somebody has removed or emptied that file. The sentence is empty where nothing is missing.

    Raises:
        DataError: the file cannot be read.
    """
    names = [opening.candidate for opening in _standing_beside(results, _listed(results))]
    if not names:
        return ""
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return (
        f"{results / FILE} does not count the opening for {for_terminal(names[0])}{more}, whose "
        "result on the locked test stands there: what stands is counted, but openings that left "
        "nothing may be missing"
    )


def warn_of_uncounted(*results: Path) -> None:
    """Log the sentence of `uncounted` for each results folder that has one."""
    for folder in dict.fromkeys(results):
        if sentence := uncounted(folder):
            log.warning("%s", sentence)


def _listed(results: Path) -> tuple[Opening, ...]:
    path = results / FILE
    if not path.exists():
        return ()
    try:
        return documents.read(path, _File, SCHEMA).openings
    except DataError as error:
        raise DataError(
            f"{error}; so nobody knows how often the locked test was opened; bring the file back "
            "from a copy"
        ) from None


def _standing_beside(results: Path, listed: Sequence[Opening]) -> list[Opening]:
    """Return the opening of each stored result of the test that the list does not have."""
    known = {(opening.candidate, opening.key, opening.model) for opening in listed}
    names = {opening.candidate for opening in listed}
    lost = []
    for folder in sorted(path.parent for path in results.glob(f"*/{RECORD}")):
        if not ((folder / RESULT).exists() or (folder / TEST).exists()):
            continue
        try:
            opening = documents.read(folder / RESULT, _Result, most=RESULT_BYTES).opening
        except DataError:
            opening = Opening(1, "at an unknown time", folder.name, "", "")
            is_listed = folder.name in names
        else:
            is_listed = (opening.candidate, opening.key, opening.model) in known
        if not is_listed:
            lost.append(opening)
    return lost


def add(results: Path, record: Record) -> Opening:
    """Record that the test is opened for a candidate; it is safe on disk when this returns.

    Where the results folder lies in a store it is safe there. It is refused where somebody else has
    opened the test meanwhile.

    Raises:
        DataError: the store cannot be written, or has other openings than were read.
    """
    before = read(results)
    when = datetime.now(UTC).isoformat(timespec="seconds")
    opening = Opening(len(before) + 1, when, record.name, record.key, record.model["sha256"])
    facts = {
        "schema": SCHEMA,
        "openings": [dataclasses.asdict(each) for each in (*before, opening)],
    }
    durable.write(results / FILE, (json.dumps(facts, indent=1) + "\n").encode())
    put_up(results)
    return opening


def contenders(openings: tuple[Opening, ...]) -> int:
    """Return for how many different candidates the test was opened."""
    return len({(opening.candidate, opening.key, opening.model) for opening in openings})
