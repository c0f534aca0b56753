"""From evidence to the next command: little or much data, a task near ImageNet or far from it.

The table of the field, as the notes of Stanford's course cs231n on transfer learning have it:

               near                          far
    little     linear on the deepest layer   linear on an earlier layer
    much       fine-tune a few layers        fine-tune many layers, or train from scratch

J. Yosinski et al., "How transferable are features in deep neural networks?", NIPS 2014: the deeper
a layer, the more it belongs to its own task. S. Kornblith, J. Shlens and Q. Le, "Do Better ImageNet
Models Transfer Better?", CVPR 2019: fine-tuning gains on fixed features as images become many, and
pretraining loses what it had ahead of training from scratch.
"""

from collections.abc import Sequence

import numpy as np

from pipeline.results.advice import Distance, Findings, Probe, Recommendation, best

NEAR, BETWEEN, FAR = "near", "between", "far"

# Images a class to learn from: below the first they are few, from the next ones on many, plenty.
FEW, MANY, PLENTY = 100, 1000, 5000
FLAT = 0.02  # accuracy that four times the data may bring where features are the limit
SURE = 2.0  # standard errors by which layers differ
NOTABLE = 0.01  # accuracy by which they differ at least
CLOSE, APART = 2.0, 3.0  # errors of class means, in errors of a linear model: near, far
MOST, HALF = 0.75, 0.5  # of a linear model's gain on chance, had by class means: near, far


def distance(probes: Sequence[Probe], pretrained: bool) -> Distance:
    """Guess from where along the depth accuracy peaks, and from how far class means carry."""
    if not pretrained:
        return Distance(BETWEEN, ("these features are not of a network that saw ImageNet: no "
                                  "guess",))  # fmt: skip
    depth, said_of_depth = _by_depth(probes)
    means, said_of_means = _by_means(probes[-1])
    guess = (BETWEEN, NEAR, FAR)[int(np.sign(depth + means))]
    return Distance(guess, (said_of_depth, said_of_means))


def _by_depth(probes: Sequence[Probe]) -> tuple[int, str]:
    """Return 1 where accuracy peaks at the deepest layer, -1 where before, and why."""
    if len(probes) == 1:
        return 0, "one layer only: where along the depth accuracy peaks cannot be told"
    deepest, other = probes[-1], best(probes[:-1])
    gain, error = deepest.ahead_of(other)
    names = f"{deepest.layer.name}, the deepest, {{}} {other.layer.name}, the best before it"
    apart = f"({100 * gain:+.1f} points, standard error {100 * error:.1f})"
    if abs(gain) < max(SURE * error, NOTABLE):
        return 0, f"{names.format('cannot be told from')} {apart}"
    if gain > 0:
        return 1, f"{names.format('beats')} {apart}: the task uses what ImageNet taught last"
    return -1, f"{names.format('falls behind')} {apart}: the last stages dropped what counts here"


def _by_means(probe: Probe) -> tuple[int, str]:
    """Return 1 where class means carry nearly as far as a linear model, -1 where not, and why."""
    if probe.linear.low <= probe.chance + NOTABLE:
        return -1, f"{probe.layer.name} tells the classes hardly better than chance"
    ratio = (1 - probe.means.accuracy) / max(1 - probe.linear.accuracy, 1e-3)
    said = (
        f"class means alone make {ratio:.1f} times the errors of a linear model on "
        f"{probe.layer.name} ({100 * probe.means.accuracy:.1f} % against "
        f"{100 * probe.linear.accuracy:.1f} %)"
    )
    gain = (probe.means.accuracy - probe.chance) / (probe.linear.accuracy - probe.chance)
    if ratio <= CLOSE and gain >= MOST:
        return 1, f"{said}: classes lie in clusters, as ImageNet's do"
    if ratio >= APART or gain < HALF:
        return -1, f"{said}: classes are there, but not the way the network sorts images"
    return 0, said


def recommend(found: Findings) -> Recommendation:
    """Return the next command: the row and the column of the table above."""
    origin, layer = found.origin, best(found.probes).layer
    if not origin.pretrained:
        return Recommendation(
            origin.extract_command(None),
            "these features are not of a pretrained network, and such a network's are the first "
            "thing to hold against them",
        )
    if found.distance.guess == FAR:
        return _far(found)
    if found.distance.guess == BETWEEN and len(found.probes) == 1 and found.images < MANY:
        return _earlier_layers(found, "how far the task is from ImageNet decides what to do, and "
                                      "one layer does not show it")  # fmt: skip
    plenty = found.images >= MANY
    if found.images < FEW or (not plenty and not _is_flat(found)):
        return Recommendation(
            origin.classify_command(layer.name),
            f"{_amount(found)}: a simple classifier on {layer.name} is hard to beat, and "
            f"fine-tuning would learn the few by heart{_more(found)}",
        )
    blocks = 1 if found.distance.guess == NEAR else 2
    many = " are many" if plenty else ", and more would bring little"
    return Recommendation(
        origin.finetune_command(str(blocks)),
        f"{_amount(found)}{many}{_more(found)}; a task {_place(found)} ImageNet asks for the "
        f"last {'stage' if blocks == 1 else 'stages'} to be tuned, not for a new network",
    )


def _far(found: Findings) -> Recommendation:
    origin, top = found.origin, best(found.probes)
    if found.images >= PLENTY:
        return Recommendation(
            origin.scratch_command(),
            f"{_amount(found)} are plenty, and the task is far from ImageNet: a small network of "
            "its own may do as well, for less",
        )
    if found.images >= MANY:
        return Recommendation(
            origin.finetune_command("all"),
            f"{_amount(found)} are many, and the task is far from ImageNet: every layer has to "
            "move, and pretrained weights are still the better start",
        )
    if len(found.probes) == 1:
        return _earlier_layers(found, f"{_amount(found)} and a task far from ImageNet: earlier "
                                      "layers are more general")  # fmt: skip
    return Recommendation(
        origin.classify_command(top.layer.name),
        f"{_amount(found)} and a task far from ImageNet: a simple classifier on "
        f"{top.layer.name}, where accuracy peaks{_more(found)}",
    )


def _earlier_layers(found: Findings, why: str) -> Recommendation:
    return Recommendation(
        found.origin.extract_command(found.origin.stages),
        f"{why}; then `advise` again",
    )


def _is_flat(found: Findings) -> bool:
    gain = _gain(found)
    return gain is not None and gain < FLAT


def _gain(found: Findings) -> float | None:
    """Return the accuracy that four times the data should bring."""
    if found.laws is None:
        return None
    rows = found.curve[-1].rows
    return found.laws.at(4 * rows).accuracy - found.laws.at(rows).accuracy


def _more(found: Findings) -> str:
    gain = _gain(found)
    return "" if gain is None else f" (four times the data: about {100 * gain:+.1f} points)"


def _amount(found: Findings) -> str:
    return f"{found.images:,.0f} images a class"


def _place(found: Findings) -> str:
    return "near" if found.distance.guess == NEAR else "neither near nor far from"
