"""The user's side of CUDA devices: moving tensors and modules, checkpoints, streams, memory, and what is said where
there is no device. On the emulator unless there is a GPU (see conftest.py)."""

import copy
import os
import pickle
import subprocess
import sys
import threading

import numpy as np
import pytest

import fastnn
from fastnn import cuda, nn

needs_device = pytest.mark.skipif(not cuda.is_available(), reason="no CUDA device and no emulator")
GPU = "cuda:0"


def values(tensor):
    return tensor.detach().cpu().numpy()


def python(code, **environment):
    """What a fresh interpreter prints; the environment names the plug-in."""
    return subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, text=True, timeout=120
    )


# --- tensors --------------------------------------------------------------------------------------------------------


def test_device_objects():
    d = fastnn.device(GPU)
    assert (d.type, d.index, str(d), repr(d)) == ("cuda", 0, GPU, "device('cuda:0')")
    assert d == fastnn.device("cuda") == fastnn.device("cuda", 0) == GPU and d != "cpu" and d != "nonsense"
    assert fastnn.device("cpu").index is None and len({d, fastnn.device("cuda", 0)}) == 1
    assert pickle.loads(pickle.dumps(d)) == d and copy.deepcopy(d) == d
    for wrong in ("gpu", "cuda:", "cuda:x", "cuda:-1", "cuda:100", ""):
        with pytest.raises(ValueError, match="device"):
            fastnn.device(wrong)
    with pytest.raises((TypeError, ValueError), match="device"):
        fastnn.device(3)
    with pytest.raises(ValueError, match="index"):
        fastnn.device("cuda", -1)


@needs_device
def test_to():
    x = fastnn.arange(6, dtype=fastnn.float32).reshape(2, 3)
    y = x.to(GPU)
    assert y.is_cuda and not x.is_cuda and y.device == GPU and y.to(GPU) is y and x.to("cpu") is x
    assert np.array_equal(values(y), x.numpy())
    z = x.T.to(GPU, fastnn.float64)
    assert z.dtype == fastnn.float64 and np.array_equal(values(z), x.numpy().T)
    assert x.to(z).device == GPU and x.to(z).dtype == fastnn.float64 and z.to(x).device == "cpu"
    assert x.cuda().is_cuda and x.cuda(0).is_cuda and x.cuda(GPU).is_cuda and not y.cpu().is_cuda
    assert x.to(device=GPU, dtype="int64", non_blocking=True).dtype == fastnn.int64
    for empty in (fastnn.empty(0), fastnn.empty(3, 0, 2)):
        assert empty.to(GPU).cpu().shape == empty.shape
    with pytest.raises(fastnn.DeviceError, match="below 1"):
        x.to("cuda:7")
    with pytest.raises(fastnn.DeviceError, match="expected a CUDA device"):
        x.cuda("cpu")
    with pytest.raises(TypeError, match="to"):
        x.to(GPU, "float8")


@needs_device
def test_gradients_cross_devices():
    x = fastnn.tensor([1.0, 2.0, 3.0], requires_grad=True)
    (x.to(GPU) * x.to(GPU)).to("cpu").sum().backward()
    assert x.grad.device == "cpu" and np.array_equal(x.grad.numpy(), [2, 4, 6])


@needs_device
def test_pinned_memory():
    x = fastnn.randn(1000)
    p = x.pin_memory()
    assert p.is_pinned() and not x.is_pinned() and p[3:].is_pinned() and not p.is_cuda
    y = p.to(GPU, non_blocking=True)
    cuda.synchronize()
    assert np.array_equal(values(y), x.numpy())
    address = p.numpy().ctypes.data
    del p
    again = x.pin_memory()  # the memory of the first, given back
    assert again.numpy().ctypes.data == address
    assert fastnn.empty(0).pin_memory().to(GPU, non_blocking=True).numel() == 0
    with pytest.raises(fastnn.DeviceError, match="CPU tensor"):
        y.pin_memory()


