"""The guess of distance on what probes measured on real images, kept as a table.

`python -m benchmarks.distance --out` writes such a table: for each source (with its checksum) and
layer, which images a linear probe in three folds predicts right. The sources: the bundled images,
CIFAR-10, MNIST and Fashion-MNIST, scikit-learn's digits, solar cells of PyPI's elpv-dataset,
textures and faces that scikit-image ships, Twitter's emoji, and tasks that are drawn.
"""

import base64
import json
from pathlib import Path

import numpy as np
import pytest

from pipeline.advice.guidance import distance
from pipeline.data.layers import Layer
from pipeline.results.advice import Probe
from pipeline.results.learning_curve import Score
from tests.features.examples import recipe

TABLE = json.loads((Path(__file__).parent / "distances.json").read_text())
FAR = {"mnist", "fashion-mnist", "digits", "drawn-texture"}  # an earlier layer is clearly better


def probe_of(kept):
    bits = np.unpackbits(np.frombuffer(base64.b64decode(kept["hits"]), np.uint8))
    hits = bits[: kept["images"]].astype(bool)
    groups = np.arange(len(hits))
    means = kept["class_means"]
    return Probe(
        Layer(Path("f.h5"), kept["layer"], recipe(), 8), len(hits), Score.of([hits], groups),
        Score(means, means, means), kept["chance"], hits, groups, kept["mean_cosine"],
    )  # fmt: skip


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row['task']}-{row['backbone']}")
def test_photographs_of_things_are_near_and_nothing_else_is(row):
    found = distance([probe_of(kept) for kept in row["layers"]], pretrained=True)
    assert (found.guess == "near") == row["near"], found.evidence
    if row["task"] in FAR and row["size"] == 96:
        assert found.guess == "far", found.evidence


def test_one_layer_alone_is_never_near():
    for row in TABLE:
        assert distance([probe_of(row["layers"][-1])], pretrained=True).guess != "near"


def test_the_table_has_many_sources():
    assert len({row["source"] for row in TABLE}) >= 20
    assert {row["backbone"] for row in TABLE} == {"resnet50", "vgg16"}
