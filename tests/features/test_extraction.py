"""From images to a feature file, with a small network and random weights."""

import json
import re
import shutil

import h5py
import numpy as np
import pytest
from PIL import Image

import features
from features.backbones.catalog import find
from features.decoding import RejectedImage
from features.errors import DataError, UsageError
from features.extraction import run as extraction
from features.extraction.shards import Shards, partial_folder
from features.records import Split
from pipeline.commands.main import main
from tests.features.faults import stub

SMALL = {
    "backbone": "mobilenetv2",
    "weights": "none",
    "image_size": (32, 32),
    "batch_size": 4,
    "progress": False,
}


def extract(source, out, **options):
    return features.extract(source, out, **(SMALL | options))


def datasets(path) -> dict[str, bytes]:
    """The content of every dataset in a file."""
    content = {}
    with h5py.File(path) as file:
        file.visititems(
            lambda name, item: (
                content.update({name: item[:].tolist()}) if isinstance(item, h5py.Dataset) else None
            )
        )
    return content


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    """Eight images a shard, so that a few images make several."""
    monkeypatch.setattr("features.extraction.shards.SHARD_IMAGES", 8)


def test_rows_are_the_images_in_order(photos, tmp_path):
    path = extract(photos, tmp_path / "out.h5", layers=("block_3_expand_relu", "out_relu"))
    with features.FeatureFile(path) as file:
        assert file.problems() == []
        assert file.ids == sorted(f"{c}/{n}.png" for c in ("cat", "dog") for n in range(10))
        assert file.class_names == ("cat", "dog")
        assert file.labels.tolist() == [0] * 10 + [1] * 10
        assert set(file.splits.tolist()) == {Split.NONE}
        assert file.layers == ("block_3_expand_relu", "out_relu")
        assert file.shape("out_relu") == (20, 1280)
        assert file.features("out_relu").std() > 0
        assert not partial_folder(path).exists()


def test_an_images_features_do_not_depend_on_its_neighbours(photos, tmp_path):
    whole = extract(photos, tmp_path / "whole.h5")
    few = extract(photos, tmp_path / "few.h5", limit=5, batch_size=3)
    with features.FeatureFile(whole) as a, features.FeatureFile(few) as b:
        rows = [a.ids.index(name) for name in b.ids]
        assert len(rows) == 5
        np.testing.assert_allclose(
            a.features(rows=np.array(rows)), b.features(), rtol=1e-4, atol=1e-5
        )


def test_float16_halves_the_features(photos, tmp_path):
    a = extract(photos, tmp_path / "a.h5")
    b = extract(photos, tmp_path / "b.h5", store="float16")
    with features.FeatureFile(a) as a, features.FeatureFile(b) as b:
        assert b.features().dtype == np.float16
        np.testing.assert_array_equal(a.features().astype(np.float16), b.features())


def spoil(folder, number):
    for path in sorted(folder.glob("*/*.png"))[:number]:
        path.write_bytes(path.read_bytes()[:100])


def test_rejected_images_are_told_and_cost_no_other_row(photos, tmp_path, caplog):
    good = extract(photos, tmp_path / "good.h5")
    spoil(photos, 1)
    path = extract(photos, tmp_path / "out.h5")
    with features.FeatureFile(good) as before, features.FeatureFile(path) as after:
        assert after.problems() == []
        assert [name for name, _ in after.rejected] == ["cat/0.png"]
        assert after.ids == before.ids[1:]
        np.testing.assert_array_equal(before.features()[1:], after.features())
    assert "1 of 20 images were rejected" in caplog.text


def test_too_many_rejected_fail_after_all_is_written(photos, tmp_path):
    spoil(photos, 3)
    with pytest.raises(DataError, match=r"3 of 20 images were rejected .*--max-rejected 0.05"):
        extract(photos, tmp_path / "out.h5")
    with features.FeatureFile(tmp_path / "out.h5") as file:
        assert (len(file), len(file.rejected)) == (17, 3)
        assert file.problems() == []
    assert extract(photos, tmp_path / "out.h5", max_rejected=0.2).exists()


