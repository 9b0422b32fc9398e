"""PyTorch: eager with its default optimiser, with the fused one, and with the forward pass and the loss compiled."""

import numpy as np


def _step(p, v, fused, compiled):
    import torch
    import torch.nn.functional as F
    from torch import nn

    layers, sizes = [], p["sizes"]
    for i, (a, b) in enumerate(zip(sizes, sizes[1:])):
        layer = nn.Linear(a, b)
        layer.load_state_dict({"weight": torch.tensor(v[f"w{i}"].T), "bias": torch.tensor(v[f"b{i}"])})
        layers += [layer, nn.ReLU()]
    model = nn.Sequential(*layers[:-1])
    loss_of = F.mse_loss if sizes[-1] == 1 else F.cross_entropy
    kind = torch.optim.SGD if p["optimizer"] == "sgd" else torch.optim.Adam
    optimizer = kind(model.parameters(), lr=p["lr"], fused=True if fused else None)
    forward = lambda x, y: loss_of(model(x), y)  # noqa: E731
    if compiled:
        forward = torch.compile(forward, dynamic=False)

    def step(x, y):
        loss = forward(x, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return step


def build(p, v, threads, fused=False, compiled=False):
    import torch

    torch.set_grad_enabled(True)
    x, y = torch.as_tensor(v["x"]), torch.as_tensor(v["y"])

    def result():
        step = _step(p, v, fused, compiled)
        return np.array([step(x, y).item() for _ in range(p["steps"])])

    step = _step(p, v, fused, compiled)
    run = lambda: step(x, y)  # noqa: E731
    run.result = result
    return run


def steps(p, v, lib):
    """A step that takes any batch, and what makes a tensor of an array."""
    import torch

    return _step(p, v, fused=False, compiled=False), torch.tensor


def build_fused(p, v, threads):
    return build(p, v, threads, fused=True)


def build_compiled(p, v, threads):
    """With the fused optimiser, which is faster here than a compiled one."""
    return build(p, v, threads, fused=True, compiled=True)
