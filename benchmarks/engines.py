"""The order in which `--engine auto` takes engines on a CPU: all that are installed, in turn.

    python -m benchmarks.engines                                   some minutes
    python -m benchmarks.engines --backbones resnet50 --size 224

Each engine runs in a process of its own, as Keras has one backend in each, and these take turns: a
batch of 32 images forward by each, then the next round. Weights are random. Columns:

    rate      images/s of a core: by the CPU seconds of the median round
    share     OpenVINO's CPU seconds to these: the median over rounds, and the lowest and highest
    clock     the same of seconds by the clock, which other work disturbs more
"""

import argparse
import os
import subprocess
import sys
import time
from importlib.util import find_spec

import numpy as np

from benchmarks import machine
from features.backbones.assembly import assemble
from features.backbones.catalog import find
from features.backbones.weights import RANDOM, resolve
from features.config import ENGINES
from features.engines import Choice, choose, compile_network
from pipeline.reports.tables import render

HEADER = ("network", "engine", "precision", "rate", "share", "clock")
BATCH = 32


def main() -> None:
    arguments = _arguments()
    if arguments.worker:
        _work(arguments.worker, arguments.precision, arguments.backbones[0], arguments.size)
        return
    engines = [engine for engine in ENGINES if find_spec(engine) is not None]
    for name in arguments.backbones:
        for precision in dict.fromkeys(["float32", choose().precision]):
            seconds = _in_turn(name, precision, engines, arguments)
            print(render(HEADER, _rows(name, precision, seconds)) + "\n", flush=True)
    print("\n".join(f"{key}: {value}" for key, value in machine.facts(*engines, "keras").items()))


def _in_turn(
    name: str, precision: str, engines: list[str], arguments: argparse.Namespace
) -> dict[str, np.ndarray]:
    """Return CPU and clock seconds of each round by engine: float64 (rounds, 2)."""
    workers = {}
    # Threads that wait by spinning would count as work.
    environment = os.environ | {"OMP_WAIT_POLICY": "PASSIVE"}
    for engine in engines:
        command = [sys.executable, "-m", "benchmarks.engines", "--worker", engine,
                   "--precision", precision, "--backbones", name,
                   "--size", str(arguments.size)]  # fmt: skip
        workers[engine] = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
    found: dict[str, list[list[float]]] = {engine: [] for engine in engines}
    for number in range(arguments.rounds + 1):
        for engine, worker in workers.items():
            worker.stdin.write("go\n")
            worker.stdin.flush()
            seconds = [float(value) for value in worker.stdout.readline().split()]
            if number:  # the first one warms up
                found[engine].append(seconds)
    for worker in workers.values():
        worker.communicate()
    return {engine: np.array(rounds) for engine, rounds in found.items()}


def _work(engine: str, precision: str, name: str, side: int) -> None:
    """Run a batch for each line that comes in; print CPU and clock seconds of it."""
    backbone, size = find(name), (side, side)
    weights = resolve(backbone, RANDOM)
    compiled = compile_network(
        Choice(engine, precision, ""),
        lambda given: assemble(backbone, size, weights, [backbone.output], precision=given),
        (BATCH, *size, 3),
    )
    pixels = np.random.default_rng(0).integers(0, 256, (BATCH, *size, 3), np.uint8)
    for _ in sys.stdin:
        started = time.process_time(), time.perf_counter()
        compiled.forward(pixels)
        print(time.process_time() - started[0], time.perf_counter() - started[1], flush=True)


def _rows(name: str, precision: str, seconds: dict[str, np.ndarray]) -> list[tuple[str, ...]]:
    first = next(iter(seconds.values()))
    rows = []
    for engine, taken in seconds.items():
        shares = first / taken
        low, middle, high = np.percentile(shares[:, 0], [0, 50, 100])
        rate, clock = BATCH / np.median(taken[:, 0]), np.median(shares[:, 1])
        share = f"{middle:.2f} ({low:.2f}-{high:.2f})"
        rows.append((name, engine, precision, f"{rate:.0f}", share, f"{clock:.2f}"))
    return rows


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m benchmarks.engines", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--backbones", nargs="+", default=["mobilenetv2", "resnet50"])
    parser.add_argument("--size", type=int, default=96, help="pixels a side of the images")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--worker", choices=ENGINES, help=argparse.SUPPRESS)
    parser.add_argument("--precision", default="float32", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
