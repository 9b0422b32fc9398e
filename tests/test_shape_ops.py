"""Creating, picking, joining, rearranging: what the cases do not reach (errors, in-place forms, views, attributes)."""

import numpy as np
import pytest

import fastnn

torch = pytest.importorskip("torch")


def tensor(*shape, dtype="float64", requires_grad=False):
    """0, 1, 2, ... of the given shape."""
    x = fastnn.from_numpy(np.arange(int(np.prod(shape))).reshape(shape).astype(dtype))
    return x.requires_grad_() if requires_grad else x


def same(x, expected):
    """Equal shape and values."""
    expected = np.asarray(expected)
    assert x.shape == expected.shape
    np.testing.assert_array_equal(x.detach().numpy(), expected)


# --- creation ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["empty", "zeros", "ones"])
def test_sizes_and_dtypes(name):
    make = getattr(fastnn, name)
    for sizes in [(2, 3), ((2, 3),), ([2, 3],), (np.int64(2), fastnn.tensor(3))]:
        assert make(*sizes).shape == (2, 3)
    assert make(()).shape == () and make(0).shape == (0,)
    assert make(2).dtype == fastnn.float32
    for dtype in ("bool", "uint8", "int32", "int64", "float32", "float64"):
        assert make(2, 3, dtype=dtype).dtype.name == dtype
        assert getattr(fastnn, name + "_like")(tensor(2, 3, dtype=dtype)).dtype.name == dtype
    x = make(3, requires_grad=True)
    assert x.requires_grad and x.is_leaf
    with pytest.raises(TypeError):
        make(3, dtype="int64", requires_grad=True)


def test_like_is_row_major():
    x = tensor(2, 3).T
    y = fastnn.zeros_like(x, dtype="int32")
    assert y.shape == (3, 2) and y.is_contiguous() and y.dtype == fastnn.int32
    same(fastnn.full_like(x, 7), np.full((3, 2), 7.0))
    same(fastnn.ones_like(tensor(2, dtype="bool")), [True, True])


def test_full_takes_the_dtype_of_its_number():
    for value, dtype in [(3, "int64"), (3.0, "float32"), (True, "bool"), (np.float64(2.5), "float32")]:
        y = fastnn.full((2, 3), value)
        assert y.dtype.name == dtype
        assert y.tolist() == [[value] * 3] * 2
    assert fastnn.full((2,), 3, dtype="float64").dtype == fastnn.float64
    assert fastnn.full(3, 1).shape == (3,)


@pytest.mark.parametrize(
    "args",
    [
        (5,),
        (2, 5),
        (5, 2, -1),
        (0, 10, 3),
        (5.0,),
        (0, 1, 0.25),
        (1, 0, -0.1),
        (True,),
        (-5, 5, 2),
        (0, 0),
        (2**62, 2**62 + 3),
    ],
)
def test_arange_is_torchs(args):
    y, expected = fastnn.arange(*args), torch.arange(*args)
    assert y.dtype.name == str(expected.dtype).removeprefix("torch.")
    np.testing.assert_allclose(y.numpy(), expected.numpy(), rtol=1e-6, atol=1e-7)


