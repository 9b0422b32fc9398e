"""Hooks into a training run, and the ones most runs want."""

from __future__ import annotations

import math

from .._arrays import to_numpy, to_tensor

__all__ = ["Callback", "EarlyStopping", "SaveBest", "LambdaCallback"]


class Callback:
    """Base class: override what you need. `trainer` gives access to everything; ``trainer.stop("why")`` ends the run.

    `logs` are the numbers of the batch or epoch. State that must survive a resume goes into `state_dict`.
    """

    def on_fit_begin(self, trainer):
        """Before the first batch, after a checkpoint was loaded."""

    def on_fit_end(self, trainer):
        """After the last batch, also when the run was stopped or interrupted."""

    def on_fit_error(self, trainer, error):
        """In place of `on_fit_end` when an exception (a loss that is not finite, an error of yours) ends the fit."""

    def on_epoch_begin(self, trainer):
        """Before an epoch (also before the rest of a resumed one)."""

    def on_epoch_end(self, trainer, logs: dict):
        """After the validation of an epoch; `logs` is its line of the history."""

    def on_batch_begin(self, trainer, batch):
        """Before the forward pass."""

    def on_batch_end(self, trainer, logs: dict):
        """After the update; `logs` holds the loss of the batch."""

    def on_checkpoint(self, trainer, path):
        """After a checkpoint was written."""

    def state_dict(self) -> dict:
        """What must be saved in checkpoints."""
        return {}

    def load_state_dict(self, state: dict) -> None:
        """Take over what `state_dict` returned."""


class LambdaCallback(Callback):
    """Functions as hooks: ``LambdaCallback(on_epoch_end=lambda trainer, logs: print(logs))``."""

    def __init__(self, **hooks):
        for name, function in hooks.items():
            if not name.startswith("on_") or not hasattr(Callback, name):
                known = ", ".join(n for n in vars(Callback) if n.startswith("on_"))
                raise TypeError(f"LambdaCallback: there is no hook {name!r}; known: {known}")
            setattr(self, name, function)


class _Monitor(Callback):
    """Follows the best value of one column of the history."""

    def __init__(self, monitor, mode, min_delta=0.0):
        if mode not in ("auto", "min", "max"):
            raise ValueError(f"{type(self).__name__}: mode must be auto, min or max, got {mode!r}")
        self.monitor, self.mode, self.min_delta = monitor, mode, abs(float(min_delta))
        self.best, self.best_epoch = None, -1

    def _improved(self, trainer, logs) -> bool:
        if self.monitor not in logs:
            raise ValueError(
                f"{type(self).__name__}: no value {self.monitor!r} to monitor; there are {', '.join(logs)}"
            )
        value = float(logs[self.monitor])
        mode = trainer.direction(self.monitor) if self.mode == "auto" else self.mode
        sign = 1 if mode == "min" else -1
        if math.isnan(value) or (self.best is not None and not sign * value < sign * self.best - self.min_delta):
            return False
        self.best, self.best_epoch = value, trainer.epoch
        return True

    def state_dict(self):
        return {"best": self.best, "best_epoch": self.best_epoch}

    def load_state_dict(self, state):
        self.best, self.best_epoch = state["best"], state["best_epoch"]


class EarlyStopping(_Monitor):
    """Stop when a column of the history has not improved for `patience` epochs, and put the best weights back.

    Parameters
    ----------
    monitor : str
        Default "val_loss".
    patience : int
        Epochs without improvement that are put up with.
    mode : {"auto", "min", "max"}
        "auto" knows losses (min) and asks the metric otherwise.
    min_delta : float
        Less than this is no improvement.
    restore_best : bool
        At the end of the fit the model gets the weights of its best epoch, also when all epochs were used.
        Checkpoints keep both the running and the best weights, so that a resumed run can go on.
    """

    def __init__(self, monitor: str = "val_loss", patience: int = 5, mode: str = "auto", min_delta: float = 0.0,
                 restore_best: bool = True):  # fmt: skip
        super().__init__(monitor, mode, min_delta)
        if patience < 1:
            raise ValueError(f"EarlyStopping: patience must be >= 1, got {patience}")
        self.patience, self.restore_best = int(patience), bool(restore_best)
        self.bad_epochs = 0
        self.best_weights = None

    def on_fit_begin(self, trainer):
        self._check(trainer)  # a resumed run that had already been stopped

    def on_epoch_end(self, trainer, logs):
        if self._improved(trainer, logs):
            self.bad_epochs = 0
            if self.restore_best:
                self.best_weights = {k: to_numpy(v).copy() for k, v in trainer.model.state_dict().items()}
            return
        self.bad_epochs += 1
        self._check(trainer)

    def _check(self, trainer):
        if self.bad_epochs >= self.patience:
            trainer.stop("early stopping")

    def on_fit_end(self, trainer):
        if self.restore_best and self.best_weights is not None and not trainer.interrupted:
            trainer.model.load_state_dict({k: to_tensor(v) for k, v in self.best_weights.items()})

    def state_dict(self):
        return {**super().state_dict(), "bad_epochs": self.bad_epochs, "best_weights": self.best_weights}

    def load_state_dict(self, state):
        super().load_state_dict(state)
        self.bad_epochs, self.best_weights = state["bad_epochs"], state["best_weights"]


class SaveBest(_Monitor):
    """Write the weights of the best epoch so far to `path` (a plain safetensors file of ``model.state_dict()``)."""

    def __init__(self, path, monitor: str = "val_loss", mode: str = "auto"):
        super().__init__(monitor, mode)
        self.path = path

    def on_epoch_end(self, trainer, logs):
        if self._improved(trainer, logs):
            from ..io import save

            save(trainer.model.state_dict(), self.path, {"epoch": str(trainer.epoch), self.monitor: repr(self.best)})
