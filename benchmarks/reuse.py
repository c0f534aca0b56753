"""What it costs to show that nothing is reused that is not the same.

A first extraction reads and digests each image once, whatever is checked later; see
`benchmarks.commits` for its time.

    python -m benchmarks.reuse                      512 images, 5 rounds, MobileNetV2
    python -m benchmarks.reuse --backbone resnet50 --images 2048

Each measurement is taken with the checks and without them, in turn, in one run; the medians are
compared, by the clock and in seconds of all CPUs, which other work on the machine disturbs less.
Weights are random, which costs the same.

How to read the rows:

    repeat ...               the command once more, where everything is there already: with the
                             checks, every image is read and compared by its content; without
                             them (--trust-source), names and sizes are. Of arrays in memory
                             (.npz) the content is compared in any case
    network from the cache   the converted network, read and compiled by OpenVINO
"""

import argparse
import importlib.util
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import features
from benchmarks import machine
from benchmarks.images import as_arrays, make_jpegs
from benchmarks.timing import seconds
from features.config import ExtractConfig
from features.engines import openvino_engine
from features.extraction.planning import compile_model, plan_extraction
from features.processes.packages import cache_folder
from features.sources import open_source
from pipeline.reports.tables import render

HEADER = (
    "", "with checks", "without", "difference", "CPU with checks", "CPU without", "CPU difference"
)  # fmt: skip
SIDE = 224


def main() -> None:
    arguments = _arguments()
    with tempfile.TemporaryDirectory(prefix="reuse-") as scratch:
        rows = _measured(arguments, Path(scratch))
    facts = machine.facts("numpy", "openvino", "h5py") | {
        "images": f"{arguments.images} of {SIDE} pixels a side, {arguments.rounds} rounds",
        "backbone": arguments.backbone,
    }
    print(render(HEADER, [_cells(row) for row in rows]))
    print("\n" + "\n".join(f"{name}: {value}" for name, value in facts.items()))
    if arguments.out:
        content = {"facts": facts, "rows": rows}
        arguments.out.write_text(json.dumps(content, indent=2) + "\n")


def _measured(arguments: argparse.Namespace, scratch: Path) -> list[dict[str, Any]]:
    folder = make_jpegs(scratch / "photos", arguments.images, (SIDE, SIDE))
    npz, hdf5 = as_arrays(folder, scratch)
    rows = []
    for title, source in (("a folder", folder), ("arrays, .npz", npz), ("arrays, .h5", hdf5)):
        out = source.with_name(f"{source.name}.features.h5")
        config = _config(arguments, source, out)
        with open_source(source) as opened:
            plan = plan_extraction(config, opened)
        compiled = compile_model(plan.model, plan.recipe)
        with (
            patch("features.extraction.planning.find_model", lambda config, plan=plan: plan.model),
            patch("features.extraction.run.compile_model", lambda model, recipe, own=compiled: own),
        ):
            rows.append(_compared(f"repeat, {title}", arguments.rounds, _repeating(config)))
    if importlib.util.find_spec("openvino"):
        place = cache_folder() / "networks" / plan.recipe.network_digest
        rows.append(_compared("network from the cache", arguments.rounds, _reading(place)))
    return rows


def _repeating(config: ExtractConfig) -> Callable[[bool], None]:
    return lambda checks: features.extract(**vars(config) | {"trust_source": not checks}) and None


def _reading(place: Path) -> Callable[[bool], None]:
    core = openvino_engine.openvino.Core()

    def run(checks: bool) -> None:
        model = (
            openvino_engine._kept(core, place)
            if checks
            else core.read_model(place / openvino_engine._MODEL)
        )
        core.compile_model(model, "CPU")

    return run


def _compared(title: str, rounds: int, action: Callable[[bool], None]) -> dict[str, Any]:
    action(True)
    times: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
    for number in range(rounds):
        for checks in (True, False) if number % 2 else (False, True):
            begun = time.process_time()
            wall = seconds(lambda checks=checks: action(checks))
            times[checks].append((wall, time.process_time() - begun))
    return {"title": title, "with": times[True], "without": times[False]}


def _config(arguments: argparse.Namespace, source: Path, out: Path) -> ExtractConfig:
    return ExtractConfig(
        source, out, backbone=arguments.backbone, weights="none", progress=False, max_rejected=1.0
    )


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    cells = [row["title"]]
    for kind in (0, 1):
        checked, plain = (
            statistics.median(times[kind] for times in row[name]) for name in ("with", "without")
        )
        cells += [f"{checked:.3f} s", f"{plain:.3f} s", f"{100 * (checked / plain - 1):+.1f} %"]
    return tuple(cells)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backbone", default="mobilenetv2", metavar="NAME")
    parser.add_argument("--images", type=int, default=512, metavar="N")
    parser.add_argument("--rounds", type=int, default=5, metavar="N")
    parser.add_argument("--out", type=Path, metavar="FILE", help="a .json file to write")
    return parser.parse_args()


if __name__ == "__main__":
    main()