def test_arange_of_other_dtypes():
    for dtype in ("uint8", "int32", "float32", "float64"):
        y = fastnn.arange(4, dtype=dtype)
        assert y.dtype.name == dtype and y.tolist() == [0, 1, 2, 3]
    same(fastnn.linspace(0, 4, 5, dtype="int64"), [0, 1, 2, 3, 4])
    same(fastnn.eye(2, dtype="bool"), np.eye(2, dtype=bool))


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: fastnn.zeros(-1), ValueError),
        (lambda: fastnn.zeros(3, -2), ValueError),
        (lambda: fastnn.zeros(2**40, 2**40), OverflowError),
        (lambda: fastnn.zeros(2**62), (OverflowError, MemoryError)),
        (lambda: fastnn.zeros(2**45), MemoryError),
        (lambda: fastnn.zeros(2**70), OverflowError),
        (lambda: fastnn.zeros("a"), TypeError),
        (lambda: fastnn.zeros(1.5), TypeError),
        (lambda: fastnn.zeros(2, dtype="float16"), TypeError),
        (lambda: fastnn.zeros((1,) * 13), ValueError),
        (lambda: fastnn.full((2,), 300, dtype="uint8"), OverflowError),
        (lambda: fastnn.full((2,), 0.5, dtype="int64"), ValueError),
        (lambda: fastnn.full((2,), "a"), TypeError),
        (lambda: fastnn.arange(5, 2), ValueError),
        (lambda: fastnn.arange(0, 5, 0), ValueError),
        (lambda: fastnn.arange(0, float("nan")), ValueError),
        (lambda: fastnn.arange(0, float("inf")), ValueError),
        (lambda: fastnn.arange(0, 1e30), OverflowError),
        (lambda: fastnn.arange(0, 1e15), MemoryError),
        (lambda: fastnn.arange(-(2**63), 2**63 - 1), OverflowError),
        (lambda: fastnn.linspace(0, 1, -1), ValueError),
        (lambda: fastnn.linspace(0, 1e300, 3, dtype="int64"), ValueError),
        (lambda: fastnn.logspace(0, 1, 3, dtype="int32"), TypeError),
        (lambda: fastnn.eye(-1), ValueError),
        (lambda: fastnn.eye(2**40), (OverflowError, MemoryError)),
    ],
)
def test_creation_errors(make, error):
    with pytest.raises(error):
        make()


# --- attributes -------------------------------------------------------------------------------------------------------


def test_attributes():
    x = tensor(2, 3, 4).transpose(0, 2)[1:]
    t = torch.arange(24.0).reshape(2, 3, 4).transpose(0, 2)[1:]
    assert x.size() == tuple(t.size()) and x.size(-1) == t.size(-1)
    assert x.stride() == t.stride() and x.stride(0) == t.stride(0)
    assert x.storage_offset() == t.storage_offset()
    assert x.dim() == 3 and x.numel() == 18 and x.element_size() == 8
    assert x.is_floating_point() and not tensor(2, dtype="int64").is_floating_point()
    assert not x.is_contiguous() and x.contiguous().is_contiguous()
    assert x.data_ptr() == x.numpy().__array_interface__["data"][0]
    assert tensor(2, 3).t().shape == (3, 2) and tensor(2).t().shape == (2,)
    with pytest.raises(ValueError):
        x.t()
    with pytest.raises(IndexError):
        x.size(3)
    for name in ("float", "double", "long", "int", "byte", "bool"):
        assert getattr(tensor(3), name)().dtype.itemsize == {"float": 4, "double": 8, "long": 8, "int": 4}.get(name, 1)


def test_iteration():
    x = tensor(3, 2, requires_grad=True)
    rows = list(x)
    assert [r.tolist() for r in rows] == [[0, 1], [2, 3], [4, 5]]
    (rows[0].sum() + 2 * rows[2].sum()).backward()
    same(x.grad, [[1, 1], [0, 0], [2, 2]])
    a, b = tensor(2)
    assert (a.item(), b.item()) == (0, 1)
    assert list(tensor(0, 3)) == []
    assert [r.tolist() for r in reversed(tensor(2, 2))] == [[2, 3], [0, 1]]
    with pytest.raises(TypeError):
        iter(fastnn.tensor(1.0))


def test_unused_parts_have_zero_gradients():
    x = tensor(64, 64, requires_grad=True)
    parts = x.split(16)
    dirty = [fastnn.full((64, 64), 7.0, dtype="float64") for _ in range(8)]
    del dirty  # leaves memory behind that is not zero
    parts[1].sum().backward()
    expected = np.zeros((64, 64))
    expected[16:32] = 1
    same(x.grad, expected)


def test_contains():
    x = tensor(2, 3)
    assert 4 in x and 6 not in x and 4.0 in x and fastnn.tensor(3.0) in x
    assert 1 not in tensor(0)
    with pytest.raises(TypeError):
        assert "a" in x


