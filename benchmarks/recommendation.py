"""Whether the same data give the same recommendation, however busy the machine is.

    python -m benchmarks.recommendation resnet50.h5            ten runs of `classify` and `compare`
    python -m benchmarks.recommendation resnet50.h5 --runs 3   three of them

Each run is on the same rows, spread evenly over a feature file, in a new folder. The first has the
machine to itself; beside each of the others up to two processes a core compute without a pause,
another number each time. The exit code is 1 where a run recommends another candidate, another one
is the best or could be, or any predicts otherwise than in the first run.

How to read the columns:

    beside        processes that compute beside the run
    recommended   the candidate to take
    could         how many could be the best
    predictions   a digest of all candidates' predictions
    1000 s        seconds that the recommended one takes to predict 1,000 images
    seconds       of the run
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks import machine
from benchmarks.suite import take
from features.processes.cpus import available_cpus
from features.records import blake2b
from pipeline.config import ClassifyConfig
from pipeline.reports.tables import render
from pipeline.results.ranking import rank_candidates
from pipeline.stages import classify

SUITE = ("logistic", "linear-svm", "ridge", "lda", "nearest-centroid", "knn-cosine", "extra-trees",
         "dummy")  # fmt: skip
HEADER = ("run", "beside", "recommended", "best", "could", "predictions", "1000 s", "seconds")
_BUSY = "while True: sum(range(100_000))"


def main() -> int:
    arguments = _arguments()
    rows = []
    with tempfile.TemporaryDirectory(prefix="recommendation-") as scratch:
        sample = take(arguments.features, Path(scratch) / "sample.h5", arguments.rows)
        for number in range(arguments.runs):
            beside = number % (2 * available_cpus() + 1)
            with _busy(beside):
                found = _run(sample, Path(scratch) / str(number), arguments.classifiers)
            rows.append((number + 1, beside, *found))
    print(render(HEADER, rows) + "\n")
    facts = {"rows": f"{arguments.rows} of {arguments.features.name}"}
    facts |= machine.facts("numpy", "scipy", "scikit-learn")
    print("\n".join(f"{name}: {value}" for name, value in facts.items()))
    return int(len({row[2:6] for row in rows}) > 1)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m benchmarks.recommendation", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("features", type=Path, help="feature file")
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--rows", type=int, default=500)
    parser.add_argument("--classifiers", nargs="+", default=SUITE)
    return parser.parse_args()


@contextmanager
def _busy(count: int) -> Iterator[None]:
    """Let some processes compute without a pause."""
    processes = [subprocess.Popen([sys.executable, "-c", _BUSY]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _run(sample: Path, results: Path, classifiers: tuple[str, ...]) -> tuple[str, ...]:
    started = time.perf_counter()
    classify.run(ClassifyConfig((sample,), results, tuple(classifiers), progress=False))
    seconds = time.perf_counter() - started
    ranking = rank_candidates([results])
    taken = ranking.recommended_entry
    by_name = sorted(ranking.entries, key=lambda entry: entry.label)
    predictions = blake2b(b"".join(entry.predicted.tobytes() for entry in by_name)).hex()
    return (
        taken.label if taken else "none",
        ranking.best_entry.label,
        str(ranking.could_be_best.sum()),
        predictions[:8],
        f"{taken.record.seconds['predict_1000']:.4f}" if taken else "",
        f"{seconds:.0f}",
    )


if __name__ == "__main__":
    sys.exit(main())