@needs_device
def test_text_pickle_copies():
    x = fastnn.tensor([1.5, 2.5], device=GPU, requires_grad=True)
    assert repr(x) == "tensor([1.5, 2.5], device='cuda:0', requires_grad=True)"
    for other in (pickle.loads(pickle.dumps(x)), copy.deepcopy(x), copy.copy(x)):
        assert other.device == GPU and other.requires_grad and np.array_equal(values(other), [1.5, 2.5])
    (x * 2).sum().backward()
    twin = copy.deepcopy(nn.ParameterList([nn.Parameter(x.detach())]) if hasattr(nn, "ParameterList") else x)
    assert twin is not x
    assert x[0].item() == 1.5 and float(x[1]) == 2.5 and x.tolist() == [1.5, 2.5]
    for read in (x.detach().numpy, lambda: np.asarray(x.detach()), lambda: memoryview(x.detach())):
        with pytest.raises((fastnn.DeviceError, BufferError, TypeError, RuntimeError), match="cpu|device"):
            read()


@needs_device
def test_default_device():
    assert fastnn.get_default_device() == "cpu"
    with fastnn.device(GPU) as d:
        assert d == GPU and fastnn.get_default_device() == GPU
        x = fastnn.zeros(2)
        with fastnn.device("cpu"):
            assert fastnn.ones(1).device == "cpu"
        assert fastnn.randn(2).is_cuda and fastnn.tensor([1]).is_cuda and fastnn.arange(3).is_cuda
        assert fastnn.from_numpy(np.zeros(2)).device == "cpu"  # the array's own memory
        assert fastnn.zeros(2, device="cpu").device == "cpu"
        there = []
        thread = threading.Thread(target=lambda: there.append(fastnn.get_default_device()))
        thread.start()
        thread.join()
        assert there == ["cpu"]  # each thread has its own
        assert nn.Linear(2, 2).weight.is_cuda
    assert x.is_cuda and fastnn.zeros(2).device == "cpu"
    fastnn.set_default_device(GPU)
    assert fastnn.zeros(1).is_cuda
    fastnn.set_default_device(None)
    assert not fastnn.zeros(1).is_cuda
    with pytest.raises(fastnn.DeviceError):
        fastnn.set_default_device("cuda:9")
    assert fastnn.get_default_device() == "cpu"
    with pytest.raises(RuntimeError, match="left"):
        fastnn.device("cpu").__exit__(None, None, None)


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


@needs_device
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


@needs_device
def test_gradient_after_a_move():
    """backward after a move works on the new place, and a gradient of before is added to."""
    layer = nn.Linear(2, 1)
    layer(fastnn.ones(3, 2)).sum().backward()
    first = layer.weight.grad.numpy().copy()
    layer.to(GPU)
    layer(fastnn.ones(3, 2, device=GPU)).sum().backward()
    assert layer.weight.grad.device == GPU and np.array_equal(values(layer.weight.grad), 2 * first)


# --- checkpoints ----------------------------------------------------------------------------------------------------


@needs_device
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


@needs_device
def test_nested_checkpoint(tmp_path):
    state = {"a": [fastnn.ones(2, device=GPU), 3], "b": {1: fastnn.zeros(1)}, "c": np.ones(2)}
    fastnn.save(state, tmp_path / "s.safetensors")
    back = fastnn.load(tmp_path / "s.safetensors")
    assert back["a"][0].device == "cpu" and back["a"][1] == 3
    back = fastnn.load(tmp_path / "s.safetensors", device=GPU)
    assert back["a"][0].device == GPU and back["b"][1].device == GPU and isinstance(back["c"], np.ndarray)


@needs_device
def test_loaders_give_batches_on_the_default_device():
    from fastnn.data import DataLoader, TensorDataset

    data = TensorDataset(np.arange(6, dtype=np.float32).reshape(3, 2), np.arange(3))
    loader = DataLoader(data, 2)
    with fastnn.device(GPU):
        for x, y in loader:
            assert x.is_cuda and y.is_cuda
    assert not next(iter(loader))[0].is_cuda


@needs_device
def test_recipes_train_on_a_device(tmp_path, capsys):
    """The results of a short run are those of the CPU."""
    import json

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


# --- fastnn.cuda ----------------------------------------------------------------------------------------------------


