"""Blocks of every backbone, and what --unfreeze makes of them."""

import pytest

from features.backbones.catalog import BACKBONES, find
from features.backbones.network import build
from features.errors import UsageError
from pipeline.networks.blocks import Block, blocks_of, blocks_to_unfreeze

# One of each way in which keras.applications names layers, and its deepest blocks.
DEEPEST = {
    "resnet50": ["conv5_block1", "conv5_block2", "conv5_block3"],
    "resnet50v2": ["conv5_block2", "conv5_block3", "top"],
    "vgg16": ["block3", "block4", "block5"],
    "mobilenet": ["conv_11", "conv_12", "conv_13"],
    "mobilenetv2": ["block_15", "block_16", "top"],
    "mobilenetv3small": ["expanded_conv_9", "expanded_conv_10", "top"],
    "efficientnetb0": ["block6d", "block7a", "top"],
    "convnexttiny": ["stage_3_block_1", "stage_3_block_2", "top"],
    "densenet121": ["conv5_block15", "conv5_block16", "top"],
    "inceptionv3": ["mixed8", "mixed9", "mixed10"],
    "inceptionresnetv2": ["block8_9", "block8_10", "top"],
    "xception": ["block12", "block13", "block14"],
    "nasnetmobile": ["cell_10", "cell_11", "cell_12"],
}


@pytest.mark.parametrize(
    "name", ["resnet50", "vgg16", "mobilenetv2", "convnexttiny", "nasnetmobile"]
)
def test_every_weight_is_in_one_block(name):
    backbone = find(name)
    network = build(backbone, (max(backbone.min_size, 32),) * 2)
    blocks = blocks_of(network)
    assert [block.name for block in blocks][-3:] == DEEPEST[name]
    assert blocks[0].name == ("block1" if name == "vgg16" else "stem")
    layers = [layer for block in blocks for layer in block.layers]
    assert sorted(layers) == sorted(layer.name for layer in network.layers if layer.weights)
    assert sum(block.parameters for block in blocks) == backbone.parameters


def test_the_layers_that_keras_numbers_go_with_the_next_block():
    network = build(BACKBONES["inceptionv3"], (75, 75))
    blocks = {block.name: block for block in blocks_of(network)}
    assert list(blocks)[-3:] == DEEPEST["inceptionv3"]
    assert len(blocks["mixed10"].layers) == 18  # nine convolutions, each with its norm


NAMES = ("stem", "conv4_block1", "conv4_block2", "conv5_block1", "conv5_block2")
FIVE = [
    Block(name, (f"{name}_conv",), size)
    for name, size in zip(NAMES, (10, 20, 20, 30, 30), strict=True)
]


@pytest.mark.parametrize(
    ("unfreeze", "expected"),
    [
        (("conv5_block2",), [(4,)]),
        (("conv5_block1",), [(3, 4)]),
        (("conv5",), [(3, 4)]),
        (("conv5_block1_conv",), [(3, 4)]),
        (("conv5", "conv4_block2", "all"), [(3, 4), (2,), (0, 1)]),
        (("all", "conv5"), [(3, 4), (0, 1, 2)]),
        (("2",), [(3, 4)]),
        (("2", "conv5"), [(3, 4)]),
        (("all",), [(0, 1, 2, 3, 4)]),
        (("none",), []),
        ((), [(3, 4)]),  # 60 of 110 weights, where one block has 30
    ],
)
def test_what_is_unfrozen_stage_by_stage(unfreeze, expected):
    assert blocks_to_unfreeze(FIVE, unfreeze, "resnet50") == expected


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("conv5_blok1", "no block of resnet50 is called 'conv5_blok1'; did you mean conv5_block1"),
        ("6", "--unfreeze 6: resnet50 has 5 blocks, expected 1 to 5, or none for the head alone"),
        ("0", "--unfreeze 0: resnet50 has 5 blocks"),
    ],
)
def test_what_names_no_block_is_refused(entry, message):
    with pytest.raises(UsageError, match=message):
        blocks_to_unfreeze(FIVE, (entry,), "resnet50")
