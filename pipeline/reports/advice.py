"""Advice as text for a terminal."""

import textwrap

from pipeline.advice import powerlaw
from pipeline.reports.tables import render
from pipeline.results.advice import Advice, Score, best

_WIDTH = 100


def text(advice: Advice) -> str:
    """Return the tables, the guess and the recommendation: one screen."""
    found, named = advice.findings, advice.splits
    sections = [
        f"{advice.config.features}: {named.counts()}; the locked ones are not looked at",
        f"linear probes, {found.probes[0].rows:,} training rows, accuracy on validation in % with "
        f"95 % intervals\n\n{_layers(advice)}",
        _curve(advice),
        _distance(advice),
        _wrapped("recommended: ", advice.recommendation.reason)
        + f"\n\n    {advice.recommendation.command}",
        f"written: {advice.file}",
    ]
    return "\n\n".join(sections)


def _layers(advice: Advice) -> str:
    probes, top = advice.findings.probes, best(advice.findings.probes)
    rows = [
        (probe.layer.name, probe.layer.dimensions, _shown(probe.linear), _shown(probe.means),
         "best" if probe is top and len(probes) > 1 else "")
        for probe in probes
    ]  # fmt: skip
    return render(("layer", "features", "linear", "class means alone", ""), rows)


def _curve(advice: Advice) -> str:
    found = advice.findings
    classes = len(advice.splits.class_names)
    rows = [
        (f"{point.rows:,}", f"{point.rows / classes:,.0f}", _shown(point.score), "measured")
        for point in found.curve
    ]
    if found.laws is not None:
        rows += [
            (f"{ahead:,}", f"{ahead / classes:,.0f}", _shown(found.laws.at(ahead)), "expected")
            for ahead in advice.ahead
        ]
    table = render(("rows", "a class", "accuracy %", ""), rows)
    if found.laws is None:
        note = f"no power law: it takes {powerlaw.LEAST} points, so more images"
    else:
        note = "expected: by power laws error = a n^-b + c, all that fit the points; a guess"
    return f"learning curve of {best(found.probes).layer.name}\n\n{table}\n{note}"


def _distance(advice: Advice) -> str:
    found = advice.findings
    lines = [_wrapped("- ", said) for said in found.distance.evidence]
    if len(found.probes) == 1 and found.origin.pretrained:
        stages = found.origin.extract_command(found.origin.stages)
        lines.append(f"- several layers in one pass: {stages}")
    return "\n".join([f"distance from ImageNet, a guess: {found.distance.guess}", *lines])


def _shown(score: Score) -> str:
    value, low, high = (100 * one for one in (score.accuracy, score.low, score.high))
    return f"{value:.1f} [{low:.1f}, {high:.1f}]"


def _wrapped(start: str, said: str) -> str:
    said = said.replace(" %", "\u00a0%")  # a number and its unit do not part
    indent = " " * len(start)
    lines = textwrap.fill(start + said, _WIDTH, subsequent_indent=indent, break_on_hyphens=False)
    return lines.replace("\u00a0", " ")
