"""Module: a function with parameters.

A module keeps its parameters, buffers and sub-modules as plain attributes; the traversals below find them by type, in
the order of assignment. Nothing else is registered, so reading ``self.weight`` costs one dictionary look-up.
"""

from __future__ import annotations

from collections import OrderedDict

from .. import _C, _capture
from .._arrays import to_tensor
from .._C import Tensor
from .._rows import clear_row_gradient, move_row_gradient
from ..autograd import no_grad
from . import _hooks
from ._places import moved, refuse_device, target
from ._summary import summary as _summary
from .parameter import Parameter


class Module:
    """Base class of every layer and model: write ``__init__`` (assign parameters and sub-modules) and ``forward``.

    Examples
    --------
    >>> class Net(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.hidden = nn.Linear(2, 16)
    ...         self.out = nn.Linear(16, 1)
    ...
    ...     def forward(self, x):
    ...         return self.out(F.relu(self.hidden(x)))
    """

    # Class-level defaults: a module works even when a subclass forgets super().__init__().
    training: bool = True
    _frozen: bool = False  # stays in evaluation mode
    _buffer_names: dict[str, bool] = {}  # name -> persistent (kept in state_dict)
    _hooks: _hooks.ModuleHooks | None = None

    def __new__(cls, *args, **kwargs):
        if "device" in kwargs:
            refuse_device(cls, kwargs["device"])
        new = super().__new__  # of another base, where there is one: it may want the arguments
        return new(cls) if new is object.__new__ else new(cls, *args, **kwargs)

    def __init__(self):
        self._buffer_names = {}

    # --- calling ---------------------------------------------------------------------------------------------------
    def forward(self, *args, **kwargs):
        raise TypeError(f"{type(self).__name__}: define forward(self, ...) to make this module callable")

    def __call__(self, *args, **kwargs):
        if _capture._active:  # a recorded step holds for the mode its modules were in
            _capture.note_module(self)
        if self._hooks is None:
            return self.forward(*args, **kwargs)
        return self._hooks.call(self, args, kwargs)

    def _own_hooks(self) -> _hooks.ModuleHooks:
        if self._hooks is None:
            self._hooks = _hooks.ModuleHooks()
        return self._hooks

    def register_forward_pre_hook(self, hook):
        """``hook(module, args)`` runs before forward; a returned value replaces the arguments. Returns a handle."""
        return self._own_hooks().add("forward_pre", hook)

    def register_forward_hook(self, hook):
        """``hook(module, args, output)`` runs after forward; a returned value replaces the output. Returns a handle."""
        return self._own_hooks().add("forward", hook)

    def register_full_backward_pre_hook(self, hook):
        """``hook(module, grad_output)`` runs before the module's backward; a returned tuple replaces the gradients."""
        return self._own_hooks().add("backward_pre", hook)

    def register_full_backward_hook(self, hook):
        """``hook(module, grad_input, grad_output)`` runs when the gradients of all inputs are there (read only)."""
        return self._own_hooks().add("backward", hook)

    # --- attributes ------------------------------------------------------------------------------------------------
    def __setattr__(self, name, value):
        # A plain tensor in place of a parameter would silently drop out of parameters(): refuse it.
        if isinstance(value, Tensor) and not isinstance(value, Parameter):
            if isinstance(self.__dict__.get(name), Parameter):
                raise TypeError(
                    f"{type(self).__name__}.{name} is a Parameter; expected a Parameter or None, got a plain Tensor "
                    f"(wrap it: nn.Parameter(tensor))"
                )
        object.__setattr__(self, name, value)

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Same as ``setattr``; None means that the parameter is absent (``bias=False``)."""
        self._check_name(name)
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(
                f"register_parameter: expected a Parameter or None for '{name}', got {type(param).__name__}"
            )
        setattr(self, name, param)

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """A tensor that is state but not a parameter (running statistics). ``persistent``: part of ``state_dict()``."""
        self._check_name(name)
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(f"register_buffer: expected a Tensor or None for '{name}', got {type(tensor).__name__}")
        if "_buffer_names" not in self.__dict__:
            self._buffer_names = {}
        self._buffer_names[name] = persistent
        setattr(self, name, tensor)

    def add_module(self, name: str, module: Module | None) -> None:
        """Same as ``setattr``."""
        self._check_name(name)
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"add_module: expected a Module or None for '{name}', got {type(module).__name__}")
        setattr(self, name, module)

    register_module = add_module

    def _check_name(self, name: str) -> None:
        if not isinstance(name, str) or not name or "." in name:
            raise ValueError(f"{type(self).__name__}: a name must be a non-empty string without dots, got {name!r}")

    # --- traversal -------------------------------------------------------------------------------------------------
    def _own_parameters(self):
        for name, value in self.__dict__.items():
            if isinstance(value, Parameter):
                yield name, value

    def _own_buffers(self):
        for name, persistent in self._buffer_names.items():
            value = self.__dict__.get(name)
            if isinstance(value, Tensor):
                yield name, value, persistent

    def named_children(self):
        """Pairs (name, module) of the direct sub-modules."""
        for name, value in self.__dict__.items():
            if isinstance(value, Module):
                yield name, value

    def children(self):
        for _, module in self.named_children():
            yield module

    def _walk(self, prefix: str = "", remove_duplicate: bool = True):
        """(path, module) depth first; with an explicit stack, so that depth is not bounded by recursion."""
        seen, stack = set(), [(prefix, self)]
        while stack:
            path, module = stack.pop()
            if remove_duplicate and id(module) in seen:
                continue
            seen.add(id(module))
            yield path, module
            kids = [(f"{path}.{name}" if path else name, child) for name, child in module.named_children()]
            stack.extend(reversed(kids))

    def named_modules(self, prefix: str = ""):
        """Pairs (dotted path, module), this module first; a module used twice is listed once."""
        yield from self._walk(prefix)

    def modules(self):
        for _, module in self._walk():
            yield module

    def named_parameters(self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True):
        """Pairs (dotted path, Parameter); a shared parameter is listed once, under its first name."""
        seen = set()
        for path, module in self._walk(prefix, remove_duplicate) if recurse else [(prefix, self)]:
            for name, param in module._own_parameters():
                if remove_duplicate:
                    if id(param) in seen:
                        continue
                    seen.add(id(param))
                yield (f"{path}.{name}" if path else name), param

    def parameters(self, recurse: bool = True):
        for _, param in self.named_parameters(recurse=recurse):
            yield param

    def named_buffers(self, prefix: str = "", recurse: bool = True):
        seen = set()
        for path, module in self._walk(prefix) if recurse else [(prefix, self)]:
            for name, buffer, _ in module._own_buffers():
                if id(buffer) not in seen:
                    seen.add(id(buffer))
                    yield (f"{path}.{name}" if path else name), buffer

    def buffers(self, recurse: bool = True):
        for _, buffer in self.named_buffers(recurse=recurse):
            yield buffer

    def _by_path(self, path: str):
        target = self
        for name in path.split("."):
            if not hasattr(target, name):
                raise AttributeError(f"{type(target).__name__} has no attribute '{name}' (looking up '{path}')")
            target = getattr(target, name)
        return target

    def get_submodule(self, path: str) -> Module:
        """The sub-module at a dotted path; the empty path is the module itself."""
        return self._by_path(path) if path else self

    def get_parameter(self, path: str) -> Parameter:
        return self._by_path(path)

    # --- modes -----------------------------------------------------------------------------------------------------
    def train(self, mode: bool = True) -> Module:
        """Training mode (dropout drops, batch norm uses the batch) or, with False, evaluation mode. Returns self.

        Modules frozen by `fastnn.models.freeze` stay in evaluation mode.
        """
        for module in self.modules():
            module.training = bool(mode) and not module._frozen
        return self

    def eval(self) -> Module:
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Module:
        """Freeze (False) or unfreeze every parameter."""
        for param in self.parameters():
            param.requires_grad = requires_grad
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients (default), or set them to zero in place."""
        for param in self.parameters():
            if set_to_none:
                param.grad = None
            elif param.grad is not None:
                param.grad.zero_()
            clear_row_gradient(param)

    def apply(self, fn) -> Module:
        """Call ``fn(module)`` on every sub-module, children first, then on this module."""
        for module in reversed([m for _, m in self._walk()]):
            fn(module)
        return self

    def to(self, device=None, dtype=None, non_blocking: bool = False) -> Module:
        """Move every parameter, buffer and gradient to a device, and convert the floating-point ones, in place.

        The parameters stay the same objects, so optimisers keep their references; what an optimiser has gathered for
        them follows at its next step.

        Parameters
        ----------
        device : device, str, dtype or Tensor, optional
            ``"cuda:0"``, a dtype as the only argument, or a tensor whose device and dtype are taken.
        dtype : optional
            A floating dtype; integer buffers keep theirs.
        non_blocking : bool, default False
            Copies from pinned memory go on behind the program.

        Examples
        --------
        >>> model.to("cuda:0")
        >>> model.to("cpu", fastnn.float64)
        """
        device, dtype = target(device, dtype)
        with no_grad():
            for tensor in [*self.parameters(), *self.buffers()]:
                grad = tensor.grad
                tensor.data = moved(tensor.detach(), device, dtype, non_blocking)
                if grad is not None:
                    tensor.grad = moved(grad, device, dtype, non_blocking)
                move_row_gradient(tensor)
        return self

    def cuda(self, device=None) -> Module:
        """Move everything to a CUDA device: an index, a device or its name; the current one, else the first."""
        return self.to(_C._cuda_device("cuda", device))

    def cpu(self) -> Module:
        """Move everything to the CPU."""
        return self.to("cpu")

    def float(self) -> Module:
        return self.to(_C.float32)

    def double(self) -> Module:
        return self.to(_C.float64)

    # --- state -----------------------------------------------------------------------------------------------------
    def state_dict(self, prefix: str = "") -> OrderedDict:
        """Dotted path -> tensor, for every parameter and persistent buffer; they share memory with the module."""
        state = OrderedDict()
        for path, module in self._walk(remove_duplicate=False):
            dot = prefix + (path + "." if path else "")
            for name, param in module._own_parameters():
                state[dot + name] = param.detach()
            for name, buffer, persistent in module._own_buffers():
                if persistent:
                    state[dot + name] = buffer.detach()
        return state

    def load_state_dict(self, state_dict, strict: bool = True):
        """Copy values into the parameters and persistent buffers; nothing is changed unless everything fits.

        Parameters
        ----------
        state_dict : mapping of str to Tensor or array
        strict : bool, default True
            False allows missing and unexpected keys; shapes must match all the same.

        Returns
        -------
        (missing_keys, unexpected_keys) : two lists

        Raises
        ------
        KeyError
            Missing or unexpected keys (strict).
        ValueError
            A shape differs. The message lists every difference.
        """
        own = self.state_dict()
        missing = [k for k in own if k not in state_dict]
        unexpected = [k for k in state_dict if k not in own]
        name = type(self).__name__
        if strict and (missing or unexpected):
            parts = [
                f"{what} keys: {', '.join(keys)}"
                for what, keys in (("missing", missing), ("unexpected", unexpected))
                if keys
            ]
            raise KeyError(f"load_state_dict: {name}: " + "; ".join(parts))
        pairs, wrong = [], []
        for key in own:
            if key in state_dict:
                value = to_tensor(state_dict[key])
                if tuple(value.shape) != tuple(own[key].shape):
                    wrong.append(f"{key} expects {list(own[key].shape)}, got {list(value.shape)}")
                pairs.append((own[key], value))
        if wrong:
            raise ValueError(f"load_state_dict: {name}: shape mismatch: " + "; ".join(wrong))
        with no_grad():
            for target, value in pairs:
                target.copy_(value)
        return missing, unexpected

    # --- text ------------------------------------------------------------------------------------------------------
    def extra_repr(self) -> str:
        """What stands between the brackets in ``repr``; layers override it."""
        return ""

    def __repr__(self) -> str:
        lines = []
        for name, child in self.named_children():
            lines.append(f"({name}): " + repr(child).replace("\n", "\n  "))
        extra = self.extra_repr()
        if not lines:
            return f"{type(self).__name__}({extra})"
        body = "\n  ".join(([extra] if extra else []) + lines)
        return f"{type(self).__name__}(\n  {body}\n)"

    def summary(self, input_shape, dtype=None) -> str:
        """A table of layers, output shapes and parameter counts, found by one forward pass on zeros.

        Parameters
        ----------
        input_shape : tuple of int, or a list of tuples for several inputs
            Without the batch dimension, which the table shows as N.
        dtype : optional
            The inputs' dtype; default: that of the first parameter.
        """
        return _summary(self, input_shape, dtype)
