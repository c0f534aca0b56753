"""One hostile name through every command: nothing obeys it, and no file tells who made it."""

import contextlib
import csv
import io
import json
import os
import re
from pathlib import Path
from typing import NamedTuple

import pytest
from PIL import Image

from pipeline.commands.main import main
from tests.features.faults import stub
from tests.pipeline.featurefiles import clusters, with_test_part, write_features
from tests.pipeline.networks.images import colours

pytestmark = pytest.mark.skipif(os.name == "nt", reason="no such names of files there")

EVIL = "=cmd|' /C calc'!A0\x1b]0;owned\x07\x1b[2J\u202e\nFORGED\r<script>alert(1)</script>"
FILE = EVIL.replace("/", "")  # as a name of a file
NUMBER = re.compile(r"[-+]?(\d|inf|nan)")


class Walk(NamedTuple):
    """What commands said, by their words, and the folder in which they worked."""

    said: dict[str, str]
    work: Path


def run(said: dict[str, str], *words: object, codes=(0,)) -> None:
    arguments, shown = [*map(str, words)], io.StringIO()
    with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(shown):
        try:
            code = main([*arguments, *(stub.ARGUMENTS if words[0] == "extract" else [])])
        except SystemExit as error:
            code = error.code
    said[" ".join(arguments)] = shown.getvalue()
    assert code in codes, (arguments, shown.getvalue())


def pictures(folder: Path, count: int = 48) -> Path:
    """A manifest with hostile names of itself, of its files, classes and columns."""
    images, labels = colours(count)
    rows = []
    for number, (pixels, label) in enumerate(zip(images, labels, strict=True)):
        name = f"{EVIL}/{number}.png" if number % 2 else f"{number}{FILE}.png"
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
        rows.append([name, f"{EVIL} {label}", f"{EVIL} {number // 2}"])
    manifest = folder / f"{FILE}.csv"
    with manifest.open("w", newline="") as file:
        csv.writer(file).writerows([["path", "label", f"patient {FILE}"], *rows])
    return manifest


def new_images(folder: Path) -> Path:
    folder.mkdir()
    for number, pixels in enumerate(colours(3, seed=5)[0]):
        Image.fromarray(pixels).save(folder / f"{number}{FILE}.png")
    (folder / f"odd{FILE}.png").write_bytes(b"no image")
    return folder


def walk(home: Path, said: dict[str, str]) -> Walk:
    """Give the same hostile names to every command, in a folder that is called so, too."""
    (home / "photos").mkdir(parents=True)
    source, features, results = pictures(home / "photos"), home / "f.h5", home / "results"
    new, pack, group = new_images(home / "new"), home / "m.zip", f"patient {FILE}"
    few = ("--resamples", 50)
    run(said, "extract", source, "--out", features, "--dry-run")
    run(said, "extract", source, "--out", features)
    run(said, "extract", new, "--out", home / "new.h5", "--max-rejected", 0.5)
    run(said, "extract", new, "--out", home / "new.h5", codes=(1,))
    for more in ((), ("--json",)):
        run(said, "inspect", features, *more)
        run(said, "inspect", home / "new.h5", *more)
    suite = ("--classifiers", "logistic,nearest-centroid", "--no-tune")
    run(said, "classify", features, "--out", results, *suite)
    run(said, "classify", features, "--out", home / "grouped", *suite, "--group-by", group)
    run(said, "classify", features, "--out", home / "x", "--group-by", "x", codes=(1, 2))
    (home / FILE).write_bytes((results / "splits.parquet").read_bytes())
    run(said, "classify", home / FILE, "--out", home / "x", codes=(1, 2))
    table = added(results, home / f"{FILE}.parquet")
    run(said, "add", results, table, "--name", "mine", "--title", EVIL)
    for command in ("compare", "evaluate"):
        for more in ((), ("--json",)):
            run(said, command, results, *few, *more)
    run(said, "compare", home / FILE, codes=(2,))
    run(said, "evaluate", results, "--candidate", EVIL, codes=(2,))
    run(said, "advise", features, "--out", results)
    for end in ("html", "png"):
        run(said, "map", features, "--results", results, "--out", home / f"map.{end}")
    run(said, "report", results, *few, "--out", home / "report.html")
    run(said, "pack", results, "--out", pack)
    sample = home / f"sample{FILE}.csv"
    with sample.open("w", newline="") as file:
        ids = [path.name for path in sorted(new.iterdir()) if "odd" not in path.name]
        csv.writer(file).writerows([["id", EVIL], *([name, ""] for name in ids)])
    for place in (results, pack):
        out = home / f"{place.stem}.csv"
        run(said, "predict", place, new, "--out", out, "--json")
        run(said, "predict", place, new, "--out", out, "--explain", home / "evidence")
    run(said, "predict", pack, new, "--out", home / "p.parquet", "--submission", sample)
    run(said, "predict", pack, home / FILE, "--out", home / f"y{FILE}.csv", codes=(1, 2))
    run(said, "backbones", EVIL, codes=(2,))
    run(said, "weights", "list")
    run(said, "doctor")
    return Walk(said, home)


