"""Small feature files of clusters that classifiers can tell apart."""

import json

import numpy as np

from features.records import Split, blake2b
from features.storage.row_blocks import Rows
from tests.features.examples import attributes, recipe, write

LAYER = "a"


def clusters(count, dimensions=12, classes=3, seed=0, spread=1.0):
    """Return float32 (count, dimensions) of clusters, and int32 labels (count,)."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(count, dtype=np.int32) % classes)
    centres = 4 * np.eye(dimensions, dtype=np.float32)[:classes] + 3
    x = centres[labels] + rng.normal(scale=spread, size=(count, dimensions))
    return x.astype(np.float32), labels


def write_features(
    path,
    x,
    labels,
    *,
    layer=LAYER,
    ids=None,
    parts=None,
    extra=None,
    class_names=None,
    digests=None,
    provenance=None,
    **changes,
):
    """Write a feature file of one layer; labels -1 are unlabelled."""
    count = len(x)
    ids = ids or [f"{number:05d}.png" for number in range(count)]
    if digests is None:
        digests = np.stack([np.frombuffer(blake2b(image.encode()), np.uint8) for image in ids])
    parts = np.full(count, Split.NONE, np.uint8) if parts is None else parts
    names = class_names or [f"class {label}" for label in range(int(max(labels)) + 1)]
    one = recipe(
        **{"layers": (layer,), "source": {"kind": "folder", "count": count, "fingerprint": "f"}}
        | changes
    )
    rows = Rows({layer: x}, ids, digests, np.asarray(labels, np.int32), parts, [], extra or {})
    facts = {"class_names": json.dumps(names)}
    if provenance is not None:
        facts["provenance"] = json.dumps(provenance)
    write(path, [rows], attributes(one) | facts)
    return path


def with_test_part(count, share=0.25):
    """Return parts of images: the last ones are the source's own test part."""
    parts = np.full(count, Split.TRAIN, np.uint8)
    parts[int(count * (1 - share)) :] = Split.TEST
    return parts
