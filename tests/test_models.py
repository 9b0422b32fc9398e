"""The networks: exact parameter counts, shapes, blocks against PyTorch, sliding windows, published weights."""

import os
from pathlib import Path

import numpy as np
import pytest

import fastnn
import fastnn.nn.functional as F
from fastnn import convert, models, nn

DATA = Path(os.environ.get("FASTNN_DATA", "/nonexistent"))
needs_weights = pytest.mark.skipif(
    not (DATA / "weights").exists() or not (DATA / "images").exists(), reason="FASTNN_DATA has no weights and images"
)


@pytest.fixture
def untouched(monkeypatch):
    """Parameters stay as they come from the system, so that counting half a gigabyte of them takes none."""
    for name in ("uniform_", "normal_", "kaiming_normal_", "zeros_"):
        monkeypatch.setattr(nn.init, name, lambda tensor, *args, **kwargs: tensor)


COUNTS = [
    (lambda: models.CourseConvNet(), 27_301),
    (lambda: models.CourseLeNet(), 62_006),
    (lambda: models.CourseLeNet(filters=(8, 16)), 62_958),
    (lambda: models.LeNet5(), 61_706),
    (lambda: models.SlidingNet(), 323_620),
    (lambda: models.AlexNet(), 62_378_344),
    (lambda: models.AlexNet(groups=2, norm=True), 60_965_224),
    (lambda: models.vgg11(), 132_863_336),
    (lambda: models.vgg13(), 133_047_848),
    (lambda: models.vgg16(), 138_357_544),
    (lambda: models.vgg19(), 143_667_240),
    (lambda: models.resnet18(), 11_689_512),
    (lambda: models.resnet34(), 21_797_672),
    (lambda: models.resnet50(), 25_557_032),
    (lambda: models.resnet101(), 44_549_160),
    (lambda: models.resnet152(), 60_192_808),
    (lambda: models.resnet20(), 269_722),
    (lambda: models.resnet32(), 464_154),
    (lambda: models.resnet56(), 853_018),
    (lambda: models.plain20(), 269_722),
    (lambda: models.plain56(), 853_018),
    (lambda: models.NetworkInNetwork(), 966_986),
    (lambda: models.SqueezeNet("1.0"), 1_248_424),
    (lambda: models.SqueezeNet("1.1"), 1_235_496),
    (lambda: models.SqueezeNet("1.1", num_classes=0), 722_496),
    (lambda: models.MobileNetV1(), 4_231_976),
    (lambda: models.Inception(192, 64, 96, 128, 16, 32, 32), 163_696),
    (lambda: models.GoogLeNet(), 6_998_552 + 6_379_728),
    (lambda: models.GoogLeNet(auxiliary=False), 6_998_552),
]


@pytest.mark.parametrize("make, count", COUNTS, ids=[str(c) for _, c in COUNTS])
def test_parameter_counts(make, count, untouched):
    assert models.count_parameters(make()) == count


@pytest.mark.parametrize(
    "make, shape, classes",
    [
        (lambda: models.CourseConvNet(3, (45, 40, 1)), (45, 40, 1), 3),
        (lambda: models.CourseLeNet(7, (28, 36, 1)), (28, 36, 1), 7),
        (lambda: models.LeNet5(5, (28, 28, 1), "relu", "max", padding=2), (28, 28, 1), 5),
        (lambda: models.LeNet5(activation="sigmoid"), (32, 32, 1), 10),
        (lambda: models.VGG(11, 4, (32, 48, 3), features=16), (32, 48, 3), 4),
        (lambda: models.resnet18(6, 1), (33, 40, 1), 6),
        (lambda: models.ResNet(models.Bottleneck, (1, 1, 1, 1), 3), (32, 32, 3), 3),
        (lambda: models.resnet20(4), (32, 32, 3), 4),
        (lambda: models.plain20(4), (16, 20, 3), 4),
        (lambda: models.NetworkInNetwork(5), (32, 32, 3), 5),
        (lambda: models.SqueezeNet("1.0", 5), (64, 80, 3), 5),
        (lambda: models.SqueezeNet("1.1", 5), (64, 64, 3), 5),
        (lambda: models.MobileNetV1(5, width=0.25), (40, 64, 3), 5),
        (lambda: models.GoogLeNet(5), (64, 64, 3), 5),
    ],
)
def test_shapes_and_gradients(make, shape, classes):
    fastnn.manual_seed(0)
    model, x = make(), fastnn.rand(2, *shape)
    model.eval()
    with fastnn.no_grad():
        assert tuple(model(x).shape) == (2, classes)
    model.train()
    outputs = model(x)
    models.googlenet_loss(outputs, fastnn.tensor(np.arange(2))).backward()
    grads = [p.grad for p in model.parameters()]
    assert all(g is not None and bool(np.isfinite(g.numpy()).all()) for g in grads)


