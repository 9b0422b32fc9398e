"""Containers: modules and parameters in order or by name."""

from __future__ import annotations

from collections import OrderedDict

from .module import Module
from .parameter import Parameter


class _Numbered(Module):
    """Children stored under the attribute names "0", "1", ...; shared by Sequential, ModuleList and ParameterList."""

    _kind: type = Module

    def _items(self) -> list:
        return [v for v in self.__dict__.values() if isinstance(v, self._kind)]

    def _names(self) -> list[str]:
        return [k for k, v in self.__dict__.items() if isinstance(v, self._kind)]

    def _check(self, value):
        if not isinstance(value, self._kind):
            raise TypeError(f"{type(self).__name__}: expected a {self._kind.__name__}, got {type(value).__name__}")
        return value

    def _replace_all(self, values) -> None:
        for name in self._names():
            delattr(self, name)
        for i, value in enumerate(values):
            setattr(self, str(i), value)

    def _name_at(self, index: int) -> str:
        names = self._names()
        if not -len(names) <= index < len(names):
            raise IndexError(f"{type(self).__name__}: index {index} is out of range for {len(names)} items")
        return names[index]

    def __len__(self) -> int:
        return len(self._items())

    def __iter__(self):
        return iter(self._items())

    def __contains__(self, value) -> bool:
        return any(v is value for v in self._items())

    def __getitem__(self, index):
        if isinstance(index, slice):
            return self._of(index)
        return self.__dict__[self._name_at(index)]

    def _of(self, index: slice):
        return type(self)(self._items()[index])

    def __setitem__(self, index: int, value) -> None:
        setattr(self, self._name_at(index), self._check(value))

    def __delitem__(self, index) -> None:
        items = self._items()
        del items[index]
        self._replace_all(items)

    def append(self, value):
        """Add at the end; returns self."""
        names = self._names()
        number = len(names)
        while str(number) in self.__dict__:
            number += 1
        setattr(self, str(number), self._check(value))
        return self

    def insert(self, index: int, value):
        """Insert before ``index``; the items behind are renumbered. Returns self."""
        items = self._items()
        items.insert(index, self._check(value))
        self._replace_all(items)
        return self

    def extend(self, values):
        for value in values:
            self.append(value)
        return self


class Sequential(_Numbered):
    """Modules in a row: the output of each is the input of the next.

    ``Sequential(a, b, c)`` or ``Sequential(OrderedDict(name=module, ...))``. Slices are Sequentials of the same
    modules.
    """

    def __init__(self, *modules):
        super().__init__()
        if len(modules) == 1 and isinstance(modules[0], dict):
            for name, module in modules[0].items():
                self.add_module(name, self._check(module))
        else:
            self.extend(modules)

    def _of(self, index: slice):
        return Sequential(OrderedDict((n, self.__dict__[n]) for n in self._names()[index]))

    def forward(self, x):
        for module in self._items():
            x = module(x)
        return x


class ModuleList(_Numbered):
    """A list of modules that ``parameters()`` and ``state_dict()`` see. It has no forward of its own."""

    def __init__(self, modules=()):
        super().__init__()
        self.extend(modules)


class ParameterList(_Numbered):
    """A list of parameters."""

    _kind = Parameter

    def __init__(self, values=()):
        super().__init__()
        self.extend(values)

    def _check(self, value):
        return value if isinstance(value, Parameter) else Parameter(value)

    def __repr__(self) -> str:
        rows = [f"  ({i}): Parameter {list(p.shape)} {p.dtype}" for i, p in enumerate(self)]
        return "ParameterList(\n" + "\n".join(rows) + "\n)" if rows else "ParameterList()"


class _Named(Module):
    """Children by name; the names are attributes, so they must not hide a method."""

    _kind: type = Module

    def _check(self, value):
        if not isinstance(value, self._kind):
            raise TypeError(f"{type(self).__name__}: expected a {self._kind.__name__}, got {type(value).__name__}")
        return value

    def __getitem__(self, key: str):
        if key not in self:
            raise KeyError(f"{type(self).__name__}: no item '{key}'; it has {', '.join(self.keys()) or 'none'}")
        return self.__dict__[key]

    def __setitem__(self, key: str, value) -> None:
        self._check_name(key)
        if hasattr(type(self), key) or key.startswith("_"):
            raise KeyError(f"{type(self).__name__}: the name '{key}' is taken by a method or attribute")
        setattr(self, key, self._check(value))

    def __delitem__(self, key: str) -> None:
        self[key]
        delattr(self, key)

    def __contains__(self, key) -> bool:
        return isinstance(self.__dict__.get(key), self._kind)

    def __len__(self) -> int:
        return len(self.keys())

    def __iter__(self):
        return iter(self.keys())

    def keys(self) -> list[str]:
        return [k for k, v in self.__dict__.items() if isinstance(v, self._kind)]

    def values(self) -> list:
        return [self.__dict__[k] for k in self.keys()]

    def items(self) -> list:
        return [(k, self.__dict__[k]) for k in self.keys()]

    def update(self, values) -> None:
        for key, value in values.items() if hasattr(values, "items") else values:
            self[key] = value

    def pop(self, key: str):
        value = self[key]
        del self[key]
        return value


class ModuleDict(_Named):
    """Modules by name, in insertion order."""

    def __init__(self, modules=()):
        super().__init__()
        self.update(modules)


class ParameterDict(_Named):
    """Parameters by name, in insertion order."""

    _kind = Parameter

    def __init__(self, values=()):
        super().__init__()
        self.update(values)

    def _check(self, value):
        return value if isinstance(value, Parameter) else Parameter(value)

    def __repr__(self) -> str:
        rows = [f"  ({k}): Parameter {list(p.shape)} {p.dtype}" for k, p in self.items()]
        return "ParameterDict(\n" + "\n".join(rows) + "\n)" if rows else "ParameterDict()"
