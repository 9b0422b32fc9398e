"""What the tests of the trainer share: a small problem, a network for it and comparisons."""

import numpy as np

import fastnn
from fastnn import nn
from fastnn.data import DataLoader, TensorDataset
from fastnn.optim import Adam
from fastnn.train import Callback, Trainer


def data(n=96, seed=0):
    rng = np.random.RandomState(seed)
    y = np.arange(n) % 3
    x = (rng.randn(n, 4) + 2.5 * np.eye(3, 4)[y]).astype(np.float32)
    return TensorDataset(fastnn.from_numpy(x), fastnn.from_numpy(y.astype(np.int64)))


def loader(seed=1, workers=0, n=96):
    return DataLoader(data(n), 16, shuffle=True, seed=seed, num_workers=workers)


def network(dropout=0.3):
    fastnn.manual_seed(7)
    return nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(dropout), nn.Linear(16, 3))


def trainer(checkpoint=None, **options):
    model = network()
    optimizer = options.pop("optimizer", None) or Adam(model.parameters(), lr=0.01)
    return Trainer(model, nn.CrossEntropyLoss(), optimizer, checkpoint=checkpoint, progress=False, **options)


def weights(model):
    return {k: v.detach().numpy().copy() for k, v in model.state_dict().items()}


def same(a, b):
    return a.keys() == b.keys() and all(np.array_equal(a[k], b[k]) for k in a)


def plain(history):
    """What must be the same in two runs: all but the time."""
    return {k: v for k, v in history.items() if k != "seconds"}


class Stop(Callback):
    """Leaves the run after a number of steps, as an interruption would."""

    def __init__(self, step):
        self.at = step

    def on_batch_end(self, trainer, logs):
        if trainer.step == self.at:
            trainer.stop("test")
