"""Latency of image networks on one image, batch normalisation folded into the convolutions.

Images and results stay in each library's own arrays. fastnn runs the captured forward pass.
"""

import numpy as np
from builders.nets_infer import NETS
from case import Case, Missing, fastest

TITLE = "Inference on one image, float32"
LIBS = ["fastnn-captured", "fastnn", "torch", "torch-keep", "torch-compile", "jax", "onnxruntime"]
SUBJECT = "fastnn-captured"
CASES = [Case(net, {"net": net, "side": shape[0]}, 2 * terms) for net, (_, _, shape, terms) in NETS.items()]


def tiny(p):
    return {**p, "side": min(p["side"], 64)}  # LeNet's linear layers know the size of the image


def inputs(p, rng):
    _, weights, shape, _ = NETS[p["net"]]
    return {"x": rng.standard_normal((1, p["side"], p["side"], shape[2]), dtype=np.float32), **weights(rng)}


def reference(p, v, lib):
    try:
        import torch
    except ImportError:
        raise Missing("the float64 result of this suite needs PyTorch") from None
    exact = _torch_run(p, v, "NCHW", torch.float64)().numpy()
    return [(exact, np.full(exact.shape, 1e-4 * np.abs(exact).max()))]


class _Fastnn:
    def __init__(self, v):
        import fastnn
        import fastnn.nn.functional as F

        self.w, self.F = {k: fastnn.tensor(a) for k, a in v.items()}, F
        self.mean = F.global_avg_pool

    def conv(self, x, name, stride, pad, relu=True, plus=None):
        act = "relu" if relu and plus is None else None
        y = self.F.conv2d(x, self.w[name], self.w[f"{name}_bias"], stride, pad, activation=act)
        return y if plus is None else self.F.relu(y + plus)

    def pool(self, x, size, stride, pad):
        return self.F.max_pool2d(x, size, stride, pad)

    def flatten(self, x):
        return x.reshape(x.shape[0], -1)

    def linear(self, x, name, relu):
        return self.F.linear(x, self.w[name], self.w[f"{name}_bias"], activation="relu" if relu else None)


def _fastnn(p, v, threads, captured=False):
    import fastnn

    o, net = _Fastnn(v), NETS[p["net"]][0]
    forward = fastnn.capture(lambda x: net(o, x)) if captured else lambda x: net(o, x)
    x = fastnn.from_numpy(v["x"])

    def run():
        with fastnn.no_grad():
            return forward(x)

    for _ in range(3):  # a capture is recorded by its third call
        run()
    return run


class _Torch:
    def __init__(self, v, dtype):
        import torch
        import torch.nn.functional as F
        from builders.nets_torch import _weight

        self.w, self.F = {k: _weight(k, a, dtype) for k, a in v.items() if k != "x"}, F
        self.mean, self.flatten = lambda x: x.mean((2, 3)), lambda x: torch.flatten(x, 1)

    def conv(self, x, name, stride, pad, relu=True, plus=None):
        y = self.F.conv2d(x, self.w[name], self.w[f"{name}_bias"], stride, pad)
        y = y if plus is None else y + plus
        return self.F.relu(y) if relu else y

    def pool(self, x, size, stride, pad):
        return self.F.max_pool2d(x, size, stride, pad)

    def linear(self, x, name, relu):
        y = self.F.linear(x, self.w[name], self.w[f"{name}_bias"])
        return self.F.relu(y) if relu else y


def _torch_run(p, v, layout, dtype, compiled=False):
    import torch

    o, net = _Torch(v, dtype), NETS[p["net"]][0]
    x = torch.from_numpy(v["x"]).to(dtype).permute(0, 3, 1, 2).contiguous()
    if layout == "NHWC":
        last = torch.channels_last
        x = x.contiguous(memory_format=last)
        o.w = {k: t.to(memory_format=last) if t.ndim == 4 else t for k, t in o.w.items()}
    forward = torch.compile(lambda x: net(o, x), dynamic=False) if compiled else lambda x: net(o, x)

    def run():
        with torch.inference_mode():
            return forward(x)

    return run


