"""Settings that tests may change are put back after each of them; without a GPU the emulator serves as device."""

import os
import signal
from pathlib import Path

import pytest

import fastnn

# Nobody else gets the emulator: it is loaded where FASTNN_CUDA_PLUGIN names it only.
_emulator = Path(fastnn._C.__file__).parent / "libfastnn_cuda_emulated.so"
if _emulator.is_file() and not (_emulator.parent / "libfastnn_cuda.so").is_file():
    os.environ.setdefault("FASTNN_CUDA_PLUGIN", str(_emulator))


def pytest_configure(config):
    # Shells start background jobs with Ctrl-C ignored, and processes inherit that: those that the tests start and
    # interrupt would not notice.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.addinivalue_line("markers", "kernels: exercises kernels; the sanitizer build runs these")
    config.addinivalue_line("markers", "slow: takes seconds")
    config.addinivalue_line("markers", "device: needs a CUDA device, or the emulator")


def pytest_collection_modifyitems(items):
    there = [item for item in items if item.get_closest_marker("device")]
    if there and not fastnn.cuda.is_available():
        for item in there:
            item.add_marker(pytest.mark.skip(reason=f"no CUDA device and no emulator: {fastnn.cuda.why_not()}"))


@pytest.fixture(autouse=True)
def _settings():
    """Instruction set, threads, random state, recording and anomaly mode as they were."""
    before = fastnn.isa(), fastnn.get_num_threads(), fastnn.get_rng_state()
    yield
    fastnn.set_isa(before[0])
    if fastnn.get_num_threads() != before[1]:
        fastnn.set_num_threads(before[1])
    fastnn.set_rng_state(before[2])
    fastnn.set_matmul_precision("float32")
    fastnn.set_default_device(None)
    fastnn.set_grad_enabled(True)
    fastnn.autograd.set_detect_anomaly(False)
