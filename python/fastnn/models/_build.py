"""What the networks are written with: a chain of layers that knows its shape, and He's initialisation."""

from __future__ import annotations

import math
from collections import OrderedDict

from .. import nn

__all__ = ["Chain", "check_image", "conv_bn", "he_init", "output_size"]


def output_size(n: int, kernel: int, stride: int = 1, padding: int | str = 0, dilation: int = 1,
                ceil_mode: bool = False) -> int:  # fmt: skip
    """Positions that a convolution or pooling of this geometry has along an axis of ``n``.

    floor((n + 2 padding - dilation (kernel - 1) - 1) / stride) + 1; with ``padding="same"`` ceil(n / stride). With
    ``ceil_mode`` a last window may stand over the end, if it begins inside.

    Raises
    ------
    ValueError
        When the window does not fit once.
    """
    if padding == "same":
        return -(-n // stride)
    p = 0 if padding == "valid" else padding
    room = n + 2 * p - dilation * (kernel - 1) - 1
    if room < 0:
        raise ValueError(
            f"output_size: a window of {dilation * (kernel - 1) + 1} does not fit into {n} positions with padding {p}"
        )
    size = (-(-room // stride) if ceil_mode else room // stride) + 1
    return size - 1 if ceil_mode and (size - 1) * stride >= n + p else size


def check_image(name: str, shape, num_classes: int) -> tuple[int, int, int]:
    """``shape`` as (H, W, C), checked, with the number of classes."""
    shape = tuple(shape)
    if len(shape) != 3 or not all(isinstance(n, int) and n >= 1 for n in shape):
        raise ValueError(f"{name}: expected input_shape as (height, width, channels), each >= 1, got {shape}")
    if not isinstance(num_classes, int) or num_classes < 1:
        raise ValueError(f"{name}: expected num_classes >= 1, got {num_classes!r}")
    return shape


def he_init(model: nn.Module) -> nn.Module:
    """Weights of convolutions from Normal(0, 2 / fan_in), as ReLU wants them; biases of convolutions zero."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return model


def conv_bn(c_in: int, c_out: int, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    """Convolution (same padding for stride 1, no bias), batch normalisation, ReLU."""
    return [
        nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(c_out),
        nn.ReLU(),
    ]


class Chain:
    """Layers by name, each made for the shape that the ones before it leave; `layers` is what ``Sequential`` takes.

    Parameters
    ----------
    owner : str
        Name of the network, for messages.
    shape : (H, W, C)
    activation : class of Module, optional
        Behind every convolution and inner linear layer. ReLU is computed by the convolution itself.
    """

    def __init__(self, owner: str, shape, activation=nn.ReLU):
        self.owner, self.shape, self.activation = owner, tuple(shape), activation
        self.layers: OrderedDict[str, nn.Module] = OrderedDict()

    def add(self, name: str, module: nn.Module) -> Chain:
        """Any layer that keeps the shape."""
        self.layers[name] = module
        return self

    def _moved(self, name, kernel, stride, padding, ceil_mode=False):
        try:
            return [output_size(n, kernel, stride, padding, 1, ceil_mode) for n in self.shape[:2]]
        except ValueError as error:
            raise ValueError(f"{self.owner}: the input is too small for {name} ({error})") from None

    def conv(self, name, channels, kernel, stride=1, padding=0, groups=1) -> Chain:
        fused = self.activation is nn.ReLU
        size = self._moved(name, kernel, stride, padding)
        self.layers[name] = nn.Conv2d(
            self.shape[2], channels, kernel, stride, padding, groups=groups, activation="relu" if fused else None
        )
        if not fused and self.activation is not None:
            self.layers[f"{name}_act"] = self.activation()
        self.shape = (*size, channels)
        return self

    def pool(self, name, kernel, stride=None, padding=0, kind=nn.MaxPool2d, ceil_mode=False) -> Chain:
        size = self._moved(name, kernel, stride or kernel, padding, ceil_mode)
        self.layers[name] = kind(kernel, stride or kernel, padding, ceil_mode=ceil_mode)
        self.shape = (*size, self.shape[2])
        return self

    def flatten(self) -> Chain:
        self.layers["flatten"] = nn.Flatten()
        self.shape = (math.prod(self.shape),)
        return self

    def linear(self, name, features, activate=True, dropout=0.0) -> Chain:
        self.layers[name] = nn.Linear(self.shape[0], features)
        if activate and self.activation is not None:
            self.layers[f"{name}_act"] = self.activation()
        if dropout:
            self.layers[f"{name}_drop"] = nn.Dropout(dropout)
        self.shape = (features,)
        return self
