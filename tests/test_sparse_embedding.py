"""Lookups that leave gradients of rows: against dense ones and PyTorch's, in every optimiser and the Trainer."""

import numpy as np
import pytest

import fastnn
from fastnn import nn, optim
from fastnn._rows import row_gradient
from fastnn.nn.utils import clip_grad_norm_, clip_grad_value_

V, D = 50, 6
TABLE = np.random.default_rng(0).normal(size=(V, D)).astype(np.float32)
IDS = [np.array([[3, 7, 3], [9, 0, 7]]), np.array([[1, 3, 3], [3, 3, 9]]), np.array([[20, 7, 1], [0, 0, 0]])]


def table(cls=nn.Embedding, **options):
    layer = cls(V, D, **options)
    with fastnn.no_grad():
        layer.weight.copy_(fastnn.tensor(TABLE))
    return layer


def loss_of(layer, ids, *args):
    y = layer(fastnn.tensor(ids), *args)
    return (y * y * fastnn.arange(1, D + 1)).sum()


@pytest.mark.parametrize("padding_idx", [None, 3])
@pytest.mark.parametrize("lookups", [1, 3])
def test_gradient_is_that_of_the_dense_table(padding_idx, lookups):
    dense, sparse = table(padding_idx=padding_idx), table(padding_idx=padding_idx, sparse=True)
    for layer in (dense, sparse):
        sum(loss_of(layer, ids) for ids in IDS[:lookups]).backward()
        if lookups == 3:
            loss_of(layer, IDS[0]).backward()  # gradients of two backward passes add up
    assert sparse.weight.grad is None
    rows, values = row_gradient(sparse.weight)
    got = np.zeros((V, D), np.float32)
    got[rows.numpy()] = values.numpy()
    np.testing.assert_allclose(got, dense.weight.grad.numpy(), rtol=1e-6)
    assert rows.tolist() == sorted({int(i) for ids in IDS[:lookups] for i in ids.reshape(-1)})
    sparse.zero_grad()
    assert row_gradient(sparse.weight) is None


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_bags(mode):
    layers = [table(nn.EmbeddingBag, mode=mode, padding_idx=7, sparse=s) for s in (False, True)]
    outputs = []
    for layer in layers:
        loss_of(layer, IDS[0]).backward()
        loss_of(layer, IDS[0].reshape(-1), fastnn.tensor([0, 2, 5])).backward()
        outputs.append(layer(fastnn.tensor(IDS[0])).detach().numpy())
    np.testing.assert_array_equal(*outputs)
    rows, values = row_gradient(layers[1].weight)
    np.testing.assert_allclose(layers[0].weight.grad.numpy()[rows.numpy()], values.numpy(), rtol=1e-6)


def train(layer, optimizer, batches):
    for ids in batches:
        optimizer.zero_grad()
        loss_of(layer, ids).backward()
        optimizer.step()
    return layer.weight.detach().numpy().copy()


OPTIMIZERS = [
    (optim.SGD, dict(lr=0.1)), (optim.SGD, dict(lr=0.1, momentum=0.9)), (optim.Adam, dict(lr=0.1)),
    (optim.Adam, dict(lr=0.1, amsgrad=True)), (optim.AdamW, dict(lr=0.1)), (optim.RMSprop, dict(lr=0.1, momentum=0.5)),
    (optim.Adagrad, dict(lr=0.1)), (optim.Adadelta, dict()),
]  # fmt: skip


@pytest.mark.parametrize("cls, options", OPTIMIZERS, ids=lambda x: getattr(x, "__name__", str(x)))
def test_rows_that_are_always_looked_up_train_as_dense_ones(cls, options):
    """The same rows each time: every rule gives them the same bits, and leaves the others alone."""
    batches = [np.array([[3, 7, 9]]), np.array([[9, 3, 7]]), np.array([[7, 9, 3]])] * 2
    dense, sparse = table(), table(sparse=True)
    a, b = (train(m, cls(m.parameters(), **options), batches) for m in (dense, sparse))
    rows = [3, 7, 9]
    np.testing.assert_array_equal(a[rows], b[rows])
    others = np.setdiff1d(np.arange(V), rows)
    np.testing.assert_array_equal(b[others], TABLE[others])


@pytest.mark.parametrize("cls", [optim.SGD, optim.Adagrad])
def test_sgd_and_adagrad_are_dense_steps(cls):
    """A row without gradient does not move in these anyhow."""
    dense, sparse = table(), table(sparse=True)
    a, b = (train(m, cls(m.parameters(), lr=0.1), IDS * 3) for m in (dense, sparse))
    np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", ["SparseAdam", "SGD", "Adagrad"])
