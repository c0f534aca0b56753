"""The next command from the evidence: little or much data, a task near ImageNet or far from it.

The table that practice follows, from the notes on transfer learning of Stanford's course cs231n:

               near                          far
    little     linear on the deepest layer   linear on an earlier layer, or on several together
    much       fine-tune a few layers        fine-tune many layers, or train from scratch

J. Yosinski et al., "How transferable are features in deep neural networks?", NIPS 2014: the deeper
a layer, the more specific it is to the task of its network. S. Kornblith, J. Shlens and Q. Le, "Do
Better ImageNet Models Transfer Better?", CVPR 2019: with many images, fine-tuning gains on fixed
features, and pretraining loses its advantage over training from scratch.
"""

from collections.abc import Sequence

from pipeline.advice import costs
from pipeline.data.joined import EVERY
from pipeline.results.advice import Distance, Findings, Gain, Probe, Recommendation, best

NEAR, BETWEEN, FAR = "near", "between", "far"

# Images of each class to learn from: few below the first, many and plenty from the others on.
FEW, MANY, PLENTY = 100, 1000, 5000
FLAT = 0.02  # gain in accuracy with four times the data, below which the curve is flat
SURE = 2.0  # standard errors by which layers must differ
NOTABLE = 0.01  # accuracy by which they must differ
WORTH, WORTH_AN_HOUR = 0.005, 0.002  # gain in accuracy that fine-tuning, and its hours, must bring
# Share of a linear model's errors that fine-tuning takes away: from none to two thirds. A rule of
# thumb after Kornblith et al., who see hardly any on Pets and most on Cars and Aircraft.
REMOVED, REMOVED_AT_MOST = 1 / 3, 2 / 3
# Mean cosine between two images on the deepest layer, above which a task is not near: where layers
# are level, and where the deepest is best. Photographs have 0.27 to 0.41 at 96 px and 0.54 at 224,
# handwriting, textures, noise and solar cells 0.56 to 0.94 (`python -m benchmarks.distance`).
ALIKE, ALIKE_AT_BEST = 0.5, 0.7
CLIMB = (
    0.25  # share of the shallowest layer's errors that the deepest one takes away, near ImageNet
)
_DEPTHS = 3  # layers, from which on the shallowest one is an early one
CLOSE, APART = 2.0, 3.0  # errors of class means over those of a linear model: near, far
MOST, HALF = 0.75, 0.5  # share of a linear model's gain on chance by class means: near, far


def distance(probes: Sequence[Probe], pretrained: bool) -> Distance:
    """Guess the distance from ImageNet.

    The depth at which accuracy peaks decides; where layers are level, class means do. But a task is
    near only where depth helps, and where the deepest features of all images are not nearly the
    same, which are those of one kind of thing.
    """
    if not pretrained:
        return Distance(
            BETWEEN, ("these features do not come from a network trained on ImageNet: no guess",)
        )
    depth, reason_of_depth = _by_depth(probes)
    means, reason_of_means = _by_means(probes[-1])
    climbs, reason_of_climb = _by_climb(probes)
    alike, reason_of_alike = _by_likeness(probes[-1], ALIKE_AT_BEST if depth > 0 else ALIKE)
    vote = depth or means
    may_be_near = climbs and not alike
    guess = FAR if vote < 0 else NEAR if vote > 0 and may_be_near else BETWEEN
    reasons = (reason_of_depth, reason_of_climb, reason_of_means, reason_of_alike)
    return Distance(guess, tuple(filter(None, reasons)))


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


def _by_climb(probes: Sequence[Probe]) -> tuple[bool, str]:
    """Return whether the deepest layer is far ahead of the shallowest one, and why.

    What the first stages see as well needs nothing that ImageNet teaches. Where a file has the last
    two layers only, that cannot be seen, and says nothing against.
    """
    if len(probes) < _DEPTHS:
        return len(probes) > 1, ""
    shallowest, deepest = probes[0], probes[-1]
    gain, error = deepest.ahead_of(shallowest)
    removed = max(0.0, gain / max(1 - shallowest.linear.accuracy, 1e-3))
    ahead = (
        f"{deepest.layer.name} is {100 * gain:+.1f} points (standard error {100 * error:.1f}) "
        f"ahead of the shallowest, {shallowest.layer.name}: {100 * removed:.0f} % of its errors"
    )
    if gain < max(SURE * error, NOTABLE) or removed < CLIMB:
        return False, f"{ahead}; depth hardly helps, unlike on photographs"
    return True, f"{ahead}; depth helps, as on photographs"


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
    missed = probe.linear.accuracy - probe.means.accuracy
    if (ratio >= APART and missed > NOTABLE) or gain < HALF:
        return -1, f"{reason}: classes can be separated, but are not clusters as in ImageNet"
    return 0, reason


def _by_likeness(probe: Probe, limit: float) -> tuple[bool, str]:
    """Return whether all images are nearly the same to the network, and why."""
    features = f"(mean cosine of their features on {probe.layer.name}: {probe.alike:.2f})"
    if probe.alike > limit:
        return True, f"to the network all images look much the same {features}: not ImageNet's kind"
    return False, f"to the network the images differ, as photographs do {features}"


