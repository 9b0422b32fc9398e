"""Weights to and from PyTorch's layouts: the one place that knows where the two differ.

A ``state_dict`` has the same keys in both libraries; what differs is the order of dimensions. PyTorch keeps the output
dimension first (``Linear.weight [out, in]``), this library last (``[in, out]``). Kernels of convolutions move likewise:
``[out, in, *kernel]`` there, ``[*kernel, in, out]`` here, and of transposed ones ``[in, out, *kernel]`` there,
``[*kernel, in, out]`` here. Recurrent layers keep PyTorch's names and its order of the gates (LSTM: i, f, g, o; GRU:
r, z, n); the matrices are transposed. Keras orders LSTM's gates i, f, g, o too but GRU's z, r, n: `from_keras_gru`.
"""

from __future__ import annotations

import numpy as np

from . import _C, nn
from ._arrays import to_numpy

__all__ = ["from_keras_gru", "from_keras_lstm", "from_torch", "to_torch"]


def _transposed(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array.T)


def _moved(source: tuple, target: tuple):
    return lambda array: np.ascontiguousarray(np.moveaxis(array, source, target))


_CONV = {"weight": (_moved((0, 1), (-1, -2)), _moved((-1, -2), (0, 1)))}
_CONV_TRANSPOSED = {"weight": (_moved((0, 1), (-2, -1)), _moved((-2, -1), (0, 1)))}

_RECURRENT = {
    f"{kind}{suffix}": (_transposed, _transposed)
    for kind in ("weight_ih", "weight_hh", "weight_hr")
    for suffix in ["", *(f"_l{layer}{way}" for layer in range(64) for way in ("", "_reverse"))]
}

# module class -> parameter name -> the change of layout from PyTorch's, and back
LAYOUTS = {
    nn.Linear: {"weight": (_transposed, _transposed)},
    nn.Conv1d: _CONV,
    nn.Conv2d: _CONV,
    nn.Conv3d: _CONV,
    nn.ConvTranspose1d: _CONV_TRANSPOSED,
    nn.ConvTranspose2d: _CONV_TRANSPOSED,
    nn.ConvTranspose3d: _CONV_TRANSPOSED,
    nn.RNN: _RECURRENT,
    nn.GRU: _RECURRENT,
    nn.LSTM: _RECURRENT,
    nn.RNNCell: _RECURRENT,
    nn.GRUCell: _RECURRENT,
    nn.LSTMCell: _RECURRENT,
}


def layout_changes(model: nn.Module, back: bool) -> dict:
    """Dotted path of each parameter whose layout differs -> the change."""
    return {
        f"{path}.{name}" if path else name: change[back]
        for path, module in model._walk(remove_duplicate=False)
        for kind, names in LAYOUTS.items()
        if isinstance(module, kind)
        for name, change in names.items()
    }


def _converted(model: nn.Module, state_dict, back: bool) -> dict:
    changes = layout_changes(model, back)
    arrays = {key: to_numpy(value) for key, value in state_dict.items()}
    return {key: changes[key](array) if key in changes else array for key, array in arrays.items()}


def from_torch(model: nn.Module, state_dict, strict: bool = True):
    """Load a PyTorch ``state_dict`` (tensors or arrays) into a model of the same structure.

    Parameters
    ----------
    model : nn.Module
    state_dict : mapping of str to array-like
        ``torch_model.state_dict()``, or what ``fastnn.load`` read from a safetensors file that PyTorch wrote.
    strict : bool, default True
        As in ``load_state_dict``.

    Returns
    -------
    (missing_keys, unexpected_keys)

    Raises
    ------
    KeyError, ValueError
        As ``load_state_dict``; the model is then unchanged.
    """
    return model.load_state_dict(_converted(model, state_dict, back=False), strict)


def to_torch(model: nn.Module) -> dict:
    """The model's ``state_dict`` in PyTorch's layouts, as NumPy arrays of its own.

    ``torch_model.load_state_dict({k: torch.from_numpy(v) for k, v in to_torch(model).items()})`` loads it.
    """
    return {key: np.array(array) for key, array in _converted(model, model.state_dict(), back=True).items()}


def from_torch_tensor(tensor) -> _C.Tensor:
    """A PyTorch tensor on the same memory, by DLPack (no change of layout)."""
    return _C.from_dlpack(tensor.detach())


def from_keras_lstm(kernel, recurrent_kernel, bias=None) -> dict:
    """Keras's LSTM weights as the ``state_dict`` of a one-layer ``nn.LSTM``.

    Parameters
    ----------
    kernel : array [C, 4 H]
        Blocks i, f, g, o, which are this library's, input first as here.
    recurrent_kernel : array [H, 4 H]
    bias : array [4 H], optional
        Keras adds one bias; it becomes ``bias_ih_l0``, and ``bias_hh_l0`` is 0.
    """
    state = {"weight_ih_l0": np.array(kernel), "weight_hh_l0": np.array(recurrent_kernel)}
    if bias is not None:
        state |= {"bias_ih_l0": np.array(bias), "bias_hh_l0": np.zeros_like(bias)}
    return state


def from_keras_gru(kernel, recurrent_kernel, bias=None) -> dict:
    """Keras's GRU weights as the ``state_dict`` of a one-layer ``nn.GRU``.

    Parameters
    ----------
    kernel : array [C, 3 H]
        Blocks z, r, n; here they are r, z, n.
    recurrent_kernel : array [H, 3 H]
    bias : array [2, 3 H] or [3 H], optional
        Of ``reset_after=True`` (``nn.GRU(reset="after")``) or of ``reset_after=False`` (``reset="before"``).
    """

    def reordered(a):
        z, r, n = np.split(np.asarray(a), 3, -1)
        return np.concatenate([r, z, n], -1)

    state = {"weight_ih_l0": reordered(kernel), "weight_hh_l0": reordered(recurrent_kernel)}
    if bias is not None:
        both = np.asarray(bias)
        b_x, b_h = both if both.ndim == 2 else (both, np.zeros_like(both))
        state |= {"bias_ih_l0": reordered(b_x), "bias_hh_l0": reordered(b_h)}
    return state