def test_all_rejected(photos, tmp_path):
    spoil(photos, 20)
    with pytest.raises(DataError, match="20 of 20"):
        extract(photos, tmp_path / "out.h5")
    with features.FeatureFile(tmp_path / "out.h5") as file:
        assert (len(file), len(file.rejected)) == (0, 20)


@pytest.mark.parametrize("at", [0, 1, 2])
def test_an_interrupted_run_goes_on_to_the_same_file(photos, tmp_path, monkeypatch, caplog, at):
    whole = extract(photos, tmp_path / "whole.h5")
    write = Shards.write

    def interrupted(self, start, stop, rows):
        if start == 8 * at:
            raise KeyboardInterrupt
        write(self, start, stop, rows)

    out = tmp_path / "out.h5"
    with monkeypatch.context() as patch:
        patch.setattr(Shards, "write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            extract(photos, out)
    assert f"stopped: {8 * at} of 20 images are kept" in caplog.text
    assert not out.exists()
    caplog.clear()
    with caplog.at_level("INFO", "offshelf"):
        extract(photos, out)
    assert ("resuming: 8 of 20" in caplog.text) == (at == 1)
    assert datasets(out) == datasets(whole)


def write_manifest(folder, cameras):
    names = [f"{c}/{n}.png" for c in ("cat", "dog") for n in range(10)]
    lines = [
        f"{name},{name[:3]},P {i // 3},{camera}"
        for i, (name, camera) in enumerate(zip(names, cameras, strict=True))
    ]
    path = folder / "m.csv"
    path.write_text("\n".join(["path,label,patient,camera", *lines]), "utf-8")
    return path


def test_columns_of_a_manifest_travel_with_their_images(photos, tmp_path, monkeypatch, capsys):
    """Through shards and an interruption; a changed value is another source."""
    cameras = [["Leica", "", "徕卡 M3 " + "x" * 50][n % 3] for n in range(20)]
    manifest = write_manifest(photos, cameras)
    spoil(photos, 2)
    allowed = {"max_rejected": 0.2}
    whole = stub.extract(manifest, tmp_path / "whole.h5", **allowed)
    out, write = tmp_path / "out.h5", Shards.write

    def interrupted(self, start, stop, rows):
        if start == 16:
            raise KeyboardInterrupt
        write(self, start, stop, rows)

    with monkeypatch.context() as patch:
        patch.setattr(Shards, "write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            stub.extract(manifest, out, **allowed)
    write_manifest(photos, [*cameras[:-1], "Nikon"])
    with pytest.raises(UsageError, match=r"source.fingerprint: \w+ -> \w+"):
        stub.extract(manifest, out, **allowed)
    write_manifest(photos, cameras)
    stub.extract(manifest, out, **allowed)
    assert datasets(out) == datasets(whole)
    with features.FeatureFile(out) as file:
        assert file.problems() == []
        assert file.columns == ("patient", "camera")
        rows = [
            (int(n) + 10 * (c == "dog"), name)
            for name in file.ids
            for c, n in [name[:-4].split("/")]
        ]
        assert len(rows) == 18
        assert file.column("patient").tolist() == [f"P {place // 3}" for place, _ in rows]
        assert file.column("camera").tolist() == [cameras[place].strip() for place, _ in rows]
    assert main(["inspect", str(out)]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"column +distinct values\n.*\npatient +7\ncamera +3\n", shown)


def test_long_reasons_are_cut(photos, tmp_path, monkeypatch):
    def refuse(*arguments):
        raise RejectedImage("no\0" * 500)

    monkeypatch.setattr("features.extraction.loading.decode", refuse)
    with pytest.raises(DataError, match="20 of 20"):
        stub.extract(photos, tmp_path / "out.h5")
    with features.FeatureFile(tmp_path / "out.h5") as file:
        assert {reason for _, reason in file.rejected} == {("no\\0" * 500)[:300]}


def test_a_repeated_command_does_no_work(photos, tmp_path, monkeypatch):
    path = extract(photos, tmp_path / "out.h5")
    before = path.stat().st_mtime_ns
    monkeypatch.setattr(extraction, "compute_features", None)  # would raise if it were called
    assert extract(photos, path) == path
    assert path.stat().st_mtime_ns == before


def test_other_settings_or_images_are_refused_with_both_values(photos, tmp_path):
    path = extract(photos, tmp_path / "out.h5")
    with pytest.raises(UsageError, match="pooling: avg -> max"):
        extract(photos, path, pooling="max")
    (photos / "cat" / "0.png").unlink()
    with pytest.raises(UsageError, match="from other images .* cat/0.png has gone; --restart"):
        extract(photos, path)
    extract(photos, path, restart=True)
    with features.FeatureFile(path) as file:
        assert len(file) == 19


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backbone": "resnet51"}, "did you mean resnet50"),
        ({"layers": ("out_rely",)}, "did you mean out_relu"),
        ({"layers": ("out_relu", "out_relu")}, "out_relu"),
        ({"pooling": "mean"}, "no pooling is called 'mean'"),
        ({"resize": "squash"}, "stretch"),
        ({"interpolation": "linear"}, "bilinear"),
        ({"store": "float64"}, "float32"),
        ({"image_size": (16, 16)}, "at least 32"),
        ({"image_size": (64, 31)}, "at least 32"),
        ({"batch_size": 0}, "at least 1"),
        ({"limit": 0}, "at least 1"),
        ({"weights": "no/such.h5"}, "no such file"),
    ],
)
def test_options_that_cannot_be_meant(photos, tmp_path, options, message):
    with pytest.raises(UsageError, match=message) as caught:
        extract(photos, tmp_path / "out.h5", **options)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out.h5").exists()


