"""Advice on synthetic features whose answer is known, and that it never sees the locked test."""

import json
import re
import shlex

import numpy as np
import pytest

import features
from benchmarks import distance as benchmark
from benchmarks import drawn_tasks
from features.config import ExtractConfig
from features.errors import DataError, UsageError
from features.records import Split, blake2b
from features.storage.row_blocks import Rows
from pipeline.advice import powerlaw
from pipeline.commands.main import main, parser
from pipeline.config import AdviseConfig, ClassifyConfig
from pipeline.data.splits import Splits
from pipeline.reports.advice import text
from pipeline.results.learning_curve import CurvePoint, Score
from pipeline.stages import advise, classify
from pipeline.stages.demo import bundled_images
from tests.features.examples import attributes, recipe, write
from tests.pipeline.featurefiles import with_test_part

MIDDLE, DEEPEST = "conv4_block6_out", "conv5_block3_out"
KERAS = {"origin": "keras", "sha256": "a" * 64}


def features_file(
    path, layers, labels, parts=None, source="photos", seconds=None, options=None, **changes
):
    """Write a feature file of ResNet50 (unless changed) with the given layers, shallow to deep."""
    count = len(labels)
    ids = [f"{number:06d}.png" for number in range(count)]
    digests = np.stack([np.frombuffer(blake2b(image.encode()), np.uint8) for image in ids])
    settings = {
        "backbone": "resnet50", "weights": KERAS, "layers": tuple(layers),
        "source": {"kind": "folder", "count": count, "fingerprint": "f"}, "image_size": (224, 224),
    }  # fmt: skip
    file_recipe = recipe(**settings | changes)
    parts = np.full(count, Split.NONE, np.uint8) if parts is None else parts
    values = {name: x.astype(np.float32) for name, x in layers.items()}
    rows = Rows(values, ids, digests, np.asarray(labels, np.int32), parts, [], {})
    names = [f"class {label}" for label in range(int(max(labels)) + 1)]
    provenance = {"source": source, "seconds": seconds, "images_this_run": count}
    provenance |= {} if options is None else {"options": options}
    facts = {"class_names": json.dumps(names), "provenance": json.dumps(provenance)}
    write(path, [rows], attributes(file_recipe) | facts)
    return path


def labels_of(count, classes=4):
    return (np.arange(count) % classes).astype(np.int32)


def clusters(labels, spread, seed=0):
    """Classes around means of their own: class means say all there is."""
    rng = np.random.default_rng(seed)
    return 3 * np.eye(8)[labels] + spread * rng.normal(size=(len(labels), 8))


def stretched(labels, seed=0):
    """Classes that show in differences of features alone: linear to tell, but not by means."""
    rng = np.random.default_rng(seed)
    wide = 3 * rng.normal(size=(len(labels), 4))
    return np.hstack([wide, wide + np.eye(4)[labels] + 0.35 * rng.normal(size=wide.shape)])


def noise(labels, seed=0):
    return np.random.default_rng(seed).normal(size=(len(labels), 8))


def advice(path, **options):
    return advise.run(AdviseConfig(path, progress=False, **options))


NEAR = {MIDDLE: lambda labels: clusters(labels, 3.0), DEEPEST: lambda labels: clusters(labels, 1.2)}
LOST = {MIDDLE: stretched, DEEPEST: noise}


@pytest.mark.parametrize(
    ("kind", "images", "guess", "expected"),
    [
        (NEAR, 60, "near", f"classify {{file}} --out results --layers {DEEPEST} "),
        (NEAR, 1400, "near", "finetune photos --out results --backbone resnet50 --unfreeze 1"),
        (LOST, 60, "far", f"classify {{file}} --out results --layers {MIDDLE} "),
        (LOST, 1400, "far", "finetune photos --out results --backbone resnet50 --unfreeze all"),
        (LOST, 6400, "far", "scratch photos --out results --architecture small"),
    ],
)
def test_the_table_of_the_field(tmp_path, kind, images, guess, expected):
    labels = labels_of(2 * images, 2)
    layers = {name: make(labels) for name, make in kind.items()}
    path = features_file(tmp_path / "f.h5", layers, labels)
    result = advice(path)
    assert result.findings.distance.guess == guess
    command = result.recommendation.command
    assert command.startswith("python -m pipeline " + expected.format(file=path))
    assert f"{0.8 * images:,.0f} images a class" in result.recommendation.reason


