"""The matrix product on its own: layouts, blocking edges, bits that depend on nothing but the operands, memory."""

import subprocess
import sys
import textwrap

import numpy as np
import pytest
from harness import ISAS, THREADS, isa, threads

import fastnn

pytestmark = pytest.mark.kernels

DTYPES = ("float32", "float64")
# Sizes around the tiles (6, 14 rows; 16, 32, 64 columns) and the blocks, and K around a chunk (640).
SIZES = [1, 2, 3, 5, 6, 7, 13, 14, 15, 16, 17, 31, 32, 33, 47, 63, 64, 65, 100, 129, 200]


def lay(x, layout, rng):
    """The values of the matrix `x` with other strides."""
    rows, cols = x.shape
    if layout == "column":
        return np.asfortranarray(x)
    if layout == "pitch":  # rows one page apart, which fall on the same cache sets
        base = np.full((rows, -(-cols // 1024) * 1024 + 1024), np.nan, x.dtype)
        base[:, :cols] = x
        return base[:, :cols]
    if layout == "strided":
        base = np.full((2 * rows, 3 * cols), np.nan, x.dtype)
        base[::2, ::3] = x
        return base[::2, ::3]
    if layout == "backwards":
        return np.ascontiguousarray(x[::-1, ::-1])[::-1, ::-1]
    if layout == "column backwards":
        return np.asfortranarray(x[::-1])[::-1]
    return x


LAYOUTS = ["row", "column", "pitch", "strided", "backwards", "column backwards"]


def problem(m, n, k, dtype, rng, layouts=("row", "row")):
    a, b = (rng.uniform(-1, 1, s).astype(dtype) for s in ((m, k), (k, n)))
    return a, b, lay(a, layouts[0], rng), lay(b, layouts[1], rng)


def product(a, b):
    return (fastnn.from_numpy(a) @ fastnn.from_numpy(b)).numpy()


def check(got, a, b, what):
    """Within the bound of a chain of at most 640 rounded multiply-adds and one addition a chunk (Higham, ch. 3)."""
    a, b = a.astype(np.longdouble), b.astype(np.longdouble)
    k = a.shape[1]
    u = np.finfo(got.dtype).eps / 2
    bound = 2 * (min(k, 640) + k // 640 + 2) * u * (np.abs(a) @ np.abs(b))
    wrong = ~(np.abs(got - a @ b) <= bound)
    assert not wrong.any(), f"{what}: {wrong.sum()} of {wrong.size} elements beyond the rounding bound"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("level", ISAS)
def test_random_shapes_and_layouts(level, dtype):
    rng = np.random.default_rng(1)
    with isa(level):
        for i in range(150):
            m, n, k = rng.choice(SIZES, 3)
            if i % 10 == 0:
                k = int(rng.integers(600, 2000))
            if i % 25 == 0:
                m = int(rng.integers(200, 500))
            layouts = rng.choice(LAYOUTS, 2)
            a, b, x, y = problem(m, n, k, dtype, rng, layouts)
            check(product(x, y), a, b, f"{level} {dtype} {m}x{n}x{k} {layouts}")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("level", ISAS)
@pytest.mark.parametrize("m", [1, 3])
def test_broadcast_operands(level, dtype, m):
    """Stride 0 along either axis of either operand."""
    rng = np.random.default_rng(2)
    with isa(level):
        for shape_a in ((m, 1), (1, 70), (1, 1)):
            for shape_b in ((70, 1), (1, 50), (1, 1)):
                a = np.broadcast_to(rng.uniform(-1, 1, shape_a).astype(dtype), (m, 70))
                b = np.broadcast_to(rng.uniform(-1, 1, shape_b).astype(dtype), (70, 50))
                check(product(a, b), a, b, f"{level} {shape_a} {shape_b}")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("level", ISAS)
def test_bits_do_not_depend_on_threads(level, dtype):
    rng = np.random.default_rng(3)
    shapes = [(257, 300, 70), (6, 10, 30011), (1, 5000, 300), (3000, 1, 400), (40, 33, 9001), (70, 1029, 128)]
    shapes += [(64, 520, 200), (300, 400, 1300)]
    for m, n, k in shapes:
        for layouts in (("row", "row"), ("column", "row"), ("row", "column")):
            _, _, x, y = problem(m, n, k, dtype, rng, layouts)
            bits = []
            for t in THREADS:
                with isa(level), threads(t):
                    bits.append(product(x, y).tobytes())
            assert len(set(bits)) == 1, f"{level} {dtype} {m}x{n}x{k} {layouts}"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("level", ISAS)
def test_bits_depend_on_row_and_column_only(level, dtype):
    """An element is the same alone, in any block of the product, in a batch, and for any strides."""
    rng = np.random.default_rng(4)
    with isa(level):
        for m, n, k in [(65, 70, 300), (30, 200, 1500), (150, 33, 700), (48, 330, 130)]:
            a, b, _, _ = problem(m, n, k, dtype, rng)
            whole = product(a, b)
            for la in LAYOUTS:
                for lb in LAYOUTS:
                    got = product(lay(a, la, rng), lay(b, lb, rng))
                    assert got.tobytes() == whole.tobytes(), f"{level} {dtype} {m}x{n}x{k} {la} {lb}"
            for _ in range(20):
                i, j = sorted(rng.integers(0, m + 1, 2)), sorted(rng.integers(0, n + 1, 2))
                i, j = slice(i[0], i[1] + 1), slice(j[0], j[1] + 1)
                for la, lb in (("row", "row"), ("column", "column")):
                    got = product(lay(a[i], la, rng), lay(b[:, j], lb, rng))
                    assert got.tobytes() == whole[i, j].tobytes(), f"{level} {dtype} block {i} {j} of {m}x{n}x{k}"
            batched = (fastnn.from_numpy(np.stack([a, a * 2])) @ fastnn.from_numpy(b)).numpy()
            assert batched[0].tobytes() == whole.tobytes()
            assert batched[1].tobytes() == (whole * 2).tobytes()  # a power of two changes no rounding
            assert (fastnn.from_numpy(a[5]) @ fastnn.from_numpy(b)).numpy().tobytes() == whole[5].tobytes()
            column = np.ascontiguousarray(b[:, 7])
            assert (fastnn.from_numpy(a) @ fastnn.from_numpy(column)).numpy().tobytes() == whole[:, 7].tobytes()
            assert (fastnn.from_numpy(a[5]) @ fastnn.from_numpy(column)).numpy().tobytes() == whole[5, 7].tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("level", ISAS)
def test_bias_and_activation_in_every_layout(level, dtype):
    """Few rows times a wide matrix whose columns are contiguous go as their transpose, with the same bits."""
    rng = np.random.default_rng(8)
    with isa(level):
        for m, n, k in [(32, 300, 80), (64, 257, 650), (300, 70, 260)]:
            a, b, _, _ = problem(m, n, k, dtype, rng)
            bias = fastnn.from_numpy(rng.uniform(-3, 3, n).astype(dtype))
            for c in (None, bias):
                for act in (None, "relu"):
                    results = set()
                    for layout in ("row", "column", "pitch"):
                        w = fastnn.from_numpy(lay(b, layout, rng))
                        results.add(fastnn.linear(fastnn.from_numpy(a), w, c, activation=act).numpy().tobytes())
                    assert len(results) == 1, f"{level} {dtype} {m}x{n}x{k} {act}"


@pytest.mark.skipif(len(ISAS) < 3, reason="needs AVX2 and AVX-512")
def test_fused_instruction_sets_agree():
    rng = np.random.default_rng(5)
    for m, n, k in [(33, 47, 65), (1, 300, 900), (20, 800, 200)]:
        _, _, x, y = problem(m, n, k, "float32", rng)
        with isa("avx2"):
            narrow = product(x, y)
        with isa("avx512"):
            assert product(x, y).tobytes() == narrow.tobytes()


@pytest.mark.parametrize("level", ISAS)
def test_old_contents_of_the_result_are_never_read(level):
    """The allocator hands out memory that was full of NaN a moment ago."""
    rng = np.random.default_rng(6)
    with isa(level):
        for m, n, k in [(64, 64, 64), (40, 50, 1300), (5, 7, 0), (3, 4, 20000), (1, 1000, 700), (1000, 1, 1300)]:
            a, b, _, _ = problem(m, n, k, "float32", rng)
            x, y = fastnn.from_numpy(a), fastnn.from_numpy(b)
            for _ in range(3):
                stale = fastnn.from_numpy(np.full((m, n), np.nan, "float32")) + 0
                del stale
                assert np.isfinite((x @ y).numpy()).all(), f"{level} {m}x{n}x{k}"


@pytest.mark.parametrize("level", ISAS)
def test_not_a_number_stays_in_its_row_and_column(level):
    with isa(level):
        for m, n, k in [(15, 35, 20), (1, 100, 30), (100, 1, 30)]:
            a, b = np.ones((m, k), "float32"), np.ones((k, n), "float32")
            a[0, 3], b[4, n - 1] = np.nan, np.inf
            got = fastnn.linear(fastnn.from_numpy(a), fastnn.from_numpy(b), activation="relu").numpy()
            assert np.isnan(got[0]).all()
            assert np.isposinf(got[1:, n - 1]).all()
            assert (got[1:, : n - 1] == k).all()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs mprotect")
@pytest.mark.parametrize("level", ISAS)
def test_nothing_outside_the_operands_is_touched(level):
    """Operands that end, or begin, at a page without access; in a process of its own, which a stray read would kill."""
    script = """
        import ctypes, mmap, sys
        import numpy as np, fastnn
        libc = ctypes.CDLL(None, use_errno=True)
        PAGE = mmap.PAGESIZE
        keep = []

        def guarded(x, at_end):
            size = x.nbytes
            body = -(-size // PAGE) * PAGE
            memory = mmap.mmap(-1, body + 2 * PAGE)
            start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
            for page in (start, start + PAGE + body):
                assert libc.mprotect(ctypes.c_void_p(page), ctypes.c_size_t(PAGE), 0) == 0
            offset = PAGE + (body - size if at_end else 0)
            y = np.frombuffer(memory, x.dtype, x.size, offset).reshape(x.shape)
            y[...] = x
            keep.append(memory)
            return y

        rng = np.random.default_rng(7)
        fastnn.set_isa(sys.argv[1])
        for dtype in ("float32", "float64"):
            for i in range(60):
                m, n, k = (int(v) for v in rng.choice([1, 2, 3, 7, 15, 17, 33, 65, 130], 3))
                ta, tb = rng.integers(0, 2, 2)
                a = guarded(rng.uniform(-1, 1, (k, m) if ta else (m, k)).astype(dtype), i % 2 == 0)
                b = guarded(rng.uniform(-1, 1, (n, k) if tb else (k, n)).astype(dtype), i % 3 != 0)
                bias = guarded(rng.uniform(-1, 1, n).astype(dtype), i % 2 == 1)
                x, y = (a.T if ta else a), (b.T if tb else b)
                got = fastnn.linear(*map(fastnn.from_numpy, (x, y, bias))).numpy()
                assert np.allclose(got, x @ y + bias, atol=1e-3)
        print("done")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), level], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0 and done.stdout.strip() == "done", f"exit {done.returncode}: {done.stderr[-2000:]}"


def test_linear_without_terms_is_the_bias():
    x, w = fastnn.from_numpy(np.zeros((3, 0), "float32")), fastnn.from_numpy(np.zeros((0, 4), "float32"))
    b = fastnn.from_numpy(np.array([1, -2, 3, -4], "float32"))
    assert (fastnn.linear(x, w, b).numpy() == [1, -2, 3, -4]).all()
    assert (fastnn.linear(x, w, b, activation="relu").numpy() == [1, 0, 3, 0]).all()
    assert (fastnn.linear(x, w).numpy() == 0).all()


@pytest.mark.parametrize("shape", [(7, 6), (3, 4, 6), (2, 0, 6), (6,)])
def test_gradients_of_a_view_or_broadcast_upstream(shape):
    """The incoming gradient may have any strides: here those of a transposed view and of an expanded scalar."""
    rng = np.random.default_rng(8)
    x0, w0, b0 = rng.uniform(-1, 1, shape), rng.uniform(-1, 1, (6, 5)), rng.uniform(-1, 1, 5)
    c0 = rng.uniform(-1, 1, (5, *shape[:-1]))
    for weighted in (False, True):
        x, w, b = (fastnn.from_numpy(v.copy()) for v in (x0, w0, b0))
        for t in (x, w, b):
            t.requires_grad = True
        y = fastnn.linear(x, w, b)
        upstream = np.moveaxis(c0, 0, -1) if weighted else np.ones((*shape[:-1], 5))
        (y * fastnn.from_numpy(upstream) if weighted else y).sum().backward()
        g = upstream.reshape(-1, 5)
        assert np.allclose(x.grad.numpy(), (g @ w0.T).reshape(shape), atol=1e-12)
        assert np.allclose(w.grad.numpy(), x0.reshape(-1, 6).T @ g, atol=1e-12)
        assert np.allclose(b.grad.numpy(), g.sum(0), atol=1e-12)


@pytest.mark.parametrize(
    ("a", "b", "error"),
    [
        ((2, 3), (4, 5), ValueError),
        ((3,), (4,), ValueError),
        ((), (4,), ValueError),
        ((2, 3, 4), (3, 4, 5), ValueError),
        ((2, 3), (2, 3), ValueError),
    ],
)
def test_shapes_that_do_not_fit(a, b, error):
    x, y = (fastnn.from_numpy(np.zeros(s, "float32")) for s in (a, b))
    with pytest.raises(error, match="matmul"):
        x @ y


def test_types_that_do_not_fit():
    f32, f64, i64 = (fastnn.from_numpy(np.zeros((2, 2), t)) for t in ("float32", "float64", "int64"))
    for x, y in ((f32, f64), (i64, i64), (f32, i64)):
        with pytest.raises(TypeError, match="matmul"):
            fastnn.matmul(x, y)
    with pytest.raises(TypeError, match="linear"):
        fastnn.linear(f32, f32, f64)
    with pytest.raises(ValueError, match="linear"):
        fastnn.linear(f32, f32, fastnn.from_numpy(np.zeros(3, "float32")))
    with pytest.raises(ValueError, match="activation"):
        fastnn.linear(f32, f32, activation="swish")
