"""Valid inputs of every kind, small; what is spoiled are copies of them."""

import contextlib
import io
import os
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import numpy as np
import pandas
import pillow_heif
from PIL import Image

from features.backbones.catalog import find
from features.backbones.stored import Weights, write_note
from features.backbones.timm_here import timm_here
from features.backbones.weights import _pinned
from features.extraction.consolidating import consolidate
from features.processes.quiet import keras_here
from pipeline.commands.main import main
from pipeline.config import ScratchConfig
from pipeline.data import duplicates
from pipeline.data.images import read_images
from pipeline.data.layers import features_of, find_layers
from pipeline.data.splits import Splits
from pipeline.networks import architectures, pixels, scratch_plan
from pipeline.networks.data import TrainingData
from pipeline.networks.pixels import Pixels
from pipeline.networks.plan import TrainedNetwork
from pipeline.networks.recording import write_candidate
from pipeline.networks.rounds import LAST_FIT, RoundsResult
from pipeline.networks.scratch_plan import ScratchTraining
from pipeline.results import history, left_out
from pipeline.results.known_images import KnownImages
from pipeline.results.trials import TriedSettings
from tests.features.backbones import own_networks
from tests.features.faults import stub
from tests.features.pictures import encode
from tests.features.sources import builders
from tests.hostile import programs
from tests.pipeline import candidates
from tests.pipeline.featurefiles import clusters, with_test_part, write_features
from tests.pipeline.networks.images import NAMES, colours, write_arrays

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


def in_shards(folder: Path) -> None:
    """A feature file as an index and six shards."""
    feature_file(folder)
    (folder / "in.h5").rename(folder / "single.h5")
    with patch("features.extraction.shards.SHARD_IMAGES", 10):
        consolidate(folder / "single.h5", folder / "in.h5", progress=False)
    (folder / "single.h5").unlink()


def images(folder: Path) -> None:
    """An image of each format; JPEGs of several kinds."""
    chance = np.random.default_rng(0)
    picture = Image.fromarray(chance.integers(0, 256, (40, 56, 3), np.uint8))
    (folder / "images").mkdir()
    pillow_heif.register_heif_opener()
    for name, options in {
        "baseline.jpg": {"quality": 80}, "progressive.jpg": {"progressive": True},
        "plain.png": {}, "plain.gif": {}, "plain.bmp": {}, "plain.tiff": {},
        "packed.tif": {"compression": "tiff_lzw"}, "lossy.webp": {},
        "lossless.webp": {"lossless": True}, "plain.ppm": {}, "plain.jp2": {}, "plain.avif": {}, "phone.heic": {},
    }.items():  # fmt: skip
        kind = {"jpg": "JPEG", "tif": "TIFF", "ppm": "PPM", "jp2": "JPEG2000", "heic": "HEIF"}
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
    stored.drop(columns="label").to_parquet(folder / "table.parquet")


def cache(folder: Path) -> None:
    """The cache with the weights of a backbone, as far as its note tells."""
    weights = folder / "cache" / "weights" / "mobilenetv2-keras.weights.h5"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"no weights")
    pinned = _pinned(find("mobilenetv2"), "keras")
    write_note(
        Weights("mobilenetv2", "keras", "ab" * 32, pinned.scaling, weights, pinned.licence), weights
    )


def _run(*commands: list[object]) -> None:
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        for words in commands:
            code = programs.run([*map(str, words)])
            assert code == 0, said.getvalue()


def _learned(folder: Path) -> list[list[object]]:
    """Write images, and return the commands that learn from them."""
    write_arrays(folder / "c.npz", *colours(60))
    (folder / "images").mkdir()
    for number, picture in enumerate(colours(3, seed=5)[0]):
        Image.fromarray(picture).save(folder / "images" / f"{number}.png")
    features, out = folder / "f.h5", folder / "results"
    return [
        ["extract", folder / "c.npz", "--out", features],
        ["classify", features, "--out", out, "--classifiers", "nearest-centroid", "--no-tune"],
    ]


def packed(folder: Path) -> None:
    """A results folder, a pack of its candidate, new images, a sample file, a request."""
    with stub.stubbed():
        _run(*_learned(folder), ["pack", folder / "results", "--out", folder / "m.zip"])
    rows = [f"{number}.png,{NAMES[0]}" for number in range(3)]
    (folder / "sample.csv").write_text("\n".join(["id,class", *rows, ""]))
    (folder / "photo.http").write_bytes(
        b"image/png\n\n" + (folder / "images" / "0.png").read_bytes()
    )
    (folder / "form.http").write_bytes(_form([(folder / "images" / "1.png").read_bytes()] * 2))


