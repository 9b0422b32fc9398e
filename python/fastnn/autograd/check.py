"""Gradients against central differences."""

import numpy as np

from fastnn import _C
from fastnn._arrays import to_numpy
from fastnn.autograd.modes import enable_grad, no_grad
from fastnn.autograd.tape import grad


def _outputs(result):
    """The differentiable outputs of a call, as a list."""
    result = result if isinstance(result, (tuple, list)) else [result]
    return [y for y in result if isinstance(y, _C.Tensor) and y.dtype.is_floating_point]


def gradcheck(func, inputs, eps=1e-6, atol=1e-5, rtol=1e-3, raise_exception=True):
    """Compares the gradients of ``func(*inputs)`` with central differences.

    Every entry of the Jacobian is checked: ``|analytic - numeric| <= atol + rtol * |numeric|``.

    Parameters
    ----------
    func : callable
        Returns a tensor or a tuple of tensors; must give the same values for the same inputs.
    inputs : Tensor or sequence
        Arguments of `func`. Those that require grad are checked and must be float64 (in float32 the difference quotient
        itself has errors far above any useful tolerance), without elements that share memory.
    eps : float
        Half the distance of the two points.
    atol, rtol : float
        Tolerances.
    raise_exception : bool
        Raise on a mismatch instead of returning False.

    Returns
    -------
    bool
        True when all gradients agree.

    Raises
    ------
    RuntimeError
        On a mismatch: names the input, the output, the largest difference and both values.
    """
    inputs = list(inputs) if isinstance(inputs, (tuple, list)) else [inputs]
    checked = [x for x in inputs if isinstance(x, _C.Tensor) and x.requires_grad]
    if not checked:
        raise ValueError("gradcheck: expected at least one input that requires grad")
    for i, x in enumerate(checked):
        if x.dtype is not _C.float64:
            raise TypeError(f"gradcheck: expected float64 inputs, got {x.dtype!r} for differentiable input {i}")
        if x.device == "cpu" and not x.detach().numpy().flags.writeable:
            raise ValueError(
                f"gradcheck: elements of differentiable input {i} share memory or are read-only; clone() it"
            )

    with enable_grad():
        outputs = _outputs(func(*inputs))
    if not outputs:
        raise ValueError("gradcheck: func returned no floating-point tensor")

    jacobians = [_analytic(y, checked) for y in outputs]  # all before the inputs are written to
    for j, analytic in enumerate(jacobians):
        for i, x in enumerate(checked):
            numeric = _numeric(func, inputs, x, j, eps)
            wrong = ~(np.abs(analytic[i] - numeric) <= atol + rtol * np.abs(numeric))
            if not wrong.any():
                continue
            if not raise_exception:
                return False
            gap = np.where(wrong, np.abs(analytic[i] - numeric), -1.0)
            row, column = np.unravel_index(np.argmax(np.where(np.isnan(gap), np.inf, gap)), gap.shape)
            raise RuntimeError(
                f"gradcheck: d output {j}[{row}] / d input {i}[{column}] (flat indices) is "
                f"{analytic[i][row, column]:.9g}, central differences give {numeric[row, column]:.9g}; "
                f"{int(wrong.sum())} of {wrong.size} entries differ"
            )
    return True


def _analytic(y, checked):
    """Jacobians [y.numel, x.numel], a row of each by one backward pass."""
    rows = [np.zeros((y.numel(), x.numel())) for x in checked]
    if not y.requires_grad:
        return rows
    for r in range(rows[0].shape[0]):
        seed = np.zeros(y.shape)
        seed.reshape(-1)[r] = 1.0
        grads = grad(y, checked, _C.from_numpy(seed).to(y.device), retain_graph=True, allow_unused=True)
        for i, g in enumerate(grads):
            if g is not None:
                rows[i][r] = to_numpy(g).reshape(-1)
    return rows


def _numeric(func, inputs, x, j, eps):
    """Jacobian [y.numel, x.numel] of output j by moving one element of x at a time."""
    values = x.detach()  # the same memory

    def value():
        with no_grad():
            return np.array(to_numpy(_outputs(func(*inputs))[j]), dtype=np.float64).reshape(-1)

    columns = []
    for index in np.ndindex(values.shape):
        before = values[index].item()
        try:
            values[index] = before + eps
            above = value()
            values[index] = before - eps
            below = value()
        finally:
            values[index] = before
        columns.append((above - below) / (2 * eps))
    return np.stack(columns, axis=1) if columns else np.zeros((value().size, 0))
