"""The catalog of backbones: all of keras.applications and AlexNet, read without building any."""

import dataclasses
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from features.backbones.names import is_elsewhere
from features.descriptors import DESCRIPTORS, Descriptor
from features.disk import documents
from features.errors import DataError, UsageError, unknown_name

# How a layer's map (h, w, c) becomes features: its mean or its maximum over h and w, both of them
# side by side, all values in one row, or the map as it is.
MAP_POOLINGS = ("avg", "max", "avgmax", "flatten", "none")
TOKEN = "token"  # noqa: S105 - the class token, the first of a transformer's tokens
POOLINGS = (*MAP_POOLINGS, TOKEN)

_MEAN = (0.485, 0.456, 0.406)  # of ImageNet's RGB pixels in 0..1
_DEVIATION = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class PixelScaling:
    """How RGB uint8 pixels are scaled for a set of weights: pixel * scale + offset.

    Attributes:
        name: its name in `SCALINGS`.
        order: "RGB" or "BGR", the channel order that the network expects.
        scale: the factor for each channel, in that order, of pixel values 0 to 255.
        offset: the number added to each channel, in that order.
    """

    name: str
    order: Literal["RGB", "BGR"]
    scale: tuple[float, float, float]
    offset: tuple[float, float, float]

    def to_dict(self) -> dict[str, Any]:
        """Return the fields, of types that JSON knows."""
        return {**dataclasses.asdict(self), "scale": [*self.scale], "offset": [*self.offset]}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "PixelScaling":
        """Rebuild a scaling; raises DataError where `values` do not make one."""
        scaling = documents.convert(values, cls, "the pixel scaling")
        if unknown := [name for name in values if name not in vars(scaling)]:
            raise DataError(f"the pixel scaling: {unknown[0]!r:.60} is no field of this version's")
        return scaling


def standardized(name: str, mean: Sequence[float], deviation: Sequence[float]) -> PixelScaling:
    """Return (pixel / 255 - mean) / deviation."""
    red, green, blue = (
        (1 / (255 * spread), -centre / spread)
        for centre, spread in zip(mean, deviation, strict=True)
    )
    return PixelScaling(name, "RGB", *zip(red, green, blue, strict=True))


def _efficientnet() -> PixelScaling:
    """Return the scaling that makes up for a slip in the weights of EfficientNet (V1).

    Their normalization layer stores the standard deviation d where Keras expects the variance,
    and so yields (x - mean) / sqrt(d). With `weights="imagenet"`, and only then,
    keras.applications adds a layer that divides by sqrt(d) again; a network built to load weights
    later lacks that layer. Spreading the pixels around the mean by 1 / sqrt(d) does the same.
    """
    factors = [deviation**-0.5 for deviation in _DEVIATION]
    red, green, blue = (
        (factor, 255 * mean * (1 - factor)) for factor, mean in zip(factors, _MEAN, strict=True)
    )
    return PixelScaling("efficientnet", "RGB", *zip(red, green, blue, strict=True))


SCALINGS = {
    scaling.name: scaling
    for scaling in (
        PixelScaling("caffe", "BGR", (1.0, 1.0, 1.0), (-103.939, -116.779, -123.68)),
        standardized("torch", _MEAN, _DEVIATION),
        standardized("tf", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),  # -1..1
        PixelScaling("none", "RGB", (1.0, 1.0, 1.0), (0.0, 0.0, 0.0)),  # the network rescales
        standardized("unit", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),  # 0..1
        _efficientnet(),
    )
}


LOGITS = "logits"
_PROBABILITIES = "predictions"  # what Keras calls the softmax of the logits


@dataclass(frozen=True)
class Top:
    """The dense layers above a network's last map, up to the scores of ImageNet's classes.

    Attributes:
        hidden: the layers below the logits as (name, features), from the map upwards.
        activation: what follows each of them, by its name in Keras; nothing follows the logits.
        flattens: whether the first layer takes every value of the map, and so images of one size
            alone; else it takes the map's average.
        classes: the number of logits; 0 where no weights of the network have any dense layer.
    """

    hidden: tuple[tuple[str, int], ...] = ()
    activation: str = "relu"
    flattens: bool = False
    classes: int = 1000  # of ImageNet

    @property
    def layers(self) -> tuple[tuple[str, int], ...]:
        """All dense layers as (name, features), from the map upwards; the last are the logits."""
        return (*self.hidden, (LOGITS, self.classes)) if self.classes else ()


