"""Modules: traversal, state, modes, hooks, containers, text."""

from collections import OrderedDict

import numpy as np
import pytest

import fastnn
from fastnn import nn


def values(t):
    return t.detach().numpy()


def net():
    fastnn.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Dropout(0.5), nn.Linear(5, 2))


class Block(nn.Module):
    """Uses one linear layer twice and has everything a module can have."""

    def __init__(self):
        super().__init__()
        self.shared = nn.Linear(4, 4)
        self.again = self.shared
        self.scale = nn.Parameter(fastnn.ones((4,)))
        self.register_buffer("seen", fastnn.zeros((), dtype=fastnn.int64))
        self.register_buffer("cache", fastnn.zeros((2,)), persistent=False)
        self.register_parameter("absent", None)
        self.inner = nn.ModuleDict({"a": nn.Tanh(), "b": nn.Linear(4, 1, bias=False)})

    def forward(self, x):
        return self.inner["b"](self.inner["a"](self.again(self.shared(x)) * self.scale))


# --- traversal ----------------------------------------------------------------------------------------------------


def test_parameters_and_modules():
    block = Block()
    assert [n for n, _ in block.named_parameters()] == ["scale", "shared.weight", "shared.bias", "inner.b.weight"]
    assert [n for n, _ in block.named_parameters(prefix="x", recurse=False)] == ["x.scale"]
    assert [n for n, _ in block.named_buffers()] == ["seen", "cache"]
    assert [n for n, _ in block.named_children()] == ["shared", "again", "inner"]
    assert [n for n, _ in block.named_modules()] == ["", "shared", "inner", "inner.a", "inner.b"]
    assert len(list(block.parameters())) == 4 and len(list(block.buffers())) == 2
    assert block.get_submodule("inner.b") is block.inner["b"] and block.get_submodule("") is block
    assert block.get_parameter("shared.weight") is block.shared.weight
    with pytest.raises(AttributeError, match="'nothing'.*shared.nothing"):
        block.get_parameter("shared.nothing")


def test_a_deep_model_is_walked_without_recursion():
    model = nn.Identity()
    for _ in range(3000):
        model = nn.Sequential(model)
    assert sum(1 for _ in model.modules()) == 3001


def test_forgetting_super_init_works():
    class Careless(nn.Module):
        def __init__(self):
            self.layer = nn.Linear(2, 3)
            self.register_buffer("mean", fastnn.zeros((3,)))

        def forward(self, x):
            return self.layer(x) - self.mean

    model = Careless()
    assert model(fastnn.ones((4, 2))).shape == (4, 3)
    assert list(model.state_dict()) == ["mean", "layer.weight", "layer.bias"] or len(model.state_dict()) == 3
    assert list(nn.Module()._buffer_names) == []  # the class-level default was not written to


def test_a_parameter_is_not_replaced_by_a_plain_tensor():
    layer = nn.Linear(2, 2)
    with pytest.raises(TypeError, match="Linear.weight is a Parameter"):
        layer.weight = fastnn.zeros((2, 2))
    layer.weight = nn.Parameter(fastnn.zeros((2, 2)))
    layer.bias = None
    assert [n for n, _ in layer.named_parameters()] == ["weight"]
    np.testing.assert_array_equal(values(layer(fastnn.ones((1, 2)))), [[0, 0]])


@pytest.mark.parametrize("name", ["", "a.b", 3])
def test_names_are_checked(name):
    with pytest.raises(ValueError, match="name must be"):
        nn.Module().register_buffer(name, None)


def test_registering_the_wrong_kind():
    module = nn.Module()
    for call in (
        lambda: module.register_parameter("p", fastnn.zeros((1,))),
        lambda: module.register_buffer("b", 1.0),
        lambda: module.add_module("m", 1.0),
    ):
        with pytest.raises(TypeError, match="expected a"):
            call()
    with pytest.raises(TypeError, match="define forward"):
        module(1)


# --- modes and dtypes ---------------------------------------------------------------------------------------------


def test_train_eval_requires_grad_zero_grad():
    model = net()
    assert all(m.training for m in model.modules())
    assert model.eval() is model and not any(m.training for m in model.modules())
    model.train()
    model.requires_grad_(False)
    assert not any(p.requires_grad for p in model.parameters())
    model.requires_grad_()
    model(fastnn.randn((8, 3))).sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    model.zero_grad(set_to_none=False)
    assert all((values(p.grad) == 0).all() for p in model.parameters())
    model.zero_grad()
    assert all(p.grad is None for p in model.parameters())