def train(said: dict[str, str], home: Path) -> None:
    """Train the smallest networks on a few images, once each."""
    source = pictures(home / "few", 18)
    with source.open(newline="") as file:
        head, *rows = csv.reader(file)
    parts = ("train", "train", "train", "train", "validation", "test")
    rows = [[*row, parts[number // 3]] for number, row in enumerate(rows)]  # of three classes
    with source.open("w", newline="") as file:
        csv.writer(file).writerows([[*head, "split"], *rows])
    tiny = ("--image-size", 32, "--batch-size", 4, "--epochs", 1, "--augment", "none",
            "--precision", "float32", "--no-refit", "--out", home / "networks")  # fmt: skip
    run(said, "scratch", source, "--architecture", "lenet", *tiny)
    tuned = ("--backbone", "mobilenet", "--weights", "none", "--head", "none", "--head-epochs", 1)
    run(said, "finetune", source, *tuned, *tiny)
    run(said, "compare", home / "networks", "--resamples", 50)


def added(results: Path, path: Path) -> Path:
    """Predictions of another tool, in a file of a hostile name."""
    import pandas as pd

    stored = pd.read_parquet(next(results.glob("*logistic/validation.parquet")))
    stored.drop(columns="label").drop_duplicates("id").to_parquet(path)
    return path


@pytest.fixture(scope="module")
def walked(tmp_path_factory):
    """The walk, in the home folder of somebody whose name must not go with the files."""
    home = tmp_path_factory.mktemp("walk") / "home" / "SECRETNAME"
    home.mkdir(parents=True)
    said: dict[str, str] = {}
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("HOME", str(home))
        patched.setenv("OFFSHELF_CACHE", str(home.parent / "cache"))
        train(said, home / f"work{FILE}")  # with networks as they are
        with stub.stubbed():
            yield walk(home / f"work{FILE}", said)


def test_no_terminal_obeys_a_name(walked):
    for words, text in walked.said.items():
        odd = {sign for sign in text if not (sign.isprintable() or sign in "\n\t\r")}
        assert odd == set(), words
        assert "\r<" not in text, "only a bar of progress goes back to the start of its line"
        assert [line for line in text.split("\n") if line.startswith("FORGED")] == [], words
        assert "FORGED" in text or "SECRETNAME" not in text, words


def test_no_cell_of_csv_is_computed(walked):
    written = [path for path in walked.work.rglob("*.csv") if FILE not in path.name]
    tables = [path for path in written if not path.name.endswith(".submission.csv")]
    names = {"comparison.csv", "map.csv", "results.csv", "m.csv"}
    assert {path.name for path in tables} == names
    for path in tables:
        with path.open(newline="") as file:
            cells = [cell for line in csv.reader(file) for cell in line]
        is_told = any("FORGED" in cell for cell in cells)
        assert is_told or path.parent.name == "networks", path  # which are called by their settings
        assert [
            cell for cell in cells if cell[:1] in set("=+-@\t\r") and not NUMBER.match(cell)
        ] == []


def test_no_page_runs_a_name(walked):
    pages = list(walked.work.rglob("*.html"))
    assert {path.name for path in pages} == {"report.html", "map.html"}
    for page in [path.read_text() for path in pages] + [served(walked.work)]:
        assert "alert(1)" in page
        assert "<script>alert" not in page.lower()
        assert "\u202e" not in page, "it would turn the sentence around the name"
        assert "\\u202e" in page


def served(work: Path) -> str:
    """Return the page of the service, whose answers are looked at, too."""
    from starlette.testclient import TestClient

    from pipeline.config import ServeConfig
    from pipeline.predictors.kit import open_kit
    from pipeline.stages import serve

    config = ServeConfig(work / "m.zip")
    image = next((work / "new").glob("0*.png"))
    with open_kit(config.results, "best") as kit, TestClient(serve._app(config, kit)) as client:
        files = [("image", (image.name, image.read_bytes()))]
        answer = client.post("/predict", files=files)
        assert answer.headers["content-type"] == "application/json"
        assert answer.json()["predictions"][0]["class"].startswith(EVIL)
        for path in ("/openapi.json", "/metrics", "/health"):
            assert client.get(path).headers["content-type"].split(";")[0] != "text/html"
        return client.get("/").text


def test_a_feature_file_of_a_hostile_layer_is_obeyed_by_no_terminal(tmp_path):
    x, labels = clusters(60)
    file, results, said = tmp_path / "f.h5", tmp_path / "results", {}
    names = [f"{FILE}{number}" for number in range(3)]
    write_features(file, x, labels, parts=with_test_part(60), layer=FILE, class_names=names)
    suite = ("--classifiers", "nearest-centroid", "--no-tune")
    run(said, "classify", file, "--out", results, *suite)
    run(said, "compare", results, "--resamples", 50)
    run(said, "advise", file, "--out", results)
    shown = "".join(said.values())
    assert "FORGED" in shown
    assert "\nFORGED" not in shown
    assert all(sign.isprintable() or sign in "\n\t\r" for sign in shown)


def test_a_backbone_does_not_lead_out_of_the_results_folder(tmp_path):
    x, labels = clusters(60)
    write_features(tmp_path / "f.h5", x, labels, backbone="../../../evil")
    suite = ("--classifiers", "nearest-centroid", "--no-tune")
    run({}, "classify", tmp_path / "f.h5", "--out", tmp_path / "a" / "results", *suite)
    assert {path.name for path in tmp_path.iterdir()} == {"f.h5", "a"}
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["results"]
    assert (tmp_path / "a" / "results" / "..-..-..-evil.a.nearest-centroid").is_dir()


def test_no_file_tells_who_made_it(walked):
    """The folder of the walk lies below the user's own, whose name is SECRETNAME."""
    telling = {
        path.relative_to(walked.work).parts[0]
        for path in walked.work.rglob("*")
        if path.is_file() and b"SECRETNAME" in path.read_bytes()
    }
    assert telling == {f"y{FILE}.csv"}, "ids of images that are named one by one are their paths"
    record = json.loads(next(walked.work.glob("results/*logistic/record.json")).read_text())
    assert record["inputs"]["file"] == "../f.h5"


def test_a_page_has_whole_paths_where_they_are_asked_for(walked):
    page = walked.work / "paths.html"
    arguments = (walked.work / "results", "--resamples", 50, "--evidence", 0, "--out", page)
    run({}, "report", *arguments, "--paths")
    assert "SECRETNAME" in page.read_text()
    page.unlink()


def test_pages_do_not_tell_where_images_were_that_have_gone(walked, tmp_path):
    moved = walked.work / "photos"
    moved.rename(walked.work / "gone")
    out, arguments = tmp_path / "r.html", ("--resamples", 50, "--evidence", 0)
    run({}, "report", walked.work / "results", *arguments, "--out", out)
    run({}, "map", walked.work / "f.h5", "--out", tmp_path / "m.html")
    (walked.work / "gone").rename(moved)
    for page in (out, tmp_path / "m.html"):
        assert "not shown" in page.read_text()
        assert "SECRETNAME" not in page.read_text()
