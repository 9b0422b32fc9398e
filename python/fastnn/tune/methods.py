"""Which configurations are tried, round by round.

A method's ``rounds(space)`` is a generator: it yields a round, a list of `Request`, and is sent their scores (higher is
better, -inf for a failed trial) in the same order. All that it does follows from the scores, so a search that was
killed is run again from its beginning with the trials that are already there.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from .space import Choice, Integer, LogUniform, Space, Uniform

__all__ = ["Request", "Grid", "RandomSearch", "CoarseToFine", "SuccessiveHalving", "Hyperband", "Optuna"]


class Request(NamedTuple):
    """A configuration to try; `budget` is what it may use (epochs, say), `parent` the request it continues."""

    config: dict
    budget: int | None = None
    parent: int | None = None


def _at_least(method, **values):
    for name, (value, least) in values.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ValueError(f"{method}: {name} expects a whole number >= {least}, got {value!r}")


class Grid:
    """All combinations of `n` values of each hyperparameter. 5 x 5 tries 5 learning rates only: see `RandomSearch`."""

    def __init__(self, n: int | dict = 5):
        self.n = n

    def rounds(self, space: Space):
        yield [Request(c) for c in space.grid(self.n)]


class RandomSearch:
    """`trials` configurations drawn from the space: 25 of them try 25 learning rates (Bergstra and Bengio 2012)."""

    def __init__(self, trials: int = 25, seed: int = 0):
        _at_least("RandomSearch", trials=(trials, 1))
        self.trials, self.seed = trials, seed

    def rounds(self, space):
        yield [Request(c) for c in space.sample(self.trials, self.seed)]


class CoarseToFine:
    """Random search, then again in a smaller space around the best configuration so far, several times.

    Parameters
    ----------
    trials : int
        Of each round.
    rounds : int
    zoom : float
        The share of every range that the next round keeps.
    seed : int
    """

    def __init__(self, trials: int = 10, rounds: int = 2, zoom: float = 0.4, seed: int = 0):
        _at_least("CoarseToFine", trials=(trials, 1), rounds=(rounds, 1))
        if not 0 < zoom <= 1:
            raise ValueError(f"CoarseToFine: zoom expects 0 < share <= 1, got {zoom}")
        self.trials, self.n_rounds, self.zoom, self.seed = trials, rounds, zoom, seed

    def rounds(self, space):
        best, best_score = None, -math.inf
        for number in range(self.n_rounds):
            part = space if best is None else space.zoom(best, self.zoom**number)
            configs = part.sample(self.trials, self.seed, number)
            scores = yield [Request(c) for c in configs]
            for config, score in zip(configs, scores):
                if best is None or score > best_score:
                    best, best_score = config, score


class SuccessiveHalving:
    """Many configurations with a small budget; the better part goes on with `eta` times as much, until few are left.

    Jamieson and Talwalkar (2016). The objective is given ``trial.budget``, and ``trial.parent_folder`` where the run
    that it continues left its checkpoint.

    Parameters
    ----------
    trials : int
        Configurations at the start.
    min_budget, max_budget : int
        Epochs (or whatever the objective counts) of the first and, at the most, of the last round.
    eta : int
        One in `eta` stays.
    seed : int
    """

    def __init__(self, trials: int = 27, min_budget: int = 1, max_budget: int = 27, eta: int = 3, seed: int = 0):
        _at_least("SuccessiveHalving", trials=(trials, 1), min_budget=(min_budget, 1),
                  max_budget=(max_budget, min_budget), eta=(eta, 2))  # fmt: skip
        self.trials, self.min_budget, self.max_budget, self.eta, self.seed = trials, min_budget, max_budget, eta, seed

    def rounds(self, space):
        yield from _halving(space.sample(self.trials, self.seed), self.min_budget, self.max_budget, self.eta, 0)


def _halving(configs, budget, most, eta, first):
    """The rounds of one bracket; `first` is the number of its first request. Returns how many requests it made."""
    requests, made = [Request(c, budget) for c in configs], 0
    while True:
        scores = yield requests
        begin = first + made
        made += len(requests)
        keep = len(requests) // eta
        budget *= eta
        if keep < 1 or budget > most:
            return made
        order = sorted(range(len(requests)), key=lambda i: (-scores[i], i))[:keep]
        requests = [Request(requests[i].config, budget, begin + i) for i in order]


class Hyperband:
    """Successive halving from several starting points: many configurations for a short time to few for a long one.

    Li et al. (2018). Brackets s = s_max .. 0 begin with ceil((s_max + 1) / (s + 1) eta^s) configurations of budget
    max_budget / eta^s.
    """

    def __init__(self, max_budget: int = 27, eta: int = 3, seed: int = 0):
        _at_least("Hyperband", max_budget=(max_budget, 1), eta=(eta, 2))
        self.max_budget, self.eta, self.seed = max_budget, eta, seed

    def brackets(self) -> list[tuple[int, int]]:
        """(configurations, budget of each) at the start of every bracket."""
        most, s_max = 1, 0
        while most * self.eta <= self.max_budget:
            most, s_max = most * self.eta, s_max + 1
        return [
            (-(-(s_max + 1) * self.eta**s // (s + 1)), self.max_budget // self.eta**s) for s in range(s_max, -1, -1)
        ]

    def rounds(self, space):
        made = 0
        for number, (n, budget) in enumerate(self.brackets()):
            configs = space.sample(n, self.seed, number)
            made += yield from _halving(configs, budget, self.max_budget, self.eta, made)


class Optuna:
    """Optuna chooses (`pip install optuna`): by default its TPE sampler, or any sampler of yours.

    Parameters
    ----------
    trials : int
    batch : int
        Configurations asked for before their scores are told: as many can run at once.
    seed : int
        Of the default sampler. A sampler of yours needs its own seed, or a killed search cannot be taken up again.
    sampler : optuna.samplers.BaseSampler, optional
    """

    def __init__(self, trials: int = 25, batch: int = 1, seed: int = 0, sampler=None):
        _at_least("Optuna", trials=(trials, 1), batch=(batch, 1))
        self.trials, self.batch, self.seed, self.sampler = trials, batch, seed, sampler

    def rounds(self, space):
        try:
            import optuna
        except ImportError:
            raise ImportError("tune.Optuna needs the package optuna (pip install optuna)") from None
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        sampler = self.sampler or optuna.samplers.TPESampler(seed=self.seed)
        study = optuna.create_study(direction="maximize", sampler=sampler)
        scales = {name: _distribution(optuna.distributions, scale) for name, scale in space.scales.items()}
        left = self.trials
        while left:
            asked = [study.ask(scales) for _ in range(min(self.batch, left))]
            left -= len(asked)
            scores = yield [Request(_config(space, trial.params)) for trial in asked]
            for trial, score in zip(asked, scores):
                failed = not math.isfinite(score)
                study.tell(trial, None if failed else score,
                           state=optuna.trial.TrialState.FAIL if failed else None)  # fmt: skip


def _distribution(kinds, scale):
    """Optuna's form of a scale; OneMinusLog is asked for on the unit interval, which it has no form for."""
    if isinstance(scale, Choice):
        return kinds.CategoricalDistribution(scale.options)
    if isinstance(scale, Integer):
        return kinds.IntDistribution(int(scale.low), int(scale.high), log=scale.log)
    if isinstance(scale, (Uniform, LogUniform)):
        return kinds.FloatDistribution(scale.low, scale.high, log=isinstance(scale, LogUniform))
    return kinds.FloatDistribution(0.0, 1.0)


def _config(space, params):
    own = (Choice, Integer, Uniform, LogUniform)
    return {n: params[n] if isinstance(scale, own) else scale.at(params[n]) for n, scale in space.scales.items()}
