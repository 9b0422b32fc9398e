"""Whole training steps: forward, loss, backward, optimiser, on one fixed batch.

``fastnn`` runs eagerly, ``fastnn-captured`` is the same step through ``fastnn.capture``. What is checked before timing
are the losses of the first steps, against float64.
"""

import numpy as np
from builders import train_fastnn, train_jax, train_torch
from case import Case

TITLE = "Training steps, float32"
LIBS = ["fastnn-captured", "fastnn", "torch", "torch-fused", "torch-compile", "jax"]
SUBJECT = "fastnn-captured"
BUILDERS = {
    "fastnn-captured": train_fastnn.build_captured,
    "fastnn": train_fastnn.build,
    "torch": train_torch.build,
    "torch-fused": train_torch.build_fused,
    "torch-compile": train_torch.build_compiled,
    "jax": train_jax.build,
}
#: Losses that are compared: more than the three that a capture takes to be recorded.
STEPS = 8


def _case(name, sizes, batch, optimizer, lr):
    """A multi-layer perceptron with ReLU; one output is regression (MSE), more are classes (cross-entropy)."""
    products = [2.0 * batch * a * b for a, b in zip(sizes, sizes[1:])]
    parameters = sum((a + 1) * b for a, b in zip(sizes, sizes[1:]))
    # Each product forward and twice backward, but nobody needs the gradient of the data.
    flops = 3 * sum(products) - products[0]
    # Parameters are read forward and backward and written; Adam reads and writes two moments each.
    nbytes = 4.0 * (parameters * (7 if optimizer == "adam" else 3) + batch * sizes[0])
    params = {"sizes": sizes, "batch": batch, "optimizer": optimizer, "lr": lr, "steps": STEPS}
    return Case(name, params, flops, nbytes, traffic="copy")


CASES = [
    _case("tiny 2-16-1, batch 32, SGD", (2, 16, 1), 32, "sgd", 1e-2),
    _case("mlp 784-256-128-10, batch 64, Adam", (784, 256, 128, 10), 64, "adam", 1e-3),
]


def inputs(p, rng):
    """Data x and y, weights w0, w1, ... as ``[in, out]`` and biases b0, b1, ..."""
    sizes, batch = p["sizes"], p["batch"]
    v = {"x": rng.standard_normal((batch, sizes[0]), dtype=np.float32)}
    if sizes[-1] == 1:
        v["y"] = rng.standard_normal((batch, 1), dtype=np.float32)
    else:
        v["y"] = rng.integers(0, sizes[-1], batch)
    for i, (a, b) in enumerate(zip(sizes, sizes[1:])):
        v[f"w{i}"] = (rng.standard_normal((a, b)) * np.sqrt(2 / a)).astype(np.float32)
        v[f"b{i}"] = np.zeros(b, np.float32)
    return v


def reference(p, v, lib):
    """The losses of the first steps."""
    layers, x, y = len(p["sizes"]) - 1, v["x"].astype(np.float64), v["y"]
    params = [v[f"{kind}{i}"].astype(np.float64) for i in range(layers) for kind in "wb"]
    moments = [(np.zeros_like(w), np.zeros_like(w)) for w in params]
    losses = []
    for t in range(1, p["steps"] + 1):
        loss, grads = _gradients(params, x, y)
        losses.append(loss)
        for w, g, (m, s) in zip(params, grads, moments):
            if p["optimizer"] == "sgd":
                w -= p["lr"] * g
                continue
            m += 0.1 * (g - m)
            s += 0.001 * (g * g - s)
            w -= p["lr"] * (m / (1 - 0.9**t)) / (np.sqrt(s / (1 - 0.999**t)) + 1e-8)
    losses = np.array(losses)
    return [(losses, 1e-4 * losses + 1e-6)]


def _gradients(params, x, y):
    """Loss and gradients by hand."""
    inputs, h = [], x
    for w, b in zip(params[::2], params[1::2]):
        inputs.append(h)
        h = h @ w + b
        if w is not params[-2]:
            h = np.maximum(h, 0)
    if y.ndim == 2:
        loss, dh = ((h - y) ** 2).mean(), 2 * (h - y) / y.size
    else:
        h = h - h.max(1, keepdims=True)
        dh = np.exp(h) / np.exp(h).sum(1, keepdims=True)
        rows = np.arange(len(y))
        loss = -np.log(dh[rows, y]).mean()
        dh[rows, y] -= 1
        dh /= len(y)
    grads = []
    for w, h in zip(params[::-1][1::2], inputs[::-1]):
        grads += [dh.sum(0), h.T @ dh]
        dh = (dh @ w.T) * (h > 0)
    return loss, grads[::-1]
