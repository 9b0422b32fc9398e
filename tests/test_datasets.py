"""Data sets: real files where they are present, damaged files, and where files are looked for."""

import gzip
import http.server
import os
import struct
import threading
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import fastnn
from fastnn import datasets as D

DATA = os.environ.get("FASTNN_DATA")


def needs(file):
    return pytest.mark.skipif(
        not DATA or not (Path(DATA) / file).exists(), reason=f"FASTNN_DATA is not set to a folder with {file}"
    )


def idx(array, kind=8):
    array = np.asarray(array)
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, kind, array.ndim, *array.shape) + array.tobytes()


def write_mnist(folder, n=5, compress=True, part="train"):
    folder.mkdir(parents=True, exist_ok=True)
    images = np.arange(n * 784, dtype=np.uint32).astype(np.uint8).reshape(n, 28, 28)
    for stem, array in (
        (f"{part}-images-idx3-ubyte", images),
        (f"{part}-labels-idx1-ubyte", np.arange(n, dtype=np.uint8)),
    ):
        data = idx(array)
        (folder / (stem + (".gz" if compress else ""))).write_bytes(gzip.compress(data) if compress else data)
    return images


@pytest.fixture
def empty(tmp_path, monkeypatch):
    """No data anywhere but in tmp_path."""
    monkeypatch.delenv("FASTNN_DATA", raising=False)
    monkeypatch.setenv("FASTNN_CACHE", str(tmp_path / "cache"))
    return tmp_path


@needs("mnist/train-images-idx3-ubyte.gz")
def test_mnist():
    train = D.MNIST()
    assert len(train) == 60000 and train.classes[3] == "3"
    x, y = train.x.numpy(), train.y.numpy()
    assert x.shape == (60000, 784) and x.dtype == np.float32 and y.dtype == np.int64
    assert abs(x.mean() - 0.1307) < 1e-4 and abs(x.std() - 0.3081) < 1e-4 and x.max() == 1.0
    assert y[:5].tolist() == [5, 0, 4, 1, 9]
    test = D.MNIST(train=False, flatten=False)
    assert tuple(test.x.shape) == (10000, 28, 28, 1) and test.y.numpy()[:4].tolist() == [7, 2, 1, 0]


@needs("fashion_mnist/t10k-images-idx3-ubyte.gz")
def test_fashion_mnist():
    test = D.FashionMNIST(train=False)
    assert len(test) == 10000 and np.bincount(test.y.numpy()).tolist() == [1000] * 10
    assert test.classes[int(test.y.numpy()[0])] == "ankle boot"


@needs("course/train_catvnoncat.h5")
def test_cat():
    pytest.importorskip("h5py")
    train, test = D.CatNonCat(), D.CatNonCat(train=False, flatten=False)
    assert tuple(train.x.shape) == (209, 12288) and train.y.numpy().sum() == 72
    assert tuple(test.x.shape) == (50, 64, 64, 3) and test.y.numpy().sum() == 33
    assert train.x.dtype == fastnn.float32 and 0 <= train.x.numpy().min() and train.x.numpy().max() == 1.0


def test_digits():
    pytest.importorskip("sklearn")
    train, test = D.Digits(), D.Digits(train=False)
    assert len(train) + len(test) == len(D.Digits(train=None)) == 1797 and len(test) == 359
    assert (abs(np.bincount(test.y.numpy()) - np.bincount(train.y.numpy()) / 4) <= 1).all()
    assert tuple(D.Digits(flatten=False).x.shape)[1:] == (8, 8, 1) and train.x.numpy().max() == 1.0
    assert (D.Digits(seed=1).y.numpy() != train.y.numpy()).any()
    with pytest.raises(ValueError, match="test_size"):
        D.Digits(test_size=0.0)


def test_planar_is_the_flower_of_the_course():
    x, y = (t.numpy() for t in D.planar())
    assert x.shape == (400, 2) and x.dtype == np.float32 and y.tolist() == [0] * 200 + [1] * 200
    np.testing.assert_allclose(x[0], [1.20444229, 3.57611449], rtol=1e-6)  # the first point of the course's set
    assert np.hypot(*x.T).max() < 4 + 4 * 0.2
    assert (D.planar(seed=2)[0].numpy() != x).any() and len(D.planar(7)[0]) == 6


