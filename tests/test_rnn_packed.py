"""Packed and padded sequences against PyTorch's, and the layers that take them."""

import numpy as np
import pytest

import fastnn
from fastnn import nn
from fastnn.nn.utils import rnn as ours

pytestmark = pytest.mark.kernels
torch = pytest.importorskip("torch")
theirs = torch.nn.utils.rnn

LENGTHS = [3, 7, 1, 7, 4]
X = np.random.default_rng(0).standard_normal((5, 7, 3)).astype(np.float32)


def same(a, b):
    for u, v in zip(a, b, strict=True):
        assert (u is None) == (v is None)
        if u is not None:
            np.testing.assert_array_equal(u.numpy(), v.numpy())


@pytest.mark.parametrize("lengths", [LENGTHS, [7, 6, 3, 3, 1], [1] * 5])
def test_pack_and_pad_are_pytorchs(lengths):
    ordered = sorted(lengths, reverse=True) == lengths
    a = ours.pack_padded_sequence(fastnn.tensor(X), lengths, enforce_sorted=ordered)
    b = theirs.pack_padded_sequence(torch.tensor(X), torch.tensor(lengths), True, enforce_sorted=ordered)
    same(a, b)
    for options in ({}, {"padding_value": -1.5, "total_length": 9}):
        p, n = ours.pad_packed_sequence(a, **options)
        q, m = theirs.pad_packed_sequence(b, batch_first=True, **options)
        same((p, n), (q, m))
    assert a.lengths.tolist() == lengths


def test_time_first_and_lists():
    rows = [X[i, :n] for i, n in enumerate(LENGTHS)]
    mine, other = [fastnn.tensor(r) for r in rows], [torch.tensor(r) for r in rows]
    same([ours.pad_sequence(mine)], [theirs.pad_sequence(other, batch_first=True)])
    same([ours.pad_sequence(mine, False, 2.0)], [theirs.pad_sequence(other, False, 2.0)])
    same([ours.pad_sequence(mine, padding_side="left")], [theirs.pad_sequence(other, True, padding_side="left")])
    same(ours.pack_sequence(mine, False), theirs.pack_sequence(other, False))
    same(ours.unpack_sequence(ours.pack_sequence(mine, False)), other)
    turned = np.ascontiguousarray(X.swapaxes(0, 1))
    a = ours.pack_padded_sequence(fastnn.tensor(turned), LENGTHS, False, False)
    b = theirs.pack_padded_sequence(torch.tensor(turned), torch.tensor(LENGTHS), False, False)
    same(a, b)
    same(ours.pad_packed_sequence(a, False), theirs.pad_packed_sequence(b))
    padded = ours.pad_sequence(mine, False)
    same(ours.unpad_sequence(padded, fastnn.tensor(LENGTHS), False), other)


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
@pytest.mark.parametrize("ordered", [False, True])
def test_layers_take_packed_sequences(kind, ordered):
    """Values, states in the order of the batch, gradients of x and of the weights."""
    lengths = sorted(LENGTHS, reverse=True) if ordered else LENGTHS
    layer = getattr(nn, kind)(3, 4, 2, bidirectional=True)
    other = getattr(torch.nn, kind)(3, 4, 2, batch_first=True, bidirectional=True)
    other.load_state_dict({k: torch.from_numpy(v) for k, v in fastnn.convert.to_torch(layer).items()})
    x, z = fastnn.tensor(X, requires_grad=True), torch.tensor(X, requires_grad=True)
    a, state = layer(ours.pack_padded_sequence(x, lengths, enforce_sorted=ordered))
    b, expected = other(theirs.pack_padded_sequence(z, torch.tensor(lengths), True, ordered))
    same(a[1:], b[1:])
    np.testing.assert_allclose(a.data.detach().numpy(), b.data.detach().numpy(), rtol=1e-5, atol=1e-6)
    pairs = zip(state, expected, strict=True) if kind == "LSTM" else [(state, expected)]
    for u, v in pairs:
        np.testing.assert_allclose(u.detach().numpy(), v.detach().numpy(), rtol=1e-5, atol=1e-6)
    seed = np.random.default_rng(1).standard_normal(tuple(b.data.shape)).astype(np.float32)
    (a.data * fastnn.tensor(seed)).sum().backward()
    (b.data * torch.tensor(seed)).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), z.grad.numpy(), rtol=1e-5, atol=1e-5)
    wanted = dict(other.named_parameters())
    for name, p in layer.named_parameters():
        g = wanted[name].grad.numpy()
        np.testing.assert_allclose(p.grad.numpy(), g.T if g.ndim == 2 else g, rtol=1e-4, atol=1e-5)


def test_gradients_of_packing():
    x = fastnn.tensor(X.astype(np.float64), dtype="float64", requires_grad=True)

    def there_and_back(x):
        return ours.pad_packed_sequence(ours.pack_padded_sequence(x, LENGTHS, enforce_sorted=False))[0]

    (there_and_back(x) * 2).sum().backward()
    valid = np.arange(7)[None, :] < np.array(LENGTHS)[:, None]
    np.testing.assert_array_equal(x.grad.numpy(), np.broadcast_to(2.0 * valid[..., None], X.shape))


def test_lengths_are_read_once():
    """A packed sequence keeps numbers of its own."""
    lengths = fastnn.tensor([7, 5, 3, 2, 1])
    packed = ours.pack_padded_sequence(fastnn.tensor(X), lengths)
    lengths.fill_(99)
    assert packed.lengths.tolist() == [7, 5, 3, 2, 1]
    assert "batch_sizes=[5, 4, 3, 2, 2, 1, 1]" in repr(packed)
