"""Features that do not fit into memory: the same optimum by blocks, or a sample that is named."""

import logging
from contextlib import nullcontext

import numpy as np
import pytest

from features.errors import DataError, UsageError
from pipeline.classifiers import find
from pipeline.classifiers.base import Task
from pipeline.commands.main import main
from pipeline.config import ClassifyConfig, EvaluateConfig
from pipeline.data.images import read_images
from pipeline.data.layers import find_layers, stored_rows
from pipeline.data.splits import Splits
from pipeline.predictors import locked
from pipeline.results.predictions import VALIDATION, Predictions
from pipeline.results.records import candidates
from pipeline.search import fitting, memory, workspace
from pipeline.search.fitting import MeasureJob
from pipeline.search.memory import Memory
from pipeline.search.workspace import WORKSPACE
from pipeline.stages import classify
from tests.pipeline.featurefiles import LAYER, clusters, write_features

COUNT, WIDTH = 900, 12
EXACT = ("logistic", "linear-svm", "ridge", "lda", "nearest-centroid", "dummy")
NAMES = ("class 0", "class 1", "class 2")
SMALL = Memory(2**30, 32 * WIDTH * 300, True)  # for 300 rows where all of them are needed


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    x, labels = clusters(COUNT, WIDTH, spread=2.5)
    labels[::50] = -1  # so that the rows of the file are not those of the splits
    return write_features(tmp_path_factory.mktemp("blocks") / "f.h5", x, labels)


def config(file, out, *names, **changes):
    values = {"classifiers": names or EXACT, "progress": False, "folds": 2} | changes
    return ClassifyConfig((file,), out, **values)


