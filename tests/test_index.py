"""x[key] and x[key] = value against NumPy and PyTorch: a table of keys that matter, and random ones."""

import numpy as np
import pytest

import fastnn

torch = pytest.importorskip("torch")

LAYOUTS = ("dense", "transposed", "strided", "negative")


def array(shape, layout="dense", dtype=np.float64, seed=0):
    """Numbers 0, 1, 2, ... shuffled, in an array of the given shape whose memory is laid out in the given way."""
    rng = np.random.default_rng(seed)
    a = rng.permutation(int(np.prod(shape))).astype(dtype).reshape(shape)
    if layout == "transposed":
        return np.ascontiguousarray(a.T).T
    if layout == "strided" and a.ndim:
        wide = np.zeros((*shape[:-1], shape[-1] * 2), dtype)
        wide[..., ::2] = a
        return wide[..., ::2]
    if layout == "negative" and a.ndim:
        return np.ascontiguousarray(a[::-1])[::-1]
    return a


def numpy_key(key):
    """The key with tensors as arrays."""
    if isinstance(key, tuple):
        return tuple(numpy_key(k) for k in key)
    return key.numpy() if isinstance(key, fastnn.Tensor) else key


def torch_key(key):
    if isinstance(key, tuple):
        return tuple(torch_key(k) for k in key)
    if isinstance(key, fastnn.Tensor):
        key = key.numpy()
    return torch.tensor(key) if isinstance(key, np.ndarray | list) else key


I = fastnn.tensor  # noqa: E741
MASK = np.array([[True, False, True, False], [False, False, True, True], [True, True, False, False]])
KEYS = [
    0,
    -3,
    slice(None),
    slice(1, None),
    slice(None, None, 2),
    slice(None, None, -1),
    slice(2, 0, -1),
    slice(5, 9),
    None,
    ...,
    (),
    True,
    False,
    np.int64(1),
    np.bool_(True),
    I(1),
    (0, 1, 2),
    (..., 0),
    (None, ..., None),
    (slice(None), None, 1),
    (slice(None), slice(None, None, -2), slice(4, 0, -3)),
    [0, 2, 0],
    [],
    [[0, 1], [2, -1]],
    I([0, -1]),
    I(np.array([2, 0], np.int32)),
    (I([0, 1, 2]), I([0, 1, 3])),
    (I([[0], [1]]), I([0, 1, 3])),
    (slice(None), [1, 3, 1]),
    (slice(None), I([[1], [3]]), slice(1, 3)),
    ([0, 2], slice(None), [1, 4]),
    ([0, 2], None, [1, 3]),
    (slice(None), [0, 2], [1, 4]),
    (..., [0, 2]),
    (..., [0, 2], slice(None, None, 2)),
    (0, [1, 2]),
    (None, [1, 2], None),
    (slice(None, None, -1), slice(1, None), [4, -5]),
    np.array([True, False, True]),
    [True, False, True],
    MASK,
    I(MASK),
    (MASK, 0),
    (MASK, slice(None, None, -1)),
    (slice(None), np.array([True, False, True, True])),
    (np.array([True, False, True]), slice(None), [1, 4]),
    (np.array([True, False, True]), [1, 2]),
    (np.zeros(3, bool), 0),
    (True, [0, 1]),
]


def key_id(key):
    return str(numpy_key(key)).replace(" ", "").replace("\n", "")


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("key", KEYS, ids=key_id)
def test_read(key, layout):
    a = array((3, 4, 5), layout)
    y = fastnn.from_numpy(a)[key]
    expected = a[numpy_key(key)]
    assert y.shape == expected.shape
    np.testing.assert_array_equal(y.numpy(), expected)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("key", KEYS, ids=key_id)
