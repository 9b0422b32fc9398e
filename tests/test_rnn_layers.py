"""Recurrent layers beyond the plain ones: projection, ids, Jordan, carried state, heads; with the course's numbers."""

import numpy as np
import pytest

import fastnn
from fastnn import nn
from fastnn.nn.utils.rnn import detach_state

pytestmark = pytest.mark.kernels


def t64(a, **options):
    return fastnn.tensor(np.asarray(a, np.float64), dtype="float64", **options)


def filled(layer, value=1.0):
    """All parameters at one value."""
    for p in layer.parameters():
        nn.init.constant_(p, value)
    return layer


@pytest.mark.parametrize("seed", range(8))
def test_projection_against_pytorch(seed):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(seed)
    n, t, c, h, layers, directions = (int(rng.integers(1, top)) for top in (30, 9, 12, 40, 4, 3))
    h += 1
    p, lengths = int(rng.integers(1, h)), rng.integers(1, t + 1, n)
    options = {"num_layers": layers, "bidirectional": directions == 2, "proj_size": p}
    other = torch.nn.LSTM(c, h, batch_first=True, **options).double()
    layer = nn.LSTM(c, h, dtype="float64", **options)
    assert fastnn.convert.from_torch(layer, other.state_dict()) == ([], [])
    sets = layers * directions
    arrays = [rng.standard_normal(s) for s in ((n, t, c), (sets, n, p), (sets, n, h))]
    mine = [t64(a, requires_grad=True) for a in arrays]
    theirs = [torch.tensor(a, requires_grad=True) for a in arrays]
    y, states = layer(mine[0], tuple(mine[1:]), lengths=lengths)
    rnn = torch.nn.utils.rnn
    packed = rnn.pack_padded_sequence(theirs[0], torch.from_numpy(lengths), True, enforce_sorted=False)
    z, expected = other(packed, tuple(theirs[1:]))
    z = rnn.pad_packed_sequence(z, batch_first=True, total_length=t)[0]
    a, b = (y, *states), (z, *expected)
    seeds = [rng.standard_normal(tuple(v.shape)) for v in b]
    sum((u * t64(s)).sum() for u, s in zip(a, seeds, strict=True)).backward()
    sum((v * torch.from_numpy(s)).sum() for v, s in zip(b, seeds, strict=True)).backward()
    wanted = dict(other.named_parameters())
    pairs = [(u.detach().numpy(), v.detach().numpy()) for u, v in zip(a, b, strict=True)]
    pairs += [(u.grad.numpy(), v.grad.numpy()) for u, v in zip(mine, theirs, strict=True)]
    pairs += [(q.grad.numpy(), wanted[k].grad.numpy()) for k, q in layer.named_parameters()]
    for u, v in pairs:
        np.testing.assert_allclose(u, v.T if u.shape != v.shape else v, rtol=1e-10, atol=1e-11)


LAYERS = [
    (nn.LSTM, {}),
    (nn.LSTM, {"proj_size": 3, "peepholes": True}),
    (nn.GRU, {}),
    (nn.GRU, {"reset": "before", "bias": False}),
    (nn.GRU, {"reset": "none"}),
    (nn.RNN, {}),
]


@pytest.mark.parametrize("cls, options", LAYERS, ids=lambda v: getattr(v, "__name__", str(v)))
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("lengths", [None, [3, 1, 9, 9, 2, 7, 9]])
def test_ids_are_rows_of_the_table(cls, options, bidirectional, lengths):
    """Products made once for each row of the table, against rows looked up first."""
    layer = cls(5, 37, 2, bidirectional=bidirectional, dtype="float64", **options)
    rng = np.random.default_rng(0)
    table, ids = t64(rng.standard_normal((6, 5)), requires_grad=True), fastnn.tensor(rng.integers(0, 6, (7, 9)))
    results = []
    for y in (
        layer(ids, lengths=lengths, table=table)[0],
        layer(fastnn.nn.functional.embedding(ids, table), lengths=lengths)[0],
    ):
        layer.zero_grad()
        table.grad = None
        (y * y).sum().backward()
        results.append([a.numpy() for a in (y.detach(), table.grad, *(p.grad for p in layer.parameters()))])
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-11)