@needs_device
def test_questions():
    assert cuda.is_available() and cuda.why_not() is None and cuda.device_count() >= 1 and cuda.current_device() == 0
    p = cuda.get_device_properties()
    assert p == cuda.get_device_properties(GPU) and p["total_memory"] > 0 and p["multi_processor_count"] > 0
    assert cuda.get_device_name() == p["name"] and cuda.get_device_capability(GPU) == (p["major"], p["minor"])
    for f in (cuda.get_device_properties, cuda.memory_stats, cuda.synchronize, cuda.empty_cache, cuda.current_stream):
        with pytest.raises(fastnn.DeviceError):
            f("cpu")
        with pytest.raises(fastnn.DeviceError):
            f("cuda:50")
        with pytest.raises((TypeError, ValueError)):
            f("gpu")


@needs_device
def test_memory():
    before = cuda.memory_stats()
    x = fastnn.zeros(1000, device=GPU)
    during = cuda.memory_stats()
    assert during["allocated"] == before["allocated"] + 4000 and during["calls"] > before["calls"]
    del x
    after = cuda.memory_stats()
    assert after["allocated"] == before["allocated"] and after["peak"] >= during["allocated"]
    cuda.reset_peak_memory()
    assert cuda.memory_stats()["peak"] == after["allocated"]
    cuda.empty_cache()
    with pytest.raises((fastnn.DeviceError, MemoryError), match="memory"):
        fastnn.empty(1 << 50, dtype=fastnn.uint8, device=GPU)
    assert fastnn.ones(2, device=GPU).sum().item() == 2


@needs_device
def test_streams_and_events():
    own = cuda.current_stream()
    assert own.device == GPU and own == cuda.current_stream(GPU) and own.query() in (True, False)
    stream, start, end = cuda.Stream(), cuda.Event(), cuda.Event(GPU)
    for ask in (start.wait, start.synchronize, lambda: start.elapsed_time(end)):
        with pytest.raises(RuntimeError, match="not recorded"):
            ask()
    x = fastnn.ones(100, device=GPU)
    start.record()
    with stream:
        assert cuda.current_stream() == stream != own
        y = x + 1
        with cuda.Stream():
            y = y + 1
        end.record(stream)
    assert cuda.current_stream() == own
    end.wait()
    start.wait(stream)
    assert values(y)[0] == 3
    stream.synchronize()
    assert stream.query() and start.elapsed_time(end) >= 0
    assert hash(stream) != hash(own) and start.device == GPU
    with pytest.raises(RuntimeError, match="left"):
        stream.__exit__(None, None, None)
    with pytest.raises(TypeError):
        start.record("cuda:0")


@needs_device
def test_blocking():
    cuda.set_blocking(True)
    try:
        assert (fastnn.ones(3, device=GPU) * 2).sum().item() == 6
    finally:
        cuda.set_blocking(False)


# --- without a device -----------------------------------------------------------------------------------------------

QUESTIONS = """
import fastnn
from fastnn import cuda, nn
assert not cuda.is_available() and cuda.device_count() == 0, "no device"
print(cuda.why_not())
for f in (lambda: fastnn.zeros(2, device="cuda"), lambda: fastnn.ones(2).to("cuda:0"), lambda: fastnn.ones(2).cuda(),
          lambda: nn.Linear(2, 2).to("cuda"), lambda: nn.Linear(2, 2).cuda(), lambda: fastnn.ones(2).pin_memory(),
          lambda: fastnn.set_default_device("cuda"), lambda: fastnn.device("cuda").__enter__(), cuda.Stream, cuda.Event,
          cuda.synchronize, cuda.memory_stats, cuda.get_device_properties, cuda.get_device_name, cuda.current_stream,
          cuda.get_device_capability, cuda.empty_cache, cuda.reset_peak_memory, cuda.current_device,
          lambda: cuda.set_blocking(True)):
    try:
        f()
    except fastnn.DeviceError as error:
        text = str(error)
        assert text.startswith("cuda: there is no device: ") and "\\n" not in text, text
    else:
        raise AssertionError("no error")
assert fastnn.device("cuda:0").index == 0  # a name only
assert (fastnn.ones(2) + 1).sum().item() == 4
"""


