"""Training on a CUDA device (or in the emulator): whole steps, optimisers and trainers agree with the CPU."""

import copy

import numpy as np
import pytest

import fastnn
import fastnn.nn.functional as F
from fastnn import nn, optim
from fastnn.data import DataLoader, TensorDataset
from fastnn.optim import WeightAverage
from fastnn.train import AverageWeights, EarlyStopping, Trainer

pytestmark = pytest.mark.device
GPU = "cuda:0"


def images(n=12, classes=3, size=8):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, size, size, 1)).astype(np.float32)
    return x, rng.integers(0, classes, n)


def mlp():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 12), nn.Tanh(), nn.Linear(12, 3))


def conv():
    # No bias under the normalisation: its gradient is 0 but for rounding, which Adam would make steps of.
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 6, 3),
        nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Dropout(0.3), nn.Linear(6, 3),
    )  # fmt: skip


class Reader(nn.Module):
    """A recurrent layer over the rows of the image, its last state classified."""

    def __init__(self, layer, **options):
        super().__init__()
        self.layer = layer(8, 5, **options)
        self.head = nn.Linear(self.layer.hidden_size, 3)

    def forward(self, x):
        _, state = self.layer(x.reshape(x.shape[0], 8, 8), lengths=self.lengths(x.shape[0]))
        h = state[0] if isinstance(state, tuple) else state
        return self.head(h[-1])

    def lengths(self, n):
        return [1 + i % 8 for i in range(n)]


MODELS = {
    "mlp": mlp,
    "conv": conv,
    "lstm": lambda: Reader(nn.LSTM, num_layers=2, dropout=0.2),
    "lstm both ways": lambda: Reader(nn.LSTM, bidirectional=True),
    "gru": lambda: Reader(nn.GRU),
    "gru before": lambda: Reader(nn.GRU, reset="before"),
    "rnn": lambda: Reader(nn.RNN),
}


def losses(build, device, steps=4, make=lambda p: optim.Adam(p, lr=0.02)):
    fastnn.manual_seed(3)
    model = build().to(device)
    optimizer = make(model.parameters())
    x, y = (fastnn.tensor(a).to(device) for a in images())
    out = []
    for _ in range(steps):
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
        out.append(loss.item())
    assert all(p.device == device and p.grad.device == device for p in model.parameters())
    return out, model


@pytest.mark.parametrize("name", MODELS)
def test_steps(name):
    """The losses of some steps with clipping are those of the CPU, dropout included; so are the buffers."""
    wanted, on_cpu = losses(MODELS[name], "cpu")
    got, on_device = losses(MODELS[name], GPU)
    np.testing.assert_allclose(got, wanted, rtol=1e-4)
    for a, b in zip(on_cpu.buffers(), on_device.buffers()):
        assert b.device == GPU
        np.testing.assert_allclose(b.cpu().numpy(), a.numpy(), rtol=1e-4, atol=1e-5)
    again, _ = losses(MODELS[name], GPU)
    assert again == got


OPTIMIZERS = [
    ("SGD", dict(lr=0.1)),
    ("SGD", dict(lr=0.1, momentum=0.9, weight_decay=0.01)),
    ("SGD", dict(lr=0.1, momentum=0.9, nesterov=True)),
    ("SGD", dict(lr=0.1, momentum=0.5, dampening=0.3, maximize=True)),
    ("RMSprop", dict(lr=0.01)),
    ("RMSprop", dict(lr=0.01, centered=True, momentum=0.9)),
    ("Adam", dict(lr=0.01, weight_decay=0.1)),
    ("Adam", dict(lr=0.01, amsgrad=True, maximize=True)),
    ("AdamW", dict(lr=0.01)),
    ("Adagrad", dict(lr=0.1, lr_decay=0.1)),
    ("Adadelta", dict(lr=1.0)),
]


def parameters(dtype, device):
    """More than one launch holds, of sizes around the vectors and blocks of the kernel; views that are not aligned or
    not row-major; an empty one."""
    rng = np.random.default_rng(1)
    shapes = [(n,) for n in (*range(1, 70), 4095, 4097, 9001)] + [(0,), (3, 5)]
    make = lambda s: fastnn.tensor(rng.normal(size=s), dtype=dtype).to(device)  # noqa: E731
    found = [make(s) for s in shapes]
    found.append(make((8, 6)).t())
    found.append(make((33,))[1:])
    grads = [[make(tuple(p.shape)) for p in found] for _ in range(3)]
    return [p.detach().requires_grad_() for p in found], grads