def test_double_keeps_the_parameter_objects():
    model = net()
    before = list(model.parameters())
    optimizer = fastnn.optim.SGD(model.parameters(), lr=0.1)
    assert model.double() is model
    assert all(a is b for a, b in zip(model.parameters(), before)) and optimizer.param_groups[0]["params"] == before
    assert {p.dtype for p in model.parameters()} == {fastnn.float64}
    assert model[1].num_batches_tracked.dtype == fastnn.int64
    model(fastnn.randn((8, 3), dtype=fastnn.float64)).sum().backward()
    optimizer.step()
    assert {p.dtype for p in model.float().parameters()} == {fastnn.float32}


def test_apply_visits_children_first():
    seen = []
    net().apply(lambda m: seen.append(type(m).__name__))
    assert seen[-1] == "Sequential" and set(seen[:-1]) == {"Linear", "BatchNorm1d", "ReLU", "Dropout"}


# --- state --------------------------------------------------------------------------------------------------------


def test_state_dict_round_trip():
    one, two = net(), net()
    one(fastnn.randn((8, 3)))  # moves the running statistics
    for p in two.parameters():
        nn.init.constant_(p, 7.0)
    state = one.state_dict()
    assert list(state) == ["0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var",
                           "1.num_batches_tracked", "4.weight", "4.bias"]  # fmt: skip
    assert not any(t.requires_grad for t in state.values())
    assert two.load_state_dict(state) == ([], [])
    x = fastnn.randn((4, 3))
    np.testing.assert_array_equal(values(one.eval()(x)), values(two.eval()(x)))
    two.load_state_dict({k: v.numpy().copy() for k, v in state.items()})  # arrays will do
    np.testing.assert_array_equal(values(one(x)), values(two(x)))


def test_state_dict_of_a_shared_layer_and_of_hidden_buffers():
    state = Block().state_dict()
    assert "again.weight" in state and "shared.weight" in state and "cache" not in state and "absent" not in state


def test_load_state_dict_is_all_or_nothing():
    model = net()
    good = {k: v.numpy().copy() for k, v in model.state_dict().items()}
    for p in model.parameters():
        nn.init.constant_(p, 3.0)
    missing = {k: v for k, v in good.items() if k != "4.bias"}
    wrong = {**good, "0.weight": np.zeros((5, 3)), "4.bias": np.zeros(3)}
    for state, error, text in [
        (missing, KeyError, "missing keys: 4.bias"),
        ({**good, "5.weight": np.zeros(1)}, KeyError, "unexpected keys: 5.weight"),
        (wrong, ValueError, r"0.weight expects \[3, 5\], got \[5, 3\]; 4.bias expects \[2\], got \[3\]"),
    ]:
        with pytest.raises(error, match=text):
            model.load_state_dict(state)
        assert all((values(p) == 3).all() for p in model.parameters())
    assert model.load_state_dict(missing, strict=False) == (["4.bias"], [])
    assert (values(model[4].bias) == 3).all() and not (values(model[4].weight) == 3).all()


def test_copies_are_models_of_their_own():
    import copy
    import pickle

    model, x = net().eval(), fastnn.randn((4, 3))
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert [n for n, _ in twin.named_parameters()] == [n for n, _ in model.named_parameters()]
        np.testing.assert_array_equal(values(twin(x)), values(model(x)))
        nn.init.zeros_(twin[0].weight)
        assert (values(model[0].weight) != 0).any() and twin[0].weight.requires_grad
    assert repr(model[0].bias).startswith("Parameter([")


# --- hooks --------------------------------------------------------------------------------------------------------


def test_forward_hooks():
    layer = nn.Linear(2, 2)
    x = fastnn.ones((1, 2))
    plain = values(layer(x))
    pre = layer.register_forward_pre_hook(lambda m, args: (args[0] * 0,))
    post = layer.register_forward_hook(lambda m, args, out: out + 1)
    np.testing.assert_allclose(values(layer(x)), values(layer.bias)[None] + 1)
    pre.remove()
    np.testing.assert_allclose(values(layer(x)), plain + 1, rtol=1e-6)
    with post:
        pass
    np.testing.assert_array_equal(values(layer(x)), plain)
    with pytest.raises(TypeError, match="callable"):
        layer.register_forward_hook(3)


def test_backward_hooks_match_pytorch():
    torch = pytest.importorskip("torch")
    ours, theirs = nn.Linear(3, 2), torch.nn.Linear(3, 2)
    with torch.no_grad():
        theirs.weight.copy_(torch.tensor(values(ours.weight).T.copy()))
        theirs.bias.copy_(torch.tensor(values(ours.bias).copy()))
    got, expected = [], []
    ours.register_full_backward_hook(lambda m, gi, go: got.append((values(gi[0]).copy(), values(go[0]).copy())))
    theirs.register_full_backward_hook(lambda m, gi, go: expected.append((gi[0].numpy(), go[0].numpy())))
    a = np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32)
    x, t = fastnn.tensor(a).requires_grad_(), torch.tensor(a, requires_grad=True)
    (ours(x).tanh().sum() + x.sum()).backward()  # x is used elsewhere too: the hook sees the layer's share only
    (theirs(t).tanh().sum() + t.sum()).backward()
    assert len(got) == len(expected) == 1
    np.testing.assert_allclose(got[0][0], expected[0][0], rtol=1e-5)
    np.testing.assert_allclose(got[0][1], expected[0][1], rtol=1e-5)
    np.testing.assert_allclose(values(x.grad), t.grad.numpy(), rtol=1e-5)


