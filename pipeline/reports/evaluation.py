"""The result of one candidate on the locked test, as text for a terminal."""

from dataclasses import asdict
from typing import Any

from features.text import in_line
from pipeline.reports.scores import (
    PLAIN,
    TITLES,
    bounds,
    class_table,
    confused,
    expected,
    number,
    with_article,
)
from pipeline.reports.tables import render
from pipeline.results.evaluation import Evaluation


def text(evaluation: Evaluation) -> str:
    """Return the metrics, the classes, the most frequent mistakes, and the count of openings."""
    facts, names = evaluation.facts, evaluation.facts["class_names"]
    chosen = f"; {evaluation.chosen_by}" if evaluation.chosen_by else ""
    sections = [
        in_line(
            f"{facts['candidate']} ({facts['title']}) on {facts['images']} images that were locked "
            f"away, with {facts['confidence']:.0%} intervals{chosen}"
        ),
        _table(evaluation) + _threshold(evaluation) + _expected(evaluation),
        class_table(evaluation.confusion, names),
        confused(evaluation.confusion, names),
        _openings(evaluation),
        in_line(f"written: {evaluation.folder}"),
    ]
    return "\n\n".join(sections)


def data(evaluation: Evaluation) -> dict[str, Any]:
    """Return all of it as JSON takes it: what test.json holds, and the openings so far."""
    return evaluation.facts | {
        "fresh": evaluation.fresh,
        "renewed": evaluation.renewed,
        "openings": [asdict(opening) for opening in evaluation.openings],
        "candidates_tested": evaluation.contenders,
        "chosen_by": evaluation.chosen_by,
        "expected": evaluation.choice and evaluation.choice.expected.value,
        "folder": str(evaluation.folder),
    }


def _table(evaluation: Evaluation) -> str:
    estimates = evaluation.facts["metrics"]
    count = evaluation.facts["suspects"]  # near-duplicates, by the name in files
    rows = []
    for name, title in TITLES.items():
        if name not in estimates or (name == "accuracy_without_twins" and not count):
            continue
        estimate, unit = estimates[name], "" if name in PLAIN else " %"
        shown = bounds(name, estimate["low"], estimate["high"])
        shown += f": {estimate['reason']}" if "reason" in estimate else ""
        rows.append((title, number(name, estimate["value"]) + unit, shown))
    table = render(("metric", "value", "interval"), rows)
    if count:
        have, them = ("image has", "it") if count == 1 else ("images have", "them")
        table += (
            f"\n\n{count} test {have} a duplicate or near-duplicate in another split; the accuracy "
            f"without near-duplicates leaves {them} out"
        )
    return table


def _threshold(evaluation: Evaluation) -> str:
    if not (kept := evaluation.facts.get("threshold")):
        return ""
    return "\n\n" + in_line(
        f"{kept['class']} is predicted from a calibrated probability of {kept['value']:.3f} "
        f"on, chosen on validation by {TITLES[kept['metric']]}"
    )


def _expected(evaluation: Evaluation) -> str:
    if (choice := evaluation.choice) is None:
        return ""
    promised = expected(choice.metric, choice.expected)
    return f"\n\nvalidation promised {with_article(choice.metric)} of {promised} on new images"


def _openings(evaluation: Evaluation) -> str:
    opening, count = evaluation.facts["opening"], len(evaluation.openings)
    times = "once" if count == 1 else f"{count} times"
    this = (
        f"this was opening {opening['number']}"
        if evaluation.fresh
        else f"nothing was opened now: the result was stored at opening {opening['number']}, "
        f"{opening['when']}"
    )
    if evaluation.renewed:
        this += "; its numbers were computed anew from the stored predictions"
    line = f"the lock was opened {times} in all; {this}"
    caution = warning(evaluation.contenders)
    return f"{line}\nwarning: {caution}" if caution else line


def warning(contenders: int) -> str:
    """Return a warning where several candidates were scored on the test, else nothing."""
    if contenders < 2:
        return ""
    return (
        f"{contenders} different candidates were scored on this test; to choose among them by "
        "these scores is to fit the test, and the chosen one's score is then no longer a fair "
        "estimate: choose on validation, by `compare`"
    )
