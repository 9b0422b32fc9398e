"""Loaders, splits and standardisation: the same order whatever ran before, and nothing seen twice or lost."""

import threading

import numpy as np
import pytest

import fastnn
from fastnn.data import (
    ConcatDataset,
    DataLoader,
    Dataset,
    MapDataset,
    RandomSampler,
    Standardizer,
    Subset,
    TensorDataset,
    WeightedRandomSampler,
    random_split,
    split_indices,
    train_dev_test_split,
    train_test_split,
)


def numbers(n=10):
    return TensorDataset(fastnn.from_numpy(np.arange(n, dtype=np.float32)), fastnn.from_numpy(np.arange(n)))


def seen(loader):
    return [batch[1].numpy().tolist() for batch in loader]


class Items(Dataset):
    """A data set without gather."""

    def __init__(self, n):
        self.n = n

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        return np.full(3, i, np.float32), i


def test_batches_in_order():
    assert seen(DataLoader(numbers(), 4)) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert seen(DataLoader(numbers(), 4, drop_last=True)) == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert len(DataLoader(numbers(), 4)) == 3 and len(DataLoader(numbers(), 4, drop_last=True)) == 2
    assert seen(DataLoader(numbers(0), 4)) == []


def test_batches_are_copies():
    data = numbers()
    x, _ = next(iter(DataLoader(data, 10)))
    x.numpy()[...] = -1
    assert data.tensors[0].numpy().tolist() == list(range(10))


def test_shuffle_is_a_function_of_seed_and_epoch():
    a, b = (DataLoader(numbers(50), 7, shuffle=True, seed=3) for _ in range(2))
    first, second = seen(a), seen(a)
    assert sorted(sum(first, [])) == list(range(50)) and first != second
    b.set_epoch(1)
    assert seen(b) == second and seen(DataLoader(numbers(50), 7, shuffle=True, seed=4)) != first
    # The order is frozen: a new NumPy or a new version of fastnn must not change what a seed means.
    assert RandomSampler(8, 0).order(0).tolist() == [7, 4, 2, 6, 5, 0, 1, 3]


def test_shuffle_follows_manual_seed():
    fastnn.manual_seed(11)
    a = seen(DataLoader(numbers(20), 5, shuffle=True))
    fastnn.manual_seed(11)
    assert (
        seen(DataLoader(numbers(20), 5, shuffle=True)) == a == seen(DataLoader(numbers(20), 5, shuffle=True, seed=11))
    )


def test_an_epoch_left_early_starts_again():
    loader = DataLoader(numbers(), 4, shuffle=True, seed=0)
    first = next(iter(loader))[1].numpy().tolist()
    assert next(iter(loader))[1].numpy().tolist() == first and loader.epoch == 0
    seen(loader)
    assert loader.epoch == 1 and loader.position == 0


@pytest.mark.parametrize("workers", [0, 3])
@pytest.mark.parametrize("cut", [0, 1, 5, 8])
def test_resume_in_mid_epoch(workers, cut):
    def make():
        return DataLoader(numbers(30), 4, shuffle=True, seed=5, num_workers=workers)

    whole = make()
    expected = [seen(whole), seen(whole)]
    loader = make()
    batches = iter(loader)
    head = [next(batches)[1].numpy().tolist() for _ in range(cut)]
    state = loader.state_dict()
    assert state["position"] == cut
    other = DataLoader(numbers(30), 4, shuffle=True, seed=99, num_workers=workers)
    other.load_state_dict(state)
    assert head + seen(other) == expected[0] and seen(other) == expected[1]


def test_resume_refuses_another_loader():
    state = DataLoader(numbers(), 4).state_dict()
    for other in (DataLoader(numbers(11), 4), DataLoader(numbers(), 5), DataLoader(numbers(), 4, drop_last=True)):
        with pytest.raises(ValueError, match="the saved loader had"):
            other.load_state_dict(state)
    with pytest.raises(ValueError, match="shuffle"):
        DataLoader(numbers(), 4, shuffle=True, seed=0).load_state_dict(state)