@pytest.fixture(scope="module")
def both(file, tmp_path_factory):
    """Results of both ways, by the same classifiers."""
    folder = tmp_path_factory.mktemp("both")
    classify.run(config(file, folder / "memory"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(classify, "measure", lambda *arguments: SMALL)
        classify.run(config(file, folder / "blocks", *EXACT, "knn-cosine"))
    return folder / "memory", folder / "blocks"


@pytest.mark.parametrize("name", EXACT)
def test_blocks_give_what_memory_gives(both, name):
    here, there = (candidates(out)[f"vgg16.{LAYER}.{name}"] for out in both)
    assert here.setting == there.setting and here.rows == there.rows
    assert (here.memory, there.memory) == (0, SMALL.limit)
    assert here.key != there.key
    read = [Predictions.read(out / here.name / VALIDATION, NAMES) for out in both]
    assert read[0].ids == read[1].ids
    np.testing.assert_allclose(read[0].probabilities, read[1].probabilities, atol=0.02)
    right = [(one.repeats[0].argmax(axis=1) == one.labels).mean() for one in read]
    assert abs(right[0] - right[1]) <= 0.002


def test_what_cannot_learn_from_blocks_takes_a_sample_and_says_so(both):
    rest = len(Splits.read(both[1]).rest)
    (record,) = (one for one in candidates(both[1]).values() if one.requested == "knn-cosine")
    assert record.name == f"vgg16.{LAYER}.knn-cosine.300-images"
    assert record.reason == f"on 300 of {rest} images, as memory was short"
    assert record.title == "k nearest neighbours, cosine, 300 images" and record.rows == 300
    assert len(Predictions.read(both[1] / record.name / VALIDATION, NAMES).ids) == rest


def test_locked_images_that_do_not_fit_are_predicted_in_blocks(both, monkeypatch):
    record = candidates(both[0])[f"vgg16.{LAYER}.logistic"]
    settings, splits = EvaluateConfig(both[0], candidate=record.name), Splits.read(both[0])
    whole = locked.predict(settings, splits, record)
    monkeypatch.setattr(locked, "_HELD_WHOLE", 0)
    monkeypatch.setattr(locked, "features_of", None)  # which would hold all of them
    blocks = locked.predict(settings, splits, record)
    assert len(blocks.ids) == len(splits.test) and blocks.ids == whole.ids
    np.testing.assert_allclose(blocks.probabilities, whole.probabilities, atol=1e-6)


def test_no_copy_of_the_features_is_made(file, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(classify, "measure", lambda *arguments: SMALL)
    run = classify.CandidateRunner.run

    def looking(self, planned):
        seen.extend(path.name for path in (tmp_path / "out" / WORKSPACE).rglob("*.npy"))
        run(self, planned)

    monkeypatch.setattr(classify.CandidateRunner, "run", looking)
    classify.run(config(file, tmp_path / "out", "dummy"))
    assert not seen


@pytest.mark.parametrize("fails", [False, True])
def test_a_large_copy_of_the_features_is_announced_and_gone_in_the_end(
    file, tmp_path, monkeypatch, caplog, fails
):
    caplog.set_level(logging.INFO, "offshelf")
    monkeypatch.setattr(workspace, "_ANNOUNCED", 1000)
    folder, sizes = tmp_path / "out" / WORKSPACE, []
    run = classify.CandidateRunner.run

    def looking(self, planned):
        sizes.extend(path.stat().st_size for path in folder.rglob("*.npy"))
        if fails:
            raise DataError("no space left")
        run(self, planned)

    monkeypatch.setattr(classify.CandidateRunner, "run", looking)
    with pytest.raises(DataError) if fails else nullcontext():
        classify.run(config(file, tmp_path / "out", "dummy"))
    assert f"features lie in {folder} while candidates are fitted, 0.0 GB" in caplog.text
    assert len(sizes) == 1 and sizes[0] > 4 * WIDTH * 882
    assert not folder.exists()


def test_what_was_made_the_other_way_is_made_anew(file, tmp_path, monkeypatch, caplog):
    caplog.set_level(logging.INFO, "offshelf")
    with monkeypatch.context() as patch:
        patch.setattr(classify, "measure", lambda *arguments: SMALL)
        classify.run(config(file, tmp_path / "out", "ridge"))
        assert "882 images x 12 features are read in blocks" in caplog.text
        classify.run(config(file, tmp_path / "out", "ridge"))
        assert "1 of 1 candidates are finished already" in caplog.text
    classify.run(config(file, tmp_path / "out", "ridge"))
    assert "because of features that fit into memory now (--memory)" in caplog.text


def test_a_larger_memory_makes_a_larger_sample(file, tmp_path, monkeypatch):
    for bytes_of_rows, rows in ((300, 300), (310, 300), (600, 600)):
        sized = Memory(2**20 * bytes_of_rows, 32 * WIDTH * bytes_of_rows, True)
        monkeypatch.setattr(classify, "measure", lambda *arguments, sized=sized: sized)
        classify.run(config(file, tmp_path / "out", "knn-cosine"))
        (record,) = candidates(tmp_path / "out").values()
        assert abs(record.rows - rows) <= len(NAMES)  # each class is rounded by itself


@pytest.mark.parametrize(("most", "rows"), [(60, 60), (270, 100), (10**6, 300)])
def test_costs_are_measured_on_no_more_rows_than_memory_allows(both, file, monkeypatch, most, rows):
    monkeypatch.setattr(fitting, "SAMPLE", 100)
    matrix = stored_rows(find_layers(file, [])[0], read_images(file, None).rows)
    job = MeasureJob(find("ridge"), matrix, both[1], 0, 60.0, most)
    assert abs(fitting.measure(job, print).rows - rows) <= len(NAMES)


def test_what_learns_from_all_images_comes_before_what_takes_a_sample(
    file, tmp_path, monkeypatch, caplog
):
    caplog.set_level(logging.INFO, "offshelf")
    monkeypatch.setattr(classify, "measure", lambda *arguments: SMALL)
    classify.run(config(file, tmp_path / "out", "knn-cosine", "logistic", "dummy", budget=600.0))
    done = [line.split(":")[0] for line in caplog.messages if "on validation" in line]
    assert [name.split(".")[2] for name in done] == ["dummy", "logistic", "knn-cosine"]


def test_values_that_are_not_finite_are_found_before_any_fit(tmp_path, monkeypatch):
    x, labels = clusters(200)
    x[17, 3] = np.nan
    path = write_features(tmp_path / "f.h5", x, labels)
    monkeypatch.setattr(classify, "measure", lambda *arguments: SMALL)
    with pytest.raises(DataError, match=r"a of 00017.png in .* is not finite"):
        classify.run(config(path, tmp_path / "out", "dummy"))


def test_the_memory_decides(file, tmp_path, capsys, monkeypatch):
    splits = classify._splits(config(file, tmp_path), classify._read(config(file, tmp_path))[0])
    monkeypatch.setattr(memory, "free_bytes", lambda: 8 * 2**30)
    roomy = memory.measure(None, splits, [WIDTH], 9)
    assert roomy.limit == 4 * 2**30 and not roomy.by_blocks
    assert memory.measure(2**30, splits, [2**18], 9).by_blocks
    with pytest.raises(UsageError, match=r"--memory of 0.2G is too little for 882 images"):
        memory.measure(2**28, splits, [WIDTH], 9)
    assert main(["classify", str(file), "--out", str(tmp_path / "x"), "--memory", "lots"]) == 2
    assert "memory='lots': expected at least a megabyte, such as 500M or 4G" in (
        capsys.readouterr().err
    )
    assert config(file, tmp_path, memory="1.5G").memory == 3 * 2**29


def test_products_and_trees_count():
    sized, task = Memory(2**30, 2**28, True), Task(10**6, 512, 10, 0)
    assert sized.adapted(find("ridge"), 512).by_blocks
    assert not sized.adapted(find("ridge"), 8192).by_blocks
    assert sized.share(find("logistic"), task) == 1
    assert sized.rows(find("logistic"), task) == 2**28 // (32 * 512)
    assert Memory(2**30, 2**28, False).rows(find("logistic"), task) == task.rows
    assert sized.share(find("random-forest"), task) < sized.share(find("knn-cosine"), task) < 1