@pytest.mark.parametrize("dtype", [fastnn.float32, fastnn.float64], ids=str)
@pytest.mark.parametrize("name, settings", OPTIMIZERS, ids=[f"{n}-{i}" for i, (n, _) in enumerate(OPTIMIZERS)])
def test_optimizers(name, settings, dtype):
    results = []
    for device in ("cpu", GPU):
        params, grads = parameters(dtype, device)
        optimizer = getattr(optim, name)(params, **settings)
        for k, step in enumerate(grads):
            optimizer.param_groups[0]["lr"] = settings["lr"] / (k + 1)
            for p, g in zip(params, step):
                p.grad = g
            optimizer.step()
        state = [t for p in params for t in optimizer.state.get(p, {}).values()]
        assert all(t.device == device for t in state)
        results.append([t.detach().cpu().numpy() for t in [*params, *state]])
    tol = dict(rtol=2e-5, atol=1e-6) if dtype == fastnn.float32 else dict(rtol=1e-11, atol=1e-12)
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(b, a, **tol)


@pytest.mark.parametrize("p", [1.0, 2.0, 3.0, float("inf")])
def test_norm_of_gradients(p):
    """The joint norm of many gradients; NaN comes through."""
    params, grads = parameters(fastnn.float32, "cpu")
    for clip in (1.0, 1e6):
        norms, clipped = [], []
        for device in ("cpu", GPU):
            for q, g in zip(params, grads[0]):
                q.data = q.detach().to(device)
                q.grad = g.to(device).clone()
            norms.append(nn.utils.clip_grad_norm_(params, clip, p).item())
            clipped.append([q.grad.cpu().numpy().copy() for q in params])
            params[3].grad[1] = float("nan")
            assert np.isnan(nn.utils.clip_grad_norm_(params, clip, p).item())
        np.testing.assert_allclose(norms[1], norms[0], rtol=1e-6)
        for a, b in zip(*clipped):
            np.testing.assert_allclose(b, a, rtol=2e-6)


def test_rows_of_a_table():
    """Embedding(sparse=True): the rows that were looked up change, where the table is."""
    results = []
    for device in ("cpu", GPU):
        fastnn.manual_seed(0)
        table = nn.Embedding(20, 4, sparse=True).to(device)
        optimizer = optim.Adam(table.parameters(), lr=0.1)
        for ids in ([1, 5, 5], [2, 5, 19]):
            ids = fastnn.tensor(ids).to(device)
            optimizer.zero_grad()
            (table(ids) * table(ids + 0)).sum().backward()
            optimizer.step()
        results.append(table.weight.detach().cpu().numpy())
    np.testing.assert_allclose(results[1], results[0], rtol=1e-5, atol=1e-6)


def test_state_follows():
    """A model moved in the middle of a run, and again: the optimiser's state and averages go with it."""
    wanted, _ = losses(mlp, "cpu", 6)
    fastnn.manual_seed(3)
    model = mlp()
    optimizer = optim.Adam(model.parameters(), lr=0.02)
    average = WeightAverage(model, 0.5)
    x, y = (fastnn.tensor(a) for a in images())
    got = []
    for step, device in enumerate(("cpu", GPU, GPU, "cpu", GPU, "cpu")):
        model.to(device)
        loss = F.cross_entropy(model(x.to(device)), y.to(device))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
        average.update()
        got.append(loss.item())
        for p in model.parameters():
            assert {str(t.device) for t in optimizer.state[p].values()} == {device}
            assert optimizer.state[p]["step"].item() == step + 1
        assert all(t.device == device for t in average.weights().values())
    np.testing.assert_allclose(got, wanted, rtol=1e-4)


def test_parameters_on_two_devices():
    """One optimiser may hold parameters of several devices."""
    a, b = fastnn.ones(3, requires_grad=True), fastnn.ones(3, device=GPU, requires_grad=True)
    optimizer = optim.AdamW([a, b], lr=0.1)
    for _ in range(2):
        a.grad, b.grad = fastnn.ones(3), fastnn.ones(3, device=GPU)
        optimizer.step()
    np.testing.assert_allclose(b.detach().cpu().numpy(), a.detach().numpy(), rtol=1e-6)


def test_gradient_elsewhere():
    """A gradient on another device is refused where it is given, and nothing changes."""
    p = fastnn.ones(3, device=GPU, requires_grad=True)
    optimizer = optim.SGD([p], lr=0.1, momentum=0.9)
    with pytest.raises(fastnn.DeviceError, match="cuda:0"):
        p.grad = fastnn.ones(3)
    optimizer.step()
    assert p.grad is None and p.detach().cpu().tolist() == [1, 1, 1]