@pytest.mark.parametrize("workers", [1, 4])
def test_threads_change_nothing(workers):
    plain = [x.numpy().tolist() for x, _ in DataLoader(Items(23), 4, shuffle=True, seed=1)]
    threaded = DataLoader(Items(23), 4, shuffle=True, seed=1, num_workers=workers)
    assert [x.numpy().tolist() for x, _ in threaded] == plain


def test_threads_pass_errors_on_and_end():
    class Broken(Items):
        def __getitem__(self, i):
            if i == 9:
                raise RuntimeError("cannot read item 9")
            return super().__getitem__(i)

    got = []
    with pytest.raises(RuntimeError, match="item 9"):
        for x, _ in DataLoader(Broken(20), 4, num_workers=2):
            got.append(x)
    assert len(got) == 2  # batches 0-3 and 4-7 came before it
    batches = iter(DataLoader(Items(1000), 1, num_workers=2))
    next(batches)
    del batches  # leaving early cancels what was not begun
    for thread in threading.enumerate():
        if thread.name.startswith("fastnn-loader"):
            thread.join(5)
            assert not thread.is_alive()


def test_collate():
    x, y = next(iter(DataLoader(Items(3), 3)))
    assert tuple(x.shape) == (3, 3) and x.dtype == fastnn.float32 and y.dtype == fastnn.int64

    class Mixed(Items):
        def __getitem__(self, i):
            return {"x": 0.5 * i, "name": f"n{i}", "t": fastnn.from_numpy(np.zeros(2))}

    batch = next(iter(DataLoader(Mixed(3), 3)))
    assert batch["name"] == ["n0", "n1", "n2"] and tuple(batch["t"].shape) == (3, 2)
    assert batch["x"].dtype == fastnn.float32

    class Ragged(Items):
        def __getitem__(self, i):
            return np.zeros(i)

    with pytest.raises(ValueError, match="different shapes"):
        next(iter(DataLoader(Ragged(3), 3)))
    assert next(iter(DataLoader(Ragged(3), 3, collate_fn=len))) == 3
    assert next(iter(DataLoader(numbers(), 4, collate_fn=len))) == 4


def test_datasets():
    a, b = numbers(4), numbers(3)
    both = a + b
    assert isinstance(both, ConcatDataset) and len(both) == 7
    assert [int(both[i][1].item()) for i in (0, 3, 4, 6, -1)] == [0, 3, 0, 2, 2]
    part = Subset(a, [2, -1])
    assert seen(DataLoader(part, 2)) == [[2, 3]] and int(part[0][1].item()) == 2
    assert hasattr(part, "gather") and not hasattr(Subset(Items(3), [0]), "gather")
    doubled = MapDataset(Items(3), lambda x, y: (x * 2, y))
    assert next(iter(DataLoader(doubled, 3)))[0].numpy()[2, 0] == 4
    for bad in (lambda: both[7], lambda: a[4], lambda: a[-5], lambda: Subset(a, [4]), lambda: part[2]):
        with pytest.raises(IndexError):
            bad()
    with pytest.raises(ValueError, match="first dimension"):
        TensorDataset(np.zeros(3), np.zeros(4))
    with pytest.raises(ValueError, match="at least one"):
        TensorDataset()
    with pytest.raises(ValueError, match="no dimension"):
        TensorDataset(np.float32(1))


@pytest.mark.parametrize(
    "options, error",
    [
        ({"batch_size": 0}, ValueError), ({"batch_size": 1.5}, TypeError), ({"batch_size": True}, TypeError),
        ({"num_workers": -1}, ValueError), ({"prefetch_factor": 0}, ValueError), ({"shuffle": True, "seed": -1},
        ValueError),
        ({"shuffle": True, "seed": 1 << 64}, ValueError), ({"shuffle": True, "seed": 0.5}, TypeError),
        ({"shuffle": True, "sampler": [0]}, ValueError), ({"sampler": [10]}, IndexError),
        ({"seed": 1, "generator": 1}, ValueError),
    ],
)  # fmt: skip
def test_loader_errors(options, error):
    with pytest.raises(error, match="DataLoader"):
        DataLoader(numbers(), **options)


