"""fastnn: neural networks in one small wheel.

``import fastnn`` loads the compiled core only; ``fastnn.nn``, ``fastnn.train`` and the other parts load when used.
"""

import importlib

from fastnn import _C, _functions, _tensor  # noqa: F401  (_tensor completes the Tensor type)
from fastnn._C import *  # noqa: F403
from fastnn._C import CaptureError, __version__  # noqa: F401
from fastnn._capture import capture
from fastnn.autograd import enable_grad, no_grad, set_grad_enabled

_COMPOSED = _functions.complete(globals())
_PARTS = frozenset(
    "convert cuda data datasets io metrics models nn optim recipes sklearn strategy text train tune vision".split()
)


def __getattr__(name):
    if name in ("save", "load"):
        return getattr(importlib.import_module("fastnn.io"), name)
    if name in _PARTS:
        return importlib.import_module(f"fastnn.{name}")
    raise AttributeError(f"module 'fastnn' has no attribute {name!r}")


def __dir__():
    return sorted({n for n in globals() if not n.startswith("_")} | _PARTS)


__all__ = [n for n in dir(_C) if not n.startswith("_")] + [
    *_COMPOSED,
    "__version__",
    "capture",
    "enable_grad",
    "no_grad",
    "set_grad_enabled",
]