def test_ids_without_a_table_are_one_hot():
    layer, ids = nn.GRU(6, 4), fastnn.tensor(np.random.default_rng(0).integers(0, 6, (3, 5)))
    hot = fastnn.nn.functional.one_hot(ids, 6).float()
    np.testing.assert_allclose(layer(ids)[0].detach().numpy(), layer(hot)[0].detach().numpy(), rtol=1e-5, atol=1e-6)
    large = fastnn.randn(100, 6)  # a table longer than the batch is looked up first
    looked_up = layer(fastnn.nn.functional.embedding(ids, large))[0].detach().numpy()
    np.testing.assert_array_equal(layer(ids, table=large)[0].detach().numpy(), looked_up)


@pytest.mark.parametrize("cls", [nn.RNN, nn.GRU, nn.LSTM])
def test_one_sequence_without_a_batch(cls):
    layer, x = cls(3, 4, 2, bidirectional=True), fastnn.randn(5, 3)
    y, state = layer(x)
    z, states = layer(x.unsqueeze(0))
    np.testing.assert_array_equal(y.detach().numpy(), z[0].detach().numpy())
    pairs = zip(state, states, strict=True) if cls is nn.LSTM else [(state, states)]
    for a, b in pairs:
        assert a.shape == (4, 4)
        np.testing.assert_array_equal(a.detach().numpy(), b[:, 0].detach().numpy())
    again, _ = layer(x, state)
    assert again.shape == y.shape


@pytest.mark.parametrize("cls", [nn.RNNCell, nn.GRUCell, nn.LSTMCell])
def test_cells_take_one_vector(cls):
    cell, x = cls(3, 4), fastnn.randn(3)
    one, many = cell(x), cell(x.unsqueeze(0))
    for a, b in zip(one, many, strict=True) if cls is nn.LSTMCell else [(one, many)]:
        assert a.shape == (4,)
        np.testing.assert_array_equal(a.detach().numpy(), b[0].detach().numpy())
    assert (cell(x, one)[0] if cls is nn.LSTMCell else cell(x, one)).shape == (4,)


def test_keras_order_of_gates_computes_the_same():
    """Keras's equations in NumPy with its blocks z, r, n and its two biases."""
    rng = np.random.default_rng(0)
    k, r, b = (rng.standard_normal(s) for s in ((3, 12), (4, 12), (2, 12)))
    layer = nn.GRU(3, 4, dtype="float64")
    layer.load_state_dict(fastnn.convert.from_keras_gru(k, r, b))
    x, h = rng.standard_normal((2, 6, 3)), np.zeros((2, 4))
    for t in range(6):
        a, u = x[:, t] @ k + b[0], h @ r + b[1]
        z, s = (1 / (1 + np.exp(-(a[:, i : i + 4] + u[:, i : i + 4]))) for i in (0, 4))
        h = z * h + (1 - z) * np.tanh(a[:, 8:] + s * u[:, 8:])
    np.testing.assert_allclose(layer(t64(x))[1][0].detach().numpy(), h, rtol=1e-12)


# --- carried state ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", [nn.RNN, nn.GRU, nn.LSTM])
def test_detached_state_ends_the_gradient(cls):
    """Truncated backpropagation: a piece's gradient is that of the piece alone, begun at the carried state."""
    layer, x = cls(3, 5, 2, dtype="float64"), fastnn.randn(4, 10, 3, dtype="float64")
    _, state = layer(x[:, :6])
    y, _ = layer(x[:, 6:], detach_state(state))
    y.sum().backward()
    carried = [p.grad.numpy() for p in layer.parameters()]
    layer.zero_grad()
    alone = tuple(s.detach().clone() for s in state) if cls is nn.LSTM else state.detach().clone()
    layer(x[:, 6:], alone)[0].sum().backward()
    for p, g in zip(layer.parameters(), carried, strict=True):
        np.testing.assert_array_equal(p.grad.numpy(), g)


