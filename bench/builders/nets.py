"""Image networks written once, over the operations `o` of a library; images are ``[N, H, W, C]`` to the caller.

Weights are arrays by name in fastnn's layout: convolutions ``[KH, KW, Cin, Cout]``, linear ``[in, out]``.
"""

import numpy as np


def _he(rng, *shape):
    return (rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[:-1]))).astype(np.float32)


def lenet_weights(rng):
    shapes = {"c1": (5, 5, 1, 6), "c2": (5, 5, 6, 16), "l1": (400, 120), "l2": (120, 84), "l3": (84, 10)}
    w = {}
    for name, shape in shapes.items():
        w |= {name: _he(rng, *shape), f"{name}_bias": np.zeros(shape[-1], np.float32)}
    return w


def lenet(o, w, x):
    """LeNet-5 with ReLU and max pooling, for 28 x 28 grey images."""
    x = o.pool(o.conv(x, w["c1"], w["c1_bias"], 1, 2, relu=True))
    x = o.flatten(o.pool(o.conv(x, w["c2"], w["c2_bias"], 1, 0, relu=True)))
    x = o.relu(o.linear(x, w["l1"], w["l1_bias"]))
    x = o.relu(o.linear(x, w["l2"], w["l2_bias"]))
    return o.linear(x, w["l3"], w["l3_bias"])


def _blocks():
    """Name, channels in and out, stride of the nine residual blocks."""
    before = 16
    for channels in (16, 32, 64):
        for k in range(3):
            yield f"b{channels}_{k}", before, channels, 2 if k == 0 and channels > 16 else 1
            before = channels


def resnet20_weights(rng):
    w = {}

    def conv(name, *shape):
        w[name] = _he(rng, *shape)
        w[f"{name}_scale"], w[f"{name}_shift"] = np.ones(shape[-1], np.float32), np.zeros(shape[-1], np.float32)

    conv("stem", 3, 3, 3, 16)
    for name, c_in, c_out, stride in _blocks():
        conv(f"{name}_1", 3, 3, c_in, c_out)
        conv(f"{name}_2", 3, 3, c_out, c_out)
        if stride > 1:
            conv(f"{name}_s", 1, 1, c_in, c_out)
    return {**w, "out": _he(rng, 64, 10), "out_bias": np.zeros(10, np.float32)}


def resnet20(o, w, x):
    """ResNet-20 of CIFAR-10, batch norm in training mode, shortcuts by 1 x 1 convolutions."""

    def unit(x, name, stride, pad):
        return o.norm(o.conv(x, w[name], None, stride, pad), w[f"{name}_scale"], w[f"{name}_shift"])

    x = o.relu(unit(x, "stem", 1, 1))
    for name, _, _, stride in _blocks():
        y = unit(o.relu(unit(x, f"{name}_1", stride, 1)), f"{name}_2", 1, 1)
        x = o.relu(y + (unit(x, f"{name}_s", stride, 0) if stride > 1 else x))
    return o.linear(o.mean(x), w["out"], w["out_bias"])


NETS = {"lenet": (lenet, lenet_weights, (28, 28, 1)), "resnet20": (resnet20, resnet20_weights, (32, 32, 3))}
