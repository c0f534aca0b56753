"""A small feature file, and settings of `classify` for it."""

from pipeline.config import ClassifyConfig
from tests.pipeline.featurefiles import clusters, with_test_part, write_features

TWO = ("ridge", "nearest-centroid")


def make(path, count=160, **changes):
    x, labels = clusters(count, spread=changes.pop("spread", 2.0))
    return write_features(path, x, labels, parts=with_test_part(count), **changes)


def config(file, tmp_path, *classifiers, **changes):
    values = {"classifiers": classifiers or TWO, "progress": False} | changes
    return ClassifyConfig((file,), tmp_path / "results", **values)
