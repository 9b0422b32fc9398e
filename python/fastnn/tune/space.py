"""Search spaces: each hyperparameter with the scale on which equal steps matter equally.

A scale maps the unit interval to values and back. Everything else (drawing, grids, zooming in, pictures) works on the
unit interval.
"""

from __future__ import annotations

import math
import numbers

import numpy as np

from ..data._random import TUNE, check_seed, philox_bits

__all__ = ["Uniform", "Integer", "LogUniform", "OneMinusLog", "Choice", "Space", "course_space"]


def _number(value, what) -> float:
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not math.isfinite(value):
        raise TypeError(f"{what}: expected a finite number, got {value!r}")
    return float(value)


class _Scale:
    """A range of numbers; `_to` and `_back` give the scale."""

    def __init__(self, low, high):
        name = type(self).__name__
        self.low, self.high = _number(low, name), _number(high, name)
        self._check()

    def _check(self):
        if not self.low <= self.high:
            raise ValueError(f"{type(self).__name__}: expected low <= high, got {self.low:g} and {self.high:g}")

    def at(self, u: float):
        """The value at position u, 0 <= u <= 1."""
        a, b = self._to(self.low), self._to(self.high)
        return min(max(self._back(a + u * (b - a)), self.low), self.high)

    def position(self, value) -> float:
        """Where a value lies, 0 at `low` and 1 at `high`."""
        a, b = self._to(self.low), self._to(self.high)
        return (self._to(float(value)) - a) / (b - a) if b > a else 0.5

    def grid(self, n: int) -> list:
        """n values at equal distances on the scale, both ends among them."""
        return [self.at(u) for u in (np.linspace(0, 1, n).tolist() if n > 1 else [0.5])]

    def zoom(self, around, width: float):
        """The same scale on a part of the range: `width` of it around a value, moved inside where it sticks out."""
        u = self.position(around)
        start = min(max(u - width / 2, 0.0), 1.0 - width)
        return type(self)(self.at(start), self.at(start + width))

    def __repr__(self):
        return f"{type(self).__name__}({self.low:g}, {self.high:g})"

    def __eq__(self, other):
        return type(other) is type(self) and vars(other) == vars(self)

    __hash__ = None


class Uniform(_Scale):
    """Numbers between `low` and `high`, all alike: dropout, momentum of little influence."""

    def _to(self, value):
        return value

    _back = _to


class Integer(_Scale):
    """Whole numbers from `low` to `high`, both among them: units of a layer, layers; ``log=True`` for batch sizes.

    Every number gets the same share of the unit interval.
    """

    def __init__(self, low: int, high: int, log: bool = False):
        self.log = bool(log)
        super().__init__(low, high)
        if self.low != int(self.low) or self.high != int(self.high):
            raise TypeError(f"Integer: expected whole numbers, got {low!r} and {high!r}")
        if self.log and self.low < 1:
            raise ValueError(f"Integer: a logarithmic range begins at 1 or above, got {low}")

    def _to(self, value):
        return math.log(value) if self.log else value

    def _ends(self):
        return self._to(self.low - 0.5), self._to(self.high + 0.5)

    def at(self, u):
        a, b = self._ends()
        value = a + u * (b - a)
        value = math.exp(value) if self.log else value
        return int(min(max(math.floor(value + 0.5), self.low), self.high))

    def position(self, value):
        a, b = self._ends()
        return (self._to(float(value)) - a) / (b - a)

    def grid(self, n):
        ends = np.linspace(self._to(self.low), self._to(self.high), n) if n > 1 else [self._to(self.at(0.5))]
        values = [round(math.exp(v) if self.log else v) for v in ends]
        return list(dict.fromkeys(values))  # fewer where the range holds fewer

    def zoom(self, around, width):
        part = super().zoom(around, width)
        part.log = self.log
        return part

    def __repr__(self):
        return f"Integer({self.low:g}, {self.high:g}{', log=True' if self.log else ''})"


class LogUniform(_Scale):
    """Positive numbers, every power of ten alike: learning rates.

    The course's r ~ U[a, b], 10^r: between 0.0001 and 1 a quarter of the draws goes to each decade, where a linear
    scale would spend 90 % of them above 0.1.
    """

    def _check(self):
        super()._check()
        if self.low <= 0:
            raise ValueError(f"LogUniform: expected positive bounds, got {self.low:g}")

    def _to(self, value):
        return math.log(value)

    def _back(self, value):
        return math.exp(value)


