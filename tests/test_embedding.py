"""Embedding tables: padding, norms, ids out of range, the same sums in the same order."""

import numpy as np
import pytest

import fastnn
from fastnn import nn
from fastnn.nn import functional as F

pytestmark = pytest.mark.kernels


def values(t):
    return t.detach().numpy()


def test_padding_row_gets_no_gradient():
    weight = fastnn.ones((4, 3)).requires_grad_()
    F.embedding(fastnn.tensor([0, 2, 2, 1]), weight, padding_idx=-2).sum().backward()
    np.testing.assert_array_equal(values(weight.grad), np.array([1, 1, 0, 0])[:, None] * np.ones(3))
    layer = nn.Embedding(4, 3, padding_idx=1)
    assert (values(layer.weight)[1] == 0).all() and (values(layer.weight)[0] != 0).all()
    assert repr(layer) == "Embedding(4, 3, padding_idx=1)"


def test_gradient_is_summed_in_order():
    """In float32, left to right: 1e8 + 1 - 1e8 is 0, which no other order gives for all of these."""
    dy = np.array([[1e8], [1], [-1e8], [5]], np.float32)
    weight = fastnn.zeros((3, 1)).requires_grad_()
    F.embedding(fastnn.tensor([1, 1, 1, 0]), weight).backward(fastnn.tensor(dy))
    assert values(weight.grad)[:, 0].tolist() == [5, 0, 0]