def test_what_is_no_feature_file_is_not_overwritten(photos, tmp_path):
    out = tmp_path / "thesis.h5"
    out.write_text("years of work")
    for restart in (False, True):
        with pytest.raises(UsageError, match="not overwritten"):
            extract(photos, out, restart=restart)
    assert out.read_text() == "years of work"


def test_sources_that_hold_nothing(tmp_path):
    with pytest.raises(UsageError, match="missing"):
        extract(tmp_path / "missing", tmp_path / "out.h5")
    folder = tmp_path / "texts"
    folder.mkdir()
    with pytest.raises(DataError, match="no images"):
        extract(folder, tmp_path / "out.h5")
    (folder / "a.txt").touch()
    with pytest.raises(DataError, match="no images"):
        extract(folder, tmp_path / "out.h5")


@pytest.mark.parametrize(
    ("name", "height", "resize"), [("vgg16", 224, "stretch"), ("resnet50", 224, "crop")]
)
def test_real_weights_agree_with_a_plain_forward_pass(real_weights, tmp_path, name, height, resize):
    """Ours, stored and read back, against keras.applications with pixels scaled by hand."""
    from features.backbones.golden import FOLDER
    from features.backbones.network import build

    weights = real_weights(name)
    photos = tmp_path / "photos"
    photos.mkdir()
    for photo in ("cat", "coffee"):
        shutil.copy(FOLDER / f"{photo}.png", photos)
    path = features.extract(
        photos, tmp_path / "out.h5", backbone=name, resize=resize, progress=False,
        image_size=(height, height),
    )  # fmt: skip
    pixels = []
    for photo in ("cat", "coffee"):
        image = Image.open(FOLDER / f"{photo}.png")
        width, tall = image.size
        box = None
        if resize == "crop":
            box = ((width - tall) / 2, 0, (width + tall) / 2, tall)
        pixels.append(np.asarray(image.resize((height, height), Image.Resampling.BILINEAR, box)))
    x = np.stack(pixels).astype(np.float32)
    if weights.scaling.name == "caffe":
        x = x[..., ::-1] - np.array([103.939, 116.779, 123.68], np.float32)
    else:
        mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
        x = ((x / 255 - mean) / std).astype(np.float32)
    base = build(find(name), (height, height))
    weights.load_into(base)
    expected = base.predict(x, verbose=0).mean(axis=(1, 2))
    with features.FeatureFile(path) as file:
        found = file.features()
    lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(expected, axis=1)
    assert ((found * expected).sum(axis=1) / lengths).min() > 0.9999


