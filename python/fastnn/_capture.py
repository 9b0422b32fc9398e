"""Whole steps recorded once and replayed from C++: ``fastnn.capture``."""

import functools
import gc
import os
import random
import re
import sys
import threading
import traceback

from fastnn import _C

_PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep
_LOCATED = re.compile(r"\(\S[^()]*:\d+\)$")  # a message that ends with its line
_active = {}  # thread -> the recording that modules and optimisers report to there


class _Recording(_C._Recording):
    """One program, and the Python objects whose state must stay for it to be replayed (C++ borrows them)."""

    def __init__(self, args, kwargs):
        tensors = []
        self.forms = _flatten(args, tensors), _flatten(kwargs, tensors)
        self.slots = _C._recording_init(self, *self.forms, tensors)
        self.shapes = [tuple(t.shape) for t in tensors]
        self.forget()

    def forget(self):
        self.modules = {}  # id -> (module, its attributes before the step)
        self.optimizers = {}
        self.kept = []

    def arguments(self):
        slots = iter(self.slots)
        return [_unflatten(form, slots) for form in self.forms]

    def watch(self, values, free=(), only=None, tensors=()):
        """Replays need this dict (or `only` some keys) to stay as it is, but for the values of the keys in `free`."""
        entries = [(k,) if k in free else (k, v) for k, v in values.items() if only is None or k in only]
        self.kept.append((values, entries))
        _C._recording_watch(self, values, entries, list(tensors), only is None)

    def watch_all(self):
        for module, _ in self.modules.values():
            tensors = [v for v in vars(module).values() if isinstance(v, _C.Tensor)]
            self.watch(vars(module), tensors=tensors)
        for optimizer in self.optimizers.values():
            self.watch(vars(optimizer), only=("param_groups", "state"))
            self.watch(optimizer.state)
            for state in optimizer.state.values():
                self.watch(state)
            for group, rates in zip(optimizer.param_groups, optimizer._rates):
                self.watch(group, free=("lr", "initial_lr"), tensors=group["params"])
                for rate in rates.values():
                    _C._recording_rate(self, group, "lr", rate)

    def changed(self):
        """The attributes of modules that the step itself changed, which a replay does not."""
        for module, before in self.modules.values():
            after = _attributes(module)
            for name in {*before, *after}:
                if before.get(name) != after.get(name):
                    yield f"{type(module).__name__}.{name}"


def _attributes(module):
    """What tells whether a module's attributes changed: identities, lengths, states of generators."""

    def mark(value):
        if isinstance(value, (list, dict, set)):
            return len(value)
        if isinstance(value, random.Random):
            return value.getstate()
        return repr(value.bit_generator.state) if hasattr(value, "bit_generator") else None

    return {k: (id(v), mark(v)) for k, v in vars(module).items()}


def note_module(module):
    """Called by modules while a step is captured: replays are for the mode and attributes that they ran with."""
    recording = _active.get(threading.get_ident())
    if recording is not None and id(module) not in recording.modules:
        recording.modules[id(module)] = (module, _attributes(module))


def note_optimizer(optimizer):
    """Called by optimisers while a step is captured: their settings must stay; rates are written before each replay."""
    recording = _active.get(threading.get_ident())
    if recording is not None:
        recording.optimizers[id(optimizer)] = optimizer


def _flatten(value, tensors):
    """The structure of `value`; its tensors go to the list. See csrc/python/pattern.h for the form."""
    if isinstance(value, _C.Tensor):
        tensors.append(value)
        return _C.Tensor
    if isinstance(value, (tuple, list)):
        return (type(value), *(_flatten(v, tensors) for v in value))
    if isinstance(value, dict):
        return (type(value), *((k, _flatten(v, tensors)) for k, v in value.items()))
    hash(value)
    return ("constant", value)


def _flatten_result(value, tensors):
    try:
        return _flatten(value, tensors)
    except TypeError as error:
        raise _C.CaptureError(f"a captured step returns tensors and constants: {error}") from None


def _unflatten(structure, tensors):
    if structure is _C.Tensor:
        return next(tensors)
    kind = structure[0]
    if kind == "constant":
        return structure[1]
    if issubclass(kind, dict):
        return {k: _unflatten(v, tensors) for k, v in structure[1:]}
    items = [_unflatten(v, tensors) for v in structure[1:]]
    return kind(*items) if hasattr(kind, "_fields") else kind(items)


def _line_of(error):
    """file:line of the user's code that an error came through, else of the call of the step."""
    for frames in (traceback.extract_tb(error.__traceback__), traceback.extract_stack()):
        lines = [f"{f.filename}:{f.lineno}" for f in frames if not f.filename.startswith(_PACKAGE)]
        if lines:
            return lines[-1]
    return "unknown line"


def _python_randomness():
    """The state of Python's and NumPy's global generators, from which a replay would not draw."""
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is None:
        return random.getstate()
    name, keys, *rest = numpy_random.get_state()
    return random.getstate(), name, keys.tobytes(), rest


