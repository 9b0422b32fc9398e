"""The training loop: batches in, history out, nothing lost in between."""

from __future__ import annotations

import itertools
import time

from .._arrays import device_of
from ..metrics import Mean, get_metric
from ..nn import Module
from .evaluation import Evaluation, check_loader, number
from .history import History
from .interrupt import InterruptGuard
from .progress import Progress
from .resume import Resumable, state_of
from .step import Stepping, _Captured

__all__ = ["Trainer", "fit"]


class Trainer(Evaluation, Resumable, Stepping):
    """Trains a model and keeps everything needed to stop and continue it anywhere.

    A batch is ``(x, ..., target)``: the model is called with all but the last, the loss with its output and the last.
    Override `forward` for anything else.

    Parameters
    ----------
    model : nn.Module
    loss : callable
        ``loss(output, target)``, a scalar tensor, the mean over the batch; over ``loss.count(target)`` things where it
        has such a method (`nn.CrossEntropyLoss`: tokens that are not ignored), which is then the batch's weight.
    optimizer : Optimizer
    metrics : list, optional
        Of `fastnn.metrics.Metric`, names ("accuracy", ...) or functions ``(pred, target) -> number``.
    scheduler : LRScheduler, optional
    schedule_per : {"epoch", "step"}
        When the scheduler steps. `ReduceLROnPlateau` follows `monitor` and steps per epoch.
    monitor : str, optional
        The column `ReduceLROnPlateau` follows; default "val_loss" with validation, else "loss".
    clip_norm, clip_value : float, optional
        Clip the gradients by their joint norm, or by value, before the update.
    nan_policy : {"raise", "skip", "stop"}
        A loss or gradient that is not finite never reaches the weights or buffers: it raises FloatingPointError, or the
        batch is skipped (100 in a row raise), or the run stops.
    callbacks : list of Callback, optional
    checkpoint : str or Path, optional
        File written after every epoch, or every `checkpoint_every` batches, and on Ctrl-C.
    checkpoint_every : "epoch" or int
    progress : bool or file
        Show progress on standard output (default) or on a file, or not at all.
    record_steps : bool
        Keep the loss of every step in ``history.step_losses``.
    capture : {"auto", True, False}
        Run updates from a recording (`fastnn.capture`): the same bits in less time. "auto" goes on without, with a
        line that says why, where a step cannot be recorded: it reads values, has hooks, changes attributes of its
        modules, or every batch has another shape. True raises `CaptureError` there. Python code of the model that does
        none of this (a print) runs for the first batches of each shape only; False runs it for every batch.
    device : device or str, optional
        Move the model (and a loss that is a Module) there, ``"cuda"`` say. Without it they stay where they are. Batches
        go to the device of the model.

    Attributes
    ----------
    epoch, batch, step : int
        Finished epochs, finished batches of the current epoch, finished batches in all.
    history : History
    interrupted : bool
        The last `fit` was ended by Ctrl-C.
    """

    MAX_SKIPPED = 100  # in a row: then the run does not recover, and skipping would hide it

    def __init__(self, model, loss, optimizer, *, metrics=(), scheduler=None, schedule_per: str = "epoch",
                 monitor: str | None = None, clip_norm: float | None = None, clip_value: float | None = None,
                 nan_policy: str = "raise", callbacks=(), checkpoint=None, checkpoint_every="epoch", progress=True,
                 record_steps: bool = False, capture: bool | str = "auto", device=None):  # fmt: skip
        if nan_policy not in ("raise", "skip", "stop"):
            raise ValueError(f"Trainer: nan_policy must be raise, skip or stop, got {nan_policy!r}")
        if schedule_per not in ("epoch", "step"):
            raise ValueError(f"Trainer: schedule_per must be epoch or step, got {schedule_per!r}")
        if checkpoint_every != "epoch" and (not isinstance(checkpoint_every, int) or checkpoint_every < 1):
            raise ValueError(
                f"Trainer: checkpoint_every must be 'epoch' or a number of batches, got {checkpoint_every!r}"
            )
        for name, value in (("clip_norm", clip_norm), ("clip_value", clip_value)):
            if value is not None and not value > 0:
                raise ValueError(f"Trainer: {name} must be > 0, got {value}")
        if capture not in ("auto", True, False):
            raise ValueError(f"Trainer: capture must be 'auto', True or False, got {capture!r}")
        self._check_parts(model, loss, optimizer)
        self.model, self.loss, self.optimizer = model, loss, optimizer
        if device is not None:
            model.to(device)
        self._place_loss()
        self.metrics = [get_metric(m) for m in ([metrics] if isinstance(metrics, str) else metrics)]
        names = [m.name for m in self.metrics]
        if len({*names, "loss"}) != len(names) + 1:
            raise ValueError(f"Trainer: metrics need different names (and none is called loss), got {names}")
        self.scheduler, self.schedule_per, self.monitor = scheduler, schedule_per, monitor
        self.clip_norm, self.clip_value, self.nan_policy = clip_norm, clip_value, nan_policy
        self.callbacks = list(callbacks)
        self.checkpoint, self.checkpoint_every = checkpoint, checkpoint_every
        self.progress, self.record_steps = progress, record_steps
        self.history = History()
        self.epoch = self.batch = self.step = self.skipped = 0
        self.interrupted = False
        self._running = Mean("loss")
        self._seconds = 0.0  # of the current epoch, over all its parts
        self._skipped_in_a_row = 0
        self._loader_state = None
        self._kept: list = []  # (room for its values before a batch, buffer)
        self._stage = [""]  # how far an update has come
        self.capture = capture
        self._captured = _Captured(self) if capture else None
        self._saved: tuple | None = None  # (epoch, batch) of the last checkpoint
        self._stop: str | None = None
        self._bar: Progress | None = None
        self._guard = InterruptGuard()
        # With a forward of its own, a subclass may compute with what it keeps beside these.
        self._base_names = None if type(self).forward is Trainer.forward else frozenset(vars(self))

    @staticmethod
    def _check_parts(model, loss, optimizer):
        """What is passed in another's place, or trains nothing, is told here and not by a wrong result."""
        if isinstance(model, type) or not callable(model) or not hasattr(model, "parameters"):
            raise TypeError(f"Trainer: model must be a Module, got {model!r:.60}")
        if isinstance(loss, type) or not callable(loss):
            raise TypeError(f"Trainer: loss must be a function or a Module (an instance), got {loss!r:.60}")
        if not hasattr(optimizer, "param_groups"):
            raise TypeError(f"Trainer: optimizer must be an Optimizer, got {optimizer!r:.60}")
        known = {id(p) for p in model.parameters()}
        if not any(id(p) in known for group in optimizer.param_groups for p in group["params"]):
            raise ValueError("Trainer: the optimizer holds no parameter of this model, so nothing would be trained")

    def _place_loss(self):
        """What a loss holds (weights of classes) goes where the model is."""
        if isinstance(self.loss, Module):
            self.loss.to(device_of(self.model))

    # --- the parts one may replace ---------------------------------------------------------------------------------

    def forward(self, batch):
        """``(loss, output, target)`` of a batch; output and target go to the metrics."""
        if not isinstance(batch, (tuple, list)) or len(batch) < 2:
            raise TypeError(
                f"Trainer: a batch is (x, ..., target), got {type(batch).__name__}; override Trainer.forward"
            )
        *inputs, target = batch
        output = self.model(*inputs)
        return self.loss(output, target), output, target

    def direction(self, name: str) -> str:
        """Whether a column of the history is better "min" or "max"."""
        plain = name.removeprefix("val_")
        for metric in self.metrics:
            if metric.name == plain:
                return "max" if getattr(metric, "higher_is_better", True) else "min"
        return "min"

    # --- fitting ---------------------------------------------------------------------------------------------------

    def fit(self, train_loader, val_loader=None, epochs: int = 10, resume=False) -> History:
        """Train until `epochs` epochs are finished, counting those before a resume.

        Parameters
        ----------
        train_loader : DataLoader or any iterable of batches that can be iterated again
        val_loader : the same, optional
            Evaluated after every epoch; its numbers are the columns ``val_...``.
        epochs : int
        resume : bool, "auto" or path
            Continue from `checkpoint` (True), from it if it exists ("auto"), or from the given file. The continued
            run has the same bits as one that was never interrupted, in mid-epoch too.

        Returns
        -------
        History
            ``history.stopped`` says why the run ended early, if it did. After Ctrl-C, `interrupted` is True and the
            checkpoint has been written.

        Raises
        ------
        FloatingPointError
            For a loss or gradient that is not finite, under ``nan_policy="raise"``.
        """
        check_loader("fit", train_loader)
        if epochs < 0:
            raise ValueError(f"fit: epochs must be >= 0, got {epochs}")
        self.interrupted, self._stop = False, None
        self.history.stopped = None
        # An earlier fit may have been left in mid-epoch.
        if self.batch and self._loader_state is not None and hasattr(train_loader, "load_state_dict"):
            train_loader.load_state_dict(self._loader_state)
        self._loader_state = state_of(train_loader)
        self._place_loss()
        begun = self.epoch, self.batch
        self._resume(resume, train_loader)
        self._bar = self._make_progress(epochs, train_loader)
        if (self.epoch, self.batch) != begun:
            self._say(f"continuing after epoch {self.epoch}" + (f", batch {self.batch}" if self.batch else ""))
        if self.epoch >= epochs > 0:
            self._say(f"nothing to train: {self.epoch} epochs are done, {epochs} are asked for")
        training = self.model.training
        self._guard = InterruptGuard()
        try:
            with self._guard:
                self._call("on_fit_begin")
                while self.epoch < epochs and self._stop is None:
                    if not self._run_epoch(train_loader, val_loader):
                        break
                if self._guard.requested:
                    self.interrupted, self._stop = True, "interrupted"
                self.history.stopped = self._stop
                if self.checkpoint is not None and self._saved != (self.epoch, self.batch):
                    self.save_checkpoint(self.checkpoint)
                if self.interrupted and self._bar:
                    kept = f"; continue from {self.checkpoint}" if self.checkpoint is not None else ""
                    self._bar.note(f"stopped after epoch {self.epoch}, batch {self.batch}{kept}")
                self._call("on_fit_end")
        except BaseException as error:
            self._call("on_fit_error", error)
            raise
        finally:
            if self._bar:
                self._bar.close()
            self._bar = None
            self._guard = InterruptGuard()  # a later evaluate() must not see this Ctrl-C
            self.model.train(training)
        return self.history

    def stop(self, reason: str = "stopped") -> None:
        """End the run after the current batch or epoch; `reason` becomes ``history.stopped``."""
        self._stop = str(reason)

    def _run_epoch(self, train_loader, val_loader) -> bool:
        """The rest of the current epoch. False when it was left before its end."""
        started = time.perf_counter() - self._seconds
        self.model.train()
        self._call("on_epoch_begin")
        self._keep_buffers()
        for batch in self._batches(train_loader):
            self._call("on_batch_begin", batch)
            value = self._train_batch(batch)
            if value is None:
                return False
            self._loader_state = state_of(train_loader)
            self.batch += 1
            self.step += 1
            self._seconds = time.perf_counter() - started
            if self._bar:
                self._bar.batch(self.epoch, self.batch, self._logs)
            self._call("on_batch_end", {"loss": value})
            if self._guard.requested or self._stop is not None:
                return False
            if (
                self.checkpoint is not None
                and self.checkpoint_every != "epoch"
                and self.step % self.checkpoint_every == 0
            ):
                self.save_checkpoint(self.checkpoint)
        if not self.batch:
            raise ValueError(
                "fit: the loader gave no batch (is it a generator that was used up, or smaller than a batch?)"
            )
        logs = {"epoch": self.epoch + 1, **self._logs()}
        if val_loader is not None:
            if hasattr(val_loader, "set_epoch"):  # a shuffled one, too, is read in the same order after a resume
                val_loader.set_epoch(self.epoch)
            scores = self.evaluate(val_loader)
            if self._guard.requested:  # the epoch is repeated from its end: with all batches done, before validation
                return False
            logs.update({f"val_{key}": value for key, value in scores.items()})
        logs["lr"] = float(self.optimizer.param_groups[0]["lr"])
        if self.scheduler is not None and (self.schedule_per == "epoch" or self._follows_metric()):
            self._step_scheduler(logs)
        logs["seconds"] = self._seconds = time.perf_counter() - started
        self.history.append(logs)
        self._call("on_epoch_end", logs)
        if self._bar:
            self._bar.epoch(
                self.epoch, {k: v for k, v in logs.items() if k not in ("epoch", "lr", "seconds")}, self._seconds
            )
        self.epoch += 1
        self.batch, self._seconds = 0, 0.0
        self._loader_state = state_of(train_loader)
        self._reset_running()
        if self.checkpoint is not None:
            self.save_checkpoint(self.checkpoint)
        return not self._guard.requested

    def _batches(self, loader):
        """What is left of the epoch. A loader without a position of its own is run past the batches already seen."""
        if self.batch and not hasattr(loader, "load_state_dict"):
            return itertools.islice(iter(loader), self.batch, None)
        return iter(loader)

    def _follows_metric(self):
        from ..optim.lr_scheduler import ReduceLROnPlateau

        return isinstance(self.scheduler, ReduceLROnPlateau)

    def _step_scheduler(self, logs):
        if not self._follows_metric():
            return self.scheduler.step()
        monitor = self.monitor or ("val_loss" if "val_loss" in logs else "loss")
        if monitor not in logs:
            raise ValueError(f"fit: ReduceLROnPlateau follows {monitor!r}, there is only {', '.join(logs)}")
        return self.scheduler.step(logs[monitor])

    def _logs(self) -> dict:
        return {"loss": self._running.compute(), **{m.name: number(m.compute()) for m in self.metrics}}

    def _reset_running(self):
        self._running.reset()
        for metric in self.metrics:
            metric.reset()

    def _call(self, hook, *args):
        for callback in self.callbacks:
            getattr(callback, hook, _nothing)(self, *args)

    def _make_progress(self, epochs, loader):
        if self.progress is False or self.progress is None:
            return None
        batches = len(loader) if hasattr(loader, "__len__") else None
        return Progress(epochs, batches, None if self.progress is True else self.progress)


def fit(model, loss, optimizer, train_loader, val_loader=None, epochs: int = 10, resume=False, **options) -> History:
    """Train a model in one call: ``Trainer(model, loss, optimizer, **options).fit(...)``."""
    return Trainer(model, loss, optimizer, **options).fit(train_loader, val_loader, epochs, resume)


def _nothing(*_):
    pass
