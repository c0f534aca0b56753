"""Fine-tuning as a candidate: which weights move, where the head starts, kill and resume."""

import dataclasses
import json
import time
from pathlib import Path

import numpy as np
import pytest

from features.config import ExtractConfig
from features.errors import UsageError
from features.extraction import run as extraction
from features.storage.store import FeatureFile
from pipeline.classifiers import storage as models
from pipeline.commands.main import main
from pipeline.config import ClassifyConfig, EvaluateConfig, FinetuneConfig
from pipeline.data.splits import Splits
from pipeline.networks import checkpoints, finetune_plan, own_head, pixels, storage, transfer
from pipeline.networks.data import TrainingData
from pipeline.networks.finetuning import FACTORS
from pipeline.networks.linear_head import find_head
from pipeline.networks.own_head import OwnHead
from pipeline.networks.train_stage import TrainStage
from pipeline.results import history
from pipeline.results.predictions import Predictions
from pipeline.results.records import read_record, write_record
from pipeline.stages import classify, evaluate, finetune
from tests.pipeline.networks.images import colours, write_arrays

NAME, LOGISTIC = "finetune-mobilenet", "mobilenet.conv_pw_13_relu.logistic"


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return write_arrays(tmp_path_factory.mktemp("source") / "c.npz", *colours(64, 32))


@pytest.fixture(scope="module")
def results(source, tmp_path_factory):
    """A folder with splits and a logistic regression on the backbone's features."""
    folder = tmp_path_factory.mktemp("classified")
    out = extraction.run(
        ExtractConfig(
            source, folder / "f.h5", "mobilenet", "none", image_size=(32, 32), engine="tensorflow",
            precision="float32", progress=False,
        )
    )  # fmt: skip
    config = ClassifyConfig((out,), folder / "results", ("logistic",), folds=2, progress=False)
    return Path(classify.run(config))


@pytest.fixture
def out(results, tmp_path):
    """A folder of one's own with the same splits."""
    (tmp_path / "out").mkdir()
    return Splits.read(results).write(tmp_path / "out").parent


@pytest.fixture(scope="module")
def tuned(source, results):
    """What a run with cached trunk, in two stages, leaves."""
    finetune.run(config(source, results))
    return results / NAME


def config(source, out, **changes):
    values = {
        "backbone": "mobilenet", "weights": "none", "image_size": (32, 32), "unfreeze": ("2",),
        "epochs": 2, "head_epochs": 2, "learning_rate": 1e-2, "batch_size": 16, "views": 0,
        "augment": ("none",), "precision": "float32", "engine": "tensorflow",
        "engine_precision": "float32", "progress": False, "head": "none",
    }  # fmt: skip
    return FinetuneConfig(source, out, **(values | changes))


def rounds(folder):
    """Return the epochs of each round by its name."""
    facts = json.loads((folder / history.FILE).read_text())
    return {each["name"]: each["epochs"] for each in facts["rounds"]}


def tuning(config, folder):
    folder.mkdir(exist_ok=True)
    return finetune_plan.prepare(config, pixels.read(config, folder, config.image_size), folder)


def test_it_leaves_what_every_candidate_leaves_and_is_evaluated(source, results, tuned):
    record, splits = read_record(tuned), Splits.read(results)
    assert (record.kind, record.title) == ("network", "MobileNet fine-tuned")
    assert record.splits == splits.digest == read_record(results / LOGISTIC).splits
    assert record.setting["cache"]["layer"] == "conv_pad_12"
    assert list(rounds(tuned)) == ["fold 1", "fold 2", "last fit"]
    stages = [epoch["stage"] for epoch in rounds(tuned)["fold 1"]]
    assert stages == ["head"] * 2 + ["conv_12"] * 2
    predictions = Predictions.read(tuned / "validation.parquet", record.class_names)
    assert predictions.ids == tuple(splits.ids[row] for row in splits.validated)
    assert not (results / ".networks").exists()
    assert evaluate.run(EvaluateConfig(results, NAME)).facts["images"] == 16


def test_its_seconds_are_wall_time_with_nothing_left_out(source, out):
    """Reading, the cached trunk, building and compiling take longer than the epochs here."""
    started = time.perf_counter()
    finetune.run(config(source, out, epochs=1, head_epochs=1))
    wall = time.perf_counter() - started
    record = read_record(out / NAME)
    seconds = record.seconds
    epochs = sum(epoch["seconds"] for each in rounds(out / NAME).values() for epoch in each)
    assert epochs < seconds["search"] + seconds["fit"] < wall
    assert seconds["search"] + seconds["fit"] > wall / 2
    assert seconds["fit"] < record.training < wall  # with the reading of images
    assert record.cost > seconds["predict_1000"]


