"""The report: what it says, that it needs nothing but itself, and what bad input gives."""

import dataclasses
import json
import shlex
from html.parser import HTMLParser

import numpy as np
import pandas
import pytest

from features.errors import DataError
from pipeline.commands import main as cli
from pipeline.config import CompareConfig, EvaluateConfig, ReportConfig
from pipeline.data import duplicates
from pipeline.data.duplicates import Duplicates
from pipeline.data.splits import Splits
from pipeline.reports import provenance
from pipeline.reports.comparison import text as comparison_text
from pipeline.results import left_out, mistakes
from pipeline.results.ranking import rank_candidates
from pipeline.stages import compare, evaluate, report
from tests.pipeline import candidates
from tests.pipeline.stages.test_compare import answer

BEST, CENTROID, DUMMY = (f"vgg16.pool.{method}" for method in candidates.METHODS)
EVIL = ("<script>alert(1)</script>", "say \"hi\" & 'bye' </td>", "Ünï 漢字 🐈")


class Page(HTMLParser):
    """What of a page tests look at: text by the id of the nearest element that has one."""

    VOID = ("meta", "link", "img", "br", "wbr", "line")

    def __init__(self, path) -> None:
        super().__init__()
        self.html = path.read_text(encoding="utf-8")
        self.ids, self.texts, self.attributes = [], {}, []
        self.feed(self.html)
        self.data = json.loads(self.texts["page"])

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.attributes.append((tag, values))
        if tag not in self.VOID:
            self.ids.append(values.get("id") or (self.ids[-1] if self.ids else ""))

    def handle_startendtag(self, tag, attributes):
        self.attributes.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        self.ids.pop()

    def handle_data(self, data):
        for name in set(self.ids):
            self.texts[name] = self.texts.get(name, "") + data

    def text(self, name) -> str:
        return " ".join(self.texts[name].replace("\u202f", " ").split())


@pytest.fixture
def pictures(tmp_path):
    return tmp_path / "pictures"


@pytest.fixture
def results(tmp_path, pictures):
    return candidates.results(tmp_path, pictures=pictures)


def make_page(*results, **settings) -> Page:
    out = results[0].parent / "page" / "report.html"
    settings = {"evidence": 0, "progress": False} | settings
    return Page(report.run(ReportConfig(results, out, resamples=50, **settings)).path)


def write(path, facts):
    path.write_text(json.dumps(facts))


def test_the_answer_comes_first(results, pictures):
    comparison = compare.run(CompareConfig((results,), resamples=50))
    rank = comparison.ranking.recommended
    estimates, record = comparison.estimates[rank], comparison.ranking.entries[rank].record
    page = make_page(results, images=pictures)
    words = page.text("answer")
    value, low, high = (
        f"{100 * getattr(estimates['accuracy'], key):.1f}" for key in ("value", "low", "high")
    )
    assert f"Take {record.title} on vgg16 pool: it is right in {value} % of 240" in words
    assert f"95 % interval {low} to {high} %" in words
    assert "1 s to fit and 500 ms to predict 1,000 images" in words
    for row in comparison.rows:
        assert row["candidate"].replace(".", ".") in page.text("table")
        assert f"{100 * row['accuracy']:.1f}" in page.text("table")
    assert list(page.texts).index("question") < list(page.texts).index("table")


def test_who_could_be_the_best_as_well_is_named(results):
    answer(results, BEST, 0.90, seconds={"search": 0, "fit": 100.0, "predict_1000": 10.0})
    answer(results, CENTROID, 0.895, seconds={"search": 0, "fit": 2.0, "predict_1000": 1.0})
    words = make_page(results).text("answer")
    assert "Take nearest centroid on vgg16 pool" in words
    assert "could be the best, as could logistic regression on vgg16 pool (90.0 %)" in words
    assert "the surest of equally cheap ones: 2 s to fit" in words


