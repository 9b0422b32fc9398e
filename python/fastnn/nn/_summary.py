"""The table behind ``Module.summary``."""

from __future__ import annotations

from .. import _C
from .._C import Tensor
from ..autograd import no_grad


def _shape(value) -> str:
    """Output shapes as text, the batch dimension written N."""
    if isinstance(value, Tensor):
        dims = list(value.shape)
        return "[" + ", ".join(["N"] + [str(d) for d in dims[1:]]) + "]" if dims else "[]"
    if isinstance(value, (tuple, list)):
        return ", ".join(_shape(v) for v in value)
    return type(value).__name__


def summary(model, input_shape, dtype=None) -> str:
    shapes = input_shape if isinstance(input_shape, list) else [input_shape]
    shapes = [(s,) if isinstance(s, int) else tuple(s) for s in shapes]
    first = next(model.parameters(), None)
    if dtype is None:
        dtype = _C.float32 if first is None else first.dtype
    place = "cpu" if first is None else first.device
    inputs = [_C.zeros((2, *s), dtype=dtype, device=place) for s in shapes]

    rows, outputs, handles = [], {}, []
    modules = list(model.named_modules())

    def note(module, args, output):
        outputs.setdefault(id(module), _shape(output))

    for _, module in modules:
        handles.append(module.register_forward_hook(note))
    was_training = [m.training for _, m in modules]
    model.eval()
    try:
        with no_grad():
            model(*inputs)
    finally:
        for handle in handles:
            handle.remove()
        for (_, module), mode in zip(modules, was_training):
            module.training = mode

    for path, module in modules:
        leaf = next(module.children(), None) is None
        own = sum(p.numel() for _, p in module._own_parameters())
        if leaf or own:
            layer = f"{path} ({type(module).__name__})" if path else type(module).__name__
            rows.append((layer, outputs.get(id(module), "not called"), f"{own:,}"))

    params = list(model.parameters())
    total = sum(p.numel() for p in params)
    trainable = sum(p.numel() for p in params if p.requires_grad)
    size = sum(p.numel() * p.element_size() for p in params) + sum(
        b.numel() * b.element_size() for b in model.buffers()
    )

    head = ("Layer", "Output shape", "Parameters")
    width = [max(len(r[i]) for r in [head, *rows]) for i in range(3)]

    def line(r):
        return f"{r[0]:<{width[0]}}  {r[1]:<{width[1]}}  {r[2]:>{width[2]}}"

    rule = "-" * (sum(width) + 4)
    inputs_text = ", ".join("[" + ", ".join(["N", *map(str, s)]) + "]" for s in shapes)
    return "\n".join(
        [
            f"{type(model).__name__}: input {inputs_text}",
            rule,
            line(head),
            rule,
            *[line(r) for r in rows],
            rule,
            f"Parameters: {total:,} (trainable {trainable:,}, frozen {total - trainable:,}), {size / 1024:,.1f} KB",
        ]
    )