def test_backward_pre_hook_replaces_the_gradient():
    layer = nn.Linear(2, 1)
    handle = layer.register_full_backward_pre_hook(lambda m, grads: (grads[0] * 10,))
    layer(fastnn.ones((1, 2))).sum().backward()
    np.testing.assert_array_equal(values(layer.bias.grad), [10])
    handle.remove()
    layer.zero_grad()
    layer(fastnn.ones((1, 2))).sum().backward()
    np.testing.assert_array_equal(values(layer.bias.grad), [1])


# --- containers ---------------------------------------------------------------------------------------------------


def test_sequential():
    model = net()
    assert len(model) == 5 and model[-1] is model[4] and model[1:3][0] is model[1]
    assert isinstance(model[:2], nn.Sequential) and [type(m).__name__ for m in model[::2]][0] == "Linear"
    model.append(nn.Softmax())
    model.insert(1, nn.Identity())
    assert [type(m).__name__ for m in model][1] == "Identity" and len(model) == 7
    assert [n for n, _ in model.named_children()] == list("0123456")
    del model[1]
    model[2] = nn.Tanh()
    assert len(model) == 6 and type(model[2]).__name__ == "Tanh" and model[2] in model
    named = nn.Sequential(OrderedDict(first=nn.Linear(2, 3), act=nn.ReLU()))
    assert named.first is named[0] and list(named.state_dict()) == ["first.weight", "first.bias"]
    assert [n for n, _ in named[1:].named_children()] == ["act"]
    for call, error in [(lambda: model[9], IndexError), (lambda: model.append(3), TypeError),
                        (lambda: nn.Sequential(3), TypeError)]:  # fmt: skip
        with pytest.raises(error):
            call()


def test_lists_and_dicts():
    layers = nn.ModuleList([nn.Linear(2, 2) for _ in range(3)])
    layers.extend([nn.Linear(2, 2)])
    assert len(list(layers.parameters())) == 8 and len(layers[1:]) == 3
    names = nn.ModuleDict({"a": nn.ReLU()})
    names["b"] = nn.Tanh()
    names.update({"c": nn.Identity()})
    assert names.keys() == ["a", "b", "c"] and "b" in names and type(names.pop("b")).__name__ == "Tanh"
    with pytest.raises(KeyError, match="it has a, c"):
        names["zz"]
    for taken in ("keys", "training", "_hidden"):
        with pytest.raises(KeyError, match="taken"):
            names[taken] = nn.ReLU()
    params = nn.ParameterList([fastnn.zeros((2,)), nn.Parameter(fastnn.ones((3,)))])
    assert len(list(params.parameters())) == 2 and "Parameter [3]" in repr(params)
    table = nn.ParameterDict({"w": fastnn.zeros((2, 2))})
    assert isinstance(table["w"], nn.Parameter) and list(table.state_dict()) == ["w"]
    with pytest.raises(TypeError):
        names["d"] = 3


# --- text ---------------------------------------------------------------------------------------------------------


def test_repr_is_pytorchs():
    torch = pytest.importorskip("torch")

    def build(lib):
        return lib.Sequential(lib.Linear(3, 5), lib.ReLU(), lib.Sequential(lib.Dropout(0.5), lib.Identity()))

    ours, theirs = repr(build(nn)), repr(build(torch.nn))
    assert ours == theirs.replace("Dropout(p=0.5, inplace=False)", "Dropout(p=0.5)")


def test_summary():
    model = net().eval()
    model[0].requires_grad_(False)
    text = model.summary((3,))
    lines = text.splitlines()
    assert "input [N, 3]" in lines[0]
    assert any("0 (Linear)" in line and "[N, 5]" in line and line.endswith("20") for line in lines)
    assert lines[-1].startswith("Parameters: 42 (trainable 22, frozen 20)")
    assert not model.training  # the mode is put back
    # the course's nets: 3-4-1 has 21 parameters, 3-5-5-3-1 has 72
    for sizes, count in (((3, 4, 1), 21), ((3, 5, 5, 3, 1), 72)):
        layers = [nn.Linear(a, b) for a, b in zip(sizes, sizes[1:])]
        assert f"Parameters: {count} " in nn.Sequential(*layers).summary(3)
