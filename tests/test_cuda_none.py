"""What is said where there is no CUDA device: no plug-in, a broken one, no GPU, a forked child."""

import os
import subprocess
import sys

import pytest

import fastnn


def python(code, **environment):
    """What a fresh interpreter prints; the environment names the plug-in."""
    return subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, text=True, timeout=120
    )


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


@pytest.mark.device
@pytest.mark.skipif("emulated" not in os.environ.get("FASTNN_CUDA_PLUGIN", ""), reason="asks the emulator")
def test_no_gpu():
    """A plug-in on a machine without a GPU."""
    done = python(QUESTIONS, FASTNN_CUDA_DEVICES="0")
    assert done.returncode == 0, done.stderr
    assert "cudaErrorNoDevice" in done.stdout


@pytest.mark.device
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