def test_against_pytorch_sparse(name):
    torch = pytest.importorskip("torch")
    theirs = torch.nn.Embedding(V, D, sparse=True)
    theirs.weight.data = torch.tensor(TABLE)
    their_optimizer = getattr(torch.optim, name)(theirs.parameters(), lr=0.1)
    ours = table(sparse=True)
    our_optimizer = (optim.Adam if name == "SparseAdam" else getattr(optim, name))(ours.parameters(), lr=0.1)
    for ids in IDS * 3:
        their_optimizer.zero_grad()
        y = theirs(torch.tensor(ids))
        (y * y * torch.arange(1, D + 1)).sum().backward()
        their_optimizer.step()
        our_optimizer.zero_grad()
        loss_of(ours, ids).backward()
        our_optimizer.step()
    np.testing.assert_allclose(ours.weight.detach().numpy(), theirs.weight.detach().numpy(), rtol=1e-5, atol=1e-5)


def test_lazy_adam_rests_rows():
    """A row keeps still, momentum or not, while it is not looked up."""
    layer = table(sparse=True)
    optimizer = optim.Adam(layer.parameters(), lr=0.1, weight_decay=0.1)
    first = train(layer, optimizer, [np.array([[3]])])
    second = train(layer, optimizer, [np.array([[4]])])
    np.testing.assert_array_equal(first[3], second[3])
    assert (first[4] != second[4]).all()
    assert optimizer.state[layer.weight]["step"].item() == 2


def test_state_is_saved_and_loaded():
    """Stopped half-way and taken up, to the same bits."""
    whole = table(sparse=True)
    want = train(whole, optim.Adam(whole.parameters(), lr=0.1), IDS * 2)
    half = table(sparse=True)
    optimizer = optim.Adam(half.parameters(), lr=0.1)
    train(half, optimizer, IDS)
    again = optim.Adam(half.parameters(), lr=0.5)
    again.load_state_dict(optimizer.state_dict())
    np.testing.assert_array_equal(train(half, again, IDS), want)


def test_clipping_sees_rows():
    norms, tables = [], []
    for sparse in (False, True):
        layer = table(sparse=sparse)
        fastnn.manual_seed(0)
        head = nn.Linear(D, 1)
        with fastnn.no_grad():
            head.weight.fill_(0.5)
        params = [*layer.parameters(), *head.parameters()]
        for ids in IDS[:2]:
            head(layer(fastnn.tensor(ids))).square().sum().backward()
        norms.append(clip_grad_norm_(params, 0.5).item())
        clip_grad_value_(params, 0.05)
        optim.SGD(params, lr=1.0).step()
        tables.append(layer.weight.detach().numpy())
    assert norms[0] == pytest.approx(norms[1], rel=1e-5) and norms[0] > 0.5
    np.testing.assert_allclose(*tables, rtol=1e-5, atol=1e-6)


def test_trainer_with_a_sparse_table():
    rng = np.random.default_rng(0)
    x = rng.integers(0, V, (64, 5))
    y = fastnn.tensor((x < V / 2).mean(1, keepdims=True).astype(np.float32))
    final = []
    for sparse in (False, True):
        fastnn.manual_seed(0)
        model = nn.Sequential(table(nn.EmbeddingBag, sparse=sparse), nn.Linear(D, 1))
        loader = fastnn.data.DataLoader(fastnn.data.TensorDataset(fastnn.tensor(x), y), 16)
        optimizer = optim.SGD(model.parameters(), lr=0.1)
        history = fastnn.train.Trainer(model, nn.MSELoss(), optimizer, clip_norm=1.0, progress=False).fit(
            loader, epochs=4
        )
        final.append(history["loss"])
    np.testing.assert_allclose(*final, rtol=1e-5)


def test_max_norm_renorms_the_table():
    dense, sparse = table(max_norm=1.0), table(max_norm=1.0, sparse=True)
    ys = [layer(fastnn.tensor(IDS[0])).detach().numpy() for layer in (dense, sparse)]
    np.testing.assert_array_equal(*ys)
    np.testing.assert_array_equal(dense.weight.detach().numpy(), sparse.weight.detach().numpy())


def test_edges():
    layer = table(sparse=True)
    with fastnn.no_grad():
        assert layer(fastnn.tensor(IDS[0])).shape == (2, 3, D)
    assert layer(fastnn.zeros(0, dtype=fastnn.int64)).shape == (0, D)
    for bad in ([V], [-1], [10**12]):
        with pytest.raises(IndexError, match="embedding"):
            layer(fastnn.tensor(bad))
    with pytest.raises((TypeError, IndexError), match="embedding"):
        layer(fastnn.tensor([0.5]))
    layer.weight.requires_grad = False
    assert not layer(fastnn.tensor(IDS[0])).requires_grad
    with pytest.raises(fastnn.CaptureError):
        fastnn.capture(table(sparse=True))(fastnn.tensor(IDS[0]))
    both = table(sparse=True)
    (loss_of(both, IDS[0]) + both.weight.sum()).backward()
    with pytest.raises(ValueError, match="rows as well"):
        optim.SGD(both.parameters(), lr=0.1).step()
    assert "sparse=True" in repr(layer)