def test_near_or_far_by_class_means_where_the_layers_are_level(tmp_path):
    labels = labels_of(400)
    for make, guess in ((lambda y: clusters(y, 0.9), "near"), (stretched, "far")):
        layers = {MIDDLE: make(labels), DEEPEST: make(labels)}
        result = advice(features_file(tmp_path / "f.h5", layers, labels))
        assert result.findings.distance.guess == guess
        assert "cannot be told from" in result.findings.distance.evidence[0]


def test_one_layer_says_how_to_get_more(tmp_path, capsys):
    labels = labels_of(400)
    path = features_file(
        tmp_path / "my f.h5", {DEEPEST: noise(labels)}, labels, source="my photos",
        image_size=(96, 128),
    )  # fmt: skip
    assert main(["advise", str(path), "--quiet"]) == 0
    shown = capsys.readouterr().out
    stages = f"conv2_block3_out,conv3_block4_out,{MIDDLE},{DEEPEST}"
    command = (
        f"python -m pipeline extract 'my photos' --backbone resnet50 --layers {stages} "
        f"--image-size 96x128 --out {tmp_path / 'resnet50-stages.h5'}"
    )
    assert f"several layers in one pass: {command}" in shown
    options = parser().parse_args(shlex.split(command)[3:])
    assert options.image_size == (96, 128)
    assert "one layer only" in shown


@pytest.mark.parametrize("origin", ["random", "handcrafted"])
def test_what_saw_no_imagenet_says_nothing_of_it(tmp_path, origin):
    labels = labels_of(200)
    path = features_file(
        tmp_path / "hog.h5", {"blocks": clusters(labels, 1.0)}, labels,
        weights={"origin": origin, "sha256": ""},
        backbone="hog" if origin == "handcrafted" else "vgg16",
    )  # fmt: skip
    result = advice(path)
    assert "no guess" in result.findings.distance.evidence[0]
    name = "resnet50" if origin == "handcrafted" else "vgg16"
    assert f"extract photos --backbone {name} " in result.recommendation.command
    parser().parse_args(shlex.split(result.recommendation.command)[3:])


def test_its_commands_are_commands(tmp_path):
    """And classify, as recommended, ends with the candidates.

    Both layers have the same noise, which falls out of their difference: together they are best.
    """
    labels = labels_of(200)
    layers = {name: make(labels) for name, make in NEAR.items()}
    path = features_file(tmp_path / "f.h5", layers, labels)
    command = advice(path, out=tmp_path / "results").recommendation.command
    words = shlex.split(command)[3:]
    assert main([*words, "--no-tune", "--quiet"]) == 0
    name = f"resnet50.{MIDDLE}+{DEEPEST}.logistic"
    assert (tmp_path / "results" / name / "record.json").exists()


def test_the_locked_test_is_never_looked_at(tmp_path):
    labels = labels_of(480)
    parts = with_test_part(480)
    layers = {name: make(labels) for name, make in NEAR.items()}
    clean = advice(features_file(tmp_path / "f.h5", layers, labels, parts)).facts
    test = parts == Split.TEST
    for x in layers.values():
        x[test] = np.nan
    poisoned = np.where(test, np.roll(labels, 1), labels)
    again = advice(features_file(tmp_path / "f.h5", layers, poisoned, parts)).facts
    assert again.pop("splits") != clean.pop("splits")  # a digest of all labels
    assert again == clean
    layers[DEEPEST][0] = np.inf
    with pytest.raises(DataError, match="000000.png"):
        advice(features_file(tmp_path / "f.h5", layers, labels, parts))


def test_photographs_are_near_and_noise_is_far(real_weights, tmp_path):
    real_weights("resnet50")
    rng = np.random.default_rng(0)
    labels = labels_of(600, 10)
    codes = rng.normal(size=(10, 32, 32, 3))
    pixels = 128 + 12 * codes[labels] + 60 * rng.normal(size=(600, 32, 32, 3))
    np.savez(tmp_path / "n.npz", images=np.clip(pixels, 0, 255).astype(np.uint8), labels=labels)
    guesses = {}
    for name, source in (("photographs", bundled_images()), ("noise", tmp_path / "n.npz")):
        path = features.extract(
            source, tmp_path / f"{name}.h5", layers=("conv3_block4_out", MIDDLE, DEEPEST),
            image_size=(96, 96), limit=600, progress=False,
        )  # fmt: skip
        guesses[name] = advice(path, folds=3).findings.distance.guess
    assert guesses == {"photographs": "near", "noise": "far"}


