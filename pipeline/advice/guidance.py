"""The next command from the evidence: little or much data, a task near ImageNet or far from it.

The table that practice follows, from the notes on transfer learning of Stanford's course cs231n:

               near                          far
    little     linear on the deepest layer   linear on an earlier layer
    much       fine-tune a few layers        fine-tune many layers, or train from scratch

J. Yosinski et al., "How transferable are features in deep neural networks?", NIPS 2014: the deeper
a layer, the more specific it is to the task of its network. S. Kornblith, J. Shlens and Q. Le, "Do
Better ImageNet Models Transfer Better?", CVPR 2019: with many images, fine-tuning gains on fixed
features, and pretraining loses its advantage over training from scratch.
"""

from collections.abc import Sequence

import numpy as np

from pipeline.results.advice import Distance, Findings, Probe, Recommendation, best

NEAR, BETWEEN, FAR = "near", "between", "far"

# Images of each class to learn from: few below the first, many and plenty from the others on.
FEW, MANY, PLENTY = 100, 1000, 5000
FLAT = 0.02  # gain in accuracy with four times the data, below which the curve is flat
SURE = 2.0  # standard errors by which layers must differ
NOTABLE = 0.01  # accuracy by which they must differ
CLOSE, APART = 2.0, 3.0  # errors of class means over those of a linear model: near, far
MOST, HALF = 0.75, 0.5  # share of a linear model's gain on chance by class means: near, far


def distance(probes: Sequence[Probe], pretrained: bool) -> Distance:
    """Guess the distance from ImageNet by the depth of the best layer and by class means."""
    if not pretrained:
        return Distance(
            BETWEEN, ("these features do not come from a network trained on ImageNet: no guess",)
        )
    depth, reason_of_depth = _by_depth(probes)
    means, reason_of_means = _by_means(probes[-1])
    guess = (BETWEEN, NEAR, FAR)[int(np.sign(depth + means))]
    return Distance(guess, (reason_of_depth, reason_of_means))


def _by_depth(probes: Sequence[Probe]) -> tuple[int, str]:
    """Return 1 where accuracy peaks at the deepest layer, -1 where it peaks before, and why."""
    if len(probes) == 1:
        return 0, "one layer only: it cannot be seen at which depth accuracy peaks"
    deepest, other = probes[-1], best(probes[:-1])
    gain, error = deepest.ahead_of(other)
    names = f"{deepest.layer.name}, the deepest, {{}} {other.layer.name}, the best before it"
    apart = f"({100 * gain:+.1f} points, standard error {100 * error:.1f})"
    if abs(gain) < max(SURE * error, NOTABLE):
        return 0, f"{names.format('cannot be told from')} {apart}"
    if gain > 0:
        return 1, f"{names.format('beats')} {apart}: the task uses what the network learned last"
    return -1, f"{names.format('falls behind')} {apart}: the last stages lost what matters here"


def _by_means(probe: Probe) -> tuple[int, str]:
    """Return 1 where class means do nearly as well as a linear model, -1 where not, and why."""
    if probe.linear.low <= probe.chance + NOTABLE:
        return -1, f"{probe.layer.name} separates the classes hardly better than chance"
    ratio = (1 - probe.means.accuracy) / max(1 - probe.linear.accuracy, 1e-3)
    reason = (
        f"class means alone make {ratio:.1f} times the errors of a linear model on "
        f"{probe.layer.name} ({100 * probe.means.accuracy:.1f} % against "
        f"{100 * probe.linear.accuracy:.1f} %)"
    )
    gain = (probe.means.accuracy - probe.chance) / (probe.linear.accuracy - probe.chance)
    if ratio <= CLOSE and gain >= MOST:
        return 1, f"{reason}: classes lie in clusters, as those of ImageNet do"
    if ratio >= APART or gain < HALF:
        return -1, f"{reason}: classes can be separated, but are not clusters as in ImageNet"
    return 0, reason


def recommend(findings: Findings) -> Recommendation:
    """Return the next command: the row and the column of the table above."""
    source, layer = findings.source, best(findings.probes).layer
    if not source.pretrained:
        return Recommendation(
            source.extract_command(None),
            "these features do not come from a pretrained network, whose features are the first "
            "thing to compare them with",
        )
    if findings.distance.guess == FAR:
        return _far(findings)
    if findings.distance.guess == BETWEEN and len(findings.probes) == 1 and findings.images < MANY:
        return _earlier_layers(
            findings,
            "the distance of the task from ImageNet decides what to do, and one layer does not "
            "show it",
        )
    plenty = findings.images >= MANY
    if findings.images < FEW or (not plenty and not _is_flat(findings)):
        return Recommendation(
            source.classify_command(layer.name),
            f"{_amount(findings)}: a simple classifier on {layer.name} is hard to beat, and "
            f"fine-tuning would memorize the few{_more(findings)}",
        )
    blocks = 1 if findings.distance.guess == NEAR else 2
    many = " are many" if plenty else ", and more would bring little"
    return Recommendation(
        source.finetune_command(str(blocks)),
        f"{_amount(findings)}{many}{_more(findings)}; a task {_place(findings)} ImageNet asks for "
        f"the last {'stage' if blocks == 1 else 'stages'} to be tuned, not for a new network",
    )


def _far(findings: Findings) -> Recommendation:
    source, top = findings.source, best(findings.probes)
    if findings.images >= PLENTY:
        return Recommendation(
            source.scratch_command(),
            f"{_amount(findings)} are plenty, and the task is far from ImageNet: a small network "
            "from scratch may do as well, for less",
        )
    if findings.images >= MANY:
        return Recommendation(
            source.finetune_command("all"),
            f"{_amount(findings)} are many, and the task is far from ImageNet: every layer has to "
            "change, and pretrained weights are still the better start",
        )
    if len(findings.probes) == 1:
        return _earlier_layers(
            findings,
            f"{_amount(findings)} and a task far from ImageNet: earlier layers are more general",
        )
    return Recommendation(
        source.classify_command(top.layer.name),
        f"{_amount(findings)} and a task far from ImageNet: a simple classifier on "
        f"{top.layer.name}, where accuracy peaks{_more(findings)}",
    )


def _earlier_layers(findings: Findings, why: str) -> Recommendation:
    return Recommendation(
        findings.source.extract_command(findings.source.stages),
        f"{why}; then `advise` again",
    )


def _is_flat(findings: Findings) -> bool:
    gain = _gain(findings)
    return gain is not None and gain < FLAT


def _gain(findings: Findings) -> float | None:
    """Return the gain in accuracy that is expected of four times the data."""
    if findings.laws is None:
        return None
    rows = findings.curve[-1].rows
    return findings.laws.at(4 * rows).accuracy - findings.laws.at(rows).accuracy


def _more(findings: Findings) -> str:
    gain = _gain(findings)
    return "" if gain is None else f" (four times the data: about {100 * gain:+.1f} points)"


def _amount(findings: Findings) -> str:
    return f"{findings.images:,.0f} images a class"


def _place(findings: Findings) -> str:
    return "near" if findings.distance.guess == NEAR else "neither near nor far from"
