"""Image networks in fastnn, a step eager or captured."""

import numpy as np

from .nets import NETS


class Operations:
    def __init__(self):
        import fastnn
        import fastnn.nn.functional as F

        self.zeros, self.ones, self.F = fastnn.zeros, fastnn.ones, F
        self.relu, self.linear, self.mean = F.relu, F.linear, F.global_avg_pool
        self.running = {}

    def conv(self, x, w, b, stride, pad, relu=False):
        return self.F.conv2d(x, w, b, stride, pad, activation="relu" if relu else None)

    def norm(self, x, scale, shift):
        if id(scale) not in self.running:
            self.running[id(scale)] = self.zeros(scale.shape[0]), self.ones(scale.shape[0])
        return self.F.batch_norm(x, *self.running[id(scale)], scale, shift, training=True)

    def pool(self, x):
        return self.F.max_pool2d(x, 2)

    def flatten(self, x):
        return x.reshape(x.shape[0], -1)


def build(p, v, threads, captured=False):
    import fastnn
    import fastnn.nn.functional as F

    fastnn.set_grad_enabled(True)
    x, y = fastnn.as_tensor(v["x"]), fastnn.as_tensor(v["y"])  # on the device that is the default
    net = NETS[p["net"]][0]

    def start():
        w = {k: fastnn.tensor(a, requires_grad=True) for k, a in v.items() if k not in "xy"}
        o, optimizer = Operations(), fastnn.optim.SGD(list(w.values()), lr=p["lr"], momentum=0.9)

        def step(x, y):
            loss = F.cross_entropy(net(o, w, x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss

        return fastnn.capture(step) if captured else step

    def result():
        step = start()
        return np.array([step(x, y).item() for _ in range(p["steps"])])

    step = start()
    for _ in range(3):  # a capture is recorded by its third call
        step(x, y)
    run = lambda: step(x, y)  # noqa: E731
    run.result = result
    return run


def build_captured(p, v, threads):
    return build(p, v, threads, captured=True)
