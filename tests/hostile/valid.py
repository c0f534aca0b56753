"""Valid inputs of every kind, small; what is spoiled are copies of them."""

import contextlib
import io
from pathlib import Path

import numpy as np
import pandas
from PIL import Image

from features.backbones.catalog import SCALINGS
from features.backbones.stored import Weights, write_note
from pipeline.commands.main import main
from pipeline.data import duplicates
from pipeline.data.images import read_images
from pipeline.data.layers import features_of, find_layers
from pipeline.data.splits import Splits
from pipeline.results import left_out
from pipeline.results.trials import TriedSettings
from tests.features.pictures import encode
from tests.features.sources import builders
from tests.pipeline import candidates
from tests.pipeline.featurefiles import clusters, with_test_part, write_features

zipped = builders.BUILDERS["zip with manifest"][1]
tarred = builders.BUILDERS["tar"][1]
gzipped = builders.BUILDERS["tar.gz"][1]
shards, csv, parquet = builders.shard_folder, builders.csv_manifest, builders.parquet_manifest
hdf5, npz = builders.hdf5, builders.npz


def feature_file(folder: Path) -> None:
    x, labels = clusters(60)
    extra = {"patient": [f"P{number // 2}" for number in range(60)]}
    provenance = {"source": "photos", "created": "2026-01-01T00:00:00+00:00", "seconds": 1.0}
    write_features(
        folder / "in.h5", x, labels, parts=with_test_part(60), extra=extra, provenance=provenance
    )  # fmt: skip


def images(folder: Path) -> None:
    """An image of each format; JPEGs of several kinds."""
    chance = np.random.default_rng(0)
    picture = Image.fromarray(chance.integers(0, 256, (40, 56, 3), np.uint8))
    (folder / "images").mkdir()
    for name, options in {
        "baseline.jpg": {"quality": 80}, "progressive.jpg": {"progressive": True},
        "plain.png": {}, "plain.gif": {}, "plain.bmp": {}, "plain.tiff": {},
        "packed.tif": {"compression": "tiff_lzw"}, "lossy.webp": {},
        "lossless.webp": {"lossless": True}, "plain.ppm": {}, "plain.jp2": {}, "plain.avif": {},
    }.items():  # fmt: skip
        kind = {"jpg": "JPEG", "tif": "TIFF", "ppm": "PPM", "jp2": "JPEG2000"}
        suffix = name.partition(".")[2]
        content = encode(picture, kind.get(suffix, suffix.upper()), **options)
        (folder / "images" / name).write_bytes(content)


def results(folder: Path) -> None:
    """A results folder in which every command has been; and predictions of another tool."""
    out = candidates.results(folder)
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        for words in (
            ["compare", out, "--resamples", "50"],
            ["evaluate", out, "--resamples", "50", "--candidate", "vgg16.pool.logistic"],
            ["advise", folder / "features.h5", "--out", out],
        ):
            assert main([*map(str, words), "--quiet"]) == 0, said.getvalue()
    left_out.write(out, {"vgg16.pool.linear-svm": "there was no time for it"})
    splits, features = Splits.read(out), folder / "features.h5"
    images, (layer,) = read_images(features, None), find_layers(features, ())
    found = duplicates.find_duplicates(
        splits, images.digests, features_of(layer.facts(), images.ids)
    )
    duplicates.write(out, found)
    name = "vgg16.pool.nearest-centroid"
    predicted = np.zeros((2, len(splits.validated)), np.uint8)
    facts = TriedSettings(
        predicted,
        np.array([0.5, 0.4]),
        "accuracy",
        np.zeros((0, len(splits.validated)), np.float32),
    ).write(out / name)
    candidates.change(out, name, trials_file=facts)
    stored = pandas.read_parquet(out / "vgg16.pool.logistic" / "validation.parquet")
    stored.drop(columns="label").to_csv(folder / "table.csv", index=False)


def cache(folder: Path) -> None:
    """The cache with the weights of a backbone, as far as its note tells."""
    weights = folder / "cache" / "weights" / "mobilenetv2-keras.weights.h5"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"no weights")
    scaling = SCALINGS["tf"]
    write_note(Weights("mobilenetv2", "keras", "ab" * 32, scaling, weights, "free"), weights)