def test_mistakes_are_mistakes_the_surest_first(results, pictures):
    page = make_page(results, images=pictures)
    splits = Splits.read(results)
    labels = dict(zip(splits.ids, splits.labels.tolist(), strict=True))
    for candidate in page.data["candidates"]:
        assert sum(cell[2] for cell in candidate["cells"]) == 240
        for true, predicted, count, shown in candidate["cells"]:
            ids = [page.data["images"][place][0] for place, _ in shown]
            assert all(labels[image] == true for image in ids)
            assert len(ids) == (0 if true == predicted else min(count, mistakes.MOST))
            sureness = [sure for _, sure in shown]
            assert sureness == sorted(sureness, reverse=True)
    assert all(uri.startswith("data:image/webp") for _, uri, _ in page.data["images"])


def test_what_was_left_out_is_named_with_its_reason(results):
    left_out.write(results, {"pool.rbf-svm": "no time was left"})
    page = make_page(results)
    assert "Left out: pool.rbf-svm: no time was left." in page.text("candidates")
    compared = compare.run(CompareConfig((results,), resamples=50))
    assert "left out: pool.rbf-svm: no time was left" in comparison_text(compared)


def test_how_sure_a_mistake_is_is_calibrated(results):
    candidates.change(results, BEST, temperature=1e-2)
    ranking = rank_candidates((results,), "accuracy")
    cells = mistakes.choose(ranking).cells[[e.label for e in ranking.entries].index(BEST)]
    assert np.mean([sure for shown in cells.values() for _, sure in shown]) > 0.99


def test_the_images_of_a_page_are_bounded_and_shared(results, monkeypatch):
    chosen = mistakes.choose(rank_candidates((results,), "accuracy"))
    shown = [place for cells in chosen.cells for cell in cells.values() for place, _ in cell]
    assert len(set(chosen.ids)) == len(chosen.ids) == len(set(shown)) < len(shown)
    monkeypatch.setattr(mistakes, "ALL", 10)
    few = mistakes.choose(rank_candidates((results,), "accuracy"))
    assert len(few.ids) == 10
    # Of the first candidate each kind of mistake is shown before one is shown twice.
    first = few.cells[rank_candidates((results,), "accuracy").recommended]
    assert len(first) == 6


def test_nothing_is_left_to_be_fetched(results, pictures):
    page = make_page(results, images=pictures)
    for _, attributes in page.attributes:
        for name in ("src", "href", "srcset", "action", "data"):
            assert attributes.get(name, "#").startswith(("#", "data:"))
    assert not [tag for tag, _ in page.attributes if tag in ("iframe", "object", "embed", "base")]
    policy = next(a["content"] for _, a in page.attributes if "http-equiv" in a)
    assert "default-src 'none'" in policy
    assert page.html.count("plotly.js v") == 1
    assert "@import" not in page.html.partition("</style>")[0]


def test_names_may_hold_anything(tmp_path, pictures, monkeypatch):
    monkeypatch.setattr(candidates, "NAMES", EVIL)
    monkeypatch.setattr(candidates, "SUFFIX", "'\"<b>&.png")
    results = candidates.results(tmp_path, pictures=pictures)
    write(results / BEST / "history.json", history(stage="</script><b>"))
    mark_duplicates(results, 3)
    page = make_page(results, images=pictures)
    assert page.data["classes"] == list(EVIL)
    assert all(uri for _, uri, _ in page.data["images"])
    assert "<script>alert" not in page.html
    assert "<b>&" not in page.html
    assert page.html.count("</script") == page.html.count("<script")
    assert len([tag for tag, _ in page.attributes if tag == "script"]) == 5


def test_equal_inputs_give_equal_pages(results, pictures):
    first = make_page(results, images=pictures).html
    assert make_page(results, images=pictures).html == first
    assert make_page(results, images=pictures, seed=1).html != first


def test_images_that_have_moved_or_changed_are_named(results, pictures):
    shown = [image for image, *_ in make_page(results, images=pictures).data["images"]]
    gone, changed, *others = shown
    (pictures / gone).unlink()
    (pictures / changed).write_bytes((pictures / others[0]).read_bytes())
    page = make_page(results, images=pictures)
    words = page.text("mistakes")
    for image, reason in (
        (gone, f"is not in {pictures.name} any more"),
        (changed, "has changed since its features were extracted"),
    ):
        assert f"not shown: 1 of {len(shown)} images ({image}): {reason}" in words
        assert f"1 not shown: {reason} {image}" in words
    uris = {image: uri for image, uri, _ in page.data["images"]}
    assert {image for image, uri in uris.items() if uri is None} == {gone, changed}


