"""The guess of `advise` on how far a task is from ImageNet, on tasks whose answer is known.

Photographs of things are near. Drawings, textures, codes in noise and solar cells are not: in
greyscale pictures of wafers a crack is the class, and whatever ImageNet's classes look like is not
in them. Sources of yours are judged, too: `--near` takes photographs, `--other` takes the rest.
"""

import argparse
import base64
import hashlib
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import features
from benchmarks.drawn_tasks import SIDE, TASKS, write, write_handwritten
from features.backbones.catalog import find
from features.disk import durable
from pipeline.advice.guidance import NEAR
from pipeline.config import AdviseConfig
from pipeline.reports.tables import render
from pipeline.results.advice import Findings, Probe, best
from pipeline.stages import advise

EXAMPLES = Path(__file__).parent.parent / "examples" / "cifar10-2000.zip"
HEADER = ("task", "backbone", "mean cosine", "shallowest %", "best before %", "deepest %", "guess",
          "")  # fmt: skip


def sources(folder: Path, count: int) -> dict[str, tuple[Path, bool]]:
    """Return the source of each task, and whether it is near ImageNet."""
    drawn = {
        task: (write(task, folder / f"{task.replace(' ', '-')}.npz", count), False)
        for task in TASKS
    }
    handwritten = write_handwritten(folder / "handwritten.npz")
    return {"CIFAR-10": (EXAMPLES, True), "handwritten digits": (handwritten, False), **drawn}


def findings(source: Path, backbone: str, path: Path, count: int, size: int) -> Findings:
    """Return what `advise` finds on features of the last four stages, written to a path."""
    layers = [name for name, _ in find(backbone).layers][-4:]
    features.extract(
        source, path, backbone=backbone, layers=layers, image_size=size, limit=count,
        progress=False,
    )  # fmt: skip
    return advise.run(AdviseConfig(path, folds=3, progress=False)).findings


def row(found: Findings) -> tuple[str, ...]:
    """Return what is shown of them."""
    accuracies = [probe.linear.accuracy for probe in found.probes]
    shown = (accuracies[0], best(found.probes[:-1]).linear.accuracy, accuracies[-1])
    return (f"{found.probes[-1].alike:.2f}", *(f"{100 * value:.1f}" for value in shown),
            found.distance.guess)  # fmt: skip


def evidence(probe: Probe) -> dict[str, Any]:
    """Return what the guess reads of a probe; which images it predicts right as bits."""
    hits = base64.b64encode(np.packbits(probe.hits).tobytes()).decode()
    return {
        "layer": probe.layer.name, "images": len(probe.hits), "hits": hits,
        "class_means": probe.means.accuracy, "chance": probe.chance,
        "mean_cosine": round(probe.alike, 4),
    }  # fmt: skip


def digest(source: Path) -> str:
    """Return the sha256 of a source that is one file."""
    return hashlib.sha256(source.read_bytes()).hexdigest()


def main() -> None:
    """Print the guesses, those that are wrong marked."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.distance", description=__doc__.partition("\n")[0]
    )
    option = parser.add_argument
    option("--near", nargs="*", type=Path, default=[], help="more sources, files, near ImageNet")
    option("--other", nargs="*", type=Path, default=[], help="more sources, not near")
    option("--images", type=int, default=200, help="images of each task, at most")
    option("--size", type=int, default=SIDE, help="height and width in pixels")
    option("--backbones", nargs="+", default=["resnet50", "vgg16"])
    option("--out", type=Path, help="a JSON file for what the guesses rest on")
    options = parser.parse_args()
    rows, stored = [], []
    with tempfile.TemporaryDirectory(prefix="distance-") as name:
        tasks = sources(Path(name), options.images)
        tasks |= {path.stem: (path, True) for path in options.near}
        tasks |= {path.stem: (path, False) for path in options.other}
        for number, (task, (source, near)) in enumerate(tasks.items()):
            for backbone in options.backbones:
                path = Path(name) / f"{number}-{backbone}.h5"
                found = findings(source, backbone, path, options.images, options.size)
                wrong = "" if (found.distance.guess == NEAR) == near else "wrong"
                rows.append((task, backbone, *row(found), wrong))
                stored.append(
                    {"task": task, "source": digest(source), "backbone": backbone, "near": near,
                     "size": options.size, "layers": [evidence(probe) for probe in found.probes]}
                )  # fmt: skip
    print(render(HEADER, rows))
    if options.out:
        durable.write(options.out, (json.dumps(stored, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
