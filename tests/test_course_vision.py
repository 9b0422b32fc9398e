"""The worked numbers of the course, part four, weeks one and two: convolution, padding, pooling, shapes, costs."""

import math

import numpy as np
import pytest
from course import arr, close, t64

import fastnn
import fastnn.nn.functional as F
from fastnn import models, nn

EDGES = [[3, 0, 1, 2, 7, 4], [1, 5, 8, 9, 3, 1], [2, 7, 2, 5, 1, 3],
         [0, 1, 3, 1, 7, 8], [4, 2, 1, 6, 2, 8], [2, 4, 5, 2, 3, 9]]  # fmt: skip
VERTICAL = [[1, 0, -1]] * 3
SOBEL = [[1, 0, -1], [2, 0, -2], [1, 0, -1]]
SCHARR = [[3, 0, -3], [10, 0, -10], [3, 0, -3]]
STEP = [[10, 10, 10, 0, 0, 0]] * 6


def image(a):
    """A grey image [H, W] as a batch of one, float64."""
    return t64(np.asarray(a, float)[None, :, :, None])


def kernel(a):
    return t64(np.asarray(a, float)[:, :, None, None])


def convolve(a, k, **options):
    """The filter k over the grey image a, as a matrix."""
    return arr(F.conv2d(image(a), kernel(k), **options))[0, :, :, 0]


def shape_of(shape, filters, size, **options):
    """Shape of an image behind a convolution."""
    return tuple(nn.Conv2d(shape[-1], filters, size, **options)(fastnn.zeros(1, *shape)).shape[1:])


# --- 4.1: edges ---------------------------------------------------------------------------------------------------


def test_inputs_of_a_large_image_are_too_many_for_a_dense_layer():
    assert 64 * 64 * 3 == 12_288 and 1000 * 1000 * 3 * 1000 == 3 * 10**9


def test_vertical_edges_of_six_by_six():
    expected = [[-5, -4, 0, 8], [-10, -2, 2, 3], [0, -2, -4, -7], [-3, -2, -3, -16]]
    close(convolve(EDGES, VERTICAL), expected, 0)
    products = np.array(EDGES)[:3, :3] * VERTICAL
    assert products.tolist() == [[3, 0, -1], [1, 0, -8], [2, 0, -2]] and products.sum() == -5


def test_an_edge_and_its_direction():
    close(convolve(STEP, VERTICAL), [[0, 30, 30, 0]] * 4, 0)
    close(convolve(np.fliplr(STEP), VERTICAL), [[0, -30, -30, 0]] * 4, 0)


def test_horizontal_edges():
    corners = [[10, 10, 10, 0, 0, 0]] * 3 + [[0, 0, 0, 10, 10, 10]] * 3
    middle = [30, 10, -10, -30]
    close(convolve(corners, np.transpose(VERTICAL)), [[0] * 4, middle, middle, [0] * 4], 0)
    close(convolve(corners, VERTICAL), [[0, 30, 30, 0], [0, 10, 10, 0], [0, -10, -10, 0], [0, -30, -30, 0]], 0)


def test_sobel_and_scharr():
    close(convolve(EDGES, SOBEL), [[-12, -8, 5, 16], [-10, 0, 3, 5], [-3, -2, -8, -14], [0, -6, -4, -18]], 0)
    close(convolve(STEP, SOBEL), [[0, 40, 40, 0]] * 4, 0)
    scharr = [[-64, -40, 35, 80], [-30, 8, 13, 23], [-21, -6, -40, -70], [12, -34, -16, -62]]
    close(convolve(EDGES, SCHARR), scharr, 0)
    close(convolve(STEP, SCHARR), [[0, 160, 160, 0]] * 4, 0)


