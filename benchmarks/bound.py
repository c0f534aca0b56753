"""What bounds an extraction: decoding alone, the network alone, and the whole, in turn in one run.

    python -m benchmarks.bound                        two networks, about five minutes
    python -m benchmarks.bound --backbones resnet50 --engines tensorflow

Each network has a process of its own, in which every round decodes all images, runs the network on
as many, and extracts them into a feature file. Medians over rounds, by the clock and, in brackets,
by seconds of all CPUs, which other work on the machine disturbs less:

    decode      images/s of reading, digesting, decoding and resizing, on all cores
    forward     images/s of the network on a ready batch
    whole       images/s from the first file to the feature file
    reached     share of what both allow together where they share the cores,
                1 / (1 / decode + 1 / forward); above 1 the one fills what the other leaves idle
    of slower   whole / min(decode, forward), at most what `allowed` says where cores are shared:
                there it could be 1 only if one of the two cost nothing
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import machine, parts
from benchmarks.images import make_jpegs
from benchmarks.jobs import Job, measure
from features.backbones.catalog import find
from features.backbones.weights import cached
from features.config import ENGINES
from pipeline.reports.tables import render

HEADER = ("network", "decode", "forward", "whole", "reached", "of slower", "allowed", "note")

Seconds = dict[str, list[tuple[float, float]]]  # by the clock and of all CPUs, in each round


def main() -> None:
    arguments = _arguments()
    rows = []
    with tempfile.TemporaryDirectory(prefix="bound-") as scratch:
        folder = make_jpegs(Path(scratch) / "jpegs", arguments.images)
        for name in arguments.backbones:
            for engine in arguments.engines:
                weights = "imagenet" if cached(find(name)) else "none"
                job = Job(
                    "bound.in_turn", folder, Path(scratch), arguments.images, name, weights,
                    engine, size=find(name).size, rounds=arguments.rounds,
                )  # fmt: skip
                rows.append(_row(f"{name}, {engine}", measure(job), arguments.images))
    print(render(HEADER, rows))
    facts = machine.facts("numpy", "openvino", "tensorflow", "pillow", "simplejpeg")
    print("\n" + "\n".join(f"{name}: {value}" for name, value in facts.items()))


def in_turn(job: Job) -> dict[str, Any]:
    """Return the seconds of each way in each round, after one that does not count."""
    ours = parts.prepared(job)
    ways: dict[str, Callable[[], None]] = {
        "decode": lambda: parts.load_all(job),
        "forward": lambda: ours.forward(job.images),
        "whole": lambda: ours.extract(job.images),
    }
    seconds: Seconds = {name: [] for name in ways}
    for turn in range(job.rounds + 1):
        for name, way in ways.items():
            begun, cpu = time.perf_counter(), time.process_time()
            way()
            if turn:
                seconds[name].append((time.perf_counter() - begun, time.process_time() - cpu))
    return seconds | {"precision": ours.plan.model.choice.precision}


def _row(name: str, found: dict[str, Any], images: int) -> tuple[str, ...]:
    if "skipped" in found:
        return (name, *[""] * 6, found["skipped"])
    rounds = list(zip(found["decode"], found["forward"], found["whole"], strict=True))

    def both(ratio: Callable[[float, float, float], float], digits: int) -> str:
        clock, cpu = (
            median(ratio(*(way[kind] for way in one)) for one in rounds) for kind in (0, 1)
        )
        return f"{clock:.{digits}f} ({cpu:.{digits}f})"

    return (
        name,
        both(lambda decode, forward, whole: images / decode, 0),
        both(lambda decode, forward, whole: images / forward, 0),
        both(lambda decode, forward, whole: images / whole, 0),
        both(lambda decode, forward, whole: (decode + forward) / whole, 3),
        both(lambda decode, forward, whole: max(decode, forward) / whole, 3),
        both(lambda decode, forward, whole: max(decode, forward) / (decode + forward), 3),
        found["precision"],
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m benchmarks.bound", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--backbones", nargs="+", default=("mobilenetv2", "resnet50"))
    parser.add_argument("--engines", nargs="+", default=("openvino",), choices=ENGINES)
    parser.add_argument("--images", type=int, default=1024, help="JPEG files of 500 x 375")
    parser.add_argument("--rounds", type=int, default=5)
    return parser.parse_args()


if __name__ == "__main__":
    main()
