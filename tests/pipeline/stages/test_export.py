"""A candidate as one file: what its own runtime predicts with nothing of ours, and what is refused."""

import importlib.util
import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from sklearn.ensemble import RandomForestClassifier
from sklearn.neighbors import KNeighborsClassifier

from features.config import ExtractConfig
from features.errors import DataError, MissingPackageError, UsageError
from features.extraction import run as extraction
from pipeline.api import export as export_candidate
from pipeline.commands.main import main
from pipeline.config import ClassifyConfig, ExportConfig, PackConfig, PredictConfig, ScratchConfig
from pipeline.results.records import read_record
from pipeline.stages import classify, export, pack, predict, scratch
from tests.pages import ROOT, blocks
from tests.pipeline.networks.images import NAMES, colours, write_arrays

LAYER = "mobilenet.conv_pw_13_relu"
LOGISTIC, FOREST, OWN = (f"{LAYER}.{name}" for name in ("logistic", "forest", "mine"))
NETWORK = "scratch-lenet"
OUTS = {"onnx": "m.onnx", "keras": "m.keras", "openvino": "model"}
SIZE = 32


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A results folder with classifiers on a random network, and a network trained from scratch."""
    folder = tmp_path_factory.mktemp("home")
    source = write_arrays(folder / "c.npz", *colours(64, SIZE))
    file = extraction.run(
        ExtractConfig(
            source, folder / "f.h5", "mobilenet", "none", image_size=(SIZE, SIZE),
            precision="float32", store="float16", progress=False,
        )
    )  # fmt: skip
    suite = (
        "logistic",
        ("forest", RandomForestClassifier(8, random_state=0)),
        ("mine", KNeighborsClassifier(3, weights=closeness)),
    )
    config = ClassifyConfig((file,), folder / "results", suite, folds=2, progress=False)
    classify.run(config)
    scratch.run(
        ScratchConfig(
            source, folder / "results", architecture="lenet", epochs=1, batch_size=16,
            precision="mixed_bfloat16", progress=False,
        )
    )  # fmt: skip
    return folder


def closeness(distances):
    return np.exp(-distances)


@pytest.fixture(scope="module")
def photos(home):
    folder = home / "new"
    folder.mkdir()
    x, _ = colours(5, SIZE, seed=5)
    for number, pixels in enumerate(x):
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return x


def predicted(home, photos, candidate, **settings):
    """Return the probabilities of `predict`, (n, K), in the order of the classes."""
    config = PredictConfig(
        home / "results", home / "new", home / "p.parquet", candidate, top=3, restart=True,
        progress=False, **settings,
    )  # fmt: skip
    frame = predict.run(config).frame().sort_values("id")
    values = np.zeros((len(frame), 3))
    for ending in ("", "_2", "_3"):
        places = [NAMES.index(name) for name in frame[f"class{ending}"]]
        values[np.arange(len(frame)), places] = frame[f"probability{ending}"]
    return values


CALLS = {
    "onnx": ("import onnx", "dict((p.key, p.value) for p in onnx.load(name).metadata_props)"),
    "keras": ("import zipfile", "json.loads(zipfile.ZipFile(name).read('offshelf.json'))"),
    "openvino": (
        "",
        "{k: v.astype(str) for k, v in openvino.Core().read_model(name + '/model.xml')"
        ".get_rt_info('offshelf').astype(dict).items()}",
    ),
}


def used(form, path, pixels, tmp_path):
    """Return what the example in a file's metadata makes of pixels, and that metadata.

    The process has none of our packages.
    """
    np.save(tmp_path / "pixels.npy", pixels)
    imports, facts = CALLS[form]
    first = {"keras": "import keras", "openvino": "import openvino"}.get(form, "")
    code = (
        f"import json, numpy as np\n{first}\n{imports}\nname = {path.name!r}\nfacts = {facts}\n"
        "pixels = np.load('pixels.npy')\nexec(facts['example'])\n"
        "np.save('made.npy', np.asarray(probabilities))\n"
        "import sys\nassert not {'features', 'pipeline'} & set(sys.modules)\n"
        "print(json.dumps(facts))"
    )
    result = subprocess.run(
        [sys.executable, "-P", "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr[-2000:]
    return np.load(tmp_path / "made.npy"), json.loads(result.stdout.splitlines()[-1])


@pytest.mark.parametrize("form", OUTS)
def test_a_file_predicts_what_the_candidate_does(form, home, photos, tmp_path, capsys):
    out = tmp_path / OUTS[form]
    arguments = ["export", str(home / "results"), "--candidate", LOGISTIC, "--out", str(out)]
    assert main(arguments) == 0
    shown = capsys.readouterr()
    assert shown.out == f"{out}\n"
    sides = "32, 32, 3), resized beforehand" if form == "keras" else "height, width, 3) of any size"
    assert f"{out} takes pixels: RGB uint8 (n, {sides}" in shown.err
    assert "differ from `predict`'s by" in shown.err
    made, facts = used(form, out, photos, tmp_path)
    np.testing.assert_allclose(made, predicted(home, photos, LOGISTIC), atol=1e-4)
    record = read_record(home / "results" / LOGISTIC)
    assert json.loads(facts["class_names"]) == list(NAMES)
    assert float(facts["temperature"]) == record.temperature
    assert json.loads(facts["recipe"]) == json.loads(json.dumps(record.inputs["recipe"]))
    assert facts["recipe_digest"] == record.inputs["recipe_digest"]
    assert facts["model_sha256"] == record.model["sha256"]
    assert str(home) not in json.dumps(facts)
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []


def test_a_network_computes_in_float32_there(home, photos, tmp_path, caplog):
    out = tmp_path / "m.onnx"
    with caplog.at_level("INFO", "offshelf"):
        export.run(ExportConfig(home / "results", out, NETWORK))
    assert f"{NETWORK} computes in mixed_bfloat16, what is exported in float32" in caplog.text
    made, _ = used("onnx", out, photos, tmp_path)
    np.testing.assert_allclose(made, predicted(home, photos, NETWORK), atol=0.02)


def test_trees_go_into_onnx_alone(home, photos, tmp_path):
    export.run(ExportConfig(home / "results", tmp_path / "m.onnx", FOREST, trust=True))
    made, _ = used("onnx", tmp_path / "m.onnx", photos, tmp_path)
    np.testing.assert_allclose(made, predicted(home, photos, FOREST, trust=True), atol=1e-3)
    for name in ("m.keras", "model"):
        with pytest.raises(UsageError, match="no operators for a RandomForest.*ending in .onnx"):
            export.run(ExportConfig(home / "results", tmp_path / name, FOREST, trust=True))


def test_what_differs_is_not_written(home, tmp_path):
    """skl2onnx takes neighbours that are weighted by a function for others."""
    with pytest.raises(UsageError, match="--trust"):
        export.run(ExportConfig(home / "results", tmp_path / "m.onnx", OWN))
    with pytest.raises((DataError, UsageError), match=r"nothing was written|no format can hold"):
        export.run(ExportConfig(home / "results", tmp_path / "m.onnx", OWN, trust=True))
    assert not list(tmp_path.iterdir())


def test_a_pack_can_be_exported(home, photos, tmp_path):
    packed = pack.run(PackConfig(home / "results", tmp_path / "m.zip", LOGISTIC))
    out = export_candidate(packed, tmp_path / "m.onnx")
    made, _ = used("onnx", out, photos, tmp_path)
    np.testing.assert_allclose(made, predicted(home, photos, LOGISTIC), atol=1e-4)


@pytest.mark.parametrize("form", OUTS)
def test_what_was_exported_is_replaced_and_nothing_else(form, home, tmp_path):
    out, mine = tmp_path / OUTS[form], tmp_path / f"mine.{OUTS[form]}"
    for _ in range(2):
        export.run(ExportConfig(home / "results", out, NETWORK))
    mine = mine if mine.suffix != ".model" else tmp_path / "mine"
    if form == "openvino":
        mine.mkdir()
        (mine / "letter.txt").write_text("kept")
    else:
        mine.write_text("kept")
    with pytest.raises(UsageError, match="was not made by `export`; choose another --out"):
        export.run(ExportConfig(home / "results", mine, NETWORK))
    assert "kept" in (mine / "letter.txt" if mine.is_dir() else mine).read_text()


@pytest.mark.parametrize("out", ["m.pb", "m.h5", "model.tflite", ".."])
def test_an_unknown_ending_is_refused(out, home, tmp_path, capsys):
    arguments = ["export", str(home / "results"), "--out", str(tmp_path / out)]
    assert main(arguments) == 2
    assert "expected a file ending in .onnx or .keras, or a folder" in capsys.readouterr().err


def test_bad_candidates_are_one_line(home, tmp_path, capsys):
    arguments = ["export", str(home / "results"), "--out", str(tmp_path / "m.onnx")]
    assert main([*arguments, "--candidate", "logistik"]) == 2
    assert "no candidate is called 'logistik'" in capsys.readouterr().err
    model = home / "results" / LOGISTIC / "model.skops"
    content = model.read_bytes()
    for change, told in ((lambda: model.write_bytes(content + b"x"), "has changed since"),
                         (model.unlink, "there is no ")):  # fmt: skip
        change()
        try:
            assert main([*arguments, "--candidate", LOGISTIC]) == 1
        finally:
            model.write_bytes(content)
        error = capsys.readouterr().err
        assert told in error and "Traceback" not in error
    assert not list(tmp_path.iterdir())


def test_a_missing_package_is_named_before_any_work(home, tmp_path, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        export, "find_spec", lambda name: None if name == "skl2onnx" else find(name)
    )
    with pytest.raises(MissingPackageError, match=r'pip install "offshelf\[export\]"'):
        export.run(ExportConfig(home / "results", tmp_path / "m.onnx", LOGISTIC))


def test_features_that_no_network_makes_go_into_no_file(home, tmp_path):
    file = extraction.run(
        ExtractConfig(
            home / "c.npz", tmp_path / "f.h5", "colour", image_size=(16, 16), progress=False
        )
    )
    results = classify.run(
        ClassifyConfig((file,), tmp_path / "results", ("nearest-centroid",), progress=False)
    )
    with pytest.raises(
        UsageError, match="features that no network of Keras makes.*`pack` carries it"
    ):
        export.run(ExportConfig(results, tmp_path / "m.onnx", "best"))


def test_the_page_shows_how_a_file_is_used(home, photos, tmp_path):
    export.run(ExportConfig(home / "results", tmp_path / "model.onnx", LOGISTIC))
    Image.fromarray(photos[0]).save(tmp_path / "photo.jpg", quality=95)
    (block,) = (
        block for block in blocks(ROOT / "docs" / "export.md") if block.language == "python"
    )
    result = subprocess.run(
        [sys.executable, "-P", "-c", block.text], cwd=tmp_path, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    name, probability = result.stdout.split()
    config = PredictConfig(
        home / "results", tmp_path / "photo.jpg", tmp_path / "p.csv", LOGISTIC, progress=False
    )
    expected = predict.run(config).frame().iloc[0]
    assert name == expected["class"]
    assert abs(float(probability) - expected["probability"]) < 0.02  # the decoders' rounding
