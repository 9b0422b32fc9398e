"""The trainer's updates captured: the same bits as without, and a message where that cannot be."""

import hashlib
import io
import random

import numpy as np
import pytest
from training import Stop, data, loader, network, plain, same, trainer, weights

import fastnn
from fastnn import nn
from fastnn.data import DataLoader, TensorDataset
from fastnn.optim import SGD, Adam, AdamW, RMSprop
from fastnn.optim.lr_scheduler import CosineAnnealingLR, StepLR
from fastnn.train import Callback, Trainer


def mlp():
    model = nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Dropout(0.3), nn.Linear(32, 16), nn.Tanh(), nn.Linear(16, 4))
    optimizer = Adam(model.parameters(), lr=0.01)
    return model, optimizer, {"scheduler": CosineAnnealingLR(optimizer, 200), "schedule_per": "step"}


def batch_norm():
    model = nn.Sequential(
        nn.Linear(20, 24), nn.BatchNorm1d(24), nn.ReLU(), nn.Linear(24, 24), nn.BatchNorm1d(24), nn.ReLU(),
        nn.Linear(24, 4),
    )  # fmt: skip
    optimizer = SGD(model.parameters(), lr=0.05, momentum=0.9, nesterov=True)
    return model, optimizer, {"clip_norm": 0.5, "scheduler": StepLR(optimizer, 3, gamma=0.5)}


def deep():
    layers = []
    for _ in range(19):
        layers += [nn.Linear(20, 20), nn.Sigmoid() if len(layers) % 4 else nn.ReLU()]
    model = nn.Sequential(*layers, nn.Linear(20, 4))
    decayed = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim == 1]
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0, "lr": 0.003}]
    return model, AdamW(groups, lr=0.01), {"clip_value": 0.01}


def rms():
    model = nn.Sequential(nn.Linear(20, 16), nn.GELU(), nn.Linear(16, 4))
    return model, RMSprop(model.parameters(), lr=0.003, momentum=0.5, centered=True, weight_decay=1e-3), {}


@pytest.mark.parametrize("make", [mlp, batch_norm, deep, rms])
def test_two_hundred_steps_end_in_the_same_weights(make):
    """Eager, captured, captured with a stop and a resume in mid-epoch: one SHA-256. 310 rows: each epoch ends with a
    smaller batch."""
    rng = np.random.default_rng(0)
    x = fastnn.from_numpy(rng.standard_normal((310, 20), dtype=np.float32))
    y = fastnn.from_numpy(rng.integers(0, 4, 310))
    ends = []
    for capture in (False, True, "auto"):
        fastnn.manual_seed(3)
        model, optimizer, options = make()
        t = Trainer(model, nn.CrossEntropyLoss(), optimizer, metrics=["accuracy"], progress=False, capture=capture,
                    record_steps=True, **options)  # fmt: skip
        batches = DataLoader(TensorDataset(x, y), 32, shuffle=True, seed=1)
        if capture == "auto":
            t.callbacks = [Stop(47)]
            t.fit(batches, epochs=20)
            t.callbacks = []
        history = t.fit(batches, DataLoader(TensorDataset(x, y), 64), epochs=20)
        assert t.step == 200
        if capture:
            assert [s["shapes"][0] for s in t._captured.summary()] in ([(22, 20), (32, 20)], [(32, 20), (22, 20)])
        digest = hashlib.sha256()
        for _, value in sorted(weights(model).items()):
            digest.update(value.tobytes())
        ends.append((digest.hexdigest(), history.step_losses, plain(history)))
    assert ends[0] == ends[1]
    assert ends[0][:2] == ends[2][:2]


def test_values_that_are_not_finite():
    """Skipped batches, captured and not: weights and running statistics of the same bits."""

    class Poison(Callback):
        def on_batch_begin(self, trainer, batch):
            if trainer.step in (4, 9, 10) or trainer.skipped and trainer.step == 15:
                batch[0].numpy()[0, 0] = np.nan

    ends = []
    for capture in (False, True):
        t = trainer(callbacks=[Poison()], nan_policy="skip", metrics=["accuracy"], record_steps=True, capture=capture)
        t.fit(loader(), epochs=4)
        assert t.skipped == 4
        ends.append((weights(t.model), repr(plain(t.history)), repr(t.history.step_losses)))
    assert same(ends[0][0], ends[1][0]) and ends[0][1:] == ends[1][1:]


def test_infinite_gradients_in_a_replay_are_named():
    model = nn.Sequential(nn.Linear(4, 3))
    scale = fastnn.ones(1)
    t = Trainer(model, lambda out, y: (out * scale).sqrt().nansum() * 0, SGD(model.parameters(), lr=0.1),
                progress=False, capture=True)  # fmt: skip

    class Later(Callback):
        def on_batch_begin(self, trainer, batch):
            batch[0].numpy()[...] = 0 if trainer.step == 6 else 1
            model[0].weight.data.fill_(1)
            model[0].bias.data.fill_(0)

    t.callbacks = [Later()]
    with pytest.raises(FloatingPointError, match="the gradient of the parameter 0.weight is not finite .*step 7"):
        t.fit(loader(), epochs=3)


class Reads(nn.Module):
    """Reads a value in its forward pass, after changing running statistics and drawing random numbers."""

    def __init__(self):
        super().__init__()
        self.net = network()

    def forward(self, x):
        out = self.net(x)
        return out * (1.0 if out.sum().item() > -1e9 else 2.0)


