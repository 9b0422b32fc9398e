"""Gradients: recording modes, gradients of any tensor, user-defined functions and gradient checks."""

from fastnn.autograd.function import Function
from fastnn.autograd.modes import detect_anomaly, enable_grad, no_grad, set_detect_anomaly, set_grad_enabled
from fastnn.autograd.tape import RemovableHandle, backward, grad

__all__ = [
    "Function",
    "RemovableHandle",
    "backward",
    "detect_anomaly",
    "enable_grad",
    "grad",
    "gradcheck",
    "no_grad",
    "set_detect_anomaly",
    "set_grad_enabled",
]


def __getattr__(name):
    if name == "gradcheck":
        from fastnn.autograd.check import gradcheck

        return gradcheck
    raise AttributeError(f"module 'fastnn.autograd' has no attribute {name!r}")
