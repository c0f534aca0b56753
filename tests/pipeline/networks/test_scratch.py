"""CNNs from scratch as candidates: same splits as classifiers, same table, same lock."""

import dataclasses
import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from features.errors import DataError, UsageError
from features.sources import open_source
from pipeline.commands.main import main
from pipeline.config import ClassifyConfig, CompareConfig, EvaluateConfig, ScratchConfig
from pipeline.data.splits import Splits
from pipeline.networks import checkpoints, scratch_plan, storage, training
from pipeline.networks.inference import probabilities
from pipeline.networks.pixels import Pixels
from pipeline.reports import ablation, comparison
from pipeline.results import history
from pipeline.results.ablation import Ablation
from pipeline.results.predictions import Predictions
from pipeline.results.records import read_record
from pipeline.stages import classify, compare, evaluate, scratch
from tests.features.pictures import encode
from tests.features.sources.builders import write_tar
from tests.pipeline.featurefiles import write_features
from tests.pipeline.networks.images import NAMES, colours, digits, split_codes, write_arrays

COUNT = 96


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return write_arrays(tmp_path_factory.mktemp("source") / "c.npz", *colours(COUNT))


@pytest.fixture(scope="module")
def results(source, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "results"
    return Path(scratch.run(config(source, out, refit=True)))


def config(source, out, **changes):
    values = {
        "architecture": "lenet", "epochs": 6, "learning_rate": 0.01, "batch_size": 16, "refit": False,
        "precision": "float32", "progress": False,
    }  # fmt: skip
    return ScratchConfig(source, out, **(values | changes))


def features(source, path):
    """Write a feature file of the same images, as `extract` names them."""
    x, labels = colours(COUNT)
    with open_source(source) as opened:
        ids = [record.id for record in opened]
    means = x.mean(axis=(1, 2)).astype(np.float32) / 20
    return write_features(
        path,
        means,
        labels.astype(np.int32),
        ids=ids,
        parts=split_codes(COUNT),
        class_names=list(NAMES),
    )


def test_it_leaves_what_every_candidate_leaves(results):
    record, splits = read_record(results / "scratch-lenet"), Splits.read(results)
    assert (record.kind, record.method) == ("network", "scratch-lenet")
    assert record.splits == splits.digest
    assert record.rows == len(splits.rest) == 72
    assert record.trials[0].score > 0.8
    assert record.inputs["image_size"] == [16, 16]
    assert record.model["network"]["scaling"]["mean"] != record.model["network"]["scaling"]
    assert {"offshelf", "keras"} <= set(record.versions)
    predictions = Predictions.read(results / "scratch-lenet" / "validation.parquet", NAMES)
    assert predictions.ids == tuple(splits.ids[row] for row in splits.validated)
    np.testing.assert_allclose(predictions.probabilities.sum(axis=1), 1, atol=1e-5)
    facts = json.loads((results / "scratch-lenet" / history.FILE).read_text())
    assert [each["name"] for each in facts["rounds"]] == ["held-out", "last fit"]
    assert {"epoch", "stage", "learning_rate", "loss", "accuracy", "val_loss", "val_accuracy",
            "seconds"} == set(facts["rounds"][0]["epochs"][0])  # fmt: skip
    assert not (results / ".networks").exists()


def test_what_libraries_warn_of_in_training_is_kept_and_marked(source, tmp_path, monkeypatch):
    def odd(*arguments):
        for _ in range(3):
            warnings.warn("the loss\njumps", RuntimeWarning, stacklevel=1)
            warnings.warn("old style", DeprecationWarning, stacklevel=1)
        return training.train(*arguments)

    monkeypatch.setattr(scratch_plan, "train", odd)
    folder = scratch.run(config(source, tmp_path / "r", epochs=1))
    assert read_record(Path(folder) / "scratch-lenet").warnings == (
        "RuntimeWarning: the loss jumps",
    )
    assert "RuntimeWarning" in comparison.text(compare.run(CompareConfig((tmp_path / "r",))))


def test_classifiers_and_networks_share_splits_table_and_lock(source, results, tmp_path):
    before = Splits.read(results).digest
    file = features(source, tmp_path / "f.h5")
    options = {"classifiers": ("nearest-centroid", "dummy"), "progress": False}
    classify.run(ClassifyConfig((file,), results, **options))
    assert Splits.read(results).digest == before
    result = compare.run(CompareConfig((results,)))
    assert {row["method"] for row in result.rows} == {"scratch-lenet", "nearest-centroid", "dummy"}
    assert "scratch-lenet" in comparison.text(result)
    for name in ("scratch-lenet", "vgg16.a.nearest-centroid"):
        result = evaluate.run(EvaluateConfig(results, name))
        assert result.fresh
        assert result.accuracy > 0.7
        assert result.facts["images"] == 24
    assert result.contenders == 2
    # What the others did to the folder, `classify --restart` leaves.
    classify.run(ClassifyConfig((file,), results, restart=True, **options))
    assert (results / "scratch-lenet" / "record.json").exists()
    with pytest.raises(UsageError, match="those of this command"):
        classify.run(ClassifyConfig((file,), results, restart=True, folds=2, **options))


def test_splits_that_classify_made_are_taken(source, tmp_path):
    file, out = features(source, tmp_path / "f.h5"), tmp_path / "results"
    classify.run(ClassifyConfig((file,), out, ("dummy",), folds=2, progress=False))
    scratch.run(config(source, out, epochs=1, refit=True))
    record = read_record(out / "scratch-lenet")
    assert record.splits == Splits.read(out).digest
    facts = json.loads((out / "scratch-lenet" / history.FILE).read_text())
    assert [each["name"] for each in facts["rounds"]] == ["fold 1", "fold 2", "last fit"]
    with pytest.raises(UsageError, match="with 2 folds"):
        scratch.run(config(source, out, name="other"))


def test_images_or_labels_that_differ_from_the_splits(source, results, tmp_path):
    x, labels = colours(COUNT)
    other = write_arrays(tmp_path / "other.npz", x, (labels + 1) % 3)
    with pytest.raises(DataError, match="in the splits of the results folder"):
        scratch.run(config(other, results, name="b"))
    fewer = write_arrays(tmp_path / "fewer.npz", x[:60], labels[:60])
    with pytest.raises(DataError, match="lacks .* of the 96 images that were split"):
        scratch.run(config(fewer, results, name="b"))
    with pytest.raises(UsageError, match="was made from other images or with other --folds"):
        scratch.run(config(source, results, folds=3, name="b"))


def test_what_is_finished_is_kept_and_other_settings_are_refused(source, results, monkeypatch):
    stamp = (results / "scratch-lenet" / "record.json").stat().st_mtime_ns
    monkeypatch.setattr(training._StageRun, "_train_epoch", None)
    scratch.run(config(source, results, refit=True))
    assert (results / "scratch-lenet" / "record.json").stat().st_mtime_ns == stamp
    with pytest.raises(UsageError, match=r"epochs: 6 -> 7.*--name"):
        scratch.run(config(source, results, refit=True, epochs=7))


def test_the_stored_network_is_the_trained_one(source, results):
    record = read_record(results / "scratch-lenet")
    network = storage.load(results / "scratch-lenet", record.model)
    x, labels = colours(COUNT)
    probs = probabilities(network, x, np.arange(COUNT))
    assert (probs.argmax(axis=1) == labels).mean() > 0.8
    changed = record.model | {"sha256": "0" * 64}
    with pytest.raises(DataError, match="has changed since it was written"):
        storage.load(results / "scratch-lenet", changed)
    other = record.model | {"network": record.model["network"] | {"classes": 4}}
    with pytest.raises(DataError, match="cannot be read as a network"):
        storage.load(results / "scratch-lenet", other)


def test_the_locked_images_are_looked_at_where_the_source_lies_now(source, tmp_path):
    moved = write_arrays(tmp_path / "c.npz", *colours(COUNT))
    out = Path(scratch.run(config(moved, tmp_path / "out", epochs=1)))
    moved.rename(tmp_path / "d.npz")
    with pytest.raises(DataError, match="say with --source where the images lie now"):
        evaluate.run(EvaluateConfig(out))
    x, labels = colours(COUNT)
    changed = write_arrays(tmp_path / "e.npz", x ^ 1, labels)
    with pytest.raises(DataError, match="locked away have changed"):
        evaluate.run(EvaluateConfig(out, source=changed))
    assert evaluate.run(EvaluateConfig(out, source=tmp_path / "d.npz")).fresh


def test_a_cut_source_fails_after_the_network_was_trained(tmp_path):
    pictures = {
        f"{('train', 'val', 'test')[number // 4 % 3]}/{NAMES[label]}/{number:02}.png": encode(
            Image.fromarray(image)
        )
        for number, (image, label) in enumerate(zip(*colours(COUNT), strict=True))
    }
    path, out = write_tar(tmp_path / "c.tar", pictures), tmp_path / "out"
    path.write_bytes(path.read_bytes()[: (COUNT - 1) * 1536 + 600])
    with pytest.raises(DataError, match="was cut, so images may be missing; those that it has"):
        scratch.run(config(path, out, epochs=1))
    assert read_record(out / "scratch-lenet").kind == "network"


def test_an_interrupted_run_goes_on_and_says_how(source, results, tmp_path, monkeypatch, caplog):
    save = training._StageRun._save

    def save_and_stop(run, finished):
        save(run, finished)
        if run._setup.title == "last fit":
            raise KeyboardInterrupt

    monkeypatch.setattr(training._StageRun, "_save", save_and_stop)
    with pytest.raises(KeyboardInterrupt):
        scratch.run(config(source, tmp_path / "out", refit=True))
    assert "the same command goes on from the last whole epoch" in caplog.text
    monkeypatch.setattr(training._StageRun, "_save", save)
    out = Path(scratch.run(config(source, tmp_path / "out", refit=True)))
    first, second = (
        storage.load(folder / "scratch-lenet", read_record(folder / "scratch-lenet").model)
        for folder in (results, out)
    )
    pairs = zip(*map(checkpoints.values, (first.weights, second.weights)), strict=True)
    for mine, theirs in pairs:
        np.testing.assert_array_equal(mine, theirs)


def test_lenet_reads_digits_and_the_network_that_validated_is_kept(tmp_path):
    source = write_arrays(tmp_path / "d.npz", *digits(240), names=("0", "1", "7"))
    arguments = ["scratch", str(source), "--out", str(tmp_path / "out"), "--architecture", "lenet"]
    options = ["--epochs", "10", "--batch-size", "16", "--learning-rate", "0.005", "--no-refit"]
    assert main([*arguments, *options, "--quiet"]) == 0
    record = read_record(tmp_path / "out" / "scratch-lenet")
    assert record.setting["augment"] == ["rotation", "zoom", "translation"]
    assert record.trials[0].score > 0.8
    assert record.rows == 120
    assert record.seconds["search"] == 0


def test_a_network_for_two_classes_gets_a_threshold_without_another_training(tmp_path):
    x, labels = colours(COUNT)
    two = write_arrays(tmp_path / "two.npz", x, np.minimum(labels, 1), names=NAMES[:2])
    given = config(two, tmp_path / "out", epochs=1, metric="macro_f1")
    before = read_record(Path(scratch.run(given)) / "scratch-lenet")
    scratch.run(dataclasses.replace(given, threshold=True))
    after = read_record(tmp_path / "out" / "scratch-lenet")
    assert (before.threshold, after.created) == ({}, before.created)
    assert (after.threshold["class"], after.threshold["metric"]) == ("ant", "macro_f1")
    assert dataclasses.replace(after, threshold={}) == before


def test_a_threshold_is_not_for_three_classes(source, tmp_path):
    with pytest.raises(UsageError, match="--threshold is between two classes, and here are 3"):
        scratch.run(config(source, tmp_path / "out", threshold=True))


def test_a_plan_resolves_what_is_left_to_images_and_hardware(source, results, tmp_path):
    images = Pixels(colours(COUNT)[0], Splits.read(results), {})
    automatic = scratch_plan.plan(config(source, tmp_path), images)
    assert automatic.setting["augment"] == ["flip", "translation"]
    plain = scratch_plan.plan(config(source, tmp_path, augment="none", precision="auto"), images)
    assert plain.setting["augment"] == []
    assert plain.setting["precision"] in ("float32", "mixed_bfloat16")
    assert plain.title == "LeNet-5 from scratch without augment"


def test_an_ablation_leaves_out_one_trick_after_the_other(source, tmp_path):
    variants = scratch_plan.variants(config(source, tmp_path, ablate=True))
    assert [scratch_plan.candidate_name(variant) for variant in variants] == [
        "scratch-lenet", "scratch-lenet.no-batchnorm", "scratch-lenet.no-dropout",
        "scratch-lenet.no-augment", "scratch-lenet.no-standardize", "scratch-lenet.plain",
    ]  # fmt: skip
    assert scratch_plan.setting(variants[1], 48)["batchnorm"] is False
    assert scratch_plan.setting(variants[3], 48)["augment"] == ["none"]
    assert scratch_plan.setting(variants[5], 48)["standardize"] is False


def test_the_table_of_an_ablation_holds_each_against_all_tricks(results):
    record = read_record(results / "scratch-lenet")
    plain = dataclasses.replace(record, name="scratch-lenet.plain")
    right = Predictions.read(results / record.name / "validation.parquet", NAMES)
    wrong = dataclasses.replace(right, labels=(right.labels + 1) % 3)
    (results / plain.name).mkdir()
    written = wrong.write(results / plain.name / "validation.parquet", NAMES)
    plain = dataclasses.replace(plain, predictions=written)
    table = Ablation([(), scratch_plan.TRICKS], [record, plain], results)
    table.write()
    lines = (results / "ablation.csv").read_text().splitlines()
    assert lines[1].startswith("nothing,scratch-lenet,")
    assert lines[2].startswith("batchnorm dropout augment standardize,scratch-lenet.plain,")
    first, second = table.rows
    assert first["change"] == 0
    assert second["change"] < -0.5
    assert second["p_value"] < 0.01
    assert f"{100 * second['change']:+.2f}" in ablation.text(table)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architecture": "lenett"}, "did you mean lenet"),
        ({"schedule": "cosin"}, "did you mean cosine"),
        ({"augment": ("flop",)}, "did you mean flip"),
        ({"epochs": 0}, "epochs=0: expected a whole number of at least 1"),
        ({"architecture": "vgg", "image_size": (8, 8)}, "at least 16 x 16 pixels"),
        ({"ablate": True, "dropout": False}, "give it no --no"),
        ({"metric": "acuracy"}, "did you mean accuracy"),
    ],
)
def test_bad_settings_are_refused(source, tmp_path, changes, message):
    with pytest.raises(UsageError, match=message):
        scratch.run(config(source, tmp_path / "out", **changes))
