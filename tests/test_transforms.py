"""Changed images: each transform against its formula, what the random numbers depend on, kinds of images, refusals."""

import numpy as np
import pytest

import fastnn
import fastnn.nn.functional as F
from fastnn import nn
from fastnn.data import DataLoader, Draws, Subset, TensorDataset
from fastnn.vision import transforms as T
from fastnn.vision.ops import affine_warp

RNG = np.random.default_rng(0)
X = RNG.random((6, 9, 11, 3), dtype=np.float32)
BYTES = (X * 255).astype(np.uint8)
Y = np.arange(6)


def draws(n=6, seed=5, epoch=2, indices=None):
    return Draws(seed, epoch, np.arange(n) + 3 if indices is None else indices)


def same(a, b):
    np.testing.assert_array_equal(a.numpy(), b)


ALL = [
    T.RandomHorizontalFlip(), T.RandomVerticalFlip(0.3), T.RandomCrop(9, 2),
    T.RandomCrop((5, 7), padding_mode="reflect"),
    T.CenterCrop((5, 7)), T.Resize((5, 6)), T.Resize(14, "bicubic"), T.Resize(4, "area"), T.Resize(20, "nearest"),
    T.RandomResizedCrop(8), T.RandomAffine(20, (0.1, 0.2), (0.8, 1.2), 10), T.RandomRotation(30, "nearest"),
    T.RandomShear((5, 25), padding_mode="symmetric"), T.ColorShift(0.1), T.ColorJitter(0.2, 0.3, 0.4, 0.1),
    T.PCAColor.fit(X, 3.0), T.Cutout(4, 0.8, 1.0), T.Normalize((0.4, 0.5, 0.6), 0.2), T.ToFloat(),
    T.RandomApply(T.RandomRotation(20)), T.Compose([T.RandomCrop(8, 1), T.ColorShift(0.1), T.Cutout(3)]),
]  # fmt: skip


# --- what the random numbers are -----------------------------------------------------------------------------------


def philox(seed, low, high):
    """Philox4x32-10 by the paper, in Python's integers."""
    mask = 0xFFFFFFFF
    c, k = [low & mask, low >> 32 & mask, high & mask, high >> 32 & mask], [seed & mask, seed >> 32 & mask]
    for _ in range(10):
        p, q = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [q >> 32 ^ c[1] ^ k[0], q & mask, p >> 32 ^ c[3] ^ k[1], p & mask]
        k = [(k[0] + 0x9E3779B9) & mask, (k[1] + 0xBB67AE85) & mask]
    return c


def test_draws_are_philox_of_seed_epoch_draw_and_example():
    d = Draws(2**40 + 7, 3, [0, 5, 2**33, -1])
    d.uniform(1)
    u = d.uniform(3)
    for row, index in zip(u, (0, 5, 2**33, 2**64 - 1)):
        words = []
        for block in range(2):
            w = philox(2**40 + 7, index, 2**63 + (3 << 31) + (1 << 16) + block)
            words += [w[0] << 32 | w[1], w[2] << 32 | w[3]]
        np.testing.assert_array_equal(row, [(v >> 11) * 2.0**-53 for v in words[:3]])
    n = Draws(1, 0, np.arange(20000)).normal(2)
    assert abs(n.mean()) < 0.02 and abs(n.std() - 1) < 0.02 and abs(np.corrcoef(n.T)[0, 1]) < 0.02
    assert Draws(1, 0, np.arange(5000)).integers(2, np.array([3, 1])).max(0).tolist() == [2, 0]
    for bad in ((1, 2**32, [0]), (1, -1, [0])):
        with pytest.raises(ValueError, match="epoch"):
            Draws(*bad).uniform(1)
    with pytest.raises(ValueError, match="seed"):
        Draws(-1, 0, [0])


@pytest.mark.parametrize("transform", ALL, ids=lambda t: type(t).__name__)
def test_an_image_is_changed_alone_as_in_any_batch_on_any_number_of_threads(transform):
    for x in (X, BYTES):
        whole = transform(x, draws=draws()).numpy()
        for part in ([4], [5, 0, 2]):
            alone = transform(x[part], draws=draws(indices=np.array(part) + 3)).numpy()
            np.testing.assert_array_equal(alone, whole[part])
        threads = fastnn.get_num_threads()
        try:
            for count in (1, 3):
                fastnn.set_num_threads(count)
                np.testing.assert_array_equal(transform(x, draws=draws()).numpy(), whole)
        finally:
            fastnn.set_num_threads(threads)