def test_views_share_memory():
    x = tensor(4, 3)
    for y in [
        *x.split(2),
        *x.chunk(2, 1),
        *x.unbind(),
        x.narrow(0, 1, 2),
        x.swapaxes(0, 1),
        x.flatten(),
        x.unfold(0, 2, 1),
        *x,
    ]:
        assert y.data_ptr() >= x.data_ptr() and np.shares_memory(y.numpy(), x.numpy())
    x.split([1, 3])[1].fill_(7)
    same(x, [[0, 1, 2], [7, 7, 7], [7, 7, 7], [7, 7, 7]])
    for y in [
        x.flip(0),
        x.repeat(1, 1),
        x.roll(0),
        fastnn.pad(x, (0, 0)),
        fastnn.tile(x, 1),
        x.repeat_interleave(1),
        fastnn.cat([x]),
    ]:
        assert not np.shares_memory(y.numpy(), x.numpy())


def test_in_place_on_a_part():
    x = tensor(4, requires_grad=True)
    y = x * 2.0
    first, second = y.split(2)
    first.mul_(3.0)
    y.sum().backward()
    same(x.grad, [6, 6, 2, 2])
    with pytest.raises(ValueError):
        tensor(5).unfold(0, 3, 1).fill_(1)


# --- picking ----------------------------------------------------------------------------------------------------------


def test_negative_indices():
    x = tensor(3, 4)
    same(fastnn.gather(x, 0, fastnn.tensor([[-1, 0, -3, 2]])), [[8, 1, 2, 11]])
    same(fastnn.take(x, fastnn.tensor([-1, 0])), [11, 0])
    same(fastnn.index_select(x, 1, fastnn.tensor([-1])), [[3], [7], [11]])
    same(x.scatter(1, fastnn.tensor([[-1]]), 50.0), [[0, 1, 2, 50], [4, 5, 6, 7], [8, 9, 10, 11]])


def test_in_place_forms():
    i = fastnn.tensor([[0, 2, 1]])
    a = tensor(3, 3)
    for x in (a.clone(), a.clone().T.contiguous().T, fastnn.from_numpy(np.zeros((3, 6)))[:, ::2]):
        x.copy_(a)
        assert x.scatter_(0, i, 50) is x
        same(x, [[50, 1, 2], [3, 4, 50], [6, 50, 8]])
        x.scatter_add_(0, i, fastnn.full((1, 3), 1.0, dtype="float64"))
        same(x, [[51, 1, 2], [3, 4, 51], [6, 51, 8]])
        x.index_add_(0, fastnn.tensor([1, 1]), fastnn.ones(2, 3, dtype="float64"), alpha=2)
        same(x, [[51, 1, 2], [7, 8, 55], [6, 51, 8]])
        x.masked_fill_(x > 50, 0)
        same(x, [[0, 1, 2], [7, 8, 0], [6, 0, 8]])
        x.index_put_([fastnn.tensor([0, 0])], fastnn.tensor([1.0], dtype="float64"), accumulate=True)
        same(x, [[2, 3, 4], [7, 8, 0], [6, 0, 8]])


@pytest.mark.parametrize(
    "change",
    [
        lambda y, v: y.scatter_(0, fastnn.tensor([[0, 2, 0]]), v[:1]),
        lambda y, v: y.scatter_add_(1, fastnn.tensor([[0, 2], [1, 1]]), v[:, :2]),
        lambda y, v: y.index_add_(0, fastnn.tensor([1, 1]), v[:2], alpha=2),
        lambda y, v: y.masked_fill_(fastnn.tensor([True, False, True]), v[0, 0]),
        lambda y, v: y.index_put_([fastnn.tensor([2, 0, 2])], v),
        lambda y, v: y[1].copy_(v[0]),
        lambda y, v: y.copy_(v),
        lambda y, v: y.T.scatter_(0, fastnn.tensor([[0, 2, 0]]), v[:1]),
        lambda y, v: y[0:1].masked_fill_(fastnn.tensor([True, False, True]), 2.0),
    ],
)
def test_in_place_gradients(change):
    rng = np.random.default_rng(4)
    w = fastnn.from_numpy(rng.normal(size=(3, 3)))

    def f(x, v):
        y = x * 1.0
        change(y, v * 2.0)
        return (y * y * w).sum() + (v * v).sum()

    inputs = [fastnn.from_numpy(rng.normal(size=(3, 3))).requires_grad_() for _ in range(2)]
    fastnn.autograd.gradcheck(f, inputs)


