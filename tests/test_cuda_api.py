"""The user's side of CUDA devices: tensors on them, the default device, what fastnn.cuda answers, mixed devices. On the
emulator unless there is a GPU (see conftest.py)."""

import copy
import os
import pickle
import re
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import fastnn
from fastnn import cuda, nn

GPU = "cuda:0"


def values(tensor):
    return tensor.detach().cpu().numpy()


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


@pytest.mark.device
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


@pytest.mark.device
def test_gradients_cross_devices():
    x = fastnn.tensor([1.0, 2.0, 3.0], requires_grad=True)
    (x.to(GPU) * x.to(GPU)).to("cpu").sum().backward()
    assert x.grad.device == "cpu" and np.array_equal(x.grad.numpy(), [2, 4, 6])


@pytest.mark.device
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


@pytest.mark.device
def test_tensors_of_numbers_on_a_device():
    x = fastnn.tensor([1.0, 2.0, 3.0], device=GPU)
    y = fastnn.tensor([x[0], 5, x[2]])
    assert y.device == "cpu" and y.tolist() == [1, 5, 3]
    z = fastnn.tensor([[x[0], x[1]], (x[2], x[0])], device=GPU, dtype=fastnn.float64)
    assert z.device == GPU and z.dtype == fastnn.float64 and z.tolist() == [[1, 2], [3, 1]]
    assert fastnn.as_tensor([x, x]).tolist() == [[1, 2, 3], [1, 2, 3]]
    endless = [x]
    endless.append(endless)
    with pytest.raises(ValueError):
        fastnn.tensor(endless)


@pytest.mark.device
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


# --- fastnn.cuda ----------------------------------------------------------------------------------------------------


@pytest.mark.device
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


@pytest.mark.device
def test_set_device():
    """What "cuda" and None mean; tensors go on lying where the default device says."""
    cuda.set_device(0)
    assert cuda.current_device() == 0 and not fastnn.zeros(1).is_cuda and fastnn.device("cuda") == GPU
    for wrong in ("cpu", 50, "cuda:50"):
        with pytest.raises(fastnn.DeviceError):
            cuda.set_device(wrong)
    with pytest.raises(ValueError, match="no index -1"):
        cuda.set_device(-1)
    if cuda.device_count() < 2:
        return
    try:
        cuda.set_device("cuda:1")
        assert cuda.current_device() == 1 and fastnn.device("cuda") == "cuda:1" and not fastnn.zeros(1).is_cuda
        assert fastnn.ones(1).cuda().device == "cuda:1" == fastnn.ones(1).to("cuda").device
        assert nn.Linear(1, 1).cuda().weight.device == "cuda:1" and cuda.Stream().device == "cuda:1"
        with fastnn.device("cuda"):
            cuda.set_device(0)
            assert fastnn.zeros(1).device == GPU and cuda.current_device() == 0
    finally:
        cuda.set_device(0)


@pytest.mark.device
@pytest.mark.skipif("emulated" not in os.environ.get("FASTNN_CUDA_PLUGIN", ""), reason="asks the emulator")
def test_two_devices():
    """The test above once more, with a second device."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"{__file__}::test_set_device"],
        env={**os.environ, "FASTNN_CUDA_DEVICES": "2"}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout + done.stderr


def test_names_of_pytorch():
    """A name that is another here says which; all those that are named exist."""
    for name, other in cuda._ELSEWHERE.items():
        with pytest.raises(AttributeError, match=f"'{name}'; PyTorch's is {other} here"):
            getattr(cuda, name)
        found = fastnn
        for part in other.split(".")[1:]:
            found = getattr(found, part)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'$"):
        cuda.nonsense  # noqa: B018
    table = (Path(__file__).parent.parent / "docs" / "cuda.md").read_text()
    rows = re.findall(r"^\| `torch\.cuda\.(\w+).*?` \| .*?`", table, re.M)
    assert len(rows) >= 10 and set(rows) <= {*cuda.__all__, *cuda._ELSEWHERE}, rows


@pytest.mark.device
def test_blocking():
    cuda.set_blocking(True)
    try:
        assert (fastnn.ones(3, device=GPU) * 2).sum().item() == 6
    finally:
        cuda.set_blocking(False)


@pytest.mark.device
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


@pytest.mark.device
@pytest.mark.parametrize(
    "name, call",
    [
        ("nms", lambda x, y: fastnn.vision.ops.nms(y.reshape(1, 4), x[:1], 0.5)),
        (
            "batched_nms",
            lambda x, y: fastnn.vision.ops.batched_nms(x.reshape(1, 4), x[:1], y[:1].to(fastnn.int64), 0.5),
        ),
        ("soft_nms", lambda x, y: fastnn.vision.ops.soft_nms(y.reshape(1, 4), x[:1], 0.5)),
        ("searchsorted", lambda x, y: fastnn.searchsorted(x, y)),
        ("bucketize", lambda x, y: fastnn.bucketize(x, y)),
        ("bincount", lambda x, y: fastnn.bincount(x.to(fastnn.int64), y)),
        ("repeat_interleave", lambda x, y: x.repeat_interleave(y.to(fastnn.int64))),
        ("clip_grad_norm_", lambda x, y: fastnn._C._clip_by_norm([x, y], x.sum(), 1.0)),
        ("clip_grad_norm_", lambda x, y: fastnn._C._clip_by_norm([x], y.sum(), 1.0)),
        ("grad_norm", lambda x, y: fastnn._C._grad_norm([x, y], 2.0)),
    ],
)
def test_operations_name_themselves(name, call):
    for x, y in ((fastnn.ones(4), fastnn.ones(4, device=GPU)), (fastnn.ones(4, device=GPU), fastnn.ones(4))):
        with pytest.raises(fastnn.DeviceError, match=rf"^{name}: expected tensors on one device"):
            call(x, y)


@pytest.mark.device
def test_steps_name_what_lies_apart():
    p, rate = fastnn.ones(2, device=GPU), fastnn.zeros((), dtype=fastnn.float64, device=GPU)

    def step(params, grads, bufs, rate):
        fastnn._C._sgd_step(params, grads, bufs, [], rate, 0.9, 0.0, 0.0, False, False)

    with pytest.raises(fastnn.DeviceError, match="sgd: the gradient of parameter 0 expects cuda:0, got cpu"):
        step([p], [p.cpu()], [p.clone()], rate)
    with pytest.raises(fastnn.DeviceError, match="sgd: the state of parameter 0 expects cuda:0, got cpu"):
        step([p], [p.clone()], [p.cpu()], rate)
    with pytest.raises(fastnn.DeviceError, match="sgd: the memory of parameter 1 expects cuda:0, got cpu"):
        step([p, p.cpu()], [p, p.cpu()], [p, p.cpu()], rate)
    with pytest.raises(fastnn.DeviceError, match="optimizer: expected tensors on one device"):
        step([p], [p.clone()], [p.clone()], rate.cpu())
    assert p.tolist() == [1, 1]