def test_where_hardly_anything_is_left_to_gain_nothing_is_tuned(tmp_path):
    labels = labels_of(2800, 2)
    path = features_file(tmp_path / "f.h5", {DEEPEST: clusters(labels, 0.8)}, labels)
    result = advice(path)
    assert "nothing more to gain here" in result.recommendation.reason
    assert "pipeline classify " in result.recommendation.command
    shown = text(result)
    assert "time here: about " in shown
    assert "the probe of the layer took" in shown


@pytest.mark.parametrize(("seconds", "tunes"), [(28.0, True), (28_000.0, False)])
def test_the_gain_is_weighed_against_hours(tmp_path, seconds, tunes):
    labels = labels_of(2800, 2)
    layers = {name: make(labels) for name, make in NEAR.items()}
    path = features_file(tmp_path / "f.h5", layers, labels, seconds=seconds)
    result = advice(path)
    recommended, error = result.recommendation, 1 - result.frame()["accuracy"].iloc[-1]
    assert ("finetune" in recommended.command) == tunes
    if tunes:
        assert recommended.gain.expected == pytest.approx(error / 3)
        assert recommended.gain.low == 0
        assert 60 < recommended.cost.seconds < 600
        assert "100 images a second" in recommended.cost.basis
        assert "expected gain: about +" in text(result)
        assert result.facts["recommendation"]["cost"]["seconds"] == recommended.cost.seconds
    else:
        assert re.search(r"in about \d+ hours, too little for its time", recommended.reason)


def test_commands_take_the_same_images_weights_and_splits(tmp_path):
    """Of 300 images 200 were taken: commands that read the images again say so."""
    images = np.zeros((300, 8, 8, 3), np.uint8)
    np.savez(tmp_path / "s.npz", images=images, labels=np.arange(300) % 2)
    labels = labels_of(200, 2)
    path = features_file(
        tmp_path / "f.h5", {DEEPEST: clusters(labels, 1.2)}, labels, source=str(tmp_path / "s.npz"),
        image_size=(96, 96), weights={"origin": "keras-tfjs", "sha256": "a" * 64},
    )  # fmt: skip
    source = advice(path, folds=3, seed=5).findings.source
    splits = {"folds": 3, "seed": 5}
    network = {"image_size": (96, 96), "weights": "keras-tfjs"}
    for command, expected in (
        (source.finetune_command("1"), {"limit": 200} | network | splits),
        (source.extract_command(source.stages), {"limit": 200} | network),
        (source.scratch_command(), {"limit": 200} | splits),
        (source.classify_command(DEEPEST), splits),
    ):
        options = vars(parser().parse_args(shlex.split(command)[3:]))
        assert expected == {name: options[name] for name in expected}, command
    whole = features_file(tmp_path / "g.h5", {DEEPEST: clusters(labels, 1.2)}, labels)
    assert "--limit" not in advice(whole).findings.source.finetune_command("1")


def test_commands_read_the_source_as_the_file_says(tmp_path):
    labels = labels_of(200, 2)
    splits = [["train", "my cohort"], ["test", "b"]]
    path = features_file(
        tmp_path / "f.h5", {DEEPEST: clusters(labels, 1.2)}, labels, decoding="reduced, damaged ones too",
        options={"limit": 200, "splits": splits},
    )  # fmt: skip
    source = advice(path).findings.source
    for command in (
        source.finetune_command("1"), source.extract_command(None), source.scratch_command(),
    ):  # fmt: skip
        config = ExtractConfig("a", "b", splits=splits)
        options = vars(parser().parse_args(shlex.split(command)[3:]))
        assert (options["limit"], options["accept_damaged"]) == (200, True)
        assert ExtractConfig("a", "b", splits=options["splits"]).splits == config.splits