def test_detach_state_keeps_the_structure():
    h = fastnn.randn(1, 2, 3).requires_grad_()
    out = detach_state([None, (h * 2, [h])])
    assert out[0] is None and isinstance(out[1], tuple) and isinstance(out[1][1], list)
    assert not out[1][0].requires_grad and not out[1][1][0].requires_grad


def test_resuming_with_a_carried_state_is_bit_identical():
    """Stop between two pieces of a sequence, save, load, go on."""
    x = fastnn.randn(3, 12, 2)

    def train(layer, optimizer, state, pieces):
        for k in pieces:
            y, state = layer(x[:, 3 * k : 3 * k + 3], detach_state(state))
            optimizer.zero_grad()
            (y * y).sum().backward()
            optimizer.step()
        return detach_state(state)

    def fresh(values=None):
        layer = nn.LSTM(2, 4)
        layer.load_state_dict(start if values is None else values)
        return layer, fastnn.optim.SGD(layer.parameters(), lr=0.1, momentum=0.9)

    start = {k: v.clone() for k, v in nn.LSTM(2, 4).state_dict().items()}
    whole, optimizer = fresh()
    end = train(whole, optimizer, None, range(4))
    first, optimizer = fresh()
    state = train(first, optimizer, None, range(2))
    kept = {k: v.numpy().copy() for k, v in first.state_dict().items()}, [s.numpy().copy() for s in state]
    second, resumed = fresh({k: fastnn.from_numpy(v) for k, v in kept[0].items()})
    resumed.load_state_dict(optimizer.state_dict())
    last = train(second, resumed, tuple(fastnn.from_numpy(s) for s in kept[1]), range(2, 4))
    for a, b in zip((*end, *whole.parameters()), (*last, *second.parameters()), strict=True):
        np.testing.assert_array_equal(a.detach().numpy(), b.detach().numpy())


# --- Jordan, heads, the course's numbers ------------------------------------------------------------------------------

INPUTS = [[[1.0, 1], [1, 1], [2, 2]]]


@pytest.mark.parametrize(
    "order, expected", [((0, 1, 2), (4, 12, 32)), ((0, 2, 1), (4, 16, 36)), ((2, 0, 1), (8, 20, 44))]
)
def test_course_all_ones_elman(order, expected):
    """Two inputs, two units, two outputs, all weights 1: the order of the inputs changes the outputs."""
    layer, head = filled(nn.Elman(2, 2, nonlinearity="relu", bias=False)), filled(nn.Linear(2, 2, bias=False))
    y = head(layer(fastnn.tensor(INPUTS)[:, list(order)])[0])
    assert y.tolist() == [[[v, v] for v in expected]]


def test_course_all_ones_jordan():
    layer = filled(nn.Jordan(2, 2, 2, "relu", bias=False))
    y, last = layer(fastnn.tensor(INPUTS))
    assert y.tolist() == [[[4, 4], [20, 20], [88, 88]]] and last.tolist() == [[88, 88]]


def test_course_all_ones_both_ways():
    layer = filled(nn.RNN(2, 2, nonlinearity="relu", bias=False, bidirectional=True))
    y = layer(fastnn.tensor(INPUTS))[0].sum(-1)
    assert y.tolist() == [[48, 32, 40]]