@pytest.mark.parametrize("wanted", [VERTICAL, SOBEL, SCHARR])
def test_nine_numbers_of_a_filter_can_be_learnt(wanted):
    x, target = image(EDGES), F.conv2d(image(EDGES), kernel(wanted))
    w = fastnn.zeros(3, 3, 1, 1, dtype=fastnn.float64).requires_grad_()
    optimizer = fastnn.optim.Adam([w], lr=0.1)
    for _ in range(1500):
        optimizer.zero_grad()
        F.mse_loss(F.conv2d(x, w), target).backward()
        optimizer.step()
    close(w[:, :, 0, 0], wanted, 1e-3)


# --- 4.1: padding, strides, flips ---------------------------------------------------------------------------------


def test_padding_by_one():
    padded = [[-5, -5, -6, -1, 6, 10], [-12, -5, -4, 0, 8, 11], [-13, -10, -2, 2, 3, 11],
              [-10, 0, -2, -4, -7, 10], [-7, -3, -2, -3, -16, 12], [-6, 0, -2, 1, -9, 5]]  # fmt: skip
    close(convolve(EDGES, VERTICAL, padding=1), padded, 0)
    close(convolve(EDGES, VERTICAL, padding="same"), padded, 0)
    close(convolve(EDGES, VERTICAL, padding="valid"), np.array(padded)[1:-1, 1:-1], 0)


def test_same_padding_is_half_of_an_odd_filter():
    for f, p in ((1, 0), (3, 1), (5, 2), (7, 3)):
        assert models.output_size(6, f, 1, p) == 6 == convolve(EDGES, np.ones((f, f)), padding="same").shape[0]
    assert convolve(EDGES, np.ones((2, 2)), padding="same").shape == (6, 6)  # an even filter pads one side more
    assert models.output_size(6, 3) == 4 and models.output_size(6, 3, 1, 1) == 6
    with pytest.raises(ValueError, match="does not fit"):
        models.output_size(2, 3)


STRIDED = [[2, 3, 7, 4, 6, 2, 9], [6, 6, 9, 8, 7, 4, 3], [3, 4, 8, 3, 8, 9, 7], [7, 8, 3, 6, 6, 3, 4],
           [4, 2, 1, 8, 3, 4, 6], [3, 2, 4, 1, 9, 8, 3], [0, 1, 3, 9, 2, 1, 4]]  # fmt: skip
STRIDED_FILTER = [[3, 4, 4], [1, 0, 2], [-1, 0, 3]]


def test_strides():
    # The lecture prints 83 and 127 for the entries that are 88 and 117.
    close(convolve(STRIDED, STRIDED_FILTER, stride=2), [[91, 100, 88], [69, 91, 117], [44, 72, 74]], 0)
    close(convolve(STRIDED, STRIDED_FILTER, stride=3), [[91, 84], [80, 93]], 0)
    every = [[91, 80, 100, 84, 88], [99, 106, 126, 92, 77], [69, 98, 91, 93, 117], [80, 79, 87, 93, 61],
             [44, 72, 72, 63, 74]]  # fmt: skip
    close(convolve(STRIDED, STRIDED_FILTER), every, 0)
    assert [models.output_size(7, 3, s) for s in (1, 2, 3)] == [5, 3, 2]
    assert models.output_size(39, 3) == 37 and models.output_size(6, 3, 2) == 2
    assert models.output_size(227, 11, 4) == 55 and models.output_size(224, 11, 4) == 54


def test_convolution_of_the_textbooks_flips_the_filter():
    flipped = fastnn.flip(kernel([[3, 4, 5], [1, 0, 2], [-1, 9, 7]]), (0, 1))
    close(flipped[:, :, 0, 0], [[7, 9, -1], [2, 0, 1], [5, 4, 3]], 0)

    def full(a, k, flip):
        k = np.flip(k) if flip else np.asarray(k)
        return convolve(a, k, padding=[(k.shape[0] - 1,) * 2, (k.shape[1] - 1,) * 2])

    a, b, c = EDGES, VERTICAL, STRIDED_FILTER
    close(full(full(a, b, True), c, True), full(a, full(b, c, True), True), 0)  # associative
    assert np.abs(full(full(a, b, False), c, False) - full(a, full(b, c, False), False)).max() > 1  # without, it is not