def test_images_of_one_kind_are_never_near(tmp_path):
    """Classes lie in clusters and the deepest layer is best, but all images look the same."""
    labels = labels_of(400)
    layers = {name: make(labels) for name, make in NEAR.items()}
    assert (
        advice(features_file(tmp_path / "f.h5", layers, labels)).findings.distance.guess == "near"
    )
    layers[DEEPEST] = layers[DEEPEST] + 20.0
    distance = advice(features_file(tmp_path / "g.h5", layers, labels)).findings.distance
    assert distance.guess == "between"
    assert "to the network all images look much the same" in distance.evidence[-1]


@pytest.mark.parametrize("task", ["solar cells", "texture"])
def test_solar_cells_and_textures_are_not_near(real_weights, tmp_path, task):
    real_weights("resnet50")
    source = drawn_tasks.write(task, tmp_path / "s.npz", 100)
    found = benchmark.findings(source, "resnet50", tmp_path / "f.h5", 100, drawn_tasks.SIDE)
    assert found.distance.guess != "near"
    assert found.probes[-1].linear.accuracy > 0.5
    assert found.probes[-1].alike > 0.6


def test_what_is_written(tmp_path):
    labels = labels_of(480)
    layers = {name: make(labels) for name, make in NEAR.items()}
    path = features_file(tmp_path / "f.h5", layers, labels, with_test_part(480))
    result = advice(path)
    assert result.file == tmp_path / "f.advice.json"
    text = result.file.read_bytes()
    facts = json.loads(text)
    assert facts == json.loads(json.dumps(result.facts))
    assert facts["schema"] == 1
    assert [layer["layer"] for layer in facts["layers"]] == [MIDDLE, DEEPEST]
    for point in [*facts["learning_curve"], *facts["extrapolation"], *facts["layers"]]:
        assert 0 <= point["low"] <= point["accuracy"] <= point["high"] <= 1
    rows = [point["rows"] for point in facts["learning_curve"]]
    assert rows == [18, 36, 72, 144, 288]  # of 360 not locked, four of five folds train
    assert [point["rows"] for point in facts["extrapolation"]] == [576, 1152]
    assert advice(path).file.read_bytes() == text


def test_the_splits_are_those_of_classify(tmp_path):
    labels = labels_of(400)
    layers = {name: make(labels) for name, make in NEAR.items()}
    path, out = features_file(tmp_path / "f.h5", layers, labels), tmp_path / "results"
    assert advice(path, folds=3).splits.count == 3
    classify.run(ClassifyConfig((path,), out, ("dummy",), folds=4, progress=False))
    assert advice(path, folds=4).splits.digest == Splits.read(out).digest
    result = advice(path, out=out)  # without saying how many folds
    assert result.splits.digest == Splits.read(out).digest
    assert result.file == out / "advice.json"
    other = features_file(tmp_path / "g.h5", {DEEPEST: noise(labels[:200])}, labels[:200])
    with pytest.raises(UsageError, match="splits of other images"):
        advice(other, out=out)


def test_what_cannot_be_advised_on(tmp_path, capsys):
    labels = labels_of(40)
    path = features_file(tmp_path / "f.h5", {DEEPEST: noise(labels)}, np.zeros(40, int))
    assert main(["advise", str(path)]) == 1
    assert "one class only" in capsys.readouterr().err
    path = features_file(tmp_path / "f.h5", {DEEPEST: np.ones((40, 2, 2, 3))}, labels)
    assert main(["advise", str(path)]) == 2
    assert "expected vectors" in capsys.readouterr().err
    assert main(["advise", str(tmp_path / "nowhere.h5")]) == 1
    assert "no such feature file" in capsys.readouterr().err


def curve(law, rows, error=0.01):
    return [
        CurvePoint(n, Score(law(n), law(n) - 1.96 * error, law(n) + 1.96 * error)) for n in rows
    ]


@pytest.mark.parametrize(("a", "b", "c"), [(2.0, 0.5, 0.1), (1.0, 0.3, 0.0), (5.0, 1.0, 0.3)])
def test_a_power_law_is_found_again(a, b, c):
    def law(rows):
        return 1 - a * rows**-b - c

    rows = [100, 200, 400, 800, 1600]
    sure = powerlaw.fit(curve(law, rows, 0.001))
    unsure = powerlaw.fit(curve(law, rows, 0.03))
    for ahead in (3200, 6400):
        narrow = sure.at(ahead)
        assert narrow.low <= law(ahead) <= narrow.high
        assert abs(narrow.accuracy - law(ahead)) < 0.02
        wide = unsure.at(ahead)
        assert wide.high - wide.low > 1.5 * (narrow.high - narrow.low)
    assert sure.at(6400).high - sure.at(6400).low > sure.at(1600).high - sure.at(1600).low