@pytest.mark.parametrize("transform", ALL, ids=lambda t: type(t).__name__)
def test_bytes_are_the_floats_rounded(transform):
    """uint8 stays uint8 (but for Normalize and ToFloat) and agrees with float32; labels pass."""
    before = X.copy(), BYTES.copy()
    if isinstance(transform, T.Cutout):
        transform = T.Cutout(4, 0.8, 0.0)
    got, y = transform(BYTES, Y, draws=draws())
    want, _ = transform((BYTES / np.float32(255)).astype(np.float32), Y, draws=draws())
    assert y is Y and want.dtype == fastnn.float32 and got.shape == want.shape
    if isinstance(transform, (T.Normalize, T.ToFloat)):
        np.testing.assert_allclose(got.numpy(), want.numpy(), atol=1e-5)
    else:
        assert got.dtype == fastnn.uint8
        steps = 3 if isinstance(transform, T.Compose) else 0.51
        np.testing.assert_allclose(got.numpy(), np.clip(want.numpy() * 255, 0, 255), atol=steps)
    assert np.array_equal(before[0], X) and np.array_equal(before[1], BYTES)
    assert transform(X[:0], draws=draws(0)).shape[0] == 0


def test_without_draws_the_default_generator_gives_them():
    transform = T.RandomRotation(40)
    fastnn.manual_seed(3)
    first, second = transform(X).numpy(), transform(X).numpy()
    fastnn.manual_seed(3)
    np.testing.assert_array_equal(transform(X).numpy(), first)
    assert not np.array_equal(first, second)


AUGMENT = T.Compose([T.RandomHorizontalFlip(), T.RandomCrop(4, padding=1), T.ColorShift(0.1)])


def loader(workers=0, batch_size=8, seed=1, transform=AUGMENT, shuffle=True):
    x = np.arange(20 * 48, dtype=np.float32).reshape(20, 4, 4, 3) / 960
    return DataLoader(TensorDataset(x, np.arange(20)), batch_size, shuffle, seed=seed, num_workers=workers,
                      transform=transform)  # fmt: skip


def by_example(batches):
    return {int(i): image for x, y in batches for i, image in zip(y.numpy(), x.numpy().copy())}


def test_in_a_loader_an_image_depends_on_seed_epoch_and_index_only():
    first = by_example(loader())
    for other in (loader(workers=3), loader(batch_size=3), loader(shuffle=False)):
        again = by_example(other)
        assert all(np.array_equal(first[i], again[i]) for i in range(20))
    later, seeded = loader(), by_example(loader(seed=2))
    later.set_epoch(1)
    for different in (by_example(later), seeded):
        assert not any(np.array_equal(first[i], different[i]) for i in range(20))


@pytest.mark.parametrize("shuffle", [True, False])
def test_a_resumed_loader_gives_the_same_images(shuffle):
    run = loader(shuffle=shuffle)
    whole = [list(run), list(run)]
    halfway = loader(shuffle=shuffle, seed=1)
    batches = iter(halfway)
    next(batches)
    state = halfway.state_dict()
    resumed = loader(seed=9, shuffle=shuffle)
    resumed.load_state_dict(state)
    for got, want in zip([*resumed, *resumed], [*whole[0][1:], *whole[1]], strict=True):
        np.testing.assert_array_equal(got[0].numpy(), want[0].numpy())
        np.testing.assert_array_equal(got[1].numpy(), want[1].numpy())


def test_loader_takes_plain_functions_and_refuses_others():
    double = loader(transform=lambda x, y: (x * 2, y + 1), shuffle=False)
    x, y = next(iter(double))
    assert y.numpy()[0] == 1 and float(x.numpy()[0, 0, 0, 1]) == np.float32(2 / 960)
    with pytest.raises(TypeError, match="transform"):
        loader(transform=3)
    images = DataLoader(fastnn.tensor(X), 4, transform=T.CenterCrop(5))
    assert tuple(next(iter(images)).shape) == (4, 5, 5, 3)
    part = DataLoader(Subset(TensorDataset(X, Y), [1, 2]), 2, transform=T.RandomCrop(4))
    assert tuple(next(iter(part))[0].shape) == (2, 4, 4, 3)


def test_a_trainer_takes_mixed_images_and_labels():
    from fastnn.train import Trainer

    fastnn.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(48, 20))
    mixed = loader(transform=T.Compose([AUGMENT, T.Mixup(20, 1.0)]))
    trainer = Trainer(model, nn.CrossEntropyLoss(), fastnn.optim.Adam(model.parameters(), 0.05), metrics=["accuracy"],
                      progress=False)  # fmt: skip
    history = trainer.fit(mixed, loader(transform=None), epochs=30)
    assert history["loss"][-1] < history["loss"][0] and 0 <= history["accuracy"][-1] <= 1


