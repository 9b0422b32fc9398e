"""Cost of a call: operations so small that only the overhead of the library counts."""

import numpy as np
from case import Case, sum_bound

TITLE = "Tiny operations (overhead of a call), float32"
LIBS = ["fastnn", "numpy", "torch", "torch-compile", "jax", "onnxruntime"]

# `op` is looked up in the tables below; "grad": parameters require gradients, so the call is recorded.
CASES = [
    Case("add 16", {"op": "add"}),
    Case("matmul 1x1", {"op": "matmul"}),
    Case("linear 4x8->16", {"op": "linear"}),
    Case("nn.Linear 4x8->16", {"op": "module"}),
    Case("relu 16", {"op": "relu"}),
    Case("sum 16", {"op": "sum"}),
    Case("exp 16", {"op": "exp"}),
    Case("add 16, recorded", {"op": "add", "grad": True}),
    Case("linear 4x8->16, recorded", {"op": "linear", "grad": True}),
    Case("add+sum fwd+bwd", {"op": "add_backward", "grad": True}),
    Case("linear+sum fwd+bwd", {"op": "linear_backward", "grad": True}),
]


def inputs(p, rng):
    shapes = {"x": (16,), "y": (16,), "m": (1, 1), "h": (4, 8), "w": (8, 16), "b": (16,)}
    return {name: rng.standard_normal(shape, dtype=np.float32) for name, shape in shapes.items()}


def reference(p, v, lib):
    d = {name: a.astype(np.float64) for name, a in v.items()}
    linear = (d["h"] @ d["w"] + d["b"], sum_bound(9, np.abs(d["h"]) @ np.abs(d["w"]) + np.abs(d["b"])))
    ulp = 2.0**-23
    return {
        "add": [(d["x"] + d["y"], ulp * (np.abs(d["x"]) + np.abs(d["y"])))],
        "matmul": [(d["m"] @ d["m"], ulp * np.abs(d["m"] @ d["m"]))],
        "linear": [linear],
        "module": [linear],
        "relu": [(np.maximum(d["x"], 0), 1e-30)],
        "sum": [(d["x"].sum(), sum_bound(16, np.abs(d["x"]).sum()))],
        "exp": [(np.exp(d["x"]), 4 * ulp * np.exp(d["x"]))],
        "add_backward": [(np.ones(16), 1e-30)],
        "linear_backward": [
            (np.repeat(d["h"].sum(0)[:, None], 16, 1), sum_bound(4, np.abs(d["h"]).sum(0)[:, None])),
            (np.full(16, 4.0), 1e-30),
        ],
    }[p["op"]]


def _backward(forward, leaves):
    """Forward, sum, backward; gradients accumulate from call to call, the check reads those of the first."""

    def run():
        forward().sum().backward()

    run.result = lambda: [leaf.grad for leaf in leaves]
    return run


def _fastnn(p, v, threads):
    import fastnn
    import fastnn.nn.functional as F
    from fastnn import nn

    x, y, m, h, w, b = (fastnn.from_numpy(v[k]) for k in "xymhwb")
    op = p["op"]
    fastnn.set_grad_enabled(bool(p.get("grad")))
    if p.get("grad"):
        x, w, b = (t.clone().requires_grad_() for t in (x, w, b))
    if op == "module":
        layer = nn.Linear(8, 16)
        layer.load_state_dict({"weight": w, "bias": b})
        return lambda: layer(h)
    return {
        "add": lambda: x + y,
        "matmul": lambda: m @ m,
        "linear": lambda: F.linear(h, w, b),
        "relu": lambda: F.relu(x),
        "sum": lambda: x.sum(),
        "exp": lambda: x.exp(),
        "add_backward": _backward(lambda: x + y, [x]),
        "linear_backward": _backward(lambda: F.linear(h, w, b), [w, b]),
    }[op]


def _numpy(p, v, threads):
    if p.get("grad"):
        return None
    x, y, m, h, w, b = (v[k] for k in "xymhwb")
    return {
        "add": lambda: x + y,
        "matmul": lambda: m @ m,
        "linear": lambda: h @ w + b,
        "relu": lambda: np.maximum(x, 0),
        "sum": lambda: x.sum(),
        "exp": lambda: np.exp(x),
    }.get(p["op"])


