"""Residual networks (He, Zhang, Ren, Sun 2015) for ImageNet and for 32x32 images, and the same without shortcuts.

Parameters and buffers of `ResNet` have the names that torchvision gave them, so ``fastnn.convert.from_torch`` loads its
state dicts.
"""

from __future__ import annotations

from .. import nn
from ..nn import functional as F
from ._build import check_image, he_init

__all__ = ["BasicBlock", "Bottleneck", "CifarResNet", "ResNet", "plain20", "plain56", "resnet18", "resnet20",
           "resnet32", "resnet34", "resnet50", "resnet56", "resnet101", "resnet152"]  # fmt: skip


class ZeroPadShortcut(nn.Module):
    """The shortcut without parameters: every ``stride``-th position, new channels zero (option A of the paper)."""

    def __init__(self, c_in: int, c_out: int, stride: int):
        super().__init__()
        self.extra, self.stride = c_out - c_in, stride

    def forward(self, x):
        if self.stride > 1:
            x = x[:, :: self.stride, :: self.stride]
        before = self.extra // 2
        return F.pad(x, (before, self.extra - before)) if self.extra else x


def _shortcut(c_in: int, c_out: int, stride: int, kind: str):
    """W_s of the course: nothing where the shapes agree, else a 1x1 convolution or zeros."""
    if stride == 1 and c_in == c_out:
        return None
    if kind == "zeros":
        return ZeroPadShortcut(c_in, c_out, stride)
    return nn.Sequential(nn.Conv2d(c_in, c_out, 1, stride, bias=False), nn.BatchNorm2d(c_out))


class _Block(nn.Module):
    """a[l+2] = relu(z[l+2] + shortcut(a[l])): the shortcut joins after the linear part, before the ReLU."""

    expansion = 1

    def __init__(self, shortcut: str):
        super().__init__()
        if shortcut not in ("projection", "zeros", "none"):
            raise ValueError(
                f"{type(self).__name__}: expected shortcut among projection, zeros, none, got {shortcut!r}"
            )
        self.residual = shortcut != "none"

    def forward(self, x):
        y = self.branch(x)
        if self.residual:
            y = y + (x if self.downsample is None else self.downsample(x))
        return F.relu(y)


class BasicBlock(_Block):
    """Two 3x3 convolutions with batch normalisation and a shortcut around them.

    Parameters
    ----------
    c_in, width : int
        Channels of the input and of the output.
    stride : int, default 1
        Of the first convolution.
    shortcut : {'projection', 'zeros', 'none'}
        Where the shapes differ: a 1x1 convolution, or padding with zeros. 'none' makes the block a plain one.
    """

    def __init__(self, c_in: int, width: int, stride: int = 1, shortcut: str = "projection"):
        super().__init__(shortcut)
        self.conv1 = nn.Conv2d(c_in, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _shortcut(c_in, width, stride, shortcut) if self.residual else None

    def branch(self, x):
        return self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))


