"""Networks with few parameters: network in network, SqueezeNet, MobileNet."""

from __future__ import annotations

from collections import OrderedDict

from .. import nn
from ._build import check_image, conv_bn, he_init

__all__ = ["Fire", "MobileNetV1", "NetworkInNetwork", "SqueezeNet"]


class NetworkInNetwork(nn.Sequential):
    """Network in network (Lin, Chen, Yan 2013) for 32x32 images: 1x1 convolutions behind every larger one.

    There is no linear layer: the last 1x1 convolution has one filter a class, and the mean over all positions is the
    score. 966,986 parameters with 3 channels and 10 classes.

    Parameters
    ----------
    num_classes : int, default 10
    in_channels : int, default 3
    dropout : float, default 0.5
    """

    def __init__(self, num_classes: int = 10, in_channels: int = 3, dropout: float = 0.5):
        check_image("NetworkInNetwork", (1, 1, in_channels), num_classes)
        c, layers = in_channels, OrderedDict()
        blocks = (
            ((192, 5), (160, 1), (96, 1), nn.MaxPool2d(3, 2, 1)),
            ((192, 5), (192, 1), (192, 1), nn.AvgPool2d(3, 2, 1)),
            ((192, 3), (192, 1), (num_classes, 1), nn.GlobalAvgPool()),
        )
        for i, (*convs, pool) in enumerate(blocks, 1):
            for j, (filters, kernel) in enumerate(convs):
                name = f"conv{i}" if j == 0 else f"cccp{i}_{j}"
                layers[name] = nn.Conv2d(c, filters, kernel, padding=kernel // 2, activation="relu")
                c = filters
            layers[f"pool{i}"] = pool
            if i < 3:
                layers[f"drop{i}"] = nn.Dropout(dropout)
        # A last ReLU would stop the gradient of every class that scores below zero everywhere.
        layers["cccp3_2"].activation = None
        super().__init__(layers)
        he_init(self)


class Fire(nn.Module):
    """SqueezeNet's module: 1x1 to few channels, then 1x1 and 3x3 side by side, joined in this order."""

    def __init__(self, c_in: int, squeeze: int, expand: int):
        super().__init__()
        self.squeeze1x1 = nn.Conv2d(c_in, squeeze, 1, activation="relu")
        self.expand1x1 = nn.Conv2d(squeeze, expand, 1, activation="relu")
        self.expand3x3 = nn.Conv2d(squeeze, expand, 3, padding=1, activation="relu")

    def forward(self, x):
        from .. import cat

        x = self.squeeze1x1(x)
        return cat([self.expand1x1(x), self.expand3x3(x)], 3)


class SqueezeNet(nn.Sequential):
    """SqueezeNet (Iandola et al. 2016): 1,248,424 parameters in version 1.0, 1,235,496 in 1.1.

    Parameters
    ----------
    version : {'1.0', '1.1'}
        1.0 begins with 96 filters 7x7, 1.1 with 64 of 3x3 and pools earlier: as good for 2.4 times less arithmetic.
    num_classes : int, default 1000
        0 leaves the classifier away: the output is the feature map ``[N, H, W, 512]`` of fire9.
    in_channels : int, default 3
    dropout : float, default 0.5

    The names of the parameters are those of the published Caffe model; `load_squeezenet` reads its weights.
    """

    def __init__(self, version: str = "1.0", num_classes: int = 1000, in_channels: int = 3, dropout: float = 0.5):
        if version not in ("1.0", "1.1"):
            raise ValueError(f"SqueezeNet: expected version '1.0' or '1.1', got {version!r}")
        if num_classes != 0:
            check_image("SqueezeNet", (1, 1, in_channels), num_classes)
        first = nn.Conv2d(in_channels, 96, 7, 2) if version == "1.0" else nn.Conv2d(in_channels, 64, 3, 2)
        first.activation = "relu"
        layers = OrderedDict(conv1=first, pool1=nn.MaxPool2d(3, 2, ceil_mode=True))
        c = first.out_channels
        for i, width in enumerate((16, 16, 32, 32, 48, 48, 64, 64), 2):
            layers[f"fire{i}"] = Fire(c, width, 4 * width)
            c = 8 * width
            if i in ((4, 8) if version == "1.0" else (3, 5)):
                layers[f"pool{i}"] = nn.MaxPool2d(3, 2, ceil_mode=True)
        if num_classes:
            layers["drop9"] = nn.Dropout(dropout)
            layers["conv10"] = nn.Conv2d(c, num_classes, 1, activation="relu")
            layers["pool10"] = nn.GlobalAvgPool()
        super().__init__(layers)
        he_init(self)
        if num_classes:
            nn.init.normal_(self.conv10.weight, 0.0, 0.01)


class MobileNetV1(nn.Sequential):
    """MobileNet (Howard et al. 2017): depthwise 3x3 and pointwise 1x1 convolutions; 4,231,976 parameters.

    Parameters
    ----------
    num_classes : int, default 1000
    in_channels : int, default 3
    width : float, default 1
        Factor on all filters: 0.25, 0.5 and 0.75 are the paper's smaller networks.
    """

    def __init__(self, num_classes: int = 1000, in_channels: int = 3, width: float = 1.0):
        check_image("MobileNetV1", (1, 1, in_channels), num_classes)
        if not width > 0:
            raise ValueError(f"MobileNetV1: expected width > 0, got {width}")
        c = max(int(32 * width), 1)
        layers = OrderedDict(conv0=nn.Sequential(*conv_bn(in_channels, c, 3, 2)))
        stages = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1)]
        for i, (filters, stride) in enumerate(stages, 1):
            c_out = max(int(filters * width), 1)
            layers[f"conv{i}"] = nn.Sequential(*conv_bn(c, c, 3, stride, groups=c), *conv_bn(c, c_out, 1))
            c = c_out
        layers["pool"], layers["fc"] = nn.GlobalAvgPool(), nn.Linear(c, num_classes)
        super().__init__(layers)
        he_init(self)
