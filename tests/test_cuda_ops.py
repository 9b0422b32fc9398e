"""Every operation of the list on a CUDA device: values, gradients and equal bits when run again.

Without a GPU the kernels run in the emulator where it was built (-DFASTNN_CUDA_EMULATED=ON); otherwise these tests are
skipped. FASTNN_CUDA_ORDER=reverse and FASTNN_CUDA_GUARD=1 make the emulator look for missing barriers and for accesses
past the end of a buffer.
"""

import os
import re
from pathlib import Path

import harness
import numpy as np
import pytest
from cases import CASES
from harness import Sample, array, assert_close, same_bits

import fastnn

FULL = os.environ.get("FASTNN_TEST_FULL") == "1"
pytestmark = pytest.mark.device
every_case = pytest.mark.parametrize("case", CASES, ids=[c.op for c in CASES])

# Of the CPU's float64 result: the bound for float32, and a few roundings of float64 in another order of summation.
BOUNDS = {"float32": (1e-5, 1e-6), "float64": (1e-11, 1e-12)}


def bound(case, dtype):
    own = case.tol32 if dtype == "float32" else case.tol64
    return tuple(max(4 * a, b) for a, b in zip(own, BOUNDS[dtype], strict=True))


# Many barriers, each a thousand changes of stacks where threads are emulated: every sixth sample does there.
DEAR = ("nms", "batched_nms", "soft_nms", "interpolate", "affine_warp")
EMULATED = fastnn.cuda.is_available() and "emulated" in fastnn.cuda.get_device_properties()["name"]


def samples(case, dtype):
    step = 6 if EMULATED and case.op in DEAR and not FULL else 1
    for i, spec in enumerate(case.samples):
        if FULL or not spec.threads and i % step == 0:
            yield Sample(case, i, dtype)


@every_case
def test_device(case):
    """Values and gradients as on the CPU in float64 (draws: the same numbers); on the device; the same bits twice."""
    for dtype in case.dtypes:
        for s in samples(case, dtype):
            what = f"{case.op} {dtype} on the device {s.spec}"
            wanted, sources, _ = s.fastnn()
            outputs, tensors, _ = s.fastnn(device="cuda:0")
            again, _, _ = s.fastnn(device="cuda:0")
            assert len(outputs) == len(wanted), f"{what}: {len(outputs)} outputs, expected {len(wanted)}"
            for i, (y, w, z) in enumerate(zip(outputs, wanted, again, strict=True)):
                assert y.device == "cuda:0" or not isinstance(y, fastnn.Tensor), f"{what}: output {i} on {y.device}"
                assert y.dtype == w.dtype, f"{what}: output {i} is {y.dtype}, expected {w.dtype}"
                if case.op == "empty":  # whatever lay in the memory
                    continue
                assert_close(y, w, bound(case, dtype), f"{what}, output {i}")
                assert same_bits(array(y), array(z)), f"{what}: output {i} has other bits the second time"
            if not any(s.differentiable()):
                continue
            grads = s.gradients(outputs, tensors)
            reference = s.gradients(wanted, sources)
            tol = tuple(4 * t for t in bound(case, dtype))
            if dtype == "float32" and case.grad_tol32:
                tol = tuple(max(a, b) for a, b in zip(tol, case.grad_tol32, strict=True))
            for k, (g, w) in enumerate(zip(grads, reference, strict=True)):
                assert (g is None) == (w is None), f"{what}: gradient {k} is {g}, expected {w}"
                if g is not None:
                    assert g.device == "cuda:0", f"{what}: gradient {k} on {g.device}"
                    assert_close(g, w, tol, f"{what}, gradient {k}")


def test_kernels_complete():
    """Every kernel that is not declared for the CPU alone has a launcher."""
    headers = Path(__file__).parent.parent.glob("csrc/ops/*/*.h")
    names = [n for h in headers for n in re.findall(r"^FASTNN_KERNEL\((\w+)", h.read_text(), re.MULTILINE)]
    missing = [name for name in names if not fastnn._C._cuda_kernel(name)]
    assert not missing, f"no CUDA version: {', '.join(missing)}"


@every_case
def test_an_argument_elsewhere(case):
    """One tensor on another device than the rest is refused by name, whichever it is; only lengths may be elsewhere."""
    for i, spec in enumerate(case.samples):
        if spec.threads:
            continue
        s = Sample(case, i, case.dtypes[0])
        dense = [k for k, v in enumerate(s.values) if v.ndim > 0]
        if len(s.values) < 2 or sum(v.size for v in s.values) > 5000:
            continue
        for which in dense:
            if case.op in ("rnn", "gru", "lstm") and s.values[which].dtype.kind == "i":
                continue
            others = [v for k, v in enumerate(s.values) if k != which]
            if s.values[which].size == 1 or all(v.size == 1 for v in others):  # numbers are taken along
                continue
            tensors = [fastnn.tensor(v, device="cuda:0" if k == which else "cpu") for k, v in enumerate(s.values)]
            args, kwargs = s.arguments(tensors)
            with pytest.raises(fastnn.DeviceError, match=r"^\w+: expected tensors on one device"):
                case.run(*args, **kwargs)
                pytest.fail(f"{case.op}: argument {which} of {spec} may lie elsewhere")


def test_mixed_devices():
    """Tensors on different devices are refused, and nothing is read."""
    x, y = fastnn.ones(3), fastnn.ones(3, device="cuda:0")
    with pytest.raises(fastnn.DeviceError, match="cuda:0"):
        fastnn.matmul(x, y)
    with pytest.raises(fastnn.DeviceError, match=r"\.cpu\(\)"):
        y.numpy()
    assert np.array_equal((x.to("cuda:0") + y).cpu().numpy(), [2, 2, 2])
    assert harness.same_bits(y.cpu().numpy(), x.numpy())
