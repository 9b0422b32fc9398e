"""NumPy, with ``out=`` where it takes one."""

import numpy as np


def _softmax(x):
    e = np.exp(x - x.max(1, keepdims=True))
    e /= e.sum(1, keepdims=True)
    return e


def build(p, v, threads):
    if p["backward"]:
        return None
    if p["op"] == "embedding":
        out = np.empty((p["shape"][2], p["shape"][1]), np.float32)
        return lambda: np.take(v["weight"], v["ids"], axis=0, out=out, mode="clip")
    x = v["x"]
    out = np.empty_like(x)

    def sigmoid():
        np.negative(x, out=out)
        np.exp(out, out=out)
        np.add(out, 1, out=out)
        return np.reciprocal(out, out=out)

    return {
        "relu": lambda: np.maximum(x, 0, out=out),
        "tanh": lambda: np.tanh(x, out=out),
        "sigmoid": sigmoid,
        "exp": lambda: np.exp(x, out=out),
        "sum": lambda: x.sum(),
        "add": lambda: np.add(x, v["y"], out=out),
        "softmax": lambda: _softmax(x),
    }.get(p["op"])
