"""Random tensors: the same bits everywhere, the documented functions of Philox words, and dropout's mask."""

import numpy as np
import pytest

import fastnn


def isas():
    """Instruction sets of this machine."""
    names = ["baseline", "avx2", "avx512"] if fastnn.isa_found() != "neon" else ["neon"]
    return names[: names.index(fastnn.isa_found()) + 1]


def philox(seed, counter, offset):
    """Ten rounds of Philox4x32 in Python integers."""
    c = [counter & 0xFFFFFFFF, counter >> 32, offset & 0xFFFFFFFF, offset >> 32]
    k = [seed & 0xFFFFFFFF, seed >> 32]
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(p1 >> 32) ^ c[1] ^ k[0], p1 & 0xFFFFFFFF, (p0 >> 32) ^ c[3] ^ k[1], p0 & 0xFFFFFFFF]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return c


DRAWS = {
    "rand": lambda n: fastnn.rand(n),
    "rand64": lambda n: fastnn.rand(n, dtype=fastnn.float64),
    "randn": lambda n: fastnn.randn(n),
    "randn64": lambda n: fastnn.randn(n, dtype=fastnn.float64),
    "exponential": lambda n: fastnn.rand(n).exponential_(2.0),
    "bernoulli": lambda n: fastnn.rand(n).bernoulli_(0.3),
    "randint": lambda n: fastnn.randint(-5, 1 << 40, (n,)),
    "randperm": lambda n: fastnn.randperm(n),
    "dropout": lambda n: fastnn.dropout(fastnn.rand(n), 0.4),
}


@pytest.fixture(autouse=True)
def restore():
    """Every test leaves instruction set and threads as they were."""
    before, threads = fastnn.isa(), fastnn.get_num_threads()
    yield
    fastnn.set_isa(before)
    fastnn.set_num_threads(threads)


@pytest.mark.parametrize("name", DRAWS)
def test_same_bits_everywhere(name):
    """Any instruction set, any number of threads, and a prefix of a longer draw is the shorter draw."""
    reference = None
    for isa in isas():
        fastnn.set_isa(isa)
        for threads in (1, 2, 3, 8):
            fastnn.set_num_threads(threads)
            fastnn.manual_seed(1234567890123456789)
            got = DRAWS[name](70001).numpy()
            reference = got if reference is None else reference
            assert got.tobytes() == reference.tobytes(), f"{name} on {isa}, {threads} threads"
    if name not in ("randperm", "dropout", "exponential", "bernoulli"):
        fastnn.manual_seed(1234567890123456789)
        assert DRAWS[name](1001).numpy().tobytes() == reference[:1001].tobytes()


def test_words():
    """rand and rand64 are the documented bits of the documented words."""
    seed = 0x123456789ABCDEF0
    fastnn.manual_seed(seed)
    a, b = fastnn.rand(9).numpy(), fastnn.rand(5, dtype=fastnn.float64).numpy()
    words = [w for j in range(3) for w in philox(seed, j, 0)]
    np.testing.assert_array_equal(a, np.array([(w >> 8) * 2.0**-24 for w in words[:9]], np.float32))
    words = [w for j in range(3) for w in philox(seed, j, 1)]
    np.testing.assert_array_equal(b, [((words[2 * i] | words[2 * i + 1] << 32) >> 11) * 2.0**-53 for i in range(5)])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_normal_is_box_muller(dtype):
    """randn against Box-Muller in NumPy on the words of the same draw."""
    t = getattr(fastnn, dtype)
    fastnn.manual_seed(5)
    z = fastnn.randn(20001, dtype=t).numpy()
    fastnn.manual_seed(5)
    u = fastnn.rand(20002, dtype=t).numpy().astype(np.longdouble)
    bits = 24 if dtype == "float32" else 53
    r = np.sqrt(-2 * np.log(u[0::2] + np.longdouble(2) ** -bits))
    turn = 2 * np.pi * u[1::2]
    want = np.stack([r * np.cos(turn), r * np.sin(turn)], 1).reshape(-1)[:20001]
    np.testing.assert_allclose(z, want.astype(np.float64), rtol=0, atol=2e-6 if dtype == "float32" else 4e-15)


def test_moments():
    """Mean, variance, skewness and kurtosis of a million normals; chi-squared of integers."""
    fastnn.manual_seed(11)
    z = fastnn.randn(1 << 20).numpy().astype(np.float64)
    n = z.size
    assert abs(z.mean()) < 5 / n**0.5
    assert abs(z.var() - 1) < 5 * (2 / n) ** 0.5
    assert abs((z**3).mean()) < 5 * (15 / n) ** 0.5
    assert abs((z**4).mean() - 3) < 5 * (96 / n) ** 0.5
    counts = np.bincount(fastnn.randint(0, 10, (100000,)).numpy(), minlength=10)
    assert ((counts - 10000) ** 2 / 10000).sum() < 40
    e = fastnn.rand(1 << 18).exponential_(4.0).numpy()
    assert abs(e.mean() - 0.25) < 0.0025 and (e >= 0).all()


def test_dropout_gradient_uses_the_same_mask():
    """The mask drawn again in backward is the mask of forward, also for a transposed input; scaling is 1 / (1 - p)."""
    x = (fastnn.rand(50, 70) + 1).T.requires_grad_()
    y = fastnn.dropout(x, 0.25)
    y.sum().backward()
    kept = y.detach().numpy() != 0
    assert 0.7 < kept.mean() < 0.8
    np.testing.assert_array_equal(x.grad.numpy(), np.where(kept, np.float32(1 / 0.75), 0))
    np.testing.assert_array_equal(y.detach().numpy(), np.where(kept, x.detach().numpy() * np.float32(1 / 0.75), 0))
    assert fastnn.dropout(x, 0.25, training=False) is x
    assert not fastnn.dropout(x, 1.0).detach().numpy().any()


def test_state_is_seed_and_offset():
    """Each draw takes one offset; setting the state repeats the draw."""
    fastnn.manual_seed(3)
    fastnn.rand(2), fastnn.randn(5)
    state = fastnn.get_rng_state()
    assert tuple(state) == (3, 2)
    a = fastnn.randn(10).numpy()
    fastnn.set_rng_state(state)
    np.testing.assert_array_equal(fastnn.randn(10).numpy(), a)


@pytest.mark.parametrize(
    "call, error",
    [
        (lambda: fastnn.rand(3).uniform_(2.0, 1.0), ValueError),
        (lambda: fastnn.rand(3).normal_(0.0, -1.0), ValueError),
        (lambda: fastnn.rand(3).bernoulli_(1.5), ValueError),
        (lambda: fastnn.rand(3).exponential_(0.0), ValueError),
        (lambda: fastnn.bernoulli(fastnn.tensor([0.5, float("nan")])), ValueError),
        (lambda: fastnn.bernoulli(fastnn.tensor([1, 0])), TypeError),
        (lambda: fastnn.randint(3, 3, (2,)), ValueError),
        (lambda: fastnn.randint(0, 300, (2,), dtype=fastnn.uint8), ValueError),
        (lambda: fastnn.randperm(-1), ValueError),
        (lambda: fastnn.dropout(fastnn.rand(3), -0.1), ValueError),
        (lambda: fastnn.dropout(fastnn.rand(3), float("nan")), ValueError),
        (lambda: fastnn.dropout(fastnn.randint(0, 5, (3,)), 0.5), TypeError),
        (lambda: fastnn.rand(-1), ValueError),
    ],
)
def test_errors(call, error):
    """Parameters outside their range."""
    with pytest.raises(error):
        call()
