"""What goes to scattered places on a CUDA device, at sizes of several blocks: as on the CPU, the same bits twice."""

import numpy as np
import pytest

import fastnn
import fastnn.nn.functional as F

pytestmark = pytest.mark.device

CPU, CUDA = "cpu", "cuda:0"


def put(values, device):
    return fastnn.from_numpy(np.ascontiguousarray(values)).to(device)


def agree(f, *arrays, exact=True, grad=None):
    """f(*tensors) has the same values on both devices, and so has the gradient of argument `grad`."""

    def run(device):
        tensors = [put(a, device) for a in arrays]
        if grad is not None:
            tensors[grad].requires_grad_()
        y = f(*tensors)
        if grad is None:
            return [y.cpu().numpy()]
        weights = np.random.default_rng(7).standard_normal(y.shape).astype(arrays[grad].dtype)
        (dx,) = fastnn.autograd.grad([y], [tensors[grad]], [put(weights, device)])
        return [y.detach().cpu().numpy(), dx.cpu().numpy()]

    wanted, found, again = run(CPU), run(CUDA), run(CUDA)
    for w, x, z in zip(wanted, found, again, strict=True):
        assert x.dtype == w.dtype and x.shape == w.shape
        assert np.array_equal(x, z, equal_nan=True), "other bits the second time"
        if exact:
            assert np.array_equal(x, w, equal_nan=True)
        else:
            np.testing.assert_allclose(x, w, rtol=1e-11, atol=1e-11)


@pytest.fixture
def rng():
    return np.random.default_rng(3)


@pytest.mark.parametrize("places", [1, 7, 5000, 70000])
@pytest.mark.parametrize("columns", [1, 3])
def test_index_put(rng, places, columns):
    """Sums of thousands of values for one place, and the last of them."""
    x = rng.standard_normal((places, columns))
    i, v = rng.integers(-places, places, 4500), rng.standard_normal((4500, columns))
    agree(lambda a, b, c: fastnn.index_put(a, [b], c, True), x, i, v, exact=False)
    agree(lambda a, b, c: fastnn.index_put(a, [b], c), x, i, v)
    counts = np.ones((4500, columns), np.int64)
    agree(lambda a, b, c: fastnn.index_put(a, [b], c, True), x.astype(np.int64), i, counts)


def test_index_strided(rng):
    """Two index axes around one that is not indexed, written through a window with gaps."""

    def write(x, i, j, v):
        window = x[:, ::2].transpose(0, 2)
        window[i, :, j] = v
        return x

    x, v = rng.standard_normal((60, 40, 30)), rng.standard_normal((300, 20))
    agree(write, x, rng.integers(0, 30, 300), rng.integers(-60, 60, 300), v)


@pytest.mark.parametrize("shape", [(6000,), (3, 2500), (100, 90)])
def test_scatter(rng, shape):
    """Few long rows are sorted, many short ones are walked along."""
    x, src = rng.standard_normal((*shape[:-1], 500)), rng.standard_normal(shape)
    i = rng.integers(0, 500, shape)
    dim = len(shape) - 1
    agree(lambda a, b, c: fastnn.scatter(a, dim, b, c), x, i, src)
    agree(lambda a, b, c: fastnn.scatter(a, dim, b, c), x, i, src, grad=2)
    agree(lambda a, b, c: fastnn.scatter_add(a, dim, b, c), x, i, src, exact=False)
    agree(lambda a, b: fastnn.gather(a, dim, b), x, i, exact=False, grad=0)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int32", "float32", "float64"])
def test_nonzero(rng, dtype):
    """Across the pieces that are counted."""
    agree(lambda a: fastnn.nonzero(a), (rng.random((3, 47000)) < 0.3).astype(dtype))


@pytest.mark.parametrize("width", [1, 6, 8])
def test_embedding(rng, width):
    """A frequent id, ids that are never used, a row that gets no gradient."""
    weight = rng.standard_normal((900, width))
    ids = np.where(rng.random(5000) < 0.4, 3, rng.integers(0, 800, 5000))
    agree(lambda i, w: F.embedding(i, w, padding_idx=5), ids, weight, exact=False, grad=1)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_nms(rng, dtype):
    """More boxes than a tile holds, with ties, NaN and boxes without area."""
    corner, size = rng.integers(0, 400, (4300, 2)), rng.integers(0, 40, (4300, 2))
    boxes = np.concatenate([corner, corner + size], 1).astype(dtype)
    boxes[17, 2] = np.nan
    scores = (rng.integers(0, 500, 4300) / 500).astype(dtype)
    scores[99] = np.nan
    agree(lambda b, s: fastnn.vision.ops.nms(b, s, 0.5), boxes, scores)
    classes = rng.integers(0, 5, 4300)
    agree(lambda b, s, c: fastnn.vision.ops.batched_nms(b, s, c, 0.5), boxes, scores, classes)


def test_pool_large_windows(rng):
    """A mean over an image is shared among the threads of a block, in the same order wherever the image lies."""
    for channels in (1, 3, 40):
        x = rng.standard_normal((2, 60, 31, channels))
        agree(lambda x: F.avg_pool2d(x, 30), x, exact=False, grad=0)
        for image in (x, x.astype(np.float32)):
            moved = put(np.concatenate([image[0, 0, 0, :1], image.ravel()]), CUDA)[1:].reshape(image.shape)
            assert np.array_equal(F.avg_pool2d(moved, 30).cpu(), F.avg_pool2d(put(image, CUDA), 30).cpu())


def test_keys(rng):
    """Lists, arrays, masks, numbers and tensors of the CPU in x[...] go where x is."""

    def write(x):
        x[[0, 0, 2]] = 7.0
        x[np.array([1]), fastnn.tensor([2])] = fastnn.tensor([5.0], dtype=fastnn.float64)
        x[fastnn.tensor([False, False, False, True])] = np.arange(3.0)
        return x

    x = rng.standard_normal((4, 3))
    agree(write, x)
    agree(lambda a: a[[3, 1]], x)
    agree(lambda a, m: fastnn.masked_fill(a, m, 1.0), x, x > 0)
    agree(lambda a, i: fastnn.scatter(a, 0, i, 2.5), x, np.array([[0, 3, 1]]))


@pytest.mark.parametrize("places", [5, 0])
def test_bad_index(places):
    """Refused before anything is read, whatever the size."""
    x = fastnn.zeros(places, 2, device=CUDA)
    for i in (places, -places - 1):
        with pytest.raises(IndexError, match=f"index {i} is out of bounds for axis 0 with size {places}"):
            x[[0] * 40 + [i]] if places else x[[i]]
