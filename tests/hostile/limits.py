"""Commands that run in a process with limits on memory and time; each ends as an `Outcome`.

A process runs many commands in turn, so that one costs no start. When it dies, the command that it
was at is to blame, and another process goes on behind it.
"""

import contextlib
import io
import json
import os
import resource
import signal
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

from pipeline.results.memory import peak_since_reset, reset_peak
from tests.features.faults import stub
from tests.hostile import forked, programs

SECONDS = 5  # of the processor, beyond which a command is too slow
BYTES = 2**29  # of memory above what was held before
_WALL_SECONDS = 60  # without a word, after which a command hangs
_ADDRESSES = 2**31  # of address space above what was mapped before: more fails in the command
_COMMANDS = 400  # that one process runs
_LINE = 2000  # characters of an error that a person still reads

_SHARES = {"accuracy", "balanced_accuracy", "macro_f1", "roc_auc", "average_precision", "precision",
           "recall", "calibration_error", "p_value", "p_best"}  # fmt: skip

_CONTEXT = get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tests.hostile.preloaded"])


class Kind(StrEnum):
    """How a command ended; all but the first two are faults."""

    TAKEN = "taken"
    REFUSED = "refused"
    TRACEBACK = "traceback"
    CRASH = "crash"
    SLOW = "slow"
    MEMORY = "memory"
    UNCLEAR = "unclear"  # not one line, or one that a terminal obeys
    OUTSIDE = "outside"  # something was written where nobody named a place
    WRONG = "wrong"  # a share or a probability that is none was shown


@dataclass(frozen=True)
class Outcome:
    """How one command ended: what it said, its seconds of processor time, its bytes of memory."""

    kind: Kind
    said: str = ""
    seconds: float = 0.0
    peak: int = 0

    @property
    def is_fault(self) -> bool:
        return self.kind not in (Kind.TAKEN, Kind.REFUSED)


# Lays out the inputs of a command in an empty folder; returns its arguments. The command runs in
# that folder, and may write there what begins with "out".
Case = Callable[[Path], list[str]]


def outcomes(cases: Sequence[Case], folder: Path) -> Iterator[Outcome]:
    """Run the command of each case, in order, in an empty folder of its own below `folder`."""
    at = 0
    while at < len(cases):
        batch = cases[at : at + _COMMANDS]
        done = 0
        for outcome in _batch(batch, folder):
            done += 1
            yield outcome
        at += done


def _batch(cases: Sequence[Case], folder: Path) -> Iterator[Outcome]:
    """Yield the outcome of each case, up to the first that ends the process."""
    ours, theirs = _CONTEXT.Pipe(duplex=False)
    process = _CONTEXT.Process(target=_child, args=(cases, folder, theirs))
    process.start()
    theirs.close()
    done = 0
    try:
        while done < len(cases) and ours.poll(_WALL_SECONDS):
            answer = ours.recv()
            if isinstance(answer, str):
                raise RuntimeError(f"case {done} cannot be laid out: {answer}")
            yield answer
            done += 1
        if done < len(cases):
            yield Outcome(Kind.SLOW, f"not a word for {_WALL_SECONDS} s")
    except EOFError:
        process.join()
        yield _death(process.exitcode or 0)
    finally:
        process.kill()
        process.join()
        ours.close()


def _death(code: int) -> Outcome:
    if code in (-signal.SIGXCPU, -signal.SIGKILL):
        return Outcome(Kind.SLOW, f"more than {2 * SECONDS} s of processor time")
    name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    return Outcome(Kind.CRASH, name)


def _child(cases: Sequence[Case], folder: Path, pipe: Connection) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ["OMP_NUM_THREADS"] = "1"
    tempfile.tempdir = str(folder)  # what a killed process leaves goes with it
    with stub.stubbed(), tempfile.TemporaryFile() as native:
        os.dup2(native.fileno(), 2)  # what libraries in C say
        for case in cases:
            with tempfile.TemporaryDirectory(dir=folder) as place, contextlib.chdir(place):
                os.environ["OFFSHELF_CACHE"] = str(Path(place) / "cache")
                try:
                    arguments = case(Path(place))
                except Exception:
                    pipe.send(traceback.format_exc())
                    return
                pipe.send(_run(arguments, Path(place), native))


def _run(arguments: list[str], place: Path, native: io.BufferedRandom) -> Outcome:
    there = {path.name for path in place.iterdir()}
    output, messages = io.StringIO(), io.StringIO()
    native.truncate(0)
    _limit()
    forked.peaks.clear()
    reset_peak()
    before, begin = peak_since_reset(), _seconds()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(messages):
        code = _code(arguments)
    seconds, peak = _seconds() - begin, max([peak_since_reset() - before, *forked.peaks])
    native.seek(0)
    said = messages.getvalue() + native.read().decode(errors="replace")
    kind = _judged(code, output.getvalue(), said, seconds, peak)
    new = {path.name for path in place.iterdir()} - there
    if strays := sorted(name for name in new if not name.startswith("out")):
        kind, said = Kind.OUTSIDE, f"wrote {strays}"
    return Outcome(kind, said.strip(), seconds, peak)


def _code(arguments: list[str]) -> int | str | None:
    """Return the exit code of a command; None where an error came through, which is printed."""
    try:
        return programs.run(arguments)
    except SystemExit as error:
        return error.code
    except BaseException:
        traceback.print_exc()
        return None


def _judged(code: object, output: str, said: str, seconds: float, peak: int) -> Kind:
    lines = said.splitlines()
    errors = [line for line in lines if not line.startswith("warning: ")]
    if code is None or "Traceback (most recent call last)" in said:
        return Kind.TRACEBACK
    if seconds > SECONDS:
        return Kind.SLOW
    if peak > BYTES:
        return Kind.MEMORY
    is_shown = all(sign.isprintable() or sign in "\n\t" for sign in output + said)
    if not is_shown or max(map(len, lines), default=0) > _LINE:
        return Kind.UNCLEAR
    if code == 0:
        return Kind.UNCLEAR if errors else Kind.TAKEN if _is_possible(output) else Kind.WRONG
    is_one = len(errors) == 1 and errors[0].startswith("error: ")
    is_listed = not errors and "problem" in output  # `inspect` lists them on standard output
    return Kind.REFUSED if is_one or is_listed else Kind.UNCLEAR


def _is_possible(output: str) -> bool:
    """Return whether all shares in what a command printed as JSON are shares."""
    if not output.startswith("{"):
        return True
    found: list[object] = []

    def look(pairs: list[tuple[str, object]]) -> dict[str, object]:
        found.extend(value for name, value in pairs if name in _SHARES)
        return dict(pairs)

    json.loads(output, object_pairs_hook=look)
    return all(0 <= value <= 1 for value in found if isinstance(value, float))


def _limit() -> None:
    """Let the coming command take so much memory and time; more ends it or this process."""
    used = int(_seconds()) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (used + 2 * SECONDS, resource.RLIM_INFINITY))
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + _ADDRESSES
    resource.setrlimit(resource.RLIMIT_AS, (most, resource.RLIM_INFINITY))


def _seconds() -> float:
    """Return the processor time of this process and of those that it has waited for."""
    return time.process_time() + sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])