def test_two_points_are_no_law():
    assert powerlaw.fit(curve(lambda rows: 1 - rows**-0.5, [100, 200])) is None


def test_intervals_hold_what_they_should(tmp_path):
    """Two Gaussians, three standard deviations apart: the best there is makes 6.7 % of errors."""
    rng = np.random.default_rng(0)
    labels = labels_of(3000, 2)
    x = rng.normal(size=(3000, 3))
    x[:, 0] += 3.0 * labels
    result = advice(features_file(tmp_path / "f.h5", {DEEPEST: x}, labels))
    last = result.findings.curve[-1].score
    assert last.low < 0.933 < last.high
    assert 0.02 < last.high - last.low < 0.06


def test_few_images_make_no_law(tmp_path):
    labels = labels_of(32)
    result = advice(features_file(tmp_path / "f.h5", {DEEPEST: clusters(labels, 1.0)}, labels))
    assert len(result.findings.curve) == 2
    assert result.facts["extrapolation"] == []
    assert "no power law: it takes 3 points" in text(result)
    assert "pipeline extract photos" in result.recommendation.command  # earlier layers, too


def test_advice_is_frames(tmp_path):
    labels = labels_of(400)
    layers = {MIDDLE: noise(labels), DEEPEST: clusters(labels, 1.0)}
    result = advice(features_file(tmp_path / "f.h5", layers, labels))
    frame = result.frame()
    assert frame["layer"].tolist() == [MIDDLE, DEEPEST]
    stored = json.loads(result.file.read_text())
    assert np.allclose(frame["accuracy"], [row["accuracy"] for row in stored["layers"]], atol=1e-4)
    means = [row["class_means"]["accuracy"] for row in stored["layers"]]
    assert np.allclose(frame["class_means"], means, atol=1e-4)
    curve = result.learning_curve()
    assert curve["rows"].is_monotonic_increasing
    assert curve["measured"].sum() == len(stored["learning_curve"])
    assert (~curve["measured"]).sum() == len(stored["extrapolation"])
    assert ((curve["low"] <= curve["accuracy"]) & (curve["accuracy"] <= curve["high"])).all()
    assert repr(result).splitlines()[0] == f"Advice: {result.recommendation.command}"
    assert f"<td>{DEEPEST}</td>" in result._repr_html_()


def test_layers_together_are_tried_and_taken_where_they_win(tmp_path):
    """Each layer tells two of four classes; both together tell all."""
    labels, rng = labels_of(400), np.random.default_rng(3)
    halves = {
        MIDDLE: np.eye(2)[labels % 2] + 0.3 * rng.normal(size=(400, 2)),
        DEEPEST: 100 * (np.eye(2)[labels // 2] + 0.3 * rng.normal(size=(400, 2))),
    }
    found = advice(features_file(tmp_path / "f.h5", halves, labels))
    together = found.findings.together
    assert together.probe.linear.accuracy > 0.85
    assert "--layers all+ " in found.recommendation.command
    assert "all layers together (all+) beat" in found.recommendation.reason
    assert "together (all+)" in text(found)
    assert found.facts["together"]["dimensions"] == 4


def test_layers_together_that_do_not_win_are_said(tmp_path):
    labels = labels_of(400)
    layers = {MIDDLE: clusters(labels, 1.2), DEEPEST: clusters(labels, 1.2)}
    found = advice(features_file(tmp_path / "f.h5", layers, labels))
    assert f"--layers {DEEPEST} " in found.recommendation.command
    assert "all layers together were tried, and are no better" in found.recommendation.reason


def test_one_layer_has_nothing_to_be_joined_with(tmp_path):
    labels = labels_of(200)
    found = advice(features_file(tmp_path / "f.h5", {DEEPEST: clusters(labels, 1.2)}, labels))
    assert found.findings.together is None
    assert found.facts["together"] is None
