"""The advise stage: a feature file in, what to do next out; the locked test is never touched."""

import json
import time
from pathlib import Path

from features.disk import durable
from features.errors import UsageError
from features.remote.location import is_remote
from pipeline.advice import guidance, powerlaw, probes
from pipeline.config import AdviseConfig
from pipeline.data.images import Images, read_images, suggest_groups
from pipeline.data.joined import EVERY, join
from pipeline.data.layers import ALL, find_layers
from pipeline.data.splits import FILE as SPLITS
from pipeline.data.splits import Splits
from pipeline.data.splitting import SplitConfig, make_splits
from pipeline.results.advice import Advice, Findings, Together, best
from pipeline.results.in_stores import in_stores
from pipeline.results.source_of_features import SourceOfFeatures
from pipeline.search.progress import Bar

JSON = "advice.json"
RESULTS = Path("results")  # the results folder in commands, where none is given


@in_stores(writes=("out",))
def run(config: AdviseConfig) -> Advice:
    """Probe the layers of a feature file, extend the learning curve, and say what to do next.

    Raises:
        UsageError: an unknown column, or a results folder with the splits of other images.
        DataError: the file is incomplete, damaged, unlabelled or of one class only; a class has
            too few images; or the advice cannot be written.
    """
    images = read_images(config.features, config.group_by)
    if config.group_by is None:
        suggest_groups(config.features)
    layers = find_layers(config.features, (ALL,))
    splits = _splits(config, images)
    source = SourceOfFeatures.of(config.features, config.out or RESULTS, _split_options(config))
    joined = [join((config.features,), EVERY)] if len(layers) > 1 else []
    everything = [*layers, *joined]
    file, sample = _prepare(config), probes.draw(everything, images, splits, config.seed)
    with Bar(len(everything) + len(probes.SHARES), config.progress, "step") as bar:
        probed, seconds = [], {}
        for layer in everything:
            bar.begin(layer.name)
            started = time.perf_counter()
            probed.append(probes.probe(layer, sample))
            seconds[layer.name] = time.perf_counter() - started
            bar.end()
        together = [Together(probed.pop(), seconds[layer.name]) for layer in joined]
        bar.begin("learning curve")
        top, curve = best(probed), []
        for point in probes.learning_curve(top, sample, bar.say):
            curve.append(point)
            bar.end()
    findings = Findings(
        source, tuple(probed), tuple(curve), powerlaw.fit(curve),
        guidance.distance(probed, source.pretrained), len(splits.rest) / len(splits.class_names),
        (*(len(train) for train, _ in splits.rounds(1)), len(splits.rest)), seconds[top.layer.name],
        *together,
    )  # fmt: skip
    advice = Advice(config, splits, findings, guidance.recommend(findings), file)
    durable.write(file, (json.dumps(advice.facts, indent=1) + "\n").encode())
    return advice


def _split_options(config: AdviseConfig) -> tuple[object, ...]:
    """Return the options by which other commands make the same splits."""
    options = {
        "--folds": config.folds, "--group-by": config.group_by,
        "--seed": config.seed or None,
    }  # fmt: skip
    return tuple(
        word for name, value in options.items() if value is not None for word in (name, value)
    )


def _splits(config: AdviseConfig, images: Images) -> Splits:
    """Return the splits that `classify` would make, or those that the results folder has."""
    if config.out and (config.out / SPLITS).is_file():
        stored = Splits.read(config.out)
        if (stored.ids, stored.class_names) != (images.ids, images.class_names):
            raise UsageError(
                f"{config.out} holds the splits of other images than {config.features}; choose "
                "another --out"
            )
        return stored
    return make_splits(
        images.ids, images.labels, images.class_names, images.source_splits, images.groups,
        SplitConfig(folds=config.folds, seed=config.seed),
    )  # fmt: skip


def _prepare(config: AdviseConfig) -> Path:
    """Make the folder of the file to write; return the file's path."""
    out = config.out or (Path() if is_remote(config.features) else config.features.parent)
    durable.prepare_folder(out)
    return out / (JSON if config.out else f"{config.features.stem}.{JSON}")
