"""How far rows carry: assembling and opening files of millions, and classifying what does not fit.

    python -m benchmarks.scale open                       ten million rows x 2,048, a sparse file
    python -m benchmarks.scale assemble --layout sharded  ten million rows x 2,048, sparse shards
    python -m benchmarks.scale classify --memory 2G       1, 2 and 4 million rows x 512
    python -m benchmarks.scale fit                        the same rows, each classifier by itself
    python -m benchmarks.scale commands --rows 1000000    what is done with the results of classify

`open` writes a feature file whose features are a hole, so that it takes a few hundred MB on the
disk; ids, digests, labels and splits are there. What it prints was measured in a new process.
`assemble` writes the shards that the workers of an extraction leave, whose features are holes too,
has them made a feature file by a new process, which has seen none of them, and opens it in a next
one. A single file is written in full: ten million rows x 2,048 take 41 GB.
`classify` writes features of ten overlapping classes as float16, and runs `classify` on them in a
new process, with the defaults of each classifier, without a search. Peak is the resident memory of
all its processes together, as Linux tells it, shared pages once, asked ten times a second; seconds
are by the clock, and for all candidates together those of the processors, too. `fit` fits each
classifier once to all rows, which are read in blocks, in a process of its own. `commands` runs
`compare`, `evaluate`, `report`, `advise` and `map` after `classify`, and tells the size of the page
that one has made.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.sparse import (
    CLASSES,
    LAYER,
    WIDTHS,
    attributes_of,
    ids_of,
    parts_of,
    shards_of,
    sparse_file,
    sparse_shards,
)
from features.records import LAYOUTS, SINGLE
from features.storage.row_blocks import Rows, Size
from features.storage.store import FeatureFile
from features.storage.writer import write
from pipeline.classifiers import find, streaming
from pipeline.classifiers.base import Task
from pipeline.data.layers import find_layers, stored_rows
from pipeline.reports.tables import render
from pipeline.results.records import candidates

ROW, ROWS = "features of one row", "features of 1,000 rows, spread evenly"
BLOCK, EVERY = 20_000, 0.1
CLASSIFIERS = "logistic,linear-svm,ridge,lda,nearest-centroid,knn-cosine,dummy"
SPREAD = 0.15  # of the classes' centres, where rows have a spread of 1


def main() -> None:
    arguments = _arguments()
    with tempfile.TemporaryDirectory(prefix="scale-", dir=arguments.folder) as scratch:
        path, rows = Path(scratch) / "features.h5", arguments.rows[0]
        if arguments.part == "open":
            sparse_file(path, range(rows), arguments.width, attributes_of(rows))
            print(_of_new_process("opened", path))
        elif arguments.part == "assemble":
            sparse_shards(path, rows, arguments.width)
            facts = {"rows": rows, "width": arguments.width, "layout": arguments.layout}
            print(_of_new_process("assembled", path, *(f"--{k}={v}" for k, v in facts.items())))
            print(_of_new_process("opened", path))
        elif arguments.part == "assembled":
            print(assembled(arguments.file, arguments))
        elif arguments.part == "opened":
            print(opened(arguments.file))
        elif arguments.part == "fit":
            print(fits(path, arguments))
        elif arguments.part == "fitted":
            print(json.dumps(fitted(arguments.file, arguments.classifiers)))
        elif arguments.part == "commands":
            print(commands(path, arguments))
        else:
            print(classified(path, arguments))


def _of_new_process(part: str, path: Path, *more: str) -> str:
    command = [sys.executable, "-m", "benchmarks.scale", part, "--file", str(path), *more]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def assembled(path: Path, arguments: argparse.Namespace) -> str:
    """Return how long it takes to make a feature file of shards, and the peak."""
    rows, shards = arguments.rows[0], shards_of(path, arguments.rows[0], arguments.width)
    started, computed, peak = time.perf_counter(), time.process_time(), _peak()
    shards.assemble(path, attributes_of(rows), arguments.layout)
    facts = (f"{rows:,}", arguments.layout, f"{len(shards.sizes):,}",
             f"{time.perf_counter() - started:.1f}", f"{time.process_time() - computed:.1f}",
             f"{_peak() - peak:.0f}")  # fmt: skip
    return render(("rows", "layout", "shards", "seconds", "CPU s", "MB above the start"), [facts])


def opened(path: Path) -> str:
    """Return how long it takes to open a file and to read its columns, and the peak after each."""
    table, peak = [], _peak()
    for what in ("open", "labels", "splits", "digests", "ids", ROW, ROWS):
        started = time.perf_counter()
        if what == "open":
            file = FeatureFile(path)
        elif what in (ROW, ROWS):
            rows = np.linspace(0, len(file) - 1, 1 if what == ROW else 1000).astype(np.int64)
            file.features(rows=rows)
        else:
            getattr(file, what)
        table.append((what, f"{time.perf_counter() - started:.2f}", f"{_peak() - peak:.0f}"))
    return render((f"{len(file):,} rows", "seconds", "MB above the start"), table)


def classified(path: Path, arguments: argparse.Namespace) -> str:
    """Return time and peak of `classify` for each number of rows, and of each candidate."""
    table = []
    for rows in arguments.rows:
        overlapping(path, rows, arguments.width)
        out = path.parent / f"results-{rows}"
        seconds, computed, peak = watched(_classify(path, out, arguments))
        table.append((f"{rows:,}", "all", f"{seconds:.0f}", f"{computed:.0f}", f"{peak:.0f}", ""))
        for record in candidates(out).values():
            spent = record.seconds["search"] + record.seconds["fit"]
            best = max(trial.score for trial in record.trials)
            name = record.name.removeprefix(f"synthetic.{LAYER}.")
            table.append((f"{rows:,}", name, f"{spent:.0f}", "",
                          f"{record.peak_memory / 1e6:.0f}", f"{best:.4f}"))  # fmt: skip
    return render(("rows", "candidate", "seconds", "CPU seconds", "peak MB", "accuracy"), table)


def _classify(path: Path, out: Path, arguments: argparse.Namespace) -> list[str]:
    return _command("classify", path, "--out", out, "--memory", arguments.memory,
                    "--budget", arguments.budget, "--classifiers", arguments.classifiers,
                    *([] if arguments.tune else ["--no-tune"]))  # fmt: skip


def _command(*words: str | Path) -> list[str]:
    return [sys.executable, "-m", "pipeline", *map(str, words)]


def commands(path: Path, arguments: argparse.Namespace) -> str:
    """Return time, peak and the size of the page of each command that reads rows or results."""
    table = []
    for rows in arguments.rows:
        overlapping(path, rows, arguments.width)
        out, page = path.parent / f"results-{rows}", path.parent / "page.html"
        for command in (
            _classify(path, out, arguments),
            _command("compare", out),
            _command("evaluate", out),
            _command("report", out, "--out", page),
            _command("advise", path, "--out", out),
            _command("map", path, "--results", out, "--out", page),
        ):
            seconds, computed, peak = watched(command)
            size = f"{page.stat().st_size / 1e6:.2f}" if command[-1] == str(page) else ""
            table.append((f"{rows:,}", command[3], f"{seconds:.0f}", f"{computed:.0f}",
                          f"{peak:.0f}", size))  # fmt: skip
    return render(("rows", "command", "seconds", "CPU seconds", "peak MB", "page MB"), table)


def fits(path: Path, arguments: argparse.Namespace) -> str:
    """Return time and peak of one fit of each classifier to each number of rows."""
    table = []
    for rows in arguments.rows:
        overlapping(path, rows, arguments.width)
        for name in arguments.classifiers.split(","):
            done = _of_new_process("fitted", path, "--classifiers", name)
            seconds, computed, peak = json.loads(done)
            table.append((f"{rows:,}", name, f"{seconds:.1f}", f"{computed:.1f}", f"{peak:.0f}"))
    return render(("rows", "classifier", "seconds", "CPU seconds", "peak MB"), table)


def fitted(path: Path, name: str) -> tuple[float, float, float]:
    """Fit a classifier's default to all rows of a file; return seconds, CPU seconds, peak MB."""
    (layer,), classifier = find_layers(path, []), find(name)
    with FeatureFile(path) as file:
        labels = file.labels
    x = stored_rows(layer, np.arange(len(labels)))
    task = Task(len(x), layer.dimensions, CLASSES, 0)
    pipeline = classifier.pipeline(task).set_params(**classifier.default)
    started, computed = time.perf_counter(), time.process_time()
    streaming.fit_pipeline(pipeline, x, labels)
    return time.perf_counter() - started, time.process_time() - computed, _peak()