def test_frozen_weights_and_all_batch_statistics_stay_as_they_were(source, results, tuned):
    record = read_record(tuned)
    network = storage.load(tuned, record.model)
    start = tuning(config(source, results), tuned.parent / "w")
    before = transfer.assemble(start.facts, start.weights)
    trained = {name for positions in start.unfrozen for position in positions
               for name in before.blocks[position].layers}  # fmt: skip
    assert "conv_pw_13" in trained
    after = network.get_layer("backbone")
    for layer in filter(lambda layer: layer.weights, before.base.layers):
        for old, new in zip(layer.weights, after.get_layer(layer.name).weights, strict=True):
            moved = bool((np.asarray(old) != np.asarray(new)).any())
            assert moved == (layer.name in trained and not layer.name.endswith("_bn")), old.path


def test_each_block_moves_as_far_as_its_rate_says(source, results, tmp_path):
    start = tuning(config(source, results, unfreeze=("1", "2")), tmp_path / "w")
    assert start.unfrozen == [(13,), (12,)]
    rest = start.images.splits.rest
    data = TrainingData(start.images.x, start.images.splits.labels, 3, rest, rest[:0])
    stage = TrainStage("both", 3, 1e-4, 16, "constant")
    before = transfer.assemble(start.facts, start.weights)
    trained = start.train(
        data, [dataclasses.replace(stage, name=name) for name in ("one", "both")], tmp_path, ""
    )
    moved = {}
    for layer in ("conv_pw_13", "conv_pw_12", "conv_pw_11"):
        new = trained.network.get_layer("backbone").get_layer(layer).get_weights()[0]
        moved[layer] = np.abs(new - before.base.get_layer(layer).get_weights()[0]).mean()
    # The first block was trained in two stages of equal length, the second in one.
    assert moved["conv_pw_12"] / (moved["conv_pw_13"] / 2) == pytest.approx(
        FACTORS[1] / FACTORS[0], rel=0.5
    )
    assert moved["conv_pw_11"] == 0


def test_a_cached_trunk_gives_what_the_uncached_run_gives(source, results, tuned, out):
    finetune.run(config(source, out, cache_trunk=False))
    record = read_record(out / NAME)
    assert record.setting["cache"] is None
    cached, uncached = (
        Predictions.read(folder / "validation.parquet", record.class_names).probabilities
        for folder in (tuned, out / NAME)
    )
    np.testing.assert_allclose(cached, uncached, atol=0.02)
    for name, epochs in rounds(tuned).items():
        for mine, theirs in zip(epochs, rounds(out / NAME)[name], strict=True):
            assert mine["loss"] == pytest.approx(theirs["loss"], rel=0.02)


def test_before_the_first_step_its_predictions_are_the_classifiers(source, results, tmp_path):
    start = tuning(config(source, results, head=LOGISTIC), tmp_path / "w")
    network = transfer.assemble(start.facts, start.weights)
    splits, record = start.images.splits, read_record(results / LOGISTIC)
    with FeatureFile(record.inputs["file"]) as file:
        x = file.features()
    network.set_head(*start.head.weights_from(splits.rest))
    logits = network.whole.predict_on_batch(start.images.x[:])
    model = models.load(results / LOGISTIC, record.model)
    np.testing.assert_allclose(softmax(logits), model.predict_proba(x), atol=1e-4)

    train, held = next(splits.rounds(1))
    kernel, bias = start.head.weights_from(train)  # a fit of its own, that has not seen `held`
    from pipeline.classifiers import find
    from pipeline.classifiers.base import Task

    model = find("logistic").build(Task(len(train), x.shape[1], 3, record.seed))
    model.set_params(**record.setting).fit(x[train], splits.labels[train])
    np.testing.assert_allclose(
        softmax(x[held] @ kernel + bias), model.predict_proba(x[held]), atol=1e-4
    )


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def test_with_a_head_from_a_classifier_no_stage_trains_it_alone(source, results):
    planned = config(source, results, head=LOGISTIC, name="lp-ft", restart=True)
    finetune.run(planned)
    assert {epoch["stage"] for epoch in rounds(results / "lp-ft")["fold 1"]} == {"conv_12"}
    assert read_record(results / "lp-ft").setting["head"] == read_record(results / LOGISTIC).key


def test_a_classifier_that_fits_is_where_the_head_starts(source, results, out, tmp_path, caplog):
    caplog.set_level("INFO", "offshelf")
    planned = config(source, results, head=None, name="other")
    assert tuning(planned, tmp_path / "w").head.folder == results / LOGISTIC
    assert f"the head starts from {LOGISTIC} (--head none" in caplog.text
    chosen = config(source, results, head=None, name="other", learning_rate=None, head_epochs=None)
    setting = finetune_plan.plan(chosen, tuning(chosen, tmp_path / "w")).setting
    assert (setting["learning_rate"], setting["head_epochs"]) == (1e-4, 0)
    random = dataclasses.replace(chosen, head="none")
    setting = finetune_plan.plan(random, tuning(random, tmp_path / "w")).setting
    assert (setting["learning_rate"], setting["head_epochs"]) == (1e-3, 10)
    assert tuning(config(source, results, name="other"), tmp_path / "w").head is None
    for other in (
        config(source, results, name="other", head=None, seed=1),
        config(source, results, name="other", head=None, image_size=(48, 48)),
        config(source, out, head=None),
    ):
        assert isinstance(tuning(other, tmp_path / "w").head, OwnHead)
    assert "the head starts from a logistic regression fitted on 48 images" in caplog.text


