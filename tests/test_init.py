"""Initialisers: the variances the formulas promise, fans of the [in, out] layout, and the course's values."""

import math

import numpy as np
import pytest

import fastnn
from fastnn.nn import init


def drawn(fn, *shape, **settings):
    fastnn.manual_seed(0)
    return fn(fastnn.empty(shape), **settings).numpy()


@pytest.mark.parametrize(
    "fn,settings,std",
    [
        (init.normal_, {}, 0.01),  # the course's default
        (init.normal_, dict(std=2.0), 2.0),
        (init.uniform_, dict(a=-1.0, b=1.0), math.sqrt(1 / 3)),
        (init.xavier_normal_, {}, math.sqrt(2 / (500 + 700))),
        (init.xavier_uniform_, dict(gain=2.0), 2 * math.sqrt(2 / (500 + 700))),
        (init.kaiming_normal_, {}, math.sqrt(2 / 500)),
        (init.kaiming_uniform_, {}, math.sqrt(2 / 500)),
        (init.kaiming_normal_, dict(mode="fan_out"), math.sqrt(2 / 700)),
        (init.kaiming_normal_, dict(nonlinearity="tanh"), 5 / 3 / math.sqrt(500)),
        (init.lecun_normal_, {}, math.sqrt(1 / 500)),
        (init.lecun_uniform_, {}, math.sqrt(1 / 500)),
    ],
)
def test_standard_deviation(fn, settings, std):
    w = drawn(fn, 500, 700, **settings)
    assert w.std() == pytest.approx(std, rel=0.01)
    assert abs(w.mean()) < 4 * std / math.sqrt(w.size)


def test_course_values():
    # a neuron with 4 inputs: 1/sqrt(4), He sqrt(2/4); Glorot with 4 in and 3 out sqrt(2/7)
    assert init.calculate_gain("relu") / math.sqrt(4) == pytest.approx(0.7071, abs=1e-4)
    assert 1 / math.sqrt(4) == 0.5
    assert math.sqrt(2 / 7) == pytest.approx(0.5345, abs=1e-4)


def test_fans_of_kernels_count_the_window():
    w = drawn(init.kaiming_normal_, 3, 3, 64, 128)
    assert w.std() == pytest.approx(math.sqrt(2 / (9 * 64)), rel=0.01)


def test_uniform_stays_in_its_range():
    w = drawn(init.uniform_, 100, 100, a=-0.25, b=0.75)
    assert w.min() >= -0.25 and w.max() < 0.75
    bound = math.sqrt(6 / 200)
    w = drawn(init.xavier_uniform_, 100, 100)
    assert np.abs(w).max() <= bound


def test_constants():
    w = fastnn.empty((3, 4))
    assert (init.zeros_(w).numpy() == 0).all()
    assert (init.ones_(w).numpy() == 1).all()
    assert (init.constant_(w, 0.5).numpy() == 0.5).all()
    np.testing.assert_array_equal(init.eye_(w).numpy(), np.eye(3, 4))


@pytest.mark.parametrize("shape", [(30, 20), (20, 30), (3, 3, 4, 8), (1, 5), (5, 1), (0, 3)])
def test_orthogonal(shape):
    w = drawn(init.orthogonal_, *shape, gain=2.0).reshape(-1, shape[-1]).astype(np.float64)
    product = w.T @ w if w.shape[0] >= w.shape[1] else w @ w.T
    if w.size:
        np.testing.assert_allclose(product, 4 * np.eye(len(product)), atol=1e-5)


def test_trunc_normal():
    w = drawn(init.trunc_normal_, 400, 500, std=1.0, a=-1.0, b=1.0)
    assert w.min() >= -1 and w.max() <= 1
    assert w.std() == pytest.approx(0.5396, rel=0.01)  # of the normal distribution cut at one deviation
    w = drawn(init.trunc_normal_, 400, 500, mean=5.0, std=0.1, a=4.0, b=6.0)
    assert w.mean() == pytest.approx(5, abs=1e-3) and w.std() == pytest.approx(0.1, rel=0.01)


def test_sparse():
    w = drawn(init.sparse_, 40, 50, sparsity=0.25, std=1.0)
    assert ((w == 0).sum(axis=0) == 10).all()


def test_same_seed_same_numbers_and_dtype():
    for dtype in (fastnn.float32, fastnn.float64):
        fastnn.manual_seed(3)
        a = init.kaiming_normal_(fastnn.empty((5, 6), dtype=dtype))
        fastnn.manual_seed(3)
        b = init.kaiming_normal_(fastnn.empty((5, 6), dtype=dtype))
        assert a.dtype == dtype
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_parameters_are_filled_outside_autograd():
    p = fastnn.nn.Parameter(fastnn.zeros((4, 4)))
    assert init.normal_(p) is p
    assert p.is_leaf and p.requires_grad and p.grad_fn is None
    assert (p.detach().numpy() != 0).any()


def test_signal_keeps_its_size_with_he_and_not_with_small_weights():
    # fifty ReLU layers of 200 units: He keeps the variance of order 1, 0.01 loses it
    def last(initialise):
        fastnn.manual_seed(0)
        x = fastnn.randn((100, 200))
        for _ in range(50):
            x = (x @ initialise(fastnn.empty((200, 200)))).relu()
        return float(x.numpy().astype(np.float64).std())

    assert 0.05 < last(init.kaiming_normal_) < 20
    assert last(init.normal_) < 1e-30


def test_zero_start_keeps_hidden_units_equal():
    # all hidden units get the same gradient for ever; with random weights they differ
    from fastnn import nn, optim

    x = fastnn.tensor([[1.0, 0.5], [-1.0, 2.0], [0.3, -0.7]])
    y = fastnn.tensor([[1.0], [0.0], [1.0]])
    for start, equal in ((0.5, True), (None, False)):
        fastnn.manual_seed(1)
        model = nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 1))
        if start is not None:
            for p in model.parameters():
                init.constant_(p, start)
        opt = optim.SGD(model.parameters(), lr=0.1)
        for _ in range(50):
            opt.zero_grad()
            nn.functional.binary_cross_entropy_with_logits(model(x), y).backward()
            opt.step()
        w = model[0].weight.detach().numpy()
        assert np.array_equal(w[:, 0], w[:, 1]) == equal


def test_wrong_arguments():
    vector, matrix = fastnn.empty((3,)), fastnn.empty((3, 3))
    cases = [
        (lambda: init.xavier_uniform_(vector), "two or more dimensions"),
        (lambda: init.kaiming_normal_(vector), "two or more dimensions"),
        (lambda: init.kaiming_normal_(matrix, mode="fan"), "fan_in"),
        (lambda: init.calculate_gain("swish"), "swish"),
        (lambda: init.normal_(matrix, std=-1), "std"),
        (lambda: init.uniform_(matrix, 1, 0), "a <= b"),
        (lambda: init.trunc_normal_(matrix, a=1, b=0), "a < b"),
        (lambda: init.eye_(vector), "matrix"),
        (lambda: init.sparse_(matrix, 1.5), "sparsity"),
    ]
    for call, text in cases:
        with pytest.raises(ValueError, match=text):
            call()
