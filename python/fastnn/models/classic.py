"""The course's small networks and the classic ones, LeNet-5, AlexNet, VGG: chains of layers, channels last.

All give scores (logits) ``[N, num_classes]`` of images ``[N, H, W, C]``; a softmax belongs to the loss. The size of the
first linear layer follows from ``input_shape``.
"""

from __future__ import annotations

from .. import nn
from ._build import Chain, check_image, he_init

__all__ = ["AlexNet", "CourseConvNet", "CourseLeNet", "LeNet5", "SlidingNet", "VGG", "vgg11", "vgg13", "vgg16", "vgg19"]


class CourseConvNet(nn.Sequential):
    """The course's first network: 39x39x3, three convolutions to 37x37x10, 17x17x20 and 7x7x40, 1960 features, scores.

    280 + 5,020 + 20,040 parameters, and 1,961 for one logistic output.

    Parameters
    ----------
    num_classes : int, default 1
    input_shape : (H, W, C), default (39, 39, 3)
    """

    def __init__(self, num_classes: int = 1, input_shape=(39, 39, 3)):
        net = Chain("CourseConvNet", check_image("CourseConvNet", input_shape, num_classes))
        net.conv("conv1", 10, 3).conv("conv2", 20, 5, stride=2).conv("conv3", 40, 5, stride=2)
        net.flatten().linear("out", num_classes, activate=False)
        super().__init__(net.layers)


class CourseLeNet(nn.Sequential):
    """The course's digit network after LeNet-5: 5x5 convolutions, max pooling, ReLU, layers of 120, 84 and 10.

    On 32x32x3 it has 62,006 parameters, or 62,958 with the 8 first filters of the course's table.

    Parameters
    ----------
    num_classes : int, default 10
    input_shape : (H, W, C), default (32, 32, 3)
    filters : (int, int), default (6, 16)
    """

    def __init__(self, num_classes: int = 10, input_shape=(32, 32, 3), filters=(6, 16)):
        net = Chain("CourseLeNet", check_image("CourseLeNet", input_shape, num_classes))
        net.conv("conv1", filters[0], 5).pool("pool1", 2)
        net.conv("conv2", filters[1], 5).pool("pool2", 2)
        net.flatten().linear("fc3", 120).linear("fc4", 84).linear("out", num_classes, activate=False)
        super().__init__(net.layers)


class LeNet5(nn.Sequential):
    """LeNet-5 (LeCun et al. 1998) with full connections: 61,706 parameters on 32x32x1.

    Parameters
    ----------
    num_classes : int, default 10
    input_shape : (H, W, C), default (32, 32, 1)
    activation : {'tanh', 'sigmoid', 'relu'}
        tanh is the original's; ReLU learns faster.
    pool : {'avg', 'max'}
    padding : int, default 0
        Of the first convolution; 2 makes 28x28 images the 32x32 that the original saw.
    """

    def __init__(self, num_classes: int = 10, input_shape=(32, 32, 1), activation="tanh", pool="avg", padding=0):
        activations = {"tanh": nn.Tanh, "sigmoid": nn.Sigmoid, "relu": nn.ReLU}
        pools = {"avg": nn.AvgPool2d, "max": nn.MaxPool2d}
        for what, value, known in (("activation", activation, activations), ("pool", pool, pools)):
            if value not in known:
                raise ValueError(f"LeNet5: expected {what} among {', '.join(known)}, got {value!r}")
        shape, kind = check_image("LeNet5", input_shape, num_classes), pools[pool]
        net = Chain("LeNet5", shape, activations[activation])
        net.conv("conv1", 6, 5, padding=padding).pool("pool1", 2, kind=kind)
        net.conv("conv2", 16, 5).pool("pool2", 2, kind=kind)
        net.flatten().linear("fc3", 120).linear("fc4", 84).linear("out", num_classes, activate=False)
        super().__init__(net.layers)


class SlidingNet(nn.Sequential):
    """The course's network for sliding windows: 14x14x3, 16 filters 5x5, pooling, two layers of 400, four scores.

    `fc_to_conv` turns it into a network that slides over larger images.
    """

    def __init__(self, num_classes: int = 4, input_shape=(14, 14, 3)):
        net = Chain("SlidingNet", check_image("SlidingNet", input_shape, num_classes))
        net.conv("conv1", 16, 5).pool("pool1", 2)
        net.flatten().linear("fc1", 400).linear("fc2", 400).linear("out", num_classes, activate=False)
        super().__init__(net.layers)


