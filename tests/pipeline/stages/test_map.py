"""The map stage: who is where, of which class as far as that may be seen, and how good it is."""

import csv
import json
import sys

import numpy as np
import pytest
from PIL import Image

from features.errors import DataError, MissingPackageError, UsageError
from features.storage.store import FeatureFile
from pipeline.commands.main import main
from pipeline.config import MapConfig
from pipeline.maps import layouts
from pipeline.reports.map_text import text
from pipeline.stages import map as stage
from tests.pipeline import candidates
from tests.pipeline.featurefiles import clusters, with_test_part, write_features

COUNT = 160


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Fewer iterations than a good map needs."""
    monkeypatch.setattr(layouts, "EARLY", 40)
    monkeypatch.setattr(layouts, "LATE", 40)


@pytest.fixture
def features(tmp_path):
    x, labels = clusters(COUNT, spread=0.5)
    ids = [f"class {label}/{n}.png" for n, label in enumerate(labels)]
    return write_features(tmp_path / "f.h5", x, labels, ids=ids, parts=with_test_part(COUNT))


def run(features, out="map.html", **options):
    options = {"perplexity": 10, "progress": False} | options
    return stage.run(MapConfig(features, features.parent / out, **options))


def table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def facts(path):
    text = path.read_text()
    return json.loads(text.split('id="facts">')[1].split("</script>")[0])


def test_page_and_table(features):
    layout = run(features)
    page, rows = layout.files[0].read_text(), table(layout.files[1])
    assert layout.files == (features.parent / "map.html", features.parent / "map.csv")
    with FeatureFile(features) as file:
        assert [row["id"] for row in rows] == file.ids == list(layout.points.ids)
    assert np.allclose(
        [[float(row["x"]), float(row["y"])] for row in rows], layout.coordinates, rtol=1e-4
    )
    features_, tsne, pca = layout.quality
    assert features_.accuracy > 0.95 and tsne.accuracy > 0.95
    assert tsne.trustworthiness > pca.trustworthiness - 0.1
    assert f"{100 * tsne.accuracy:.1f} %" in page and f"{tsne.trustworthiness:.3f}" in page
    assert "t-SNE" in text(layout) and "map.csv" in text(layout)
    assert "http" not in page.replace("http-equiv", "")


def test_the_locked_test_stays_locked(features):
    layout = run(features)
    rows = table(layout.files[1])
    locked = [row["part"] == "locked" for row in rows]
    assert sum(locked) == layout.points.locked == COUNT // 4
    assert all((row["class"] == "") == hidden for row, hidden in zip(rows, locked, strict=True))
    shown = facts(layout.files[0])
    assert all(
        ("class" in image) != hidden for image, hidden in zip(shown["ids"], locked, strict=True)
    )
    relabelled = features.parent / "other.h5"
    x, labels = clusters(COUNT, spread=0.5)
    labels[np.array(locked)] = 0
    write_features(relabelled, x, labels, ids=list(layout.points.ids), parts=with_test_part(COUNT))
    assert run(relabelled).files[0].read_text() == layout.files[0].read_text().replace(
        "f.h5", "other.h5"
    )


def test_results_say_who_is_locked_and_who_was_misclassified(tmp_path):
    out = candidates.results(tmp_path)
    layout = run(tmp_path / "features.h5", results=out)
    by_name = {candidate.name: candidate for candidate in layout.points.candidates}
    assert len(by_name) == 3
    assert {row["part"] for row in table(layout.files[1])} == {"train and validation", "locked"}
    for candidate in by_name.values():
        judged = candidate.predicted >= 0
        assert not (judged & (layout.points.labels < 0)).any()
        assert judged.sum() == COUNT * 0 + candidates.IMAGES - layout.points.locked
    name = next(name for name in by_name if name.endswith("nearest-centroid"))
    assert (by_name[name].predicted == layout.points.labels)[layout.points.labels >= 0].mean() > 0.6
    assert [candidate["name"] for candidate in facts(layout.files[0])["candidates"]] == list(
        by_name
    )


def test_results_of_other_images(features, tmp_path):
    (tmp_path / "r").mkdir()
    out = candidates.results(tmp_path / "r")
    with pytest.raises(UsageError, match="is not of the images in .*it does not know class"):
        run(features, results=out)
    x, labels = clusters(300, dimensions=8)
    ids = [f"{number:03d}.png" for number in range(300)]
    other = write_features(tmp_path / "o.h5", x, labels, ids=ids, class_names=["ant", "bee", "cat"])
    with pytest.raises(UsageError, match=r"\d+.png is '\w+' here and '\w+' there"):
        run(other, results=out)
    with pytest.raises(UsageError, match="is no results folder"):
        run(features, results=tmp_path)


def test_equal_runs_write_equal_files(features):
    first = [path.read_bytes() for path in run(features).files]
    assert [path.read_bytes() for path in run(features).files] == first
    limited = run(features, out="l.html", limit=80)
    assert limited.points.rows.tolist() == list(range(0, COUNT, 2))


def test_a_picture(features):
    layout = run(features, out="map.png")
    with Image.open(layout.files[0]) as image:
        assert image.format == "PNG" and min(image.size) > 600
        assert len(image.convert("RGB").getcolors(2**24)) > 100
    again = layout.files[0].read_bytes()
    assert run(features, out="map.png").files[0].read_bytes() == again


def test_a_picture_without_matplotlib(features, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingPackageError, match=r'pip install "offshelf\[figures\]"'):
        run(features, out="map.png")
    assert [path.name for path in features.parent.iterdir()] == ["f.h5"]


@pytest.mark.parametrize("out", ["map.html", "map.png"])
def test_without_labels_there_are_no_colours(tmp_path, out):
    x, _ = clusters(60)
    path = write_features(tmp_path / "f.h5", x, np.full(60, -1), class_names=[])
    layout = run(path, out=out)
    assert layout.quality[1].accuracy is None
    assert {row["class"] for row in table(layout.files[1])} == {""}
    if out == "map.html":
        assert "no labels" in layout.files[0].read_text()


def test_many_classes(tmp_path):
    x, labels = clusters(300, dimensions=40, classes=30)
    path = write_features(tmp_path / "f.h5", x, labels)
    for out in ("map.html", "map.png"):
        layout = run(path, out=out)
    colours = facts(run(path).files[0])["colours"]
    assert len(set(colours)) == 30
    assert layout.quality[1].accuracy is not None


def test_images_that_moved_are_told(features):
    layout = run(features)
    assert f"not shown: {COUNT} of {COUNT} images" in layout.files[0].read_text()
    layout = run(features, images=features.parent / "nowhere")
    assert "there is nothing at" in layout.files[0].read_text()


def test_a_few_images_at_the_defaults(tmp_path):
    """Twenty images have fewer neighbours than the default perplexity asks for elsewhere."""
    x, labels = clusters(20)
    few = write_features(tmp_path / "few.h5", x, labels)
    layout = run(few, perplexity=None)
    assert layout.config.perplexity == 6
    assert "<dt>Perplexity</dt><dd>6</dd>" in layout.files[0].read_text()
    assert len(table(layout.files[1])) == 20


def test_what_cannot_be_meant(features, tmp_path):
    x, labels = clusters(20)
    maps = write_features(tmp_path / "m.h5", x.reshape(20, 2, 2, 3), labels)
    wrong = [
        (features, {"out": "map.pdf"}, "ends in .html or .png"),
        (features, {"layer": "b"}, "no layer in .* is called 'b'"),
        (features, {"layer": "all"}, "no layer in .* is called 'all'"),
        (features, {"method": "pca"}, "no method is called 'pca'"),
        (features, {"limit": 0}, "limit=0: expected a whole number of at least 1"),
        (features, {"limit": 20}, "perplexity 10 with 20 images: expected 1 to 6"),
        (features, {"components": 1}, "components=1: expected a whole number of at least 2"),
        (maps, {"perplexity": 3}, "has maps of shape"),
    ]
    before = sorted(tmp_path.iterdir())
    for path, options, message in wrong:
        with pytest.raises(UsageError, match=message):
            run(path, **options)
    with pytest.raises(DataError, match="no such feature file"):
        run(tmp_path / "none.h5")
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(UsageError, match="is a folder"):
        run(features, out="folder.html")
    (tmp_path / "folder.html").rmdir()
    assert sorted(tmp_path.iterdir()) == before


def test_more_images_than_a_page_holds_are_placed_among_a_sample(tmp_path, monkeypatch):
    monkeypatch.setattr(stage, "MOST_DRAWN", 500)
    x, labels = clusters(900, spread=0.5)
    path = write_features(tmp_path / "f.h5", x, labels, parts=with_test_part(900))
    layout = run(path, sample=200)
    drawn = facts(layout.files[0])
    assert len(table(layout.files[1])) == len(layout.points) == 900
    assert abs(len(drawn["ids"]) - 200) <= 4
    chosen = layout.laid_out
    assert drawn["ids"] == layout.points.subset(chosen).ids
    counts, of_all = (np.bincount(values + 1) for values in
                      (layout.points.labels[chosen], layout.points.labels))  # fmt: skip
    assert np.abs(counts - of_all * 200 / 900).max() <= 0.5
    # Placed images lie among those of their class, and the quality is that of all images.
    placed = np.setdiff1d(np.arange(900), chosen)
    middles = np.stack([
        np.median(layout.coordinates[chosen[labels[chosen] == label]], axis=0) for label in range(3)
    ])  # fmt: skip
    distances = np.linalg.norm(layout.coordinates[placed, None] - middles, axis=2)
    assert (distances.argmin(axis=1) == labels[placed]).mean() > 0.95
    assert layout.quality[1].accuracy > 0.95
    said = f"sample of {len(chosen)} of 900 images was laid out and is drawn"
    assert said in layout.files[0].read_text() and said in text(layout) and said in repr(layout)
    locked = layout.points.subset(chosen).locked
    assert f"{locked} of those drawn locked" in layout.files[0].read_text()
    again = run(path, out="again.html", sample=200)
    np.testing.assert_array_equal(again.coordinates, layout.coordinates)
    other = run(path, out="other.html", sample=200, seed=1)
    assert not np.array_equal(other.laid_out, chosen)


def test_images_of_a_sample_that_are_not_finite(tmp_path, monkeypatch):
    monkeypatch.setattr(stage, "MOST_DRAWN", 100)
    x, labels = clusters(300)
    x[7, 3] = np.nan
    path = write_features(tmp_path / "f.h5", x, labels)
    with pytest.raises(DataError, match="00007.png .* is not finite"):
        run(path, sample=100)


def test_features_that_are_not_finite(tmp_path):
    x, labels = clusters(60)
    x[7, 3] = np.nan
    path = write_features(tmp_path / "f.h5", x, labels)
    with pytest.raises(DataError, match="00007.png .* is not finite"):
        run(path)


def test_ctrl_c_leaves_nothing(features, monkeypatch):
    def stopped(*rest):
        raise KeyboardInterrupt

    monkeypatch.setitem(layouts.METHODS, "tsne", stopped)
    assert main(["map", str(features), "--out", str(features.parent / "m.html")]) == 130
    assert [path.name for path in features.parent.iterdir()] == ["f.h5"]


def test_the_command(features, capsys):
    out = features.parent / "new" / "m.html"
    arguments = ["map", str(features), "--out", str(out), "--perplexity", "12", "--quiet"]
    assert main(arguments) == 0
    shown_text = capsys.readouterr()
    assert "10-NN accuracy" in shown_text.out and str(out) in shown_text.out
    assert shown_text.err == ""
    assert main([*arguments[:4], "--perplexity", "99"]) == 2
    assert "error: perplexity 99" in capsys.readouterr().err


def test_a_map_is_a_frame(features):
    layout = run(features)
    frame, rows = layout.frame(), table(layout.files[1])
    assert frame["id"].tolist() == [row["id"] for row in rows]
    assert np.allclose(frame["x"], [float(row["x"]) for row in rows], rtol=1e-4)
    assert frame["class"].fillna("").tolist() == [row["class"] for row in rows]
    assert frame["split"].tolist() == [row["part"] for row in rows]
    assert repr(layout).startswith(f"Map of {COUNT} images: t-SNE of ")
    assert f"<td>{rows[0]['id']}</td>" in layout._repr_html_()
