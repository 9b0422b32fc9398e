"""Modules, checkpoints, loaders and recipes on CUDA devices; on the emulator unless there is a GPU (conftest.py)."""

import json

import numpy as np
import pytest

import fastnn
from fastnn import cuda, nn, optim
from fastnn.data import DataLoader, TensorDataset, default_collate

GPU = "cuda:0"


def values(tensor):
    return tensor.detach().cpu().numpy()


# --- modules --------------------------------------------------------------------------------------------------------


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 3)
        self.norm = nn.BatchNorm1d(3)
        self.again = self.first  # shared
        self.register_buffer("count", fastnn.tensor([7]))

    def forward(self, x):
        return self.norm(self.first(x))


@pytest.mark.device
def test_module_to():
    net = Net()
    before = dict(net.named_parameters())
    for p in net.parameters():
        p.grad = fastnn.ones_like(p)
    assert net.to(GPU) is net
    after = dict(net.named_parameters())
    assert all(after[k] is before[k] for k in before) and net.again.weight is net.first.weight
    for tensor in (*net.parameters(), *net.buffers()):
        assert tensor.device == GPU
    assert all(p.grad.device == GPU and p.requires_grad for p in net.parameters())
    net.to("cpu", fastnn.float64)
    assert net.first.weight.dtype == fastnn.float64 and net.count.dtype == fastnn.int64
    assert net.first.weight.grad.dtype == fastnn.float64 and net.first.weight.grad.device == "cpu"
    net.cuda().to(fastnn.float32)
    assert net.first.weight.device == GPU and net.first.weight.dtype == fastnn.float32
    net.cpu().to(fastnn.zeros(1, device=GPU, dtype=fastnn.float64))
    assert net.first.weight.device == GPU and net.first.weight.dtype == fastnn.float64
    net.cuda(0).cuda(GPU).cpu()
    assert net.first.weight.device == "cpu"


def test_module_to_arguments():
    net = nn.Linear(2, 2)
    assert net.to("float64").weight.dtype == fastnn.float64 and net.to(np.float32).weight.dtype == fastnn.float32
    assert net.to(dtype=fastnn.float64).weight.dtype == fastnn.float64 and net.to("cpu").weight.device == "cpu"
    for wrong in (
        lambda: net.to(),
        lambda: net.to(fastnn.int64),
        lambda: net.to("gpu"),
        lambda: net.to("cpu", "float8"),
        lambda: net.to(fastnn.zeros(1), fastnn.float32),
        lambda: net.to(3),
    ):
        with pytest.raises((TypeError, ValueError)):
            wrong()
    assert net.weight.dtype == fastnn.float64


@pytest.mark.device
def test_gradient_after_a_move():
    """backward after a move works on the new place, and a gradient of before is added to."""
    layer = nn.Linear(2, 1)
    layer(fastnn.ones(3, 2)).sum().backward()
    first = layer.weight.grad.numpy().copy()
    layer.to(GPU)
    layer(fastnn.ones(3, 2, device=GPU)).sum().backward()
    assert layer.weight.grad.device == GPU and np.array_equal(values(layer.weight.grad), 2 * first)


@pytest.mark.device
def test_move_between_forward_and_backward():
    """The gradient arrives at the parameter where it is by then; hooks stay, and other shapes are refused."""
    layer, seen = nn.Linear(2, 1), []
    layer.weight.register_hook(lambda g: seen.append(g.device) or g * 10)
    x = fastnn.tensor([[1.0, 2.0], [3.0, 4.0]])
    y = layer(x).sum()
    layer.to(GPU, fastnn.float64)
    layer.cpu().cuda()
    y.backward()
    assert layer.weight.grad.device == GPU and layer.weight.grad.dtype == fastnn.float64
    assert np.array_equal(values(layer.weight.grad).ravel(), [40, 60]) and seen == ["cpu"]
    layer(x.to(GPU, fastnn.float64)).sum().backward()  # added to
    assert np.array_equal(values(layer.weight.grad).ravel(), [80, 120]) and seen == ["cpu", GPU]
    w = fastnn.ones(3, requires_grad=True)
    y = (w * 2).sum()
    w.data = fastnn.ones(4)
    with pytest.raises(RuntimeError, match=r"backward: a gradient of shape \[3\] arrived at .* shape \[4\] since"):
        y.backward()


@pytest.mark.device
def test_move_after_a_sparse_lookup():
    table = nn.Embedding(5, 2, sparse=True)
    y = table(fastnn.tensor([1, 3])).sum()
    table.to(GPU)
    y.backward()
    table(fastnn.tensor([3], device=GPU)).sum().backward()
    before = values(table.weight).copy()
    optim.SGD(table.parameters(), lr=1.0).step()
    assert np.allclose(before - values(table.weight), [[0, 0], [1, 1], [0, 0], [2, 2], [0, 0]])