@pytest.mark.parametrize(
    ("options", "inside"),
    [
        ({"image_size": (64, 96), "engine": "openvino"}, False),
        ({"image_size": (64, 96)}, True),
        ({"image_size": (64, 64), "resize": "crop"}, False),
        ({"image_size": (80, 96), "resize": "crop"}, True),
        ({"image_size": (64, 96), "interpolation": "bicubic"}, False),
        ({"image_size": (36, 40)}, False),
        ({"image_size": (39, 60)}, False),
    ],
)
def test_a_gpu_enlarges_small_arrays_itself(tmp_path, options, inside, monkeypatch):
    """And what the network sees is what Pillow would have shown it."""
    from features.extraction.loading import load
    from features.extraction.planning import plan_extraction
    from features.sources import open_source

    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (6, 10, 12, 3), np.uint8)
    images = coarse.repeat(4, axis=1).repeat(4, axis=2)  # 40 x 48
    np.savez(tmp_path / "x.npz", images=images)
    monkeypatch.setattr("features.engines.gpu_names", lambda: ["A GPU"])
    options = {**SMALL, "engine": "tensorflow", **options}
    config = features.ExtractConfig(tmp_path / "x.npz", tmp_path / "out.h5", **options)
    with open_source(config.source) as source:
        plan = plan_extraction(config, source)
        assert (plan.given_size != plan.model.image_size) == inside
        resize, interpolation = config.resize, config.interpolation
        (expected,) = load(source, plan.model.image_size, resize, interpolation, batch_size=6)
        (given,) = load(source, plan.given_size, resize, interpolation, batch_size=6)
    if inside:
        from features.backbones.network import _resized

        seen = np.asarray(_resized(given.pixels, plan.model.image_size))
        assert np.abs(seen - expected.pixels.astype(int)).max() <= 1
    path = features.extract(config.source, config.out, **options)
    with features.FeatureFile(path) as file:
        assert file.recipe.given_size == plan.given_size
        assert file.shape() == (6, 1280)


def test_how_a_source_was_read_is_said_and_kept(photos, tmp_path, caplog, capsys):
    (photos / "cat" / "notes.txt").touch()
    out = tmp_path / "out.h5"
    told = features.read_source(photos).sentence()
    assert told.startswith("found 20 images of 2 classes (cat 10, dog 10); unlabelled 0; passed")
    assert main(["extract", str(photos), "--out", str(out), "--dry-run", "--quiet"]) == 0
    assert capsys.readouterr().out == f"{told}\n"
    assert not out.exists()
    with caplog.at_level("INFO", "offshelf"):
        stub.extract(photos, out)
    lines = [record.getMessage() for record in caplog.records]
    assert lines[0] == told, "before the work"
    with features.FeatureFile(out) as file:
        assert file.source_reading == features.read_source(photos)
        assert file.source_reading.passed_over == {".txt": 1}
    assert main(["inspect", str(out)]) == 0
    assert f"read      {told}\n" in capsys.readouterr().out
    assert main(["inspect", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["reading"]["classes"] == {
        "cat": 10, "dog": 10,
    }  # fmt: skip


def test_a_file_without_a_reading_is_read(photos, tmp_path, monkeypatch, capsys):
    """As Offshelf 0.2 wrote it."""
    describe = extraction.describe_file

    def without(*arguments):
        attributes = describe(*arguments)
        provenance = json.loads(attributes["provenance"])
        del provenance["reading"]
        return attributes | {"provenance": json.dumps(provenance)}

    monkeypatch.setattr(extraction, "describe_file", without)
    out = stub.extract(photos, tmp_path / "out.h5")
    with features.FeatureFile(out) as file:
        assert file.source_reading is None
    assert main(["inspect", str(out)]) == 0
    assert "\nread " not in capsys.readouterr().out
