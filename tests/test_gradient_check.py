"""The course's gradient check accepts right gradients and finds wrong ones."""

import numpy as np
import pytest
from training import same, weights

import fastnn
from fastnn import nn
from fastnn.train import gradient_check


def batch(n=6):
    rng = np.random.RandomState(3)
    return rng.randn(n, 4).astype(np.float32), np.arange(n) % 3


def test_gradient_check_accepts_right_gradients():
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Dropout(0.4), nn.Linear(5, 3))
    before = weights(model)
    state = fastnn.get_rng_state()
    result = gradient_check(model, nn.CrossEntropyLoss(), batch())
    assert result.ok and result.ratio < 1e-6, result
    assert [p.name for p in result.parameters] == ["0.weight", "0.bias", "3.weight", "3.bias"]
    assert sum(p.checked for p in result.parameters) == 4 * 5 + 5 + 5 * 3 + 3
    assert same(weights(model), before) and model.state_dict()["0.weight"].dtype == fastnn.float32
    assert np.array_equal(np.asarray(fastnn.get_rng_state()), np.asarray(state)) and "0.weight" in str(result)


def test_gradient_check_finds_wrong_gradients():
    class Wrong(nn.Module):
        def __init__(self):
            super().__init__()
            self.good, self.bad = nn.Linear(4, 3), nn.Linear(4, 3)

        def forward(self, x):
            y = self.bad(x)
            return self.good(x) + y + (y.detach() - y) * 0.5  # the value of y, half its gradient

    result = gradient_check(Wrong(), nn.CrossEntropyLoss(), batch())
    assert result.verdict == "wrong" and not result.ok and result.ratio > 0.01
    by_name = {p.name: p.ratio for p in result.parameters}
    assert by_name["bad.weight"] > 0.3 and by_name["good.weight"] < 1e-5


def test_gradient_check_samples_and_errors():
    model = nn.Sequential(nn.Linear(4, 50), nn.Tanh(), nn.Linear(50, 3))
    result = gradient_check(model, nn.CrossEntropyLoss(), batch(), max_per_parameter=6)
    assert [p.checked for p in result.parameters] == [6, 6, 6, 3] and result.ok
    with pytest.raises(ValueError, match="batch"):
        gradient_check(model, nn.CrossEntropyLoss(), 3)
    with pytest.raises(ValueError, match="epsilon"):
        gradient_check(model, nn.CrossEntropyLoss(), batch(), epsilon=0)
    for p in model.parameters():
        p.requires_grad = False
    with pytest.raises(ValueError, match="no parameter"):
        gradient_check(model, nn.CrossEntropyLoss(), batch())