class AlexNet(nn.Sequential):
    """AlexNet (Krizhevsky, Sutskever, Hinton 2012): 62,378,344 parameters, 60,965,224 with the two groups of its GPUs.

    Parameters
    ----------
    num_classes : int, default 1000
    input_shape : (H, W, C), default (227, 227, 3)
        (227 - 11) / 4 + 1 = 55 comes out even, which the paper's 224 does not.
    groups : {1, 2}
        2 splits conv2, conv4 and conv5 as the paper did over two GPUs.
    norm : bool, default False
        Local response normalisation (n = 5, k = 2, alpha = 1e-4, beta = 0.75) behind conv1 and conv2.
    dropout : float, default 0.5
    """

    def __init__(self, num_classes=1000, input_shape=(227, 227, 3), groups=1, norm=False, dropout=0.5):
        net = Chain("AlexNet", check_image("AlexNet", input_shape, num_classes))
        net.conv("conv1", 96, 11, stride=4)
        if norm:
            net.add("norm1", _response_norm())
        net.pool("pool1", 3, 2).conv("conv2", 256, 5, padding=2, groups=groups)
        if norm:
            net.add("norm2", _response_norm())
        net.pool("pool2", 3, 2).conv("conv3", 384, 3, padding=1)
        net.conv("conv4", 384, 3, padding=1, groups=groups).conv("conv5", 256, 3, padding=1, groups=groups)
        net.pool("pool3", 3, 2).flatten()
        net.linear("fc6", 4096, dropout=dropout).linear("fc7", 4096, dropout=dropout)
        net.linear("fc8", num_classes, activate=False)
        super().__init__(net.layers)
        he_init(self)


def _response_norm():
    # The paper adds alpha times the sum of five squares, this layer alpha times their mean.
    return nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)


VGG_STAGES = {  # convolutions of 64, 128, 256, 512 and 512 filters in front of each pooling
    11: (1, 1, 2, 2, 2),
    13: (2, 2, 2, 2, 2),
    16: (2, 2, 3, 3, 3),
    19: (2, 2, 4, 4, 4),
}


class VGG(nn.Sequential):
    """VGG (Simonyan and Zisserman 2015): 3x3 same convolutions and 2x2 pooling only, filters doubling up to 512.

    Parameters
    ----------
    depth : {11, 13, 16, 19}
        Layers with weights. VGG-16 has 138,357,544 parameters.
    num_classes : int, default 1000
    input_shape : (H, W, C), default (224, 224, 3)
        At least 32 high and wide.
    features : int, default 4096
        Width of the two hidden linear layers.
    dropout : float, default 0.5
    """

    def __init__(self, depth=16, num_classes=1000, input_shape=(224, 224, 3), features=4096, dropout=0.5):
        if depth not in VGG_STAGES:
            raise ValueError(f"VGG: expected depth among {', '.join(map(str, VGG_STAGES))}, got {depth!r}")
        net = Chain("VGG", check_image("VGG", input_shape, num_classes))
        for stage, (count, channels) in enumerate(zip(VGG_STAGES[depth], (64, 128, 256, 512, 512)), 1):
            for i in range(1, count + 1):
                net.conv(f"conv{stage}_{i}", channels, 3, padding=1)
            net.pool(f"pool{stage}", 2)
        net.flatten().linear("fc6", features, dropout=dropout).linear("fc7", features, dropout=dropout)
        net.linear("fc8", num_classes, activate=False)
        super().__init__(net.layers)
        he_init(self)


def vgg11(num_classes=1000, input_shape=(224, 224, 3)):
    """`VGG` of 11 layers: 132,863,336 parameters."""
    return VGG(11, num_classes, input_shape)


def vgg13(num_classes=1000, input_shape=(224, 224, 3)):
    """`VGG` of 13 layers: 133,047,848 parameters."""
    return VGG(13, num_classes, input_shape)


def vgg16(num_classes=1000, input_shape=(224, 224, 3)):
    """`VGG` of 16 layers: 138,357,544 parameters."""
    return VGG(16, num_classes, input_shape)


def vgg19(num_classes=1000, input_shape=(224, 224, 3)):
    """`VGG` of 19 layers: 143,667,240 parameters."""
    return VGG(19, num_classes, input_shape)
