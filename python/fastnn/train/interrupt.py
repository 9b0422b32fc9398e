"""Ctrl-C that waits for a safe place, once."""

from __future__ import annotations

import signal
import threading

__all__ = ["InterruptGuard"]


class InterruptGuard:
    """While active, the first Ctrl-C only sets `requested`; the second raises KeyboardInterrupt at once.

    Outside the main thread, where Python does not allow signal handlers, it does nothing.
    """

    def __init__(self):
        self.requested = False
        self._active = False

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            previous = signal.getsignal(signal.SIGINT)
            if previous is not signal.SIG_IGN and previous is not None:  # nohup, or a handler not made in Python
                self._previous, self._active = previous, True
                signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(self, *_):
        if self._active:
            signal.signal(signal.SIGINT, self._previous)
            self._active = False

    def _handle(self, *_):
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
