"""What a record says of a network is checked before anything of that size is built."""

import pytest

from features.backbones.catalog import SCALINGS
from features.errors import DataError
from pipeline.networks.facts import FINE_TUNED, FROM_SCRATCH, check

SCRATCH = {"kind": FROM_SCRATCH, "architecture": "lenet", "image_size": [16, 16], "classes": 3, "scaling": None,
           "batchnorm": True, "dropout": True, "seed": 0, "precision": "float32"}  # fmt: skip
TUNED = {"kind": FINE_TUNED, "backbone": "mobilenetv2", "image_size": [96, 96], "classes": 3,
         "scaling": SCALINGS["tf"].to_dict(), "seed": 0, "precision": "mixed_bfloat16"}  # fmt: skip


@pytest.mark.parametrize("facts", [SCRATCH, TUNED])
def test_networks_of_ours_are_taken(facts):
    check(facts, 10**8, "the record")


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        (None, "expected `object`"),
        ({"kind": "other"}, "a network of kind 'other'"),
        (SCRATCH | {"image_size": [10**9, 16]}, "image_size"),
        (SCRATCH | {"image_size": [4096, 4096]}, "its arrays have"),
        (SCRATCH | {"classes": 10**8}, "its arrays have"),
        (SCRATCH | {"architecture": "__import__"}, "architecture"),
        (SCRATCH | {"scaling": {"mean": [0, 0, 0], "deviation": [0, 1, 1]}}, "deviation"),
        (TUNED | {"backbone": "vgg99"}, "vgg99"),
        (TUNED | {"image_size": [8, 8]}, "at least 32 pixels"),
        (TUNED | {"classes": 10**6}, "its arrays have"),
        (TUNED | {"precision": "float64"}, "precision"),
    ],
)
def test_others_are_refused_in_one_line(facts, message):
    with pytest.raises(DataError, match=message) as refused:
        check(facts, 10**8, "the record")
    assert "\n" not in str(refused.value)