@dataclass(frozen=True)
class Backbone:
    """One network.

    Attributes:
        name: the name by which users call it, lower case.
        family: the networks with which it shares layer names, scaling and limits.
        builder: the name of its function in `keras.applications`, or its own where it is not there.
        size: height and width that its ImageNet weights are meant for, in pixels.
        min_size: the smallest height or width that it accepts; every layer's output is at least
            1 x 1 then.
        scaling: the pixel scaling of Keras' own weights, or of the only ones, a name from
            `SCALINGS`.
        layers: the recommended layers as (name, channels), shallow to deep: the ends of its
            stages, after the activation where the family has one. The last is the network's
            output, called "output" where Keras gives that layer a name that depends on what was
            built before.
        parameters: number of weights without the top, those of batch norms included.
        top: the dense layers above the output.
        by_keras: whether keras.applications has the network and its weights.
    """

    name: str
    family: str
    builder: str
    size: int
    min_size: int
    scaling: str
    layers: tuple[tuple[str, int], ...]
    parameters: int
    top: Top
    by_keras: bool = True

    @property
    def output(self) -> str:
        """Name of the last map, which is tapped by default."""
        return self.layers[-1][0]

    @property
    def dense(self) -> tuple[str, ...]:
        """Names of the dense layers above it, which not all weights have."""
        return tuple(name for name, _ in self.top.layers)


_LOGITS_ALONE = Top()  # one dense layer on the average of the last map
_NO_TOP = Top(classes=0)

Row = tuple[str, int, int, str]  # builder, size, parameters, values for the gaps in `layers`


def _family(
    name: str,
    scaling: str,
    layers: str,
    *rows: Row,
    min_size: int = 32,
    top: Top = _LOGITS_ALONE,
    by_keras: bool = True,
) -> Iterator[Backbone]:
    """Yield the networks of a family; `layers` holds "name:channels" with {} for what differs."""
    for builder, size, parameters, gaps in rows:
        pairs = (layer.split(":") for layer in layers.format(*gaps.split()).split())
        taps = tuple((layer, int(channels)) for layer, channels in pairs)
        yield Backbone(
            builder.lower(), name, builder, size, min_size, scaling, taps, parameters, top, by_keras
        )