def test_alexnet_runs():
    model = models.AlexNet(num_classes=3, input_shape=(67, 67, 3), groups=2, norm=True).eval()
    with fastnn.no_grad():
        assert tuple(model(fastnn.rand(1, 67, 67, 3)).shape) == (1, 3)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: models.LeNet5(input_shape=(8, 8, 1)), "too small for conv2"),
        (lambda: models.LeNet5(input_shape=(28, 28)), "height, width, channels"),
        (lambda: models.LeNet5(activation="gelu"), "activation among"),
        (lambda: models.LeNet5(pool="sum"), "pool among"),
        (lambda: models.VGG(17), "depth among"),
        (lambda: models.VGG(16, input_shape=(16, 16, 3)), "too small for pool5"),
        (lambda: models.CifarResNet(21), "6 n"),
        (lambda: models.CifarResNet(20, shortcut="identity"), "shortcut among"),
        (lambda: models.resnet18(num_classes=0), "num_classes"),
        (lambda: models.SqueezeNet("2"), "version"),
        (lambda: models.MobileNetV1(width=0), "width"),
        (lambda: models.load_squeezenet("1.2"), "version"),
    ],
)
def test_wrong_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_output_size_against_pytorch():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    seen = 0
    while seen < 300:
        n, k, s, d = (int(rng.integers(1, high)) for high in (20, 6, 4, 3))
        p, ceil = int(rng.integers(0, k // 2 + 1)), bool(rng.integers(2))
        if d * (k - 1) + 1 > n + 2 * p:
            with pytest.raises(ValueError, match="does not fit"):
                models.output_size(n, k, s, p, d)
            continue
        pooled = torch.nn.functional.max_pool1d(torch.zeros(1, 1, n), k, s, p, d, ceil).shape[2]
        assert models.output_size(n, k, s, p, d, ceil) == pooled
        seen += 1


def test_zero_second_layer_makes_a_block_the_identity():
    block = models.BasicBlock(8, 8).eval()
    nn.init.zeros_(block.conv2.weight)
    x = F.relu(fastnn.randn(2, 5, 5, 8))
    with fastnn.no_grad():
        np.testing.assert_array_equal(block(x).numpy(), x.numpy())
    plain = models.BasicBlock(8, 8, shortcut="none").eval()
    nn.init.zeros_(plain.conv2.weight)
    with fastnn.no_grad():
        assert not plain(x).numpy().any()


def test_zero_shortcut():
    x = fastnn.randn(1, 5, 4, 2)
    y = models.resnet.ZeroPadShortcut(2, 6, 2)(x).numpy()
    assert y.shape == (1, 3, 2, 6)
    np.testing.assert_array_equal(y[..., 2:4], x.numpy()[:, ::2, ::2])
    assert not y[..., :2].any() and not y[..., 4:].any()


def torch_conv(torch, state, name, x, **kw):
    bias = state.get(name + ".bias")
    return torch.nn.functional.conv2d(x, state[name + ".weight"], bias, **kw)


def torch_norm(torch, state, name, x):
    stats = [state[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
    return torch.nn.functional.batch_norm(x, *stats)


@pytest.mark.parametrize("kind", ["basic", "bottleneck", "inception", "fire"])
def test_blocks_against_pytorch(kind):
    torch = pytest.importorskip("torch")
    fastnn.manual_seed(1)
    make = {
        "basic": lambda: models.BasicBlock(6, 8, 2),
        "bottleneck": lambda: models.Bottleneck(6, 4, 2),
        "inception": lambda: models.Inception(6, 3, 2, 4, 2, 5, 3),
        "fire": lambda: models.Fire(6, 3, 4),
    }
    block = make[kind]().double().eval()
    for module in block.modules():
        if isinstance(module, nn.BatchNorm2d):
            for value in (module.weight, module.bias, module.running_mean, module.running_var):
                nn.init.uniform_(value, 0.5, 1.5)
    x = fastnn.randn(2, 7, 9, 6, dtype=fastnn.float64)
    s = {k: torch.from_numpy(v) for k, v in convert.to_torch(block).items()}
    z, relu = torch.from_numpy(x.numpy()).permute(0, 3, 1, 2), torch.relu
    conv = lambda name, x, **kw: torch_conv(torch, s, name, x, **kw)  # noqa: E731
    norm = lambda name, x: torch_norm(torch, s, name, x)  # noqa: E731
    if kind == "basic":
        y = relu(norm("bn1", conv("conv1", z, stride=2, padding=1)))
        y = norm("bn2", conv("conv2", y, padding=1))
    if kind == "bottleneck":
        y = relu(norm("bn1", conv("conv1", z)))
        y = relu(norm("bn2", conv("conv2", y, stride=2, padding=1)))
        y = norm("bn3", conv("conv3", y))
    if kind in ("basic", "bottleneck"):
        y = relu(y + norm("downsample.1", conv("downsample.0", z, stride=2)))
    if kind == "inception":
        pooled = torch.nn.functional.max_pool2d(z, 3, 1, 1)
        y = torch.cat(
            [
                relu(conv("branch1", z)),
                relu(conv("branch3", relu(conv("reduce3", z)), padding=1)),
                relu(conv("branch5", relu(conv("reduce5", z)), padding=2)),
                relu(conv("project", pooled)),
            ],
            1,
        )
    if kind == "fire":
        q = relu(conv("squeeze1x1", z))
        y = torch.cat([relu(conv("expand1x1", q)), relu(conv("expand3x3", q, padding=1))], 1)
    with fastnn.no_grad():
        np.testing.assert_allclose(block(x).numpy(), y.permute(0, 2, 3, 1).numpy(), rtol=0, atol=1e-12)


def test_googlenet_weighs_its_side_classifiers():
    fastnn.manual_seed(0)
    a, b, c = (fastnn.randn(4, 3) for _ in range(3))
    target = fastnn.tensor(np.array([0, 2, 1, 1]))
    total = models.googlenet_loss((a, b, c), target).item()
    one = [F.cross_entropy(t, target).item() for t in (a, b, c)]
    assert total == pytest.approx(one[0] + 0.3 * (one[1] + one[2]), rel=1e-6)
    assert models.googlenet_loss(a, target).item() == pytest.approx(one[0], rel=1e-6)
    assert not isinstance(models.GoogLeNet(3, auxiliary=False)(fastnn.rand(1, 32, 32, 3)), tuple)


# --- sliding windows ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size, cells", [(14, 1), (16, 2), (28, 8)])
def test_sliding_windows_equal_every_crop(size, cells):
    fastnn.manual_seed(size)
    net = models.SlidingNet().eval()
    sliding = models.fc_to_conv(net, (14, 14, 3))
    assert not any(isinstance(m, nn.Linear) for m in sliding.modules())
    assert models.count_parameters(sliding) == 323_620
    x = fastnn.randn(2, size, size, 3)
    with fastnn.no_grad():
        maps, crops = sliding(x), models.every_window(net, x, 14, 2)
    assert tuple(maps.shape) == (2, cells, cells, 4)
    np.testing.assert_allclose(maps.numpy(), crops.numpy(), rtol=0, atol=2e-6)


def test_sliding_windows_of_other_networks():
    fastnn.manual_seed(3)
    x = fastnn.randn(1, 44, 36, 1)
    nets = [
        models.LeNet5(activation="tanh"),
        nn.Sequential(nn.Conv2d(1, 4, 5, activation="relu"), nn.MaxPool2d(4), nn.GlobalAvgPool(), nn.Linear(4, 3)),
        nn.Sequential(nn.Sequential(nn.Conv2d(1, 2, 5, 4), nn.Flatten()), nn.Sequential(nn.Linear(98, 3), nn.ReLU())),
    ]
    for net in nets:
        net.eval()
        sliding = models.fc_to_conv(net, (32, 32, 1))
        with fastnn.no_grad():
            maps, crops = sliding(x).numpy(), models.every_window(net, x, 32, 4).numpy()
        assert maps.shape == crops.shape == (1, 4, 2, crops.shape[3])
        np.testing.assert_allclose(maps, crops, rtol=0, atol=2e-6)


def test_fc_to_conv_refuses():
    with pytest.raises(TypeError, match="Sequential"):
        models.fc_to_conv(models.resnet20(), (32, 32, 3))
    with pytest.raises(ValueError, match="do not fit"):
        models.every_window(models.SlidingNet(), fastnn.rand(1, 8, 8, 3), 14, 2)


# --- what networks cost -------------------------------------------------------------------------------------------


def test_table_leaves_the_model_as_it_was():
    model = models.resnet20()
    model.layer2.eval()
    before = {k: v.numpy().copy() for k, v in model.state_dict().items()}
    rows = models.layer_table(model, (32, 32, 3))
    assert model.training and not model.layer2.training
    assert all(np.array_equal(before[k], v.numpy()) for k, v in model.state_dict().items())
    assert sum(r.parameters for r in rows) == 269_722
    assert models.count_multiplications(model, (32, 32, 3)) == 40_551_040
    assert rows[0].name == "conv1" and rows[0].shape == (32, 32, 16)


# --- published weights --------------------------------------------------------------------------------------------


@needs_weights
def test_squeezenet_knows_a_cat_and_a_coffee():
    pytest.importorskip("PIL")
    model = models.load_squeezenet("1.0", DATA)
    batch = models.imagenet_batch([DATA / "images" / f"content_{name}.png" for name in ("chelsea", "coffee")])
    with fastnn.no_grad():
        p = model(batch).softmax(-1).numpy()
    assert p.argmax(1).tolist() == [285, 967]
    assert abs(p[0, 285] - 0.908) < 0.01 and abs(p[1, 967] - 0.998) < 0.001
    assert np.argsort(-p[0])[:3].tolist() == [285, 282, 281]


@needs_weights
def test_squeezenet_features_without_classifier():
    model = models.load_squeezenet("1.1", DATA)
    with fastnn.no_grad():
        maps = model(fastnn.randn(1, 64, 64, 3) * 60)
    assert tuple(maps.shape) == (1, 3, 3, 512) and maps.numpy().max() > 0


def test_load_squeezenet_says_what_is_wrong(tmp_path):
    with pytest.raises(FileNotFoundError, match="squeezenet_v1_0"):
        models.load_squeezenet("1.0", tmp_path)
    np.savez(tmp_path / "w.npz", a=np.zeros(3, np.float32))
    with pytest.raises(KeyError, match="missing keys"):
        models.load_squeezenet("1.0", path=tmp_path / "w.npz")


def test_imagenet_batch_is_bgr_without_the_mean():
    pytest.importorskip("PIL")
    red = np.zeros((10, 20, 3), np.uint8)
    red[:, :5, 0] = red[:, 15:, 0] = 255
    for crop in (False, True):
        x = models.imagenet_batch(red, 32, crop).numpy()
        assert x.shape == (1, 32, 32, 3)
        np.testing.assert_allclose(x[0, 16, 16], [-104, -117, -123], atol=1e-4)
        assert (x[0, :, 0, 2] > 0).all() == (not crop)


# --- transfer learning --------------------------------------------------------------------------------------------


def test_kept_features_train_as_the_frozen_network_does():
    fastnn.manual_seed(0)
    body = nn.Sequential(nn.Conv2d(3, 4, 3, 2, activation="relu"), nn.MaxPool2d(2), nn.Flatten())
    x, y = fastnn.randn(12, 11, 11, 3), fastnn.tensor(np.arange(12) % 3)
    body.requires_grad_(False)
    before = body[0].weight.numpy().copy()
    tops = []
    for kept in (False, True):
        fastnn.manual_seed(1)
        top = nn.Linear(16, 3)
        model = top if kept else nn.Sequential(body, top)
        assert models.count_parameters(model, trainable=True) == 16 * 3 + 3
        features = body(x) if kept else x
        assert not features.requires_grad
        optimizer = fastnn.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=0.05)
        for _ in range(5):
            optimizer.zero_grad()
            F.cross_entropy(model(features), y).backward()
            optimizer.step()
        tops.append(top.weight.detach().numpy().copy())
    np.testing.assert_array_equal(*tops)
    np.testing.assert_array_equal(body[0].weight.numpy(), before)


def test_a_new_head_on_loaded_layers():
    fastnn.manual_seed(0)
    source, target = models.SqueezeNet("1.1", 7), models.SqueezeNet("1.1", 3)
    state = {k: v for k, v in source.state_dict().items() if not k.startswith("conv10")}
    missing, unexpected = target.load_state_dict(state, strict=False)
    assert missing == ["conv10.weight", "conv10.bias"] and not unexpected
    x = fastnn.rand(1, 40, 40, 3)
    with fastnn.no_grad():
        last = [name for name, _ in target.named_children()].index("fire9") + 1
        np.testing.assert_array_equal(source.eval()[:last](x).numpy(), target.eval()[:last](x).numpy())
