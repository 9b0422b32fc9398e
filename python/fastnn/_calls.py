"""What is wrong with a call that no signature of a compiled function fits, in one line."""

from __future__ import annotations

import difflib
import re

import numpy as np

from fastnn import _C

_TEXT = 40  # characters of a value that a message shows
_ELSEWHERE = {"axis": "dim", "keepdims": "keepdim", "input": "x"}  # what other libraries call an argument


def explain(doc: str, args: list, kwargs: dict, is_method: bool) -> str:
    """The message of the TypeError: which argument is missing, unknown or of the wrong type.

    ``doc`` begins with the signature, or has several as a numbered list; ``args`` begin with self for a method.
    """
    signatures = re.findall(r"^(?:\d+\. )?(\w+)\((.*)\) -> ", doc, re.MULTILINE)
    if not signatures:
        return f"no signature fits the arguments {', '.join(_name(a) for a in args)}"
    name = signatures[0][0]
    found = [_mismatch(_parameters(text)[is_method:], args[is_method:], kwargs) for _, text in signatures]
    problem = found[0] if len(set(found)) == 1 else None
    if problem is None:
        got = [_name(a) for a in args[is_method:]] + [f"{k}={_name(v)}" for k, v in kwargs.items()]
        problem = f"no signature fits ({', '.join(got)})"
    forms = " or ".join(f"{name}({_short(_parameters(text)[is_method:])})" for _, text in signatures)
    return f"{name}: {problem}; expected {forms}"


def _parameters(text: str) -> list[tuple[str, str, str | None]]:
    """(name, annotation, default) of each parameter; a lone ``*`` has no annotation."""
    result = []
    for part in filter(None, _split(text, ",")):
        head, _, default = part.partition(" = ")
        name, _, annotation = head.partition(": ")
        result.append((name, annotation, default or None))
    return result


def _mismatch(parameters, args, kwargs) -> str | None:
    """What keeps these arguments from fitting, None where nothing is seen."""
    names = [p[0] for p in parameters if not p[0].startswith("*")]
    variadic = any(p[0] == "*args" for p in parameters)
    stop = next((i for i, p in enumerate(parameters) if p[0].startswith("*")), len(parameters))
    positional = [p[0] for p in parameters[:stop]]
    for key in kwargs:
        if key not in names:
            near = difflib.get_close_matches(
                {"axis": "dim", "keepdims": "keepdim", "input": "x"}.get(key, key), names, 1
            )
            return f"unknown argument '{key}'" + (f" (is it '{near[0]}'?)" if near else "")
    if len(args) > len(positional) and not variadic:
        most = f"at most {len(positional)} positional argument{'s' * (len(positional) != 1)}"
        return f"{most} expected, got {len(args)}"
    given = {**dict(zip(positional, args)), **kwargs}
    for key in list(kwargs):
        if key in positional[: len(args)]:
            return f"'{key}' is given twice"
    for name, annotation, default in parameters:
        if name.startswith("*"):
            continue
        if name not in given:
            if default is None:
                return f"'{name}' is missing"
        elif not _fits(given[name], annotation):
            return f"{name} expects {_plain(annotation)}, got {_name(given[name])}" + _hint(given[name], annotation)
    return None


def _fits(value, annotation: str) -> bool:
    options = _split(annotation, "|")
    if isinstance(value, _C.Tensor):
        return any(o in ("Tensor", "object") for o in options) or (value.ndim == 0 and "Sequence" not in annotation)
    for option in options:
        if option.startswith("collections.abc.Sequence["):
            inner = option[len("collections.abc.Sequence[") : -1]
            if isinstance(value, (list, tuple)) and all(_fits(v, inner) for v in value):
                return True
        elif option in ("typing.SupportsInt", "typing.SupportsIndex", "int"):
            if hasattr(value, "__index__") and -(2**63) <= value.__index__() < 2**63:
                return True
        elif option in ("typing.SupportsFloat", "float"):
            if hasattr(value, "__float__") or hasattr(value, "__index__"):
                return True
        elif option == "bool":
            if isinstance(value, (bool, np.bool_)):
                return True
        elif option == "str":
            if isinstance(value, str):
                return True
        elif option == "None":
            if value is None:
                return True
        elif option == "dtype":
            if isinstance(value, (_C.dtype, np.dtype, type)) or (isinstance(value, str) and value in np.sctypeDict):
                return True
        elif option == "device":
            if isinstance(value, _C.device) or (isinstance(value, str) and re.fullmatch(r"cpu|cuda(:\d+)?", value)):
                return True
        elif option.startswith("fastnn.cuda."):
            if type(value).__name__ == option.removeprefix("fastnn.cuda."):
                return True
        elif option != "Tensor":  # object, dtype, arrays: the function itself will say
            return True
    return False


def _split(text: str, mark: str) -> list[str]:
    """The parts of a text between marks that stand in no bracket."""
    parts, depth, start = [], 0, 0
    for i, c in enumerate(text + mark):
        depth += (c in "[(") - (c in "])")
        if c == mark and depth == 0:
            parts.append(text[start:i].strip())
            start = i + 1
    return parts


_PLAIN = {"Tensor": "a tensor", "int": "an int", "float": "a number", "bool": "a bool", "str": "a string",
          "dtype": "a dtype", "device": "a device ('cpu', 'cuda', 'cuda:0')"}  # fmt: skip


def _plain(annotation: str) -> str:
    words = []
    for option in _split(annotation, "|"):
        option = option.removeprefix("typing.").removeprefix("collections.abc.").removeprefix("fastnn.cuda.")
        option = {"SupportsInt": "int", "SupportsFloat": "float"}.get(option, option)
        if option == "SupportsIndex":  # stands beside one of the two before
            continue
        if option.startswith("Sequence["):
            inner = "ints" if "Int" in option or "int" in option else "numbers" if "Float" in option else "tensors"
            option = f"a sequence of {inner}"
        word = _PLAIN.get(option, option)
        if word not in words:
            words.append(word)
    if "a number" in words:  # says it all
        words = [w for w in words if w not in ("a bool", "an int")]
    return " or ".join(words)


def _short(parameters) -> str:
    return ", ".join(name + (f"={default}" if default is not None else "") for name, _, default in parameters)


def _name(value) -> str:
    """A value in a few words: its type, and the value itself or the shape where that is short."""
    if isinstance(value, _C.Tensor):
        return f"a tensor of shape {list(value.shape)}"
    if isinstance(value, np.ndarray):
        return f"a NumPy array ({value.dtype}, shape {list(value.shape)})"
    if value is None or isinstance(value, bool):
        return repr(value)
    kind = type(value).__name__
    if isinstance(value, (int, float, complex, str, bytes)):
        text = repr(value) if not isinstance(value, int) or abs(value) < 1 << 200 else "..."
        return f"{kind} {text if len(text) <= _TEXT else text[:_TEXT] + '...'}"
    if isinstance(value, (list, tuple)):
        return f"a {kind} of {len(value)}" + (f" (of {type(value[0]).__name__} ...)" if value else "")
    return kind


def _hint(value, annotation: str) -> str:
    if "Tensor" in annotation and isinstance(value, (np.ndarray, list, tuple, int, float)):
        return " (fastnn.tensor(...) makes one)"
    return ""