def _form(images: list[bytes]) -> bytes:
    head = b'Content-Disposition: form-data; name="image"; filename="photo.png"'
    parts = b"".join(b"--mark\r\n" + head + b"\r\n\r\n" + image + b"\r\n" for image in images)
    return b"multipart/form-data; boundary=mark\n\n" + parts + b"--mark--\r\n"


def unfinished(folder: Path) -> None:
    """A pack, and the parts of predictions that were not finished."""
    packed(folder)
    table = folder / "out.csv"
    with stub.stubbed(), patch("pipeline.predictors.parts.Parts.discard", lambda parts: None):
        _run(["predict", folder / "m.zip", folder / "images", "--out", table])
    for path in (table, table.with_suffix(".json")):
        path.unlink()


def converted(folder: Path) -> None:
    """A source, and a cache with a network that OpenVINO has converted."""
    write_arrays(folder / "c.npz", *colours(12))
    with patch.dict(os.environ, OFFSHELF_CACHE=str(folder / "cache")):
        _run(["openvino", "extract", folder / "c.npz", "--out", folder / "in.h5"])


def packed_network(folder: Path) -> None:
    """A pack with its converted network."""
    with patch.dict(os.environ, OFFSHELF_CACHE=str(folder / "cache")):
        commands = [["openvino", *words] for words in _learned(folder)]
        pack = ["pack", folder / "results", "--out", folder / "w.zip", "--with-weights"]
        _run(*commands, ["openvino", *pack])
    shutil.rmtree(folder / "cache")


def network(folder: Path) -> None:
    """A results folder with a small network that was not trained, and its source."""
    keras_here()
    source = write_arrays(folder / "c.npz", *colours(48))
    config = ScratchConfig(source, folder / "results", architecture="lenet", progress=False)
    (folder / "results").mkdir()
    with TemporaryDirectory() as scratch:
        images = pixels.read(config, Path(scratch))
        draft = folder / "results" / "scratch-lenet"
        draft.mkdir()
        _write_network(config, images, draft)


def _write_network(config: ScratchConfig, images: Pixels, draft: Path) -> None:
    plan = scratch_plan.plan(config, images)
    stage, validated = plan.stages[0], images.splits.validated
    facts = ScratchTraining(config, (), "float32")._facts(
        TrainingData(images.x, images.splits.labels, 3, images.splits.rest, validated)
    )
    made = architectures.build(facts)
    epoch = history.Epoch(1, stage.name, 1e-3, 1.0, 0.5, 1.0, 0.5, 1.0)
    rounds = (history.Round(LAST_FIT, history.History((epoch,))),)
    kept = TrainedNetwork(made, rounds[0].history, facts)
    likely = np.full((len(validated), 3), 1 / 3, np.float32)
    result = RoundsResult(likely, rounds, kept, 1.0, KnownImages.none())
    write_candidate(config, images, plan, "key", result, 2.0, (), draft)


def onnx_network(folder: Path) -> None:
    """A network in an ONNX file that says all of its pixels."""
    said = {"Image.BitmapPixelFormat": "Rgb8", "Image.NominalPixelRange": "Normalized_0_1"}
    own_networks.convolutional(folder / "net.onnx", metadata=said)


def openvino_network(folder: Path) -> None:
    """The same in OpenVINO's own format."""
    from features.engines.openvino_engine import openvino

    onnx_network(folder)
    openvino.save_model(openvino.Core().read_model(folder / "net.onnx"), folder / "net.xml")
    (folder / "net.onnx").unlink()


def keras_network(folder: Path) -> None:
    """A network in a Keras file, with a model within it."""
    keras = keras_here()
    layers, pixels = keras.layers, keras.Input((32, 32, 3))
    trunk = keras.Sequential([layers.Conv2D(4, 3, activation="relu"), layers.BatchNormalization()])
    mean = layers.GlobalAveragePooling2D()(trunk(layers.Rescaling(1 / 255)(pixels)))
    keras.Model(pixels, layers.Dense(3)(mean)).save(folder / "net.keras")


def torch_weights(folder: Path) -> None:
    """Weights of a small network of timm, in both formats."""
    import torch
    from safetensors.torch import save_file

    tensors = timm_here().create_model("test_resnet").state_dict()
    save_file(tensors, folder / "w.safetensors")
    torch.save(tensors, folder / "w.pth")