def _torch_functions(p, v):
    import torch
    import torch.nn.functional as F

    x, y, m, h, w, b = (torch.from_numpy(v[k]) for k in "xymhwb")
    wt = w.t().contiguous()  # PyTorch's layout is [out, in]
    torch.set_grad_enabled(bool(p.get("grad")))
    if p.get("grad"):
        x, wt, b = (t.clone().requires_grad_() for t in (x, wt, b))
    if p["op"] == "module":
        layer = torch.nn.Linear(8, 16)
        layer.load_state_dict({"weight": wt, "bias": b})
        return lambda: layer(h)
    linear_backward = _backward(lambda: F.linear(h, wt, b), [wt, b])
    linear_backward.result = lambda: [wt.grad.t(), b.grad]
    return {
        "add": lambda: x + y,
        "matmul": lambda: m @ m,
        "linear": lambda: F.linear(h, wt, b),
        "relu": lambda: F.relu(x),
        "sum": lambda: x.sum(),
        "exp": lambda: torch.exp(x),
        "add_backward": _backward(lambda: x + y, [x]),
        "linear_backward": linear_backward,
    }[p["op"]]


def _torch_compile(p, v, threads):
    import torch
    import torch.nn.functional as F

    if p.get("grad"):
        return None  # compiled steps are the matter of the training suite
    torch.set_grad_enabled(False)
    torch._dynamo.reset()
    x, y, m, h, w, b = (torch.from_numpy(v[k]) for k in "xymhwb")
    wt = w.t().contiguous()
    table = {
        "add": (lambda x, y: x + y, (x, y)),
        "matmul": (lambda m: m @ m, (m,)),
        "linear": (F.linear, (h, wt, b)),
        "relu": (F.relu, (x,)),
        "sum": (torch.sum, (x,)),
        "exp": (torch.exp, (x,)),
    }
    if p["op"] not in table:
        return None
    function, arguments = table[p["op"]]
    compiled = torch.compile(lambda *a: function(*a))
    return lambda: compiled(*arguments)


def _jax(p, v, threads):
    import jax
    import jax.numpy as jnp

    x, y, m, h, w, b = (jnp.asarray(v[k]) for k in "xymhwb")

    def linear_sum(w, b, h):
        return (h @ w + b).sum()

    table = {
        "add": (lambda x, y: x + y, (x, y)),
        "matmul": (lambda m: m @ m, (m,)),
        "linear": (lambda h, w, b: h @ w + b, (h, w, b)),
        "relu": (jax.nn.relu, (x,)),
        "sum": (jnp.sum, (x,)),
        "exp": (jnp.exp, (x,)),
        "add_backward": (jax.grad(lambda x, y: (x + y).sum()), (x, y)),
        "linear_backward": (jax.grad(linear_sum, argnums=(0, 1)), (w, b, h)),
    }
    if p["op"] not in table or (p.get("grad") and "backward" not in p["op"]):
        return None  # JAX has no recording of its own
    function, arguments = table[p["op"]]
    compiled = jax.jit(function)
    return lambda: jax.block_until_ready(compiled(*arguments))


def _onnxruntime(p, v, threads):
    from libraries import onnx_session
    from onnx import helper

    table = {
        "add": ("Add", "xy", {}),
        "matmul": ("MatMul", "mm", {}),
        "linear": ("Gemm", "hwb", {}),
        "relu": ("Relu", "x", {}),
        "sum": ("ReduceSum", "x", {"keepdims": 0}),
        "exp": ("Exp", "x", {}),
    }
    if p["op"] not in table or p.get("grad"):
        return None
    kind, names, attributes = table[p["op"]]
    constants = {f"in_{k}": v[k] for k in names if k in "wb"}  # weights belong to the model
    fed = {f"in_{k}": v[k] for k in names if k not in "wb"}
    node = helper.make_node(kind, [f"in_{k}" for k in names], ["out"], **attributes)
    session = onnx_session([node], fed, constants, threads)
    return lambda: session.run(None, fed)


BUILDERS = {
    "fastnn": _fastnn,
    "numpy": _numpy,
    "torch": lambda p, v, threads: _torch_functions(p, v),
    "torch-compile": _torch_compile,
    "jax": _jax,
    "onnxruntime": _onnxruntime,
}