def _table() -> Iterator[Backbone]:
    yield from _family(
        "alexnet", "torch", "pool1:64 pool2:192 conv3:384 conv4:256 pool5:256",
        ("AlexNet", 224, 2_469_696, ""),
        min_size=63, top=_NO_TOP, by_keras=False,
    )  # fmt: skip
    yield from _family(
        "vgg", "caffe",
        "block1_pool:64 block2_pool:128 block3_pool:256 block4_pool:512 block5_pool:512",
        ("VGG16", 224, 14_714_688, ""),
        ("VGG19", 224, 20_024_384, ""),
        top=Top((("fc1", 4096), ("fc2", 4096)), flattens=True),
    )  # fmt: skip
    yield from _family(
        "resnet", "caffe",
        "conv2_block3_out:256 conv3_block{}_out:512 conv4_block{}_out:1024 conv5_block3_out:2048",
        ("ResNet50", 224, 23_587_712, "4 6"),
        ("ResNet101", 224, 42_658_176, "4 23"),
        ("ResNet152", 224, 58_370_944, "8 36"),
    )  # fmt: skip
    yield from _family(  # a stage ends in a sum that the next one normalizes and activates
        "resnetv2", "tf",
        "conv3_block1_preact_relu:256 conv4_block1_preact_relu:512 conv5_block1_preact_relu:1024"
        " post_relu:2048",
        ("ResNet50V2", 224, 23_564_800, ""),
        ("ResNet101V2", 224, 42_626_560, ""),
        ("ResNet152V2", 224, 58_331_648, ""),
    )  # fmt: skip
    yield from _family(
        "mobilenet", "tf",
        "conv_pw_1_relu:64 conv_pw_3_relu:128 conv_pw_5_relu:256 conv_pw_11_relu:512"
        " conv_pw_13_relu:1024",
        ("MobileNet", 224, 3_228_864, ""),
    )  # fmt: skip
    yield from _family(
        "mobilenetv2", "tf",
        "expanded_conv_project_BN:16 block_2_add:24 block_5_add:32 block_12_add:96"
        " block_16_project_BN:320 out_relu:1280",
        ("MobileNetV2", 224, 2_257_984, ""),
    )  # fmt: skip
    yield from _family(
        "mobilenetv3", "none",
        "expanded_conv_project_bn:16 expanded_conv_2_add:24 expanded_conv_7_add:48"
        " expanded_conv_10_add:96 output:576",
        ("MobileNetV3Small", 224, 939_120, ""),
        top=Top((("conv_2", 1024),), "hard_silu"),
    )  # fmt: skip
    yield from _family(
        "mobilenetv3", "none",
        "expanded_conv_add:16 expanded_conv_2_add:24 expanded_conv_5_add:40"
        " expanded_conv_11_add:112 expanded_conv_14_add:160 output:960",
        ("MobileNetV3Large", 224, 2_996_352, ""),
        top=Top((("conv_2", 1280),), "hard_silu"),
    )  # fmt: skip
    yield from _family(
        "efficientnet", "efficientnet",
        "block1{}:{} block2{}_add:{} block3{}_add:{} block5{}_add:{} block7{}:{} top_activation:{}",
        ("EfficientNetB0", 224, 4_049_571, "a_project_bn 16 b 24 b 40 c 112 a_project_bn 320 1280"),
        ("EfficientNetB1", 240, 6_575_239, "b_add 16 c 24 c 40 d 112 b_add 320 1280"),
        ("EfficientNetB2", 260, 7_768_569, "b_add 16 c 24 c 48 d 120 b_add 352 1408"),
        ("EfficientNetB3", 300, 10_783_535, "b_add 24 c 32 c 48 e 136 b_add 384 1536"),
        ("EfficientNetB4", 380, 17_673_823, "b_add 24 d 32 d 56 f 160 b_add 448 1792"),
        ("EfficientNetB5", 456, 28_513_527, "c_add 24 e 40 e 64 g 176 c_add 512 2048"),
        ("EfficientNetB6", 528, 40_960_143, "c_add 32 f 40 f 72 h 200 c_add 576 2304"),
        ("EfficientNetB7", 600, 64_097_687, "d_add 32 g 48 g 80 j 224 d_add 640 2560"),
    )  # fmt: skip
    yield from _family(
        "efficientnetv2", "none",
        "block1{}:{} block2{}_add:{} block3{}_add:{} block5{}_add:{} block{}_add:{}"
        " top_activation:{}",
        ("EfficientNetV2B0", 224, 5_919_312,
         "a_project_activation 16 b 32 b 48 e 112 6h 192 1280"),
        ("EfficientNetV2B1", 240, 6_931_124, "b_add 16 c 32 c 48 f 112 6i 192 1280"),
        ("EfficientNetV2B2", 260, 8_769_374, "b_add 16 c 32 c 56 f 120 6j 208 1408"),
        ("EfficientNetV2B3", 300, 12_930_622, "b_add 16 c 40 c 56 g 136 6l 232 1536"),
        ("EfficientNetV2S", 384, 20_331_360, "b_add 24 d 48 d 64 i 160 6o 256 1280"),
        ("EfficientNetV2M", 480, 53_150_388, "c_add 24 e 48 e 80 n 176 7e 512 1280"),
        ("EfficientNetV2L", 480, 117_746_848, "d_add 32 g 64 g 96 s 224 7g 640 1280"),
    )  # fmt: skip
    yield from _family(  # a stage ends in a sum without a name; the next one normalizes it
        "convnext", "none",
        "convnext_{0}_downsampling_layernorm_0:{1} convnext_{0}_downsampling_layernorm_1:{2}"
        " convnext_{0}_downsampling_layernorm_2:{3} output:{4}",
        ("ConvNeXtTiny", 224, 27_820_128, "tiny 96 192 384 768"),
        ("ConvNeXtSmall", 224, 49_454_688, "small 96 192 384 768"),
        ("ConvNeXtBase", 224, 87_566_464, "base 128 256 512 1024"),
        ("ConvNeXtLarge", 224, 196_230_336, "large 192 384 768 1536"),
        ("ConvNeXtXLarge", 224, 348_147_968, "xlarge 256 512 1024 2048"),
    )  # fmt: skip
    yield from _family(  # a stage ends in stacked maps; the next one normalizes and activates them
        "densenet", "torch",
        "pool2_relu:256 pool3_relu:512 pool4_relu:{} relu:{}",
        ("DenseNet121", 224, 7_037_504, "1024 1024"),
        ("DenseNet169", 224, 12_642_880, "1280 1664"),
        ("DenseNet201", 224, 18_321_984, "1792 1920"),
    )  # fmt: skip
    yield from _family(
        "inception", "tf", "mixed2:288 mixed7:768 mixed10:2048",
        ("InceptionV3", 299, 21_802_784, ""),
        min_size=75,
    )  # fmt: skip
    yield from _family(
        "inceptionresnet", "tf", "block35_10_ac:320 block17_20_ac:1088 conv_7b_ac:1536",
        ("InceptionResNetV2", 299, 54_336_736, ""),
        min_size=75,
    )  # fmt: skip
    yield from _family(  # a stage ends in a sum without a name; the next one activates it
        "xception", "tf",
        "block1_conv2_act:64 block3_sepconv1_act:128 block4_sepconv1_act:256"
        " block13_sepconv1_act:728 block14_sepconv2_act:2048",
        ("Xception", 299, 20_861_480, ""),
        min_size=71,
    )  # fmt: skip
    yield from _family(
        "nasnet", "tf",
        "reduction_concat_stem_1:{} normal_concat_{}:{} normal_concat_{}:{} output:{}",
        ("NASNetMobile", 224, 4_269_716, "44 3 264 8 528 1056"),
        ("NASNetLarge", 331, 84_916_818, "168 5 1008 12 2016 4032"),
    )  # fmt: skip