def test_samplers():
    assert seen(DataLoader(numbers(), 3, sampler=[3, 1, 4, 1])) == [[3, 1, 4], [1]]
    sampler = WeightedRandomSampler([0, 1, 3, 0], 4000, seed=1)
    counts = np.bincount(sampler.order(0), minlength=4)
    assert counts[0] == counts[3] == 0 and abs(counts[2] / 4000 - 0.75) < 0.03
    assert (sampler.order(0) == sampler.order(0)).all() and (sampler.order(0) != sampler.order(1)).any()
    for weights in ([-1, 2], [0, 0], [np.nan], [[1]]):
        with pytest.raises(ValueError, match="weights"):
            WeightedRandomSampler(weights, 3)


def test_splits():
    parts = random_split(numbers(10), [0.7, 0.2, 0.1], seed=4)
    assert [len(p) for p in parts] == [7, 2, 1]
    assert sorted(np.concatenate([p.indices for p in parts])) == list(range(10))
    assert (random_split(numbers(10), [7, 3], seed=4)[0].indices == parts[0].indices).all()
    assert [len(p) for p in split_indices(100, [0.29, 0.71])] == [29, 71]
    for bad in ([5, 4], [0.5, 0.4], [], [-0.5, 1.5], [np.nan, 1]):
        with pytest.raises(ValueError, match="random_split"):
            random_split(numbers(10), bad)


def test_stratified_split():
    y = np.repeat([0, 1, 2], [80, 15, 5])
    train, dev, test = split_indices(100, [0.6, 0.2, 0.2], seed=2, stratify=y)
    assert (len(train), len(dev), len(test)) == (60, 20, 20)
    for part, share in ((train, 0.6), (dev, 0.2), (test, 0.2)):
        assert (abs(np.bincount(y[part], minlength=3) - share * np.bincount(y)) <= 1).all()
    assert sorted(np.concatenate([train, dev, test])) == list(range(100))
    x = np.arange(100.0)
    x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.25, stratify=y)
    assert len(x_train) == 75 and (y[x_test.astype(int)] == y_test).all() and len(y_train) == 75
    (a, b), (c, _), (e, _) = train_dev_test_split(fastnn.from_numpy(x), y, dev_size=10, test_size=20)
    assert isinstance(a, fastnn.Tensor) and isinstance(b, np.ndarray) and (len(c), len(e)) == (10, 20)
    with pytest.raises(ValueError, match="exceed"):
        train_dev_test_split(x, dev_size=60, test_size=60)
    with pytest.raises(ValueError, match="labels to stratify"):
        split_indices(10, [0.5, 0.5], stratify=[1, 2])


def test_standardizer():
    rng = np.random.RandomState(0)
    train, test = rng.randn(200, 3) * [1, 10, 0] + [0, 5, 7], rng.randn(20, 3)
    scaler = Standardizer()
    out = scaler.fit_transform(train)
    assert abs(out.mean(0)).max() < 1e-12 and np.allclose(out[:, :2].std(0), 1) and (out[:, 2] == 0).all()
    assert np.allclose(scaler.transform(test)[:, 1], (test[:, 1] - train[:, 1].mean()) / train[:, 1].std())
    assert np.allclose(scaler.inverse_transform(scaler.transform(test)), test)
    other = Standardizer()
    other.load_state_dict(scaler.state_dict())
    assert (other.transform(test) == scaler.transform(test)).all()
    t = scaler.transform(fastnn.from_numpy(test.astype(np.float32)))
    assert isinstance(t, fastnn.Tensor) and t.dtype == fastnn.float32
    images = Standardizer(axis=(0, 1, 2)).fit(rng.randint(0, 255, (4, 5, 6, 3), np.uint8))
    assert images.mean.shape == (1, 1, 1, 3) and images.transform(np.zeros((2, 7, 7, 3), np.uint8)).dtype == np.float32
    with pytest.raises(RuntimeError, match="fit"):
        Standardizer().transform(test)
    with pytest.raises(ValueError, match="shape"):
        scaler.transform(np.zeros((2, 4)))
    with pytest.raises(ValueError, match="empty"):
        Standardizer().fit(np.zeros((0, 3)))


@pytest.mark.parametrize(
    "dataset, text", [(3, "len\\(\\) and \\[index\\], got int"), ((np.ones(3), np.ones(3)), "TensorDataset")]
)
def test_what_is_no_data_set(dataset, text):
    with pytest.raises(TypeError, match=text):
        DataLoader(dataset)
