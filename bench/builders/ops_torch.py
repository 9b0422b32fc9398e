"""PyTorch: images in NCHW and in channels_last, whichever is faster."""

from case import fastest, gradient

from . import IMAGES, LEAVES, dropout_summary


def _function(p):
    import torch
    import torch.nn.functional as F

    channels = p["shape"][-1]
    window = [p.get(k) for k in ("k", "s", "pad")]
    mean, var = torch.zeros(channels), torch.ones(channels)
    return {
        "relu": F.relu,
        "gelu": lambda x: F.gelu(x, approximate="tanh"),
        "gelu_erf": F.gelu,
        "tanh": torch.tanh,
        "sigmoid": torch.sigmoid,
        "exp": torch.exp,
        "sum": torch.sum,
        "add": torch.add,
        "softmax": lambda x: torch.softmax(x, 1),
        "cross_entropy": F.cross_entropy,
        "dropout": lambda x: F.dropout(x, 0.5, True),
        "layer_norm": lambda x, weight, bias: F.layer_norm(x, (channels,), weight, bias),
        "batch_norm": lambda x, weight, bias: F.batch_norm(x, mean, var, weight, bias, True),
        "embedding": lambda weight, ids: F.embedding(ids, weight),
        "max_pool": lambda x: F.max_pool2d(x, *window),
        "avg_pool": lambda x: F.avg_pool2d(x, *window),
    }[p["op"]]


def _tensors(p, v, layout):
    """Arrays as tensors; an image is a view ``[N, C, H, W]`` of the same memory, or a copy in that order."""
    import torch

    t = {k: torch.from_numpy(a) for k, a in v.items()}
    if p["op"] in IMAGES:
        for k in {"x", "g"} & set(t):
            t[k] = t[k].permute(0, 3, 1, 2)
            if layout == "NCHW":
                t[k] = t[k].contiguous()
    return t


def _back(p, value):
    """As the suite has it."""
    return value.permute(0, 2, 3, 1) if p["op"] in IMAGES and value.ndim == 4 else value


def _one(p, v, layout, compiled):
    import torch

    torch.set_grad_enabled(p["backward"])
    function, t = _function(p), _tensors(p, v, layout)
    if compiled:
        torch._dynamo.reset()
        plain = function
        function = torch.compile(lambda *a: plain(*a), dynamic=False)
    g = t.pop("g", None)
    leaves = [t[k].requires_grad_() for k in LEAVES if k in t and p["backward"]]
    arguments = list(t.values())
    if p["backward"]:
        run = gradient(leaves, lambda: function(*arguments), g)
        run.result = lambda: [_back(p, leaf.grad) for leaf in leaves]
    else:
        run = lambda: function(*arguments)  # noqa: E731
        run.result = lambda: _back(p, run())
    if p["op"] == "dropout":
        run.result = lambda: _dropout(function, v, leaves or arguments, g)
    return run


def _dropout(function, v, arguments, g):
    (x,) = arguments
    x.grad = None
    y = function(x)
    if g is None:
        return [dropout_summary(v["x"], y)]
    y.backward(g)
    return [dropout_summary(v["x"], y.detach(), v["g"], x.grad)]


def build(p, v, threads, compiled=False):
    layouts = ("NCHW", "NHWC") if p["op"] in IMAGES else ("",)
    return fastest(**{layout: _one(p, v, layout, compiled) for layout in layouts})


def build_compiled(p, v, threads):
    return build(p, v, threads, compiled=True)


def build_out(p, v, threads):
    """With ``out=``: PyTorch allocates nothing."""
    import torch

    if p["backward"] or p["op"] in IMAGES:
        return None
    torch.set_grad_enabled(False)
    t = _tensors(p, v, "")
    if p["op"] == "embedding":
        out = torch.empty(p["shape"][2], p["shape"][1])
        return lambda: torch.index_select(t["weight"], 0, t["ids"], out=out)
    x = t["x"]
    out = torch.empty_like(x)
    return {
        "relu": lambda: torch.clamp_min(x, 0, out=out),
        "gelu": lambda: torch._C._nn.gelu(x, approximate="tanh", out=out),
        "gelu_erf": lambda: torch._C._nn.gelu(x, out=out),
        "tanh": lambda: torch.tanh(x, out=out),
        "sigmoid": lambda: torch.sigmoid(x, out=out),
        "exp": lambda: torch.exp(x, out=out),
        "add": lambda: torch.add(x, t["y"], out=out),
        "softmax": lambda: torch.softmax(x, 1, out=out),
    }.get(p["op"])
