"""Recurrent layers: LSTM and GRU over sequences, forward and forward + backward."""

import numpy as np
from case import Case, Missing, gradient

TITLE = "Recurrent layers, float32"
LIBS = ["fastnn", "torch", "jax", "onnxruntime"]

# name, T, N, H, C, layers, directions
SHAPES = [
    ("T35 N20 H200 2 layers", 35, 20, 200, 200, 2, 1),
    ("T100 N64 H256 C128", 100, 64, 256, 128, 1, 1),
    ("T100 N64 H256 C128 both ways", 100, 64, 256, 128, 1, 2),
    ("T1 N1 H512 one step", 1, 1, 512, 512, 1, 1),
]


def _case(kind, backward, name, t, n, h, c, layers, directions):
    params = {"kind": kind, "backward": backward, "t": t, "n": n, "h": h, "c": c, "layers": layers, "d": directions}
    gates = 4 if kind == "LSTM" else 3
    weights = sum(gates * h * ((c if layer == 0 else h * directions) + h) * directions for layer in range(layers))
    what = "forward + backward" if backward else "forward"
    skip = {"onnxruntime": "inference only"} if backward else {}
    return Case(
        f"{kind} {name}, {what}", params, flops=2.0 * t * n * weights * (3 if backward else 1),
        nbytes=4.0 * weights * (2 if backward else 1), skip=skip,
    )  # fmt: skip


CASES = [_case(kind, b, *shape) for kind in ("LSTM", "GRU") for b in (False, True) for shape in SHAPES]


def tiny(p):
    return {**p, **{k: min(p[k], top) for k, top in (("t", 3), ("n", 2), ("h", 5), ("c", 4))}}


def inputs(p, rng):
    """Weights input first, as fastnn has them; gates i, f, g, o and r, z, n."""
    out = {"x": (p["n"], p["t"], p["c"]), "dy": (p["n"], p["t"], p["d"] * p["h"])}
    width = (4 if p["kind"] == "LSTM" else 3) * p["h"]
    for layer in range(p["layers"]):
        for d in range(p["d"]):
            c = p["c"] if layer == 0 else p["d"] * p["h"]
            shapes = {"w_x": (c, width), "w_h": (p["h"], width), "b_x": (width,), "b_h": (width,)}
            out |= {f"{name}{layer}{d}": shape for name, shape in shapes.items()}
    draw = {k: rng.standard_normal(s, dtype=np.float32) * np.float32(0.08) for k, s in out.items()}
    return draw


def _weights(p, x):
    names = [f"{n}{layer}{d}" for layer in range(p["layers"]) for d in range(p["d"]) for n in _NAMES]
    return [x[n] for n in names]


_NAMES = ("w_x", "w_h", "b_x", "b_h")


def _torch_module(p, x, dtype):
    import torch

    m = getattr(torch.nn, p["kind"])(p["c"], p["h"], p["layers"], batch_first=True, bidirectional=p["d"] == 2)
    m = m.to(dtype)
    with torch.no_grad():
        for parameter, value in zip(m.parameters(), _weights(p, x), strict=True):
            parameter.copy_(torch.from_numpy(value).T)
    return m


def reference(p, x, lib):
    """PyTorch in float64. Errors of a chain of steps do not grow (gates saturate): the bound is a measured one."""
    try:
        import torch
    except ModuleNotFoundError:
        raise Missing("PyTorch, which the results of recurrent layers are compared with") from None

    m = _torch_module(p, x, torch.float64)
    a = torch.from_numpy(x["x"]).double().requires_grad_(p["backward"])
    with torch.set_grad_enabled(p["backward"]):
        y = m(a)[0]
    if not p["backward"]:
        return [(y.numpy(), 1e-5)]
    grads = torch.autograd.grad(y, [a, *m.parameters()], torch.from_numpy(x["dy"]).double())
    arrays = [g.numpy() for g in grads]
    return [(g, 1e-5 * max(1.0, float(np.abs(g).max()))) for g in [arrays[0], *(g.T for g in arrays[1:])]]


def _fastnn(p, x, threads):
    import fastnn

    f = getattr(fastnn, p["kind"].lower())
    a, dy = fastnn.from_numpy(x["x"]), fastnn.from_numpy(x["dy"])
    weights = [fastnn.from_numpy(w) for w in _weights(p, x)]
    options = {"num_layers": p["layers"], "bidirectional": p["d"] == 2}
    if p["backward"]:
        leaves = [t.requires_grad_() for t in (a, *weights)]
        return gradient(leaves, lambda: f(a, weights, **options)[0], dy)

    def run():
        with fastnn.no_grad():
            return f(a, weights, **options)[0]

    return run


