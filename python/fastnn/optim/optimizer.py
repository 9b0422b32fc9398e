"""Optimizer: parameter groups, state and the order of a step. The arithmetic is one kernel call a parameter, in C++."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from .. import _C, _capture
from .._arrays import to_tensor
from .._C import Tensor
from .._rows import clear_row_gradient, row_gradient
from ..autograd import enable_grad, no_grad


class Optimizer:
    """Base class of the optimisers.

    A subclass names its state tensors (``_new_state``), checks its settings (``_check``) and passes lists of tensors to
    its kernel (``_update``). A step checks everything first and changes nothing unless all of it fits.

    Parameters
    ----------
    params : iterable of Tensor, or of dicts
        A dict is a group: ``{"params": [...], "lr": 0.01}`` with settings of its own.
    defaults : dict
        The settings of groups that do not name them.

    Attributes
    ----------
    param_groups : list of dict
        ``group["lr"]`` and the other settings may be changed between steps.
    state : dict of Tensor to dict of str to Tensor
    """

    def __init__(self, params: Iterable, defaults: dict):
        self.defaults, self.param_groups, self.state = defaults, [], {}
        self._rates = []  # the learning rate of each group in a tensor for each device: kernels read it there
        if isinstance(params, (Tensor, dict)):
            raise TypeError(
                f"{self._name}: params expects a list of tensors or of groups, got a {type(params).__name__}"
            )
        params = list(params)
        if not params:
            raise ValueError(f"{self._name}: expected at least one parameter, got an empty list")
        for group in params if isinstance(params[0], dict) else [{"params": params}]:
            self.add_param_group(group)

    @property
    def _name(self) -> str:
        return type(self).__name__

    # --- what a subclass defines -------------------------------------------------------------------------------------
    def _check(self, group: dict) -> None:
        """Raise ValueError when a setting of the group is out of range."""

    def _new_state(self, param, group: dict) -> dict:
        """The state tensors of a parameter before its first update."""
        return {}

    def _update(self, group: dict, rate: Tensor, params: list, grads: list, states: list[dict]) -> None:
        raise TypeError(f"{self._name}: define _update(group, rate, params, grads, states)")

    # --- checks shared by the subclasses -----------------------------------------------------------------------------
    def _at_least_zero(self, group: dict, *names: str) -> None:
        for name in names:
            if not (isinstance(group[name], (int, float)) and 0 <= group[name] < float("inf")):
                raise ValueError(f"{self._name}: {name} expects a finite number >= 0, got {group[name]!r}")

    def _below_one(self, group: dict, **values) -> None:
        for name, value in values.items():
            if not 0 <= value < 1:
                raise ValueError(f"{self._name}: {name} expects a number in [0, 1), got {value!r}")

    # --- groups ------------------------------------------------------------------------------------------------------
    def add_param_group(self, group: dict) -> None:
        """Add parameters, with settings of their own; what the group does not name comes from the defaults."""
        if not isinstance(group, dict) or "params" not in group:
            raise TypeError(f"{self._name}: a parameter group expects a dict with the key 'params', got {group!r:.80}")
        unknown = set(group) - set(self.defaults) - {"params", "initial_lr", "name"}
        if unknown:
            raise ValueError(
                f"{self._name}: unknown setting {', '.join(sorted(unknown))}; "
                f"a group may set {', '.join(self.defaults)}"
            )
        params = [group["params"]] if isinstance(group["params"], Tensor) else list(group["params"])
        known = {id(p) for g in self.param_groups for p in g["params"]}
        for i, p in enumerate(params):
            if not isinstance(p, Tensor):
                raise TypeError(f"{self._name}: parameter {i} expects a Tensor, got {type(p).__name__}")
            if not p.is_leaf:
                raise ValueError(f"{self._name}: parameter {i} is the result of an operation; expected a leaf tensor")
            if id(p) in known:
                raise ValueError(f"{self._name}: parameter {i} of the group is already being optimised")
            known.add(id(p))
        group = {**self.defaults, **group, "params": params}
        self._check(group)
        self.param_groups.append(group)
        self._rates.append({})

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients (default), or set them to zero in place."""
        for group in self.param_groups:
            for p in group["params"]:
                if set_to_none:
                    p.grad = None
                elif p.grad is not None:
                    p.grad.zero_()
                clear_row_gradient(p)

    # --- the step ----------------------------------------------------------------------------------------------------
    def step(self, closure: Callable | None = None):
        """Update every parameter that has a gradient.

        Parameters
        ----------
        closure : callable, optional
            Computes the loss and its gradients anew; its value is returned.
        """
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        with no_grad():
            work = []
            for group, rates in zip(self.param_groups, self._rates):
                params = [p for p in group["params"] if p.grad is not None]
                if params:
                    self._check(group)
                    states = [self._state_of(p, group) for p in params]
                    for device, some, theirs in self._by_device(params, states):
                        work.append((group, self._rate(rates, device), some, [p.grad for p in some], theirs))
            rows = self._row_work()
            if (
                len(work) + len(rows) > 1
            ):  # a kernel call checks its own group before it writes; several need one look ahead
                for _, _, params, grads, states in work + [r[:5] for r in rows]:
                    _C._optim_check(self._name, params, grads, [list(s.values()) for s in states])
            self._write_rates()
            if _capture._active:
                _capture.note_optimizer(self)
            for group, rate, params, grads, states in work:
                self._update(group, rate, params, grads, states)
            for group, rate, params, grads, states, put_back in rows:
                self._update(group, rate, params, grads, states)
                put_back()
        return loss

    @staticmethod
    def _by_device(params: list, states: list[dict]) -> list:
        """``(device, params, states)`` for each device; state follows a parameter that was moved."""
        device = _C._optim_follow(params, states)
        if device is not None:
            return [(device, params, states)]
        parts: dict = {}
        for p, state in zip(params, states):
            part = parts.setdefault(str(p.device), (p.device, [], []))
            part[1].append(p)
            part[2].append(state)
        return list(parts.values())

    @staticmethod
    def _rate(rates: dict, device) -> Tensor:
        rate = rates.get(str(device))
        if rate is None:
            rate = rates[str(device)] = _C.zeros((), dtype=_C.float64, device=device)
        return rate

    def _row_work(self) -> list:
        """Updates of the rows that lookups left gradients for: on copies of them and of their state."""
        work = []
        for group, rates in zip(self.param_groups, self._rates):
            for p in group["params"]:
                found = row_gradient(p)
                if found is None:
                    continue
                if p.grad is not None:
                    raise ValueError(f"{self._name}: a parameter has a gradient, and one of rows as well")
                self._check(group)
                state = self._state_of(p, group)
                rate = self._rate(rates, _C._optim_follow([p], [state]))
                rows, part = found.rows, p.detach()[found.rows]
                state_part = {k: s[rows] if s.ndim else s for k, s in state.items()}

                def put_back(p=p, rows=rows, part=part, state=state, state_part=state_part):
                    p.detach()[rows] = part
                    for name, value in state_part.items():
                        if value.ndim:
                            if name not in state:  # a variant that was switched on between steps
                                state[name] = zeros_for(p)
                            state[name][rows] = value

                work.append((group, rate, [part], [found.values], [state_part], put_back))
        return work

    def _write_rates(self) -> None:
        """Hand the groups' learning rates to the kernels, as every replay of a captured step does."""
        for group, rates in zip(self.param_groups, self._rates):
            for rate in rates.values():
                _C._write_rate(rate, group["lr"])

    def _state_of(self, param, group: dict) -> dict:
        state = self.state.get(param)
        if state is None:
            state = self.state[param] = self._new_state(param, group)
        return state

    # --- state -------------------------------------------------------------------------------------------------------
    def state_dict(self) -> dict:
        """``{"state": {index: {name: Tensor}}, "param_groups": [...]}``; parameters are numbered over all groups."""
        index = {id(p): i for i, p in enumerate(p for g in self.param_groups for p in g["params"])}
        groups = [
            {**{k: v for k, v in g.items() if k != "params"}, "params": [index[id(p)] for p in g["params"]]}
            for g in self.param_groups
        ]
        return {"state": {index[id(p)]: dict(s) for p, s in self.state.items()}, "param_groups": groups}

    def load_state_dict(self, state_dict: dict) -> None:
        """Take over settings and state; nothing is changed unless everything fits.

        Raises
        ------
        ValueError
            Another number of groups or parameters, another shape, other state names.
        """
        groups = state_dict["param_groups"]
        sizes, expected = [len(g["params"]) for g in groups], [len(g["params"]) for g in self.param_groups]
        if sizes != expected:
            raise ValueError(f"{self._name}: load_state_dict expects groups of {expected} parameters, got {sizes}")
        # Settings first: the state a parameter must have depends on them (momentum, amsgrad).
        settings = [{**g, **{k: v for k, v in s.items() if k != "params"}} for g, s in zip(self.param_groups, groups)]
        loaded = {}
        with no_grad():
            for group, saved_group in zip(settings, groups):
                self._check(group)
                for param, number in zip(group["params"], saved_group["params"]):
                    if number in state_dict["state"]:
                        loaded[param] = self._loaded_state(param, group, number, state_dict["state"][number])
        for group, new in zip(self.param_groups, settings):
            group.update(new)
        self.state = loaded

    def _loaded_state(self, param, group: dict, number: int, saved: dict) -> dict:
        fresh = self._new_state(param, group)
        if set(saved) != set(fresh):
            raise ValueError(
                f"{self._name}: load_state_dict: parameter {number} expects the state {sorted(fresh)}, "
                f"got {sorted(saved)}"
            )
        for name, target in fresh.items():
            value = to_tensor(saved[name])
            if tuple(value.shape) != tuple(target.shape):
                raise ValueError(
                    f"{self._name}: load_state_dict: {name} of parameter {number} expects shape "
                    f"{list(target.shape)}, got {list(value.shape)}"
                )
            target.copy_(value)
        return fresh

    def __repr__(self) -> str:
        lines = []
        for i, group in enumerate(self.param_groups):
            count = sum(p.numel() for p in group["params"])
            settings = ", ".join(f"{k}={v}" for k, v in group.items() if k != "params")
            lines.append(f"  group {i}: {len(group['params'])} tensors, {count:,} values, {settings}")
        return f"{self._name}(\n" + "\n".join(lines) + "\n)"


def new_step(param):
    """The count of updates, advanced by the kernel, where the parameter is."""
    return _C.zeros((), dtype=_C.int64, device=param.device)


def zeros_for(param):
    """State of a parameter's shape, where it is: contiguous zeros, whatever the parameter's strides."""
    return _C.zeros(tuple(param.shape), dtype=param.dtype, device=param.device)
