"""Operations bound by memory: pooling, softmax, losses, norms, embedding, activations, sums, dropout.

Each tensor of a call counts once: what is read, what is written, in the backward pass again what is needed there.
Images are ``[N, H, W, C]`` here; peers get them in the layout they are faster in.
"""

import numpy as np
from builders import ops_fastnn, ops_jax, ops_numpy, ops_onnxruntime, ops_torch
from case import Case, small, sum_bound

TITLE = "Memory-bound operations, float32"
LIBS = ["fastnn", "numpy", "torch", "torch-out", "torch-keep", "torch-compile", "jax", "jax-keep", "onnxruntime"]
BUILDERS = {
    "fastnn": ops_fastnn.build,
    "numpy": ops_numpy.build,
    "torch": ops_torch.build,
    "torch-out": ops_torch.build_out,
    "torch-compile": ops_torch.build_compiled,
    "jax": ops_jax.build,
    "onnxruntime": ops_onnxruntime.build,
}
tiny = small

N16, N4, N1 = 1 << 24, 1 << 22, 1 << 20
UNARY = ("relu", "gelu", "tanh", "sigmoid", "exp")
ROWS = ((64, 10), (4096, 1000), (512, 32000))
# name, operation, shape, window, stride, padding
POOLS = (
    ("maxpool2x2 32x64x56x56", "max_pool", (32, 56, 56, 64), 2, 2, 0),
    ("maxpool3x3s2 8x64x112x112", "max_pool", (8, 112, 112, 64), 3, 2, 1),
    ("avgpool2x2 32x64x56x56", "avg_pool", (32, 56, 56, 64), 2, 2, 0),
    ("avgpool3x3s2 8x64x112x112", "avg_pool", (8, 112, 112, 64), 3, 2, 1),
    ("globalavg 32x512x7x7", "avg_pool", (32, 7, 7, 512), 7, 7, 0),
)
#: Nominal operations an element, (forward, backward), exp, tanh and erf counting as one: they place a row in the
#: roofline picture and decide no percentage.
ARITHMETIC = {
    "relu": (1, 1), "exp": (1, 1), "tanh": (1, 3), "sigmoid": (4, 3), "gelu": (9, 14), "gelu_erf": (5, 9),
    "sum": (1, 1), "add": (1, 0), "softmax": (5, 4), "cross_entropy": (5, 3), "layer_norm": (8, 9),
    "batch_norm": (7, 9), "dropout": (2, 1), "embedding": (0, 1),
}  # fmt: skip


def _case(name, op, shape, forward, backward=None, size=None, traffic="copy", arithmetic=None, **more):
    """`forward` and `backward` count the tensors of `size` elements that cross memory; both: forward + backward."""
    size = float(np.prod(shape)) if size is None else size
    passes = forward + (backward or 0)
    counts = arithmetic or ARITHMETIC[op]
    flops = size * (counts[0] + (counts[1] if backward else 0))
    params = {"op": op, "shape": shape, "backward": backward is not None, **more}
    if backward is not None:
        name += " fwd+bwd"
    return Case(name, params, flops, nbytes=4.0 * passes * size, traffic=traffic, nominal=True)


def _pool(name, op, shape, k, s, pad, backward=None):
    out = np.prod(_pooled(shape, k, s, pad))
    share = out / np.prod(shape)
    window = (k * k * share, k * k * share)
    return _case(name, op, shape, 1 + share, backward and 1 + share, arithmetic=window, k=k, s=s, pad=pad)


def _pooled(shape, k, s, pad):
    n, h, w, c = shape
    return n, (h + 2 * pad - k) // s + 1, (w + 2 * pad - k) // s + 1, c


def _both(*arguments, backward, **more):
    return [_case(*arguments, **more), _case(*arguments, backward, **more)]


def _embedding(backward=None):
    vocabulary, width, count = 50000, 256, 16384  # the gradient is dense: as large as the table
    name = f"embedding {vocabulary}x{width}, {count} ids"
    return _case(name, "embedding", (vocabulary, width, count), 2, backward, size=float(width * count))