@pytest.mark.parametrize("first, then", [("cpu", GPU), (GPU, "cpu")])
def test_saved_here_loaded_there(tmp_path, first, then):
    """State of models and optimisers from a file goes to where the model is."""
    _, model = losses(conv, first, 2)
    optimizer = optim.RMSprop(model.parameters(), lr=0.01, momentum=0.9)
    x, y = images()

    def step(model, optimizer, device):
        model.eval()
        loss = F.cross_entropy(model(fastnn.tensor(x).to(device)), fastnn.tensor(y).to(device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    step(model, optimizer, first)
    fastnn.save(
        {"model": dict(model.state_dict()), "optimizer": optimizer.state_dict()}, tmp_path / "state.safetensors"
    )
    twin = conv().to(then)
    loaded = fastnn.load(tmp_path / "state.safetensors")
    other = optim.RMSprop(twin.parameters(), lr=0.5)
    other.param_groups[0]["momentum"] = 0.9
    twin.load_state_dict(loaded["model"])
    other.load_state_dict(loaded["optimizer"])
    assert all(t.device == then for t in [*twin.parameters(), *twin.buffers()])
    for _ in range(3):
        np.testing.assert_allclose(step(twin, other, then), step(model, optimizer, first), rtol=1e-4)


def data(batch_size=4):
    x, y = images()
    return DataLoader(TensorDataset(x, y), batch_size=batch_size, shuffle=True, seed=1)


def trained(device, epochs=2, build=conv, **options):
    fastnn.manual_seed(5)
    model = build()
    loss = nn.CrossEntropyLoss(weight=fastnn.tensor([1.0, 2.0, 0.5]))
    trainer = Trainer(model, loss, optim.Adam(model.parameters(), lr=0.01), metrics=["accuracy"], clip_norm=1.0,
                      progress=False, record_steps=True, device=device, **options)  # fmt: skip
    trainer.fit(data(), data(), epochs=epochs)
    return trainer


def test_trainer():
    """Trainer(device=...): batches and loss follow the model; captured, the same bits as eager."""
    wanted = trained("cpu")
    eager = trained(GPU, capture=False)
    captured = trained(GPU, capture=True)
    assert all(t.device == GPU for t in [*eager.model.parameters(), *eager.model.buffers()])
    np.testing.assert_allclose(eager.history.step_losses, wanted.history.step_losses, rtol=1e-4)
    assert eager.history["val_accuracy"] == wanted.history["val_accuracy"]
    assert captured.history.step_losses == eager.history.step_losses
    for a, b in zip(eager.model.parameters(), captured.model.parameters()):
        assert np.array_equal(a.detach().cpu().numpy(), b.detach().cpu().numpy())
    np.testing.assert_allclose(eager.predict(data()), wanted.predict(data()), rtol=1e-3, atol=1e-4)


def test_trainer_resumes_elsewhere(tmp_path):
    """A checkpoint of one device goes on on another."""
    wanted = trained("cpu", 3, mlp)
    path = tmp_path / "run.safetensors"
    trained(GPU, 1, mlp, checkpoint=path)
    fastnn.manual_seed(9)
    model = mlp()
    loss = nn.CrossEntropyLoss(weight=fastnn.tensor([1.0, 2.0, 0.5]))
    trainer = Trainer(model, loss, optim.Adam(model.parameters(), lr=0.5), metrics=["accuracy"], clip_norm=1.0,
                      progress=False, record_steps=True)  # fmt: skip
    trainer.fit(data(), data(), epochs=3, resume=path)
    np.testing.assert_allclose(trainer.history.step_losses, wanted.history.step_losses, rtol=1e-4)


def test_trainer_callbacks():
    """Averages of the weights and the best weights of a run on a device."""
    results = []
    for device in ("cpu", GPU):
        stop = EarlyStopping(patience=1)
        trainer = trained(device, 3, mlp, callbacks=[AverageWeights(0.9), stop])
        assert all(p.device == device for p in trainer.model.parameters())
        results.append(np.concatenate([p.detach().cpu().numpy().ravel() for p in trainer.model.parameters()]))
    np.testing.assert_allclose(results[1], results[0], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("capture", [False, True])
def test_trainer_finds_nan(capture):
    """A loss that is not finite never reaches the weights."""
    fastnn.manual_seed(0)
    model = mlp()
    x, y = images()
    x[7] = np.nan
    trainer = Trainer(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters()), progress=False, device=GPU,
                      nan_policy="skip", record_steps=True, capture=capture)  # fmt: skip
    trainer.fit(DataLoader(TensorDataset(x, y), batch_size=2), epochs=3)
    assert trainer.skipped == 3
    assert np.isnan(trainer.history.step_losses).sum() == 3
    assert all(np.isfinite(p.detach().cpu().numpy()).all() for p in model.parameters())
    trainer.nan_policy = "raise"
    with pytest.raises(FloatingPointError, match="the loss is nan"):
        trainer.fit(DataLoader(TensorDataset(x, y), batch_size=2), epochs=4)


def test_rates_of_captured_steps():
    """A replay takes the rate of now, also where another step wrote one in between."""
    fastnn.manual_seed(0)
    p = fastnn.zeros(2, device=GPU, requires_grad=True)
    optimizer = optim.SGD([p], lr=1.0)

    def step(x):
        optimizer.zero_grad()
        (p * x).sum().backward()
        optimizer.step()

    captured, x = fastnn.capture(step), fastnn.ones(2, device=GPU)
    rates = [1.0, 1.0, 1.0, 1.0, 0.5, 0.5]
    for lr in rates:
        optimizer.param_groups[0]["lr"] = lr
        captured(x)
    optimizer.param_groups[0]["lr"] = 0.25
    step(x)
    optimizer.param_groups[0]["lr"] = 0.5
    captured(x)
    assert p.detach().cpu().tolist() == [-(sum(rates) + 0.75)] * 2


def test_lengths():
    """Lengths may be a list, or a tensor on the CPU or the device; wrong ones are refused."""
    fastnn.manual_seed(0)
    layer = nn.GRU(3, 4).to(GPU)
    x = fastnn.randn(2, 5, 3).to(GPU)
    outputs = [layer(x, lengths=n)[0].detach().cpu().numpy()
               for n in ([5, 2], fastnn.tensor([5, 2]), fastnn.tensor([5, 2]).to(GPU))]  # fmt: skip
    assert np.array_equal(outputs[0], outputs[1]) and np.array_equal(outputs[0], outputs[2])
    assert not outputs[0][1, 2:].any()
    for lengths in ([6, 1], fastnn.tensor([0, 1]).to(GPU)):
        with pytest.raises(ValueError, match="lengths must be from 1 to T = 5"):
            layer(x, lengths=lengths)
    packed = nn.utils.rnn.pack_padded_sequence(x, [5, 2])
    y, _ = layer(packed)
    padded, _ = nn.utils.rnn.pad_packed_sequence(y)
    assert np.array_equal(padded.detach().cpu().numpy(), outputs[0])


def test_modules_move():
    """Module.to: devices, dtypes, both; gradients too; copies stay where they are."""
    model = conv()
    model(fastnn.tensor(images()[0])).sum().backward()
    model.to(GPU, fastnn.float64)
    assert all(p.device == GPU and p.grad.device == GPU and p.dtype == fastnn.float64 for p in model.parameters())
    assert {str(b.dtype) for b in model.buffers()} == {"fastnn.float64", "fastnn.int64"}
    assert all(p.device == GPU for p in copy.deepcopy(model).parameters())
    assert all(p.device == "cpu" for p in model.cpu().float().parameters())
    assert all(p.device == GPU for p in model.cuda().parameters())


def test_words_stay_on_the_cpu():
    """Training that goes from word to word has no launcher: it says so."""
    table = fastnn.zeros(4, 16, device=GPU)
    rest = [None] * 6
    with pytest.raises(fastnn.DeviceError, match="cuda:0"):
        fastnn._C._word2vec(table, table, fastnn.tensor([0, 1], dtype=fastnn.int32), fastnn.tensor([0, 2]), *rest, 2, 0,
                            False, True, True, 1, False, 1, 0, 0.1, 0.0)  # fmt: skip


def test_words_with_a_default_device():
    """Word2Vec and GloVe train on the CPU whatever the default device."""
    sentences = [["a", "b", "c", "a", "b"], ["b", "c", "a"]] * 3
    with fastnn.device(GPU):
        words = fastnn.text.Word2Vec(sentences, vector_size=4, min_count=1, epochs=1, seed=1).wv
        glove = fastnn.text.GloVe(sentences, vector_size=4, min_count=1, epochs=1)
    assert np.array_equal(
        words.vectors, fastnn.text.Word2Vec(sentences, vector_size=4, min_count=1, epochs=1, seed=1).wv.vectors
    )
    assert np.isfinite(glove.wv.vectors).all()