def test_write(key, layout):
    a = array((3, 4, 5), layout)
    x = fastnn.from_numpy(a.copy() if layout == "dense" else array((3, 4, 5), layout))
    selected = a[numpy_key(key)]
    values = [7.0, np.arange(selected.size, dtype=np.float64).reshape(selected.shape)]
    if selected.ndim and selected.shape[0] > 1:
        values += [values[1][:1].copy(), values[1][None]]
    for value in values:
        a[numpy_key(key)] = value
        x[key] = fastnn.from_numpy(value) if isinstance(value, np.ndarray) else value
        np.testing.assert_array_equal(x.numpy(), a)


@pytest.mark.parametrize("dtype", ["float32", "int64", "int32", "uint8", "bool"])
def test_dtypes(dtype):
    a = (np.arange(24) % 7).astype(dtype).reshape(4, 6)
    x = fastnn.from_numpy(a.copy())
    for key in [2, (slice(None), [1, 5]), a > 3]:
        assert x[key].dtype == fastnn.from_numpy(a).dtype
        np.testing.assert_array_equal(x[key].numpy(), a[key])
        value = np.zeros_like(a[key])
        x[key] = value
        a[key] = value
        np.testing.assert_array_equal(x.numpy(), a)


def test_integer_beside_separated_tensors_follows_torch():
    # NumPy counts the integer among the separated index arrays and moves their block to the front.
    a = array((3, 4, 5))
    expected = torch.tensor(a)[0, :, [1, 4]].numpy()
    np.testing.assert_array_equal(fastnn.from_numpy(a)[0, :, [1, 4]].numpy(), expected)


def random_key(rng, shape):
    """A random key that fits an array of this shape, and whether NumPy and PyTorch agree on it."""
    key, axis, block = [], 0, (int(rng.integers(0, 4)),) if rng.random() < 0.6 else (2, 1 + int(rng.integers(0, 2)))
    ellipsis = False
    while axis < len(shape) and rng.random() < 0.9:
        n, kind = shape[axis], rng.integers(0, 8)
        if kind == 0 and n:
            key.append(int(rng.integers(-n, n)))
        elif kind == 1 or kind == 2:
            low, high, step = (None if rng.random() < 0.4 else int(rng.integers(-n - 2, n + 3)) for _ in range(3))
            key.append(slice(low, high, step or None))
        elif kind == 3:
            key.append(None)
            continue
        elif kind == 4 and not ellipsis:
            ellipsis = True
            skip = int(rng.integers(1, len(shape) - axis + 1))
            key.append(...)  # never empty: to NumPy an empty one still separates index arrays, to PyTorch it does not
            rest = len(shape) - axis - skip
            axis += skip
            for n in shape[len(shape) - rest :]:
                key.append(slice(None, None, int(rng.choice([-2, -1, 1, 2]))) if rng.random() < 0.5 or not n else [0])
            axis = len(shape)
            continue
        elif kind == 5 and axis + 2 <= len(shape) and not any(isinstance(k, np.ndarray) for k in key):
            mask = rng.random(shape[axis : axis + 2]) < 0.5
            key.append(mask)
            block = (int(mask.sum()),)
            axis += 2
            continue
        elif n:
            sizes = tuple(1 if rng.random() < 0.2 else b for b in block)
            key.append(rng.integers(-n, n, size=sizes))
        else:
            key.append(slice(None))
        axis += 1
    return tuple(key)


def test_random_keys():
    rng = np.random.default_rng(1)
    compared = 0
    for trial in range(3000):
        shape = tuple(int(n) for n in rng.integers(0 if trial % 10 == 0 else 1, 5, size=rng.integers(1, 5)))
        key = random_key(rng, shape)
        if any(isinstance(k, int) for k in key) and any(isinstance(k, np.ndarray | list) for k in key):
            # An integer counts as an index array in NumPy: see the test above.
            key = tuple(k for k in key if not isinstance(k, int)) if rng.random() < 0.7 else key
            if any(isinstance(k, int) for k in key):
                key = tuple(slice(k, k + 1 or None) if isinstance(k, int) else k for k in key)
        a = array(shape, LAYOUTS[trial % 4], seed=trial)
        try:
            expected = a[key]
        except (IndexError, ValueError):
            with pytest.raises((IndexError, ValueError)):
                fastnn.from_numpy(a)[key]
            continue
        compared += 1
        x = fastnn.from_numpy(a)
        y = x[key]
        assert y.shape == expected.shape, (shape, key)
        np.testing.assert_array_equal(y.numpy(), expected, err_msg=str(key))
        value = rng.normal(size=expected.shape)
        b = a.copy()
        b[key] = value
        x[key] = value
        np.testing.assert_array_equal(x.numpy(), b, err_msg=str(key))
    assert compared > 2000


