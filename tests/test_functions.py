"""Functions that are formulas over other operations, against NumPy and PyTorch."""

import numpy as np
import pytest

import fastnn
from fastnn.autograd import gradcheck

RNG = np.random.default_rng(7)


def t(*shape, dtype=np.float64, grad=False):
    return fastnn.tensor(
        RNG.standard_normal(shape).astype(dtype), dtype=getattr(fastnn, np.dtype(dtype).name), requires_grad=grad
    )


EQUATIONS = [
    ("ij,jk->ik", (3, 4), (4, 5)),
    ("ij,jk", (3, 4), (4, 5)),
    ("ij->ji", (3, 4)),
    ("ij->", (3, 4)),
    ("ii", (4, 4)),
    ("ii->i", (4, 4)),
    ("iji->j", (4, 3, 4)),
    ("bhtd,bhsd->bhts", (2, 3, 4, 5), (2, 3, 6, 5)),
    ("bi,ij,bj->b", (2, 3), (3, 4), (2, 4)),
    ("...ij,...jk->...ik", (2, 3, 4), (2, 4, 5)),
    ("...ij,jk->...ik", (6, 2, 3, 4), (4, 5)),
    ("...i->...", (2, 3, 4)),
    ("i,j->ij", (3,), (4,)),
    ("i,i->", (3,), (3,)),
    ("i,i->i", (3,), (3,)),
    ("ij,ij->j", (3, 4), (3, 4)),
    ("ijk,l->ikl", (2, 3, 4), (5,)),
    ("ab,bc,cd->ad", (2, 3), (3, 4), (4, 5)),
    ("ij,kj->ik", (0, 4), (3, 4)),
    ("ij,jk->ik", (2, 0), (0, 3)),
    ("bij,bjk->bik", (1, 3, 4), (5, 4, 2)),
]


@pytest.mark.parametrize("case", EQUATIONS, ids=lambda c: c[0])
def test_einsum(case):
    equation, *shapes = case
    x = [t(*s) for s in shapes]
    got = fastnn.einsum(equation, *x)
    expected = np.einsum(equation, *(v.numpy() for v in x))
    assert tuple(got.shape) == expected.shape and np.allclose(got.numpy(), expected, rtol=1e-12, atol=1e-12)


def test_einsum_gradient_and_errors():
    a, b = t(3, 4, grad=True), t(2, 4, 5, grad=True)
    assert gradcheck(lambda a, b: fastnn.einsum("ij,bjk->bik", a, b), (a, b))
    for equation, operands in [
        ("ij,jk->ik", (t(3, 4),)),
        ("ij->ik", (t(3, 4),)),
        ("i", (t(3, 4),)),
        ("ij,jk->ik", (t(3, 4), t(5, 6))),
        ("ii", (t(3, 4),)),
        ("i$->i", (t(3, 4),)),
        ("ij->ii", (t(3, 4),)),
    ]:
        with pytest.raises(ValueError, match="einsum"):
            fastnn.einsum(equation, *operands)


@pytest.mark.parametrize("dims", [0, 1, 2, ([2, 1], [0, 1]), ([-1], [0])])
def test_tensordot(dims):
    a, b = t(2, 3, 4), t(4, 3, 5) if dims != 2 else t(3, 4, 5)
    expected = np.tensordot(a.numpy(), b.numpy(), dims)
    assert np.allclose(fastnn.tensordot(a, b, dims).numpy(), expected)
    with pytest.raises((ValueError, IndexError)):
        fastnn.tensordot(a, b, ([0], [2]))
    with pytest.raises(IndexError):
        fastnn.tensordot(a, b, ([7], [0]))


