"""ResNet50 and VGG16 in plain torch.nn, average-pooled, with random weights; and their images."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class JpegFiles(torch.utils.data.Dataset):
    """Images as float32 (3, size, size), standardized as torchvision's weights want them."""

    def __init__(self, paths: list[Path], size: int) -> None:
        self.paths, self.size = paths, size
        self.mean, self.deviation = (torch.tensor(v).view(3, 1, 1) for v in (_MEAN, _DEVIATION))

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Tensor:
        image = Image.open(self.paths[index]).convert("RGB")
        image = image.resize((self.size, self.size), Image.Resampling.BILINEAR)
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255
        return (pixels - self.mean) / self.deviation


def _conv(given: int, channels: int, kernel: int, stride: int = 1) -> list[nn.Module]:
    conv = nn.Conv2d(given, channels, kernel, stride, kernel // 2, bias=False)
    return [conv, nn.BatchNorm2d(channels)]


class Bottleneck(nn.Module):
    """1 x 1, 3 x 3, 1 x 1, and the input added."""

    def __init__(self, given: int, width: int, stride: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            *_conv(given, width, 1), nn.ReLU(inplace=True),
            *_conv(width, width, 3, stride), nn.ReLU(inplace=True),
            *_conv(width, 4 * width, 1),
        )  # fmt: skip
        same = given == 4 * width and stride == 1
        self.shortcut = (
            nn.Identity() if same else nn.Sequential(*_conv(given, 4 * width, 1, stride))
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu_(self.residual(x) + self.shortcut(x))


def _pooled(layers: list[nn.Module]) -> nn.Sequential:
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())


def resnet50() -> nn.Sequential:
    """Return He et al. 2015, "Deep Residual Learning", with 3, 4, 6 and 3 blocks."""
    layers = [*_conv(3, 64, 7, 2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)]
    channels = 64
    for width, blocks in ((64, 3), (128, 4), (256, 6), (512, 3)):
        for block in range(blocks):
            layers.append(Bottleneck(channels, width, 2 if block == 0 and width > 64 else 1))
            channels = 4 * width
    return _pooled(layers)


def vgg16() -> nn.Sequential:
    """Return the convolutions of Simonyan and Zisserman 2014, configuration D."""
    layers, channels = [], 3
    for width, convolutions in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(convolutions):
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
            channels = width
        layers.append(nn.MaxPool2d(2))
    return _pooled(layers)


NETWORKS = {"resnet50": resnet50, "vgg16": vgg16}
