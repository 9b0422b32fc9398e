"""Whole steps recorded once and replayed from C++: ``fastnn.capture``."""

import functools
import os
import threading
import traceback

from fastnn import _C

_PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep
_active = {}  # thread -> the recording that modules and optimisers report to there


class _Recording:
    """One program with what must still hold for it to be replayed."""

    def __init__(self, slots, rebuild):
        self.program = _C._Program(slots)
        self.slots = slots
        self.rebuild = rebuild
        self.modules = {}  # id -> (module, its training flag)
        self.refresh = []  # run before every replay: optimisers hand over the learning rate
        self.settings = []  # (function, its value while recording): momentum and the like
        self.result = None

    def holds(self):
        return (
            all(m.training is flag for m, flag in self.modules.values())
            and all(read() == value for read, value in self.settings)
            and self.program.valid()
        )


def note_module(module):
    """Called by modules while a step is captured: replays are for the mode (training or not) that they ran in."""
    recording = _active.get(threading.get_ident())
    if recording is not None:
        recording.modules[id(module)] = (module, module.training)


def note_refresh(callback, settings):
    """Called by optimisers while a step is captured: `callback` runs before every replay; `settings()` must stay."""
    recording = _active.get(threading.get_ident())
    if recording is not None and callback not in recording.refresh:
        recording.refresh.append(callback)
        recording.settings.append((settings, settings()))


def _flatten(value, tensors):
    """The structure of `value` as something hashable; its tensors go to the list."""
    if isinstance(value, _C.Tensor):
        tensors.append(value)
        return _C.Tensor
    if isinstance(value, (tuple, list)):
        return (type(value), *(_flatten(v, tensors) for v in value))
    if isinstance(value, dict):
        return (dict, *((k, _flatten(v, tensors)) for k, v in value.items()))
    return ("constant", value)


def _unflatten(structure, tensors):
    if structure is _C.Tensor:
        return next(tensors)
    kind = structure[0]
    if kind == "constant":
        return structure[1]
    if kind is dict:
        return {k: _unflatten(v, tensors) for k, v in structure[1:]}
    items = [_unflatten(v, tensors) for v in structure[1:]]
    return kind(*items) if hasattr(kind, "_fields") else kind(items)


def _line_of(error):
    """file:line of the user's code that an error came through."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith(_PACKAGE)]
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "unknown line"


class capture:
    """Records a training or inference step and replays it from C++: one call a step, no allocation, the same bits.

    The first three calls for new argument shapes run `fn` as it is (the third records every kernel launch, with all
    memory laid out in one arena); later calls copy the arguments into fixed places and run the list. New shapes,
    dtypes, non-tensor arguments or a switch between ``train()`` and ``eval()`` record another program.

    What may change between replays is what lives in tensors: parameters, optimiser state, running statistics, and the
    learning rate, step count and random state that the library keeps for replays. Reading a value inside the step
    (``.item()``, ``.numpy()``, ``if loss > 1``), shapes that depend on data and tensors made from NumPy data raise
    `CaptureError` with file and line. Python code of the step (prints, counters) runs while recording only.

    Parameters
    ----------
    fn : callable
        Takes tensors (and hashable constants), also inside tuples, lists and dicts; returns the same kinds.

    Examples
    --------
    >>> @fastnn.capture
    ... def step(x, y):
    ...     loss = F.cross_entropy(model(x), y)
    ...     optimizer.zero_grad()
    ...     loss.backward()
    ...     optimizer.step()
    ...     return loss
    """

    def __init__(self, fn):
        if not callable(fn):
            raise TypeError(f"capture: expected a callable, got {type(fn).__name__}")
        functools.update_wrapper(self, fn)
        self.fn = fn
        self._recordings = {}

    def __call__(self, *args, **kwargs):
        tensors = []
        structure = _flatten((args, kwargs), tensors)
        key = (
            structure,
            tuple((t.shape, t.dtype.name, t.requires_grad) for t in tensors),
            _C.is_grad_enabled(),
            _C.isa(),
            _C.get_matmul_precision(),
        )
        try:
            candidates = self._recordings.setdefault(key, [])
        except TypeError:
            raise TypeError("capture: arguments that are not tensors must be hashable") from None
        for recording in candidates:
            if recording.holds():
                break
        else:
            candidates[:] = [r for r in candidates if r.program.valid()]
            recording = _Recording([self._slot(t) for t in tensors], structure)
            candidates.append(recording)
        if recording.program.ready:
            for refresh in recording.refresh:
                refresh()
            return _unflatten(recording.result, iter(recording.program.replay(tensors)))
        return self._run(recording, tensors)

    @staticmethod
    def _slot(t):
        slot = t.detach().clone()
        return slot.requires_grad_() if t.requires_grad else slot

    def _run(self, recording, tensors):
        recording.program.load([t.detach() for t in tensors])
        args, kwargs = _unflatten(recording.rebuild, iter(recording.slots))
        recording.modules, recording.refresh, recording.settings = {}, [], []
        recording.program.begin()
        _active[threading.get_ident()] = recording
        try:
            outputs = []
            recording.result = _flatten(self.fn(*args, **kwargs), outputs)
            outputs = recording.program.end(outputs)
        except BaseException as error:
            recording.program.cancel()
            if isinstance(error, _C.CaptureError):
                raise _C.CaptureError(f"{error} ({_line_of(error)})") from None
            raise
        finally:
            del _active[threading.get_ident()]
        return _unflatten(recording.result, iter(outputs))

    def summary(self):
        """What was recorded: a dict per program with launches, kernels and bytes.

        ``arena_bytes`` is the memory of the plan, ``requested_bytes`` what all buffers together would take.
        """
        return [
            {"shapes": [shape for shape, _, _ in key[1]], **r.program.summary()}
            for key, recordings in self._recordings.items()
            for r in recordings
            if r.program.ready
        ]
