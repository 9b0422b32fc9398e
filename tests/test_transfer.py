"""Transfer learning: frozen layers, new heads, rates by depth, kept features, weights loaded by name."""

import numpy as np
import pytest

import fastnn
import fastnn.nn.functional as F
from fastnn import convert, models, nn, optim
from fastnn.data import DataLoader, TensorDataset
from fastnn.train import Trainer


def network(classes=3):
    fastnn.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, 2), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 6, 3), nn.ReLU(), nn.Dropout(0.5),
        nn.Flatten(), nn.Linear(6 * 3 * 3, classes),
    )  # fmt: skip


def images(n=12):
    rng = np.random.default_rng(1)
    return TensorDataset(rng.normal(size=(n, 11, 11, 3)).astype(np.float32), np.arange(n) % 3)


def values(model):
    return {k: v.numpy().copy() for k, v in model.state_dict().items()}


def changed(before, after):
    return {k for k in before if not np.array_equal(before[k], after[k])}


def fit(model, optimizer, epochs=1, callbacks=(), **options):
    trainer = Trainer(model, nn.CrossEntropyLoss(), optimizer, callbacks=callbacks, progress=False, **options)
    trainer.fit(DataLoader(images(), 4, shuffle=True, seed=0), epochs=epochs)
    return trainer


def test_frozen_layers_keep_weights_and_statistics_in_training():
    model = network()
    assert models.freeze(model, "0", "1") is model
    model.train()
    assert not model[1].training and model[5].training and model.training
    before = values(model)
    fit(model, optim.SGD(model.parameters(), 0.1, momentum=0.9, weight_decay=0.1))
    assert changed(before, values(model)) == {"3.weight", "3.bias", "7.weight", "7.bias"}
    models.unfreeze(model, "1")
    assert model[1].training and model[1].weight.requires_grad and not model[0].weight.requires_grad
    models.freeze(model)
    model.train()
    assert models.count_parameters(model, trainable=True) == 0 and not any(m.training for m in model.modules())
    models.unfreeze(model)
    model.eval()
    model.train()
    assert models.count_parameters(model, trainable=True) == models.count_parameters(model)
    assert all(m.training for m in model.modules())


def test_patterns_name_layers():
    model = models.SqueezeNet("1.1", 5)
    models.freeze(model, "conv1", "fire[2-5]")
    free = {name.split(".")[0] for name, p in model.named_parameters() if p.requires_grad}
    assert free == {"fire6", "fire7", "fire8", "fire9", "conv10"}
    resnet = models.resnet20()
    models.freeze(resnet, "*.bn?", "bn1")
    assert not any(m.weight.requires_grad for m in resnet.modules() if isinstance(m, nn.BatchNorm2d))
    assert resnet.conv1.weight.requires_grad


@pytest.mark.parametrize("make, path, shape", [
    (lambda: models.resnet20(), "fc", (32, 32, 3)),
    (lambda: models.SqueezeNet("1.1"), "conv10", (40, 40, 3)),
    (lambda: nn.Sequential(nn.Flatten(), nn.Sequential(nn.Linear(12, 4), nn.Linear(4, 9))), "1.1", (2, 2, 3)),
])  # fmt: skip
def test_a_new_head(make, path, shape):
    model = make().eval()
    before = values(model)
    assert models.replace_head(model, 7) == path
    assert set(before) == set(values(model)) and not model.get_submodule(path).training
    x = fastnn.rand(2, *shape)
    with fastnn.no_grad():
        assert tuple(model(x).shape) == (2, 7)
    assert all(k.startswith(path) for k in before if before[k].shape != values(model)[k].shape)
    inner = models.GoogLeNet(10)
    assert models.replace_head(inner, 3, "aux1.fc2") == "aux1.fc2" and inner.aux1.fc2.out_features == 3


def test_rates_fall_with_the_distance_from_the_head():
    model = models.resnet20()
    groups = models.discriminative_groups(model, 0.01, decay=2.0)
    assert [g["name"] for g in groups] == ["conv1", "bn1", "layer1", "layer2", "layer3", "fc"]
    np.testing.assert_allclose([g["lr"] for g in groups], [0.01 / 2**k for k in (5, 4, 3, 2, 1, 0)])
    optimizer = optim.AdamW(groups)
    assert sum(len(g["params"]) for g in optimizer.param_groups) == len(list(model.parameters()))
    nested = nn.Sequential(nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 2)))
    assert [name for name, _ in models.layer_stages(nested)] == ["0.0", "0.2"]
    assert models.layer_stages(nn.ReLU()) == []

    plain = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
    optimizer = optim.SGD(models.discriminative_groups(plain, 1.0, decay=4.0))
    before = values(plain)
    for p in plain.parameters():
        p.grad = fastnn.ones(2, 2)
    optimizer.step()
    after = values(plain)
    np.testing.assert_allclose(before["0.weight"] - after["0.weight"], 0.25, rtol=1e-5)
    np.testing.assert_allclose(before["1.weight"] - after["1.weight"], 1.0, rtol=1e-5)


class Watch:
    """Which parameters each epoch changed."""

    def __init__(self, model):
        self.model, self.seen = model, []

    def on_epoch_begin(self, trainer):
        self.before = values(self.model)

    def on_epoch_end(self, trainer, logs):
        self.seen.append({k.split(".")[0] for k in changed(self.before, values(self.model))})