# --- where pixels go -----------------------------------------------------------------------------------------------


def test_mirroring():
    """2.1-28 of the course: [[1, 2, 3], [4, 5, 6]] mirrored; twice is nothing; half of all images."""
    x = np.array([[1, 2, 3], [4, 5, 6]], np.float32).reshape(1, 2, 3, 1)
    flip = T.RandomHorizontalFlip(1.0)
    assert flip(x).numpy().reshape(2, 3).tolist() == [[3, 2, 1], [6, 5, 4]]
    same(flip(flip(x)), x)
    same(T.RandomVerticalFlip(1.0)(X), X[:, ::-1])
    same(T.RandomHorizontalFlip(0.0)(X), X)
    many = np.tile(x, (4000, 1, 1, 1))
    mirrored = (T.RandomHorizontalFlip()(many, draws=draws(4000)).numpy()[:, 0, 0, 0] == 3).mean()
    assert abs(mirrored - 0.5) < 0.03


@pytest.mark.parametrize("mode", ["constant", "edge", "reflect", "symmetric"])
def test_random_crop_is_a_window_of_the_padded_image(mode):
    crop = T.RandomCrop((7, 6), (2, 3), mode, 0.25 if mode == "constant" else 0.0)
    got, at = crop(X, draws=draws()).numpy(), draws().integers(2, np.array([9 + 4 - 7 + 1, 11 + 6 - 6 + 1]))
    options = {"constant_values": 0.25} if mode == "constant" else {}
    padded = np.pad(X, ((0, 0), (2, 2), (3, 3), (0, 0)), mode, **options)
    for image, whole, (i, j) in zip(got, padded, at):
        np.testing.assert_array_equal(image, whole[i : i + 7, j : j + 6])
    places = {tuple(p) for p in draws(500).integers(2, np.array([3, 3]))}
    assert len(places) == 9


def test_a_quarter_turn_and_its_direction():
    x = X[:, :, :9]
    turn = T.RandomRotation((90, 90))
    np.testing.assert_allclose(turn(x).numpy(), np.rot90(x, 1, (1, 2)), atol=1e-6)
    near = T.RandomRotation((90, 90), "nearest")(BYTES[:, :, :9])
    same(near, np.rot90(BYTES[:, :, :9], 1, (1, 2)))


def test_affine_moves_scales_and_shears():
    point = np.zeros((1, 21, 21, 1), np.float32)
    point[0, 12, 10] = 1  # two below the middle
    where = lambda t: np.argwhere(t(point).numpy()[0, :, :, 0] > 0.6).tolist()  # noqa: E731
    assert where(T.RandomAffine(0)) == [[12, 10]]
    assert where(T.RandomAffine(scale=(2, 2))) == [[14, 10]]
    assert where(T.RandomShear((-45, -45))) == [[12, 8]] and where(T.RandomShear((45, 45))) == [[12, 12]]
    assert where(T.RandomRotation((90, 90))) == [[10, 12]]
    moved = T.RandomAffine(translate=(0.2, 0.1), interpolation="nearest")
    spots = np.argwhere(moved(np.tile(point, (300, 1, 1, 1)), draws=draws(300)).numpy()[..., 0] == 1)[:, 1:]
    assert np.abs(spots - [12, 10]).max(0).tolist() == [2, 4] and len({tuple(s) for s in spots}) > 30


def test_resize_against_pytorch():
    torch = pytest.importorskip("torch")
    x = torch.from_numpy(X).permute(0, 3, 1, 2)
    for size in ((5, 6), (20, 31), (9, 22)):
        for mode in ("nearest", "bilinear", "bicubic", "area"):
            if mode == "nearest" and size != (9, 22):
                continue  # PyTorch's nearest reads the cell at floor(o * scale), ours the one around the centre
            want = torch.nn.functional.interpolate(x, size, mode=mode).permute(0, 2, 3, 1).numpy()
            np.testing.assert_allclose(T.Resize(size, mode)(X).numpy(), want, atol=2e-6, err_msg=f"{size} {mode}")
    assert T.Resize(18)(X).shape == (6, 18, 22, 3) and T.Resize(18)(X.transpose(0, 2, 1, 3)).shape == (6, 22, 18, 3)