BACKBONES = {backbone.name: backbone for backbone in _table()}


def find(name: str) -> Backbone:
    """Return the backbone of that name; case, hyphens, spaces and the like do not matter.

    Raises:
        UsageError: there is none of that name; the message suggests the nearest names.
    """
    if is_elsewhere(name):
        raise UsageError(
            f"{name}: networks from elsewhere are for `extract` and `backbones`; this takes a "
            "network of keras.applications, see `backbones`"
        )
    plain = re.sub(r"[^a-z0-9]", "", name.lower())
    if plain not in BACKBONES:
        if plain in DESCRIPTORS:
            raise UsageError(
                f"{plain} is made by hand and has no network and no weights; only `extract "
                f"--backbone {plain}` and `backbones {plain}` take it"
            )
        raise unknown_name("backbone", name, [*BACKBONES, *DESCRIPTORS])
    return BACKBONES[plain]


def check_image_size(backbone: Backbone | Descriptor, image_size: tuple[int, int]) -> None:
    """Raise UsageError where height or width is below the smallest that a backbone accepts."""
    height, width = image_size
    if min(height, width) < backbone.min_size:
        raise UsageError(
            f"{backbone.name} needs images of at least {backbone.min_size} pixels a side, got "
            f"{height}x{width}; use --image-size {backbone.min_size} or more"
        )


def resolve_layers(backbone: Backbone, names: Sequence[str] | None) -> tuple[str, ...]:
    """Return the names of the layers to tap: the given ones, or the last map where they are None.

    Names outside the catalog may be other layers of the network. Whether they exist is checked
    when the network is built (`features.backbones.network.with_taps`).

    Raises:
        UsageError: Keras' name for probabilities is among them.
    """
    if names is None:
        return (backbone.output,)
    if _PROBABILITIES in names and backbone.dense:
        raise UsageError(
            f"layer {_PROBABILITIES} of {backbone.name} would be probabilities; `{LOGITS}` are the "
            "values before the softmax"
        )
    return tuple(names)


def check_layers(
    backbone: Backbone, names: Sequence[str] | None, image_size: tuple[int, int]
) -> None:
    """Raise UsageError where a dense layer is asked for at a size of images that it cannot take.

    Raises:
        UsageError: as described, and as `resolve_layers`.
    """
    own = (backbone.size, backbone.size)
    wanted = [name for name in resolve_layers(backbone, names) if name in backbone.dense]
    if wanted and backbone.top.flattens and image_size != own:
        height, width = image_size
        raise UsageError(
            f"{', '.join(wanted)} of {backbone.name} needs images of {own[0]}x{own[1]} pixels, got "
            f"{height}x{width}; leave --image-size out, or take {backbone.output} instead"
        )
