"""Recurrent layers against PyTorch, against loops in float64, and on what they refuse."""

import numpy as np
import pytest

import fastnn
from fastnn import nn

pytestmark = pytest.mark.kernels
torch = pytest.importorskip("torch")

KINDS = {"tanh": (1, torch.nn.RNN), "relu": (1, torch.nn.RNN), "gru": (3, torch.nn.GRU), "lstm": (4, torch.nn.LSTM)}


def run(kind, x, weights, h0, c0, **options):
    """(y, h_n) or (y, h_n, c_n) of the operation."""
    if kind == "lstm":
        return fastnn.lstm(x, weights, h0, c0, **options)
    if kind == "gru":
        return fastnn.gru(x, weights, h0, **options)
    return fastnn.rnn(x, weights, h0, nonlinearity=kind, **options)


def draw(rng):
    """Sizes of a random layer: N, T, C, H, layers, directions, biases, lengths or None."""
    n, t, c, h = (int(rng.integers(1, top)) for top in (40, 12, 20, 40))
    lengths = rng.integers(1, t + 1, n) if rng.random() < 0.6 else None
    return n, t, c, h, int(rng.integers(1, 4)), int(rng.integers(1, 3)), bool(rng.integers(2)), lengths


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_against_pytorch(kind, seed, dtype):
    rng = np.random.default_rng(seed)
    n, t, c, h, layers, directions, bias, lengths = draw(rng)
    blocks, cls = KINDS[kind]
    options = {"nonlinearity": kind} if blocks == 1 else {}
    theirs = cls(c, h, layers, bias=bias, batch_first=True, bidirectional=directions == 2, **options)
    theirs = theirs.to(getattr(torch, dtype))
    arrays = [p.detach().numpy() for p in theirs.parameters()]
    weights = [fastnn.tensor(np.ascontiguousarray(a.T), dtype=dtype, requires_grad=True) for a in arrays]
    x, h0, c0 = (
        rng.standard_normal(s).astype(dtype)
        for s in ((n, t, c), (layers * directions, n, h), (layers * directions, n, h))
    )
    ours_in = [fastnn.tensor(a, dtype=dtype, requires_grad=True) for a in (x, h0, c0)]
    their_in = [torch.tensor(a, requires_grad=True) for a in (x, h0, c0)]
    ours = run(
        kind, ours_in[0], weights, ours_in[1], ours_in[2], num_layers=layers, bidirectional=directions == 2,
        lengths=None if lengths is None else fastnn.tensor(lengths),
    )  # fmt: skip
    packed = their_in[0]
    if lengths is not None:
        packed = torch.nn.utils.rnn.pack_padded_sequence(
            packed, torch.from_numpy(lengths), batch_first=True, enforce_sorted=False
        )
    y, state = theirs(packed, tuple(their_in[1:]) if kind == "lstm" else their_in[1])
    if lengths is not None:
        y = torch.nn.utils.rnn.pad_packed_sequence(y, batch_first=True, total_length=t)[0]
    expected = (y, *state) if kind == "lstm" else (y, state)
    tolerance = {"rtol": 1e-5, "atol": 1e-5} if dtype == "float32" else {"rtol": 1e-12, "atol": 1e-12}
    for a, b in zip(ours, expected, strict=True):
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), **tolerance)
    seeds = [rng.standard_normal(tuple(b.shape)).astype(dtype) for b in expected]
    sum((a * fastnn.tensor(s, dtype=dtype)).sum() for a, s in zip(ours, seeds, strict=True)).backward()
    sum((b * torch.from_numpy(s)).sum() for b, s in zip(expected, seeds, strict=True)).backward()
    used = 3 if kind == "lstm" else 2
    pairs = [(a.grad.numpy(), b.grad.numpy()) for a, b in zip(ours_in[:used], their_in, strict=False)]
    pairs += [(a.grad.numpy(), b.grad.numpy().T) for a, b in zip(weights, theirs.parameters(), strict=True)]
    for a, b in pairs:
        scale = max(1.0, float(np.abs(b).max()))
        np.testing.assert_allclose(a / scale, b / scale, **tolerance)


MODULES = [
    (nn.RNN, torch.nn.RNN, {"num_layers": 2, "bidirectional": True}),
    (nn.RNN, torch.nn.RNN, {"nonlinearity": "relu"}),
    (nn.GRU, torch.nn.GRU, {"num_layers": 2}),
    (nn.LSTM, torch.nn.LSTM, {"num_layers": 2, "bidirectional": True, "bias": False}),
    (nn.RNNCell, torch.nn.RNNCell, {}),
    (nn.GRUCell, torch.nn.GRUCell, {}),
    (nn.LSTMCell, torch.nn.LSTMCell, {}),
]


