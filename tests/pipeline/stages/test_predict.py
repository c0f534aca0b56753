"""New images: the probabilities of old, sets, marks; resumed after a kill; refused where unsure."""

import io
import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from features.config import ExtractConfig
from features.disk import durable
from features.errors import DataError, UsageError
from features.extraction import run as extraction
from features.extraction.watch import ENDED, NOTE
from features.records import Outcome
from pipeline.commands.main import main
from pipeline.config import ClassifyConfig, EvaluateConfig, PredictConfig, ScratchConfig
from pipeline.predictors import agreement, of_images, parts
from pipeline.predictors.judgement import Judge
from pipeline.results import submission
from pipeline.results.predictions import Predictions
from pipeline.results.records import read_record
from pipeline.stages import classify, evaluate, predict, scratch
from pipeline.statistics import calibration, conformal
from tests.features.faults import crashing
from tests.pipeline.candidates import change
from tests.pipeline.networks.images import NAMES, colours, write_arrays

LOGISTIC, CENTROID = (f"colour.histogram.{name}" for name in ("logistic", "nearest-centroid"))
NETWORK = "scratch-lenet"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A source of 240 images, its colour histograms, and a results folder with two classifiers."""
    folder = tmp_path_factory.mktemp("home")
    source = write_arrays(folder / "c.npz", *colours(240))
    file = extraction.run(
        ExtractConfig(source, folder / "f.h5", "colour", image_size=(16, 16), progress=False)
    )
    names = ("logistic", "nearest-centroid")
    config = ClassifyConfig((file,), folder / "results", names, folds=2, progress=False)
    classify.run(config)
    for name in (LOGISTIC, CENTROID):
        evaluate.run(EvaluateConfig(folder / "results", name, resamples=50))
    return folder


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """A results folder with a small network and its source."""
    folder = tmp_path_factory.mktemp("network")
    source = write_arrays(folder / "c.npz", *colours(96))
    scratch.run(
        ScratchConfig(
            source, folder / "results", architecture="lenet", epochs=2, batch_size=16, refit=False,
            precision="float32", progress=False,
        )
    )  # fmt: skip
    evaluate.run(EvaluateConfig(folder / "results", NETWORK, resamples=50))
    return folder


@pytest.fixture
def photos(tmp_path):
    """Files of images of the kind that was learned from; returns their paths."""
    x, _ = colours(6, seed=5)
    (tmp_path / "new").mkdir()
    for number, pixels in enumerate(x):
        Image.fromarray(pixels).save(tmp_path / "new" / f"{number}.png")
    return sorted((tmp_path / "new").iterdir())


def run(folder, images, out, candidate=LOGISTIC, **settings):
    settings = {"progress": False} | settings
    return predict.run(PredictConfig(folder / "results", images, out, candidate, **settings))


@pytest.mark.skipif(os.name == "nt", reason="has no such signals")
def test_an_image_at_which_an_earlier_run_crashed_is_a_problem(home, photos, tmp_path):
    crashing.spoil(photos[2])
    out = tmp_path / "predictions.csv"
    parts.partial_folder(out).mkdir()
    (parts.partial_folder(out) / f"images{NOTE}").write_bytes(bytes(photos[2]))
    with crashing.crashing():  # it would end this process, too
        run(home, photos, out)
    problems = pd.read_csv(out).set_index("id")["problem"].dropna()
    assert problems.to_dict() == {str(photos[2]): f"{ENDED} (SIGSEGV)"}
    assert not parts.partial_folder(out).exists()


def by_class(frame, names=NAMES):
    """Return the probabilities of a table with all classes, (n, K), by the order of names."""
    values = np.zeros((len(frame), len(names)))
    for rank in range(len(names)):
        ending = f"_{rank + 1}" * (rank > 0)
        columns = [names.index(name) for name in frame[f"class{ending}"]]
        values[np.arange(len(frame)), columns] = frame[f"probability{ending}"]
    return values


@pytest.mark.parametrize("candidate", [LOGISTIC, CENTROID, NETWORK])
def test_the_locked_images_get_the_probabilities_that_were_stored(
    home, network, candidate, tmp_path
):
    folder = network if candidate == NETWORK else home
    result = run(folder, folder / "c.npz", tmp_path / "p.parquet", candidate)
    frame = result.frame().set_index("id")
    record = read_record(folder / "results" / candidate)
    stored = Predictions.read(folder / "results" / candidate / "test.parquet", NAMES)
    expected = calibration.apply(stored.probabilities, record.temperature)
    np.testing.assert_allclose(by_class(frame.loc[list(stored.ids)]), expected, atol=1e-6)


def test_files_are_predicted_in_their_order_with_sets_and_marks(home, photos, tmp_path):
    (tmp_path / "new" / "odd.png").write_bytes(b"no image")
    odd = Image.new("RGB", (16, 16), (255, 255, 255))
    odd.save(tmp_path / "white.png")
    images = [*photos[::-1], tmp_path / "new" / "odd.png", tmp_path / "white.png"]
    result = run(home, images, tmp_path / "p.csv", top=2)
    frame = result.frame()
    assert frame["id"].tolist() == [str(path) for path in images]
    good = frame[:6]
    assert list(frame.columns[:5]) == ["id", "class", "probability", "class_2", "probability_2"]
    assert [
        name in members.split("|") for name, members in zip(good["class"], good["set"], strict=True)
    ] == ([True] * 6)
    assert not good["unlike"].astype(bool).any()
    assert frame["unlike"].tolist()[-1] in (True, "True")
    assert frame["class"].isna().tolist() == [False] * 6 + [True, False]
    assert "not a JPEG" in frame["problem"][6]
    facts = json.loads((tmp_path / "p.json").read_text())
    assert facts == result.facts
    assert (facts["unreadable"], facts["unlike"], facts["source"]["count"]) == (1, 1, 8)
    assert facts["recipe"]["backbone"] == "colour"


def test_csv_and_parquet_say_the_same(home, tmp_path):
    csv = run(home, home / "c.npz", tmp_path / "p.csv", limit=40).frame()
    parquet = run(home, home / "c.npz", tmp_path / "p.parquet", limit=40).frame()
    assert csv["class"].tolist() == parquet["class"].tolist()
    assert csv["set"].tolist() == ["|".join(members) for members in parquet["set"]]
    np.testing.assert_allclose(csv["probability"], parquet["probability"], rtol=1e-6)


def test_sets_hold_the_true_class_and_few_images_are_marked(home, tmp_path):
    x, labels = colours(600, seed=9)
    source = write_arrays(tmp_path / "more.npz", x, labels)
    frame = run(home, source, tmp_path / "p.parquet", coverage=0.9).frame()
    truth = [NAMES[label] for label in labels]
    covered = np.mean([name in members for name, members in zip(truth, frame["set"], strict=True)])
    assert covered > 0.87
    assert frame["unlike"].mean() < 0.06


def test_what_a_stopped_run_leaves_is_resumed(home, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(parts, "IMAGES", 64)
    whole = run(home, home / "c.npz", tmp_path / "whole.csv")
    write, written = parts.Parts.write, []

    def stop_at_the_third(self, start, table):
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(start)
        write(self, start, table)

    monkeypatch.setattr(parts.Parts, "write", stop_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        run(home, home / "c.npz", tmp_path / "p.csv")
    assert "128 of 240 images are kept" in caplog.text
    assert not (tmp_path / "p.csv").exists()
    monkeypatch.setattr(parts.Parts, "write", write)
    with pytest.raises(UsageError, match=r"unfinished run with other settings .*\(top 3, now 1\)"):
        run(home, home / "c.npz", tmp_path / "p.csv", top=1)
    key = tmp_path / "p.csv.partial" / "key.json"
    content = key.read_bytes()
    key.write_bytes(b"[null")
    with pytest.raises(UsageError, match=r"\(key.json cannot be read\)"):
        run(home, home / "c.npz", tmp_path / "p.csv")
    key.write_bytes(content)
    with caplog.at_level("INFO", "offshelf"):
        result = run(home, home / "c.npz", tmp_path / "p.csv")
    assert "resuming: 128 of 240" in caplog.text
    assert result.path.read_bytes() == whole.path.read_bytes()
    assert not list(tmp_path.glob("*.partial"))


def test_a_damaged_part_or_a_changed_image_is_predicted_again(home, photos, tmp_path, monkeypatch):
    monkeypatch.setattr(parts, "IMAGES", 1)
    monkeypatch.setattr(parts.Parts, "discard", lambda self: None)
    first = run(home, photos[0].parent, tmp_path / "p.csv").path.read_bytes()
    (part,) = tmp_path.glob("*.partial/000000000.parquet")
    data = bytearray(part.read_bytes())
    data[60] ^= 1
    part.write_bytes(data)
    assert run(home, photos[0].parent, tmp_path / "p.csv").path.read_bytes() == first
    size = photos[2].stat().st_size
    other = photos[2].read_bytes()[:-20] + photos[3].read_bytes()[-20:]  # the size stays
    photos[2].write_bytes(other)
    assert photos[2].stat().st_size == size
    again = run(home, photos[0].parent, tmp_path / "p.csv").path.read_bytes()
    changed = [a != b for a, b in zip(first.splitlines(), again.splitlines(), strict=True)]
    assert changed == [False] * 3 + [True] + [False] * 3


def test_paths_come_on_standard_input(home, photos, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{path}\n" for path in photos)))
    out = tmp_path / "p.csv"
    arguments = ["predict", str(home / "results"), "-", "--candidate", LOGISTIC, "--out", str(out)]
    assert main([*arguments, "--quiet"]) == 0
    shown = capsys.readouterr().out
    assert f"6 images by {LOGISTIC}" in shown
    assert "95% sure it is one of" in shown
    assert pd.read_csv(out)["id"].tolist() == [str(path) for path in photos]


def test_the_recommended_candidate_is_taken(home, photos, tmp_path):
    result = run(home, photos[0], tmp_path / "p.csv", "recommended")
    assert result.facts["candidate"] in (LOGISTIC, CENTROID)


@pytest.mark.parametrize(
    ("images", "match"),
    [
        (["missing.png"], "there is nothing at missing.png"),
        (["c.npz", "c.npz"], "c.npz is a source of many images; name it alone"),
    ],
)
def test_paths_that_are_no_images_are_refused(home, images, match, tmp_path, monkeypatch):
    monkeypatch.chdir(home)
    with pytest.raises(UsageError, match=match):
        run(home, images, tmp_path / "p.csv")


def test_bad_arguments_are_one_line(home, photos, tmp_path):
    with pytest.raises(UsageError, match="out='p.txt': expected a file ending in .csv or"):
        run(home, photos[0], Path("p.txt"))
    with pytest.raises(UsageError, match="no candidate is called"):
        run(home, photos[0], tmp_path / "p.csv", "best-of-all")
    (tmp_path / "mine.csv").write_text("my,table\n")
    with pytest.raises(UsageError, match="was not made by `predict`"):
        run(home, photos[0], tmp_path / "mine.csv")
    assert (tmp_path / "mine.csv").read_text() == "my,table\n"


def test_no_image_that_can_be_read_is_an_error_after_the_table(home, tmp_path):
    (tmp_path / "a.png").write_bytes(b"no image")
    with pytest.raises(DataError, match="no image could be read"):
        run(home, tmp_path / "a.png", tmp_path / "p.csv")
    assert "not a JPEG" in (tmp_path / "p.csv").read_text()


def test_other_weights_than_those_learned_from_are_refused_with_both_values(home, photos, tmp_path):
    record = read_record(home / "results" / LOGISTIC)
    recipe = record.inputs["recipe"] | {
        "weights": {"origin": "handcrafted", "sha256": "", "bins": [8, 4, 4]}
    }
    change(home / "results", LOGISTIC, inputs=record.inputs | {"recipe": recipe})
    try:
        with pytest.raises(DataError, match=r"weights was .*\[8, 4, 4\].* and is .*\[16, 4, 4\]"):
            run(home, photos[0], tmp_path / "p.csv")
    finally:
        change(home / "results", LOGISTIC, inputs=record.inputs)


@pytest.fixture
def older_library(home):
    """The candidate learned from features that another version of Pillow decoded."""
    record = read_record(home / "results" / LOGISTIC)
    recipe = record.inputs["recipe"]
    versions = recipe["versions"] | {"pillow": "1.0"}
    changed = record.inputs | {"recipe": recipe | {"versions": versions}}
    change(home / "results", LOGISTIC, inputs=changed)
    yield
    change(home / "results", LOGISTIC, inputs=record.inputs)


@pytest.mark.usefixtures("older_library")
def test_another_library_is_shown_to_make_the_same_features(home, photos, tmp_path, caplog):
    with caplog.at_level("INFO", "offshelf"):
        run(home, photos[0], tmp_path / "p.csv")
    assert "features of 8 images that were learned from differ by 0.0e+00 at most" in caplog.text
    assert "versions.pillow: 1.0 -> " in caplog.text


@pytest.mark.usefixtures("older_library")
def test_another_library_that_makes_other_features_is_refused(home, photos, tmp_path, monkeypatch):
    make = of_images.image_predictor

    def off(*rest, **settings):
        made = make(*rest, **settings)
        object.__setattr__(made, "vectors", lambda pixels, f=made.vectors: f(pixels) * 1.01)
        return made

    monkeypatch.setattr(predict, "image_predictor", off)
    with pytest.raises(DataError, match=r"differ by 1.0e-02 at most, expected 1e-03.*pillow: 1.0"):
        run(home, photos[0], tmp_path / "p.csv")


@pytest.mark.usefixtures("older_library")
def test_features_that_cannot_be_checked_are_said(home, photos, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(agreement, "open_source", lambda path: (_ for _ in ()).throw(
        UsageError("there is nothing at it")))  # fmt: skip
    run(home, photos[0], tmp_path / "p.csv")
    assert "could not be checked: there is nothing at it" in caplog.text


def test_without_the_features_nothing_is_marked_and_it_is_said(
    home, photos, tmp_path, caplog, monkeypatch
):
    monkeypatch.setattr(extraction, "run", None)
    os.rename(home / "f.h5", home / "moved.h5")
    try:
        result = run(home, photos[0], tmp_path / "p.csv")
        assert "are not marked: there is no" in caplog.text
        assert result.frame()["unlike"].isna().all()
        assert run(home, photos[0], tmp_path / "p.csv", features=home / "moved.h5").frame()[
            "unlike"
        ].tolist() == [False]
    finally:
        os.rename(home / "moved.h5", home / "f.h5")


def test_a_full_disk_keeps_what_was_there(home, photos, tmp_path, monkeypatch):
    out = run(home, photos[0], tmp_path / "p.csv").path
    before = out.read_bytes()

    def full(self, file, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(durable.Disk, "write", full)
    with pytest.raises(OSError, match="No space"):
        run(home, photos[1], tmp_path / "p.csv")
    assert out.read_bytes() == before


def sample(path, *lines):
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def test_a_submission_has_the_ids_of_the_sample_in_its_order(home, photos, tmp_path):
    folder, out = photos[0].parent, tmp_path / "p.csv"
    asked = sample(tmp_path / "s.csv", "id,cat,ant", "3,0,0", "0,0,0", "5.png,0,0")
    with pytest.raises(DataError, match=r"1 of the 3 ids in .* have no image, such as 5.png"):
        run(home, folder, out, submission=asked)
    asked = sample(tmp_path / "s.csv", "id,cat,ant", "3,0,0", "0,0,0", "5,0,0")
    run(home, folder, out, submission=asked)
    made = pd.read_csv(tmp_path / "p.submission.csv", dtype={"id": str})
    assert made.columns.tolist() == ["id", "cat", "ant"]
    assert made["id"].tolist() == ["3", "0", "5"]
    frame = pd.read_csv(out).set_index("id").loc[["3.png", "0.png", "5.png"]]
    expected = by_class(frame)[:, [NAMES.index("cat"), NAMES.index("ant")]]
    np.testing.assert_allclose(made[["cat", "ant"]], expected, rtol=1e-5)


def test_a_single_column_gets_the_class(home, photos, tmp_path):
    asked = sample(tmp_path / "s.csv", "file,label", "1.png,x", "0.png,x")
    run(home, photos[0].parent, tmp_path / "p.csv", submission=asked)
    made = pd.read_csv(tmp_path / "p.submission.csv")
    frame = pd.read_csv(tmp_path / "p.csv").set_index("id")
    assert made["label"].tolist() == frame.loc[["1.png", "0.png"], "class"].tolist()


def test_fractions_of_two_classes_ask_for_a_probability(tmp_path):
    path = sample(tmp_path / "s.csv", "id,label", "1,0.5")
    (value,) = submission.read_sample(path, ("cat", "dog")).values
    assert value({"cat": 0.75, "dog": 0.25}) == "0.25"


@pytest.mark.parametrize(
    ("lines", "match"),
    [
        (["id,cat,cow", "1,0,0"], "has the columns cat, cow beside its ids"),
        (["id"], "expected a header and rows of as many columns"),
        (["id,label", "1,2,3"], "expected a header and rows"),
        (["id", "1"], "has the columns none beside its ids"),
    ],
)
def test_a_sample_of_another_kind_is_refused(tmp_path, lines, match):
    with pytest.raises(DataError, match=match):
        submission.read_sample(sample(tmp_path / "s.csv", *lines), ("ant", "cat"))


def test_a_name_of_several_images_or_of_none_that_can_be_read_is_refused(home, photos, tmp_path):
    again = tmp_path / "again"
    again.mkdir()
    (again / "0.png").write_bytes(photos[0].read_bytes())
    (again / "bad.png").write_bytes(b"no image")
    asked = sample(tmp_path / "s.csv", "id,label", "0.png,x")
    with pytest.raises(DataError, match=r"0.png of .* is the name of several images"):
        run(home, [photos[0], again / "0.png"], tmp_path / "p.csv", submission=asked)
    asked = sample(tmp_path / "s.csv", "id,label", "bad,x")
    with pytest.raises(DataError, match=r"bad of .* could not be read: not a JPEG"):
        run(home, again, tmp_path / "q.csv", submission=asked)


def test_every_column_and_every_fact_is_documented(home, photos, tmp_path):
    page = (Path(__file__).parents[3] / "docs" / "predict.md").read_text()
    result = run(home, photos, tmp_path / "p.csv", top=2)
    assert not {name for name in result.frame() if f"`{name}`" not in page}


def test_a_threshold_decides_between_two_classes():
    thresholds = conformal.Thresholds(0.9, np.array([0.5, 0.5]), np.array([True, True]), 50)
    kept = {"class": "rare", "value": 0.2}
    judge = Judge(("common", "rare"), 2, thresholds, None, 0.02, kept)
    outcomes = [Outcome(number, bytes(16)) for number in range(2)]
    probabilities = np.array([[0.7, 0.3], [0.9, 0.1]], np.float32)
    table = judge.table(["a", "b"], outcomes, np.zeros((2, 3)), probabilities)
    assert table["class"].to_pylist() == ["rare", "common"]
    assert table["probability"].to_pylist() == pytest.approx([0.3, 0.9])
    assert table["class_2"].to_pylist() == ["common", "rare"]
    assert table["set"].to_pylist() == [["common", "rare"], ["common"]]
