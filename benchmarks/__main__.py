"""Images/s from JPEG files on disk to finished features: ours against what people write.

    python -m benchmarks                                   all of it, about an hour on two cores
    python -m benchmarks --backbones resnet50 --rounds 1   one network, once

What is compared, at 224 px and batch 32, each in a process of its own, several rounds in turn
with the median taken; building and tracing the network is nobody's time, all else counts:

    (a) keras.utils.image_dataset_from_directory, preprocess_input, model.predict, np.save
    (b) the tutorials' loop over single images with load_img and model.predict
    (c) PyTorch in eager mode, with a DataLoader
    (d) OpenVINO's compiled model on ready batches, nothing around it: the limit
    (e) features.extract with each engine

How to read the columns:

    images/s   from opening the first file to the finished output
    x (a)      that, as a multiple of (a)
    forward    images/s of the network alone on a ready batch
    of (d)     forward as a share of (d)
    allowed    1 / (1 / decode + 1 / forward), decode being images/s of decoding alone on all cores,
               measured in the same process: what both allow together where they share the cores
    reached    images/s as a share of allowed
    writing    share of the time that writing the same rows alone takes
    images     how many were measured; slow ones get fewer
"""

import argparse
import dataclasses
import json
import platform
import statistics
import tempfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks.images import make_jpegs
from benchmarks.jobs import Job, measure
from features.backbones.catalog import find
from features.backbones.weights import cached
from features.config import ENGINES
from features.engines import hardware
from features.processes.cpus import available_cpus
from pipeline.reports.tables import render

BACKBONES = ("resnet50", "vgg16", "mobilenetv2", "convnexttiny")
PRECISIONS = ("float32", "bfloat16")  # of PyTorch; emulated bfloat16 would take hours
PACKAGES = ("numpy", "pillow", "keras", "tensorflow", "jax", "openvino", "torch")
HEADER = ("network", "what", "images/s", "x (a)", "forward", "of (d)", "allowed", "reached",
          "writing", "images", "note")  # fmt: skip
DECODING, SCRIPT, LIMIT = "decoding alone", "(a) Keras script", "(d) OpenVINO's own"

Results = dict[tuple[str, str], dict[str, Any]]


def main() -> None:
    arguments = _arguments()
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as scratch:
        folder = make_jpegs(Path(scratch) / "jpegs", arguments.images)
        start = Job("", folder, Path(scratch), arguments.images, batch=arguments.batch_size)
        jobs = dict(_jobs(start, arguments.backbones, arguments.engines))
        results = _rounds(jobs, arguments.rounds)
    rows = _rows(results)
    facts = _facts(arguments, {job.backbone: job.weights for job in jobs.values() if job.backbone})
    print(render(HEADER, [_cells(row) for row in rows]))
    print("\n" + "\n".join(f"{name}: {value}" for name, value in facts.items()))
    if arguments.out:
        arguments.out.write_text(json.dumps({"facts": facts, "rows": rows}, indent=2) + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m benchmarks", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--backbones", nargs="+", default=BACKBONES, metavar="NAME")
    parser.add_argument(
        "--images", type=int, default=640, help="JPEG files; (a) gets a quarter, (b) a tenth"
    )
    parser.add_argument("--engines", nargs="+", default=ENGINES, choices=ENGINES)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--out", type=Path, help="JSON file for rows and facts")
    return parser.parse_args()


def _jobs(
    start: Job, backbones: list[str], engines: list[str]
) -> Iterator[tuple[tuple[str, str], Job]]:
    """Yield every measurement under its network and name, in the order of a round."""
    job = dataclasses.replace
    yield ("", DECODING), job(start, function="parts.decoding")
    for name in backbones:
        backbone = find(name)
        weights = "imagenet" if cached(backbone) else "none"
        own = job(start, backbone=backbone.name, weights=weights, size=backbone.size)
        few, fewer = start.images // 4, max(1, start.images // 10)
        yield (name, SCRIPT), job(own, function="competitors.keras_predict", images=few)
        yield (name, "(b) loop"), job(own, function="competitors.keras_loop", images=fewer)
        for precision in PRECISIONS if hardware.cpu_has_bfloat16() else PRECISIONS[:1]:
            torch = job(own, function="competitors.torch_eager", images=few, precision=precision)
            yield (name, f"(c) PyTorch {precision}"), torch
        yield (name, LIMIT), job(own, function="competitors.openvino_own")
        for engine in engines:
            yield (name, f"(e) ours, {engine}"), job(own, function="parts.ours", engine=engine)


