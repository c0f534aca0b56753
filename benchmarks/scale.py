"""How far rows carry: opening files of millions of them, and classifying what does not fit.

    python -m benchmarks.scale open                       ten million rows x 2,048, a sparse file
    python -m benchmarks.scale classify --memory 2G       1, 2 and 4 million rows x 512

`open` writes a feature file whose features are a hole, so that it takes a few hundred MB on the
disk; ids, digests, labels and splits are there. What it prints was measured in a new process.
`classify` writes features of ten overlapping classes as float16, and runs `classify` on them in a
new process, with the defaults of each classifier, without a search. Peak is the resident memory of
all its processes together, as Linux tells it, asked ten times a second; seconds are by the clock,
and for all candidates together those of the processors, too.
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

import h5py
import numpy as np

from features.records import Recipe
from features.storage.hdf5 import put_attributes
from features.storage.row_blocks import Rows, Size
from features.storage.schema import DIGEST, SCHEMA, seal
from features.storage.store import FeatureFile
from features.storage.writer import CHUNK_BYTES, write
from pipeline.reports.tables import render
from pipeline.results.records import candidates

CLASSES, LAYER, BLOCK, EVERY = 10, "features", 20_000, 0.1
CLASSIFIERS = "logistic,linear-svm,ridge,lda,nearest-centroid,knn-cosine,dummy"
SPREAD = 0.15  # of the classes' centres, where rows have a spread of 1
_WORDS = "S24"


def main() -> None:
    arguments = _arguments()
    with tempfile.TemporaryDirectory(prefix="scale-", dir=arguments.folder) as scratch:
        path = Path(scratch) / "features.h5"
        if arguments.part == "open":
            sparse_file(path, arguments.rows[0], arguments.width)
            command = [sys.executable, "-m", "benchmarks.scale", "opened", "--file", str(path)]
            print(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        elif arguments.part == "opened":
            print(opened(arguments.file))
        else:
            print(classified(path, arguments))


def opened(path: Path) -> str:
    """Return how long it takes to open a file and to read its columns, and the peak after each."""
    table, peak = [], _peak()
    for what in ("open", "labels", "splits", "digests", "ids"):
        started = time.perf_counter()
        if what == "open":
            file = FeatureFile(path)
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
        seconds, computed, peak = watched(
            [sys.executable, "-m", "pipeline", "classify", str(path), "--out", str(out),
             "--memory", arguments.memory, "--budget", arguments.budget,
             "--classifiers", arguments.classifiers, *([] if arguments.tune else ["--no-tune"])]
        )  # fmt: skip
        table.append((f"{rows:,}", "all", f"{seconds:.0f}", f"{computed:.0f}", f"{peak:.0f}", ""))
        for record in candidates(out).values():
            spent = record.seconds["search"] + record.seconds["fit"]
            best = max(trial.score for trial in record.trials)
            name = record.name.removeprefix(f"synthetic.{LAYER}.")
            table.append((f"{rows:,}", name, f"{spent:.0f}", "",
                          f"{record.peak_memory / 1e6:.0f}", f"{best:.4f}"))  # fmt: skip
    return render(("rows", "candidate", "seconds", "CPU seconds", "peak MB", "accuracy"), table)


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


def sparse_file(path: Path, rows: int, width: int) -> None:
    """Write a feature file of so many rows, whose features are a hole in the file."""
    rng = np.random.default_rng(0)
    empty = np.zeros(0, "S1")
    with h5py.File(path, "w", libver=("v110", "v110")) as file:
        _column(file, "images/id", (_ids(part) for part in _parts(rows)), rows)
        digests = (rng.integers(0, 256, (len(part), 16), np.uint8) for part in _parts(rows))
        _column(file, "images/digest", digests, rows)
        labels = (np.array(part, np.int32) % CLASSES for part in _parts(rows))
        _column(file, "images/label", labels, rows)
        none = (np.zeros(len(part), np.uint8) for part in _parts(rows))
        _column(file, "images/split", none, rows)
        for name in ("id", "reason"):
            _column(file, f"rejected/{name}", iter([empty]), 0)
        _hole(file.require_group("features"), rows, width)
        put_attributes(file, _attributes(rows) | {"schema": SCHEMA, "complete": True})
        put_attributes(file, {DIGEST: seal(file)})


def overlapping(path: Path, rows: int, width: int) -> None:
    """Write features of overlapping classes, sorted by class in each block: float16."""
    rng = np.random.default_rng(0)
    centres = (SPREAD * rng.normal(size=(CLASSES, width))).astype(np.float32)

    def blocks() -> Iterator[Rows]:
        for part in _parts(rows, BLOCK):
            labels = np.sort(rng.integers(0, CLASSES, len(part))).astype(np.int32)
            noise = rng.standard_normal((len(part), width), np.float32)
            values = np.maximum(centres[labels] + noise + 1, 0).astype(np.float16)
            digests = rng.integers(0, 256, (len(part), 16), np.uint8)
            none = np.zeros(len(part), np.uint8)
            ids = [value.decode() for value in _ids(part).tolist()]
            yield Rows({LAYER: values}, ids, digests, labels, none, [])

    widths = {"images/id": np.dtype(_WORDS).itemsize, "rejected/id": 1, "rejected/reason": 1}
    with path.open("w+b") as target:
        write(target, blocks(), Size({"images": rows, "rejected": 0}, widths), _attributes(rows))


def _parts(rows: int, size: int = 10**6) -> Iterator[range]:
    return (range(start, min(start + size, rows)) for start in range(0, rows, size))


def _ids(part: range) -> np.ndarray:
    return np.array([b"class%d/%09d.jpg" % (row % CLASSES, row) for row in part], _WORDS)


def _column(file: h5py.File, path: str, blocks: Iterator[np.ndarray], rows: int) -> None:
    done, dataset = 0, None
    for block in blocks:
        if dataset is None:
            is_text = block.dtype.kind == "S"
            dtype = h5py.string_dtype("utf-8", block.dtype.itemsize) if is_text else block.dtype
            step = max(1, min(rows, CHUNK_BYTES // block[:1].nbytes)) if rows else 1
            layout = {"chunks": (step, *block.shape[1:])} if rows else {}
            layout |= {"compression": "gzip", "compression_opts": 1} if rows and is_text else {}
            shape = (rows, *block.shape[1:])
            dataset = file.create_dataset(path, shape, dtype, **layout)
        dataset[done : done + len(block)] = block.view(dataset.dtype)
        done += len(block)
    put_attributes(file[path], {DIGEST: "0" * 32})


def _hole(group: h5py.Group, rows: int, width: int) -> None:
    creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    creation.set_chunk((max(1, min(rows, CHUNK_BYTES // (2 * width))), width))
    creation.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    creation.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    space = h5py.h5s.create_simple((rows, width))
    kind = h5py.h5t.py_create(np.dtype(np.float16))
    h5py.h5d.create(group.id, LAYER.encode(), kind, space, creation)
    put_attributes(group[LAYER], {DIGEST: "0" * 32})


def _attributes(rows: int) -> dict[str, str]:
    recipe = Recipe(
        "synthetic", {"origin": "none", "sha256": ""}, (LAYER,), "avg", (32, 32), (32, 32), "exact",
        "squash", "bilinear", {"name": "none"}, "none", "float32", "float16", 1,
        {"kind": "folder", "count": rows, "fingerprint": ""}, {},
    )  # fmt: skip
    names = [f"class {number}" for number in range(CLASSES)]
    return {"class_names": json.dumps(names), "recipe": recipe.to_json(),
            "recipe_digest": recipe.digest}  # fmt: skip


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
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return 0.0
    return pages * resource.getpagesize() / 1e6


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m benchmarks.scale", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("part", choices=("open", "opened", "classify"))
    parser.add_argument("--rows", type=int, nargs="+")
    parser.add_argument("--width", type=int, help="default: 2048 to open, 512 to classify")
    parser.add_argument("--memory", default="2G")
    parser.add_argument("--budget", default="none")
    parser.add_argument("--classifiers", default=CLASSIFIERS)
    parser.add_argument("--tune", action="store_true", help="search settings, too")
    parser.add_argument("--folder", type=Path, help="where the files lie; default: temporary")
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    is_open = arguments.part == "open"
    arguments.rows = arguments.rows or ([10**7] if is_open else [10**6, 2 * 10**6, 4 * 10**6])
    arguments.width = arguments.width or (2048 if is_open else 512)
    return arguments


if __name__ == "__main__":
    main()
