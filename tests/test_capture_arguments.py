"""Arguments of captured steps that are more than inputs, and steps that several threads call."""

import threading

import pytest

import fastnn
from fastnn import nn


def bits(x):
    return x.detach().numpy().tobytes()


def test_an_argument_changed_in_place_is_refused():
    step = fastnn.capture(lambda x: x.add_(1) * 2)
    with pytest.raises(fastnn.CaptureError, match="argument in place"):
        for _ in range(4):
            step(fastnn.ones((4, 4)))


def test_an_argument_that_becomes_a_gradient():
    w = nn.Parameter(fastnn.zeros((64, 64)))
    optimizer = fastnn.optim.SGD([w], lr=1.0)

    def step(g):
        w.grad = g
        optimizer.step()

    captured = fastnn.capture(step)
    for k in range(6):
        before = w.detach().clone()
        captured(fastnn.full((64, 64), float(k)))
        assert fastnn.equal(before - w.detach(), fastnn.full((64, 64), float(k)))


def test_arguments_that_the_step_writes_to():
    """A parameter, its gradient and a buffer given as arguments: read as they were before the step."""
    ends = []
    for wrap in (lambda f: f, fastnn.capture):
        fastnn.manual_seed(5)
        w = nn.Parameter(fastnn.randn((64, 64)))
        optimizer = fastnn.optim.SGD([w], lr=0.01)

        def step(x, old, g, w=w, optimizer=optimizer):
            loss = ((x @ w) ** 2).mean() + (old * g).sum() * 1e-3
            seen = (old + g).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss + seen

        step, x, g, losses = wrap(step), fastnn.randn((64, 64)), fastnn.zeros((64, 64)), []
        for _ in range(8):
            losses.append(float(step(x, w.detach(), g)))
            g = w.grad
        ends.append((losses, bits(w.detach())))
    assert ends[0] == ends[1]


def test_two_threads_record_one_step():
    for _ in range(10):
        step = fastnn.capture(lambda x: (x * 2).relu().sum())
        errors = []

        def work(step=step, errors=errors):
            try:
                for k in range(8):
                    assert float(step(fastnn.full((8, 8), float(k)))) == 128.0 * k
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert errors == [] and float(step(fastnn.ones((8, 8)))) == 128.0
