"""The scratch stage: from images to a CNN trained on them alone, as a candidate."""

import logging
from collections.abc import Sequence

from features.errors import UsageError
from pipeline.config import ScratchConfig
from pipeline.networks import architectures, pixels, scratch_plan
from pipeline.networks.candidate import train_candidate
from pipeline.networks.working_folder import working_folder
from pipeline.reports import ablation
from pipeline.results import thresholds
from pipeline.results.ablation import Ablation
from pipeline.results.folder import ResultsFolder
from pipeline.results.in_stores import in_stores
from pipeline.results.records import Record

log = logging.getLogger("offshelf")


@in_stores(writes=("out",))
def run(config: ScratchConfig) -> ResultsFolder:
    """Train a CNN from scratch; return the results folder that it is in.

    Raises:
        UsageError: the images are too small, the results folder has other images, or `--ablate`
            stands beside an option that it decides itself.
        DataError: the images cannot be read or are unlabelled, or the loss is no longer finite;
            or the source was cut, which is said after everything else was written.
    """
    _check(config)
    variants = scratch_plan.variants(config)
    names = [scratch_plan.candidate_name(variant) for variant in variants]
    with working_folder(config, names) as folder:
        images = pixels.read(config, folder, config.image_size)
        architectures.check_size(config.architecture, images.size)
        thresholds.check(config.threshold, images.splits.class_names)
        records = [
            train_candidate(variant, images, scratch_plan.plan(variant, images), folder)
            for variant in variants
        ]
        thresholds.settle(config.out, lambda record: record.name in names, config.threshold)
    if config.ablate:
        _write_ablation(config, variants, records)
    images.check_end(config.out)
    return ResultsFolder(config.out)


def _write_ablation(
    config: ScratchConfig, variants: Sequence[ScratchConfig], records: Sequence[Record]
) -> None:
    missing = [scratch_plan.missing_tricks(variant) for variant in variants]
    result = Ablation(missing, records, config.out)
    result.write()
    log.info("%s", ablation.text(result))


def _check(config: ScratchConfig) -> None:
    if config.ablate and scratch_plan.missing_tricks(config):
        raise UsageError("--ablate leaves out each trick by itself; give it no --no-... beside")
    if config.ablate and config.name:
        raise UsageError("--ablate names its candidates itself; leave --name out")
