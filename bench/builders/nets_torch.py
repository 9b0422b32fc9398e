"""Image networks in PyTorch, in NCHW and channels_last; in float64 they are the reference of the others."""

import numpy as np
from case import fastest

from .nets import NETS


class Operations:
    def __init__(self):
        import torch
        import torch.nn.functional as F

        self.torch, self.F = torch, F
        self.relu, self.running = F.relu, {}

    def conv(self, x, w, b, stride, pad, relu=False):
        y = self.F.conv2d(x, w, b, stride, pad)
        return self.F.relu(y) if relu else y

    def norm(self, x, scale, shift):
        if id(scale) not in self.running:
            zeros = self.torch.zeros_like(scale, requires_grad=False)
            self.running[id(scale)] = zeros, zeros + 1
        return self.F.batch_norm(x, *self.running[id(scale)], scale, shift, True)

    def pool(self, x):
        return self.F.max_pool2d(x, 2)

    def linear(self, x, w, b):
        return self.F.linear(x, w, b)

    def mean(self, x):
        return x.mean((2, 3))

    def flatten(self, x):
        return x.flatten(1)


def _weight(name, a, dtype):
    """In PyTorch's layout; the first linear layer of LeNet sees channels first."""
    import torch

    t = torch.tensor(a, dtype=dtype)
    if name == "l1":
        t = t.reshape(5, 5, 16, -1).permute(2, 0, 1, 3).reshape(400, -1)
    if t.ndim == 4:
        return t.permute(3, 2, 0, 1).contiguous()
    return t.t().contiguous() if t.ndim == 2 else t


def _start(p, v, layout, dtype, fused, compiled):
    import torch
    import torch.nn.functional as F

    net = NETS[p["net"]][0]
    w = {k: _weight(k, a, dtype) for k, a in v.items() if k not in "xy"}
    if layout == "NHWC":
        w = {k: t.to(memory_format=torch.channels_last) if t.ndim == 4 else t for k, t in w.items()}
    w = {k: t.requires_grad_() for k, t in w.items()}
    o = Operations()
    optimizer = torch.optim.SGD(list(w.values()), lr=p["lr"], momentum=0.9, fused=True if fused else None)
    forward = lambda x, y: F.cross_entropy(net(o, w, x), y)  # noqa: E731
    if compiled:
        forward = torch.compile(forward, dynamic=False)

    def step(x, y):
        loss = forward(x, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return step


def _one(p, v, layout, dtype, fused, compiled):
    import torch

    torch.set_grad_enabled(True)
    x, y = torch.as_tensor(v["x"], dtype=dtype).permute(0, 3, 1, 2), torch.as_tensor(v["y"])
    x = x.contiguous() if layout == "NCHW" else x.contiguous(memory_format=torch.channels_last)

    def result():
        step = _start(p, v, layout, dtype, fused, compiled)
        return np.array([step(x, y).item() for _ in range(p["steps"])])

    step = _start(p, v, layout, dtype, fused, compiled)
    run = lambda: step(x, y)  # noqa: E731
    run.result = result
    return run


def build(p, v, threads, fused=False, compiled=False):
    import torch

    if compiled:
        torch._dynamo.reset()
    return fastest(**{layout: _one(p, v, layout, torch.float32, fused, compiled) for layout in ("NCHW", "NHWC")})


def build_fused(p, v, threads):
    return build(p, v, threads, fused=True)


def build_compiled(p, v, threads):
    return build(p, v, threads, fused=True, compiled=True)


def losses(p, v):
    """Of the first steps, in float64."""
    import torch

    return _one(p, v, "NCHW", torch.float64, False, False).result()