def _rounds(jobs: dict[tuple[str, str], Job], rounds: int) -> Results:
    """Measure everything in turn, several times; return the medians."""
    from tqdm import tqdm

    found: dict[tuple[str, str], list[dict[str, Any]]] = {key: [] for key in jobs}
    with tqdm(total=rounds * len(jobs), unit="job", dynamic_ncols=True) as bar:
        for _ in range(rounds):
            for key, job in jobs.items():
                bar.set_postfix_str(" ".join(key))
                found[key].append(measure(job))
                bar.update()
    return {key: _median(figures) for key, figures in found.items()}


def _median(figures: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the median of every number; a competitor that failed once is left out."""
    for one in figures:
        if "skipped" in one:
            return one
    return {
        name: statistics.median(one[name] for one in figures) if isinstance(value, float) else value
        for name, value in figures[0].items()
    }


def _rows(results: Results) -> list[dict[str, Any]]:
    """Return one dict a row: figures, and every ratio derived from them."""
    decode = results["", DECODING]
    rows = [
        {"what": f"{DECODING}, {decode['threads']} threads", "images/s": decode["loading"]},
        {"what": f"{DECODING}, Pillow, 1 thread", "images/s": decode["pillow"]},
    ]
    for row in rows:
        row["images"] = decode["images"]
    for (network, what), found in results.items():
        if what != DECODING:
            script, limit = (results[network, name] for name in (SCRIPT, LIMIT))
            ratios = _ratios(found, script, limit)
            note = found.get("skipped") or found.get("precision", "")
            images = found.get("images", "")
            rows.append(
                {"network": network, "what": what, **ratios, "images": images, "note": note}
            )
    return rows


def _ratios(found: dict, script: dict, limit: dict) -> dict[str, float]:
    """Return what the columns of one row hold, as far as its figures go."""
    names = {"whole": "images/s", "forward": "forward"}
    values = {names[key]: value for key, value in found.items() if key in names}
    if "whole" in found and "whole" in script:
        values["x (a)"] = found["whole"] / script["whole"]
    if "forward" in found and "forward" in limit:
        values["of (d)"] = found["forward"] / limit["forward"]
    if "writing" in found:
        values["allowed"] = 1 / (1 / found["loading"] + 1 / found["forward"])
        values["reached"] = found["whole"] / values["allowed"]
        values["writing"] = found["whole"] / found["writing"]
    return values


def _cells(row: dict[str, Any]) -> list[str]:
    """Return a row's text; what it has no figure for stays empty."""
    formats = {"x (a)": "8.2f", "of (d)": "8.3f", "reached": "8.3f", "writing": "8.2%"}
    cells = []
    for name in HEADER:
        value = row.get(name, "")
        cells.append(format(value, formats.get(name, "8.1f")) if type(value) is float else value)
    return cells


def _facts(arguments: argparse.Namespace, weights: dict[str, str]) -> dict[str, Any]:
    """Return what the figures depend on."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "not installed"
    kinds = {name: "seeded random" if kind == "none" else kind for name, kind in weights.items()}
    return {
        "processor": f"{hardware.cpu_name()}, {available_cpus()} CPUs, "
        f"{'with' if hardware.cpu_has_bfloat16() else 'without'} bfloat16",
        "GPUs": ", ".join(hardware.gpu_names()) or "none",
        "platform": f"{platform.platform()}, Python {platform.python_version()}",
        "versions": ", ".join(f"{name} {number}" for name, number in versions.items()),
        "weights": ", ".join(f"{name} {kind}" for name, kind in kinds.items()),
        "images": f"{arguments.images} JPEG files of 500 x 375, quality 90, to the network's size "
        f"in batches of {arguments.batch_size}; median of {arguments.rounds} rounds",
    }


if __name__ == "__main__":
    main()