def test_layers_take_no_device():
    for make, name in ((lambda **k: nn.Linear(2, 2, **k), "Linear"), (lambda **k: nn.LSTM(2, 2, **k), "LSTM")):
        with pytest.raises(
            TypeError, match=rf"{name}: there is no argument 'device'; .*\.to\('cuda:0'\).* `with fastnn"
        ):
            make(device=GPU)

    class Placed(nn.Module):
        def __init__(self, device):
            super().__init__()
            self.place = device

    class Open(nn.Module):
        def __init__(self, **options):
            super().__init__()
            self.place = options["device"]

    assert Placed(device=GPU).place == Open(device=GPU).place == GPU


@pytest.mark.device
@pytest.mark.parametrize("norm_type", [2.0, 1.0, float("inf")])
def test_clipping_over_two_devices(norm_type):
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(shape).astype(np.float32) for shape in ((3, 4), (5,), (2, 2))]

    def clipped(devices):
        parameters = [fastnn.zeros(*a.shape, device=d).requires_grad_() for a, d in zip(arrays, devices)]
        for p, a in zip(parameters, arrays):
            p.grad = fastnn.tensor(a, device=p.device)
        norm = nn.utils.clip_grad_norm_(parameters, 0.5, norm_type)
        assert norm.device == devices[0]
        return norm.item(), [values(p.grad) for p in parameters]

    want, here = clipped(("cpu",) * 3)
    got, there = clipped((GPU, "cpu", GPU))
    assert got == pytest.approx(want, rel=1e-6)
    for a, b in zip(here, there):
        assert np.allclose(a, b, rtol=1e-6)