def test_random_resized_crop_shows_a_part_of_the_image():
    """A ramp stays a ramp, of a slope that the share of the area allows."""
    ramp = np.tile(np.arange(40, dtype=np.float32)[None, None, :, None] / 40, (300, 30, 1, 1))
    view = T.RandomResizedCrop((12, 12), scale=(0.2, 0.5))(ramp, draws=draws(300)).numpy()[:, :, 3:9, 0]
    slope = np.diff(view, axis=2)
    np.testing.assert_allclose(slope, slope.mean((1, 2), keepdims=True) * np.ones_like(slope), atol=1e-5)
    width = slope.mean((1, 2)) * 12 * 40
    low, high = np.sqrt(np.array([0.2 * 1200 * 0.75, 0.5 * 1200 * 4 / 3]))
    assert width.min() > low - 1 and width.max() < high + 1 and width.std() > 2


def test_ten_crop():
    views = T.ten_crop(X, (5, 6)).numpy()
    assert views.shape == (6, 10, 5, 6, 3)
    for k, (i, j) in enumerate([(0, 0), (0, 5), (4, 0), (4, 5), (2, 2)]):
        np.testing.assert_array_equal(views[:, k], X[:, i : i + 5, j : j + 6])
        np.testing.assert_array_equal(views[:, 5 + k], views[:, k][:, :, ::-1])
    fastnn.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Flatten(), nn.Linear(4 * 3 * 4, 5))
    p = T.ten_crop_predict(model, X, (5, 6), batch_size=4).numpy()
    assert model.training and p.shape == (6, 5)
    np.testing.assert_allclose(p.sum(1), 1, atol=1e-5)
    model.eval()
    with fastnn.no_grad():
        one = np.mean([model(fastnn.tensor(views[:, k].copy())).softmax(-1).numpy() for k in range(10)], 0)
        np.testing.assert_allclose(p, one, atol=1e-6)
    order = T.ten_crop_predict(model, X[:, :, ::-1].copy(), (5, 6)).numpy()
    np.testing.assert_allclose(order[:, :], p, atol=1e-2)


# --- colours -------------------------------------------------------------------------------------------------------


def test_color_shift_adds_one_number_a_channel():
    x = np.full((50, 4, 5, 3), 0.5, np.float32)
    y = T.ColorShift((0.1, 0.2, 0.0))(x, draws=draws(50)).numpy() - 0.5
    np.testing.assert_array_equal(y, np.broadcast_to(y[:, :1, :1], y.shape))
    largest = np.abs(y).max((0, 1, 2))
    assert 0.08 < largest[0] <= 0.1 and 0.16 < largest[1] <= 0.2 and largest[2] == 0
    assert T.ColorShift(1.0)(x).numpy().min() >= 0 and T.ColorShift(1.0)(BYTES).numpy().max() == 255


def test_pca_color_follows_the_colours():
    """Colours that vary along (1, 2, 2) / 3 only are moved along it, by normal numbers times 0.1 times the variance."""
    axis = np.array([1, 2, 2]) / 3
    t = RNG.normal(0, 0.12, (400, 3, 3, 1))
    x = np.clip(0.5 + t * axis, 0.05, 0.95).astype(np.float32)
    pca = T.PCAColor.fit(x)
    np.testing.assert_allclose(np.abs(pca.components[:, 0]), axis, atol=0.02)
    np.testing.assert_allclose(pca.variances[0], (0.12) ** 2, rtol=0.1)
    moved = (pca(x, draws=draws(400)).numpy() - x).reshape(400, -1, 3)
    np.testing.assert_allclose(moved, np.broadcast_to(moved[:, :1], moved.shape), atol=1e-6)
    along = moved[:, 0] @ axis
    assert np.abs(moved[:, 0] - along[:, None] * axis).max() < 1e-4
    assert abs(along.std() / (0.1 * pca.variances[0]) - 1) < 0.1


def test_color_jitter_parts():
    grey = np.array([0.299, 0.587, 0.114])
    mean = (X @ grey).mean((1, 2))[:, None, None, None]
    for options, want in (
        ({"brightness": (0.5, 0.5)}, X * 0.5),
        ({"contrast": (0.5, 0.5)}, 0.5 * X + 0.5 * mean),
        ({"saturation": (0.0, 0.0)}, np.repeat((X @ grey)[..., None], 3, 3)),
        ({}, X),
        ({"brightness": (3.0, 3.0)}, np.clip(X * 3, 0, 1)),
    ):
        np.testing.assert_allclose(T.ColorJitter(**options)(X).numpy(), want, atol=2e-6, err_msg=str(options))
    same_grey = T.ColorJitter(hue=(0.5, 0.5))(0.3 + 0.2 * X).numpy()
    np.testing.assert_allclose(same_grey @ grey, (0.3 + 0.2 * X) @ grey, atol=1e-5)
    assert np.abs(same_grey - (0.3 + 0.2 * X)).max() > 0.02


