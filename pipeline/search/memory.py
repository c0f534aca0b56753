"""What of the memory is left for features, and whether they fit into it or are read in blocks.

Estimates err on the side of more: they are compared with what runs took, see `docs/scale.md`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from features.errors import UsageError
from pipeline.classifiers.base import Classifier, Task
from pipeline.data.splits import Splits
from pipeline.data.stored_rows import AT_ONCE
from pipeline.results.memory import free_bytes

COPIES = 4  # of all rows in float32, that are held at most while a model learns from a matrix
_SAMPLE_COPIES = 8  # of a sample, until the model that holds it is stored
_PROCESSES = 600 * 2**20  # this one and the worker, with their libraries, and products of blocks
_IMAGE_BYTES = 300  # of ids, digests, labels, splits and groups, in both processes
_PRODUCTS = 4  # matrices of all features by all features, that are held to solve by them
_BLOCKS = 8  # blocks of rows that are held at a time, by way of their types and products


@dataclass(frozen=True)
class Memory:
    """The memory of a run.

    Attributes:
        limit: bytes for the whole run.
        features: bytes of it that are left for features.
        by_blocks: whether the features do not fit, so that they are read in blocks.
    """

    limit: int
    features: int
    by_blocks: bool

    @property
    def at_once(self) -> int:
        """The bytes of float32 to read at a time."""
        return max(2**20, min(AT_ONCE, self.features // _BLOCKS))

    def by_blocks_of(self, classifier: Classifier, width: int) -> bool:
        """Tell whether a classifier learns from blocks of rows of so many features."""
        products = _PRODUCTS * 8 * width**2 if classifier.products else 0
        return classifier.by_blocks and products <= self.features

    def adapted(self, classifier: Classifier, width: int) -> Classifier:
        """Return the classifier as it learns from so many features."""
        if classifier.by_blocks == self.by_blocks_of(classifier, width):
            return classifier
        return replace(classifier, by_blocks=False)

    def share(self, classifier: Classifier, task: Task) -> float:
        """Return the share of the training rows that a classifier can learn from, above 0 to 1."""
        if self.by_blocks_of(classifier, task.features):
            return 1.0
        return min(1.0, self.rows(classifier, task) / task.rows)

    def rows(self, classifier: Classifier, task: Task) -> int:
        """Return how many of the training rows a classifier can hold at a time."""
        if not self.by_blocks:
            return task.rows
        row = 4 * _SAMPLE_COPIES * task.features + classifier.kept_bytes(task)
        return min(task.rows, self.features // row)


def measure(limit: int | None, splits: Splits, widths: Sequence[int], settings: int) -> Memory:
    """Return what is left of the memory for features.

    Args:
        limit: bytes for the whole run; None takes half of what is free.
        splits: those of all labelled images.
        widths: the features of each layer.
        settings: the most settings that are tried of a classifier, whose predictions are held.

    Raises:
        UsageError: nothing would be left.
    """
    limit = limit or free_bytes() // 2
    rows, classes = len(splits), len(splits.class_names)
    each = 4 * classes * (2 + 2 * len(splits.folds)) + 5 * settings
    judged = each * len(splits.validated)
    fixed = _PROCESSES + _IMAGE_BYTES * rows + judged
    left = limit - fixed
    if left < 2**26:
        raise UsageError(
            f"--memory of {limit / 2**30:.1f}G is too little for {rows:,} images of {classes:,} "
            f"classes; {(fixed + 2**28) / 2**30:.1f}G is the least"
        )
    return Memory(limit, left, COPIES * 4 * rows * max(widths) > left)
