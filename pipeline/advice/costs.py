"""What the recommended commands cost: estimates, good to a factor of two or three.

A pass forward through the file's network costs what the file records of its extraction. To train
costs three such passes: the gradients take twice the work of the forward pass (J. Kaplan et al.,
"Scaling Laws for Neural Language Models", 2020, section 2.1).
"""

from pipeline.config import ClassifyConfig, FinetuneConfig, ScratchConfig
from pipeline.networks import estimate, training_length
from pipeline.results.advice import Cost, Findings

# ResNet50 at 96 px on two cores of a Xeon with AMX: training in bfloat16 by TensorFlow against
# the extraction by OpenVINO.
_TRAINING = 3.0
_BACKWARD = 3.0  # passes forward that a training step takes
_WORK = {"1": 0.1, "2": 0.2, "all": 1.0}  # share of the network above the cut, by --unfreeze
_SMALL_CNN = 12e-3  # seconds to train on an image of 64 px, on the same two cores
# How much longer `classify` takes with three classifiers than a probe takes on as many rows.
_CLASSIFY = 12.0


def describe(cost: Cost) -> str:
    """Return the time in words, and what it rests on."""
    time = "not known" if cost.seconds is None else estimate.describe(cost.seconds)
    return f"{time}; {cost.basis}"


def extract(findings: Findings) -> Cost:
    """Return the cost to extract all images with the network of the file."""
    source = findings.source
    if source.seconds_per_image is None or source.recipe.backbone != source.backbone:
        return Cost(None, f"the feature file records no rate of {source.backbone}")
    images = source.recipe.source["count"]
    return Cost(
        images * source.seconds_per_image,
        f"{images:,} images at the {1 / source.seconds_per_image:,.0f} a second that the feature "
        "file records",
    )


def classify(findings: Findings, probe_seconds: float) -> Cost:
    """Return the cost to tune three classifiers on a layer; `--budget` ends it at the latest.

    Args:
        findings: the evidence.
        probe_seconds: how long the probe of the layer took.
    """
    rows, probed = sum(findings.rounds), findings.probes[0].rows
    rounds = len(findings.rounds) - 1
    seconds = _CLASSIFY * probe_seconds * rows / (probed * rounds)
    assert ClassifyConfig.budget is not None  # noqa: S101 - a default of this project
    return Cost(
        min(seconds, ClassifyConfig.budget),
        f"the probe of the layer took {probe_seconds:.1f} s on {probed:,} rows; the "
        f"default --budget ends it after {ClassifyConfig.budget / 60:.0f} minutes",
        timed=True,
    )


def finetune(findings: Findings, blocks: str) -> Cost:
    """Return the cost to fine-tune the last blocks, or all of them."""
    forward = findings.source.seconds_per_image
    if forward is None:
        return Cost(None, "the feature file records no rate of its extraction")
    share = _WORK[blocks]
    config = FinetuneConfig(findings.source.path, findings.source.results)
    length = training_length.finetune(config, min(findings.rounds))
    views = 0 if share == 1 else 1 + FinetuneConfig.views
    frozen = views * findings.rounds[-1] * forward * (1 - share)
    epochs = length.head_epochs + _BACKWARD * length.epochs
    trained = sum(findings.rounds) * forward * share * _TRAINING * epochs
    return Cost(
        frozen + trained,
        f"{len(findings.rounds)} networks, at most {length.head_epochs} epochs of the head and "
        f"{length.epochs} of {'all' if share == 1 else 'the last'} blocks; "
        f"the feature file records {1 / forward:,.0f} images a second forward",
    )


def scratch(findings: Findings) -> Cost:
    """Return the cost to train a small network."""
    config = ScratchConfig(findings.source.path, findings.source.results)
    epochs = training_length.scratch(config, min(findings.rounds)).epochs
    return Cost(
        sum(findings.rounds) * epochs * _SMALL_CNN,
        f"{len(findings.rounds)} networks of at most {epochs} epochs, at {1 / _SMALL_CNN:.0f} "
        "images of 64 pixels a second, as on two cores of a Xeon; not measured here",
    )
