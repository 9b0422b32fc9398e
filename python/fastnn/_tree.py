"""Nested Python state (dicts, lists, numbers, tensors) as flat named arrays plus one JSON string, and back.

A checkpoint is a tree: the optimiser alone has integers as keys, tensors as leaves and Python numbers between them.
safetensors holds named arrays and strings, so the arrays go out under the path where they stood and the rest becomes
JSON in which ``{"$t": name}`` marks a tensor. Floats survive bit for bit (JSON uses `repr`, NaN and Infinity allowed).
No pickle: reading runs no code.
"""

from __future__ import annotations

import json

import numpy as np

from ._arrays import is_tensor, to_numpy, to_tensor

__all__ = ["flatten", "unflatten"]

_MARKS = ("$t", "$a", "$d", "$u")  # tensor, array, dict with other than string keys, tuple


def flatten(tree) -> tuple[dict[str, np.ndarray], str]:
    """Split a tree into ``(arrays, json)``.

    Leaves may be None, bool, int, float, str, NumPy scalars and arrays, and tensors. Anything else is a TypeError
    that names the place.
    """
    arrays: dict[str, np.ndarray] = {}

    def leaf(mark, value, path):
        name = path or "value"
        if name in arrays:  # {"a.b": x, "a": {"b": y}} would meet here
            name = next(f"{name}~{i}" for i in range(2, 1 << 30) if f"{name}~{i}" not in arrays)
        arrays[name] = value
        return {mark: name}

    def walk(node, path):
        if node is None or isinstance(node, (bool, str)):
            return node
        if isinstance(node, (int, np.integer)):
            return int(node)
        if isinstance(node, (float, np.floating)):
            return float(node)
        if isinstance(node, np.bool_):
            return bool(node)
        if is_tensor(node):
            return leaf("$t", to_numpy(node), path)
        if isinstance(node, np.ndarray):
            return leaf("$a", node, path)
        join = f"{path}." if path else ""
        if isinstance(node, dict):
            if all(isinstance(k, str) for k in node) and not any(m in node for m in _MARKS):
                return {k: walk(v, f"{join}{k}") for k, v in node.items()}
            return {"$d": [[walk(k, ""), walk(v, f"{join}{k}")] for k, v in node.items()]}
        if isinstance(node, (list, tuple)):
            items = [walk(v, f"{join}{i}") for i, v in enumerate(node)]
            return {"$u": items} if isinstance(node, tuple) else items
        raise TypeError(f"save: cannot store a {type(node).__name__} (at {path or 'the top'!r}); "
                        "expected tensors, arrays, numbers, strings, dicts and lists")  # fmt: skip

    return arrays, json.dumps(walk(tree, ""))


def unflatten(arrays: dict[str, np.ndarray], text: str, device="cpu"):
    """Rebuild the tree from what `flatten` returned, its tensors on a device.

    A ValueError says what a damaged description lacks.
    """

    def array(name):
        if not isinstance(name, str) or name not in arrays:
            raise ValueError(f"load: the description names tensor {name!r}, which the file does not hold")
        return arrays[name]

    def walk(node):
        if isinstance(node, list):
            return [walk(v) for v in node]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            ((mark, value),) = node.items()
            if mark == "$t":
                return to_tensor(array(value), device)
            if mark == "$a":
                return array(value)
            if mark == "$u" and isinstance(value, list):
                return tuple(walk(v) for v in value)
            if mark == "$d" and isinstance(value, list):
                try:
                    return {walk(k): walk(v) for k, v in value}
                except (TypeError, ValueError) as error:
                    raise ValueError(f"load: damaged description of a dict ({error})") from None
        return {k: walk(v) for k, v in node.items()}

    try:
        return walk(json.loads(text))
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"load: the description of the saved state is not valid JSON ({error})") from None
