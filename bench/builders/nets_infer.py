"""Image networks for inference, batch normalisation folded into the convolutions, over the operations `o` of a library.

``o.conv(x, name, stride, pad, relu, plus)`` is the convolution with weight ``name`` and bias ``name_bias``, `plus`
added, then ReLU.
"""

import numpy as np

from .nets import _blocks, _he, lenet_weights


def lenet(o, x):
    """LeNet-5 with ReLU and max pooling."""
    x = o.pool(o.conv(x, "c1", 1, 2), 2, 2, 0)
    x = o.flatten(o.pool(o.conv(x, "c2", 1, 0), 2, 2, 0))
    return o.linear(o.linear(o.linear(x, "l1", True), "l2", True), "l3", False)


def resnet20(o, x):
    x = o.conv(x, "stem", 1, 1)
    for name, _, _, stride in _blocks():
        short = o.conv(x, f"{name}_s", stride, 0, False) if stride > 1 else x
        x = o.conv(o.conv(x, f"{name}_1", stride, 1), f"{name}_2", 1, 1, True, short)
    return o.linear(o.mean(x), "head", False)


def _bottlenecks():
    """Name, channels in, in the middle and out, stride of the sixteen blocks of ResNet-50."""
    before = 64
    for middle, count in ((64, 3), (128, 4), (256, 6), (512, 3)):
        for k in range(count):
            yield f"b{middle}_{k}", before, middle, 4 * middle, 2 if k == 0 and middle > 64 else 1
            before = 4 * middle


def resnet50(o, x):
    x = o.pool(o.conv(x, "stem", 2, 3), 3, 2, 1)
    for name, before, _, after, stride in _bottlenecks():
        short = o.conv(x, f"{name}_s", stride, 0, False) if before != after else x
        y = o.conv(o.conv(x, f"{name}_1", 1, 0), f"{name}_2", stride, 1)
        x = o.conv(y, f"{name}_3", 1, 0, True, short)
    return o.linear(o.mean(x), "head", False)


def _with_biases(rng, shapes, last):
    w = {}
    for name, shape in shapes.items():
        # The last convolution of a block is added to its input: small, so that deep networks stay in range.
        scale = np.float32(0.3 if name.endswith(last) else 1)
        w |= {name: _he(rng, *shape) * scale, f"{name}_bias": 0.1 * rng.standard_normal(shape[-1], dtype=np.float32)}
    return w


def resnet20_weights(rng):
    shapes = {"stem": (3, 3, 3, 16), "head": (64, 10)}
    for name, before, after, stride in _blocks():
        shapes |= {f"{name}_1": (3, 3, before, after), f"{name}_2": (3, 3, after, after)}
        if stride > 1:
            shapes[f"{name}_s"] = (1, 1, before, after)
    return _with_biases(rng, shapes, "_2")


def resnet50_weights(rng):
    shapes = {"stem": (7, 7, 3, 64), "head": (2048, 1000)}
    for name, before, middle, after, _ in _bottlenecks():
        shapes |= {f"{name}_1": (1, 1, before, middle), f"{name}_2": (3, 3, middle, middle)}
        shapes[f"{name}_3"] = (1, 1, middle, after)
        if before != after:
            shapes[f"{name}_s"] = (1, 1, before, after)
    return _with_biases(rng, shapes, "_3")


#: Name -> network, weights, shape of an image, multiply-adds.
NETS = {
    "lenet": (lenet, lenet_weights, (28, 28, 1), 0.417e6),
    "resnet20": (resnet20, resnet20_weights, (32, 32, 3), 40.8e6),
    "resnet50": (resnet50, resnet50_weights, (224, 224, 3), 4089e6),
}