def _torch(p, v, threads, compiled=False):
    import torch

    if compiled:
        torch._dynamo.reset()
    return fastest(**{layout: _torch_run(p, v, layout, torch.float32, compiled) for layout in ("NCHW", "NHWC")})


class _Jax:
    def __init__(self, w):
        self.w = w

    def conv(self, x, name, stride, pad, relu=True, plus=None):
        import jax

        numbers = ("NHWC", "HWIO", "NHWC")
        y = jax.lax.conv_general_dilated(x, self.w[name], (stride, stride), [(pad, pad)] * 2, dimension_numbers=numbers)
        y = y + self.w[f"{name}_bias"]
        y = y if plus is None else y + plus
        return jax.nn.relu(y) if relu else y

    def pool(self, x, size, stride, pad):
        import jax

        window, pads = (1, size, size, 1), ((0, 0), (pad, pad), (pad, pad), (0, 0))
        return jax.lax.reduce_window(x, -np.inf, jax.lax.max, window, (1, stride, stride, 1), pads)

    def mean(self, x):
        return x.mean((1, 2))

    def flatten(self, x):
        return x.reshape(x.shape[0], -1)

    def linear(self, x, name, relu):
        import jax

        y = x @ self.w[name] + self.w[f"{name}_bias"]
        return jax.nn.relu(y) if relu else y


def _jax(p, v, threads):
    import jax

    net = NETS[p["net"]][0]
    w = {k: jax.numpy.asarray(a) for k, a in v.items() if k != "x"}
    x = jax.numpy.asarray(v["x"])
    forward = jax.jit(lambda w, x: net(_Jax(w), x))
    return lambda: forward(w, x).block_until_ready()


class _Onnx:
    """Writes down the nodes of a graph; values are names."""

    def __init__(self):
        self.nodes = []

    def node(self, kind, *inputs, **attributes):
        from onnx import helper

        self.nodes.append(helper.make_node(kind, inputs, [f"v{len(self.nodes)}"], **attributes))
        return self.nodes[-1].output[0]

    def conv(self, x, name, stride, pad, relu=True, plus=None):
        y = self.node("Conv", x, name, f"{name}_bias", strides=[stride] * 2, pads=[pad] * 4)
        y = y if plus is None else self.node("Add", y, plus)
        return self.node("Relu", y) if relu else y

    def pool(self, x, size, stride, pad):
        return self.node("MaxPool", x, kernel_shape=[size] * 2, strides=[stride] * 2, pads=[pad] * 4)

    def mean(self, x):
        return self.flatten(self.node("GlobalAveragePool", x))

    def flatten(self, x):
        return self.node("Flatten", x)

    def linear(self, x, name, relu):
        y = self.node("Gemm", x, name, f"{name}_bias")
        return self.node("Relu", y) if relu else y


def _onnxruntime(p, v, threads):
    from libraries import onnx_session

    o = _Onnx()
    NETS[p["net"]][0](o, "x")
    o.nodes[-1].output[0] = "out"
    w = {k: a for k, a in v.items() if k != "x"}
    if "l1" in w:  # the linear layers of LeNet see channels first
        w["l1"] = w["l1"].reshape(5, 5, 16, -1).transpose(2, 0, 1, 3).reshape(400, -1)
    w = {k: np.ascontiguousarray(a.transpose(3, 2, 0, 1)) if a.ndim == 4 else a for k, a in w.items()}
    x = np.ascontiguousarray(v["x"].transpose(0, 3, 1, 2))
    session = onnx_session(o.nodes, {"x": x}, w, threads)
    return lambda: session.run(None, {"x": x})


BUILDERS = {
    "fastnn": _fastnn,
    "fastnn-captured": lambda p, v, threads: _fastnn(p, v, threads, captured=True),
    "torch": _torch,
    "torch-compile": lambda p, v, threads: _torch(p, v, threads, compiled=True),
    "jax": _jax,
    "onnxruntime": _onnxruntime,
}
