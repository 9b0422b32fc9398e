"""Calls that no signature fits: one line that names the function, the argument, what it expects and what came."""

import numpy as np
import pytest

import fastnn
import fastnn.nn.functional as F
from fastnn import nn

X = fastnn.zeros(3, 4)

CASES = {
    "unknown name": (
        lambda: fastnn.sum(X, axis=1),
        "sum: unknown argument 'axis' (is it 'dim'?); expected sum(x",
    ),
    "unknown name of a method": (
        lambda: X.sum(axis=1),
        "sum: unknown argument 'axis' (is it 'dim'?); expected sum(dim",
    ),
    "missing": (
        lambda: F.linear(X),
        "linear: 'weight' is missing; expected linear(x, weight, bias=None, activation=None)",
    ),
    "nothing at all": (lambda: fastnn.exp(), "exp: expected 1 argument, got 0"),
    "too many": (lambda: X.transpose(0, 1, 2), "transpose: at most 2 positional arguments expected, got 3"),
    "twice": (lambda: F.linear(X, X, x=X), "linear: 'x' is given twice"),
    "text": (lambda: F.linear(X, "a"), "linear: weight expects a tensor, got str 'a'"),
    "array": (
        lambda: nn.Linear(4, 2)(np.zeros((3, 4))),
        "linear: x expects a tensor, got a NumPy array (float64, shape [3, 4]) (fastnn.tensor(...) makes one)",
    ),
    "number": (lambda: F.dropout(X, "half"), "dropout: p expects a number, got str 'half'"),
    "beyond int64": (lambda: X.transpose(0, 2**70), "transpose: dim1 expects an int, got int 1180591620717411303424"),
    "overloads": (lambda: fastnn.max(X, "a"), "max: "),
    "no dtype": (lambda: X.to("float8"), "to: no signature fits (str 'float8'); expected to(dtype) or to(device"),
    "list of tensors": (lambda: fastnn.cat(["a", X]), "cat: tensors expects a sequence of tensors, got a list of 2"),
}


@pytest.mark.parametrize("name", CASES)
def test_message(name):
    call, text = CASES[name]
    with pytest.raises(TypeError) as error:
        call()
    assert text in str(error.value)
    assert "\n" not in str(error.value)


def test_weights_are_not_printed():
    with pytest.raises(TypeError) as error:
        nn.Linear(4, 2)("x")
    assert len(str(error.value)) < 200


def test_numbers_are_still_converted():
    """The explaining overload comes after all conversions: an int where a number is expected is no error."""
    assert F.dropout(X, 0).shape == (3, 4)
    assert F.leaky_relu(X, negative_slope=1).shape == (3, 4)
    assert fastnn.max(X, dim=1).indices.shape == (3,)


def test_docstrings_show_the_signatures_alone():
    assert fastnn.sum.__doc__.startswith("sum(x: Tensor, dim: ")
    assert "_: object" not in fastnn.sum.__doc__ and "*args, **kwargs" not in fastnn.sum.__doc__
    assert fastnn.max.__doc__.count("\n1. max(") == 1


def test_every_function_explains_itself():
    """An object that nothing takes: the message is ours for all of the module, never a dump of the arguments."""
    alien = object()
    for name in dir(fastnn._C):
        function = getattr(fastnn._C, name)
        if name.startswith("_") or not callable(function) or isinstance(function, type):
            continue
        try:
            function(*[alien] * 30)
        except Exception as error:
            assert "incompatible function arguments" not in str(error), name
