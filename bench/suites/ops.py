"""Operations bound by memory: activations, sums, softmax, cross-entropy. Each tensor of a call counts once."""

import numpy as np
from case import Case, sum_bound

TITLE = "Memory-bound operations, float32"
LIBS = ["fastnn", "numpy", "torch", "torch-out", "torch-compile", "jax", "onnxruntime"]

N16 = 1 << 24
UNARY = ("relu", "gelu", "tanh", "sigmoid", "exp")
ROWS = ((64, 10), (4096, 1000), (512, 32000))


def _case(name, op, shape, passes, traffic="copy"):
    return Case(name, {"op": op, "shape": shape}, nbytes=4.0 * passes * float(np.prod(shape)), traffic=traffic)


CASES = (
    [_case(f"{op} 16M", op, (N16,), 2) for op in UNARY]
    + [_case("sum 16M", "sum", (N16,), 1, "read"), _case("add 1M", "add", (1 << 20,), 3)]
    + [_case(f"softmax {m}x{n}", "softmax", (m, n), 2) for m, n in ROWS]
    + [_case(f"cross-entropy {m}x{n} fwd+bwd", "cross_entropy", (m, n), 2) for m, n in ROWS]
)


def inputs(p, rng):
    x = {"x": rng.standard_normal(p["shape"], dtype=np.float32)}
    if p["op"] == "add":
        x["y"] = rng.standard_normal(p["shape"], dtype=np.float32)
    if p["op"] == "cross_entropy":
        x["target"] = rng.integers(0, p["shape"][1], p["shape"][0])
    return x


def _softmax(x):
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def reference(p, v, lib):
    x = v["x"].astype(np.float64)
    ulp = 2.0**-23
    op = p["op"]
    if op == "sum":
        return [(x.sum(), sum_bound(x.size**0.5, np.abs(x).sum()))]  # summed in blocks, or the error would be n
    if op == "add":
        return [(x + v["y"], ulp * (np.abs(x) + np.abs(v["y"])))]
    if op == "softmax":
        y = _softmax(x)
        return [(y, 64 * ulp * y + 1e-37)]
    if op == "cross_entropy":
        y = _softmax(x)
        bound = (64 * ulp * y + ulp) / len(x)
        y[np.arange(len(x)), v["target"]] -= 1
        return [(y / len(x), bound)]
    inner = np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)
    y = {
        "relu": lambda: np.maximum(x, 0),
        "gelu": lambda: 0.5 * x * (1 + np.tanh(inner)),
        "tanh": lambda: np.tanh(x),
        "sigmoid": lambda: 1 / (1 + np.exp(-x)),
        "exp": lambda: np.exp(x),
    }[op]()
    # GELU cancels on the left, where libraries differ: its error is measured against |x|.
    return [(y, 16 * ulp * np.maximum(np.abs(y), np.abs(x)) + 1e-30)]


def _fastnn(p, v, threads):
    import fastnn
    import fastnn.nn.functional as F

    op = p["op"]
    fastnn.set_grad_enabled(op == "cross_entropy")
    x = fastnn.from_numpy(v["x"])
    if op == "cross_entropy":
        x, target = x.requires_grad_(), fastnn.from_numpy(v["target"])
        return _gradient(x, lambda: F.cross_entropy(x, target))
    if op == "add":
        y = fastnn.from_numpy(v["y"])
        return lambda: x + y
    return {
        "relu": lambda: F.relu(x),
        "gelu": lambda: F.gelu(x, approximate="tanh"),
        "tanh": lambda: fastnn.tanh(x),
        "sigmoid": lambda: fastnn.sigmoid(x),
        "exp": lambda: fastnn.exp(x),
        "sum": lambda: x.sum(),
        "softmax": lambda: F.softmax(x, dim=1),
    }[op]


def _gradient(x, loss):
    """Forward and backward; the gradient is made anew in every call."""

    def run():
        x.grad = None
        loss().backward()

    run.result = lambda: x.grad
    return run