def test_jordan_against_loops_and_differences():
    """Values by hand, gradients by differences, rows of different lengths; NaN in the padding is never read."""
    rng = np.random.default_rng(0)
    layer = nn.Jordan(3, 4, 2, "tanh", "softmax", dtype="float64")
    w = {k: v.numpy() for k, v in layer.state_dict().items()}
    x, lengths = rng.standard_normal((3, 5, 3)), [5, 2, 3]
    bad = x.copy()
    bad[1, 2:] = np.nan
    y, last = layer(t64(bad), lengths=lengths)
    for n, length in enumerate(lengths):
        out = np.zeros(2)
        for t in range(length):
            h = np.tanh(x[n, t] @ w["weight_ih"] + w["bias_ih"] + out @ w["weight_yh"])
            a = h @ w["weight_hy"] + w["bias_hy"]
            out = np.exp(a) / np.exp(a).sum()
            np.testing.assert_allclose(y[n, t].detach().numpy(), out, rtol=1e-12)
        np.testing.assert_allclose(last[n].detach().numpy(), out, rtol=1e-12)
        assert not y[n, length:].detach().numpy().any()
    fastnn.autograd.gradcheck(lambda x: layer(x, lengths=lengths)[0], t64(x, requires_grad=True))


def test_course_lstm_backward_by_its_formulas():
    """The notes' formulas with their parentheses, against the tape."""
    rng = np.random.default_rng(0)
    w_x, w_h = rng.standard_normal((3, 8)), rng.standard_normal((2, 8))
    x, a0, c0 = rng.standard_normal((1, 3)), rng.standard_normal((1, 2)), rng.standard_normal((1, 2))
    da, dc = rng.standard_normal((1, 2)), rng.standard_normal((1, 2))
    leaves = [t64(v, requires_grad=True) for v in (x[None], w_x, w_h, a0[None], c0[None])]
    _, h, c = fastnn.lstm(leaves[0], leaves[1:3], leaves[3], leaves[4])
    ((h * t64(da[None])).sum() + (c * t64(dc[None])).sum()).backward()
    s = x @ w_x + a0 @ w_h
    u, f, o = (1 / (1 + np.exp(-s[:, i : i + 2])) for i in (0, 2, 6))
    g = np.tanh(s[:, 4:6])
    new = u * g + f * c0
    k = dc + o * (1 - np.tanh(new) ** 2) * da
    gates = [k * g * u * (1 - u), k * c0 * f * (1 - f), k * u * (1 - g**2), da * np.tanh(new) * o * (1 - o)]
    d = np.concatenate(gates, 1)
    for leaf, expected in zip(leaves, (d @ w_x.T, x.T @ d, a0.T @ d, d @ w_h.T, k * f), strict=True):
        np.testing.assert_allclose(leaf.grad.numpy().reshape(expected.shape), expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("cls, gates", [(nn.RNN, 1), (nn.GRU, 3), (nn.LSTM, 4)])
def test_course_number_of_parameters(cls, gates):
    """G (h (h + x) + h), with one bias."""
    layer = cls(7, 5)
    assert sum(p.numel() for k, p in layer.named_parameters() if not k.startswith("bias_hh")) == gates * (5 * 12 + 5)


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_same_bits_on_any_number_of_threads(kind):
    """Sizes whose rows and blocks of steps do not divide evenly."""
    rng = np.random.default_rng(0)
    gates = {"lstm": 4, "gru": 3}[kind]
    arrays = [rng.standard_normal(s).astype(np.float32) * 0.2 for s in ((29, gates * 70), (70, gates * 70))]
    x = rng.standard_normal((45, 31, 29)).astype(np.float32)
    before, results = fastnn.get_num_threads(), []
    try:
        for threads in (1, 2, 3, 8):
            fastnn.set_num_threads(threads)
            leaves = [fastnn.tensor(a, requires_grad=True) for a in (x, *arrays)]
            y = getattr(fastnn, kind)(leaves[0], leaves[1:])[0]
            (y * y).sum().backward()
            results.append([y.detach().numpy(), *(t.grad.numpy() for t in leaves)])
    finally:
        fastnn.set_num_threads(before)
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(a, b)
