"""Runs that a signal ends at a random moment, and that go on."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing import get_context, set_start_method
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random

from tests.features.faults import stub

INTERRUPTED = 130

# A clean process that has imported everything, so that each run starts within milliseconds.
_CONTEXT = get_context("forkserver")
_CONTEXT.set_forkserver_preload([__name__])


def kills(
    source: Path,
    folder: Path,
    count: int,
    seed: int = 0,
    by: int = signal.SIGKILL,
    **options: object,
) -> Iterator[int]:
    """Send a signal to runs at random moments, going on each time; yield the rows lost by each.

    Runs are ended until one comes to its own end, and the next begins anew.
    """
    whole = stub.extract(source, folder / "whole.h5")
    timed = [_run(source, folder / f"timed-{n}" / "out.h5", 60, by, options) for n in range(3)]
    duration = min(seconds for _, _, seconds in timed)
    random, number, done = Random(seed), 0, 0
    while done < count:
        number += 1
        out, safe, killed = folder / str(number) / "out.h5", 0, True
        while killed and done < count:
            killed, reported, _ = _run(source, out, random.uniform(0, duration), by, options)
            again = (
                max(0, safe - reported[0]) if reported else 0
            )  # nothing is reported where all is done
            safe = max(reported, default=safe)
            if killed:
                done += 1
                yield again
        lost = stub.rows_lost_going_on(source, out, whole, safe, **options)
        assert lost == 0, f"run {number} lost {lost} rows in the end"


def _run(
    source: Path, out: Path, seconds: float, by: int, options: dict[str, object]
) -> tuple[bool, list[int], float]:
    """Run for so long; return whether it was ended, what it said to be safe, and its time.

    The times are from the moment on when it begins its work.
    """
    ours, theirs = _CONTEXT.Pipe(duplex=False)
    process = _CONTEXT.Process(target=_child, args=(source, out, options, theirs))
    process.start()
    theirs.close()
    ours.recv()
    begin = time.perf_counter()
    process.join(seconds)
    duration = time.perf_counter() - begin
    if process.is_alive():
        with suppress(ProcessLookupError):  # it came to its end just now
            os.kill(process.pid, by)
    process.join(60)
    reported = []
    with suppress(EOFError):
        while True:
            reported.append(ours.recv())
    ours.close()
    assert process.exitcode in (0, -signal.SIGKILL, INTERRUPTED)
    return process.exitcode != 0, reported, duration


def _child(source: Path, out: Path, options: dict[str, object], pipe: Connection) -> None:
    set_start_method("fork", force=True)  # or tqdm's lock would outlive a kill
    signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background it is ignored
    try:
        pipe.send("begin")
        with stub.telling(pipe.send):
            stub.extract(source, out, **options)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