def test_without_the_feature_file_or_the_images_the_page_works(results, pictures, tmp_path):
    page = make_page(results)  # the feature file does not say where the images are
    assert "say with --images where the images lie" in page.text("mistakes")
    moved = (tmp_path / "features.h5").rename(tmp_path / "elsewhere.h5")
    page = make_page(results)
    assert "say with --features where it lies" in page.text("images")
    page = make_page(results, features=(moved,), images=pictures)
    assert "--features where it lies" not in page.html
    assert all(uri for _, uri, _ in page.data["images"])


def test_the_locked_test_and_how_often_it_was_opened(results):
    page = make_page(results)
    assert "still locked" in page.text("answer")
    assert "still locked away" in page.text("test")
    evaluation = evaluate.run(EvaluateConfig(results, BEST, resamples=50))
    page = make_page(results)
    assert "The lock was opened once" in page.text("test")
    assert f"{100 * evaluation.accuracy:.1f} %" in page.text("test")
    assert "different candidates" not in page.text("test")
    evaluate.run(EvaluateConfig(results, CENTROID, resamples=50))
    page = make_page(results)
    assert "opened 2 times" in page.text("test")
    assert "2 different candidates were scored on this test" in page.text("test")


def history(stage="head"):
    def epoch(number, **more):
        return {"epoch": number, "stage": stage, "learning_rate": 0.1, "loss": 1 / number,
                "accuracy": 0.5, "seconds": 1.0} | more  # fmt: skip

    held = [epoch(1, val_loss=1.5, val_accuracy=0.4), epoch(1, val_loss=1.2, val_accuracy=0.6)]
    held[1]["stage"] = "block"
    rounds = [
        {"name": "held-out", "epochs": held},
        {"name": "last fit", "epochs": [epoch(1, val_loss=None, val_accuracy=None)]},
    ]
    return {"schema": 1, "rounds": rounds}


def test_curves_of_trained_networks(results):
    assert "training" not in make_page(results).texts
    write(results / CENTROID / "history.json", history())
    page = make_page(results)
    rank = [candidate["label"] for candidate in page.data["candidates"]].index(CENTROID)
    assert "nearest centroid, held-out" in page.text("history")
    figure = page.data["figures"][f"accuracy-{rank}-0"]
    assert [trace["y"] for trace in figure["data"]] == [[50, 50], [40, 60]]
    assert [note["text"] for note in figure["layout"]["annotations"]] == ["head", "block"]
    assert [trace["x"] for trace in figure["data"]] == [[1, 2], [1, 2]]  # stages count from 1 anew
    assert (
        len(page.data["figures"][f"loss-{rank}-1"]["data"]) == 1
    )  # the last fit validates nothing
    for broken in ("{", "[]", '{"schema": 2, "rounds": []}', '{"schema": 1}'):
        (results / CENTROID / "history.json").write_text(broken)
        with pytest.raises(DataError, match="history.json: "):
            make_page(results)


def test_layers_and_training_size(results):
    assert "layers" not in make_page(results).texts
    record = rank_candidates([results], "accuracy").best_entry.record
    early = {"layer": "early", "recipe": record.inputs["recipe"] | {"layers": ["early", "pool"]}}
    candidates.change(results, CENTROID, title=record.title, inputs=record.inputs | early)
    candidates.change(results, BEST, inputs=record.inputs | {"recipe": early["recipe"]})
    page = make_page(results)
    (trace,) = page.data["figures"]["layers"]["data"]
    assert trace["x"] == ["early", "pool"]
    assert trace["name"] == "logistic regression on vgg16"
    assert "learning" not in page.data["figures"]
    point = {"layer": "pool", "accuracy": 0.5, "low": 0.4, "high": 0.6}
    write(results / "advice.json", {
        "learning_curve": [point | {"rows": 10}, point | {"rows": 100}],
        "layers": [point | {"dimensions": 8}],
        "recommendation": {"command": "do this", "reason": "because <b>"},
    })  # fmt: skip
    page = make_page(results)
    assert "because <b> do this" in page.text("layers")
    assert page.data["figures"]["learning"]["data"][0]["x"] == [10, 100]
    assert len(page.data["figures"]["layers"]["data"]) == 2


