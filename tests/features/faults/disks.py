"""Disks that fail, and disks whose power goes: what stands in for `features.disk.durable.disk`."""

import errno
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from unittest.mock import patch

from features.disk.durable import Disk
from features.errors import OffshelfError
from features.extraction.shards import partial_folder
from features.records import SINGLE
from tests.features.faults import stub

OPERATIONS = [name for name in vars(Disk) if not name.startswith("_")]


class Watched(Disk):
    """Tells of each operation before and after it is done."""

    def before(self, name: str, *arguments: object) -> None: ...

    def after(self, name: str, result: object, *arguments: object) -> None: ...


def _watched(name: str) -> Callable[..., object]:
    def operation(self: Watched, *arguments: object) -> object:
        self.before(name, *arguments)
        result = getattr(Disk, name)(self, *arguments)
        self.after(name, result, *arguments)
        return result

    return operation


for _name in OPERATIONS:
    setattr(Watched, _name, _watched(_name))


@dataclass
class Failing(Watched):
    """Fails at one operation; where the disk is full, at every later one that needs room too."""

    at: int
    number: int
    count: int = 0
    failed: list[str] = field(default_factory=list)

    def before(self, name: str, *arguments: object) -> None:
        full = self.failed and self.number == errno.ENOSPC and name in ("create", "write")
        if self.count == self.at or full:
            self.failed.append(name)
            self.count += 1
            if name == "write":  # the first half arrives, the rest does not
                file, data = arguments
                file.write(data[: len(data) // 2])
            raise OSError(self.number, os.strerror(self.number))
        self.count += 1


@dataclass
class Tape(Watched):
    """Records what is done, to work out what a power cut would have left of it.

    `kept` notes how many images were reported as safe before each operation.
    """

    done: list[tuple] = field(default_factory=list)
    kept: list[int] = field(default_factory=list)
    safe: int = 0
    numbers: dict[object, int] = field(default_factory=dict)

    def before(self, name: str, *arguments: object) -> None:
        if name == "write":
            file, data = arguments
            self._record(name, self.numbers[file], file.tell(), bytes(data))
        elif name in ("truncate", "sync"):
            self._record(name, self.numbers[arguments[0]], *arguments[1:])
        elif name != "create":
            self._record(name, *arguments)

    def after(self, name: str, result: object, *arguments: object) -> None:
        if name == "create":
            self.numbers[result] = len(self.numbers)
            self._record(name, self.numbers[result], *arguments)

    def _record(self, *operation: object) -> None:
        self.done.append(operation)
        self.kept.append(self.safe)


# What becomes of one thing that was done and not yet synced: 1.0 it is there, 0.0 it is not; in
# between that share of a write is. The first argument tells data from names.
Fate = Callable[[str], float]


def nothing(kind: str) -> float:
    return 0.0


def names_alone(kind: str) -> float:
    """The names are there and the data behind them is not: files of zero length."""
    return float(kind == "name")


def chance(seed: int) -> Fate:
    """Some is there, some is not, some is torn; as if written in any order."""
    random = Random(seed)
    return lambda kind: random.choice([0.0, 1.0, random.random() if kind == "data" else 1.0])


def after_power_cut(done: list[tuple], root: Path, fate: Fate) -> dict[Path, bytes | None]:
    """Return what lies below `root` after a cut: files by their content, folders by None."""
    contents, durable = _contents(done, fate), _durable(done)
    there: dict[Path, int | None] = {root: None}
    names: dict[Path, int] = {}  # as the running system saw them
    for position, (name, *arguments) in enumerate(done):
        if name not in ("create", "link", "rename", "unlink", "make_folder", "remove_folder"):
            continue
        stays = position in durable or fate("name") > 0
        if name == "make_folder" and stays:
            there[arguments[0]] = None
        elif name == "remove_folder" and stays and not _below(arguments[0], there):
            there.pop(arguments[0], None)
        elif name == "create":
            number, path = arguments
            names[path] = number
            if stays:
                there[path] = number
        elif name in ("rename", "link"):
            old, new = arguments
            names[new] = names.pop(old) if name == "rename" else names[old]
            if stays:
                there[new] = names[new]
            if stays and name == "rename":
                there.pop(old, None)
        elif name == "unlink" and stays:
            there.pop(arguments[0], None)
    return {
        path: None if number is None else bytes(contents[number])
        for path, number in there.items()
        if all(folder in there for folder in path.parents if folder.is_relative_to(root))
    }


def _contents(done: list[tuple], fate: Fate) -> dict[int, bytearray]:
    """Return what each file holds: all that was synced, and what fate keeps of the rest."""
    synced = {operation[1]: at for at, operation in enumerate(done) if operation[0] == "sync"}
    contents: dict[int, bytearray] = {}
    for position, (name, *arguments) in enumerate(done):
        if name == "create":
            contents[arguments[0]] = bytearray()
        if name not in ("write", "truncate"):
            continue
        content = contents[arguments[0]]
        share = 1.0 if position < synced.get(arguments[0], -1) else fate("data")
        if name == "write" and share:
            _, offset, data = arguments
            data = data[: round(share * len(data))]
            content.extend(bytes(max(0, offset - len(content))))
            content[offset : offset + len(data)] = data
        elif name == "truncate" and share == 1:
            size = arguments[1]
            content[size:] = bytes(max(0, size - len(content)))
    return contents


def _durable(done: list[tuple]) -> set[int]:
    """Return the positions of operations on names that a later sync of their folder covers."""
    durable, pending = set(), {}
    for position, (name, *arguments) in enumerate(done):
        if name == "sync_folder":
            durable |= {at for at, folder in pending.items() if folder == arguments[0]}
        elif name in ("create", "link", "rename", "unlink", "make_folder", "remove_folder"):
            pending[position] = arguments[-1].parent
    return durable


def _below(folder: Path, there: dict[Path, int | None]) -> bool:
    return any(folder in path.parents for path in there)


def lay_out(state: dict[Path, bytes | None], root: Path, place: Path) -> None:
    """Write the state of `root` to another place."""
    for path in sorted(state):
        copy = place / path.relative_to(root)
        content = state[path]
        if content is None:
            copy.mkdir(exist_ok=True)
        else:
            copy.write_bytes(content)


def record(tape: Tape, source: Path, out: Path, **options: object) -> None:
    """Extract with the tape running."""

    def note(safe: int) -> None:
        tape.safe = safe

    with patch("features.disk.durable.disk", tape), stub.telling(note):
        stub.extract(source, out, **options)


def failures(
    source: Path, folder: Path, numbers: tuple[int, ...], every: int = 1, **options: object
) -> Iterator[int]:
    """Let each operation of a run fail, by one of the errors in turn; yield the rows lost by it.

    Of more operations `every` so many fails.

    Raises:
        AssertionError: an error was silent, or left what is neither before nor after.
    """
    whole = stub.extract(source, folder / "whole.h5")
    tape = Tape()
    record(tape, source, folder / "recorded" / "out.h5", **options)
    partial = partial_folder(folder / "recorded" / "out.h5")
    tidying = [("unlink", partial / "lock"), ("remove_folder", partial)]  # the next run does that
    for at in range(0, len(tape.done), every):
        disk = Failing(at, numbers[at % len(numbers)])
        out, safe = folder / str(at) / "out.h5", [0]
        with (
            patch("features.disk.durable.disk", disk),
            stub.telling(safe.append),
            stub.messages() as warnings,
        ):
            try:
                stub.extract(source, out, **options)
            except OffshelfError as error:
                warnings.append(str(error))
        assert all("\n" not in line for line in warnings)
        assert tape.done[at] in tidying or any(
            os.strerror(disk.number) in line for line in warnings
        ), (
            at,
            disk,
            warnings,
        )
        assert not out.exists() or stub.datasets(out) == stub.datasets(whole)
        yield stub.rows_lost_going_on(source, out, whole, safe[-1], **options)


def power_cuts(
    source: Path, folder: Path, rounds: int, seed: int = 0, **options: object
) -> Iterator[int]:
    """Cut the power before each operation of a run; yield the rows lost by each cut.

    The first two rounds lose all that was not synced, or just the data; later ones leave it to
    chance. States that were met before are passed over.
    """
    whole = stub.extract(source, folder / "whole.h5")
    root = folder / "recorded"
    root.mkdir()
    tape = Tape()
    record(tape, source, root / "new" / "out.h5", **options)
    for number, cut, state in _states(tape, root, 0, rounds, seed):
        place = folder / str(number)
        lay_out(state, root, place)
        out, safe = place / "new" / "out.h5", tape.kept[cut]
        assert not out.exists() or stub.datasets(out) == stub.datasets(whole)
        yield stub.rows_lost_going_on(source, out, whole, safe, **options)


def power_cuts_replacing(
    source: Path, folder: Path, rounds: int, seed: int = 0, layouts: tuple[str, str] = (SINGLE,) * 2
) -> Iterator[int]:
    """The same while a whole file by another recipe is replaced, which must stay until then.

    Layouts are those of the old file and of the new one.
    """
    before, after = layouts
    other = {"interpolation": "nearest", "layout": after}
    old = stub.extract(source, folder / "old.h5")
    new = stub.extract(source, folder / "new.h5", **other)
    root = folder / "recorded"
    root.mkdir()
    tape = Tape()
    record(tape, source, root / "out.h5", layout=before)
    begin, tape.safe = len(tape.done), 0
    record(tape, source, root / "out.h5", restart=True, **other)
    for number, cut, state in _states(tape, root, begin, rounds, seed):
        place = folder / str(number)
        lay_out(state, root, place)
        out, safe = place / "out.h5", tape.kept[cut]
        is_new = stub.datasets(out) == stub.datasets(new)
        assert is_new or stub.datasets(out) == stub.datasets(old)
        begun = is_new or safe
        yield stub.rows_lost_going_on(source, out, new, safe, restart=not begun, **other)


def _states(
    tape: Tape, root: Path, begin: int, rounds: int, seed: int
) -> Iterator[tuple[int, int, dict[Path, bytes | None]]]:
    """Yield a number, the position of the cut, and what it left."""
    seen: set[int] = set()
    tape.kept.append(tape.safe)
    for turn in range(rounds):
        for cut in range(begin, len(tape.done) + 1):
            fate = [nothing, names_alone, chance(hash((seed, turn, cut)))][min(turn, 2)]
            state = after_power_cut(tape.done[:cut], root, fate)
            key = hash((tape.kept[cut], *sorted(state.items())))
            if key not in seen:
                seen.add(key)
                yield len(seen), cut, state
