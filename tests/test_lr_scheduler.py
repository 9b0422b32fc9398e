"""Schedules against PyTorch where it has them, against the formula where not."""

import math

import pytest

from fastnn.optim import lr_scheduler as S


class Groups:
    """All a schedule knows of an optimiser."""

    def __init__(self, *rates):
        self.param_groups = [{"lr": lr} for lr in rates]


def run(make, steps=25, rates=(0.1, 1.0)):
    optimizer = Groups(*rates)
    scheduler = make(optimizer)
    out = [scheduler.get_last_lr()]
    for _ in range(steps):
        scheduler.step()
        out.append([g["lr"] for g in optimizer.param_groups])
    return out


def run_torch(make, steps=25, rates=(0.1, 1.0)):
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([{"params": [torch.zeros(1)], "lr": lr} for lr in rates], lr=0.1)
    scheduler = make(torch.optim.lr_scheduler, optimizer)
    out = [scheduler.get_last_lr()]
    for _ in range(steps):
        optimizer.step()
        scheduler.step()
        out.append([g["lr"] for g in optimizer.param_groups])
    return out


def close(a, b):
    return all(math.isclose(x, y, rel_tol=1e-12, abs_tol=1e-14) for r, s in zip(a, b) for x, y in zip(r, s))


@pytest.mark.parametrize(
    "make",
    [
        lambda m, o: m.StepLR(o, 4, gamma=0.3),
        lambda m, o: m.MultiStepLR(o, [10, 3, 3], gamma=0.5),
        lambda m, o: m.ExponentialLR(o, 0.95),
        lambda m, o: m.CosineAnnealingLR(o, 10, eta_min=0.01),
        lambda m, o: m.LinearLR(o, start_factor=0.2, end_factor=0.9, total_iters=6),
        lambda m, o: m.LambdaLR(o, lambda t: 1 / (1 + t)),
        lambda m, o: m.LambdaLR(o, [lambda t: 0.9**t, lambda t: 1.0]),
    ],
    ids="step multistep exponential cosine linear lambda lambdas".split(),
)
def test_as_pytorch(make):
    assert close(run(lambda o: make(S, o)), run_torch(make))


def test_sequential_as_pytorch():
    def make(m, o):
        return m.SequentialLR(o, [m.LinearLR(o, 0.1, total_iters=5), m.ExponentialLR(o, 0.9)], milestones=[5])

    assert close(run(lambda o: make(S, o)), run_torch(make))


@pytest.mark.parametrize(
    "options",
    [{"patience": 2}, {"patience": 0, "cooldown": 2}, {"mode": "max", "patience": 1, "threshold": 0.1},
     {"threshold_mode": "abs", "threshold": 0.05, "patience": 1, "min_lr": 0.02}],
)  # fmt: skip
def test_plateau_as_pytorch(options):
    torch = pytest.importorskip("torch")
    values = [
        1.0,
        0.9,
        0.91,
        0.9,
        0.95,
        0.89999,
        0.5,
        0.5,
        0.6,
        0.7,
        0.5,
        0.4,
        -0.1,
        -0.1,
        -0.2,
        -0.15,
        -0.2,
        -0.19,
        0.3,
        0.2,
    ]
    mine, theirs = Groups(0.1, 1.0), torch.optim.SGD([torch.zeros(1)], lr=0.1)
    a, b = S.ReduceLROnPlateau(mine, **options), torch.optim.lr_scheduler.ReduceLROnPlateau(theirs, **options)
    for value in values:
        a.step(value)
        b.step(value)
        assert math.isclose(mine.param_groups[0]["lr"], theirs.param_groups[0]["lr"], rel_tol=1e-12), value


def test_formulas():
    assert close(run(lambda o: S.InverseTimeLR(o, 0.5)), [[lr / (1 + 0.5 * t) for lr in (0.1, 1.0)] for t in range(26)])
    assert close(
        run(lambda o: S.InverseSqrtLR(o, 2)), [[2 * lr / math.sqrt(t + 1) for lr in (0.1, 1.0)] for t in range(26)]
    )
    warm = [r[1] for r in run(lambda o: S.LinearWarmup(o, 4))]
    assert warm[:5] == [0.25, 0.5, 0.75, 1.0, 1.0] and warm[-1] == 1.0
    both = [r[1] for r in run(lambda o: S.WarmupCosine(o, 5, 20, eta_min=0.1))]
    assert both[0] == 0.2 and both[4] == both[5] == 1.0 and math.isclose(both[20], 0.1) and both[25] == both[20]
    assert all(x > y for x, y in zip(both[5:], both[6:21]))


ALL = {
    "step": lambda o: S.StepLR(o, 3), "multi": lambda o: S.MultiStepLR(o, [3, 7]), "exp": lambda o: S.ExponentialLR(o,
    0.9),
    "time": lambda o: S.InverseTimeLR(o), "sqrt": lambda o: S.InverseSqrtLR(o), "linear": lambda o: S.LinearLR(o),
    "warm": lambda o: S.LinearWarmup(o, 5), "cosine": lambda o: S.CosineAnnealingLR(o, 10),
    "warmcos": lambda o: S.WarmupCosine(o, 3, 10),
    "seq": lambda o: S.SequentialLR(o, [S.LinearWarmup(o, 3), S.StepLR(o, 2)], [3]),
}  # fmt: skip


@pytest.mark.parametrize("name", ALL)
def test_resume_has_the_same_bits(name):
    whole = run(ALL[name], 12)
    optimizer = Groups(0.1, 1.0)
    scheduler = ALL[name](optimizer)
    for _ in range(5):
        scheduler.step()
    state, groups = scheduler.state_dict(), [dict(g) for g in optimizer.param_groups]
    later = Groups(0.7, 0.7)
    resumed = ALL[name](later)
    later.param_groups = groups
    resumed.optimizer = later
    resumed.load_state_dict(state)
    for t in range(6, 13):
        resumed.step()
        assert [g["lr"] for g in later.param_groups] == whole[t]


def test_plateau_resumes():
    a = S.ReduceLROnPlateau(Groups(1.0), patience=1)
    for value in (1.0, 1.0, 1.0):
        a.step(value)
    b = S.ReduceLROnPlateau(Groups(5.0), patience=1)
    b.load_state_dict(a.state_dict())
    for value in (1.0, 1.0, 0.5):
        a.step(value)
        b.step(value)
        assert a.get_last_lr() == b.get_last_lr() and a.state_dict() == b.state_dict()


@pytest.mark.parametrize(
    "make",
    [
        lambda o: S.StepLR(o, 0), lambda o: S.ExponentialLR(o, 0), lambda o: S.InverseTimeLR(o, -1),
        lambda o: S.InverseSqrtLR(o, math.nan), lambda o: S.LinearWarmup(o, 0), lambda o: S.WarmupCosine(o, 5, 5),
        lambda o: S.LambdaLR(o, [abs]), lambda o: S.SequentialLR(o, [S.LinearWarmup(o, 3)], [3]),
        lambda o: S.SequentialLR(o, [S.LinearWarmup(o, 3)] * 3, [5, 5]), lambda o: S.ReduceLROnPlateau(o, mode="best"),
        lambda o: S.ReduceLROnPlateau(o, factor=1.0), lambda o: S.SequentialLR(Groups(1.0), [S.LinearWarmup(o, 3)], []),
    ],
)  # fmt: skip
def test_errors(make):
    with pytest.raises(ValueError):
        make(Groups(0.1, 1.0))
