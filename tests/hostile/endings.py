"""Commands that a signal ends at a random moment, and that are repeated until they come to an end."""

import contextlib
import json
import os
import re
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context, set_start_method
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pandas

from pipeline.commands.main import main
from tests.hostile import valid
from tests.pipeline.networks.images import colours, write_arrays

CODES = {signal.SIGKILL: -signal.SIGKILL, signal.SIGINT: 130, signal.SIGTERM: 143}
_PATIENCE = 120  # seconds until a command must have ended

_CONTEXT = get_context("forkserver")
_CONTEXT.set_forkserver_preload([
    __name__, "openTSNE", "plotly.graph_objects", "pyarrow.parquet", "sklearn.linear_model",
    "skops.io", "scipy.stats", "keras",
])  # fmt: skip


@dataclass(frozen=True)
class Command:
    """A command whose end is the same however often it was ended before.

    Attributes:
        make: writes its inputs into an empty folder.
        words: its arguments, which name paths relative to that folder.
        results: patterns of the files that must be equal in the end.
    """

    make: Callable[[Path], object]
    words: str
    results: Sequence[str]


def _judged(folder: Path) -> None:
    """A results folder whose lock nobody has opened."""
    valid.results(folder)
    for path in [folder / "results" / "openings.json", *folder.glob("results/*/test.*")]:
        path.unlink()


def _pictures(folder: Path) -> None:
    write_arrays(folder / "images.npz", *colours(48))


_TRAINING = "--batch-size 16 --precision float32 --image-size 32 --augment none --out results"
_TRAINED = ("results/out/validation.parquet", "results/out/record.json", "results/out/history.json")

COMMANDS = {
    "compare": Command(valid.results, "compare results", ("results/comparison.*",)),
    "report": Command(valid.results, "report results --out out/report.html", ("out/report.html",)),
    "evaluate": Command(_judged, "evaluate results --candidate vgg16.pool.logistic",
                        ("results/*/test.parquet", "results/*/test.json")),
    "map": Command(valid.feature_file, "map in.h5 --out out/map.html", ("out/map.*",)),
    "advise": Command(valid.feature_file, "advise in.h5 --out out", ("out/advice.json",)),
    "scratch": Command(_pictures, f"scratch images.npz --architecture lenet --epochs 3 --name out {_TRAINING}",
                       _TRAINED),
    "finetune": Command(_pictures, "finetune images.npz --backbone mobilenetv2 --weights none --epochs 2 --head none "
                        f"--name out {_TRAINING}", _TRAINED),
}  # fmt: skip


def endings(name: str, folder: Path, count: int, by: int, seed: int = 0) -> Iterator[str]:
    """End a command `count` times; yield what was wrong with each ending, or nothing.

    A command that comes to its end by itself begins anew in another folder.
    """
    command, random, whole = COMMANDS[name], Random(f"{name} {by} {seed}"), folder / "whole"
    template = folder / "template"
    for place in (template, whole):
        place.mkdir(parents=True)
    command.make(template)
    shutil.copytree(template, whole, dirs_exist_ok=True)
    code, said, duration = _run(command, whole, _PATIENCE, by)
    assert code == 0, said
    done, number = 0, 0
    while done < count:
        number += 1
        place, code = folder / str(number), -1
        shutil.copytree(template, place)
        while code and done < count:
            code, said, _ = _run(command, place, random.uniform(0, 0.9 * duration), by)
            if code:
                done += 1
                yield _wrong_with(code, said, by)
        code, said, _ = _run(command, place, _PATIENCE, by)
        assert code == 0, said
        if wrong := _differences(command, place, whole):
            yield f"in the end {wrong}"
        shutil.rmtree(place)


def _run(command: Command, place: Path, seconds: float, by: int) -> tuple[int, str, float]:
    """Run for so long; return the exit code, what was said, and the time that it took."""
    ours, theirs = _CONTEXT.Pipe(duplex=False)
    process = _CONTEXT.Process(target=_child, args=(command.words.split(" "), place, theirs))
    process.start()
    theirs.close()
    ours.recv()
    begin = time.perf_counter()
    process.join(seconds)
    duration = time.perf_counter() - begin
    if process.is_alive():
        with suppress(ProcessLookupError):  # it came to its end just now
            os.kill(process.pid, by)
    process.join(_PATIENCE)
    code = -999 if process.exitcode is None else process.exitcode  # it does not end
    process.kill()
    said = place.with_suffix(".said").read_text()
    return code, said, duration


def _child(words: list[str], place: Path, pipe: Connection) -> None:
    set_start_method("fork", force=True)  # or tqdm's lock would outlive a kill
    signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background it is ignored
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    os.chdir(place)
    with place.with_suffix(".said").open("w", buffering=1) as said:
        os.dup2(said.fileno(), 2)
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            pipe.send("begin")
            code = main([*words, "--quiet"])
    os._exit(code)


def _wrong_with(code: int, said: str, by: int) -> str:
    if code != CODES[by] and not (by == signal.SIGTERM and code == 130):  # it had not begun
        return f"exit code {code}: {said}"
    last = said.splitlines()[-1:]
    if by != signal.SIGKILL and not (last and last[0].startswith("warning: stopped: ")):
        return f"it said {said!r}"
    return "a traceback" if "Traceback" in said else ""


def _differences(command: Command, place: Path, whole: Path) -> str:
    """Return what differs between two folders in which the command came to its end."""
    names = [{str(path.relative_to(root)) for path in root.rglob("*")} for root in (place, whole)]
    if names[0] != names[1]:
        return f"other files are there: {sorted(names[0] ^ names[1])}"
    for pattern in command.results:
        paths = sorted(whole.glob(pattern))
        assert paths, pattern
        for path in paths:
            if _content(path) != _content(place / path.relative_to(whole)):
                return f"{path.name} differs"
    return ""


# What differs between equal runs: times, memory, and what follows from them.
_VOLATILE = {"created", "seconds", "source", "command", "peak_memory", "opening", "digest", "when", "sha256", "predictions",
             "images_1000_seconds", "extraction", "bytes", "budget", "trials", "validation"}  # fmt: skip
_TIMES = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?|\d+(\.\d+)? s\b")


def _content(path: Path) -> Any:
    if path.suffix == ".parquet":
        return pandas.read_parquet(path).to_csv()
    if path.suffix == ".json":
        return _lasting(json.loads(path.read_text()))
    return _TIMES.sub("", path.read_text())


def _lasting(facts: Any) -> Any:
    if isinstance(facts, dict):
        return {key: _lasting(value) for key, value in facts.items() if key not in _VOLATILE}
    if isinstance(facts, list):
        return [_lasting(fact) for fact in facts]
    return np.round(facts, 9) if isinstance(facts, float) else facts