def recommend(findings: Findings) -> Recommendation:
    """Return the next command: the row and the column of the table above.

    Where fine-tuning could hardly gain anything, or too little for its hours, it is not advised.
    """
    if findings.source.pretrained and _gain_of_tuning(findings).expected < WORTH:
        return _nothing_more(findings)
    choice = _by_table(findings)
    gain, hours = choice.gain, (choice.cost.seconds or 0) / 3600
    if gain is not None and gain.expected < WORTH + WORTH_AN_HOUR * hours:
        return _classify(
            findings,
            f"fine-tuning would bring {gain} in about {hours:.0f} hours, too little for its time: "
            f"a simple classifier on {best(findings.probes).layer.name}",
        )
    return choice


def _by_table(findings: Findings) -> Recommendation:
    source, layer = findings.source, best(findings.probes).layer
    if not source.pretrained:
        return Recommendation(
            source.extract_command(None),
            "these features do not come from a pretrained network, whose features are the first "
            "thing to compare them with",
            costs.extract(findings),
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
        return _classify(
            findings,
            f"{_amount(findings)}: a simple classifier on {layer.name} is hard to beat, and "
            f"fine-tuning would memorize the few{_more(findings)}",
        )
    blocks = 1 if findings.distance.guess == NEAR else 2
    many = " are many" if plenty else ", and more would bring little"
    return _finetune(
        findings,
        str(blocks),
        f"{_amount(findings)}{many}{_more(findings)}; a task {_place(findings)} ImageNet asks for "
        f"the last {'stage' if blocks == 1 else 'stages'} to be tuned, not for a new network",
    )


def _far(findings: Findings) -> Recommendation:
    if findings.images >= PLENTY:
        return Recommendation(
            findings.source.scratch_command(),
            f"{_amount(findings)} are plenty, and the task is far from ImageNet: a small network "
            "from scratch may do as well, for less",
            costs.scratch(findings),
        )
    if findings.images >= MANY:
        return _finetune(
            findings,
            "all",
            f"{_amount(findings)} are many, and the task is far from ImageNet: every layer has to "
            "change, and pretrained weights are still the better start",
        )
    if len(findings.probes) == 1:
        return _earlier_layers(
            findings,
            f"{_amount(findings)} and a task far from ImageNet: earlier layers are more general",
        )
    return _classify(
        findings,
        f"{_amount(findings)} and a task far from ImageNet: a simple classifier on "
        f"{best(findings.probes).layer.name}, where accuracy peaks{_more(findings)}",
    )


def _nothing_more(findings: Findings) -> Recommendation:
    top = best(findings.probes)
    return _classify(
        findings,
        f"nothing more to gain here: with {_amount(findings)} a linear model on {top.layer.name} "
        f"is right on {100 * top.linear.accuracy:.1f} %, and fine-tuning would bring "
        f"{_gain_of_tuning(findings)}{_more(findings)}",
    )


def _classify(findings: Findings, why: str) -> Recommendation:
    """Return the command that fits simple classifiers, on all layers together where these win."""
    top, together = best(findings.probes), findings.together
    source = findings.source
    if together is None:
        command = source.classify_command(top.layer.name)
        return Recommendation(command, why, costs.classify(findings, findings.probe_seconds))
    gain, error = together.probe.ahead_of(top)
    apart = f"({100 * gain:+.1f} points, standard error {100 * error:.1f})"
    if gain < max(SURE * error, NOTABLE):
        return Recommendation(
            source.classify_command(top.layer.name),
            f"{why}; all layers together were tried, and are no better {apart}",
            costs.classify(findings, findings.probe_seconds),
        )
    return Recommendation(
        source.classify_command(EVERY),
        f"{why}; but all layers together ({EVERY}) beat {top.layer.name} {apart}, so take them",
        costs.classify(findings, together.seconds),
    )


def _finetune(findings: Findings, blocks: str, why: str) -> Recommendation:
    return Recommendation(
        findings.source.finetune_command(blocks),
        why,
        costs.finetune(findings, blocks),
        _gain_of_tuning(findings),
    )


def _earlier_layers(findings: Findings, why: str) -> Recommendation:
    return Recommendation(
        findings.source.extract_command(findings.source.stages),
        f"{why}; then `advise` again",
        costs.extract(findings),
    )


def _gain_of_tuning(findings: Findings) -> Gain:
    """Return the gain that is expected of fine-tuning, from the errors that there are to remove."""
    linear = best(findings.probes).linear
    return Gain(REMOVED * (1 - linear.accuracy), 0.0, REMOVED_AT_MOST * (1 - linear.low))


def _is_flat(findings: Findings) -> bool:
    gain = _gain(findings)
    return gain is not None and gain.expected < FLAT


def _gain(findings: Findings) -> Gain | None:
    """Return the gain in accuracy that is expected of four times the data."""
    if findings.laws is None:
        return None
    rows = findings.curve[-1].rows
    return Gain(*findings.laws.gain(rows, 4 * rows))


def _more(findings: Findings) -> str:
    gain = _gain(findings)
    return "" if gain is None else f" (four times the data: {gain})"


def _amount(findings: Findings) -> str:
    return f"{findings.images:,.0f} images a class"


def _place(findings: Findings) -> str:
    return "near" if findings.distance.guess == NEAR else "neither near nor far from"
