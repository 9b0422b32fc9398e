"""Whether operations are recorded, and whether NaNs are hunted."""

import functools

from fastnn import _C


class _Mode:
    """A context manager and decorator that sets a switch and puts it back."""

    _read = staticmethod(_C.is_grad_enabled)
    _write = staticmethod(_C._set_grad_enabled)

    def __init__(self, mode):
        self._mode = bool(mode)
        self._before = []

    def __enter__(self):
        self._before.append(self._read())
        self._write(self._mode)
        return self

    def __exit__(self, *exc):
        self._write(self._before.pop())
        return False

    def __call__(self, fn):
        @functools.wraps(fn)
        def wrapped(*args, **kwargs):
            with type(self)._copy(self._mode):
                return fn(*args, **kwargs)

        return wrapped

    @classmethod
    def _copy(cls, mode):
        new = cls.__new__(cls)
        _Mode.__init__(new, mode)
        return new


class no_grad(_Mode):
    """Nothing is recorded inside; usable as ``with no_grad():`` and as a decorator. Per thread."""

    def __new__(cls, fn=None):
        new = super().__new__(cls)
        if fn is None:
            return new
        _Mode.__init__(new, False)
        return new(fn)  # @no_grad without parentheses

    def __init__(self):
        super().__init__(False)


class enable_grad(_Mode):
    """Operations are recorded inside, also within ``no_grad()``."""

    def __init__(self):
        super().__init__(True)


class set_grad_enabled(_Mode):
    """Switches recording at once; as a context manager the earlier state comes back."""

    def __init__(self, mode):
        super().__init__(mode)
        self._entry = self._read()
        self._write(self._mode)

    def __enter__(self):
        self._before.append(self._entry)
        self._write(self._mode)
        return self


class detect_anomaly(_Mode):
    """Searches every output and gradient for NaN; the error names the operation where the first one arose."""

    _read = staticmethod(_C._is_anomaly_enabled)
    _write = staticmethod(_C._set_anomaly_enabled)

    def __init__(self):
        super().__init__(True)


def set_detect_anomaly(mode):
    """Turns the search for NaN (see `detect_anomaly`) on or off for all threads."""
    _C._set_anomaly_enabled(bool(mode))