def _torch(p, x, threads):
    import torch

    m = _torch_module(p, x, torch.float32)
    a, dy = torch.from_numpy(x["x"]), torch.from_numpy(x["dy"])
    if not p["backward"]:

        def run():
            with torch.inference_mode():
                return m(a)[0]

        return run
    a.requires_grad_()
    leaves = [a, *m.parameters()]
    run = gradient(leaves, lambda: m(a)[0], dy)
    run.result = lambda: [leaves[0].grad, *(w.grad.T for w in leaves[1:])]
    return run


def _jax_network(p):
    import jax
    import jax.numpy as jnp

    def layer(w, x, reverse):
        w_x, w_h, b_x, b_h = w
        a = x @ w_x + b_x

        def lstm(state, z):
            h, c = state
            i, f, g, o = jnp.split(z + h @ w_h + b_h, 4, -1)
            c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            h = jax.nn.sigmoid(o) * jnp.tanh(c)
            return (h, c), h

        def gru(h, z):
            (a_r, a_z, a_n), (u_r, u_z, u_n) = jnp.split(z, 3, -1), jnp.split(h @ w_h + b_h, 3, -1)
            r, z = jax.nn.sigmoid(a_r + u_r), jax.nn.sigmoid(a_z + u_z)
            n = jnp.tanh(a_n + r * u_n)
            h = n + z * (h - n)
            return h, h

        zero = jnp.zeros((p["n"], p["h"]))
        step, start = (lstm, (zero, zero)) if p["kind"] == "LSTM" else (gru, zero)
        return jax.lax.scan(step, start, a, reverse=reverse)[1]

    def network(weights, x):
        # Time first inside: the scan runs over the first axis.
        x, sets = jnp.swapaxes(x, 0, 1), [weights[i : i + 4] for i in range(0, len(weights), 4)]
        for i in range(0, len(sets), p["d"]):
            x = jnp.concatenate([layer(w, x, k == 1) for k, w in enumerate(sets[i : i + p["d"]])], -1)
        return jnp.swapaxes(x, 0, 1)

    return network


def _jax(p, x, threads):
    import jax
    import jax.numpy as jnp

    network, weights = _jax_network(p), [jnp.asarray(w) for w in _weights(p, x)]
    a, dy = jnp.asarray(x["x"]), jnp.asarray(x["dy"])
    if not p["backward"]:
        f = jax.jit(network)
        return lambda: f(weights, a).block_until_ready()

    @jax.jit
    def both(weights, a, dy):
        dw, da = jax.vjp(network, weights, a)[1](dy)
        return [da, *dw]

    return lambda: jax.block_until_ready(both(weights, a, dy))


def _onnxruntime(p, x, threads):
    from libraries import onnx_session
    from onnx import helper

    # ONNX orders the gates i, o, f, g and z, r, n.
    order = (0, 3, 1, 2) if p["kind"] == "LSTM" else (1, 0, 2)

    def reordered(a):
        blocks = np.split(a.T, len(order))
        return np.concatenate([blocks[i] for i in order])

    # Its sequences are [T, N, C], outputs [T, D, N, H]; x is turned outside of the time.
    nodes, inits, current = [], {"shape": np.array([0, 0, -1], np.int64)}, "x"
    for layer in range(p["layers"]):
        w = [[reordered(x[f"{n}{layer}{d}"]) for d in range(p["d"])] for n in _NAMES]
        inits |= {f"w{layer}": np.stack(w[0]), f"r{layer}": np.stack(w[1])}
        inits[f"b{layer}"] = np.concatenate([np.stack(w[2]), np.stack(w[3])], 1)
        options = {"hidden_size": p["h"], "direction": "bidirectional" if p["d"] == 2 else "forward"}
        if p["kind"] == "GRU":
            options["linear_before_reset"] = 1
        last = layer + 1 == p["layers"]
        y = "out" if last else f"z{layer}"
        nodes += [
            helper.make_node(p["kind"], [current, f"w{layer}", f"r{layer}", f"b{layer}"], [f"y{layer}"], **options),
            helper.make_node("Transpose", [f"y{layer}"], [f"t{layer}"], perm=[0, 2, 1, 3]),
            helper.make_node("Reshape", [f"t{layer}", "shape"], [y]),
        ]
        current = y
    feed = {"x": np.ascontiguousarray(x["x"].swapaxes(0, 1))}
    session = onnx_session(nodes, feed, inits, threads)

    def run():
        return session.run(None, feed)

    run.result = lambda: [session.run(None, feed)[0].swapaxes(0, 1)]
    return run


BUILDERS = {"fastnn": _fastnn, "torch": _torch, "jax": _jax, "onnxruntime": _onnxruntime}