def test_generated():
    x, y = (t.numpy() for t in D.xor())
    assert x.tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]] and y.tolist() == [0, 1, 1, 0]
    for make in (D.moons, D.circles, D.xor):
        x, y = (t.numpy() for t in make(101, 0.0))
        assert x.shape == (101, 2) and y.shape == (101,) and set(y) == {0, 1}
        again = make(101, 0.3, seed=4)[0].numpy()
        assert (again == make(101, 0.3, seed=4)[0].numpy()).all() and (again != make(101, 0.3, seed=5)[0].numpy()).any()
    x, y = (t.numpy() for t in D.circles(100, 0, factor=0.3))
    assert np.allclose(np.hypot(*x.T), np.where(y, 0.3, 1.0))
    sk = pytest.importorskip("sklearn.datasets")
    mine, theirs = D.moons(50, 0.0), sk.make_moons(50, shuffle=False, noise=None)
    assert np.allclose(mine[0].numpy(), theirs[0], atol=1e-6) and (mine[1].numpy() == theirs[1]).all()
    for bad in (lambda: D.planar(1), lambda: D.moons(noise=-1), lambda: D.circles(factor=1), lambda: D.xor(0)):
        with pytest.raises(ValueError):
            bad()
    with pytest.raises(TypeError):
        D.planar(4.0)


def test_read_idx(tmp_path):
    file = tmp_path / "x"
    for array, kind in ((np.arange(6, dtype=">i4").reshape(2, 3), 0x0C), (np.array([1.5, -2], ">f8"), 0x0E),
                        (np.zeros((0, 4), np.uint8), 8)):  # fmt: skip
        for pack in (bytes, gzip.compress):
            file.write_bytes(pack(idx(array, kind)))
            got = D.read_idx(file)
            assert (got == array).all() and got.shape == array.shape and got.dtype.isnative and got.flags.owndata


GOOD = idx(np.arange(12, dtype=np.uint8).reshape(3, 4))
DAMAGED = {
    "empty": b"", "short": b"\0\0", "magic": b"\1" + GOOD[1:], "type": GOOD[:2] + b"\7" + GOOD[3:],
    "no dimension": b"\0\0\x08\0", "many dimensions": b"\0\0\x08\x20" + b"\0" * 128, "header": GOOD[:9],
    "data": GOOD[:-1], "longer": GOOD + b"x", "huge": b"\0\0\x08\x02" + b"\xff" * 8,
    "overflow": b"\0\0\x0e\x08" + b"\xff" * 32, "claims more": b"\0\0\x08\x01\x7f\xff\xff\xff" + b"abc",
    "gzip cut": gzip.compress(GOOD)[:-9], "gzip start": b"\x1f\x8b" + b"junk" * 4, "gzip only magic": b"\x1f\x8b",
    "gzip crc": gzip.compress(GOOD)[:-8] + b"\0" * 8,
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_idx(tmp_path, name):
    file = tmp_path / "damaged"
    file.write_bytes(DAMAGED[name])
    with pytest.raises(ValueError, match="damaged"):
        D.read_idx(file)


def test_a_small_file_cannot_ask_for_all_memory(tmp_path):
    file = tmp_path / "bomb"
    file.write_bytes(gzip.compress(b"\0\0\x08\x01" + struct.pack(">I", 1 << 22) + bytes(1 << 22)))
    assert D.read_idx(file).size == 1 << 22
    with pytest.raises(ValueError, match="limit"):
        D.read_idx(file, max_bytes=1 << 20)


@pytest.mark.parametrize("compress", [True, False])
@pytest.mark.parametrize("sub", ["", "mnist"])
def test_where_files_are_found(empty, monkeypatch, compress, sub):
    images = write_mnist(empty / "a" / sub, compress=compress)
    by_argument = D.MNIST(data_dir=empty / "a")
    assert np.allclose(by_argument.x.numpy(), images.reshape(5, 784) / 255)
    monkeypatch.setenv("FASTNN_DATA", str(empty / "a"))
    assert len(D.MNIST()) == 5
    monkeypatch.delenv("FASTNN_DATA")
    write_mnist(empty / "cache" / "mnist", n=3)
    assert len(D.MNIST()) == 3 and D.cache_dir() == empty / "cache"


def test_missing_files_are_named(empty, monkeypatch):
    monkeypatch.setenv("FASTNN_DATA", str(empty / "own"))
    with pytest.raises(FileNotFoundError) as error:
        D.CatNonCat()
    text = str(error.value)
    for place in ("own/course", "own", "cache/course", "cache"):
        assert str(empty / place / "train_catvnoncat.h5") in text
    assert "licence" in text and "FASTNN_DATA" in text
    with pytest.raises(FileNotFoundError, match="download=False") as error:
        D.MNIST(data_dir=empty / "there", download=False)
    assert str(empty / "there" / "mnist" / "train-images-idx3-ubyte.gz") in str(error.value)
    assert "cache" not in str(error.value)


def test_wrong_contents(empty):
    write_mnist(empty)
    (empty / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(np.arange(4, dtype=np.uint8))))
    with pytest.raises(ValueError, match="5 images but labels"):
        D.MNIST(data_dir=empty)
    (empty / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(np.full(5, 10, np.uint8))))
    with pytest.raises(ValueError, match="label 10"):
        D.MNIST(data_dir=empty)
    (empty / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(np.zeros((5, 8, 8), np.uint8))))
    with pytest.raises(ValueError, match="28"):
        D.MNIST(data_dir=empty)


