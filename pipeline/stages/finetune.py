"""The finetune stage: from images to a fine-tuned pretrained network, as a candidate."""

from features.backbones import catalog
from pipeline.config import FinetuneConfig
from pipeline.networks import finetune_plan, pixels, trunk
from pipeline.networks.candidate import train_candidate
from pipeline.networks.working_folder import working_folder
from pipeline.results import thresholds
from pipeline.results.folder import ResultsFolder
from pipeline.results.in_stores import in_stores


@in_stores(writes=("out",))
def run(config: FinetuneConfig) -> ResultsFolder:
    """Fine-tune a pretrained network; return the results folder that it is in.

    Raises:
        UsageError: a block is unknown, the head does not fit, the disk has no room for the cached
            trunk, or the results folder has other images.
        DataError: images or weights cannot be read, or the loss is no longer finite; or
            the source was cut, which is said after everything else was written.
    """
    backbone = catalog.find(config.backbone)
    size = config.image_size or (backbone.size, backbone.size)
    name = finetune_plan.candidate_name(config)
    with working_folder(config, [name]) as folder:
        images = pixels.read(config, folder, size)
        thresholds.check(config.threshold, images.splits.class_names)
        tuning = finetune_plan.prepare(config, images, folder)
        train_candidate(config, images, finetune_plan.plan(config, tuning), folder)
        trunk.remove(folder)
        thresholds.settle(config.out, lambda record: record.name == name, config.threshold)
    images.check_end(config.out)
    return ResultsFolder(config.out)