def watched(command: list[str]) -> tuple[float, float, float]:
    """Run a command; return its seconds, by the clock and of the processors, and its peak.

    The peak are MB of it and its children together.
    """
    started, computed, peak = time.perf_counter(), _computed(), 0.0
    process = subprocess.Popen(command)
    while process.poll() is None:
        peak = max(peak, sum(map(_resident, _family(process.pid))))
        time.sleep(EVERY)
    if process.returncode:
        raise SystemExit(process.returncode)
    return time.perf_counter() - started, _computed() - computed, peak


def _computed() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def overlapping(path: Path, rows: int, width: int) -> None:
    """Write features of overlapping classes, sorted by class in each block: float16."""
    rng = np.random.default_rng(0)
    centres = (SPREAD * rng.normal(size=(CLASSES, width))).astype(np.float32)

    def blocks() -> Iterator[Rows]:
        for part in parts_of(range(rows), BLOCK):
            labels = np.sort(rng.integers(0, CLASSES, len(part))).astype(np.int32)
            noise = rng.standard_normal((len(part), width), np.float32)
            values = np.maximum(centres[labels] + noise + 1, 0).astype(np.float16)
            digests = rng.integers(0, 256, (len(part), 16), np.uint8)
            none = np.zeros(len(part), np.uint8)
            ids = [value.decode() for value in ids_of(part).tolist()]
            yield Rows({LAYER: values}, ids, digests, labels, none, [])

    with path.open("w+b") as target:
        write(target, blocks(), Size({"images": rows, "rejected": 0}, WIDTHS), attributes_of(rows))


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def _family(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children")
    try:
        own = [int(child) for child in children.read_text().split()]
    except OSError:
        return []
    return [pid, *(one for child in own for one in _family(child))]


def _resident(pid: int) -> float:
    """Return the resident MB of a process, shared pages in equal parts."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024 / 1e6


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m benchmarks.scale", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parts = ("open", "opened", "assemble", "assembled", "classify", "fit", "fitted", "commands")
    parser.add_argument("part", choices=parts)
    parser.add_argument("--rows", type=int, nargs="+")
    parser.add_argument("--width", type=int, help="default: 512 to classify and to fit, else 2048")
    parser.add_argument("--layout", choices=LAYOUTS, default=SINGLE, help="of `assemble`")
    parser.add_argument("--memory", default="2G")
    parser.add_argument("--budget", default="none")
    parser.add_argument("--classifiers", default=CLASSIFIERS)
    parser.add_argument("--tune", action="store_true", help="search settings, too")
    parser.add_argument("--folder", type=Path, help="where the files lie; default: temporary")
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    learns = arguments.part in ("classify", "fit", "commands")
    arguments.rows = arguments.rows or ([10**6, 2 * 10**6, 4 * 10**6] if learns else [10**7])
    arguments.width = arguments.width or (512 if learns else 2048)
    return arguments


if __name__ == "__main__":
    main()