def test_damaged_hdf5(empty):
    h5py = pytest.importorskip("h5py")
    file = empty / "train_catvnoncat.h5"
    file.write_bytes(b"\x89HDF\r\n\x1a\n" + b"\0" * 50)
    with pytest.raises(ValueError, match="cannot be read as HDF5"):
        D.CatNonCat(data_dir=empty)
    with h5py.File(file, "w") as f:
        f["train_set_x"] = np.zeros((2, 64, 64, 3), np.uint8)
    with pytest.raises(ValueError, match="no array 'train_set_y'"):
        D.CatNonCat(data_dir=empty)
    with h5py.File(file, "a") as f:
        f["train_set_y"] = np.array([0, 2])
    with pytest.raises(ValueError, match="in a set of 2 classes"):
        D.CatNonCat(data_dir=empty)


def test_download(empty, monkeypatch):
    """From a server on this machine: the checksum decides, the second mirror is tried, the file is kept."""
    pytest.importorskip("pooch")
    import hashlib

    write_mnist(empty / "www", n=4, part="t10k")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=empty / "www"))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        here = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setattr(D.MNIST, "urls", (here + "/nothing", here))
        with pytest.raises(OSError, match="no mirror gave it") as error:  # the real checksums do not fit these files
            D.MNIST(train=False)
        assert "hash" in str(error.value) and "404" in str(error.value)
        sums = {p.name[:-3]: "sha256:" + hashlib.sha256(p.read_bytes()).hexdigest() for p in (empty / "www").iterdir()}
        monkeypatch.setattr(D.MNIST, "checksums", sums)
        assert len(D.MNIST(train=False)) == 4
    finally:
        server.shutdown()
        server.server_close()
    assert len(D.MNIST(train=False)) == 4  # from the cache now


def test_missing_extras_are_named(empty, monkeypatch):
    import sys

    for module, make in (("sklearn.datasets", D.Digits), ("pooch", D.MNIST)):
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(ImportError, match=r"pip install 'fastnn-native\[recipes\]'"):
            make()


@needs("cifar10/cifar10_train_10k.npz")
def test_cifar10():
    train, test = D.CIFAR10(), D.CIFAR10(train=False, flatten=True)
    assert tuple(train.x.shape) == (10000, 32, 32, 3) and tuple(test.x.shape) == (2000, 3072)
    assert np.bincount(train.y.numpy()).tolist() == [1000] * 10 and train.classes[3] == "cat"
    x = train.x.numpy()
    np.testing.assert_allclose(x.mean((0, 1, 2)), D.CIFAR10.mean, atol=0.01)
    np.testing.assert_allclose(x.std((0, 1, 2)), D.CIFAR10.std, atol=0.01)


@needs("course/test_signs.h5")
def test_signs():
    pytest.importorskip("h5py")
    train, test = D.Signs(), D.Signs(train=False)
    assert tuple(train.x.shape) == (918, 64, 64, 3) and np.bincount(train.y.numpy()).tolist() == [153] * 6
    assert tuple(test.x.shape) == (120, 64, 64, 3) and np.bincount(test.y.numpy()).tolist() == [20] * 6
    assert test.x.dtype == fastnn.float32 and 0 <= test.x.numpy().min() < test.x.numpy().max() <= 1


@needs("course/happy_house_subset.npz")
def test_happy_house():
    train, test, both = D.HappyHouse(), D.HappyHouse(train=False), D.HappyHouse(train=None, flatten=True)
    assert (len(train), len(test), len(both)) == (96, 32, 128) and both.x.shape[1] == 12288
    smiles = both.y.numpy().mean()
    assert abs(train.y.numpy().mean() - smiles) < 0.02 and abs(test.y.numpy().mean() - smiles) < 0.02
    with pytest.raises(ValueError, match="both sides"):
        D.HappyHouse(test_size=128)