def _numpy(p, v, threads):
    x, op = v["x"], p["op"]
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
    }.get(op)


def _torch_table(p, v):
    import torch
    import torch.nn.functional as F

    functions = {
        "relu": F.relu,
        "gelu": lambda x: F.gelu(x, approximate="tanh"),
        "tanh": torch.tanh,
        "sigmoid": torch.sigmoid,
        "exp": torch.exp,
        "sum": torch.sum,
        "add": torch.add,
        "softmax": lambda x: torch.softmax(x, 1),
        "cross_entropy": F.cross_entropy,
    }
    torch.set_grad_enabled(p["op"] == "cross_entropy")
    arguments = [torch.from_numpy(v[k]) for k in ("x", "y", "target") if k in v]
    return functions[p["op"]], arguments


def _torch(p, v, threads, compiled=False):
    import torch

    function, arguments = _torch_table(p, v)
    if compiled:
        torch._dynamo.reset()
        plain = function
        function = torch.compile(lambda *a: plain(*a))
    if p["op"] == "cross_entropy":
        arguments[0].requires_grad_()
        return _gradient(arguments[0], lambda: function(*arguments))
    return lambda: function(*arguments)


def _torch_out(p, v, threads):
    """With out=: PyTorch allocates nothing."""
    import torch

    _, arguments = _torch_table(p, v)
    x, out = arguments[0], torch.empty_like(arguments[0])
    return {
        "relu": lambda: torch.clamp_min(x, 0, out=out),
        "gelu": lambda: torch._C._nn.gelu(x, approximate="tanh", out=out),
        "tanh": lambda: torch.tanh(x, out=out),
        "sigmoid": lambda: torch.sigmoid(x, out=out),
        "exp": lambda: torch.exp(x, out=out),
        "add": lambda: torch.add(x, arguments[-1], out=out),
        "softmax": lambda: torch.softmax(x, 1, out=out),
    }.get(p["op"])


def _jax(p, v, threads):
    import jax
    import jax.numpy as jnp

    def cross_entropy(x, target):
        return -jnp.take_along_axis(jax.nn.log_softmax(x), target[:, None], 1).mean()

    function = {
        "relu": jax.nn.relu,
        "gelu": jax.nn.gelu,
        "tanh": jnp.tanh,
        "sigmoid": jax.nn.sigmoid,
        "exp": jnp.exp,
        "sum": jnp.sum,
        "add": jnp.add,
        "softmax": lambda x: jax.nn.softmax(x, axis=1),
        "cross_entropy": jax.grad(cross_entropy),
    }[p["op"]]
    arguments = [jnp.asarray(v[k]) for k in ("x", "y", "target") if k in v]
    compiled = jax.jit(function)
    return lambda: compiled(*arguments).block_until_ready()


def _onnxruntime(p, v, threads):
    from libraries import onnx_session
    from onnx import helper

    kinds = {
        "relu": ("Relu", {}),
        "gelu": ("Gelu", {"approximate": "tanh"}),
        "tanh": ("Tanh", {}),
        "sigmoid": ("Sigmoid", {}),
        "exp": ("Exp", {}),
        "sum": ("ReduceSum", {"keepdims": 0}),
        "add": ("Add", {}),
        "softmax": ("Softmax", {"axis": 1}),
    }
    if p["op"] not in kinds:
        return None
    kind, attributes = kinds[p["op"]]
    session = onnx_session([helper.make_node(kind, list(v), ["out"], **attributes)], v, {}, threads, 20)
    return lambda: session.run(None, v)


BUILDERS = {
    "fastnn": _fastnn,
    "numpy": _numpy,
    "torch": _torch,
    "torch-out": _torch_out,
    "torch-compile": lambda p, v, threads: _torch(p, v, threads, compiled=True),
    "jax": _jax,
    "onnxruntime": _onnxruntime,
}