class capture(_C._Step):
    """Records a training or inference step and replays it from C++: one call a step, no allocation, the same bits.

    The first three calls for new argument shapes run `fn` as it is (the third records every kernel launch, with all
    memory laid out in one arena); later calls copy the arguments into fixed places and run the list. Other shapes,
    dtypes, orders in memory, arguments that are not tensors, attributes of modules (``train()``, ``eval()``), settings
    of optimisers or replaced parameters record another program.

    What may change between replays is what lives in tensors: parameters, optimiser state, running statistics, and the
    learning rate, step count and random state that the library keeps for replays. Reading a value inside the step
    (``.item()``, ``.numpy()``, ``if loss > 1``, printing), shapes that depend on data, draws from Python's or NumPy's
    generators, tensors made from NumPy data and state that is replaced instead of changed in place raise
    `CaptureError` with file and line. Python code of the step (counters, hooks) runs while recording only.

    Results are new tensors without history. ``p.grad`` after a replay is the gradient of that replay, until the next.
    A captured step that is called inside another becomes part of it.

    Parameters
    ----------
    fn : callable
        Takes tensors (and hashable constants), also inside tuples, lists and dicts; returns the same kinds.
    max_programs : int, default 16
        How many programs are kept, each with its memory; the one not used for longest goes first. Give batches of ever
        changing shapes a common shape (padding), or no program lives long enough to be replayed.

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

    def __init__(self, fn, *, max_programs: int = 16):
        if not callable(fn):
            raise TypeError(f"capture: expected a callable, got {type(fn).__name__}")
        if not isinstance(max_programs, int) or max_programs < 1:
            raise ValueError(f"capture: max_programs must be at least 1, got {max_programs!r}")
        functools.update_wrapper(self, fn)
        self.fn = fn
        self.max_programs = max_programs
        self._recording = threading.RLock()
        self.recorded = 0  # calls that were no replay

    def _record(self, args, kwargs):
        """The call of a step whose program is not ready: C++ comes here when no recording fits."""
        if not self._recording.acquire(blocking=False):
            return self.fn(*args, **kwargs)  # another thread is recording
        try:
            return self._record_or_run(args, kwargs)
        finally:
            self._recording.release()

    def _record_or_run(self, args, kwargs):
        self.recorded += 1
        for place, recording in enumerate(self._recordings):
            if not _C._recording_ready(recording) and _C._recording_matches(recording, args, kwargs):
                self._recordings.insert(0, self._recordings.pop(place))
                break
        else:
            try:
                recording = _Recording(args, kwargs)
            except TypeError as error:
                if "unhashable" not in str(error):
                    raise
                raise TypeError("capture: arguments that are not tensors must be hashable") from None
            self._recordings.insert(0, recording)
            del self._recordings[self.max_programs :]
        tensors = []
        for value in (args, kwargs):
            _flatten(value, tensors)
        return self._run(recording, tensors)

    def _run(self, recording, tensors):
        recording.forget()
        thread = threading.get_ident()
        randomness = _python_randomness()
        collecting = gc.isenabled()
        gc.disable()  # memory must come and go with the step, not with the collector
        _C._recording_begin(recording, [t.detach() for t in tensors])
        _active[thread] = recording
        ended = False
        try:
            args, kwargs = recording.arguments()
            result = self.fn(*args, **kwargs)
            ended = True
            outputs = []
            form = _flatten_result(result, outputs)
            if _python_randomness() != randomness:
                raise _C.CaptureError(
                    "a captured step drew from Python's or NumPy's generator: every replay would see that draw. "
                    "Use fastnn's random functions, or pass the number as an argument."
                )
            self._check(recording)
            outputs = _C._recording_end(recording, outputs, form)
        except BaseException as error:
            _C._recording_cancel(recording)
            if not isinstance(error, _C.CaptureError):
                raise
            place = "" if _LOCATED.search(str(error)) else f" ({_line_of(error)})"
            error = _C.CaptureError(f"{error}{place}")
            if not ended:
                raise error from None
            return self._not_recorded(error, result)
        finally:
            del _active[thread]
            if collecting:
                gc.enable()
        recording.result = form
        recording.watch_all()
        if _C._recording_ready(recording):
            del args, kwargs
            recording.slots = None  # the memory of those that replays do not need goes
            _C._recording_drop_slots(recording)
        return _unflatten(form, iter(outputs))

    def _check(self, recording):
        """More that a step must keep to be recorded; raises CaptureError."""

    def _not_recorded(self, error, result):
        """The step ran to its end, but cannot be recorded."""
        raise error from None

    def summary(self):
        """What was recorded: a dict per program with launches, kernels and bytes, the one used last first.

        ``arena_bytes`` is the memory of the plan: all that the step needs beside parameters, optimiser state and its
        arguments (``input_bytes``). ``peak_bytes`` is what would be alive at one time without it, ``requested_bytes``
        what all buffers take together; ``in_place`` buffers took the place of an operand.
        """
        return [
            {"shapes": recording.shapes, **_C._recording_summary(recording)}
            for recording in self._recordings
            if _C._recording_ready(recording)
        ]
