"""Names that anybody may have chosen: in a terminal, a table, CSV."""

import csv
import io

import pytest

from features.text import for_csv, for_terminal, plural, visible_lines
from pipeline.reports.tables import render

NAMES = (
    "<script>alert(1)</script>", "a,b", 'say "hi"', "line\nbreak", "🐱 cat", "=1+1", "@SUM(A1)",
    "-2+3", "x" * 300, "10", "2", " lead", "tab\there", "'quoted'", "\u202egnp.exe", "NaN", "None",
    "null", "\x1b[31mred", "cr\rover", "\ufeffbom", "'=x",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_one_line_that_no_terminal_obeys(name):
    shown = for_terminal(name)
    assert shown.isprintable()
    assert len(shown) <= 100
    assert name.startswith(shown[:-3]) or "\\" in shown


def test_texts_keep_their_lines():
    assert visible_lines("a\n\tb\x1b]0;x\x07") == "a\n\tb\\x1b]0;x\\x07"


def test_a_table_stays_a_table():
    lines = render(("class", "images"), [(name, 20) for name in NAMES]).splitlines()
    assert len(lines) == len(NAMES) + 2
    assert {len(line) for line in lines} == {len(lines[0])}
    assert all(line.isprintable() for line in lines)


def test_names_are_read_back_as_text():
    import pandas

    target = io.StringIO()
    csv.writer(target).writerows([("name", "x"), *((for_csv(name), -0.5) for name in NAMES)])
    frame = pandas.read_csv(io.StringIO(target.getvalue()))
    assert frame["x"].tolist() == [-0.5] * len(NAMES)
    assert [str(name).removeprefix("'") for name in frame["name"]] == list(NAMES)
    assert not any(str(name).startswith(("=", "+", "-", "@", "\t", "\r")) for name in frame["name"])


def test_one_and_many():
    assert (plural(1, "epoch"), plural(0, "epoch"), plural(1200, "image")) == (
        "1 epoch", "0 epochs", "1,200 images",
    )  # fmt: skip
