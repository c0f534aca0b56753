"""The worker: a separate process for fitting, which can be stopped and whose memory is measured.

It is a fresh process, because a forked one inherits threads that break scikit-learn and TensorFlow.
Jobs, progress messages and answers are pickled over pipes that only the two processes hold.

Two libraries were tried in its place. pebble starts processes by multiprocessing, which runs the
analyst's script again in the new process and fails where the script has no `__main__` guard. With
loky (joblib) the process stayed alive when the one that had started it was killed.
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
from pipeline.results.memory import give_back

_TICK = 1.0  # seconds between two progress messages, at most

# The kinds of message that the worker sends.
_READY, _PROGRESS, _ANSWER, _ERROR, _FAILURE, _END = (
    "ready", "progress", "answer", "error", "failure", "end"
)  # fmt: skip


class JobFailedError(Exception):
    """The job raised an unforeseen error or its process ended; the message says which."""


class OutOfTimeError(Exception):
    """The job took longer than its time limit."""


class Worker:
    """Runs one job at a time in a separate process, which is started when the first job comes.

    Args:
        log: the file that keeps what the worker process and its libraries print.
    """

    def __init__(self, log: Path) -> None:
        self._log = log
        self._process: subprocess.Popen | None = None
        self._messages: queue.SimpleQueue = queue.SimpleQueue()

    def run(
        self,
        function: Callable[..., Any],
        job: Any,
        seconds: float = math.inf,
        report: Callable[[str], None] = lambda text: None,
    ) -> Any:
        """Return `function(job, report)`, computed in the worker process.

        Args:
            function: a function of a module that the worker process can import.
            job: its argument; the job and the answer must be picklable.
            seconds: the time limit, after which the process is killed; starting the process does
                not count.
            report: called with each progress message of the function, and again every second.

        Raises:
            OutOfTimeError: the job took longer than its time limit.
            JobFailedError: the function raised any other error, its answer cannot be unpickled, or
                the process was killed.
            OffshelfError: raised by the function itself; an OSError arrives as a DataError.
        """
        self.start()
        process: Any = self._process
        deadline = time.monotonic() + seconds
        try:
            _send(process.stdin, _search_path(), (function, job))
            return self._answer(deadline, seconds, report)
        except BrokenPipeError:
            raise JobFailedError(self._how_it_ended()) from None
        except (OutOfTimeError, KeyboardInterrupt):
            self.close()
            raise

    def close(self) -> None:
        """Kill the process; the next job gets a new one."""
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

    def start(self) -> None:
        """Start the worker process, where there is none, and wait until it takes jobs."""
        if self._process is None:
            root = Path(__file__).resolve().parents[2]  # a checkout need not be installed
            paths = [str(root), *filter(None, [os.environ.get("PYTHONPATH")])]
            with self._log.open("wb") as log:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "pipeline.search.worker"],
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
                    env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
                    start_new_session=True,  # Ctrl-C in a terminal is for the parent alone
                )  # fmt: skip
            self._messages = queue.SimpleQueue()
            threading.Thread(
                target=_receive, args=(self._process.stdout, self._messages), daemon=True
            ).start()
            self._messages.get()  # the process is ready, or it has ended already

    def _answer(self, deadline: float, seconds: float, report: Callable[[str], None]) -> Any:
        """Wait for the answer of the running job, and pass its progress messages on."""
        progress = ""
        while True:
            try:
                kind, content = self._messages.get(timeout=_TICK)
            except queue.Empty:
                kind, content = _PROGRESS, pickle.dumps(progress)
            if time.monotonic() > deadline:
                raise OutOfTimeError(f"it took longer than its {seconds:.0f} s")
            if kind == _END:
                raise JobFailedError(self._how_it_ended())
            value = _unpickled(content)
            if kind == _ANSWER:
                return value
            if kind == _ERROR:
                raise value
            if kind == _FAILURE:
                raise JobFailedError(value)
            progress = value
            report(progress)

    def _how_it_ended(self) -> str:
        process, self._process = self._process, None
        if process is None:
            return "its process had been stopped"
        code = process.wait()
        if code < 0:
            return f"its process was killed by signal {-code}; was memory short?"
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return f"its process ended with code {code}: {lines[-1] if lines else 'it printed nothing'}"


def _send(stream: Any, header: Any, content: Any) -> None:
    """Write a message, whose content is pickled apart.

    A content that the other side cannot unpickle then fails as that one message, and the messages
    after it can be read.
    """
    pickle.dump((header, pickle.dumps(content)), stream)
    stream.flush()


def _unpickled(content: bytes) -> Any:
    """Return a message's content, which our own worker process pickled."""
    try:
        return pickle.loads(content)  # noqa: S301
    except Exception as error:
        raise JobFailedError(f"its answer cannot be unpickled: {_summary(error)}") from None


def _summary(error: Exception) -> str:
    """Return an error's type and text in one line of at most 300 characters or so."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def _search_path() -> list[str]:
    """Return where this process finds modules, so that the worker finds an analyst's own too."""
    return [os.path.abspath(entry) for entry in sys.path]  # noqa: PTH100  ("" is this folder)


def _receive(stream: IO[bytes], messages: queue.SimpleQueue) -> None:
    """Put every message from a process into a queue, and `_END` when there will be no more."""
    with stream:
        while True:
            try:
                messages.put(pickle.load(stream))  # noqa: S301  (our own process wrote it)
            except (EOFError, pickle.UnpicklingError, OSError):
                messages.put((_END, b""))
                return


def serve() -> None:
    """Do the jobs that come on standard input; exit as soon as it closes, even during a job."""
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print must not mix with the messages
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # so the log is whole
    jobs: queue.SimpleQueue = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(sys.stdin.buffer, jobs), daemon=True).start()

    import sklearn.pipeline  # noqa: F401 # every job needs it, so it is loaded before the clock runs

    _send(output, _READY, None)
    while True:
        search_path, content = jobs.get()
        _do(search_path, content, output)


def _do(search_path: list[str], content: bytes, output: IO[bytes]) -> None:
    """Do one job and send its answer or its error."""
    sys.path[:] = search_path
    try:
        function, job = pickle.loads(content)  # noqa: S301  (the process that started this one)
        _send(output, _ANSWER, function(job, lambda text: _send(output, _PROGRESS, text)))
    except OffshelfError as error:
        _send(output, _ERROR, error)
    except OSError as error:
        _send(output, _ERROR, DataError(f"{error.filename}: {error.strerror or error}"))
    except Exception as error:
        traceback.print_exc()
        _send(output, _FAILURE, _summary(error))
    give_back()  # so that the peak of the next job is its own


def _listen(stream: IO[bytes], jobs: queue.SimpleQueue) -> None:
    try:
        while True:
            jobs.put(pickle.load(stream))  # noqa: S301  (the process that started this one)
    except EOFError:
        os._exit(0)  # the parent process is gone


if __name__ == "__main__":
    import warnings

    warnings.simplefilter("ignore")  # the warnings of libraries, which are meant for programmers
    serve()