def test_two_filters_over_six_by_six():
    x = [[1, 0, 0, 0, 0, 1], [0, 1, 0, 0, 1, 0], [0, 0, 1, 1, 0, 0],
         [1, 0, 0, 0, 1, 0], [0, 1, 0, 0, 1, 0], [0, 0, 1, 0, 1, 0]]  # fmt: skip
    one, two = [[1, -1, -1], [-1, 1, -1], [-1, -1, 1]], [[-1, 1, -1]] * 3
    map1 = [[3, -1, -3, -1], [-3, 1, 0, -3], [-3, -3, 0, 1], [3, -2, -2, -1]]
    map2 = [[-1, -1, -1, -1], [-1, -1, -2, 1], [-1, -1, -2, 1], [-1, 0, -4, 3]]
    both = F.conv2d(image(x), fastnn.cat([kernel(one), kernel(two)], 3))
    assert tuple(both.shape) == (1, 4, 4, 2)  # as many channels as filters
    close(both[0, :, :, 0], map1, 0), close(both[0, :, :, 1], map2, 0)
    close(convolve(x, one, stride=2), [[3, -3], [-3, 0]], 0), close(convolve(x, two, stride=2), [[-1, -1], [-1, -2]], 0)
    pooled, means = F.max_pool2d(both, 2)[0], F.avg_pool2d(both, 2)[0]
    close(pooled[:, :, 0], [[3, 0], [3, 1]], 0), close(pooled[:, :, 1], [[-1, 1], [0, 3]], 0)
    close(means[:, :, 0], [[0, -1.75], [-1.25, -0.5]], 0), close(means[:, :, 1], [[-1, -0.75], [-0.75, -0.5]], 0)
    same = [[2, -2, -1, 1, -2, 0], [-2, 3, -1, -3, -1, -2], [-2, -3, 1, 0, -3, 0], [2, -3, -3, 0, 1, -2],
            [-2, 3, -2, -2, -1, -1], [-1, -2, 2, -3, 0, 0]]  # fmt: skip
    close(convolve(x, one, padding=1), same, 0)
    close(convolve(x, [[1, -1, 1], [-1, 1, -1], [1, -1, 1]]),
          [[3, -1, -1, 3], [-1, 1, 2, -3], [-1, 1, 0, 1], [3, -2, 2, -1]], 0)  # fmt: skip
    close(convolve(x, [[-1, -1, 1], [-1, 1, -1], [1, -1, -1]]),
          [[-1, -3, -1, 3], [-1, -1, 0, -3], [-1, 1, -4, -1], [-1, -2, 0, -1]], 0)  # fmt: skip


# --- 4.1: volumes and layers --------------------------------------------------------------------------------------


def test_a_filter_of_one_colour_sees_edges_of_that_colour():
    red, green = np.zeros((1, 6, 6, 3)), np.zeros((1, 6, 6, 3))
    red[..., 0] = green[..., 1] = STEP
    only_red, any_colour = np.zeros((3, 3, 3, 1)), np.tile(np.array(VERTICAL)[:, :, None, None], (1, 1, 3, 1))
    only_red[:, :, 0, 0] = VERTICAL
    edge = np.tile([0, 30, 30, 0], (4, 1))
    for x, w, expected in ((red, only_red, edge), (green, only_red, 0 * edge), (green, any_colour, edge)):
        y = F.conv2d(t64(x), t64(w.astype(float)))
        assert tuple(y.shape) == (1, 4, 4, 1)
        close(y[0, :, :, 0], expected, 0)


def test_volumes_and_many_filters():
    assert shape_of((6, 6, 3), 2, 3) == (4, 4, 2) and shape_of((6, 6, 3), 10, 3) == (4, 4, 10)
    row = models.layer_table(nn.Conv2d(3, 1, 3, bias=False), (6, 6, 3))[0]
    assert row.multiplications == 4 * 4 * 27
    with pytest.raises(ValueError):  # a filter has as many channels as its input
        F.conv2d(fastnn.zeros(1, 6, 6, 3), fastnn.zeros(3, 3, 2, 1))