def test_large_table_and_empty_rows():
    """Beyond the size from which rows are streamed past the cache; rows of odd length, so none is aligned."""
    rng = np.random.default_rng(0)
    table, ids = rng.standard_normal((30001, 77)).astype(np.float32), rng.integers(0, 30001, 29000)
    weight = fastnn.tensor(table).requires_grad_()
    dy = rng.standard_normal((29000, 77)).astype(np.float32)
    y = F.embedding(fastnn.tensor(ids), weight)
    np.testing.assert_array_equal(values(y), table[ids])
    y.backward(fastnn.tensor(dy))
    wanted = np.zeros(table.shape)
    np.add.at(wanted, ids, dy.astype(np.float64))
    np.testing.assert_allclose(values(weight.grad), wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("p", [1.0, 2.0, 3.0, float("inf")])
def test_max_norm(p):
    torch = pytest.importorskip("torch")
    table = np.random.default_rng(1).standard_normal((6, 5)).astype(np.float32)
    ours, theirs = fastnn.tensor(table), torch.tensor(table)
    y = F.embedding(fastnn.tensor([3, 1, 3]), ours, max_norm=1.0, norm_type=p)
    t = torch.nn.functional.embedding(torch.tensor([3, 1, 3]), theirs, max_norm=1.0, norm_type=p)
    np.testing.assert_allclose(values(y), t.numpy(), rtol=1e-5)
    np.testing.assert_allclose(values(ours), theirs.numpy(), rtol=1e-5)
    layer = nn.Embedding(6, 5, max_norm=0.5)
    y = layer(fastnn.tensor([0, 1]))
    y.sum().backward()
    assert (np.linalg.norm(values(layer.weight)[:2], axis=1) <= 0.5).all()


def test_changed_norms_are_noticed():
    """A gradient that needs the table as it was is refused after the table was scaled."""
    weight = fastnn.ones((3, 4)).requires_grad_()
    y = (weight * weight).sum()
    F.embedding(fastnn.tensor([0]), weight, max_norm=0.5)
    with pytest.raises(RuntimeError, match="changed in place"):
        y.backward()


def test_ids_changed_before_backward():
    ids = np.array([0, 1, 2])
    weight = fastnn.ones((3, 4)).requires_grad_()
    for f in (lambda i: F.embedding(i, weight), lambda i: F.embedding_bag(i, weight, fastnn.tensor([0]))):
        ids[:] = 0, 1, 2
        y = f(fastnn.from_numpy(ids)).sum()
        ids[1] = 1 << 40  # the operation has its own copy
        weight.grad = None
        y.backward()
        assert len(np.unique(weight.grad.numpy())) == 1


def test_from_pretrained_and_bag_module():
    table = fastnn.tensor(np.arange(12, dtype=np.float32).reshape(4, 3))
    layer = nn.Embedding.from_pretrained(table)
    assert not layer.weight.requires_grad
    np.testing.assert_array_equal(values(layer(fastnn.tensor([[3], [0]]))), values(table)[[[3], [0]]])
    bags = nn.EmbeddingBag(4, 3, mode="sum")
    np.testing.assert_allclose(
        values(bags(fastnn.tensor([0, 1, 3]), fastnn.tensor([0, 2]))),
        np.stack([values(bags.weight)[:2].sum(0), values(bags.weight)[3]]), rtol=1e-6,
    )  # fmt: skip


IE, V, TE = IndexError, ValueError, TypeError


@pytest.mark.parametrize(
    "call, error, text",
    [
        (lambda i, w, o: F.embedding(i + 1, w), IE, "embedding: index"),
        (lambda i, w, o: F.embedding(i - 3, w), IE, "embedding: index"),
        (lambda i, w, o: F.embedding(i.float(), w), TE, "embedding"),
        (lambda i, w, o: F.embedding(i, w[0]), V, r"embedding: weight must be \[V, D\]"),
        (lambda i, w, o: F.embedding(i, i.reshape(3, 1)), TE, "embedding: weight must be float32"),
        (lambda i, w, o: F.embedding(i, w, 3), V, "embedding: padding_idx"),
        (lambda i, w, o: F.embedding(i, w, -4), V, "embedding: padding_idx"),
        (lambda i, w, o: F.embedding(i, w, max_norm=-1.0), V, "max_norm >= 0"),
        (lambda i, w, o: F.embedding(i, w, max_norm=1.0, norm_type=0.0), V, "norm_type > 0"),
        (lambda i, w, o: F.embedding(i + 1, w, max_norm=1.0), IE, "index"),
        (lambda i, w, o: F.embedding_bag(i, w), V, "need offsets"),
        (lambda i, w, o: F.embedding_bag(i, w, o + 1), V, "must begin with 0"),
        (lambda i, w, o: F.embedding_bag(i, w, fastnn.tensor([0, 4])), V, "must not exceed"),
        (lambda i, w, o: F.embedding_bag(i, w, fastnn.tensor([0, 2, 1])), V, "must not fall"),
        (lambda i, w, o: F.embedding_bag(i, w, fastnn.tensor([0, -1])), V, "must not fall"),
        (lambda i, w, o: F.embedding_bag(i, w, fastnn.tensor([0, 2]), include_last_offset=True), V, "last offset"),
        (lambda i, w, o: F.embedding_bag(i, w, o[:0]), V, "no bag"),
        (lambda i, w, o: F.embedding_bag(i, w, o.float()), TE, "embedding_bag"),
        (lambda i, w, o: F.embedding_bag(i.reshape(1, 3), w, o), V, "take no offsets"),
        (lambda i, w, o: F.embedding_bag(i, w, o, mode="min"), V, "mode must be"),
        (lambda i, w, o: F.embedding_bag(i, w, o, per_sample_weights=w[:, 0]), V, "mode 'sum' only"),
        (lambda i, w, o: F.embedding_bag(i, w, o, "sum", w[0]), V, "per_sample_weights expects shape"),
        (lambda i, w, o: F.embedding_bag(i + 1, w, o), IE, "embedding_bag: index"),
        (lambda i, w, o: nn.Embedding(3, 4, padding_idx=3), V, "Embedding: padding_idx"),
        (lambda i, w, o: nn.Embedding(-1, 4), V, "sizes >= 0"),
        (lambda i, w, o: nn.EmbeddingBag(3, 4, mode="prod"), V, "EmbeddingBag: mode"),
    ],
)
def test_malformed(call, error, text):
    weight = fastnn.ones((3, 4))
    with pytest.raises(error, match=text):
        call(fastnn.tensor([0, 1, 2]), weight, fastnn.tensor([0]))
    np.testing.assert_array_equal(values(weight), 1)
