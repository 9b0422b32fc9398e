"""JAX, jitted: images in both layouts, whichever is faster. Forward + backward also returns the forward result, which a
network needs."""

from case import fastest

from . import IMAGES, LEAVES, dropout_summary


def _function(p, layout):
    import jax
    import jax.numpy as jnp

    def cross_entropy(x, target):
        return -jnp.take_along_axis(jax.nn.log_softmax(x), target[:, None], 1).mean()

    def norm(x, weight, bias):
        if p["op"] == "layer_norm":
            axes = -1
        else:
            axes = (0, 2, 3) if layout == "NCHW" else (0, 1, 2)
        if layout == "NCHW":
            weight, bias = weight[:, None, None], bias[:, None, None]
        mean = x.mean(axes, keepdims=True)
        return (x - mean) * jax.lax.rsqrt(x.var(axes, keepdims=True) + 1e-5) * weight + bias

    def pool(x, start, function):
        k, s, pad = p["k"], p["s"], p["pad"]
        inner = [(k, k), (s, s), ((pad, pad), (pad, pad))]
        one = [(1,), (1,), ((0, 0),)]
        places = [a + a + b if layout == "NCHW" else a + b + a for a, b in zip(one, inner)]
        return jax.lax.reduce_window(x, start, function, *places)

    return {
        "relu": jax.nn.relu,
        "gelu": jax.nn.gelu,
        "gelu_erf": lambda x: jax.nn.gelu(x, approximate=False),
        "tanh": jnp.tanh,
        "sigmoid": jax.nn.sigmoid,
        "exp": jnp.exp,
        "sum": jnp.sum,
        "add": jnp.add,
        "softmax": lambda x: jax.nn.softmax(x, axis=1),
        "cross_entropy": cross_entropy,
        "dropout": lambda x, key: jnp.where(jax.random.bernoulli(key, 0.5, x.shape), x * 2, 0.0),
        "layer_norm": norm,
        "batch_norm": norm,
        "embedding": lambda weight, ids: weight[ids],
        "max_pool": lambda x: pool(x, -jnp.inf, jax.lax.max),
        "avg_pool": lambda x: pool(x, 0.0, jax.lax.add) / (p["k"] * p["k"]),
    }[p["op"]]


def _one(p, v, layout):
    import jax
    import jax.numpy as jnp
    import numpy as np

    function, image = _function(p, layout), p["op"] in IMAGES

    def here(a):
        return jnp.asarray(np.moveaxis(a, 3, 1) if layout == "NCHW" and a.ndim == 4 else a)

    def back(a):
        return np.moveaxis(np.asarray(a), 1, 3) if layout == "NCHW" and a.ndim == 4 else np.asarray(a)

    t = {k: here(a) for k, a in v.items()}
    g = t.pop("g", None)
    if p["op"] == "dropout":
        t["key"] = jax.random.key(0)
    arguments = list(t.values())
    ready = jax.block_until_ready
    if not p["backward"]:
        forward = jax.jit(function)
        run = lambda: ready(forward(*arguments))  # noqa: E731
        run.result = lambda: back(run()) if image else run()
        if p["op"] == "dropout":
            run.result = lambda: [dropout_summary(v["x"], run())]
        return run
    where = tuple(i for i, k in enumerate(t) if k in LEAVES)
    if p["op"] == "cross_entropy":
        both = jax.jit(jax.value_and_grad(function))
        run = lambda: ready(both(*arguments))  # noqa: E731
        run.result = lambda: run()[1]
        return run

    @jax.jit
    def both(arguments, g):
        def of(*leaves):
            full = list(arguments)
            for i, leaf in zip(where, leaves):
                full[i] = leaf
            return function(*full)

        y, pull = jax.vjp(of, *(arguments[i] for i in where))
        return y, pull(g)

    run = lambda: ready(both(arguments, g))  # noqa: E731
    run.result = lambda: [back(a) if image else a for a in run()[1]]
    if p["op"] == "dropout":

        def result():
            y, (dx,) = run()
            return [dropout_summary(v["x"], y, v["g"], dx)]

        run.result = result
    return run


def build(p, v, threads):
    layouts = ("NCHW", "NHWC") if p["op"] in IMAGES else ("",)
    return fastest(**{layout: _one(p, v, layout) for layout in layouts})