@pytest.mark.parametrize("ours, theirs, options", MODULES, ids=lambda v: getattr(v, "__name__", ""))
def test_modules_take_pytorch_weights(ours, theirs, options):
    layer = ours(3, 5, **options)
    reference = theirs(3, 5, **options, **({} if "Cell" in ours.__name__ else {"batch_first": True}))
    assert fastnn.convert.from_torch(layer, reference.state_dict()) == ([], [])
    back = fastnn.convert.to_torch(layer)
    for key, value in reference.state_dict().items():
        np.testing.assert_array_equal(back[key], value.numpy())
    x = np.random.default_rng(0).standard_normal((4, 3) if "Cell" in ours.__name__ else (4, 6, 3)).astype(np.float32)
    with fastnn.no_grad(), torch.no_grad():
        a, b = layer(fastnn.tensor(x)), reference(torch.tensor(x))
        flat = lambda o: [o] if not isinstance(o, tuple) else [v for p in o for v in flat(p)]  # noqa: E731
        for u, v in zip(flat(a), flat(b), strict=True):
            np.testing.assert_allclose(u.numpy(), v.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("cell, layer", [(nn.RNNCell, nn.RNN), (nn.GRUCell, nn.GRU), (nn.LSTMCell, nn.LSTM)])
def test_cells_step_by_step_are_the_layer(cell, layer):
    one, whole = cell(3, 5), layer(3, 5)
    whole.load_state_dict({f"{k}_l0": v for k, v in one.state_dict().items()})
    x = fastnn.randn(4, 6, 3)
    with fastnn.no_grad():
        y, state = whole(x)
        h = None
        for t in range(6):
            h = one(x[:, t], h)
            now = h[0] if isinstance(h, tuple) else h
            np.testing.assert_allclose(now.numpy(), y[:, t].numpy(), rtol=1e-5, atol=1e-6)


def test_truncated_backpropagation_carries_the_state():
    """A sequence in two pieces, the state carried on: the same outputs as in one."""
    layer, x = nn.LSTM(3, 5, 2), fastnn.randn(4, 10, 3)
    with fastnn.no_grad():
        y, (h, c) = layer(x)
        first, state = layer(x[:, :6])
        second, (h2, c2) = layer(x[:, 6:], state)
    np.testing.assert_allclose(fastnn.cat([first, second], 1).numpy(), y.numpy(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(h2.numpy(), h.numpy(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(c2.numpy(), c.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("reset", ["after", "before", "none"])
def test_padding_is_never_read(reset):
    layer, lengths = nn.GRU(3, 5, bidirectional=True, reset=reset), [2, 5]
    x = np.random.default_rng(0).standard_normal((2, 7, 3)).astype(np.float32)
    bad = x.copy()
    bad[0, 2:] = np.nan
    results = []
    for values in (x, bad):
        t = fastnn.tensor(values, requires_grad=True)
        y, h = layer(t, lengths=lengths)
        layer.zero_grad()
        (y.sum() + h.sum()).backward()
        results.append([a.detach().numpy() for a in (y, h, t.grad, *(p.grad for p in layer.parameters()))])
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)
    assert (results[0][0][0, 2:] == 0).all() and (results[0][2][0, 2:] == 0).all()


def test_dropout_between_layers_only_while_training():
    layer, x = nn.RNN(3, 64, 2, dropout=0.5), fastnn.randn(2, 4, 3)
    layer.eval()
    first, second = layer(x)[0].detach().numpy(), layer(x)[0].detach().numpy()
    np.testing.assert_array_equal(first, second)
    layer.train()
    assert (layer(x)[0].detach().numpy() != first).any()


def test_forget_bias():
    layer = nn.LSTM(3, 4, forget_bias=2.0)
    total = (layer.bias_ih_l0 + layer.bias_hh_l0).detach().numpy()
    assert (total[4:8] == 2).all() and (np.abs(total[:4]) <= 1).all()


def test_keras_gate_orders():
    rng = np.random.default_rng(0)
    k, r, b = (rng.standard_normal(s) for s in ((3, 6), (2, 6), (2, 6)))
    state = fastnn.convert.from_keras_gru(k, r, b)
    np.testing.assert_array_equal(state["weight_ih_l0"], k[:, [2, 3, 0, 1, 4, 5]])
    nn.GRU(3, 2).load_state_dict(state)
    state = fastnn.convert.from_keras_lstm(rng.standard_normal((3, 8)), rng.standard_normal((2, 8)), np.ones(8))
    nn.LSTM(3, 2).load_state_dict(state)


# --- the course's numbers ---------------------------------------------------------------------------------------------


def t64(a):
    return fastnn.tensor(a, dtype="float64")


def ones(gates, inputs=1):
    return [t64(np.ones((inputs, gates))), t64(np.ones((1, gates)))]


def test_course_rnn_forward_and_loss():
    x = t64(np.array([[[1, 0], [0, 1], [1, 1]]]))
    a, _ = fastnn.rnn(x, [t64(np.eye(2)), t64(0.5 * np.eye(2))])
    wanted = [[0.76159416, 0], [0.36339948, 0.76159416], [0.82798683, 0.88112963]]
    np.testing.assert_allclose(a.numpy()[0], wanted, atol=5e-9)
    p = 1 / (1 + np.exp(-a.numpy()[0].sum(1)))
    np.testing.assert_allclose(p, [0.68169974, 0.75491381, 0.84672165], atol=5e-9)
    np.testing.assert_allclose(-np.log([p[0], 1 - p[1], p[2]]).sum(), 1.95569458, atol=5e-9)


def test_course_gru():
    """Gamma_u is 1 - z: the weights of z are those of Gamma_u, negated."""
    x, h0 = t64([[[1.0]]]), t64([[[0.5]]])
    simple = [t64([[-1.0, 1.0]]), t64([[-1.0, 1.0]])]
    np.testing.assert_allclose(fastnn.gru(x, simple, h0, reset="none")[0].numpy(), 0.83123887, atol=5e-9)
    full = [t64([[1.0, -1.0, 1.0]]), t64([[1.0, -1.0, 1.0]])]
    np.testing.assert_allclose(fastnn.gru(x, full, h0, reset="before")[0].numpy(), 0.81659453, atol=5e-9)


def test_course_gru_keeps_its_memory():
    """Gamma_u = 1e-6 for 1000 steps keeps 0.9990005 of c."""
    z = np.log((1 - 1e-6) / 1e-6)
    weights = [t64(np.zeros((1, 2))), t64(np.zeros((1, 2))), t64([z, 0.0]), t64(np.zeros(2))]
    _, h = fastnn.gru(t64(np.zeros((1, 1000, 1))), weights, t64([[[1.0]]]), reset="none")
    np.testing.assert_allclose(h.numpy(), 0.9990005, atol=1e-7)


def test_course_lstm():
    y, _, c = fastnn.lstm(t64([[[1.0]]]), ones(4), t64([[[0.1]]]), t64([[[0.5]]]))
    np.testing.assert_allclose([y.item(), c.item()], [0.56359831, 0.97571253], atol=5e-9)


def test_course_lstm_constant_error_line():
    """Forget gate 1 and update gate 0: the cell and its gradient pass unchanged."""
    big = 40.0
    weights = [t64(np.zeros((1, 4))), t64(np.zeros((1, 4))), t64([-big, big, 0, 0]), t64(np.zeros(4))]
    c0 = t64([[[0.7]]]).requires_grad_()
    _, _, c = fastnn.lstm(t64(np.zeros((1, 300, 1))), weights, t64([[[0.0]]]), c0)
    c.sum().backward()
    np.testing.assert_allclose([c.item(), c0.grad.item()], [0.7, 1.0], rtol=1e-12)


def test_course_peepholes_are_diagonal():
    """Unit 3 of the cell state touches gates of unit 3 only."""
    rng = np.random.default_rng(0)
    weights = [t64(rng.standard_normal(s)) for s in ((2, 20), (5, 20), (15,))]
    x, h0, c0 = (rng.standard_normal(s) for s in ((1, 1, 2), (1, 1, 5), (1, 1, 5)))
    first = fastnn.lstm(t64(x), weights, t64(h0), t64(c0), peepholes=True)[0].numpy()
    c0[0, 0, 3] += 1
    changed = fastnn.lstm(t64(x), weights, t64(h0), t64(c0), peepholes=True)[0].numpy() != first
    assert changed[0, 0].tolist() == [False, False, False, True, False]


# --- what was checked stays checked -----------------------------------------------------------------------------------


def test_lengths_changed_after_use_do_not_matter():
    """The operation keeps its own copy: what backward reads was checked."""
    lengths, layer = fastnn.tensor([2, 3]), nn.LSTM(3, 4)
    y, _ = layer(fastnn.randn(2, 3, 3), lengths=lengths)
    lengths.fill_(2**40)
    y.sum().backward()
    assert all(np.isfinite(p.grad.numpy()).all() for p in layer.parameters())