def test_scattered_over():
    src = fastnn.tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = fastnn.zeros(2).scatter(0, fastnn.tensor([1, 1, 0]), src)
    same(y.detach(), [3, 2])
    y.sum().backward()
    same(src.grad, [0, 1, 1])


def test_aliased_source():
    x = tensor(4)
    x.scatter_(0, fastnn.tensor([3, 2, 1, 0]), x)
    same(x, [3, 2, 1, 0])
    x[[0, 1]] = x[2:]
    same(x, [1, 0, 1, 0])


def test_one_hot_dtype():
    y = fastnn.one_hot(fastnn.tensor([1, 0]), 3, dtype="float32")
    assert y.dtype == fastnn.float32
    same(y, [[0.0, 1, 0], [1, 0, 0]])


def test_nonzero_as_tuple():
    x = fastnn.tensor([[0.0, 2.0], [3.0, 0.0]])
    rows, columns = x.nonzero(as_tuple=True)
    assert rows.tolist() == [0, 1] and columns.tolist() == [1, 0]
    same(x[x.nonzero(as_tuple=True)], [2.0, 3.0])


I = fastnn.tensor  # noqa: E741
LONG = I([[0, 5]])


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda x: fastnn.gather(x, 1, LONG), IndexError, "gather: index 5"),
        (lambda x: fastnn.gather(x, 0, I([[0, -4]])), IndexError, "gather: index -4"),
        (lambda x: fastnn.gather(x, 0, I([0])), ValueError, "gather: index of shape"),
        (lambda x: fastnn.gather(x, 0, I([[0, 0, 0, 0, 0]])), ValueError, "gather: index of shape"),
        (lambda x: fastnn.gather(x, 2, I([[0]])), IndexError, "gather: axis"),
        (lambda x: fastnn.gather(x, 0, I([[0.0]])), TypeError, "gather: expected an index"),
        (lambda x: x.scatter(1, LONG, x), IndexError, "scatter: index 5"),
        (lambda x: x.scatter_(1, LONG, 1.0), IndexError, "scatter: index 5"),
        (lambda x: x.scatter_add_(1, LONG, x), IndexError, "scatter_add: index 5"),
        (lambda x: x.scatter(1, I([[0, 1]]), x[:, :1]), ValueError, "scatter: index of shape"),
        (lambda x: x.scatter(1, I([[0, 1]]), x.float()), TypeError, "scatter: expected src of dtype"),
        (lambda x: fastnn.index_select(x, 0, I([3])), IndexError, "index_select: index 3"),
        (lambda x: fastnn.index_select(x, 0, I([[0]])), ValueError, "index_select: expected an index"),
        (lambda x: x.index_add_(0, I([0, 3]), x[:2]), IndexError, "index_add: index 3"),
        (lambda x: x.index_add_(0, I([0]), x[:2]), ValueError, "index_add: expected source of shape"),
        (lambda x: fastnn.take(x, I([12])), IndexError, "take: index 12"),
        (lambda x: fastnn.take_along_dim(x, I([0]), 0), ValueError, "take_along_dim: indices"),
        (lambda x: fastnn.masked_select(x, x), TypeError, "masked_select: expected a bool mask"),
        (lambda x: fastnn.masked_fill(x, x, 0), TypeError, "masked_fill: expected a bool mask"),
        (lambda x: fastnn.masked_fill(x, x > 1, x), ValueError, "masked_fill: expected a number"),
        (lambda x: x.masked_fill_(fastnn.ones(2, 3, 4, dtype="bool"), 0), ValueError, "masked_fill_: the mask"),
        (lambda x: x.masked_fill_(fastnn.ones(2, dtype="bool"), 0), ValueError, "masked_fill"),
        (lambda x: fastnn.one_hot(I([3]), 3), IndexError, "one_hot: index 3"),
        (lambda x: fastnn.one_hot(I([-1]), 3), IndexError, "one_hot: index -1"),
        (lambda x: fastnn.one_hot(x), TypeError, "one_hot: expected an index"),
        (lambda x: fastnn.one_hot(I([1]), 2**62), (OverflowError, MemoryError), ""),
        (lambda x: fastnn.tril(x[0]), ValueError, "tril: expected at least 2"),
        (lambda x: fastnn.index_put(x, [I([3])], x[0]), IndexError, "index_put: index 3"),
        (lambda x: fastnn.index_put(x, [I([0])] * 3, x[0]), IndexError, "index_put: expected 1 to 2"),
        (lambda x: fastnn.cat([]), ValueError, "cat: expected at least one"),
        (lambda x: fastnn.cat([x, x[:, :2]]), ValueError, "cat: expected tensors of equal shapes"),
        (lambda x: fastnn.cat([x, x], 2), IndexError, "cat: axis"),
        (lambda x: fastnn.cat([I(1.0)]), ValueError, "cat: a 0-d tensor"),
        (lambda x: fastnn.cat(x), (TypeError, ValueError), ""),
        (lambda x: fastnn.cat([x, 1]), TypeError, "cat"),
        (lambda x: fastnn.stack([x, x[:2]]), ValueError, "stack: expected tensors of one shape"),
        (lambda x: fastnn.stack([x], 3), IndexError, "stack: axis"),
        (lambda x: x.split(0), ValueError, "split: expected a size > 0"),
        (lambda x: x.split([1, 1]), ValueError, "split: sizes"),
        (lambda x: x.split([4, -1]), ValueError, "split: sizes must"),
        (lambda x: x.chunk(0), ValueError, "chunk: expected a positive"),
        (lambda x: I(1.0).unbind(), ValueError, "unbind: a 0-d"),
        (lambda x: fastnn.pad(x, (1,)), ValueError, "pad: expected pairs"),
        (lambda x: fastnn.pad(x, (1,) * 6), ValueError, "pad: expected pairs"),
        (lambda x: fastnn.pad(x, (-3, -2)), ValueError, "pad: .* crops more"),
        (lambda x: fastnn.pad(x, (4, 0), "reflect"), ValueError, "pad: mode reflect"),
        (lambda x: fastnn.pad(x, (5, 0), "circular"), ValueError, "pad: mode circular"),
        (lambda x: fastnn.pad(x[:0], (0, 0, 1, 0), "replicate"), ValueError, "pad: mode replicate"),
        (lambda x: fastnn.pad(x, (1, 1), "mirror"), ValueError, "pad: mode must be"),
        (lambda x: fastnn.pad(x, (2**62, 2**62)), OverflowError, ""),
        (lambda x: fastnn.pad(I([1]), (1, 1), value=0.5), ValueError, ""),
        (lambda x: x.flip(2), IndexError, "flip: axis"),
        (lambda x: x.flip(0, 0), ValueError, "flip: axis"),
        (lambda x: x.roll((1, 2), 0), ValueError, "roll: expected as many"),
        (lambda x: x.repeat(2), ValueError, "repeat: expected at least 2"),
        (lambda x: x.repeat(2, -1), ValueError, "repeat: numbers"),
        (lambda x: x.repeat(2**31, 2**31), (OverflowError, MemoryError), ""),
        (lambda x: x.repeat_interleave(-1), ValueError, "repeat_interleave: repeats"),
        (lambda x: x.repeat_interleave(I([1, 2]), 0), ValueError, "repeat_interleave: expected one"),
        (lambda x: x.repeat_interleave(2**62), (OverflowError, MemoryError), ""),
        (lambda x: x.unfold(0, 4, 1), ValueError, "unfold: size"),
        (lambda x: x.unfold(0, 2, 0), ValueError, "unfold: step"),
        (lambda x: fastnn.diag(I(1.0)), ValueError, "diag: expected"),
        (lambda x: fastnn.diag_embed(x, 0, 1, 1), ValueError, "diag_embed: dim1"),
        (lambda x: fastnn.diag_embed(x, -(2**63)), OverflowError, ""),
        (lambda x: fastnn.meshgrid(x), ValueError, "meshgrid: expected 0-d or 1-d"),
        (lambda x: fastnn.meshgrid(x[0], indexing="yx"), ValueError, "meshgrid: indexing"),
        (lambda x: fastnn.flatten(x, 1, 0), ValueError, "flatten: start_dim"),
        (lambda x: fastnn.unflatten(x, 1, (3, -1)), ValueError, "unflatten: axis"),
        (lambda x: fastnn.movedim(x, (0, 0), (0, 1)), ValueError, "movedim: an axis appears twice"),
        (lambda x: fastnn.narrow(x, 0, 2, 2), IndexError, "narrow: start"),
        (lambda x: x.copy_(x[:2]), ValueError, "copy_: "),
        (lambda x: fastnn.broadcast_tensors(x, x[:2]), ValueError, "broadcast_tensors: shapes"),
    ],
)
def test_errors(call, error, words):
    x = tensor(3, 4)
    with pytest.raises(error, match=words or None):
        call(x)
    same(x, np.arange(12.0).reshape(3, 4))  # nothing was written


