"""fastnn: images as they are."""

from case import Missing, gradient

from . import LEAVES, dropout_summary


def _functions(p):
    import fastnn
    import fastnn.nn.functional as F

    window = [p.get(k) for k in ("k", "s", "pad")]
    return {
        "relu": lambda: F.relu,
        "gelu": lambda: lambda x: F.gelu(x, approximate="tanh"),
        "gelu_erf": lambda: F.gelu,
        "tanh": lambda: fastnn.tanh,
        "sigmoid": lambda: fastnn.sigmoid,
        "exp": lambda: fastnn.exp,
        "sum": lambda: fastnn.sum,
        "add": lambda: fastnn.add,
        "softmax": lambda: lambda x: F.softmax(x, dim=1),
        "cross_entropy": lambda: F.cross_entropy,
        "dropout": lambda: lambda x: F.dropout(x, 0.5, True),
        "layer_norm": lambda: _layer_norm(F.layer_norm, p["shape"][-1:]),
        "batch_norm": lambda: _batch_norm(F.batch_norm, fastnn.zeros(p["shape"][-1]), fastnn.ones(p["shape"][-1])),
        "embedding": lambda: _embedding(F.embedding),
        "max_pool": lambda: _pool(F.max_pool2d, window),
        "avg_pool": lambda: _pool(F.avg_pool2d, window),
    }[p["op"]]


def _layer_norm(function, shape):
    return lambda x, weight, bias: function(x, shape, weight, bias)


def _batch_norm(function, mean, var):
    return lambda x, weight, bias: function(x, mean, var, weight, bias, training=True)


def _embedding(function):
    return lambda weight, ids: function(ids, weight)


def _pool(function, window):
    return lambda x: function(x, *window)


def build(p, v, threads):
    import fastnn

    fastnn.set_grad_enabled(p["backward"])
    try:
        function = _functions(p)()
    except AttributeError as e:
        raise Missing(str(e)) from None
    t = {k: fastnn.from_numpy(a) for k, a in v.items()}
    g = t.pop("g", None)
    if not p["backward"]:
        arguments = list(t.values())
        if len(arguments) == 1:
            (x,) = arguments
            run = lambda: function(x)  # noqa: E731
        else:
            run = lambda: function(*arguments)  # noqa: E731
        if p["op"] == "dropout":
            run.result = lambda: [dropout_summary(v["x"], function(t["x"]))]
        return run
    leaves = [t[k].requires_grad_() for k in LEAVES if k in t]
    arguments = list(t.values())
    run = gradient(leaves, lambda: function(*arguments), g)
    if p["op"] == "dropout":

        def result():
            leaves[0].grad = None
            y = function(leaves[0])
            y.backward(g)
            return [dropout_summary(v["x"], y.detach(), v["g"], leaves[0].grad)]

        run.result = result
    return run