def test_ten_filters_have_280_parameters():
    layer = nn.Conv2d(3, 10, 3)
    assert models.count_parameters(layer) == 280 == 10 * (3 * 3 * 3 + 1)
    assert tuple(layer.weight.shape) == (3, 3, 3, 10) and tuple(layer.bias.shape) == (10,)


def test_a_layer_is_convolution_bias_and_relu():
    fastnn.manual_seed(0)
    layer = nn.Conv2d(3, 2, 3, activation="relu", dtype=fastnn.float64)
    x = fastnn.randn(2, 6, 6, 3, dtype=fastnn.float64)
    z = F.conv2d(x, layer.weight) + layer.bias
    close(layer(x), np.maximum(arr(z), 0), 1e-14)


def test_small_network_on_39_by_39():
    rows = {r.name: r for r in models.layer_table(models.CourseConvNet(), (39, 39, 3))}
    assert [rows[n].shape for n in ("conv1", "conv2", "conv3", "flatten", "out")] == [
        (37, 37, 10), (17, 17, 20), (7, 7, 40), (1960,), (1,)]  # fmt: skip
    assert [rows[n].parameters for n in ("conv1", "conv2", "conv3", "out")] == [280, 5_020, 20_040, 1_961]


# --- 4.1: pooling and the digit network ---------------------------------------------------------------------------


def test_pooling_examples():
    four = [[1, 3, 2, 1], [2, 9, 1, 1], [1, 3, 2, 3], [5, 6, 1, 2]]
    close(F.max_pool2d(image(four), 2)[0, :, :, 0], [[9, 2], [6, 3]], 0)
    four[2] = [1, 4, 2, 3]
    close(F.avg_pool2d(image(four), 2)[0, :, :, 0], [[3.75, 1.25], [4, 2]], 0)
    five = [[1, 3, 2, 1, 3], [2, 9, 1, 1, 5], [1, 3, 2, 3, 2], [8, 3, 5, 1, 0], [5, 6, 1, 2, 9]]
    close(F.max_pool2d(image(five), 3, 1)[0, :, :, 0], [[9, 9, 5], [9, 9, 5], [8, 6, 9]], 0)
    two = fastnn.cat([image(five), -image(five)], 3)
    pooled = F.max_pool2d(two, 3, 1)
    assert tuple(pooled.shape) == (1, 3, 3, 2)
    close(pooled[..., :1], F.max_pool2d(two[..., :1], 3, 1).numpy(), 0)
    assert tuple(F.global_avg_pool(fastnn.zeros(1, 7, 7, 1000)).shape) == (1, 1000)
    assert models.count_parameters(nn.MaxPool2d(2)) == 0


@pytest.mark.parametrize(
    "filters, sizes, parameters, total",
    [
        (8, (6272, 1568, 1600, 400, 120, 84, 10), (608, 0, 3216, 0, 48_120, 10_164, 850), 62_958),
        (6, (4704, 1176, 1600, 400, 120, 84, 10), (456, 0, 2416, 0, 48_120, 10_164, 850), 62_006),
    ],
)
def test_table_of_the_digit_network(filters, sizes, parameters, total):
    # The notes' own column (208, 416, 48,001, 10,081, 841) leaves out input channels and all but one bias.
    model = models.CourseLeNet(filters=(filters, 16))
    rows = {r.name: r for r in models.layer_table(model, (32, 32, 3))}
    rows = [rows[n] for n in ("conv1", "pool1", "conv2", "pool2", "fc3", "fc4", "out")]
    assert [r.shape for r in rows[:4]] == [(28, 28, filters), (14, 14, filters), (10, 10, 16), (5, 5, 16)]
    assert tuple(r.size for r in rows) == sizes and tuple(r.parameters for r in rows) == parameters
    assert models.count_parameters(model) == total
    assert tuple(model.fc3.weight.shape) == (400, 120)