def test_no_plugin(tmp_path):
    done = python(QUESTIONS, FASTNN_CUDA_PLUGIN=str(tmp_path / "nowhere.so"))
    assert done.returncode == 0, done.stderr
    assert "nowhere.so, which is not there" in done.stdout


def test_broken_plugin(tmp_path):
    path = tmp_path / "libfastnn_cuda.so"
    path.write_bytes(b"no library")
    done = python("from fastnn import cuda; print(cuda.is_available(), cuda.why_not())", FASTNN_CUDA_PLUGIN=str(path))
    assert done.returncode == 0 and done.stdout.startswith(f"False cuda: cannot load {path}"), done.stderr


def test_foreign_plugin():
    """A library that is no plug-in is refused and left again."""
    done = python("from fastnn import cuda; print(cuda.why_not())", FASTNN_CUDA_PLUGIN=fastnn._C.__file__)
    assert done.returncode == 0 and "is no plug-in of fastnn" in done.stdout, done.stdout + done.stderr


def test_emulator_only_by_name():
    """The emulator beside the module is not taken for a device unless it is named. An installed plug-in is found; on a
    machine without a GPU it says so."""
    code = f"from fastnn import cuda\nprint(cuda.why_not())\nif not cuda.is_available():\n    exec({QUESTIONS!r})"
    done = python(code, FASTNN_CUDA_PLUGIN="")
    assert done.returncode == 0 and "emulated" not in done.stdout, done.stdout + done.stderr


@needs_device
@pytest.mark.skipif("emulated" not in os.environ.get("FASTNN_CUDA_PLUGIN", ""), reason="asks the emulator")
def test_no_gpu():
    """A plug-in on a machine without a GPU."""
    done = python(QUESTIONS, FASTNN_CUDA_DEVICES="0")
    assert done.returncode == 0, done.stderr
    assert "cudaErrorNoDevice" in done.stdout


@pytest.mark.skipif(not fastnn.cuda.is_available(), reason="no CUDA device and no emulator")
def test_what_lies_apart_is_named():
    """The operation and both places, in layers and losses, joins and gradients; results lie where their tensors do."""
    x, layer = fastnn.ones(2, 3), nn.Linear(3, 4).to("cuda:0")
    with pytest.raises(fastnn.DeviceError, match=r"linear: expected tensors on one device, got one on cpu and one of "):
        layer(x)
    with pytest.raises(fastnn.DeviceError, match="cat: expected tensors on one device"):
        fastnn.cat([x, x.cuda()])
    y = (x.cuda().requires_grad_() * 2).sum()
    with pytest.raises(fastnn.DeviceError, match="backward: expected a gradient on cuda:0, got one on cpu"):
        y.backward(fastnn.tensor(1.0))
    with pytest.raises(fastnn.DeviceError, match="grad: expected a tensor on cuda:0, got one on cpu"):
        layer.weight.grad = fastnn.ones(3, 4)
    layer.weight.register_hook(lambda g: g.cpu())
    with pytest.raises(
        fastnn.DeviceError, match="hook: its backward returned a gradient on cpu for an input on cuda:0"
    ):
        layer(x.cuda()).sum().backward()
    assert x.cuda().nonzero().device == "cuda:0" and fastnn.multinomial(x.cuda(), 2).device == "cuda:0"
    with fastnn.device("cuda:0"):
        assert x.nonzero().device == "cpu" and (x + 1).device == "cpu"


@pytest.mark.skipif(not fastnn.cuda.is_available(), reason="no CUDA device and no emulator")
def test_fork_after_use():
    """A child is told that it has no device, and can go on computing on the CPU."""
    code = """
import os, fastnn
x = fastnn.ones(3, device="cuda:0")
if os.fork() == 0:
    try:
        x + 1
    except fastnn.DeviceError as error:
        ok = "forked" in str(error) and float((fastnn.ones(3) + 1).sum()) == 6
        os._exit(0 if ok else 3)
    os._exit(4)
print(os.waitstatus_to_exitcode(os.wait()[1]))
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=dict(os.environ))
    assert out.stdout.strip() == "0", out