def test_damaged_photographs(empty):
    with pytest.raises(FileNotFoundError, match="cifar10_train"):
        D.CIFAR10()
    good = {"images": np.zeros((2, 32, 32, 3), np.uint8), "labels": np.array([0, 9])}
    path = empty / "cifar10_train.npz"
    np.savez(path, **good)
    assert len(D.CIFAR10(data_dir=empty)) == 2
    for change, message in (
        ({"images": good["images"][:, :16]}, r"uint8 images \[N, 32, 32, 3\]"),
        ({"images": good["images"].astype(float)}, "uint8 images"),
        ({"labels": np.array([0, 10])}, "in a set of 10"),
        ({"labels": np.array([-1, 1])}, "in a set of 10"),
        ({"labels": np.array([1])}, "2 images but"),
        ({"labels": np.array([0.5, 1])}, "2 images but float64"),
    ):
        np.savez(path, **{**good, **change})
        with pytest.raises(ValueError, match=message):
            D.CIFAR10(data_dir=empty)
    np.savez(path, images=good["images"])
    with pytest.raises(ValueError, match="no array 'labels'"):
        D.CIFAR10(data_dir=empty)
    path.write_bytes(b"PK\x03\x04" + bytes(50))
    with pytest.raises(ValueError, match="npz"):
        D.CIFAR10(data_dir=empty)
    (empty / "test_signs.h5").write_bytes(b"nothing of the kind")
    pytest.importorskip("h5py")
    with pytest.raises(ValueError, match="HDF5"):
        D.Signs(train=False, data_dir=empty)


# --- folders of pictures ---------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    """root/{bird,cat}/...: one grey, one with its camera on the side, one in a folder of its own."""
    Image = pytest.importorskip("PIL.Image")
    for name in ("cat/a.png", "cat/deep/b.jpg", "bird/c.PNG"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.zeros((10, 20, 3), np.uint8)
        pixels[:, :10, 0] = 200
        image = Image.fromarray(pixels)
        if name.startswith("bird"):
            image = image.convert("L")
        exif = image.getexif()
        if name.endswith(".jpg"):
            exif[0x0112] = 6  # turn by a quarter to show
        image.save(path, exif=exif)
    (tmp_path / "cat" / "notes.txt").write_text("no picture")
    (tmp_path / ".hidden").mkdir()
    return tmp_path


def test_image_folder(folder):
    from fastnn.data import DataLoader
    from fastnn.vision import transforms as T

    data = D.ImageFolder(folder)
    assert data.classes == ["bird", "cat"] and data.class_to_idx == {"bird": 0, "cat": 1} and len(data) == 3
    assert data.targets == [0, 1, 1] and [p.name for p, _ in data.samples] == ["c.PNG", "a.png", "b.jpg"]
    x, y = data[1]
    assert x.dtype == fastnn.uint8 and tuple(x.shape) == (10, 20, 3) and y == 1
    assert x.numpy()[5, 3].tolist() == [200, 0, 0] and x.numpy()[5, 15].tolist() == [0, 0, 0]
    assert tuple(data[-1][0].shape) == (20, 10, 3) and data[-1][0].numpy()[3, 5, 0] > 180
    assert tuple(data[0][0].shape) == (10, 20, 3)
    square = D.ImageFolder(folder, 16, grey=True)
    assert tuple(square[1][0].shape) == (16, 16, 1)
    loader = DataLoader(D.ImageFolder(folder, (8, 12)), 3, num_workers=2, transform=T.ToFloat())
    (x, y), *rest = loader
    assert (
        not rest and tuple(x.shape) == (3, 8, 12, 3) and x.dtype == fastnn.float32 and y.numpy().tolist() == [0, 1, 1]
    )
    assert 0.7 < x.numpy().max() <= 1
    assert D.ImageFolder(folder, transform=lambda a: a.shape)[1] == ((10, 20, 3), 1)


@pytest.mark.parametrize("damage", ["empty", "text", "cut", "cut jpeg", "flipped"])
def test_image_folder_names_damaged_files(folder, damage):
    path = folder / "cat" / ("deep/b.jpg" if damage == "cut jpeg" else "a.png")
    good = path.read_bytes()
    path.write_bytes({"empty": b"", "text": b"hello", "cut": good[: len(good) // 2], "cut jpeg": good[: len(good) // 2],
                      "flipped": good[:40] + bytes(20) + good[60:]}[damage])  # fmt: skip
    data = D.ImageFolder(folder)
    with pytest.raises(ValueError, match=f"{path.name}: cannot be read as a picture"):
        data[1 if path.name == "a.png" else 2]


def test_image_folder_says_what_is_missing(tmp_path, monkeypatch):
    pytest.importorskip("PIL")
    import sys

    with pytest.raises(FileNotFoundError, match="there is no folder"):
        D.ImageFolder(tmp_path / "nothing")
    with pytest.raises(FileNotFoundError, match="holds no folders"):
        D.ImageFolder(tmp_path)
    (tmp_path / "cat").mkdir()
    with pytest.raises(FileNotFoundError, match="cat holds no pictures"):
        D.ImageFolder(tmp_path)
    for size in (0, (4,), (4, -1)):
        with pytest.raises(ValueError, match="size expects"):
            D.ImageFolder(tmp_path, size)
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(ImportError, match="ImageFolder needs PIL"):
        D.ImageFolder(tmp_path)