def test_promotion():
    assert fastnn.cat([tensor(2, dtype="int32"), tensor(2, dtype="float32")]).dtype == fastnn.float32
    x = tensor(2, dtype="float32", requires_grad=True)
    fastnn.cat([x, tensor(2)]).sum().backward()
    assert x.grad.dtype == fastnn.float32


def test_random_shapes_against_torch():
    """Compositions with random arguments, some of size 0."""
    rng = np.random.default_rng(5)
    for _ in range(300):
        shape = tuple(int(n) for n in rng.integers(0, 5, size=rng.integers(1, 5)))
        a = rng.normal(size=shape)
        x, t = fastnn.from_numpy(a), torch.from_numpy(a)
        axes = rng.permutation(len(shape)).tolist()
        x, t = x.permute(axes), t.permute(axes)
        dim = int(rng.integers(-len(shape), len(shape)))
        shift = int(rng.integers(-9, 9))
        pads = [int(n) for n in rng.integers(0, 3, size=2 * rng.integers(1, len(shape) + 1))]
        index = rng.integers(0, max(t.shape[dim], 1), size=int(rng.integers(0, 6)) if t.shape[dim] else 0)
        for y, expected in [
            (fastnn.roll(x, shift, dim), torch.roll(t, shift, dim)),
            (x.flip(dim), t.flip(dim)),
            (fastnn.pad(x, pads, value=1.5), torch.nn.functional.pad(t, pads, value=1.5)),
            (fastnn.cat([x, x, x], dim), torch.cat([t, t, t], dim)),
            (fastnn.stack([x, x], dim), torch.stack([t, t], dim)),
            (x.repeat_interleave(2, dim), t.repeat_interleave(2, dim)),
            (x.repeat(*range(len(shape))), t.repeat(*range(len(shape)))),
            (
                fastnn.index_select(x, dim, fastnn.from_numpy(index)),
                torch.index_select(t, dim, torch.from_numpy(index)),
            ),
            (x.flatten(min(0, dim)), t.flatten(min(0, dim))),
            (x.movedim(dim, 0), t.movedim(dim, 0)),
            (fastnn.masked_fill(x, x > 0, 2.0), torch.masked_fill(t, t > 0, 2.0)),
            (fastnn.nonzero(x > 0), torch.nonzero(t > 0)),
        ]:
            assert y.shape == tuple(expected.shape)
            np.testing.assert_array_equal(y.numpy(), expected.numpy())
        for parts, wanted in [(x.split(2, dim), t.split(2, dim)), (x.chunk(3, dim), t.chunk(3, dim))]:
            assert [p.shape for p in parts] == [tuple(w.shape) for w in wanted]
            assert all(np.array_equal(p.numpy(), w.numpy()) for p, w in zip(parts, wanted, strict=True))