def test_scaled_products():
    x, a, b, v, w = t(3, 5), t(3, 4), t(4, 5), t(4), t(5)
    n = [i.numpy() for i in (x, a, b, v, w)]
    assert np.allclose(fastnn.addmm(x, a, b, beta=0.5, alpha=2).numpy(), 0.5 * n[0] + 2 * n[1] @ n[2])
    assert np.allclose(fastnn.addmv(t(3) * 0, a, v).numpy(), n[1] @ n[3])
    assert np.allclose(fastnn.addr(t(4, 5) * 0, v, w).numpy(), np.outer(n[3], n[4]))
    p, q = t(2, 3, 4), t(2, 4, 5)
    both = p.numpy() @ q.numpy()
    assert np.allclose(fastnn.baddbmm(x, p, q).numpy(), n[0] + both)
    assert np.allclose(fastnn.addbmm(x, p, q).numpy(), n[0] + both.sum(0))
    assert np.allclose(fastnn.addmm(x * np.nan, a, b, beta=0).numpy(), n[1] @ n[2])
    with pytest.raises(ValueError, match="addmm: expected mat1 with 2 axes"):
        fastnn.addmm(x, v, b)
    m = t(3, 3)
    assert np.isclose(m.trace().item(), np.trace(m.numpy()))
    assert np.allclose(fastnn.kron(a, m).numpy(), np.kron(n[1], m.numpy()))
    c, d = t(5, 3), t(5, 3)
    assert np.allclose(fastnn.cross(c, d).numpy(), np.cross(c.numpy(), d.numpy()))
    assert np.allclose(fastnn.cdist(c, m).numpy(), np.linalg.norm(c.numpy()[:, None] - m.numpy()[None], axis=-1))
    assert np.allclose(fastnn.inner(c, m).numpy(), np.inner(c.numpy(), m.numpy()))


def test_comparisons():
    x = fastnn.tensor([1.0, np.inf, np.nan, 1.0])
    y = fastnn.tensor([1.0 + 1e-6, np.inf, np.nan, 1.1])
    assert fastnn.isclose(x, y).tolist() == [True, True, False, False]
    assert fastnn.isclose(x, y, equal_nan=True).tolist() == [True, True, True, False]
    assert not fastnn.allclose(x, y) and fastnn.allclose(x[:2], y[:2])
    assert fastnn.equal(x[:2], x[:2].clone()) and not fastnn.equal(x[:2], x[:1]) and not x.equal(x)
    assert fastnn.isclose(fastnn.tensor([10, 20]), fastnn.tensor([10, 21])).tolist() == [True, False]
    assert fastnn.isin(fastnn.tensor([[1, 2], [3, 4]]), fastnn.tensor([2, 3])).tolist() == [
        [False, True],
        [True, False],
    ]
    assert fastnn.isclose(fastnn.tensor([1, 2]), 1.5).tolist() == [False, False]
    with pytest.raises(ValueError, match="isclose"):
        fastnn.isclose(x, y, rtol=-1)


def test_parts_and_arrangements():
    x = t(5, 7)
    n = x.numpy()
    for how in (3, 10, [2, 4], [-1], []):
        got = fastnn.tensor_split(x, how, 1)
        expected = np.array_split(n, how, 1)
        assert all(np.array_equal(g.numpy(), e) for g, e in zip(got, expected, strict=True))
    for k in range(-1, 5):
        assert np.array_equal(fastnn.rot90(x, k).numpy(), np.rot90(n, k))
    assert np.allclose(fastnn.diff(x, 2).numpy(), np.diff(n, 2)) and fastnn.diff(x, 9).shape == (5, 0)
    assert np.allclose(fastnn.trapezoid(x, dx=0.5).numpy(), np.trapezoid(n, dx=0.5))
    assert np.array_equal(fastnn.diagflat(x[0], 1).numpy(), np.diagflat(n[0], 1))
    blocks = fastnn.block_diag(x, t(3), t(2, 2))
    assert (
        blocks.shape == (8, 12) and np.array_equal(blocks[:5, :7].numpy(), n) and float(blocks[:5, 7:].abs().sum()) == 0
    )
    assert fastnn.cartesian_prod(fastnn.tensor([1, 2]), fastnn.tensor([3, 4])).tolist() == [
        [1, 3],
        [1, 4],
        [2, 3],
        [2, 4],
    ]
    assert np.array_equal(fastnn.tril_indices(3, 4, 1).numpy(), np.tril_indices(3, 1, 4))
    assert fastnn.index_fill(x, 1, fastnn.tensor([0, 2]), 9.0)[:, 2].tolist() == [9.0] * 5
    assert np.array_equal(fastnn.index_copy(x, 0, fastnn.tensor([1]), x[:1] * 2)[1].numpy(), n[0] * 2)
    for bad in [(7, x[:1]), (0, x[:, :2])]:
        with pytest.raises((ValueError, IndexError), match="index_copy"):
            fastnn.index_copy(x, bad[0], fastnn.tensor([1]), bad[1])
    assert np.array_equal(x.argwhere().numpy(), np.argwhere(n))


