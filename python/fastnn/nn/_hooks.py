"""Hooks of a module. A module without hooks never comes here: its call is one attribute test and ``forward``."""

from __future__ import annotations

from .._C import Tensor


class Handle:
    """Returned by ``register_*_hook``; ``remove()`` takes the hook out again. Also a context manager."""

    def __init__(self, hooks: list, hook):
        self._hooks, self._entry = hooks, (hook,)
        hooks.append(self._entry)

    def remove(self) -> None:
        self._hooks[:] = [e for e in self._hooks if e is not self._entry]

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.remove()


def _as_tuple(value):
    return value if isinstance(value, tuple) else (value,)


class ModuleHooks:
    def __init__(self):
        self.forward_pre, self.forward, self.backward_pre, self.backward = [], [], [], []

    def any(self) -> bool:
        return bool(self.forward_pre or self.forward or self.backward_pre or self.backward)

    def add(self, kind: str, hook) -> Handle:
        if not callable(hook):
            raise TypeError(f"register_{kind}_hook: expected a callable, got {type(hook).__name__}")
        return Handle(getattr(self, kind), hook)

    def call(self, module, args, kwargs):
        for (hook,) in list(self.forward_pre):
            result = hook(module, args)
            if result is not None:
                args = _as_tuple(result)
        watch = _BackwardWatch(module, list(self.backward)) if self.backward else None
        if watch:
            args = watch.inputs(args)
        output = module.forward(*args, **kwargs)
        for (hook,) in list(self.forward):
            result = hook(module, args, output)
            if result is not None:
                output = result
        if watch or self.backward_pre:
            output = self._watch_outputs(module, output, watch)
        return output

    def _watch_outputs(self, module, output, watch):
        """Gradient hooks on every output tensor; the pre-hooks may replace the gradient, one output at a time."""
        outputs = _as_tuple(output)
        for index, out in enumerate(outputs):
            if not (isinstance(out, Tensor) and out.requires_grad):
                continue

            def on_grad(grad, index=index):
                for (hook,) in list(self.backward_pre):
                    result = hook(module, (grad,))
                    if result is not None:
                        grad = _as_tuple(result)[0]
                if watch:
                    watch.output_grad(index, grad, len(outputs))
                return grad

            out.register_hook(on_grad)
        return output


class _BackwardWatch:
    """Collects the gradients of one call's inputs and outputs; runs the backward hooks when the last one is there."""

    def __init__(self, module, hooks):
        self.module, self.hooks = module, hooks
        self.grad_in, self.grad_out, self.waiting = {}, {}, 0
        self.num_in = self.num_out = 0

    def inputs(self, args):
        wrapped = []
        self.num_in = len(args)
        for index, arg in enumerate(args):
            if isinstance(arg, Tensor) and arg.requires_grad:
                # A view of its own: the gradient that arrives is this call's share, not the total of all uses.
                arg = arg.reshape(arg.shape) if arg.grad_fn is None else arg * 1
                arg.register_hook(lambda grad, index=index: self.input_grad(index, grad))
                self.waiting += 1
            wrapped.append(arg)
        return tuple(wrapped)

    def output_grad(self, index, grad, count):
        self.grad_out[index], self.num_out = grad, count
        if self.waiting == 0:
            self.fire()

    def input_grad(self, index, grad):
        self.grad_in[index] = grad
        if len(self.grad_in) == self.waiting:
            self.fire()

    def fire(self):
        grad_in = tuple(self.grad_in.get(i) for i in range(self.num_in))
        grad_out = tuple(self.grad_out.get(i) for i in range(self.num_out))
        for (hook,) in self.hooks:
            hook(self.module, grad_in, grad_out)