def test_normalize():
    mean, std = (0.4, 0.5, 0.6), (0.1, 0.2, 0.3)
    want = (X - np.array(mean)) / np.array(std)
    np.testing.assert_allclose(T.Normalize(mean, std)(X).numpy(), want, atol=2e-6)
    np.testing.assert_allclose(T.Normalize(0.5, 0.25)(BYTES).numpy(), (BYTES / 255 - 0.5) / 0.25, atol=2e-6)


# --- holes and mixtures --------------------------------------------------------------------------------------------


def test_cutout_paints_one_square():
    x = np.ones((300, 12, 10, 2), np.float32)
    y = T.Cutout(4, fill=0.0)(x, draws=draws(300)).numpy()
    hole = y[..., 0] == 0
    sizes = hole.sum((1, 2))
    assert sizes.max() == 16 and sizes.min() == 4 and np.array_equal(hole, y[..., 1] == 0)  # 2x2 is left in a corner
    rows, columns = hole.any(2), hole.any(1)
    np.testing.assert_array_equal(hole, rows[:, :, None] & columns[:, None])
    kept = (T.Cutout(4, p=0.5)(x, draws=draws(300)).numpy() == 1).all((1, 2, 3)).mean()
    assert 0.4 < kept < 0.6


def test_mixup_mixes_images_and_labels_alike():
    one_hot = np.eye(4, dtype=np.float32)
    images = one_hot[np.arange(200) % 4].reshape(200, 1, 1, 4)  # an image shows its label
    mixed, labels = T.Mixup(4, 0.5)(images, np.arange(200) % 4, draws=draws(200))
    np.testing.assert_allclose(mixed.numpy().reshape(200, 4), labels.numpy(), atol=1e-6)
    np.testing.assert_allclose(labels.numpy().sum(1), 1, atol=1e-6)
    again, soft = T.Mixup(4, 0.5)(images, labels, draws=draws(200))
    assert soft.shape == (200, 4)
    model = nn.Linear(4, 4)
    loss = F.cross_entropy(model(mixed.reshape(200, 4)), labels)
    p = model(mixed.reshape(200, 4)).log_softmax(-1).detach().numpy()
    np.testing.assert_allclose(loss.item(), -(labels.numpy() * p).sum(1).mean(), rtol=1e-5)
    loss.backward()
    assert fastnn.metrics.accuracy(labels, labels) == 1.0
    assert fastnn.metrics.accuracy(one_hot[[0, 1]], [[0.6, 0.4, 0, 0], [0.7, 0.3, 0, 0]]) == 0.5


@pytest.mark.parametrize("alpha", [0.1, 0.4, 1.0, 5.0])
def test_mixup_shares_are_beta(alpha):
    stats = pytest.importorskip("scipy.stats")
    share = T.Mixup(2, alpha).apply(fastnn.zeros(4000, 1, 1, 1), draws(4000))[1]
    assert stats.kstest(share, stats.beta(alpha, alpha).cdf).pvalue > 0.001


# --- maps and refusals ---------------------------------------------------------------------------------------------


def test_affine_warp_of_infinite_pixels():
    """A cell with the weight 0 is not read, so a NaN stays where it is."""
    x = np.zeros((1, 4, 4, 1), np.float32)
    x[0, 1, 2] = np.nan
    y = affine_warp(fastnn.tensor(x), [[1, 0, 0.5], [0, 1, 0]]).numpy()[0, :, :, 0]
    assert np.isnan(y[1, 1:3]).all() and np.isnan(y).sum() == 2


def test_compose_in_compose_and_plain_functions():
    inner = T.Compose([T.RandomCrop(5), lambda x: x * 0.5])
    both = T.Compose([T.RandomHorizontalFlip(), inner])
    assert tuple(both(X).shape) == (6, 5, 5, 3) and both(X).numpy().max() <= 0.5
    assert "RandomCrop(size=(5, 5)" in repr(both)
    chosen = T.RandomApply(T.ColorShift(0.3), 0.5)(np.full((200, 2, 2, 3), 0.5, np.float32), draws=draws(200)).numpy()
    assert 0.35 < (chosen == 0.5).all((1, 2, 3)).mean() < 0.65
