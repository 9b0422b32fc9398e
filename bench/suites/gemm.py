"""Single-precision matrix products: square, skinny, transposed, and those of layers."""

import numpy as np
from case import Case, sum_bound

TITLE = "Matrix products, float32"
LIBS = ["fastnn", "numpy", "torch", "jax", "onnxruntime"]


def _case(name, m, n, k, ta=0, tb=0):
    params = {"m": m, "n": n, "k": k, "ta": ta, "tb": tb}
    return Case(name, params, flops=2.0 * m * n * k, nbytes=4.0 * (m * k + k * n + m * n))


# m x n x k; T: that operand is stored transposed (TN: A, NT: B). A forward NT is that of weights stored [out, in].
CASES = [_case(f"{n}^3", n, n, n) for n in (64, 128, 256, 512, 1024, 2048)] + [
    _case("skinny 32x1024x1024", 32, 1024, 1024),
    _case("gemv 1x4096x4096", 1, 4096, 4096),
    _case("gemv 1x4096x4096 NT", 1, 4096, 4096, 0, 1),
    _case("linear 128x10x784", 128, 10, 784),
    _case("linear 64x256x784 NT (fwd)", 64, 256, 784, 0, 1),
    _case("linear 64x256x784 NN (fwd)", 64, 256, 784),
    _case("linear 64x784x256 NN (dX)", 64, 784, 256),
    _case("linear 256x784x64 TN (dW)", 256, 784, 64, 1, 0),
    _case("linear 64x128x256 NT (fwd)", 64, 128, 256, 0, 1),
    _case("linear 128x256x64 TN (dW)", 128, 256, 64, 1, 0),
    _case("conv-like 4096x64x576", 4096, 64, 576),
    _case("conv-like 64x50176x147", 64, 50176, 147),
    _case("skinny 64x4096x64", 64, 4096, 64),
    _case("1024^3 TN", 1024, 1024, 1024, 1, 0),
    _case("1024^3 NT", 1024, 1024, 1024, 0, 1),
    _case("lstm step 20x800x200 NT", 20, 800, 200, 0, 1),
    _case("lstm step 20x800x200 NN", 20, 800, 200),
    _case("gpt ffn 2048x512x128 NT", 2048, 512, 128, 0, 1),
]


def tiny(p):
    return {**p, **{k: min(p[k], 24) for k in "mnk"}}


def inputs(p, rng):
    a = rng.standard_normal((p["k"], p["m"]) if p["ta"] else (p["m"], p["k"]), dtype=np.float32)
    b = rng.standard_normal((p["n"], p["k"]) if p["tb"] else (p["k"], p["n"]), dtype=np.float32)
    return {"a": a, "b": b}


def _operands(p, a, b):
    return a.T if p["ta"] else a, b.T if p["tb"] else b


def reference(p, x, lib):
    a, b = _operands(p, x["a"].astype(np.float64), x["b"].astype(np.float64))
    bound = sum_bound(p["k"], np.abs(a) @ np.abs(b))
    if lib.endswith("-bf16"):
        bound = bound + 2.0**-7 * (np.abs(a) @ np.abs(b))  # operands and result rounded to 8 bits
    return [(a @ b, bound)]


def _fastnn(p, x, threads):
    import fastnn

    a, b = _operands(p, fastnn.from_numpy(x["a"]), fastnn.from_numpy(x["b"]))

    def run():
        return a @ b

    return run


def _numpy(p, x, threads):
    a, b = _operands(p, x["a"], x["b"])
    out = np.empty((p["m"], p["n"]), np.float32)
    return lambda: np.matmul(a, b, out=out)


def _torch(p, x, threads, dtype="float32"):
    import torch

    torch.set_grad_enabled(False)
    dtype = getattr(torch, dtype)
    a, b = _operands(p, torch.from_numpy(x["a"]).to(dtype), torch.from_numpy(x["b"]).to(dtype))
    out = torch.empty(p["m"], p["n"], dtype=dtype)
    return lambda: torch.mm(a, b, out=out)


def _torch_compile(p, x, threads):
    import torch

    torch.set_grad_enabled(False)
    a, b = torch.from_numpy(x["a"]), torch.from_numpy(x["b"])
    torch._dynamo.reset()
    f = torch.compile(lambda a, b: torch.mm(*_operands(p, a, b)))
    return lambda: f(a, b)


def _jax(p, x, threads):
    import jax
    import jax.numpy as jnp

    a, b = jnp.asarray(x["a"]), jnp.asarray(x["b"])
    f = jax.jit(lambda a, b: jnp.matmul(*_operands(p, a, b)))
    return lambda: f(a, b).block_until_ready()


def _onnxruntime(p, x, threads):
    from libraries import onnx_session
    from onnx import helper

    node = helper.make_node("Gemm", ["a", "b"], ["out"], transA=p["ta"], transB=p["tb"])
    session = onnx_session([node], x, {}, threads)
    return lambda: session.run(None, x)


BUILDERS = {
    "fastnn": _fastnn,
    "numpy": _numpy,
    "numpy-skx": _numpy,
    "torch": _torch,
    "torch-bf16": lambda p, x, threads: _torch(p, x, threads, "bfloat16"),
    "torch-compile": _torch_compile,
    "jax": _jax,
    "onnxruntime": _onnxruntime,
}
