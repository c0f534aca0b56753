"""A candidate carried away: it predicts the same, tells nobody's paths, and is refused if changed."""

import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.neighbors import KNeighborsClassifier

from features.config import ExtractConfig
from features.disk import sealed
from features.errors import DataError, UsageError
from features.extraction import run as extraction
from pipeline.commands.main import main
from pipeline.config import ClassifyConfig, PackConfig, PredictConfig
from pipeline.predictors import kit
from pipeline.predictors.of_images import image_predictor
from pipeline.predictors.probe import IMAGES, Probe, drawn_images
from pipeline.stages import classify, pack, predict
from tests.pipeline.networks.images import colours, write_arrays
from tests.pipeline.stages.test_predict import LOGISTIC

NOT_NEEDED = ("tensorflow", "keras", "jax", "openTSNE", "sklearnex")
OWN = "colour.histogram.mine"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Colour histograms of 120 images, and a results folder with two classifiers."""
    folder = tmp_path_factory.mktemp("home")
    source = write_arrays(folder / "c.npz", *colours(120))
    file = extraction.run(
        ExtractConfig(source, folder / "f.h5", "colour", image_size=(16, 16), progress=False)
    )
    suite = ("logistic", ("mine", KNeighborsClassifier(3)))
    classify.run(ClassifyConfig((file,), folder / "results", suite, folds=2, progress=False))
    return folder


@pytest.fixture(scope="module")
def packed(home):
    return pack.run(PackConfig(home / "results", home / "m.zip", LOGISTIC))


def predicted(place, home, out, **settings):
    settings = {"progress": False, "candidate": LOGISTIC} | settings
    return predict.run(PredictConfig(place, home / "c.npz", out, **settings)).path.read_bytes()


def test_a_pack_predicts_what_the_results_folder_does(home, packed, tmp_path):
    expected = predicted(home / "results", home, tmp_path / "a.csv")
    assert predicted(packed, home, tmp_path / "b.csv") == expected
    assert predicted(home / "results" / LOGISTIC, home, tmp_path / "c.csv", candidate="best") == (
        expected
    )


def test_it_needs_neither_the_results_nor_the_features_and_names_no_path(
    home, packed, tmp_path, caplog
):
    (tmp_path / "elsewhere").mkdir()
    moved = shutil.copy(packed, tmp_path / "elsewhere" / "m.zip")
    shutil.copy(home / "c.npz", tmp_path / "elsewhere")
    with zipfile.ZipFile(moved) as opened:
        for name in opened.namelist():
            assert str(home.parent).encode() not in opened.read(name), name
    with caplog.at_level("INFO", "offshelf"):
        predicted(moved, tmp_path / "elsewhere", tmp_path / "p.csv")
    assert "shown when it was packed differ by 0.0e+00 at most" in caplog.text
    assert "not marked" not in caplog.text


def test_it_is_written_again_the_same_but_for_its_time(home, packed, tmp_path):
    again = pack.run(PackConfig(home / "results", tmp_path / "m.zip", LOGISTIC))
    files = []
    for path in (packed, again):
        with zipfile.ZipFile(path) as opened:
            files.append(json.loads(opened.read(kit.NOTE))["files"])
    assert files[0] == files[1]


def test_an_estimator_of_ones_own_needs_trust_in_both_places(home, tmp_path):
    out = tmp_path / "own.zip"
    with pytest.raises(UsageError, match="--trust"):
        pack.run(PackConfig(home / "results", out, OWN))
    assert not out.exists()
    pack.run(PackConfig(home / "results", out, OWN, trust=True))
    with pytest.raises(UsageError, match="--trust"):
        predicted(out, home, tmp_path / "p.csv")
    assert predicted(out, home, tmp_path / "p.csv", trust=True) == predicted(
        home / "results", home, tmp_path / "q.csv", candidate=OWN, trust=True
    )


def rewritten(packed, path, change, name=None):
    """Write a pack anew, with the content of a file changed, or its note."""
    with zipfile.ZipFile(packed) as old, zipfile.ZipFile(path, "w") as new:
        for info in old.infolist():
            content = old.read(info)
            new.writestr(info, change(content) if info.filename == (name or kit.NOTE) else content)
    return path


def note_with(**changes):
    """Return a function that changes a note and seals it again."""

    def change(content):
        values = json.loads(content)
        values.pop("seal")
        return json.dumps(sealed.sealed(values | changes)).encode()

    return change


def flipped(content):
    return content[:-1] + bytes([content[-1] ^ 1])


@pytest.mark.parametrize("name", ["record.json", "model.skops", "evidence.npz", "probe.npz"])
def test_a_changed_file_is_named(packed, home, tmp_path, name):
    changed = rewritten(packed, tmp_path / "c.zip", flipped, f"{LOGISTIC}/{name}")
    with pytest.raises(DataError, match=f"{name} has changed since it was packed; pack"):
        predicted(changed, home, tmp_path / "p.csv")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (flipped, "pack.json"),
        (lambda content: content.replace(b'"schema": 1', b'"schema": 2'), "has changed since"),
        (note_with(schema=2), "its schema is 2, this version reads 1"),
        (note_with(candidate="../elsewhere"), "names no candidate that is in it"),
        (note_with(files={"../../evil": "0" * 64}), "names no candidate that is in it"),
        (note_with(files=[]), "files"),
        (note_with(candidate=None), "candidate"),
    ],
)
def test_a_changed_note_is_one_line(packed, home, tmp_path, change, match):
    changed = rewritten(packed, tmp_path / "c.zip", change)
    with pytest.raises(DataError, match=match):
        predicted(changed, home, tmp_path / "p.csv")


def test_no_file_is_written_outside(packed, home, tmp_path):
    with zipfile.ZipFile(packed) as opened:
        files = json.loads(opened.read(kit.NOTE))["files"]
    change = note_with(files=files | {"../evil.txt": "0" * 64})
    changed = rewritten(packed, tmp_path / "c.zip", change)
    with pytest.raises(DataError, match=r"'../evil.txt' leads out of it"):
        predicted(changed, home, tmp_path / "p.csv")


def test_a_pack_that_unfolds_is_refused(packed, home, tmp_path):
    with zipfile.ZipFile(packed) as old, zipfile.ZipFile(tmp_path / "c.zip", "w") as new:
        for info in old.infolist():
            new.writestr(info.filename, old.read(info), zipfile.ZIP_DEFLATED)
    with pytest.raises(DataError, match="is compressed, expected files as they are"):
        predicted(tmp_path / "c.zip", home, tmp_path / "p.csv")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"no pack at all"])
def test_what_is_no_pack_is_one_line(home, tmp_path, content, capsys):
    (tmp_path / "c.zip").write_bytes(content)
    assert main(["predict", str(tmp_path / "c.zip"), str(home / "c.npz"), "--quiet"]) == 1
    assert "c.zip cannot be read as a pack" in capsys.readouterr().err


def test_another_machine_that_makes_other_features_is_refused(packed, home, tmp_path, monkeypatch):
    monkeypatch.setattr(Probe, "difference", lambda self, vectors: 0.01)
    with pytest.raises(DataError, match=r"differ by 1.0e-02 at most, expected 1e-03.*the machine"):
        predicted(packed, home, tmp_path / "p.csv")


def test_the_drawn_images_are_the_same_everywhere_and_excite_all_colours():
    images = drawn_images(32, (24, 40))
    assert images.shape == (32, 24, 40, 3)
    assert (images[:IMAGES] == images[IMAGES : 2 * IMAGES]).all()
    assert images.std(axis=(1, 2)).min() > 10
    assert (
        images[0, 0, 0].tolist() == drawn_images(1, (24, 40))[0, 0, 0].tolist() == [206, 174, 138]
    )


def test_other_files_are_not_overwritten(home, tmp_path):
    (tmp_path / "mine.zip").write_bytes(b"mine")
    with pytest.raises(UsageError, match="was not made by `pack`"):
        pack.run(PackConfig(home / "results", tmp_path / "mine.zip", LOGISTIC))
    with pytest.raises(UsageError, match="expected a file ending in .zip"):
        PackConfig(home / "results", tmp_path / "m.tar")
    with pytest.raises(UsageError, match="--with-weights packs a network that openvino"):
        pack.run(PackConfig(home / "results", tmp_path / "m.zip", LOGISTIC, with_weights=True))


@pytest.fixture(scope="module")
def on_openvino(tmp_path_factory):
    """A pack with a small network, and images; all made with a cache that is gone by now."""
    folder = tmp_path_factory.mktemp("openvino")
    (folder / "images").mkdir()
    x, _ = colours(6, 32)
    for number, pixels in enumerate(x):
        Image.fromarray(pixels).save(folder / "images" / f"{number}.png")
    source = write_arrays(folder / "c.npz", *colours(48, 32))
    previous, cache = os.environ.get("OFFSHELF_CACHE"), folder / "cache"
    os.environ["OFFSHELF_CACHE"] = str(cache)
    try:
        file = extraction.run(
            ExtractConfig(
                source, folder / "f.h5", "mobilenet", "none", image_size=(32, 32),
                engine="openvino", precision="float32", progress=False,
            )
        )  # fmt: skip
        config = ClassifyConfig((file,), folder / "results", ("ridge",), folds=2, progress=False)
        classify.run(config)
        pack.run(PackConfig(folder / "results", folder / "m.zip", "best", with_weights=True))
        predicted(folder / "results", folder, folder / "then.csv", candidate="best")
    finally:
        os.environ["OFFSHELF_CACHE"] = previous or ""
        if previous is None:
            del os.environ["OFFSHELF_CACHE"]
    shutil.rmtree(cache)
    return folder


def test_the_packed_network_needs_neither_keras_nor_tensorflow(on_openvino, tmp_path):
    blocked = f"import sys; sys.modules |= dict.fromkeys({NOT_NEEDED})"
    arguments = ["predict", str(on_openvino / "m.zip"), str(on_openvino / "c.npz")]
    arguments += ["--out", str(tmp_path / "p.csv"), "--explain", str(tmp_path / "why")]
    code = f"{blocked}; from pipeline.commands.main import main; sys.exit(main({arguments!r}))"
    environment = os.environ | {"OFFSHELF_CACHE": str(tmp_path / "cache")}
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment
    )
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "p.csv").read_bytes() == (on_openvino / "then.csv").read_bytes()
    assert "fetching" not in result.stderr
    assert "pictures of the evidence" in result.stderr and "48 by occlusion" in result.stderr


def test_what_a_packed_network_needs_is_what_the_page_and_the_container_file_install():
    root = Path(__file__).parents[3]
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    needed, served = (
        {re.match(r"[\w-]+", line)[0] for line in lines}
        for lines in (project["dependencies"], project["optional-dependencies"]["serve"])
    )
    needed -= {"tensorflow", "keras", "openTSNE", "scikit-learn-intelex"}
    page = (root / "docs" / "predict.md").read_text()
    (listed,) = re.findall(r"pip install (filelock .*)", page)
    assert set(listed.split()) == needed
    lines = (root / "examples" / "Containerfile").read_text().replace("\\\n", " ")
    (listed,) = re.findall(r"--no-cache-dir (filelock .*)", lines)
    assert set(listed.split()) == needed | served


def test_the_packed_network_takes_batches_of_any_size(on_openvino):
    images = colours(4, 32)[0]
    with kit.open_kit(on_openvino / "m.zip", "best") as opened:
        one, four = (image_predictor(opened, batch_size=size) for size in (1, 4))
        assert (one.batch_size, four.batch_size) == (1, 4)
        by_one = np.concatenate([one.vectors(images[n : n + 1]) for n in range(4)])
        np.testing.assert_allclose(by_one, four.vectors(images), rtol=1e-3, atol=1e-6)


def test_another_engine_cannot_run_the_packed_network(on_openvino, tmp_path):
    with pytest.raises(UsageError, match="was converted for openvino"):
        predicted(on_openvino / "m.zip", on_openvino, tmp_path / "p.csv", engine="tensorflow")


def test_evidence_and_probe_that_are_none_are_one_line():
    for kind in (kit.Evidence, Probe):
        with pytest.raises(DataError, match="cannot be read"):
            kind.from_bytes(b"PK\x03\x04")
    probe = Probe(np.ones((8, 3), np.float32))
    with pytest.raises(DataError, match=r"shape \(4,\), and gave \(3,\)"):
        probe.difference(np.ones((8, 4)))
    assert probe.difference(np.ones((4, 3))) == 0, "a smaller batch shows fewer of the images"
    assert dataclasses.asdict(Probe.from_bytes(probe.to_bytes()))["vectors"].shape == (8, 3)
