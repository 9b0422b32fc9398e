"""The part of the trainer that saves a run and continues it."""

from __future__ import annotations

import os

import numpy as np

from .checkpoint import load_checkpoint, random_state, save_checkpoint, set_random_state
from .history import History

__all__ = ["Resumable", "state_of"]


def state_of(thing):
    """``thing.state_dict()``, or None for things without one."""
    return thing.state_dict() if hasattr(thing, "state_dict") else None


class Resumable:
    """State of a `Trainer`: what a checkpoint holds and how it is put back."""

    def state_dict(self) -> dict:
        """Everything a later `fit` needs to continue with the same bits."""
        return {
            "model": dict(self.model.state_dict()),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict() if self.scheduler is not None else None,
            "random": random_state(),
            "loader": self._loader_state,
            "epoch": self.epoch, "batch": self.batch, "step": self.step,
            "skipped": self.skipped, "skipped_in_a_row": self._skipped_in_a_row,
            "running": [self._running.state_dict(), *(state_of(m) for m in self.metrics)],
            "seconds": self._seconds,
            "history": dict(self.history),
            "step_losses": np.asarray(self.history.step_losses, np.float64),
            "callbacks": [c.state_dict() if hasattr(c, "state_dict") else {} for c in self.callbacks],
        }  # fmt: skip

    def load_state_dict(self, state: dict, train_loader=None) -> None:
        """Take over what `state_dict` returned.

        Raises
        ------
        ValueError
            When the run was set up differently: other layers, optimiser, metrics, schedule, callbacks or loader.
        """
        if len(state["running"]) != len(self.metrics) + 1 or len(state["callbacks"]) != len(self.callbacks):
            raise ValueError(f"resume: the checkpoint has {len(state['running']) - 1} metrics and "
                             f"{len(state['callbacks'])} callbacks, this trainer {len(self.metrics)} and "
                             f"{len(self.callbacks)}")  # fmt: skip
        if (state["scheduler"] is None) != (self.scheduler is None):
            raise ValueError("resume: only one of the checkpoint and this trainer has a learning-rate schedule")
        if train_loader is not None and state["loader"] is not None and hasattr(train_loader, "load_state_dict"):
            train_loader.load_state_dict(state["loader"])
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.scheduler is not None:
            self.scheduler.load_state_dict(state["scheduler"])
        for target, saved in zip([self._running, *self.metrics], state["running"]):
            if hasattr(target, "load_state_dict"):
                target.load_state_dict(saved)
        for callback, saved in zip(self.callbacks, state["callbacks"]):
            if hasattr(callback, "load_state_dict"):
                callback.load_state_dict(saved)
        self.epoch, self.batch, self.step = state["epoch"], state["batch"], state["step"]
        self.skipped, self._skipped_in_a_row = state["skipped"], state["skipped_in_a_row"]
        self._seconds, self._loader_state = state["seconds"], state["loader"]
        self.history = History(state["history"])
        self.history.step_losses = state["step_losses"].tolist()
        self._saved = (self.epoch, self.batch)
        set_random_state(state["random"])  # last: nothing above may draw after it

    def save_checkpoint(self, path) -> None:
        """Write the state of the run to one safetensors file, atomically."""
        save_checkpoint(self.state_dict(), path)
        self._saved = (self.epoch, self.batch)
        self._call("on_checkpoint", path)

    def load_checkpoint(self, path, train_loader=None) -> None:
        """Continue from a file `save_checkpoint` wrote; the loader is moved to its place too."""
        self.load_state_dict(load_checkpoint(path), train_loader)

    def _resume(self, resume, train_loader):
        if resume is False or resume is None:
            return
        path = self.checkpoint if resume is True or resume == "auto" else resume
        if path is None:
            raise ValueError("fit: resume needs a file, and the trainer has no checkpoint path")
        if resume == "auto" and not os.path.exists(path):
            return
        self.load_checkpoint(path, train_loader)