CASES = (
    [case for pool in POOLS for case in (_pool(*pool), _pool(*pool, backward=True))]
    + [case for m, n in ROWS for case in _both(f"softmax {m}x{n}", "softmax", (m, n), 2, backward=3)]
    + [_case(f"log_softmax+nll {m}x{n}", "cross_entropy", (m, n), 1, 1) for m, n in ROWS]
    + _both("layernorm 4096x768", "layer_norm", (4096, 768), 2, backward=3)
    + _both("batchnorm train 32x64x56x56", "batch_norm", (32, 56, 56, 64), 2, backward=3)
    + [_embedding(), _embedding(backward=50000 / 16384)]
    + [case for op in UNARY for case in _both(f"{op} 16M", op, (N16,), 2, backward=3)]
    + _both("gelu(erf) 1M", "gelu_erf", (N1,), 2, backward=3)
    + [_case("add 1M", "add", (N1,), 3), _case("sum 16M", "sum", (N16,), 1, traffic="read")]
    + _both("dropout 4M", "dropout", (N4,), 2, backward=2)
)


def inputs(p, rng):
    """Arrays by name in the order of the operation's arguments; ``g`` is the gradient that comes back."""
    op, shape = p["op"], p["shape"]

    def normal(*shape):
        return rng.standard_normal(shape, dtype=np.float32)

    if op == "embedding":
        v = {"weight": normal(*shape[:2]), "ids": rng.integers(0, shape[0], shape[2])}
        out = (shape[2], shape[1])
    else:
        v = {"x": normal(*shape)}
        out = _pooled(shape, p["k"], p["s"], p["pad"]) if op.endswith("pool") else shape
    if op == "add":
        v["y"] = normal(*shape)
    if op == "cross_entropy":
        v["target"] = rng.integers(0, shape[1], shape[0])
    if op.endswith("norm"):
        v |= {"weight": 1 + 0.1 * normal(shape[-1]), "bias": normal(shape[-1])}
    if p["backward"] and op != "cross_entropy":
        v["g"] = normal(*out)
    return v


def reference(p, v, lib):
    d = {k: a.astype(np.float64) if a.dtype == np.float32 else a for k, a in v.items()}
    if p["op"] in SPECIAL:
        return SPECIAL[p["op"]](p, **d)
    return _elementwise(p, **d)


ULP = 2.0**-23


def _elementwise(p, x, g=None):
    from math import erf

    op = p["op"]
    if op == "gelu":
        c = np.sqrt(2 / np.pi)
        t = np.tanh(c * (x + 0.044715 * x**3))
        y, dy = 0.5 * x * (1 + t), 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * c * (1 + 3 * 0.044715 * x * x)
    elif op == "gelu_erf":
        phi = 0.5 * (1 + np.vectorize(erf)(x / np.sqrt(2)))
        y, dy = x * phi, phi + x * np.exp(-0.5 * x * x) / np.sqrt(2 * np.pi)
    else:
        y = {
            "relu": lambda: np.maximum(x, 0),
            "tanh": lambda: np.tanh(x),
            "sigmoid": lambda: 1 / (1 + np.exp(-x)),
            "exp": lambda: np.exp(x),
        }[op]()
        dy = {"relu": x > 0, "tanh": 1 - y * y, "sigmoid": y * (1 - y), "exp": y}[op]
    if p["backward"]:
        return [(dy * g, 16 * ULP * np.abs(g) * (1 + np.abs(dy) + np.abs(x)) + 1e-30)]
    # GELU cancels on the left, where libraries differ: its error is measured against |x|.
    return [(y, 16 * ULP * np.maximum(np.abs(y), np.abs(x)) + 1e-30)]


def _sum(p, x):
    return [(x.sum(), sum_bound(x.size**0.5, np.abs(x).sum()))]  # summed in blocks, or the error would be n


def _add(p, x, y):
    return [(x + y, ULP * (np.abs(x) + np.abs(y)) + 1e-30)]