def mark_duplicates(results, count):
    splits = Splits.read(results)
    first, second = (np.array(splits.ids, object)[splits.test[n::2][:count]] for n in (0, 1))
    table = pandas.DataFrame({
        "id": [*first, *second], "part": "test", "twin": [*second, *first], "twin_part": "fold 1",
        "similarity": np.float32(0.95), "kind": "near",
    })  # fmt: skip
    duplicates.write(results, Duplicates(table, 0.88, True, 0, len(splits.test)))


def test_duplicates_are_shown_once_a_pair(results, pictures):
    mark_duplicates(results, 3)
    page = make_page(results, images=pictures)
    assert "6 images have a duplicate in another split" in page.text("images")
    shown = [a for tag, a in page.attributes if tag == "img"]
    assert len(shown) == 6
    assert all(a["alt"] and a["src"].startswith("data:image/webp") for a in shown)


def test_commands_are_ones_that_the_parser_takes(results):
    evaluate.run(EvaluateConfig(results, BEST, resamples=50))
    comparison = compare.run(CompareConfig((results,), resamples=50))
    gathered = report.gather(results / "report.html", comparison)
    lines = provenance.commands(gathered)
    assert [line.split()[3] for line in lines] == ["extract", "classify", "compare", "evaluate"]
    for line in lines:
        options = cli.parser().parse_args(shlex.split(line)[3:])
        assert callable(options.run)
    assert "--folds 3 --budget none" in lines[1]


def test_the_command_of_an_extraction_reads_the_source_as_it_was_read(results):
    gathered = report.gather(
        results / "report.html", compare.run(CompareConfig((results,), resamples=50))
    )
    (source,) = gathered.sources
    recipe = source.recipe | {"decoding": "exact, damaged ones too"}
    options = {"limit": 9, "splits": (("train", "a b"), ("test", "c"))}
    line = provenance.extraction(dataclasses.replace(source, recipe=recipe, options=options))
    read = vars(cli.parser().parse_args(shlex.split(line)[3:]))
    assert (read["limit"], read["splits"]) == (9, "train=a b,test=c")
    assert read["exact_decode"] and read["accept_damaged"]


def test_compare_offers_it_too(results, tmp_path, capsys):
    out = tmp_path / "both.html"
    arguments = ["compare", str(results), "--resamples", "50", "--report", str(out)]
    assert cli.main(arguments) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(out)
    assert BEST in Page(out).text("table")
    assert (results / compare.CSV).exists()


def test_another_metric_leads(results):
    page = make_page(results, metric="macro_f1")
    assert "reaches a macro F1 of" in page.text("answer")


def test_one_candidate_alone(tmp_path):
    page = make_page(candidates.results(tmp_path, ["ridge"]))
    assert "It is the only candidate" in page.text("answer")


def refused(capsys, *arguments) -> str:
    code = cli.main(["report", *map(str, arguments), "--resamples", "50"])
    assert code in (1, 2)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    return line


def test_bad_input_gives_one_clear_line(results, tmp_path, capsys):
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "is no results folder" in refused(capsys, empty)
    assert "is no results folder" in refused(capsys, tmp_path / "nowhere")
    out = tmp_path / "page.html"
    assert "is a folder, expected a file" in refused(capsys, results, "--out", empty)
    (tmp_path / "file").write_text("")
    assert "cannot write to" in refused(capsys, results, "--out", tmp_path / "file" / "page.html")
    (results / BEST / "validation.parquet").unlink()
    assert "validation.parquet cannot be read" in refused(capsys, results, "--out", out)
    assert not out.exists()
    for folder in (BEST, CENTROID, DUMMY):
        (results / folder / "record.json").unlink()
    assert "holds no finished candidate" in refused(capsys, results, "--out", out)