def test_statistics():
    x = t(6, 9)
    n = x.numpy()
    s, m = fastnn.std_mean(x, 1)
    assert np.allclose(s.numpy(), n.std(1, ddof=1)) and np.allclose(m.numpy(), n.mean(1))
    assert [v.item() for v in fastnn.aminmax(x)] == [n.min(), n.max()]
    for q in (0.0, 0.3, 0.5, 1.0):
        assert np.allclose(fastnn.quantile(x, q, 1).numpy(), np.quantile(n, q, 1))
        assert np.isclose(fastnn.quantile(x, q).item(), np.quantile(n, q))
    assert fastnn.quantile(x, fastnn.tensor([0.1, 0.9]), 0).shape == (2, 9)
    assert np.array_equal(x.msort().numpy(), np.sort(n, 0))
    holes = x.masked_fill(x > 0.5, np.nan)
    assert np.allclose(fastnn.nanmean(holes, 1).numpy(), np.nanmean(holes.numpy(), 1), equal_nan=True)
    assert np.isnan(fastnn.quantile(holes, 0.5).item())
    assert fastnn.quantile(fastnn.tensor([1.0, 2.0, np.inf]), 0.5).item() == 2.0
    with pytest.raises(ValueError, match="quantile"):
        fastnn.quantile(x, 1.5)


def test_counting():
    x = fastnn.tensor([[3, 1, 3], [0, 1, 1]])
    values, inverse, counts = fastnn.unique(x, return_inverse=True, return_counts=True)
    assert values.tolist() == [0, 1, 3] and counts.tolist() == [1, 3, 2]
    assert fastnn.equal(values[inverse], x)
    assert fastnn.unique(fastnn.tensor([[1, 2], [1, 2], [0, 5]]), dim=0).tolist() == [[0, 5], [1, 2]]
    assert fastnn.bincount(x.reshape(-1), minlength=6).tolist() == [1, 3, 0, 2, 0, 0]
    assert fastnn.histc(fastnn.tensor([0.0, 1.0, 1.0, 4.0]), 4, 0, 4).tolist() == [1.0, 2.0, 0.0, 1.0]
    table = fastnn.tensor([1.0, 3.0, 5.0])
    assert fastnn.searchsorted(table, fastnn.tensor([0.0, 3.0, 9.0])).tolist() == [0, 1, 3]
    assert fastnn.bucketize(fastnn.tensor([3.0]), table, right=True).tolist() == [2]
    with pytest.raises(ValueError, match="bincount"):
        fastnn.bincount(fastnn.tensor([-1]))


def test_multinomial():
    fastnn.manual_seed(3)
    p = fastnn.tensor([[0.0, 1.0, 3.0], [5.0, 0.0, 5.0]])
    drawn = fastnn.multinomial(p, 20000, replacement=True).numpy()
    shares = [np.bincount(row, minlength=3) / 20000 for row in drawn]
    assert np.allclose(shares, [[0, 0.25, 0.75], [0.5, 0, 0.5]], atol=0.015)
    once = np.array([fastnn.multinomial(p[0], 2).numpy() for _ in range(3000)])
    assert (np.sort(once, 1) == [1, 2]).all() and abs((once[:, 0] == 2).mean() - 0.75) < 0.03
    for bad in ([-1.0, 2.0], [0.0, 0.0], [np.nan, 1.0]):
        with pytest.raises(ValueError, match="multinomial"):
            fastnn.multinomial(fastnn.tensor(bad), 1)
    with pytest.raises(ValueError, match="at least 3"):
        fastnn.multinomial(p[0], 3)


def test_other_names():
    x = t(4).abs() + 1
    assert fastnn.equal(fastnn.multiply(x, x), x * x) and fastnn.equal(x.negative(), -x)
    assert fastnn.greater(x, 1.5).tolist() == (x > 1.5).tolist()
    assert fastnn.is_tensor(x) and not fastnn.is_tensor(3) and fastnn.numel(x) == 4 and fastnn.is_floating_point(x)
    assert set(fastnn._COMPOSED) <= set(dir(fastnn))


def test_against_torch():
    torch = pytest.importorskip("torch")
    x, y = t(5, 4, 3), t(5, 4, 3)
    a, b = torch.from_numpy(x.numpy().copy()), torch.from_numpy(y.numpy().copy())
    assert np.allclose(fastnn.cdist(x, y).numpy(), torch.cdist(a, b).numpy())
    assert np.allclose(fastnn.diff(x, 1, 0).numpy(), torch.diff(a, 1, 0).numpy())
    assert np.allclose(fastnn.quantile(x, 0.2, -1, True).numpy(), torch.quantile(a, 0.2, -1, True).numpy())
    assert np.allclose(fastnn.dist(x, y, 3).item(), torch.dist(a, b, 3).item())
