"""The worker process: it answers, dies or is stopped, and never outlives its parent."""

import os
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import pytest

from features.errors import DataError
from pipeline.search.worker import JobFailedError, OutOfTimeError, Worker


def double(job, report):
    report("doubling")
    print("libraries may print")
    return 2 * job


def identity(job, report):
    return os.getpid()


def wait(job, report):
    time.sleep(job)


def refuse(job, report):
    raise DataError("refused")


def fill_the_disk(job, report):
    raise OSError(28, "No space left on device", "model.skops")


def break_down(job, report):
    raise ZeroDivisionError("by nothing")


def vanish(job, report):
    os.kill(os.getpid(), signal.SIGKILL)


def hold_and_free(job, report):
    """Free 200 MB in pieces that lie below one that is kept, so that the heap cannot shrink."""
    pieces = [bytearray(2**16) for _ in range(3000)]
    hold_and_free.kept = pieces.pop()


def resident(job, report):
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class BreaksWhenLoaded:
    """Fails to be unpickled in the process where the test runs, not in the worker."""

    def __init__(self, process):
        self.process = process

    def __setstate__(self, state):
        if os.getpid() == state["process"]:
            raise RuntimeError("it cannot be rebuilt")
        self.__dict__ |= state


def answer_with(job, report):
    return job


def answer_with_a_missing_module(job, report):
    module = types.ModuleType("only_in_the_worker")
    exec("class Thing: pass", module.__dict__)
    module.Thing.__module__ = module.__name__
    sys.modules[module.__name__] = module
    return module.Thing()


def answer_with_a_function(job, report):
    return lambda: None


@pytest.fixture
def worker(tmp_path):
    with Worker(tmp_path / "log") as worker:
        yield worker


def test_jobs_are_done_in_one_process_that_is_another(worker):
    progress = []
    assert worker.run(double, 21, report=progress.append) == 42
    assert "doubling" in progress
    first = worker.run(identity, None)
    assert first == worker.run(identity, None) != os.getpid()
    worker.close()
    assert worker.run(identity, None) != first


def test_what_takes_too_long_is_ended_and_the_next_job_is_done(worker):
    with pytest.raises(OutOfTimeError, match="longer than its 0 s"):
        worker.run(wait, 60, 0.1)
    assert worker.run(double, 1) == 2


@pytest.mark.skipif(sys.platform != "linux", reason="of GNU's C library alone")
def test_what_a_job_has_freed_is_not_counted_for_the_next_one(worker):
    before = worker.run(resident, None)
    worker.run(hold_and_free, None)
    assert worker.run(resident, None) < before + 100 * 2**20


@pytest.mark.parametrize(
    ("function", "error", "message"),
    [
        (refuse, DataError, "refused"),
        (fill_the_disk, DataError, "model.skops: No space left"),
        (break_down, JobFailedError, "ZeroDivisionError: by nothing"),
        (vanish, JobFailedError, "killed by signal 9"),
    ],
)
def test_errors_come_back_and_the_next_job_is_done(worker, function, error, message):
    with pytest.raises(error, match=message):
        worker.run(function, None)
    assert worker.run(double, 1) == 2


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (answer_with, "answer cannot be unpickled: RuntimeError: it cannot be rebuilt"),
        (answer_with_a_missing_module, "answer cannot be unpickled: ModuleNotFoundError"),
        (answer_with_a_function, "<lambda>"),
    ],
)
def test_an_answer_that_cannot_travel_is_an_error_and_the_next_job_is_done(
    worker, function, message
):
    with pytest.raises(JobFailedError, match=message):
        worker.run(function, BreaksWhenLoaded(os.getpid()), 60)
    assert worker.run(double, 1) == 2


def test_a_job_that_the_worker_cannot_unpickle_is_an_error_and_the_next_job_is_done(worker):
    module = answer_with_a_missing_module(None, None).__module__
    try:
        with pytest.raises(JobFailedError, match=f"ModuleNotFoundError.*{module}"):
            worker.run(answer_with, sys.modules[module].Thing(), 60)
    finally:
        del sys.modules[module]
    assert worker.run(double, 1) == 2


def test_what_libraries_print_is_kept_in_the_log_alone(worker, tmp_path, capfd):
    worker.run(double, 1)
    worker.close()
    assert capfd.readouterr() == ("", "")
    assert "libraries may print" in (tmp_path / "log").read_text()


@pytest.mark.parametrize("start", [("script.py",), ("-m", "script"), ("-c", "import script")])
def test_a_script_without_a_guard_is_not_run_again(tmp_path, start):
    """The worker finds modules beside the script, too."""
    (tmp_path / "script.py").write_text(
        f"""
from pathlib import Path
from beside import triple
from pipeline.search.worker import Worker
print("the script runs")
with Worker(Path({str(tmp_path)!r}) / "log") as worker:
    print(worker.run(triple, 14))
"""
    )
    (tmp_path / "beside.py").write_text("def triple(job, report):\n    return 3 * job\n")
    root = Path(__file__).parents[3]
    result = subprocess.run([sys.executable, *start], cwd=tmp_path, capture_output=True, text=True,
                            env=os.environ | {"PYTHONPATH": str(root)}, timeout=60)  # fmt: skip
    assert (result.stdout, result.stderr) == ("the script runs\n42\n", "")


def test_it_ends_when_the_process_that_started_it_is_killed(tmp_path):
    script = f"""
from pathlib import Path
from pipeline.search.worker import Worker
from tests.pipeline.search.test_worker import identity, wait
worker = Worker(Path({str(tmp_path)!r}) / "log")
print(worker.run(identity, None), flush=True)
worker.run(wait, 60)
"""
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    for _ in range(100):
        try:
            os.kill(child, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    pytest.fail("it is still there after ten seconds")