class OneMinusLog(_Scale):
    """Numbers just below 1, with 1 - x on a logarithmic scale: the beta of exponentially weighted averages.

    0.9 to 0.99 gets as many draws as 0.99 to 0.999: what matters is the window 1 / (1 - beta).
    """

    def _check(self):
        super()._check()
        if self.high >= 1:
            raise ValueError(f"OneMinusLog: expected bounds below 1, got {self.high:g}")

    def _to(self, value):
        return -math.log(1 - value)

    def _back(self, value):
        return 1 - math.exp(-value)


class Choice:
    """One of several things without an order: ``Choice("relu", "tanh")``. They are kept in files, so they must be
    numbers, strings, booleans or None."""

    def __init__(self, *options):
        if not options:
            raise ValueError("Choice: expected at least one option")
        for option in options:
            if not (option is None or isinstance(option, (bool, int, float, str))):
                raise TypeError(f"Choice: expected numbers, strings, booleans or None, got {option!r}")
        self.options = options

    def at(self, u):
        return self.options[min(int(u * len(self.options)), len(self.options) - 1)]

    def position(self, value):
        return (self.options.index(value) + 0.5) / len(self.options)

    def grid(self, n):
        return list(self.options)

    def zoom(self, around, width):
        return self

    def __repr__(self):
        return f"Choice({', '.join(map(repr, self.options))})"

    def __eq__(self, other):
        return type(other) is Choice and other.options == self.options

    __hash__ = None


class Space:
    """Named hyperparameters: ``Space(lr=LogUniform(1e-4, 1), units=Integer(50, 100))``, or from a dict.

    A plain value instead of a scale is the same in every configuration.
    """

    def __init__(self, scales: dict | None = None, **more):
        self.scales = {**(scales or {}), **more}
        if not self.scales:
            raise ValueError("Space: expected at least one hyperparameter")
        for name, scale in self.scales.items():
            if not isinstance(name, str):
                raise TypeError(f"Space: names are strings, got {name!r}")
            if not isinstance(scale, (_Scale, Choice)):
                self.scales[name] = Choice(scale)

    def at(self, positions) -> dict:
        """The configuration at one position in [0, 1] a hyperparameter."""
        return {name: scale.at(float(u)) for (name, scale), u in zip(self.scales.items(), positions)}

    def positions(self, config: dict) -> list[float]:
        """Where a configuration lies on every scale, in order."""
        return [scale.position(config[name]) for name, scale in self.scales.items()]

    def sample(self, n: int, seed: int = 0, stream: int = 0) -> list[dict]:
        """n configurations, a function of the arguments alone."""
        bits = philox_bits(n * len(self.scales), check_seed(seed), stream, TUNE)
        u = (bits >> np.uint64(11)).astype(np.float64) / (1 << 53)
        return [self.at(row) for row in u.reshape(n, len(self.scales))]

    def grid(self, n: int | dict = 5) -> list[dict]:
        """All combinations of n values of each hyperparameter (or of ``n[name]``, 5 where it is not named)."""
        configs = [{}]
        for name, scale in self.scales.items():
            values = scale.grid(n.get(name, 5) if isinstance(n, dict) else n)
            configs = [{**c, name: v} for c in configs for v in values]
        return configs

    def zoom(self, around: dict, width: float) -> Space:
        """The part of the space around a configuration, `width` of every range."""
        if not 0 < width <= 1:
            raise ValueError(f"zoom: expected 0 < width <= 1, got {width}")
        return Space({name: scale.zoom(around[name], width) for name, scale in self.scales.items()})

    def __repr__(self):
        return f"Space({', '.join(f'{n}={s!r}' for n, s in self.scales.items())})"


def course_space(tier: int = 2) -> Space:
    """The course's order of importance: 1 the learning rate; 2 also momentum, batch size and hidden units; 3 also the
    number of layers and the decay of the learning rate. Adam's betas and epsilon are (almost) never tuned."""
    if tier not in (1, 2, 3):
        raise ValueError(f"course_space: tier is 1, 2 or 3, got {tier!r}")
    scales = {"learning_rate": LogUniform(1e-4, 1)}
    if tier >= 2:
        scales.update(momentum=OneMinusLog(0.9, 0.999), batch_size=Integer(16, 512, log=True), units=Integer(50, 100))
    if tier >= 3:
        scales.update(layers=Integer(2, 4), decay=LogUniform(1e-4, 1e-1))
    return Space(scales)
