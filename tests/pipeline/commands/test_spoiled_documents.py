"""Whatever value stands in what we wrote, a command tells it in one line or does what is right."""

import copy
import json
import shutil
from pathlib import Path

import h5py
import pytest

from features.errors import DataError
from features.storage.hdf5 import put_attributes
from features.storage.store import FeatureFile
from pipeline.commands.main import main
from pipeline.results.records import read_record

OLD = Path(__file__).parents[2] / "data" / "version_0_2"
RIDGE, NETWORK = "vgg16.block5_pool.ridge", "scratch-lenet"
DEEP = "[" * 10**5
VALUES = (None, 7, -1, 2**70, 1.5, True, "text", [], [None], {}, {"a": [1]}, [[[[0]]]])
TEXTS = ("", "{", "null", "7", "[]", DEEP, '{"a":' * 10**5, "NaN", '{"schema": 1}', "\0")


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    """A copy of what version 0.2.0 left, with few candidates."""
    folder = tmp_path_factory.mktemp("spoiled") / "old"
    shutil.copytree(OLD, folder)
    for name in ("logistic", "nearest-centroid", "dummy"):
        shutil.rmtree(folder / "results" / f"vgg16.block5_pool.{name}")
    return folder


@pytest.fixture
def spoiled(old):
    """A function that writes into a file of that copy, which is brought back after the test."""
    before = {}

    def write(name, content):
        path = old / name
        before.setdefault(path, path.read_bytes())
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    yield write
    for path, content in before.items():
        path.write_bytes(content)


def told(capsys, *words):
    """Run a command that must fail; return the line that it prints on standard error."""
    assert main([str(word) for word in words]) == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert len(lines[0]) < 1000
    return lines[0]


def paths(values, prefix=()):
    """Yield the way to each value of a document; of lists, to the first alone."""
    items = values.items() if isinstance(values, dict) else enumerate(values[:1])
    for key, value in items:
        yield (*prefix, key)
        if isinstance(value, dict | list):
            yield from paths(value, (*prefix, key))


def changed(values, path, value):
    values = inner = copy.deepcopy(values)
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return values


@pytest.mark.parametrize("name", [RIDGE, NETWORK])
def test_each_value_of_a_record(old, spoiled, name):
    file = f"results/{name}/record.json"
    whole = json.loads((old / file).read_text())
    refused = 0
    for path in paths(whole):
        for value in VALUES:
            spoiled(file, json.dumps(changed(whole, path, value)))
            try:
                read_record(old / "results" / name).costs  # noqa: B018 - what tables read of it
            except DataError as error:
                refused += 1
                assert str(error).startswith(str(old / file)), (path, value)
                assert "\n" not in str(error)
    assert refused > 300


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("name", [f"{RIDGE}/record.json", "openings.json"])
def test_documents_that_are_none(old, spoiled, capsys, name, text):
    spoiled(f"results/{name}", text)
    command = "compare" if "record" in name else "evaluate"
    words = ["--candidate", RIDGE] if command == "evaluate" else []
    assert name in told(capsys, command, old / "results", *words)


@pytest.mark.parametrize("name", [f"{NETWORK}/history.json", "advice.json"])
@pytest.mark.parametrize("text", ["{", "7", DEEP, '{"schema": 1, "rounds": [{}], "layers": 5}'])
def test_documents_that_only_the_report_reads(old, spoiled, capsys, tmp_path, name, text):
    spoiled(f"results/{name}", text)
    assert name in told(capsys, "report", old / "results", "--out", tmp_path / "page.html")


def test_a_name_leads_nowhere_else(old, spoiled, capsys):
    file = f"results/{RIDGE}/record.json"
    whole = json.loads((old / file).read_text())
    for name in ("../elsewhere", "/tmp/elsewhere", NETWORK, "", ".", "a\0b"):
        spoiled(file, json.dumps(whole | {"name": name}))
        for words in (["compare"], ["evaluate", "--candidate", RIDGE]):
            line = told(capsys, words[0], old / "results", *words[1:])
            assert "expected that of its folder" in line


ATTRIBUTES = {
    "recipe": ("", "[]", "null", DEEP, "{}", '{"layers": 5}', '{"layers": ["block4_pool"]}'),
    "provenance": ("", "[]", "7", DEEP, '{"seconds": "x"}', '{"source": 5}', '{"reading": []}'),
    "class_names": ("", "{}", "7", DEEP, "[1]", '["cat", "cat", "cat"]', '["cat"]'),
    "notes": ("", "[]", "7", DEEP, '{"a": -1}', '{"a": "b"}'),
}


@pytest.mark.parametrize(
    ("name", "text"), [(name, text) for name, texts in ATTRIBUTES.items() for text in texts]
)
def test_attributes_of_a_feature_file(old, spoiled, name, text, capsys):
    path = spoiled("features.h5", (OLD / "features.h5").read_bytes())
    with h5py.File(path, "r+") as file:
        put_attributes(file, {name: text})
    if name == "notes":  # which no command shows
        with FeatureFile(path) as file, pytest.raises(DataError, match="its notes"):
            file.notes  # noqa: B018
    else:
        told(capsys, "inspect", path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda recipe: recipe.update(image_size=5), "image_size: expected `array`, got `int`"),
        (lambda recipe: recipe.update(image_size=[32, 0]), "image_size[1]: expected `int` >= 1"),
        (lambda recipe: recipe.update(scaling=[]), "scaling: expected `object`, got `array`"),
        (lambda recipe: recipe.update(source={"kind": "folder"}), "source: object missing"),
        (lambda recipe: recipe["source"].update(count=-1), "source.count: expected `int` >= 0"),
        (lambda recipe: recipe["weights"].update(sha256=None), "weights.sha256: expected `str`"),
        (lambda recipe: recipe.update(versions="2"), "versions: expected `object`, got `str`"),
        (lambda recipe: recipe.update(colours="many"), "'colours' is no field of a recipe"),
    ],
)
def test_values_of_a_recipe(old, spoiled, change, message, capsys):
    path = spoiled("features.h5", (OLD / "features.h5").read_bytes())
    with h5py.File(path, "r+") as file:
        recipe = json.loads(file.attrs["recipe"])
        change(recipe)
        put_attributes(file, {"recipe": json.dumps(recipe)})
    assert message in told(capsys, "inspect", path)
    assert message in told(capsys, "advise", path, "--out", old / "results")


@pytest.mark.parametrize(
    ("column", "code", "message"),
    [("label", -2, "-1 to 2"), ("label", 3, "-1 to 2"), ("split", 9, "0 to 3")],
)
def test_labels_and_splits_beyond_their_range(
    old, spoiled, column, code, message, capsys, tmp_path
):
    path = spoiled("features.h5", (OLD / "features.h5").read_bytes())
    with h5py.File(path, "r+") as file:
        file[f"images/{column}"][4] = code
    for words in (["inspect", path], ["map", path, "--out", tmp_path / "map.html"],
                  ["classify", path, "--out", tmp_path / "results"]):  # fmt: skip
        line = told(capsys, *words)
        assert f"/images/{column} holds {code} in row 4, expected {message}" in line
