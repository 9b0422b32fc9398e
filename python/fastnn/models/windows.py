"""Sliding windows by convolution (OverFeat): linear layers as convolutions, one pass for all windows."""

from __future__ import annotations

from collections import OrderedDict

from .. import _C, nn
from .._arrays import device_of
from ..autograd import no_grad

__all__ = ["every_window", "fc_to_conv"]


def _parts(model, prefix=""):
    """The layers of nested Sequentials in order, by path."""
    for name, module in model.named_children():
        path = f"{prefix}{name}"
        if isinstance(module, nn.Sequential):
            yield from _parts(module, path + ".")
        else:
            yield path, module


def fc_to_conv(model: nn.Sequential, input_shape) -> nn.Sequential:
    """A network without linear layers that computes the same on ``input_shape`` and slides over larger images.

    A linear layer on an H x W x C map is a convolution with a kernel of H x W: the weight is only reshaped, since maps
    are flattened with channels last. Linear layers behind it become 1x1 convolutions. Global average pooling becomes
    pooling with a window of the map's size. The stride of the windows is the product of the strides in the network.

    Parameters
    ----------
    model : Sequential
        Convolutions and poolings without padding make the result equal to that of every crop; with padding, windows
        inside a larger image see pixels where a crop has zeros.
    input_shape : (H, W, C)
        The image for which the model was made.

    Returns
    -------
    Sequential
        ``[N, H, W, C] -> [N, rows, columns, outputs]``, ``[N, 1, 1, outputs]`` on ``input_shape``. It has copies of
        the weights of linear layers and shares the other layers with ``model``.

    Raises
    ------
    TypeError
        For a model that is not a Sequential.
    ValueError
        When a linear layer does not fit the map in front of it.
    """
    if not isinstance(model, nn.Sequential):
        raise TypeError(f"fc_to_conv: expected a Sequential, got {type(model).__name__}")
    layers, window = OrderedDict(), None  # window: height and width that the next linear layer covers
    x = _C.zeros((1, *input_shape), device=device_of(model))
    training = model.training
    model.eval()
    try:
        with no_grad():
            for path, module in _parts(model):
                name, before = path.replace(".", "_"), x
                x = module(x)
                if isinstance(module, nn.Flatten):
                    window = tuple(before.shape[1:3])
                elif isinstance(module, nn.Linear):
                    layers[name], window = _as_conv(path, module, window or (1, 1)), (1, 1)
                elif isinstance(module, nn.GlobalAvgPool):
                    layers[name], window = nn.AvgPool2d(tuple(before.shape[1:3]), 1), (1, 1)
                else:
                    layers[name] = module
    finally:
        model.train(training)
    result = nn.Sequential(layers)
    return result.train(training)


def _as_conv(path: str, linear: nn.Linear, window) -> nn.Conv2d:
    cells = window[0] * window[1]
    if linear.in_features % cells:
        raise ValueError(f"fc_to_conv: {path} takes {linear.in_features} numbers, which {list(window)} does not divide")
    conv = nn.Conv2d(
        linear.in_features // cells, linear.out_features, window, bias=linear.bias is not None,
        dtype=linear.weight.dtype,
    )  # fmt: skip
    state = {"weight": linear.weight.detach().reshape(tuple(conv.weight.shape))}
    if linear.bias is not None:
        state["bias"] = linear.bias.detach()
    conv.load_state_dict(state)
    return conv


def every_window(model: nn.Module, x, size, stride):
    """What a network says of every window, one crop after the other: the slow way that `fc_to_conv` replaces.

    Parameters
    ----------
    model : Module
        ``[N, h, w, C] -> [N, outputs]``
    x : Tensor [N, H, W, C]
    size, stride : int or (int, int)
        Of the windows.

    Returns
    -------
    Tensor [N, rows, columns, outputs]
    """
    (h, w), (sy, sx) = ((v, v) if isinstance(v, int) else tuple(v) for v in (size, stride))
    rows = [
        _C.stack([model(x[:, i : i + h, j : j + w]) for j in range(0, x.shape[2] - w + 1, sx)], 1)
        for i in range(0, x.shape[1] - h + 1, sy)
    ]
    if not rows:
        raise ValueError(f"every_window: windows of {h}x{w} do not fit into {list(x.shape)}")
    return _C.stack(rows, 1)