@pytest.mark.parametrize("key", [k for k in KEYS if not (isinstance(k, tuple) and k and "-" in key_id(k))], ids=key_id)
def test_gradients_follow_torch(key):
    a = array((3, 4, 5))
    x = fastnn.tensor(a, dtype=fastnn.float64, requires_grad=True)
    t = torch.tensor(a, requires_grad=True)
    try:
        ty = t[torch_key(key)]
    except (ValueError, TypeError, IndexError):
        pytest.skip("PyTorch has no negative steps")
    y = x[key]
    weight = np.cos(np.arange(ty.numel())).reshape(y.shape)
    (y * fastnn.from_numpy(weight)).sum().backward()
    (ty * torch.tensor(weight)).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), t.grad.numpy(), rtol=1e-14)


@pytest.mark.parametrize(
    "key", [1, slice(None, None, -2), (slice(None), [0, 3]), MASK, (..., [2, 0]), ([0, 2], slice(None), [1, 1])]
)
def test_write_gradients(key):
    rng = np.random.default_rng(2)
    a, w = rng.normal(size=(3, 4, 5)), rng.normal(size=(3, 4, 5))
    v = rng.normal(size=a[key].shape)

    def f(x, value):
        y = x * 1.0
        y[key] = value * 2.0
        return (y * y * fastnn.from_numpy(w)).sum()

    fastnn.autograd.gradcheck(
        f,
        [fastnn.tensor(a, dtype="float64", requires_grad=True), fastnn.tensor(v, dtype="float64", requires_grad=True)],
    )
    one = fastnn.tensor(np.array(0.5), dtype="float64", requires_grad=True)  # broadcast
    fastnn.autograd.gradcheck(f, [fastnn.tensor(a, dtype="float64", requires_grad=True), one])


def test_value_written_over_has_no_gradient():
    v = fastnn.tensor([1.0, 2.0, 3.0], requires_grad=True)
    x = fastnn.tensor([0.0, 0.0])
    x[[1, 1, 0]] = v
    np.testing.assert_array_equal(x.detach().numpy(), [3, 2])
    x.sum().backward()
    np.testing.assert_array_equal(v.grad.numpy(), [0, 1, 1])


def test_augmented():
    x = fastnn.tensor(np.arange(6, dtype=np.float32))
    x[x.numpy() > 2] += 10
    x[1:3] += 1
    x[0] += 5
    np.testing.assert_array_equal(x.numpy(), [5, 2, 3, 13, 14, 15])
    a = fastnn.tensor(np.arange(6, dtype=np.float32), requires_grad=True)
    y = a * 1.0
    y[1:3] += a[0:2]
    y[[4, 5]] *= 3.0
    y.sum().backward()
    np.testing.assert_array_equal(a.grad.numpy(), [2, 2, 1, 1, 3, 3])


def test_overlapping_assignment():
    a = np.arange(10.0)
    x = fastnn.from_numpy(a.copy())
    x[1:] = x[:-1]
    a[1:] = a[:-1].copy()
    np.testing.assert_array_equal(x.numpy(), a)
    x[[0, 1, 2]] = x[::-1][:3]
    a[[0, 1, 2]] = a[::-1][:3].copy()
    np.testing.assert_array_equal(x.numpy(), a)