@pytest.mark.device
def test_a_model_on_two_devices_trains():
    from fastnn.train import Trainer

    class Cut(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(3, 4), nn.Linear(4, 1).to(GPU)

        def forward(self, x):
            return self.second(self.first(x).tanh().to(GPU)).to(x.device)

    model = Cut()
    data = TensorDataset(np.ones((8, 3), np.float32), np.ones((8, 1), np.float32))
    trainer = Trainer(model, nn.MSELoss(), optim.Adam(model.parameters(), lr=0.05), clip_norm=1.0, progress=False)
    trainer.fit(DataLoader(data, 4), epochs=30)
    assert trainer.history["loss"][-1] < 0.1 * trainer.history["loss"][0]


# --- checkpoints ----------------------------------------------------------------------------------------------------


@pytest.mark.device
@pytest.mark.parametrize("end", ["safetensors", "npz"])
def test_checkpoints(tmp_path, end):
    path = tmp_path / f"model.{end}"
    net = Net().to(GPU)
    fastnn.save(net.state_dict(), path)
    state = fastnn.load(path)
    assert all(t.device == "cpu" for t in state.values())
    there = fastnn.load(path, device=GPU)
    assert all(t.device == GPU for t in there.values())
    for target, source in ((Net(), there), (Net().to(GPU), state)):
        device = str(target.first.weight.device)
        target.load_state_dict(source)
        assert str(target.first.weight.device) == device
        for key, value in target.state_dict().items():
            assert np.array_equal(values(value), values(net.state_dict()[key])), key


def test_load_says_what_map_location_is(tmp_path):
    fastnn.save({"a": fastnn.ones(1)}, tmp_path / "a.npz")
    with pytest.raises(TypeError, match=r"load: unknown argument 'map_location' \(that is device= here\)"):
        fastnn.load(tmp_path / "a.npz", map_location="cpu")


@pytest.mark.device
def test_nested_checkpoint(tmp_path):
    state = {"a": [fastnn.ones(2, device=GPU), 3], "b": {1: fastnn.zeros(1)}, "c": np.ones(2)}
    fastnn.save(state, tmp_path / "s.safetensors")
    back = fastnn.load(tmp_path / "s.safetensors")
    assert back["a"][0].device == "cpu" and back["a"][1] == 3
    back = fastnn.load(tmp_path / "s.safetensors", device=GPU)
    assert back["a"][0].device == GPU and back["b"][1].device == GPU and isinstance(back["c"], np.ndarray)


@pytest.mark.device
def test_loaders_give_batches_on_the_default_device():
    data = TensorDataset(np.arange(6, dtype=np.float32).reshape(3, 2), np.arange(3))
    loader = DataLoader(data, 2)
    with fastnn.device(GPU):
        for x, y in loader:
            assert x.is_cuda and y.is_cuda
    assert not next(iter(loader))[0].is_cuda


@pytest.mark.device
@pytest.mark.parametrize("workers", [0, 2])
def test_loaders_of_data_on_a_device(workers):
    """Batches are where the data is, whatever gathers them: tensors, a tensor alone, items that are stacked."""
    x, y = np.arange(14, dtype=np.float32).reshape(7, 2), np.arange(7)
    there = fastnn.tensor(x, device=GPU).requires_grad_()
    data = TensorDataset(there, y)
    assert data.tensors[1].device == GPU and data[2][0].device == GPU
    items = [(there.detach()[i], {"label": fastnn.tensor(int(i), device=GPU)}) for i in y]
    subset = fastnn.data.Subset(data, [6, 0, 1, 2, 3, 4, 5])
    for source, rows in ((data, x), (subset, np.roll(x, 1, 0)), (items, x), (there.detach(), x)):
        batches = list(DataLoader(source, 3, num_workers=workers))
        first = [b[0] if isinstance(b, (tuple, list)) else b for b in batches]
        assert all(b.device == GPU and not b.requires_grad for b in first) and len(first) == 3
        assert np.array_equal(np.concatenate([values(b) for b in first]), rows)
    assert batches[0].dtype == fastnn.float32
    assert default_collate([i[1] for i in items])["label"].device == GPU


@pytest.mark.device
def test_data_on_two_devices():
    x = fastnn.ones(3, 2)
    with pytest.raises(fastnn.DeviceError, match="TensorDataset: .* the first on cuda:0 and number 1 .* on cpu"):
        TensorDataset(x.cuda(), x)
    for items in ([x.cuda(), x], [x, x.cuda()], [x.numpy(), x.cuda()]):
        with pytest.raises(fastnn.DeviceError, match="collate: expected tensors on one device"):
            default_collate(items)
    with pytest.raises(ValueError, match=r"collate: items have different shapes"):
        default_collate([x.cuda(), x.cuda()[:2]])


@pytest.mark.device
@pytest.mark.parametrize("workers", [0, 2])
def test_pinned_batches(workers):
    data = TensorDataset(np.arange(6, dtype=np.float32).reshape(3, 2), np.arange(3))
    loader = DataLoader(data, 2, pin_memory=True, num_workers=workers)
    for x, y in loader:
        assert x.is_pinned() and y.is_pinned()
        assert x.to(GPU, non_blocking=True).device == GPU
    with fastnn.device(GPU):
        assert np.array_equal(np.concatenate([values(x) for x, _ in loader]), data.tensors[0].numpy())
    words = DataLoader(["a", "b"], 2, pin_memory=True)
    assert next(iter(words)) == ["a", "b"]
    assert DataLoader(TensorDataset(fastnn.ones(2, device=GPU)), 2, pin_memory=True).__iter__().__next__()[0].is_cuda
    with pytest.raises(TypeError, match="pin_memory must be a bool"):
        DataLoader(data, pin_memory="yes")


@pytest.mark.device
def test_runs_note_the_device(tmp_path):
    from fastnn.train import Run, Trainer

    run = Run(tmp_path)
    assert run.record["environment"]["device"] == "cpu"
    model = nn.Linear(2, 1)
    trainer = Trainer(model, nn.MSELoss(), optim.SGD(model.parameters(), lr=0.1), device=GPU, callbacks=[run],
                      progress=False)  # fmt: skip
    trainer.fit(DataLoader(TensorDataset(np.ones((4, 2), np.float32), np.ones((4, 1), np.float32)), 2), epochs=1)
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["environment"]["device"] == f"cuda:0 ({cuda.get_device_name()})"


@pytest.mark.device
def test_recipes_train_on_a_device(tmp_path, capsys):
    """The results of a short run are those of the CPU."""
    from fastnn import cli

    results = {}
    for device in ("cpu", GPU):
        out = tmp_path / device.replace(":", "")
        assert (
            cli.main(
                ["train", "xor", "--epochs", "100", "--device", device, "--out", str(out), "--quiet", "--no-plots"]
            )
            == 0
        )
        record = json.loads((out / "run.json").read_text())
        assert record["config"]["device"] == device
        assert record["environment"]["device"].split()[0] == device
        results[device] = record["results"]
    # The other result, of one neuron, which cannot learn it, is what rounding makes of it.
    assert results["cpu"].keys() == results[GPU].keys() and results["cpu"]["accuracy"] == results[GPU]["accuracy"] == 1


@pytest.mark.parametrize("name", ["cuda:50", "gpu"])
def test_train_on_no_device(tmp_path, capsys, name):
    from fastnn import cli

    assert cli.main(["train", "xor", "--device", name, "--out", str(tmp_path / "run")]) == cli.WRONG
    error = capsys.readouterr().err
    assert error.startswith("fastnn: --device: ") and error.count("\n") == 1
    assert not (tmp_path / "run").exists()