class Counts(nn.Module):
    def __init__(self):
        super().__init__()
        self.net, self.calls = network(), 0

    def forward(self, x):
        self.calls += 1
        return self.net(x) * (1 + 0.01 * self.calls)


class Draws(nn.Module):
    def __init__(self):
        super().__init__()
        self.net, self.random = network(), random.Random(5)

    def forward(self, x):
        return self.net(x) * (1 + self.random.random())


class GlobalDraws(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = network()

    def forward(self, x):
        factor = 1 + random.random()
        out = self.net(x) * factor
        return out if out.sum() > 1e9 else out * (1 + np.random.random())


def hooked():
    model = network()
    model[0].register_forward_hook(lambda module, args, out: out * 1.5)
    return model


def hooked_parameter():
    model, seen = network(), []
    model[0].weight.register_hook(lambda g: g * (1 + 0.1 * (seen.append(0) or len(seen))))
    return model


@pytest.mark.parametrize(
    "make, words",
    [(Reads, r"item: .*test_trainer_capture\.py:\d+"), (Counts, "changes Counts.calls"), (Draws, "Draws.random"),
     (GlobalDraws, "item|value"), (hooked, "hooks"), (hooked_parameter, "parameter 0.weight has hooks")],
)  # fmt: skip
def test_steps_that_cannot_be_recorded(make, words):
    ends, said = [], io.StringIO()
    for capture in (False, "auto"):
        random.seed(1)
        np.random.seed(1)
        model = make()
        t = Trainer(model, nn.CrossEntropyLoss(), Adam(model.parameters(), lr=0.01), metrics=["accuracy"],
                    progress=said if capture else False, capture=capture)  # fmt: skip
        t.fit(loader(), epochs=3)
        ends.append((weights(model), plain(t.history)))
    assert same(ends[0][0], ends[1][0]) and ends[0][1] == ends[1][1]
    assert said.getvalue().count("training without capture") == 1
    model = make()
    t = Trainer(model, nn.CrossEntropyLoss(), Adam(model.parameters()), progress=False, capture=True)
    with pytest.raises(fastnn.CaptureError, match=words):
        t.fit(loader(), epochs=1)


def test_too_many_shapes():
    said = io.StringIO()
    sizes = list(range(2, 90))
    batches = [(fastnn.randn(n, 4), fastnn.zeros(n, dtype=fastnn.int64)) for n in sizes]
    ends = []
    for capture in (False, "auto"):
        t = trainer(capture=capture)
        t.progress = said if capture else False
        t.fit(batches, epochs=3)
        ends.append(weights(t.model))
    assert same(*ends) and "too many different shapes" in said.getvalue()


def test_options():
    with pytest.raises(ValueError, match="capture"):
        trainer(capture="always")
    with pytest.raises(TypeError, match="override"):
        trainer(capture=True).fit([{"x": 1}], epochs=1)


def test_settings_may_change_in_between():
    ends = []
    for capture in (False, True):
        t = trainer(capture=capture)
        t.fit(loader(), epochs=2)
        t.clip_norm = 0.1
        t.model[3].p = 0.1
        t.optimizer.param_groups[0]["betas"] = (0.8, 0.99)
        t.fit(loader(), epochs=4)
        t.optimizer.load_state_dict(t.optimizer.state_dict())
        t.model[0].weight.requires_grad = False
        t.fit(loader(), epochs=6)
        ends.append(weights(t.model))
    assert same(*ends)


def test_outputs_of_any_form():
    class Pair(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = network()

        def forward(self, x):
            out = self.net(x)
            return {"scores": out, "pair": (out * 2, None)}

    seen = []

    def rate(output, target):
        seen.append(output["pair"][0].tolist())
        return float((output["scores"].numpy().argmax(1) == target.numpy()).mean())

    ends = []
    for capture in (False, True):
        model = Pair()
        t = Trainer(model, lambda out, y: nn.CrossEntropyLoss()(out["scores"], y), Adam(model.parameters()),
                    metrics=[rate], progress=False, capture=capture)  # fmt: skip
        t.fit(loader(), epochs=3)
        ends.append((plain(t.history), list(seen)))
        seen.clear()
    assert ends[0] == ends[1] and data() is not None


class Weighted(Trainer):
    alpha = 1.0

    def forward(self, batch):
        x, y = batch
        output = self.model(x)
        return self.loss(output, y) * self.alpha, output, y


class Change(Callback):
    def __init__(self, config):
        self.config = config

    def on_epoch_end(self, trainer, logs):
        if self.config is None:
            trainer.alpha = trainer.alpha * 3
        else:
            self.config["b"] *= 3


def scaled_by(config):
    return lambda output, target: nn.functional.cross_entropy(output, target) * config["b"]


@pytest.mark.parametrize("kind", ["attribute", "closure"])
def test_values_that_the_step_computes_with_may_change(kind):
    """An attribute of the trainer, a variable around its loss: a change between epochs shows as it does eagerly."""
    ends = []
    for capture in (False, "auto"):
        model, config = network(), {"b": 1.0} if kind == "closure" else None
        optimizer = SGD(model.parameters(), lr=0.01)
        made, loss = (Trainer, scaled_by(config)) if config else (Weighted, nn.CrossEntropyLoss())
        t = made(model, loss, optimizer, progress=False, capture=capture, callbacks=[Change(config)])
        t.fit(loader(), epochs=3)
        ends.append(weights(model))
    assert same(*ends)