def _softmax(p, x, g=None):
    y = np.exp(x - x.max(1, keepdims=True))
    y /= y.sum(1, keepdims=True)
    if g is None:
        return [(y, 64 * ULP * y + 1e-37)]
    bound = 64 * ULP * y * (np.abs(g) + (y * np.abs(g)).sum(1, keepdims=True)) + 1e-37
    return [(y * (g - (y * g).sum(1, keepdims=True)), bound)]


def _cross_entropy(p, x, target):
    y = _softmax(p, x)[0][0]
    bound = (64 * ULP * y + ULP) / len(x)
    y[np.arange(len(x)), target] -= 1
    return [(y / len(x), bound)]


def _norm(p, x, weight, bias, g=None):
    """Over the last axis (layer norm) or over all others (batch norm)."""
    axes, rest = (-1, (0,)) if p["op"] == "layer_norm" else ((0, 1, 2), (0, 1, 2))
    scale = 1 / np.sqrt(x.var(axes, keepdims=True) + 1e-5)
    n = (x - x.mean(axes, keepdims=True)) * scale
    if g is None:
        return [(n * weight + bias, 128 * ULP * ((np.abs(n) + 1) * np.abs(weight) + np.abs(bias)))]
    wg = weight * g
    dx = scale * (wg - wg.mean(axes, keepdims=True) - n * (wg * n).mean(axes, keepdims=True))
    spread = np.abs(wg) + np.abs(wg).mean(axes, keepdims=True)
    spread += np.abs(n) * np.abs(wg * n).mean(axes, keepdims=True)
    return [
        (dx, 256 * ULP * scale * spread),
        ((g * n).sum(rest), 256 * ULP * (np.abs(g) * (np.abs(n) + 1)).sum(rest)),
        (g.sum(rest), 256 * ULP * np.abs(g).sum(rest)),
    ]


def _embedding_rows(p, weight, ids, g=None):
    if g is None:
        return [(weight[ids], 1e-30)]
    dw, magnitude = np.zeros_like(weight), np.zeros_like(weight)
    np.add.at(dw, ids, g)
    np.add.at(magnitude, ids, np.abs(g))
    return [(dw, sum_bound(32, magnitude))]


def _windows(p, x, fill):
    """Every offset in the window: the slice of padded `x` it sees, by offset."""
    k, s, pad = p["k"], p["s"], p["pad"]
    _, oh, ow, _ = _pooled(x.shape, k, s, pad)
    x = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)), constant_values=fill)
    return x, [np.s_[:, i : i + s * oh : s, j : j + s * ow : s] for i in range(k) for j in range(k)]


def _pooling(p, x, g=None):
    k, pad, largest = p["k"], p["pad"], p["op"] == "max_pool"
    padded, slices = _windows(p, x, -np.inf if largest else 0.0)
    y = np.maximum.reduce([padded[s] for s in slices]) if largest else sum(padded[s] for s in slices) / (k * k)
    if g is None:
        size = 0.0 if largest else sum(np.abs(padded[s]) for s in slices) / (k * k)
        return [(y, sum_bound(k * k, size))]
    dx, size = np.zeros_like(padded), np.zeros_like(padded)
    for s in slices:
        part = g * (padded[s] == y) if largest else g / (k * k)
        dx[s] += part
        size[s] += np.abs(part)
    inside = np.s_[:, pad : pad + x.shape[1], pad : pad + x.shape[2]]
    return [(dx[inside], sum_bound(k * k, size[inside]))]


def _dropout(p, x, g=None):
    """The summary of `builders.dropout_summary`: no wrong element, half of them kept."""
    return [(np.array([0.0, 0.5]), np.array([1e-6, 3 / x.size**0.5]))]


SPECIAL = {
    "sum": _sum,
    "add": _add,
    "softmax": _softmax,
    "cross_entropy": _cross_entropy,
    "layer_norm": _norm,
    "batch_norm": _norm,
    "embedding": _embedding_rows,
    "max_pool": _pooling,
    "avg_pool": _pooling,
    "dropout": _dropout,
}