def test_a_head_of_its_own_is_what_classify_would_fit(source, results, out, tmp_path):
    """With the default setting, on the same images as the classifier's features."""
    from pipeline.classifiers import find
    from pipeline.classifiers.base import Task

    start = tuning(config(source, out, head=None), tmp_path / "w")
    splits = start.images.splits
    train, held = next(splits.rounds(1))
    kernel, bias = start.head.weights_from(train)
    with FeatureFile(read_record(results / LOGISTIC).inputs["file"]) as file:
        x = file.features()
    model = find("logistic").build(Task(len(train), x.shape[1], 3, 0))
    model.set_params(**find("logistic").default).fit(x[train], splits.labels[train])
    np.testing.assert_allclose(
        softmax(x[held] @ kernel + bias), model.predict_proba(x[held]), atol=1e-3
    )


def test_it_is_trained_without_a_stage_for_the_head_and_is_found_again(source, out, tmp_path):
    planned = config(source, out, head=None)
    finetune.run(planned)
    record = read_record(out / NAME)
    assert {epoch["stage"] for epoch in rounds(out / NAME)["fold 1"]} == {"conv_12"}
    assert record.setting["head"]["classifier"] == "logistic"
    finetune.run(planned)
    assert read_record(out / NAME) == record


def test_of_many_images_it_learns_from_some_of_every_class(source, out, tmp_path, monkeypatch):
    monkeypatch.setattr(own_head, "MOST", 12)
    start = tuning(config(source, out, head=None), tmp_path / "w")
    assert start.head.passes == 12
    labels = start.images.splits.labels[start.head._drawn]
    assert np.bincount(labels).tolist() == [4, 4, 4]


def test_a_finished_network_keeps_the_start_that_it_had(source, results, tuned, tmp_path):
    """A classifier that came later does not make the same command another one."""
    assert tuning(config(source, results, head=None), tmp_path / "w").head is None
    before = read_record(tuned).key
    finetune.run(config(source, results, head=None))
    assert read_record(tuned).key == before


def test_a_killed_run_ends_where_an_uninterrupted_one_does(source, tuned, out, monkeypatch):
    write, left = checkpoints.write, [3]

    def killed(*arguments):
        write(*arguments)
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt

    monkeypatch.setattr(checkpoints, "write", killed)
    with pytest.raises(KeyboardInterrupt):
        finetune.run(config(source, out))
    monkeypatch.setattr(checkpoints, "write", write)
    finetune.run(config(source, out))
    networks = [storage.load(folder, read_record(folder).model) for folder in (tuned, out / NAME)]
    for whole, resumed in zip(
        *(checkpoints.values(network.weights) for network in networks), strict=True
    ):
        np.testing.assert_array_equal(whole, resumed)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"unfreeze": ("conv_99",)}, "no block of mobilenet is called 'conv_99'; did you mean"),
        ({"head": "nothing"}, "--head nothing: no candidate of that name"),
        ({"head": LOGISTIC, "image_size": (48, 48)}, r"image size \[32, 32\], expected \[48, 48\]"),
        ({"head": LOGISTIC, "seed": 1}, "weights seed 0, expected seed 1"),
        ({"epochs": 0}, "epochs=0: expected a whole number of at least 1"),
        ({"views": -1}, "views=-1: expected a whole number of at least 0"),
    ],
)
def test_bad_settings_are_refused(source, results, changes, message):
    with pytest.raises(UsageError, match=message):
        finetune.run(config(source, results, name="other", **changes))


def test_a_head_for_other_classes_is_refused(source, results, tmp_path):
    record = read_record(results / LOGISTIC)
    changed = dataclasses.replace(record, name="head", class_names=("a", "b"))
    (tmp_path / "head").mkdir()
    write_record(tmp_path / "head", changed)
    from features.backbones.catalog import find

    with pytest.raises(UsageError, match="has classes a, b, expected ant, bee, cat"):
        find_head(
            str(tmp_path / "head"), results, Splits.read(results), find("mobilenet"), "seed 0", (32, 32)
        )  # fmt: skip


def test_the_command_takes_what_the_stage_takes(source, results, capsys):
    code = main([
        "finetune", str(source), "--out", str(results), "--backbone", "mobilenet", "--weights",
        "none", "--image-size", "32", "--unfreeze", "conv_9x", "--quiet",
    ])  # fmt: skip
    assert code == 2
    assert "did you mean conv_9" in capsys.readouterr().err