def test_sharing_and_sparsity():
    assert 32 * 32 * 3 == 3072 and 28 * 28 * 6 == 4704 and 3072 * 4704 == 14_450_688
    assert models.count_parameters(nn.Conv2d(3, 6, 5)) == 456 and models.count_parameters(nn.Conv2d(1, 6, 5)) == 156
    x = image(EDGES).requires_grad_()
    F.conv2d(x, kernel(VERTICAL) + 2)[0, 0, 0, 0].backward()
    seen = arr(x.grad)[0, :, :, 0] != 0
    assert seen.sum() == 9 and seen[:3, :3].all()


def test_a_shifted_image_gives_a_shifted_map():
    x = np.zeros((12, 12))
    x[3:9, 2:8] = EDGES
    moved = np.roll(x, 2, axis=1)
    close(convolve(moved, SOBEL, padding=1), np.roll(convolve(x, SOBEL, padding=1), 2, axis=1), 0)


def test_convolution_as_a_sparse_matrix():
    matrix = np.zeros((16, 36))
    for i in range(4):
        for j in range(4):
            for u in range(3):
                matrix[4 * i + j, 6 * (i + u) + j : 6 * (i + u) + j + 3] = SOBEL[u]
    close(convolve(EDGES, SOBEL).reshape(-1), matrix @ np.reshape(EDGES, -1), 0)
    assert (matrix != 0).sum(1).max() <= 9
    assert models.count_parameters(nn.Linear(36, 16)) == 592 and models.count_parameters(nn.Conv2d(1, 1, 3)) == 10


# --- 4.2: classic networks ----------------------------------------------------------------------------------------


def shapes_and_parameters(model, shape, kinds=("Conv2d", "MaxPool2d", "AvgPool2d", "Linear")):
    rows = [r for r in models.layer_table(model, shape) if r.kind in kinds]
    return [r.shape for r in rows], [r.parameters for r in rows if r.parameters]


def test_lenet5():
    shapes, parameters = shapes_and_parameters(models.LeNet5(), (32, 32, 1))
    assert shapes == [(28, 28, 6), (14, 14, 6), (10, 10, 16), (5, 5, 16), (120,), (84,), (10,)]
    assert parameters == [156, 2416, 48_120, 10_164, 850] and sum(parameters) == 61_706
    assert sum(isinstance(m, nn.AvgPool2d) for m in models.LeNet5().modules()) == 2


