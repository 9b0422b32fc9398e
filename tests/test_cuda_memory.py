"""Memory, streams and events of CUDA devices. On the emulator unless there is a GPU (see conftest.py)."""

import time

import numpy as np
import pytest

import fastnn
from fastnn import cuda

pytestmark = pytest.mark.device
GPU = "cuda:0"


def values(tensor):
    return tensor.detach().cpu().numpy()


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


def test_memory_by_name():
    cuda.reset_peak_memory()
    before = cuda.memory_allocated()
    x = fastnn.zeros(1000, device=GPU)
    assert cuda.memory_allocated(GPU) == cuda.memory_allocated(0) == before + 4000
    assert cuda.memory_reserved() >= cuda.memory_allocated()
    del x
    assert cuda.memory_allocated() == before and cuda.max_memory_allocated() >= before + 4000


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


def test_streams_wait_for_each_other():
    first, second = cuda.Stream(), cuda.Stream(0)
    with first:
        x = fastnn.ones(1000, device=GPU) * 3
    second.wait_stream(first)
    with cuda.stream(second):
        assert cuda.current_stream() == second
        y = x + 1
    mark = second.record_event()
    assert isinstance(mark, cuda.Event) and second.record_event(mark) is mark
    cuda.current_stream().wait_event(mark)
    assert values(y).tolist() == [4] * 1000
    before = cuda.current_stream()
    with cuda.stream(None):
        assert cuda.current_stream() == before
    assert first != 3 and repr(first) == "Stream(device='cuda:0')" and repr(mark) == "Event(device='cuda:0')"


def test_query_of_events():
    mark = cuda.Event()
    assert mark.query()  # no work before it
    for _ in range(3):
        fastnn.ones(1000, device=GPU).sum()
        mark.record()
        mark.synchronize()
        deadline = time.monotonic() + 10
        while not mark.query():
            assert time.monotonic() < deadline


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: cuda.Stream("gpu"), "Stream: expected a CUDA device .*, got 'gpu'"),
        (lambda: cuda.Stream(True), "Stream: expected an int as index, got True"),
        (lambda: cuda.Stream(0, 1), "Stream: expected a device at most, got 2 arguments"),
        (lambda: cuda.Stream(priority=-1), "Stream: unknown argument 'priority'.*no priorities"),
        (lambda: cuda.Event(enable_timing=True), "Event: unknown argument 'enable_timing'.*all events take times"),
        (lambda: cuda.Event().record(GPU), "record: stream expects Stream, got str 'cuda:0'"),
        (lambda: cuda.Event().wait(3), "wait: stream expects Stream, got int 3"),
        (lambda: cuda.Event().elapsed_time(3), "elapsed_time: end expects Event, got int 3"),
        (lambda: cuda.Event().elapsed_time(), "elapsed_time: 'end' is missing"),
        (lambda: cuda.Stream().wait_stream(cuda.Event()), "wait_stream: stream expects Stream, got Event"),
        (lambda: cuda.Stream().record_event(3), "record_event: expected an Event or None, got int"),
        (lambda: cuda.stream(3), "cuda.stream: expected a Stream or None, got 3"),
        (lambda: cuda.set_blocking("no"), "cuda.set_blocking: expected a bool, got 'no'"),
        (lambda: cuda.set_blocking(1), "cuda.set_blocking: expected a bool, got 1"),
        (lambda: cuda.set_device(None), "cuda.set_device: expected a CUDA device"),
        (lambda: cuda.synchronize(0.5), "cuda.synchronize: expected a CUDA device .*, got 0.5"),
        (lambda: cuda.memory_stats([]), r"cuda.memory_stats: expected a CUDA device .*, got \[\]"),
        (lambda: fastnn.ones(1).cuda("gpu"), "cuda: device expects .*, got str 'gpu'"),
        (lambda: fastnn.zeros(2, device="gpu"), "zeros: device expects a device .*, got str 'gpu'"),
        (lambda: fastnn.device("cuda", "x"), "device: expected an int as index, got 'x'"),
        (lambda: fastnn.device(), r"device: expected device\(type, index=None\), got 0 arguments"),
        (lambda: fastnn.nn.Linear(1, 1).cuda("gpu"), "cuda: expected a CUDA device .*, got 'gpu'"),
    ],
)
def test_messages(call, message):
    with pytest.raises(TypeError, match=f"^{message}") as caught:
        call()
    assert "\n" not in str(caught.value)
