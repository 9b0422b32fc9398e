"""What the tests of the course's numbers share: float64 tensors, comparison, and the 3-4-1 network of its examples."""

import numpy as np

import fastnn
from fastnn import nn


def t64(a):
    return fastnn.tensor(a, dtype=fastnn.float64)


def leaf(a):
    return t64(a).requires_grad_()


def arr(t):
    return t.detach().numpy()


def close(t, expected, tolerance=5e-9):
    np.testing.assert_allclose(arr(t) if isinstance(t, fastnn.Tensor) else t, expected, rtol=0, atol=tolerance)


X3 = np.array([[1, -1, 0.5], [0, 2, -0.5], [-1, 0.5, 1.5]])  # columns are examples, as in the course
Y3 = np.array([[1.0, 0.0, 1.0]])
W1 = 0.1 * (((3 * np.arange(4)[:, None] + np.arange(3)) % 5) - 2)
B1, W2, B2 = np.array([0.03, 0.13, 0.23, 0.33]), np.array([[0.3, -0.2, 0.1, 0.4]]), np.array([-0.1])


def network(*layers, activation):
    """Layers from the course's matrices: W [out, in] becomes weight [in, out]."""
    parts = []
    for w, b in layers:
        layer = nn.Linear(w.shape[1], w.shape[0], dtype=fastnn.float64)
        layer.load_state_dict({"weight": w.T.copy(), "bias": b})
        parts += [layer, activation()]
    return nn.Sequential(*parts[:-1])