def test_stages_are_freed_from_the_head_on():
    model = network()
    watch, freeing = Watch(model), models.GradualUnfreezing(model, every=1)
    groups = models.discriminative_groups(model, 0.05)
    fit(model, optim.AdamW(groups), 5, [freeing, watch])
    assert watch.seen == [{"7"}, {"3", "7"}, {"1", "3", "7"}, {"0", "1", "3", "7"}, {"0", "1", "3", "7"}]


def test_gradual_unfreezing_goes_on_after_a_resume(tmp_path):
    ends = []
    for parts in ([4], [2, 4]):
        for epochs in parts:
            model = network()
            optimizer = optim.AdamW(models.discriminative_groups(model, 0.05))
            trainer = Trainer(model, nn.CrossEntropyLoss(), optimizer, callbacks=[models.GradualUnfreezing(model)],
                              progress=False, checkpoint=tmp_path / f"{len(parts)}.safetensors")  # fmt: skip
            trainer.fit(DataLoader(images(), 4, shuffle=True, seed=0), epochs=epochs, resume="auto")
        ends.append(values(model))
    assert not changed(*ends)


def test_cached_features_are_those_of_the_frozen_network(tmp_path, monkeypatch):
    model, data, file = network(), images(), tmp_path / "features.safetensors"
    body, head = model[:7], model[7]
    body.train()
    kept = models.cached_features(body, data, file, batch_size=5)
    assert body[0].training and body[5].training
    models.freeze(body)
    with fastnn.no_grad():
        np.testing.assert_array_equal(kept.tensors[0].numpy(), body(data.tensors[0]).numpy())
    np.testing.assert_array_equal(kept.tensors[1].numpy(), data.tensors[1].numpy())
    through, alone = (F.cross_entropy(head(x), data.tensors[1]) for x in (body(data.tensors[0]), kept.tensors[0]))
    assert through.item() == alone.item()

    def forbidden(*args):
        raise AssertionError("computed again")

    monkeypatch.setattr(nn.Flatten, "forward", forbidden)
    again = models.cached_features(body, data, file)
    np.testing.assert_array_equal(again.tensors[0].numpy(), kept.tensors[0].numpy())
    for other_body, other_data in ((network()[:7], images(11)), (network()[:7], data)):
        if other_data is data:
            other_body[0].weight.data.mul_(2.0)
        with pytest.raises(AssertionError, match="computed again"):
            models.cached_features(other_body, other_data, file)


def test_weights_by_name(tmp_path):
    source, target = network(5), network(3)
    for p in source.parameters():
        p.data.add_(1.0)
    for name in ("w.safetensors", "w.npz"):
        fastnn.save(source.state_dict(), tmp_path / name)
        model = network(3)
        report = models.load_by_name(model, tmp_path / name)
        assert report.mismatched == ["7.weight", "7.bias"] and not report.missing and not report.unexpected
        assert changed(values(target), values(model)) == {
            "0.weight",
            "0.bias",
            "1.weight",
            "1.bias",
            "3.weight",
            "3.bias",
        }
    with pytest.raises(KeyError, match="mismatched: 7.weight"):
        models.load_by_name(target, source.state_dict(), strict=True)
    prefixed = {f"module.{k}".replace("module.0.", "module.stem."): v for k, v in source.state_dict().items()}
    prefixed["module.extra"] = np.ones(2)
    report = models.load_by_name(network(5), prefixed, rename={"module.": "", "module.stem.": "0."})
    assert not report.missing and report.unexpected == ["extra"]
    dropped = models.load_by_name(network(5), source.state_dict(), rename=lambda k: None if k[0] == "7" else k)
    assert dropped.missing == ["7.weight", "7.bias"] and not dropped.unexpected


def test_pytorch_weights_by_name(tmp_path):
    torch = pytest.importorskip("torch")
    theirs = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3, 2), torch.nn.BatchNorm2d(4), torch.nn.ReLU(), torch.nn.Conv2d(4, 6, 3),
        torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(6, 2),
    )  # fmt: skip
    model = network()
    report = models.load_by_name(model, theirs.state_dict(), layout="torch")
    assert report.mismatched == ["7.weight", "7.bias"]
    x = np.random.default_rng(0).normal(size=(2, 11, 11, 3)).astype(np.float32)
    with torch.no_grad():
        want = theirs.eval()[:5](torch.from_numpy(x).permute(0, 3, 1, 2)).permute(0, 2, 3, 1).numpy()
    with fastnn.no_grad():
        np.testing.assert_allclose(model.eval()[:5](fastnn.tensor(x)).numpy(), want, atol=1e-5)
    saved = {k: v.numpy() for k, v in theirs.state_dict().items()}
    fastnn.save(saved, tmp_path / "torch.safetensors")
    other = network()
    models.load_by_name(other, tmp_path / "torch.safetensors", layout="torch")
    assert not changed(values(model), values(other))
    assert convert.layout_changes(model, back=False)


def test_an_ensemble_averages_outputs():
    members = []
    for seed in range(3):
        fastnn.manual_seed(seed)
        members.append(nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.5)))
    x = fastnn.rand(5, 4)
    p = models.ensemble_predict(members, x).numpy()
    assert all(m.training for m in members)
    with fastnn.no_grad():
        np.testing.assert_allclose(p, np.mean([m[0](x).softmax(-1).numpy() for m in members], 0), atol=1e-6)
    for wrong in ([], [members[0], nn.Linear(4, 2)]):
        with pytest.raises(ValueError, match="ensemble_predict"):
            models.ensemble_predict(wrong, x)