class Bottleneck(_Block):
    """1x1 to fewer channels, 3x3 (with the stride), 1x1 to four times ``width``; arguments as `BasicBlock`."""

    expansion = 4

    def __init__(self, c_in: int, width: int, stride: int = 1, shortcut: str = "projection"):
        super().__init__(shortcut)
        c_out = 4 * width
        self.conv1 = nn.Conv2d(c_in, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, c_out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(c_out)
        self.downsample = _shortcut(c_in, c_out, stride, shortcut) if self.residual else None

    def branch(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        return self.bn3(self.conv3(y))


def _stage(block, c_in: int, width: int, count: int, stride: int, shortcut: str) -> nn.Sequential:
    first = block(c_in, width, stride, shortcut)
    return nn.Sequential(first, *[block(width * block.expansion, width, 1, shortcut) for _ in range(count - 1)])


class ResNet(nn.Module):
    """ResNet for images of about 224x224: a 7x7 stem of stride 2, pooling, four stages, global average, scores.

    Parameters
    ----------
    block : BasicBlock or Bottleneck
    counts : four ints
        Blocks a stage.
    num_classes : int, default 1000
    in_channels : int, default 3
        Any height and width from 32 on will do.
    shortcut : {'projection', 'zeros', 'none'}
        See `BasicBlock`.
    """

    def __init__(self, block, counts, num_classes: int = 1000, in_channels: int = 3, shortcut: str = "projection"):
        super().__init__()
        check_image("ResNet", (1, 1, in_channels), num_classes)
        self.conv1 = nn.Conv2d(in_channels, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        c, e = 64, block.expansion
        self.layer1 = _stage(block, c, 64, counts[0], 1, shortcut)
        self.layer2 = _stage(block, 64 * e, 128, counts[1], 2, shortcut)
        self.layer3 = _stage(block, 128 * e, 256, counts[2], 2, shortcut)
        self.layer4 = _stage(block, 256 * e, 512, counts[3], 2, shortcut)
        self.avgpool = nn.GlobalAvgPool()
        self.fc = nn.Linear(512 * e, num_classes)
        he_init(self)

    def features(self, x):
        """The last feature map, ``[N, H / 32, W / 32, 512 * expansion]``."""
        x = self.maxpool(F.relu(self.bn1(self.conv1(x))))
        return self.layer4(self.layer3(self.layer2(self.layer1(x))))

    def forward(self, x):
        return self.fc(self.avgpool(self.features(x)))


def resnet18(num_classes=1000, in_channels=3):
    """`ResNet` with 2, 2, 2, 2 basic blocks: 11,689,512 parameters."""
    return ResNet(BasicBlock, (2, 2, 2, 2), num_classes, in_channels)


def resnet34(num_classes=1000, in_channels=3):
    """`ResNet` with 3, 4, 6, 3 basic blocks: 21,797,672 parameters."""
    return ResNet(BasicBlock, (3, 4, 6, 3), num_classes, in_channels)


def resnet50(num_classes=1000, in_channels=3):
    """`ResNet` with 3, 4, 6, 3 bottlenecks: 25,557,032 parameters."""
    return ResNet(Bottleneck, (3, 4, 6, 3), num_classes, in_channels)


def resnet101(num_classes=1000, in_channels=3):
    """`ResNet` with 3, 4, 23, 3 bottlenecks: 44,549,160 parameters."""
    return ResNet(Bottleneck, (3, 4, 23, 3), num_classes, in_channels)


def resnet152(num_classes=1000, in_channels=3):
    """`ResNet` with 3, 8, 36, 3 bottlenecks: 60,192,808 parameters."""
    return ResNet(Bottleneck, (3, 8, 36, 3), num_classes, in_channels)


class CifarResNet(nn.Module):
    """The paper's networks for 32x32 images: 6 n + 2 layers, three stages of n blocks with 16, 32 and 64 filters.

    Parameters
    ----------
    depth : int
        20, 32, 44, 56, 110, ...: 6 n + 2.
    num_classes : int, default 10
    in_channels : int, default 3
    shortcut : {'zeros', 'projection', 'none'}
        The paper's zeros have no parameters; 'none' gives the plain network of the same depth.
    width : int, default 16
        Filters of the first stage.
    """

    def __init__(self, depth: int = 20, num_classes: int = 10, in_channels: int = 3, shortcut: str = "zeros",
                 width: int = 16):  # fmt: skip
        super().__init__()
        if depth < 8 or (depth - 2) % 6:
            raise ValueError(f"CifarResNet: expected depth 6 n + 2 (20, 32, 56, ...), got {depth}")
        check_image("CifarResNet", (1, 1, in_channels), num_classes)
        n = (depth - 2) // 6
        self.conv1 = nn.Conv2d(in_channels, width, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.layer1 = _stage(BasicBlock, width, width, n, 1, shortcut)
        self.layer2 = _stage(BasicBlock, width, 2 * width, n, 2, shortcut)
        self.layer3 = _stage(BasicBlock, 2 * width, 4 * width, n, 2, shortcut)
        self.avgpool = nn.GlobalAvgPool()
        self.fc = nn.Linear(4 * width, num_classes)
        he_init(self)

    def features(self, x):
        """The last feature map, ``[N, H / 4, W / 4, 4 * width]``."""
        return self.layer3(self.layer2(self.layer1(F.relu(self.bn1(self.conv1(x))))))

    def forward(self, x):
        return self.fc(self.avgpool(self.features(x)))


def resnet20(num_classes=10, in_channels=3):
    """`CifarResNet` of 20 layers: 269,722 parameters."""
    return CifarResNet(20, num_classes, in_channels)


def resnet32(num_classes=10, in_channels=3):
    """`CifarResNet` of 32 layers: 464,154 parameters."""
    return CifarResNet(32, num_classes, in_channels)


def resnet56(num_classes=10, in_channels=3):
    """`CifarResNet` of 56 layers: 853,018 parameters."""
    return CifarResNet(56, num_classes, in_channels)


def plain20(num_classes=10, in_channels=3):
    """`CifarResNet` of 20 layers without shortcuts: as many parameters, no way around a layer."""
    return CifarResNet(20, num_classes, in_channels, shortcut="none")


def plain56(num_classes=10, in_channels=3):
    """`CifarResNet` of 56 layers without shortcuts."""
    return CifarResNet(56, num_classes, in_channels, shortcut="none")
