"""What stands of the locked test is counted, whatever `openings.json` says."""

import json

import pytest

from features.errors import DataError
from pipeline.commands.main import main
from pipeline.config import CompareConfig, EvaluateConfig, ReportConfig
from pipeline.results import openings
from pipeline.stages import compare, evaluate, report
from tests.pipeline import candidates

BEST, DUMMY = "vgg16.pool.logistic", "vgg16.pool.dummy"
EMPTIED = json.dumps({"schema": 1, "openings": []})


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """A results folder whose test was opened for one candidate."""
    results = candidates.results(tmp_path_factory.mktemp("opened"), ["logistic", "dummy"])
    evaluate.run(EvaluateConfig(results, BEST, resamples=20))
    return results


@pytest.fixture
def list_of(opened):
    path = opened / openings.FILE
    before = path.read_bytes()
    yield path
    path.write_bytes(before)


def spoil(path, how):
    path.unlink() if how == "gone" else path.write_text(EMPTIED)


@pytest.mark.parametrize("how", ["gone", "emptied"])
def test_a_stored_result_counts_and_the_gap_is_told(opened, list_of, how, caplog, tmp_path):
    assert openings.uncounted(opened) == ""
    (before,) = openings.read(opened)
    spoil(list_of, how)
    assert openings.read(opened) == (before,)
    sentence = openings.uncounted(opened)
    assert f"does not count the opening for {BEST}, whose result" in sentence
    result = evaluate.run(EvaluateConfig(opened, BEST, resamples=20))
    assert (result.fresh, len(result.openings)) == (False, 1)
    compare.run(CompareConfig((opened,), resamples=20))
    page = report.run(ReportConfig((opened,), tmp_path / "page.html", resamples=20)).path
    assert [record.message for record in caplog.records].count(sentence) == 3
    assert "does not count the opening for" in page.read_text()
    assert "was opened once" in page.read_text()


def test_the_next_opening_brings_the_list_back(opened, list_of):
    list_of.unlink()
    evaluate.run(EvaluateConfig(opened, DUMMY, resamples=20))
    listed = json.loads(list_of.read_text())["openings"]
    assert [(each["number"], each["candidate"]) for each in listed] == [(1, BEST), (2, DUMMY)]
    assert openings.uncounted(opened) == ""
    for name in ("test.json", "test.parquet"):
        (opened / DUMMY / name).unlink()


def test_predictions_alone_count_too(opened, list_of):
    spoil(list_of, "emptied")
    (opened / DUMMY / "test.parquet").write_bytes(b"whatever")
    dummy, best = openings.read(opened)
    (opened / DUMMY / "test.parquet").unlink()
    assert (dummy.candidate, dummy.when) == (DUMMY, "at an unknown time")
    assert (best.candidate, best.number) == (BEST, 2)


@pytest.mark.parametrize(
    "content",
    ["", "{}", "[]", '{"schema": 1, "openings": 3}', '{"schema": 2, "openings": []}',
     '{"schema": 1, "openings": [{"number": 7, "when": "", "candidate": "", "key": "", "model": ""}]}',
     '{"schema": 1, "openings": [{"number": 1}]}', "[" * 10**5],
)  # fmt: skip
def test_an_unreadable_list_ends_the_command(opened, list_of, content, capsys):
    list_of.write_text(content)
    with pytest.raises(DataError, match="nobody knows how often the locked test was opened"):
        openings.read(opened)
    assert main(["evaluate", str(opened), "--candidate", BEST]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def changed(folder, **changes):
    path = folder / "test.json"
    facts = json.loads(path.read_text()) | changes
    path.write_text(json.dumps(facts))


def test_a_changed_result_is_told_and_opened_anew(tmp_path, caplog):
    results = candidates.results(tmp_path, ["logistic"])
    evaluate.run(EvaluateConfig(results, BEST, resamples=20))
    for spoilt, message in (
        (lambda: changed(results / BEST, images=1), "test.json has changed since"),
        (lambda: changed(results / BEST, metrics={}), "metrics: accuracy is missing"),
        (lambda: (results / BEST / "test.parquet").write_bytes(b""), "test.parquet is missing, or"),
    ):
        spoilt()
        count = len(openings.read(results))
        result = evaluate.run(EvaluateConfig(results, BEST, resamples=20))
        assert result.fresh
        assert len(result.openings) == count + 1
        assert message in caplog.text
        assert "this result on the locked test is not taken" in caplog.text
