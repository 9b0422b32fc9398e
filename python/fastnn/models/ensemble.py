"""Several networks asked together."""

from __future__ import annotations

from .. import nn
from ..autograd import no_grad

__all__ = ["ensemble_predict"]


def ensemble_predict(models, x):
    """The mean of the probabilities that networks trained apart give: their outputs are averaged, never their weights.

    Three to fifteen networks gain a percent or two and cost as many times the work.

    Parameters
    ----------
    models : sequence of Module
        Each from ``x`` to scores ``[N, classes]``; asked in evaluation mode.
    x : Tensor

    Returns
    -------
    Tensor
        ``[N, classes]``, rows that add up to 1.

    Raises
    ------
    ValueError
        Without a model, or when their outputs differ in shape.
    """
    total, models = None, list(models)
    if not models:
        raise ValueError("ensemble_predict: expected at least one model")
    for i, model in enumerate(models):
        if not isinstance(model, nn.Module):
            raise TypeError(f"ensemble_predict: expected Modules, got {type(model).__name__}")
        modes = [(module, module.training) for module in model.modules()]
        model.eval()
        try:
            with no_grad():
                p = model(x).softmax(-1)
        finally:
            for module, mode in modes:
                module.training = mode
        if total is not None and p.shape != total.shape:
            raise ValueError(f"ensemble_predict: model {i} gives {list(p.shape)}, those before it {list(total.shape)}")
        total = p if total is None else total + p
    return total / len(models)