def test_conversion_of_values():
    x = fastnn.tensor(np.arange(4, dtype=np.int32))
    x[1] = fastnn.tensor([7], dtype="int64")
    x[2] = np.float64(3.0)
    np.testing.assert_array_equal(x.numpy(), [0, 7, 3, 3])
    y = fastnn.tensor([0.0, 0.0])
    y[:] = [1, 2.5]
    y[0] = True
    np.testing.assert_array_equal(y.numpy(), [1, 2.5])
    v = fastnn.tensor([3.0], dtype="float64", requires_grad=True)
    z = fastnn.tensor([0.0, 0.0])
    z[1:] = v
    z.sum().backward()
    assert v.grad.dtype == fastnn.float64 and v.grad.item() == 1


@pytest.mark.parametrize(
    ("key", "error"),
    [
        (3, IndexError),
        (-4, IndexError),
        ([0, 3], IndexError),
        (I([0, -4]), IndexError),
        ((slice(None), [4]), IndexError),
        ((0, 0, 0), IndexError),
        ((..., ...), IndexError),
        (([0, 1], [0, 1, 2]), ValueError),
        (np.ones(4, bool), IndexError),
        (np.ones((3, 3), bool), IndexError),
        (I([0.5]), TypeError),
        (1.0, TypeError),
        ("a", TypeError),
        (object(), TypeError),
        (slice(None, None, 0), ValueError),
        (slice("a"), TypeError),
        (2**70, (IndexError, OverflowError)),
        ([2**70], (TypeError, OverflowError)),
        ((None,) * 12, ValueError),
    ],
    ids=key_id,
)
def test_bad_keys(key, error):
    x = fastnn.tensor(np.arange(12.0).reshape(3, 4))
    with pytest.raises(error):
        x[key]
    with pytest.raises(error):
        x[key] = 1.0
    np.testing.assert_array_equal(x.numpy(), np.arange(12).reshape(3, 4))


def test_bad_values():
    x = fastnn.tensor(np.arange(12.0).reshape(3, 4))
    for key, value, error in [
        (0, [1.0, 2.0], ValueError),
        ([0, 1], np.ones((3, 4)), ValueError),
        (0, "a", TypeError),
        (0, None, TypeError),
        (slice(None), np.ones((2, 3, 4)), ValueError),
        ([0, 5], 1.0, IndexError),
    ]:
        with pytest.raises(error):
            x[key] = value
    with pytest.raises(TypeError):
        del x[0]
    with pytest.raises(ValueError):
        fastnn.tensor([1, 2])[0] = 0.5
    with pytest.raises(OverflowError):
        fastnn.tensor(np.zeros(2, np.uint8))[0] = 300
    np.testing.assert_array_equal(x.numpy(), np.arange(12).reshape(3, 4))
    leaf = fastnn.tensor([1.0, 2.0], requires_grad=True)
    for key in (0, [0], slice(None)):
        with pytest.raises(RuntimeError):
            leaf[key] = 1.0
    read_only = np.zeros(3)
    read_only.flags.writeable = False
    with pytest.raises(ValueError):
        fastnn.from_numpy(read_only)[0] = 1.0
    with pytest.raises(ValueError):
        fastnn.tensor([[1.0]]).expand(3, 3)[0, 0:2] = 1.0


def test_same_bits_on_any_number_of_threads():
    rng = np.random.default_rng(3)
    ids = rng.integers(0, 50, size=20000)
    dy = fastnn.tensor(rng.normal(size=(20000, 70)))
    before = fastnn.get_num_threads()
    try:
        results = []
        for threads in (1, 2, 3, 8):
            fastnn.set_num_threads(threads)
            x = fastnn.tensor(np.arange(50 * 70.0).reshape(50, 70), requires_grad=True)
            y = x[ids]
            (y * dy).sum().backward()
            z = fastnn.tensor(np.zeros((50, 70)))
            z[ids] = dy
            results.append((y.detach().numpy().tobytes(), x.grad.numpy().tobytes(), z.numpy().tobytes()))
        assert all(r == results[0] for r in results)
    finally:
        fastnn.set_num_threads(before)
