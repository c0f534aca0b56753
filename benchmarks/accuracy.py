"""Are fast features the same features? Each engine and precision against float32 Keras.

    python -m benchmarks.accuracy              the 2,000 bundled CIFAR-10 images at 96 px
    python -m benchmarks.accuracy --reduced    JPEGs decoded at reduced scale against exactly

The reference is the network as keras.applications builds it, nothing folded, in `model.predict`
with float32, on the same real weights and pixels. Columns: the lowest and the mean cosine
similarity of an image's features to the reference's, and the test accuracy of a linear SVM on
them. The SVM is the judge in the end: a precision that costs it nothing costs nothing.

With `--reduced` both are extracted by the same engine, from generated JPEGs of 1000 x 750, for
a network that sees 160 px: at 224 px half their height is less than twice the size, and nothing
would be reduced. The photographs behind them are smaller than that, so that they hold less fine
detail than a camera's would; the figures are on the kind side.
"""

import argparse
import dataclasses
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

import features
from benchmarks.images import make_jpegs
from benchmarks.jobs import Job, measure
from features.backbones import catalog
from features.backbones.network import build, with_taps
from features.backbones.weights import resolve
from features.config import ENGINES, ExtractConfig
from features.engines import choose, use_keras_on
from features.engines.hardware import cpu_flags
from features.errors import DataError
from features.extraction.stream import load_batches
from features.records import Split
from features.sources import open_source
from features.storage.store import FeatureFile
from pipeline.classifiers import find
from pipeline.classifiers.base import Task
from pipeline.reports.tables import render
from pipeline.stages.demo import bundled_images

BACKBONES = ("vgg16", "resnet50")
REFERENCE = "Keras float32"
JPEG_SIZE, JPEGS, REDUCED_SIDE = (1000, 750), 200, 160


def main() -> None:
    arguments = _arguments()
    with tempfile.TemporaryDirectory(prefix="accuracy-") as scratch:
        if arguments.reduced:
            print(reduced(Path(scratch), arguments.backbones))
        else:
            print(engines(Path(scratch), arguments.backbones, arguments.images))


def engines(scratch: Path, backbones: list[str], images: int) -> str:
    """Return the table of every engine and precision that this machine can use."""
    rows: list[tuple] = []
    for name in backbones:
        start = Job(
            "accuracy.reference", bundled_images(), scratch, images, name, "imagenet", size=96
        )
        trouble = measure(start).get("skipped")
        if trouble:
            rows.append((name, REFERENCE, "", "", "", trouble))
            continue
        with np.load(scratch / f"{name}.npz") as arrays:
            known = dict(arrays)
        rows.append((name, REFERENCE, "1", "1", _accuracy(**known), ""))
        for engine, precision in usable():
            job = dataclasses.replace(
                start, function="accuracy.ours", engine=engine, precision=precision
            )
            trouble = measure(job).get("skipped", "")
            figures = ("", "", "") if trouble else _compared(_out(job), known)
            rows.append((name, f"{engine} {precision}", *figures, trouble))
    header = ("network", "features by", "lowest cosine", "mean cosine", "test accuracy", "note")
    return render(header, rows)


def usable() -> Iterator[tuple[str, str]]:
    """Yield the engines installed here, each with the precisions that the processor computes in."""
    fast = choose().precision
    half = ["float16"] if {"avx512_fp16", "amx_fp16"} & cpu_flags() else []
    for engine in ENGINES:
        if find_spec(engine) is not None:
            # Of the three only OpenVINO has float16 operations for processors.
            extra = half if engine == "openvino" else []
            for precision in dict.fromkeys(["float32", fast, *extra]):
                yield engine, precision


def reference(job: Job) -> dict[str, Any]:
    """Save the features that float32 Keras gives, with labels and splits, as one `.npz`."""
    use_keras_on("tensorflow")
    config, backbone = _config(job), catalog.find(job.backbone)
    size, layer = config.image_size or (backbone.size, backbone.size), backbone.output
    base, weights = build(backbone, size), resolve(backbone, config.weights)
    weights.load_into(base)
    model = with_taps(base, backbone, [layer], "avg", weights.scaling)
    with open_source(job.folder, job.images) as source:
        batches = load_batches(config, source, size)
        values = [model.predict(b.pixels, verbose=0)[layer][b.accepted] for b in batches]
        labels, splits = zip(*[(record.label, int(record.split)) for record in source], strict=True)
    np.savez(
        job.scratch / f"{job.backbone}.npz", values=np.concatenate(values), labels=labels,
        splits=splits,
    )  # fmt: skip
    return {}


def ours(job: Job) -> dict[str, Any]:
    """Extract by one engine in one precision."""
    features.extract(**vars(_config(job)))
    return {}


def reduced(scratch: Path, backbones: list[str]) -> str:
    """Return the table of features of JPEGs decoded at reduced scale against exact ones."""
    folder = make_jpegs(scratch / "jpegs", JPEGS, JPEG_SIZE)
    rows = []
    for name in backbones:
        found = []
        for exact in (True, False):
            out = scratch / f"{name}-{'exact' if exact else 'reduced'}.h5"
            features.extract(
                folder, out, backbone=name, exact_decode=exact, progress=False,
                image_size=(REDUCED_SIDE, REDUCED_SIDE),
            )  # fmt: skip
            with FeatureFile(out) as file:
                found.append(file.features().astype(np.float64))
        if np.array_equal(*found):
            raise DataError("both ways gave the very same features: no JPEG was reduced")
        cosines = _cosines(*found)
        rows.append((name, JPEGS, f"{cosines.min():.5f}", f"{cosines.mean():.5f}"))
    header = ("network", "JPEGs", "lowest cosine", "mean cosine")
    return render(header, rows)


def _config(job: Job) -> ExtractConfig:
    return ExtractConfig(
        job.folder, _out(job), backbone=job.backbone, weights=job.weights,
        engine=job.engine or "tensorflow", precision=job.precision, limit=job.images,
        image_size=(job.size, job.size), batch_size=job.batch, progress=False,
    )  # fmt: skip


def _out(job: Job) -> Path:
    return job.scratch / f"{job.backbone}-{job.engine}-{job.precision}.h5"


def _compared(path: Path, known: dict[str, np.ndarray]) -> tuple[str, str, str]:
    with FeatureFile(path) as file:
        values = file.features()
        cosines = _cosines(values.astype(np.float64), known["values"].astype(np.float64))
        accuracy = _accuracy(values, file.labels, file.splits)
    return f"{cosines.min():.6f}", f"{cosines.mean():.6f}", accuracy


def _accuracy(values: np.ndarray, labels: np.ndarray, splits: np.ndarray) -> str:
    """Return the suite's untuned linear SVM's accuracy on the test part, as the table shows it."""
    test, classifier = splits == Split.TEST, find("linear-svm")
    task = Task(int((~test).sum()), values.shape[1], len(np.unique(labels)), seed=0)
    model = classifier.build(task).set_params(**classifier.default)
    right = model.fit(values[~test], labels[~test]).score(values[test], labels[test])
    return f"{100 * right:.1f} %"


def _cosines(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Return the cosine of each pair of rows."""
    lengths = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    return (ours * theirs).sum(axis=1) / lengths


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m benchmarks.accuracy", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--backbones", nargs="+", default=BACKBONES, metavar="NAME")
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--reduced", action="store_true", help="compare JPEG decoding instead")
    return parser.parse_args()


if __name__ == "__main__":
    main()
