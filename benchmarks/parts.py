"""Ours: the whole, and each of its parts alone."""

import importlib.util
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from PIL import Image

import features
from benchmarks.images import jpegs
from benchmarks.jobs import Job, SkippedError
from benchmarks.timing import forward_rate, seconds
from features.config import ExtractConfig
from features.disk.locks import locked
from features.engines.base import Compiled
from features.extraction.loading import load
from features.extraction.planning import Plan, compile_model, plan_extraction
from features.extraction.shards import Shards, partial_folder, shard_images
from features.processes.cpus import available_cpus
from features.sources import open_source
from features.storage.checked import CheckedFile
from features.storage.row_blocks import Rows

LONGEST = 30  # seconds of one measurement; a slow engine gets fewer images


@dataclass(frozen=True)
class Parts:
    """What an extraction is made of, ready to run: the network is built, as for everybody else.

    Attributes:
        plan: the plan of the extraction.
        compiled: the network.
        out: the feature file that `extract` writes.
    """

    plan: Plan
    compiled: Compiled
    out: Path

    def forward(self, images: int) -> None:
        """Run the network alone, on as many images as there are whole batches of."""
        for _ in range(images // self.plan.config.batch_size):
            self.compiled.forward(self._pixels)

    @cached_property
    def _pixels(self) -> np.ndarray:
        shape = (self.plan.config.batch_size, *self.plan.given_size, 3)
        return np.random.default_rng(0).integers(0, 256, shape, np.uint8)

    def extract(self, limit: int) -> None:
        """Write a feature file of some images, from the first file opened to the last row."""
        self.out.unlink(missing_ok=True)
        options = vars(self.plan.config) | {"limit": limit}
        with (
            patch("features.extraction.planning.find_model", lambda config: self.plan.model),
            patch("features.extraction.run.compile_model", lambda model, recipe: self.compiled),
        ):
            features.extract(**options)


def prepared(job: Job) -> Parts:
    """Find the weights and build the network."""
    if importlib.util.find_spec(job.engine) is None:
        raise SkippedError(f"{job.engine} is not installed")
    config = _config(job, job.scratch / f"{job.backbone}-{job.engine}.h5")
    with open_source(config.source) as source:
        plan = plan_extraction(config, source)
    return Parts(plan, compile_model(plan.model, plan.recipe), config.out)


def ours(job: Job) -> dict[str, Any]:
    """Measure `features.extract` from files to feature file, and each of its parts beside it."""
    parts = prepared(job)
    before = forward_rate(lambda: parts.forward(job.batch), job.batch)
    images = min(job.full_batches, max(2, int(before * LONGEST) // job.batch) * job.batch)
    parts.extract(2 * job.batch)
    whole = images / seconds(lambda: parts.extract(images))
    after = forward_rate(lambda: parts.forward(job.batch), job.batch)
    return {
        "whole": whole, "forward": 2 / (1 / before + 1 / after), "loading": loading_rate(job),
        "writing": writing_rate(parts.out), "images": images,
        "precision": parts.plan.model.choice.precision,
    }  # fmt: skip


def writing_rate(path: Path) -> float:
    """Return rows/s of writing a feature file's rows once more, through shards as ever."""
    with CheckedFile(path) as file:
        rows, recipe, attributes = file.rows(), file.recipe, file.attributes
    own = {name: attributes[name] for name in ("class_names", "recipe", "recipe_digest")}
    copy = path.with_suffix(".copy.h5")
    row_bytes = sum(values[0].nbytes for values in rows.features.values())

    def write() -> None:
        images = shard_images(row_bytes, recipe.batch_size, len(rows.ids))
        shards = Shards(copy, recipe, len(rows.ids), images)
        shards.resume(restart=True)
        for start, stop in shards.ranges():
            shards.write(start, stop, _part(rows, slice(start, stop)))
        shards.assemble(copy, own)

    with locked(partial_folder(copy)):
        return len(rows.ids) / seconds(write)


def load_all(job: Job) -> None:
    """Read, decode and resize all images with all threads, and nothing else."""
    size = (job.size, job.size)
    with open_source(job.folder) as source:
        for _ in load(source, size, "stretch", "bilinear", job.batch, exact=False):
            pass


def loading_rate(job: Job) -> float:
    """Return images/s of `load_all`."""
    return job.images / seconds(lambda: load_all(job))


def decoding(job: Job) -> dict[str, Any]:
    """Measure loading alone, and Pillow in a plain loop beside it, in images/s."""

    def pillow() -> None:
        for path in jpegs(job.folder):
            image = Image.open(path).convert("RGB")
            np.asarray(image.resize((job.size, job.size), Image.Resampling.BILINEAR))

    seconds(pillow)  # so that the files are in the system's cache for both
    return {
        "loading": loading_rate(job), "pillow": job.images / seconds(pillow),
        "threads": available_cpus(), "images": job.images,
    }  # fmt: skip


def _config(job: Job, out: Path) -> ExtractConfig:
    return ExtractConfig(
        job.folder, out, backbone=job.backbone, weights=job.weights, engine=job.engine,
        image_size=(job.size, job.size), batch_size=job.batch, progress=False,
    )  # fmt: skip


def _part(rows: Rows, part: slice) -> Rows:
    layers = {name: values[part] for name, values in rows.features.items()}
    return Rows(
        layers, rows.ids[part], rows.digests[part], rows.labels[part], rows.splits[part], []
    )
