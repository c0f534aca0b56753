"""Advice as text for a terminal."""

import textwrap

from features.text import in_line
from pipeline.advice import costs, powerlaw
from pipeline.data.joined import EVERY
from pipeline.reports.scores import interval
from pipeline.reports.tables import render
from pipeline.results.advice import Advice, Recommendation, best
from pipeline.results.learning_curve import Score

_WIDTH = 100


def text(advice: Advice) -> str:
    """Return the tables, the guess and the recommendation: one screen."""
    findings = advice.findings
    sections = [
        in_line(f"{advice.config.features}: {advice.splits.counts()}; the locked ones are not used")
        + _sample(advice),
        f"linear probes, {findings.probes[0].rows:,} training rows, accuracy on validation in % "
        f"with 95 % intervals\n\n{_layers(advice)}",
        _curve(advice),
        _distance(advice),
        _recommendation(advice.recommendation),
        in_line(f"written: {advice.file}"),
    ]
    return "\n\n".join(sections)


def _sample(advice: Advice) -> str:
    """Return how many images were read, where these are not all, else nothing."""
    probe, splits = advice.findings.probes[0], advice.splits
    if len(probe.hits) == len(splits.validated) and probe.rows == splits.smallest:
        return ""
    return (
        f"\nread: a sample of {probe.rows:,} of {splits.smallest:,} images that train and "
        f"{len(probe.hits):,} of {len(splits.validated):,} that validate, by class and group"
    )


def _layers(advice: Advice) -> str:
    probes, top = advice.findings.probes, best(advice.findings.probes)
    rows = [
        (probe.layer.name, probe.layer.dimensions, _shown(probe.linear), _shown(probe.means),
         "best" if probe is top and len(probes) > 1 else "")
        for probe in probes
    ]  # fmt: skip
    if (together := advice.findings.together) is not None:
        probe = together.probe
        rows.append(
            (f"together ({EVERY})", probe.layer.dimensions, _shown(probe.linear),
             _shown(probe.means), "")
        )  # fmt: skip
    return render(("layer", "features", "linear", "class means alone", ""), rows)


def _curve(advice: Advice) -> str:
    findings = advice.findings
    classes = len(advice.splits.class_names)
    rows = [
        (f"{point.rows:,}", f"{point.rows / classes:,.0f}", _shown(point.score), "measured")
        for point in findings.curve
    ]
    if findings.laws is not None:
        rows += [
            (f"{ahead:,}", f"{ahead / classes:,.0f}", _shown(findings.laws.at(ahead)), "expected")
            for ahead in advice.ahead
        ]
    table = render(("rows", "a class", "accuracy %", ""), rows)
    if findings.laws is None:
        note = f"no power law: it takes {powerlaw.LEAST} points, and so more images of each class"
    else:
        note = (
            "expected: by all power laws error = a n^-b + c that fit the points, with the range of "
            "95 % of them; a guess"
        )
    heading = in_line(f"learning curve of {best(findings.probes).layer.name}")
    return f"{heading}\n\n{table}\n{note}"


def _distance(advice: Advice) -> str:
    findings = advice.findings
    lines = [_wrapped("- ", sentence) for sentence in findings.distance.evidence]
    if len(findings.probes) == 1 and findings.source.pretrained:
        stages = findings.source.extract_command(findings.source.stages)
        lines.append(in_line(f"- several layers in one pass: {stages}"))
    return "\n".join([f"distance from ImageNet, a guess: {findings.distance.guess}", *lines])


def _recommendation(recommendation: Recommendation) -> str:
    cost, gain = recommendation.cost, recommendation.gain
    lines = [
        _wrapped("recommended: ", recommendation.reason),
        *([] if gain is None else [f"expected gain: {gain}, a rule of thumb"]),
        _wrapped("time here: ", costs.describe(cost)),
    ]
    return "\n".join(lines) + f"\n\n    {in_line(recommendation.command)}"


def _shown(score: Score) -> str:
    return interval(score.accuracy, score.low, score.high)


def _wrapped(start: str, sentence: str) -> str:
    sentence = in_line(sentence).replace(" %", "\u00a0%")  # no break between a number and its unit
    indent = " " * len(start)
    lines = textwrap.fill(
        start + sentence, _WIDTH, subsequent_indent=indent, break_on_hyphens=False
    )
    return lines.replace("\u00a0", " ")