def test_alexnet(monkeypatch):
    for name in ("uniform_", "normal_", "kaiming_normal_", "zeros_"):  # shapes and counts only
        monkeypatch.setattr(nn.init, name, lambda tensor, *args, **kwargs: tensor)
    dense = [34_944, 614_656, 885_120, 1_327_488, 884_992, 37_752_832, 16_781_312, 4_097_000]
    grouped = [34_944, 307_456, 885_120, 663_936, 442_624, *dense[5:]]
    for groups, expected in ((1, dense), (2, grouped)):
        layers = [m for m in models.AlexNet(groups=groups).modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
        assert [models.count_parameters(m) for m in layers] == expected
    assert sum(dense) == 62_378_344 and sum(grouped) == 60_965_224
    features = models.AlexNet()[:9]
    shapes, _ = shapes_and_parameters(features, (227, 227, 3))
    assert shapes == [(55, 55, 96), (27, 27, 96), (27, 27, 256), (13, 13, 256), (13, 13, 384), (13, 13, 384),
                      (13, 13, 256), (6, 6, 256)]  # fmt: skip
    assert 6 * 6 * 256 == 9216 == models.AlexNet().fc6.in_features


def test_local_response_normalisation_of_alexnet():
    # b_i = a_i / (k + alpha * sum of five squares) ^ beta, the constants of the paper
    layer = models.AlexNet(num_classes=1, input_shape=(67, 67, 3), norm=True).norm1
    a = np.random.default_rng(0).normal(size=(1, 2, 2, 7)) * 20
    expected = np.empty_like(a)
    for i in range(7):
        squares = (a[..., max(i - 2, 0) : i + 3] ** 2).sum(-1)
        expected[..., i] = a[..., i] / (2 + 1e-4 * squares) ** 0.75
    close(layer(t64(a)), expected, 1e-12)


def test_vgg16(monkeypatch):
    for name in ("uniform_", "normal_", "kaiming_normal_", "zeros_"):
        monkeypatch.setattr(nn.init, name, lambda tensor, *args, **kwargs: tensor)
    model = models.vgg16()
    counts = [models.count_parameters(m) for m in model if isinstance(m, (nn.Conv2d, nn.Linear))]
    convolutions = [1792, 36_928, 73_856, 147_584, 295_168, 590_080, 590_080, 1_180_160] + [2_359_808] * 5
    assert counts == convolutions + [102_764_544, 16_781_312, 4_097_000] and len(counts) == 16
    assert sum(counts) == 138_357_544 and sum(convolutions) == 14_714_688
    assert model.fc6.in_features == 7 * 7 * 512
    # The shapes, on an image an eighth as large: halved by each pooling, filters doubled up to 512.
    small, _ = shapes_and_parameters(models.vgg16(10, (32, 32, 3)), (32, 32, 3), ("MaxPool2d",))
    assert small == [(16, 16, 64), (8, 8, 128), (4, 4, 256), (2, 2, 512), (1, 1, 512)]


# --- 4.2: residual blocks, 1x1, Inception -------------------------------------------------------------------------


def test_residual_block_adds_before_the_relu():
    block = models.BasicBlock(4, 4).double().eval()
    x = fastnn.randn(1, 5, 5, 4, dtype=fastnn.float64)
    z = block.branch(x)
    close(block(x), np.maximum(arr(z) + arr(x), 0), 0)


def test_shortcut_between_128_and_256_channels():
    # W_s is 256 x 128: learnt (a 1x1 convolution) or fixed, padding with zeros
    learnt = models.BasicBlock(128, 256, 1).downsample[0]
    assert tuple(learnt.weight.shape) == (1, 1, 128, 256)
    fixed = models.BasicBlock(128, 256, 1, shortcut="zeros").downsample
    assert models.count_parameters(fixed) == 0
    assert tuple(fixed(fastnn.zeros(1, 4, 4, 128)).shape) == (1, 4, 4, 256)


def test_first_layer_of_resnet101():
    first = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
    assert tuple(first(fastnn.zeros(1, 224, 224, 3)).shape) == (1, 112, 112, 64)
    assert models.count_parameters(first) == 9408


def test_one_by_one_convolution():
    x = np.arange(1, 37).reshape(6, 6)
    close(convolve(x, [[2]])[0, :3], [2, 4, 6], 0)
    fastnn.manual_seed(0)
    y, w = fastnn.randn(1, 6, 6, 32, dtype=fastnn.float64), fastnn.randn(32, 5, dtype=fastnn.float64)
    close(F.conv2d(y, w.reshape(1, 1, 32, 5)), (y.reshape(36, 32) @ w).numpy().reshape(1, 6, 6, 5), 1e-13)
    (row,) = models.layer_table(nn.Conv2d(192, 32, 1), (28, 28, 192))
    assert row.shape == (28, 28, 32) and row.parameters == 6176 and row.multiplications == 4_816_896


def test_bottleneck_saves_nine_tenths_of_the_multiplications():
    direct = models.count_multiplications(nn.Conv2d(192, 32, 5, padding=2), (28, 28, 192))
    narrow = nn.Sequential(nn.Conv2d(192, 16, 1), nn.Conv2d(16, 32, 5, padding=2))
    rows = models.layer_table(narrow, (28, 28, 192))
    assert direct == 120_422_400
    assert [r.multiplications for r in rows] == [2_408_448, 10_035_200]  # 12,443,648: the notes print 12.04 million
    assert round(direct / 12_443_648, 2) == 9.68


def test_inception_module():
    module = models.Inception(192, 64, 96, 128, 16, 32, 32)
    rows = {r.name: r for r in models.layer_table(module, (28, 28, 192))}
    assert tuple(module(fastnn.zeros(1, 28, 28, 192)).shape) == (1, 28, 28, 256) and module.out_channels == 256
    names = ("reduce5", "branch5", "reduce3", "branch3", "branch1", "project")
    assert [rows[n].parameters for n in names] == [3088, 12_832, 18_528, 110_720, 12_352, 6176]
    assert rows["pool"].shape == (28, 28, 192) and models.count_parameters(module) == 163_696


# --- 4.3 and 4.4: sliding windows, one and three axes -------------------------------------------------------------


def test_sliding_window_shapes_and_costs():
    net = models.SlidingNet().eval()
    sliding = models.fc_to_conv(net, (14, 14, 3))
    counts = [models.count_parameters(m) for m in sliding if isinstance(m, nn.Conv2d)]
    assert counts == [1216, 160_400, 160_400, 1604]
    for size, cells, cost in ((14, 1, 441_600), (16, 2, 1_459_200), (28, 8, 21_273_600)):
        rows = models.layer_table(sliding, (size, size, 3))
        conv, pool = size - 4, (size - 4) // 2
        expected = [(conv, conv, 16), (pool, pool, 16), (cells, cells, 400), (cells, cells, 400), (cells, cells, 4)]
        assert [r.shape for r in rows if r.kind != "ReLU"] == expected
        assert sum(r.multiplications for r in rows) == cost
    assert 4 * 441_600 == 1_766_400 and 64 * 441_600 == 28_262_400  # crop by crop


def test_one_and_three_axes():
    assert tuple(nn.Conv1d(1, 16, 5)(fastnn.zeros(1, 14, 1)).shape) == (1, 10, 16)
    assert tuple(nn.Conv1d(16, 32, 5)(fastnn.zeros(1, 10, 16)).shape) == (1, 6, 32)
    first, second = nn.Conv3d(1, 16, 5), nn.Conv3d(16, 32, 5)
    assert tuple(second(first(fastnn.zeros(1, 14, 14, 14, 1))).shape) == (1, 6, 6, 6, 32)
    assert models.count_parameters(first) == 2016 and models.count_parameters(second) == 64_032
    assert shape_of((14, 14, 3), 16, 5) == (10, 10, 16) and shape_of((10, 10, 16), 32, 5) == (6, 6, 32)


def test_training_a_convolutional_network_end_to_end():
    """J = mean loss over the examples, descended by gradients of all parameters: a cross is told from a circle."""
    fastnn.manual_seed(0)
    rng, images, labels = np.random.default_rng(0), [], []
    grid = np.arange(8) - 3.5
    cross = np.abs(np.abs(grid[:, None]) - np.abs(grid[None, :])) < 0.5
    circle = np.abs(np.hypot(grid[:, None], grid[None, :]) - 2.5) < 0.7
    for i in range(64):
        picture = np.pad((cross, circle)[i % 2].astype(np.float32), 2)
        images.append(np.roll(picture, rng.integers(-2, 3, 2), (0, 1)) + 0.2 * rng.normal(size=(12, 12)))
        labels.append(i % 2)
    x, y = fastnn.tensor(np.array(images, np.float32)[..., None]), fastnn.tensor(np.array(labels))
    model = nn.Sequential(nn.Conv2d(1, 6, 3, activation="relu"), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(150, 2))
    optimizer = fastnn.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    costs = []
    for _ in range(60):
        optimizer.zero_grad()
        cost = F.cross_entropy(model(x), y)
        cost.backward()
        optimizer.step()
        costs.append(cost.item())
    assert costs[0] == pytest.approx(math.log(2), abs=0.15) and costs[-1] < 0.05
