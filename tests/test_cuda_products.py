"""Matrix products and convolutions on a device beyond the cases: precisions, layouts, long sums, equal bits."""

import os
import subprocess
import sys

import numpy as np
import pytest

import fastnn
import fastnn.nn.functional as F

pytestmark = pytest.mark.device

# Of the sum of abs(a) abs(b): two rounded operands, beside the sums in float32.
BOUNDS = {"float32": 2.0**-21, "bf16": 2.0**-7 + 2.0**-16, "tf32": 2.0**-10 + 2.0**-20}


def operands(rng, m, n, k, layout):
    a = rng.standard_normal((k, m) if layout[0] == "T" else (m, k), dtype=np.float32)
    b = rng.standard_normal((n, k) if layout[1] == "T" else (k, n), dtype=np.float32)
    return a.T if layout[0] == "T" else a, b.T if layout[1] == "T" else b


def on_device(x):
    """With the strides of x."""
    return fastnn.tensor(x.T).to("cuda:0").T if x.flags.f_contiguous else fastnn.tensor(x).to("cuda:0")


def check_product(rng, m, n, k, layout, precision):
    a, b = operands(rng, m, n, k, layout)
    got = (on_device(a) @ on_device(b)).cpu().numpy()
    size = np.abs(a).astype(np.float64) @ np.abs(b)
    assert (np.abs(got - a.astype(np.float64) @ b) <= BOUNDS[precision] * size).all(), (m, n, k, layout)


@pytest.mark.parametrize("precision", BOUNDS)
def test_products(precision):
    fastnn.set_matmul_precision(precision)  # conftest.py puts it back
    rng = np.random.default_rng(1)
    for layout in ("NN", "TN", "NT", "TT"):
        for m, n, k in [(1, 5, 3), (33, 65, 17), (70, 6, 129), (6, 70, 700), (130, 140, 40), (20, 24, 4500)]:
            check_product(rng, m, n, k, layout, precision)


@pytest.mark.parametrize("precision", BOUNDS)
def test_convolution(precision):
    fastnn.set_matmul_precision(precision)
    rng = np.random.default_rng(2)
    x, w, dy = (rng.standard_normal(s) for s in ((2, 9, 8, 12), (3, 3, 6, 8), (2, 5, 4, 8)))
    wanted, got = [], []
    for device, dtype, out in (("cpu", fastnn.float64, wanted), ("cuda:0", fastnn.float32, got)):
        xt, wt = (fastnn.tensor(v, dtype=dtype).to(device).detach().requires_grad_() for v in (x, w))
        y = F.conv2d(xt, wt, stride=2, padding=1, groups=2)
        y.backward(fastnn.tensor(dy, dtype=dtype).to(device))
        out += [t.detach().cpu().numpy() for t in (y, xt.grad, wt.grad)]
    for g, e in zip(got, wanted, strict=True):
        assert np.abs(g - e).max() <= 4 * BOUNDS[precision] * np.abs(e).max()


def test_a_row_has_the_same_bits_alone_and_in_a_batch():
    rng = np.random.default_rng(3)
    a, b = (on_device(x) for x in operands(rng, 150, 140, 1500, "NN"))
    whole = (a @ b).cpu().numpy()
    for rows in (1, 5, 60):
        assert np.array_equal((a[:rows] @ b).cpu().numpy(), whole[:rows])
    assert np.array_equal((a @ b[:, :3]).cpu().numpy(), whole[:, :3])


HOPPER = """
import sys; sys.path.insert(0, {tests!r})
import numpy as np, fastnn, test_cuda_products as t
rng = np.random.default_rng(4)
for precision in ("bf16", "tf32"):
    fastnn.set_matmul_precision(precision)
    for layout, shape in (("NN", (150, 130, 300)), ("TN", (128, 257, 260)), ("NT", (130, 128, 4500))):
        t.check_product(rng, *shape, layout, precision)
print("right")
"""


def test_hopper():
    """The kernels for compute capability 9.0, which the emulator has when told."""
    tests = os.path.dirname(__file__)
    env = {**os.environ, "FASTNN_CUDA_CAPABILITY": "90", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", HOPPER.format(tests=tests)], env=env, capture_output=True, text=True)
    assert done.stdout == "right\n", done.stderr[-2000:]
