"""`--json`: valid JSON on standard output alone, with keys that scripts can rely on."""

import dataclasses
import json
import math
from pathlib import Path

import pytest

from features.storage.store import FeatureFile
from pipeline.commands.console import as_json
from pipeline.commands.main import main
from pipeline.stages import backbones, doctor
from tests.pipeline.featurefiles import clusters, with_test_part, write_features


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("json")
    x, labels = clusters(160, spread=2.0)
    features = write_features(folder / "f.h5", x, labels, parts=with_test_part(160))
    code = main(["classify", str(features), "--out", str(folder / "results"), "--classifiers",
                 "ridge,nearest-centroid", "--no-tune", "--folds", "2", "--quiet"])  # fmt: skip
    assert code == 0
    return folder / "results"


def loaded(capsys, *arguments, code=0):
    capsys.readouterr()
    assert main([*map(str, arguments), "--json"]) == code
    return json.loads(
        capsys.readouterr().out, parse_constant=lambda name: pytest.fail(f"{name} is no JSON")
    )


def test_inspect(results, capsys):
    path = results.parent / "f.h5"
    facts = loaded(capsys, "inspect", path)
    assert set(facts) == {
        "path", "images", "facts", "layers", "splits", "classes", "columns", "rejected", "problems",
        "reading", "notes",
    }  # fmt: skip
    assert facts["path"] == str(path)
    assert facts["splits"] == ["train", "test"]
    assert facts["classes"][0] == {"class": "class 0", "images": {"train": 42, "test": 12}}
    assert facts["facts"]["backbone"] == "vgg16"
    assert set(facts["layers"][0]) == {"name", "shape", "pooling", "dtype"}


def test_inspect_what_has_changed(results, tmp_path, capsys):
    changed = tmp_path / "changed.h5"
    data = bytearray((results.parent / "f.h5").read_bytes())
    with FeatureFile(results.parent / "f.h5") as file:
        layer = file.layers[0]
        start = file._file[f"features/{layer}"].id.get_chunk_info(0).byte_offset
    data[start] ^= 1
    changed.write_bytes(data)
    (problem,) = loaded(capsys, "inspect", changed, code=1)["problems"]
    assert f"/features/{layer} has changed" in problem


def test_compare(results, tmp_path, capsys):
    page = tmp_path / "page.html"
    facts = loaded(capsys, "compare", results, "--resamples", 50, "--report", page)
    stored = json.loads((results / "comparison.json").read_text())
    assert facts.pop("report") == str(page)
    assert [Path(path).name for path in facts.pop("files")] == [
        "comparison.csv", "comparison.json"
    ]  # fmt: skip
    assert set(facts) == set(stored)
    assert facts["recommended"] in {row["candidate"] for row in facts["candidates"]}


def test_evaluate(results, capsys):
    facts = loaded(capsys, "evaluate", results, "--resamples", 50)
    assert facts["fresh"] is True
    assert facts["candidates_tested"] == len(facts["openings"]) == 1
    assert {"value", "low", "high"} == set(facts["metrics"]["accuracy"])
    again = loaded(capsys, "evaluate", results, "--resamples", 50)
    assert again.pop("fresh") is False
    assert facts.pop("fresh") and again == facts
    renewed = loaded(capsys, "evaluate", results)
    assert (renewed["fresh"], renewed["renewed"], renewed["resamples"]) == (False, True, 1000)


def test_backbones(capsys, cache):
    facts = loaded(capsys, "backbones")
    assert set(facts) == {"networks", "descriptors", "elsewhere"}
    (network,) = (each for each in facts["networks"] if each["name"] == "resnet50")
    assert network["features"] == 2048
    assert network["weights"] is None
    assert set(facts["elsewhere"]) == {"timm/NAME", "FILE.onnx, FILE.xml", "FILE.keras"}


def test_layers_of_a_backbone(capsys):
    facts = loaded(capsys, "backbones", "mobilenetv2", "--image-size", "32")
    assert facts["image_size"] == [32, 32]
    assert [layer["name"] for layer in facts["layers"]][-2:] == ["out_relu", "logits"]
    assert set(facts["layers"][-1]) == {
        "name", "shape", "pooled", "flattened", "receptive_field", "parameters", "macs"
    }  # fmt: skip


def test_classifiers(capsys):
    facts = loaded(capsys, "classifiers")
    by_name = {each["name"]: each for each in facts["classifiers"]}
    assert by_name["logistic"]["fallback_of"] is None
    assert by_name["rbf-svm-nystroem"]["fallback_of"] == "rbf-svm"
    assert len(by_name["logistic"]["space"]["C"]) == by_name["logistic"]["settings"]


def test_doctor(capsys, cache, monkeypatch):
    monkeypatch.setattr(doctor, "SECONDS", 0.01)
    facts = loaded(capsys, "doctor")
    assert facts["measured"] is None
    assert facts["machine"]["cores"] >= 1
    assert facts["machine"]["packages"]["numpy"]
    assert "never chosen by auto" in facts["machine"]["int8"]
    assert facts["machine"]["weights"]["weights"]
    measured = loaded(capsys, "doctor", "--measure", "colour")["measured"]
    assert measured["backbone"] == "colour"
    assert measured["rates"][0]["images_per_second"] > 0


def test_what_is_not_installed_is_said_with_what_brings_it(capsys, cache, monkeypatch):
    for module in (backbones, doctor):
        monkeypatch.setattr(module, "find_spec", lambda name: None)
    timm = loaded(capsys, "backbones")["elsewhere"]["timm/NAME"]
    assert timm.endswith('; `pip install "offshelf[timm]"` brings what it needs')
    int8 = loaded(capsys, "doctor")["machine"]["int8"]
    assert int8 == 'needs openvino and nncf; `pip install "offshelf[int8]"` brings them'


def test_weights(capsys, cache):
    facts = loaded(capsys, "weights", "list")
    assert Path(facts["folder"]) == cache / "weights"
    assert {each["status"] for each in facts["weights"]} == {"not fetched"}
    assert main(["weights", "verify", "--json"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "error: --json goes with `weights list`, not with `verify`\n"


def test_an_error_leaves_standard_output_empty(capsys, tmp_path):
    assert main(["inspect", str(tmp_path / "none.h5"), "--json"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")


def test_what_json_does_not_know_is_brought_into_form():
    @dataclasses.dataclass
    class Facts:
        path: Path
        numbers: tuple

    text = as_json({"facts": Facts(Path("a"), (1, math.nan, math.inf, 0.5)), 3: None})
    assert json.loads(text) == {
        "facts": {"path": "a", "numbers": [1, None, None, 0.5]},
        "3": None,
    }
