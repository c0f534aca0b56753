"""A process of its own for fitting: it can be ended at a deadline, and its memory measured.

Jobs and answers are pickled over pipes that only these two processes hold. A forked process would
inherit threads that scikit-learn and TensorFlow cannot do without, so it is a fresh one; it ends by
itself when the process that started it is gone.
"""

import math
import os
import pickle
import queue
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from features.errors import DataError, OffshelfError

_TICK = 1.0  # seconds


class JobFailedError(Exception):
    """The job raised what nobody foresaw, or its process ended; the message says which."""


class OutOfTimeError(Exception):
    """The deadline came before the answer."""


class Worker:
    """Runs one job at a time in another process, which is started when there is work.

    Args:
        log: what that process says on standard error is kept in this file.
    """

    def __init__(self, log: Path) -> None:
        self._log = log
        self._process: subprocess.Popen | None = None
        self._answers: queue.SimpleQueue = queue.SimpleQueue()

    def run(
        self,
        function: Callable[..., Any],
        job: Any,
        seconds: float = math.inf,
        report: Callable[[str], None] = lambda text: None,
    ) -> Any:
        """Return `function(job, report)`, computed over there.

        Args:
            function: of a module that the other process can import.
            job: what it is given; job and answer can be pickled.
            seconds: after which the process is killed; starting it does not count.
            report: is given what the function reports, and again every second.

        Raises:
            OutOfTimeError: it took longer.
            JobFailedError: the function raised something else, or the process was killed.
            OffshelfError: what the function itself raised; an OSError comes as DataError.
        """
        process = self._started()
        deadline = time.monotonic() + seconds
        try:
            pickle.dump((function, job), process.stdin)
            process.stdin.flush()
            said = ""
            while True:
                try:
                    kind, value = self._answers.get(timeout=_TICK)
                except queue.Empty:
                    kind, value = "report", said
                if time.monotonic() > deadline:
                    raise OutOfTimeError(f"it took longer than its {seconds:.0f} s")
                if kind == "report":
                    said = value
                    report(said)
                elif kind == "answer":
                    return value
                elif kind == "error":
                    raise value
                elif kind == "failure":
                    raise JobFailedError(value)
                else:
                    raise JobFailedError(self._how_it_ended())
        except BrokenPipeError:
            raise JobFailedError(self._how_it_ended()) from None
        except (OutOfTimeError, KeyboardInterrupt):
            self.close()
            raise

    def close(self) -> None:
        """End the process; the next job gets a new one."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            if process.stdin:
                process.stdin.close()

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _started(self) -> Any:
        if self._process is None:
            here = Path(__file__).resolve().parents[2]  # a checkout need not be installed
            paths = [str(here), *filter(None, [os.environ.get("PYTHONPATH")])]
            with self._log.open("wb") as log:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "pipeline.search.worker"],
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
                    env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
                    start_new_session=True,  # Ctrl-C in a terminal is for the parent alone
                )  # fmt: skip
            self._answers = queue.SimpleQueue()
            threading.Thread(
                target=_pass_on, args=(self._process.stdout, self._answers), daemon=True
            ).start()
            self._answers.get()  # that it is ready, or that it ended
        return self._process

    def _how_it_ended(self) -> str:
        process, self._process = self._process, None
        if process is None:
            return "it was ended"
        code = process.wait()
        said = self._log.read_text(errors="replace").strip().splitlines()
        if code < 0:
            return f"its process was killed by signal {-code}; was memory short?"
        return f"its process ended with code {code}: {said[-1] if said else 'it said nothing'}"


def _pass_on(stream: IO[bytes], answers: queue.SimpleQueue) -> None:
    """Put every answer of a process into a queue, and in the end that there will be none."""
    with stream:
        while True:
            try:
                answers.put(pickle.load(stream))  # noqa: S301  (our own process wrote it)
            except (EOFError, pickle.UnpicklingError, OSError):
                answers.put(("end", None))
                return


def serve() -> None:
    """Answer jobs from standard input until it ends; then end at once, whatever is being done."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print must not come between the answers
    jobs: queue.SimpleQueue = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(sys.stdin.buffer, jobs), daemon=True).start()

    def send(kind: str, value: Any) -> None:
        pickle.dump((kind, value), answers)
        answers.flush()

    import sklearn.pipeline  # noqa: F401 # what every job needs, before it is timed

    send("ready", None)
    while True:
        function, job = jobs.get()
        try:
            send("answer", function(job, lambda text: send("report", text)))
        except OffshelfError as error:
            send("error", error)
        except OSError as error:
            send("error", DataError(f"{error.filename}: {error.strerror or error}"))
        except Exception as error:
            traceback.print_exc()
            reason = " ".join(str(error).split())[:300]
            send("failure", f"{type(error).__name__}: {reason}")


def _listen(stream: IO[bytes], jobs: queue.SimpleQueue) -> None:
    try:
        while True:
            jobs.put(pickle.load(stream))  # noqa: S301  (the process that started this one)
    except EOFError:
        os._exit(0)  # whoever asked is gone


if __name__ == "__main__":
    import warnings

    warnings.simplefilter("ignore")  # of libraries, meant for their programmers
    serve()
