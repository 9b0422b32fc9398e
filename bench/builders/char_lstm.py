"""The character model in each library: embedding, LSTM, dense head, cross-entropy, Adam.

fastnn hands the ids to the LSTM with the table, so products with the input weights are made once for each of the V
characters; the others look the rows up first. Parameters, loss and gradients are the same.
"""

import numpy as np

#: Parameters in the order of `weights`; matrices are input first.
NAMES = ("table", "w_x", "w_h", "b_x", "b_h", "w_y", "b_y")


def weights(p, rng):
    v, h = p["vocabulary"], p["h"]
    shapes = {"table": (v, h), "w_x": (h, 4 * h), "w_h": (h, 4 * h), "b_x": (4 * h,), "b_h": (4 * h,)}
    shapes |= {"w_y": (h, v), "b_y": (v,)}
    bound = 1 / np.sqrt(h)
    return {k: rng.uniform(-bound, bound, s).astype(np.float32) for k, s in shapes.items()}


def _fastnn_step(p, v):
    import fastnn
    import fastnn.nn.functional as F
    from fastnn import nn, optim

    vocabulary, h = p["vocabulary"], p["h"]
    table, lstm, head = nn.Embedding(vocabulary, h), nn.LSTM(h, h), nn.Linear(h, vocabulary)
    model = nn.ModuleList([table, lstm, head])
    keys = ["0.weight", *(f"1.{k}_l0" for k in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")), "2.weight", "2.bias"]
    model.load_state_dict({k: fastnn.from_numpy(v[n]) for k, n in zip(keys, NAMES, strict=True)})
    optimizer = optim.Adam(model.parameters(), lr=p["lr"])

    def step(x, y):
        logits = head(lstm(x, table=table.weight)[0])
        loss = F.cross_entropy(logits.reshape(-1, vocabulary), y.reshape(-1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return step


def fastnn(p, v, threads, captured=False):
    import fastnn

    fastnn.set_grad_enabled(True)
    x, y = fastnn.from_numpy(v["x"]), fastnn.from_numpy(v["y"])

    def start():
        step = _fastnn_step(p, v)
        return fastnn.capture(step) if captured else step

    def result():
        step = start()
        return np.array([step(x, y).item() for _ in range(p["steps"])])

    step = start()
    for _ in range(3):
        step(x, y)
    run = lambda: step(x, y)  # noqa: E731
    run.result = result
    return run


def captured(p, v, threads):
    return fastnn(p, v, threads, captured=True)


def _torch_step(p, v, dtype, fused=False, compiled=False):
    import torch
    import torch.nn.functional as F
    from torch import nn

    vocabulary, h = p["vocabulary"], p["h"]
    table, lstm = nn.Embedding(vocabulary, h), nn.LSTM(h, h, batch_first=True)
    model = nn.ModuleList([table, lstm, nn.Linear(h, vocabulary)]).to(dtype)
    with torch.no_grad():
        for parameter, name in zip(model.parameters(), NAMES, strict=True):
            value = torch.from_numpy(v[name])
            parameter.copy_(value if name == "table" or value.ndim == 1 else value.T)
    optimizer = torch.optim.Adam(model.parameters(), lr=p["lr"], fused=True if fused else None)

    def forward(x, y):
        logits = model[2](lstm(table(x))[0])
        return F.cross_entropy(logits.reshape(-1, vocabulary), y.reshape(-1))

    if compiled:
        forward = torch.compile(forward, dynamic=False)

    def step(x, y):
        loss = forward(x, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return step


def losses(p, v):
    """The losses of the first steps in float64."""
    import torch

    step = _torch_step(p, v, torch.float64)
    x, y = torch.from_numpy(v["x"]), torch.from_numpy(v["y"])
    return np.array([step(x, y).item() for _ in range(p["steps"])])


def torch(p, v, threads, **options):
    import torch

    torch.set_grad_enabled(True)
    x, y = torch.from_numpy(v["x"]), torch.from_numpy(v["y"])

    def result():
        step = _torch_step(p, v, torch.float32, **options)
        return np.array([step(x, y).item() for _ in range(p["steps"])])

    step = _torch_step(p, v, torch.float32, **options)
    run = lambda: step(x, y)  # noqa: E731
    run.result = result
    return run


def torch_fused(p, v, threads):
    return torch(p, v, threads, fused=True)


def torch_compiled(p, v, threads):
    return torch(p, v, threads, fused=True, compiled=True)


def _jax_step(p):
    import jax
    import jax.numpy as jnp

    def loss_of(w, x, y):
        a = jnp.swapaxes(w["table"][x] @ w["w_x"] + (w["b_x"] + w["b_h"]), 0, 1)

        def cell(state, now):
            h, c = state
            i, f, g, o = jnp.split(now + h @ w["w_h"], 4, -1)
            c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            h = jax.nn.sigmoid(o) * jnp.tanh(c)
            return (h, c), h

        zero = jnp.zeros((p["n"], p["h"]))
        hs = jnp.swapaxes(jax.lax.scan(cell, (zero, zero), a)[1], 0, 1)
        logits = hs @ w["w_y"] + w["b_y"]
        return -jnp.take_along_axis(jax.nn.log_softmax(logits), y[..., None], -1).mean()

    def step(w, m, s, t, x, y):
        loss, g = jax.value_and_grad(loss_of)(w, x, y)
        t = t + 1
        m = jax.tree.map(lambda m, g: m + 0.1 * (g - m), m, g)
        s = jax.tree.map(lambda s, g: s + 0.001 * (g * g - s), s, g)
        first, second = 1 - 0.9**t, 1 - 0.999**t
        w = jax.tree.map(lambda w, m, s: w - p["lr"] * (m / first) / (jnp.sqrt(s / second) + 1e-8), w, m, s)
        return w, m, s, t, loss

    return jax.jit(step, donate_argnums=(0, 1, 2, 3))


def jax(p, v, threads):
    import jax
    import jax.numpy as jnp

    step, x, y = _jax_step(p), jnp.asarray(v["x"]), jnp.asarray(v["y"])

    def start():
        w = {k: jnp.array(v[k]) for k in NAMES}
        return [w, jax.tree.map(jnp.zeros_like, w), jax.tree.map(jnp.zeros_like, w), jnp.zeros(())]

    state = start()

    def run():
        *state[:], loss = step(*state, x, y)
        return jax.block_until_ready((state, loss))[1]

    def result():
        here, losses = start(), []
        for _ in range(p["steps"]):
            *here[:], loss = step(*here, x, y)
            losses.append(float(loss))
        return np.array(losses)

    run.result = result
    return run
