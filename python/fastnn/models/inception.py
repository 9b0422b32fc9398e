"""The Inception module and GoogLeNet (Szegedy et al. 2014) with its two side classifiers."""

from __future__ import annotations

from .. import nn
from ..nn import functional as F
from ._build import check_image, he_init

__all__ = ["AuxiliaryHead", "GoogLeNet", "Inception", "googlenet_loss"]


def _conv(c_in, c_out, kernel, stride=1, padding=None):
    return nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2 if padding is None else padding, activation="relu")


class Inception(nn.Module):
    """Convolutions of 1x1, 3x3 and 5x5 and a pooling side by side, their channels joined.

    In front of the 3x3 and the 5x5 a 1x1 convolution shrinks the channels (the bottleneck), behind the pooling another
    one keeps its input from dominating. 28x28x192 with the widths 64, 96, 128, 16, 32, 32 gives 28x28x256 and has
    163,696 parameters.

    Parameters
    ----------
    c_in : int
    c1 : int
        Filters of the 1x1 branch.
    r3, c3 : int
        Bottleneck and filters of the 3x3 branch.
    r5, c5 : int
        Bottleneck and filters of the 5x5 branch.
    pool : int
        Filters behind the 3x3 max pooling of stride 1.

    Input [N, H, W, c_in], output [N, H, W, c1 + c3 + c5 + pool] in this order.
    """

    def __init__(self, c_in: int, c1: int, r3: int, c3: int, r5: int, c5: int, pool: int):
        super().__init__()
        self.branch1 = _conv(c_in, c1, 1)
        self.reduce3, self.branch3 = _conv(c_in, r3, 1), _conv(r3, c3, 3)
        self.reduce5, self.branch5 = _conv(c_in, r5, 1), _conv(r5, c5, 5)
        self.pool = nn.MaxPool2d(3, 1, 1)
        self.project = _conv(c_in, pool, 1)
        self.out_channels = c1 + c3 + c5 + pool

    def forward(self, x):
        from .. import cat

        return cat(
            [
                self.branch1(x),
                self.branch3(self.reduce3(x)),
                self.branch5(self.reduce5(x)),
                self.project(self.pool(x)),
            ],
            3,
        )


class AuxiliaryHead(nn.Module):
    """A side classifier: average pooling to 4x4, a 1x1 convolution of 128 filters, 1024 units, dropout, scores."""

    def __init__(self, c_in: int, num_classes: int, dropout: float = 0.7):
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(4)
        self.conv = _conv(c_in, 128, 1)
        self.fc1 = nn.Linear(4 * 4 * 128, 1024)
        self.drop = nn.Dropout(dropout)
        self.fc2 = nn.Linear(1024, num_classes)

    def forward(self, x):
        x = self.conv(self.pool(x))
        return self.fc2(self.drop(F.relu(self.fc1(F.flatten(x, 1)))))


# name: c_in, c1, r3, c3, r5, c5, pool
GOOGLENET = {
    "inception3a": (192, 64, 96, 128, 16, 32, 32),
    "inception3b": (256, 128, 128, 192, 32, 96, 64),
    "inception4a": (480, 192, 96, 208, 16, 48, 64),
    "inception4b": (512, 160, 112, 224, 24, 64, 64),
    "inception4c": (512, 128, 128, 256, 24, 64, 64),
    "inception4d": (512, 112, 144, 288, 32, 64, 64),
    "inception4e": (528, 256, 160, 320, 32, 128, 128),
    "inception5a": (832, 256, 160, 320, 32, 128, 128),
    "inception5b": (832, 384, 192, 384, 48, 128, 128),
}


class GoogLeNet(nn.Module):
    """GoogLeNet: nine Inception modules; 6,998,552 parameters, and 6,379,728 more in the side classifiers.

    In training it returns (scores, scores after 4a, scores after 4d), which `googlenet_loss` weighs 1, 0.3 and 0.3; in
    evaluation the scores alone.

    Parameters
    ----------
    num_classes : int, default 1000
    in_channels : int, default 3
    auxiliary : bool, default True
        With side classifiers; False always returns the scores alone.
    dropout : float, default 0.4
    norm : bool, default True
        Local response normalisation in the stem, as in the paper.
    """

    def __init__(self, num_classes=1000, in_channels=3, auxiliary=True, dropout=0.4, norm=True):
        super().__init__()
        check_image("GoogLeNet", (1, 1, in_channels), num_classes)
        self.conv1 = _conv(in_channels, 64, 7, 2, 3)
        self.conv2, self.conv3 = _conv(64, 64, 1), _conv(64, 192, 3)
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.norm = nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=1.0) if norm else nn.Identity()
        for name, widths in GOOGLENET.items():
            setattr(self, name, Inception(*widths))
        self.aux1 = AuxiliaryHead(512, num_classes) if auxiliary else None
        self.aux2 = AuxiliaryHead(528, num_classes) if auxiliary else None
        self.avgpool = nn.GlobalAvgPool()
        self.drop = nn.Dropout(dropout)
        self.fc = nn.Linear(1024, num_classes)
        he_init(self)

    def forward(self, x):
        x = self.norm(self.pool(self.conv1(x)))
        x = self.pool(self.norm(self.conv3(self.conv2(x))))
        x = self.pool(self.inception3b(self.inception3a(x)))
        x = a = self.inception4a(x)
        x = d = self.inception4d(self.inception4c(self.inception4b(x)))
        x = self.pool(self.inception4e(x))
        x = self.inception5b(self.inception5a(x))
        scores = self.fc(self.drop(self.avgpool(x)))
        if self.training and self.aux1 is not None:
            return scores, self.aux1(a), self.aux2(d)
        return scores


def googlenet_loss(outputs, target, weight: float = 0.3):
    """Cross-entropy of the scores, plus ``weight`` times that of each side classifier where the outputs have them."""
    if not isinstance(outputs, (tuple, list)):
        return F.cross_entropy(outputs, target)
    scores, *sides = outputs
    total = F.cross_entropy(scores, target)
    for side in sides:
        total = total + weight * F.cross_entropy(side, target)
    return total
