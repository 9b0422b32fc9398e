"""Cases of the random operations: their numbers are checked by moments, the rest by test_elementwise_random.py."""

import numpy as np

import fastnn
from cases.case import A, Case, S


def _seeded(f):
    def call(*args, **kwargs):
        fastnn.manual_seed(7)
        return f(*args, **kwargs)

    call.unseeded = f
    return call


def _check(low, high, mean, std):
    """Values in [low, high]; mean and standard deviation of large samples within five standard errors."""

    def check(args, outputs):
        x = np.asarray(outputs[0] if isinstance(outputs, (list, tuple)) else outputs, dtype=np.float64)
        assert np.isfinite(x).all() and (x >= low).all() and (x <= high).all()
        if x.size > 1000:
            assert abs(x.mean() - mean) < 5 * std / x.size**0.5
            assert abs(x.std() - std) < 5 * std / x.size**0.5

    return check


def _check_permutation(args, outputs):
    x = np.asarray(outputs[0] if isinstance(outputs, (list, tuple)) else outputs)
    np.testing.assert_array_equal(np.sort(x), np.arange(x.size))


def _sized(f, check, **kw):
    shapes = [(), (0,), (7,), (3, 0, 2), (5, 33), (2001,), (300, 701)]
    return Case(f, call=_seeded(lambda *s, **k: getattr(fastnn, f)(*s, **k)), check=check, differentiable=False,
                samples=[S(*s, **kw) for s in shapes])  # fmt: skip


def _like(f, check):
    shapes = [(), (0,), (7,), (3, 0, 2), (300, 701)]
    return Case(f, call=_seeded(lambda x: getattr(fastnn, f)(x)), check=check, differentiable=False,
                samples=[S(A(*s, grad=False)) for s in shapes])  # fmt: skip


CASES = [
    _sized("rand", _check(0, 1, 0.5, 12**-0.5)),
    _like("rand_like", _check(0, 1, 0.5, 12**-0.5)),
    _sized("randn", _check(-9, 9, 0, 1)),
    _like("randn_like", _check(-9, 9, 0, 1)),
    Case("normal", call=_seeded(lambda *a: fastnn.normal(*a)), check=_check(-20, 26, 3, 2.5), differentiable=False,
         samples=[S(3.0, 2.5, (n,)) for n in (0, 1, 5, 70001)]),
    Case("randint", call=_seeded(lambda *a: fastnn.randint(*a)), check=_check(-3, 6, 1.5, 8.25**0.5),
         differentiable=False, samples=[S(-3, 7, (n,)) for n in (0, 1, 5, 70001)]),
    Case("randperm", call=_seeded(lambda n: fastnn.randperm(n)), check=_check_permutation, differentiable=False,
         samples=[S(n) for n in (0, 1, 2, 5, 513, 70001)]),
    Case("bernoulli", call=_seeded(lambda x: fastnn.bernoulli(x)), check=_check(0, 1, 0.3, 0.21**0.5),
         differentiable=False,
         samples=[S(A(values=np.full(s, 0.3), grad=False)) for s in [(), (0,), (5, 33), (300, 701)]]),
    Case("dropout", call=_seeded(lambda x, p=0.5, training=True: fastnn.dropout(x, p, training)),
         check=lambda args, out: None,
         samples=[S(A(5, 33)), S(A(4, 9, layout="transposed"), 0.3), S(A(0, 3)), S(A(3, 4), 1.0), S(A(3, 4), 0.0),
                  S(A(3, 4), 0.5, False), S(A(300, 701), 0.2, _threads=True)]),
]  # fmt: skip
