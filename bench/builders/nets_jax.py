"""Image networks in JAX, channels last, the whole step jitted and its state donated."""

import numpy as np

from .nets import NETS


class Operations:
    def __init__(self):
        import jax
        import jax.numpy as jnp

        self.jax, self.jnp = jax, jnp
        self.relu = jax.nn.relu

    def conv(self, x, w, b, stride, pad, relu=False):
        places = ("NHWC", "HWIO", "NHWC")
        y = self.jax.lax.conv_general_dilated(x, w, (stride,) * 2, [(pad, pad)] * 2, dimension_numbers=places)
        y = y if b is None else y + b
        return self.relu(y) if relu else y

    def norm(self, x, scale, shift):
        mean, var = x.mean((0, 1, 2)), x.var((0, 1, 2))
        return (x - mean) * (self.jax.lax.rsqrt(var + 1e-5) * scale) + shift

    def pool(self, x):
        return self.jax.lax.reduce_window(x, -self.jnp.inf, self.jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")

    def linear(self, x, w, b):
        return x @ w + b

    def mean(self, x):
        return x.mean((1, 2))

    def flatten(self, x):
        return x.reshape(x.shape[0], -1)


def build(p, v, threads):
    import jax
    import jax.numpy as jnp

    net, o = NETS[p["net"]][0], Operations()
    x, y = jnp.asarray(v["x"]), jnp.asarray(v["y"])

    def loss_of(w, x, y):
        return -jnp.take_along_axis(jax.nn.log_softmax(net(o, w, x)), y[:, None], 1).mean()

    def one(w, velocity, x, y):
        loss, g = jax.value_and_grad(loss_of)(w, x, y)
        velocity = jax.tree.map(lambda u, g: 0.9 * u + g, velocity, g)
        return jax.tree.map(lambda w, u: w - p["lr"] * u, w, velocity), velocity, loss

    step = jax.jit(one, donate_argnums=(0, 1))

    def start():
        w = {k: jnp.array(a) for k, a in v.items() if k not in "xy"}
        return [w, jax.tree.map(jnp.zeros_like, w)]

    state = start()

    def run():
        *state[:], loss = step(*state, x, y)
        return jax.block_until_ready((state, loss))[1]

    def result():
        here, found = start(), []
        for _ in range(p["steps"]):
            *here[:], loss = step(*here, x, y)
            found.append(float(loss))
        return np.array(found)

    run.result = result
    return run
