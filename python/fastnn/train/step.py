"""The part of the trainer that makes one update, captured where the step allows."""

from __future__ import annotations

import math
import random

import numpy as np

from .. import _C, _capture
from .._arrays import device_of, placed, to_numpy
from .._rows import gradients
from ..autograd import no_grad
from ..nn import Module
from ..nn.utils._norms import clip_by_norm, joint_norm
from .evaluation import batch_size, count_items

__all__ = ["Stepping"]


class _Captured(_capture.capture):
    """A captured update. What a replay would leave out is an error here: it must end in the same bits as eager.

    A batch is not lost when its step cannot be recorded. Where the step ran to its end, its result stands and `error`
    says why it was not recorded; where it stopped midway, all that it changed goes back and the trainer runs it again.
    """

    def __init__(self, trainer):
        super().__init__(trainer._update)
        self.trainer, self.error, self.calls = trainer, None, 0

    def _run(self, recording, tensors):
        self._before = _capture._attributes(self.trainer)
        random_states = _C.get_rng_state(), random.getstate(), np.random.get_state()
        self.trainer._stage[0] = "start"
        try:
            return super()._run(recording, tensors)
        except _C.CaptureError as error:
            if self.trainer._stage[0] == "optimizer":
                raise RuntimeError(f"fit: the optimizer cannot be captured; pass capture=False. {error}") from None
            if self.trainer._stage[0] == "forward":
                self.trainer._restore_buffers()
            _C.set_rng_state(random_states[0])
            random.setstate(random_states[1])
            np.random.set_state(random_states[2])
            raise

    def _check(self, recording):
        changed = sorted(recording.changed())
        after = _capture._attributes(self.trainer)
        changed += [f"Trainer.{name}" for name in after if after[name] != self._before.get(name)]
        if changed:
            raise _C.CaptureError(f"the step changes {', '.join(changed)}, which a replay would not")
        for module, _ in recording.modules.values():
            if module._hooks is not None and module._hooks.any():
                raise _C.CaptureError(f"{type(module).__name__} has hooks, which a replay would not call")
        for group in self.trainer.optimizer.param_groups:
            for p in group["params"]:
                if p._has_hooks():
                    name = self.trainer._name_of(p)
                    raise _C.CaptureError(f"the parameter {name} has hooks, which a replay would not call")

    def _not_recorded(self, error, result):
        self.error = error
        return result


class Stepping:
    """One update of a `Trainer`."""

    def _train_batch(self, batch):
        """One update. The loss as a float, NaN for a skipped batch; None when the NaN policy ends the run."""
        try:
            loss, items, output, target = self._step(batch)
        except FloatingPointError as error:
            return self._not_finite(str(error))
        value = float(loss.item())
        if self._base_names is None:  # with a forward of its own, the target need not be the last of the batch
            items = count_items(self.loss, batch[-1], items)
        if self.scheduler is not None and self.schedule_per == "step" and not self._follows_metric():
            self.scheduler.step()
        self._skipped_in_a_row = 0
        self._running.update(value, items)
        for metric in self.metrics:
            metric.update(output, target)
        if self.record_steps:
            self.history.step_losses.append(value)
        return value

    def _step(self, batch):
        """`_update`, from a recording where there is one."""
        # What the update reads of the trainer; other settings record another program.
        settings = (self.clip_norm, self.clip_value, bool(self.metrics), self.loss, self.model, self.optimizer)
        settings += self._own_values()
        batch = placed(batch, device_of(self.model))
        if self._captured is None:
            return self._update(batch, *settings)
        if isinstance(batch, list):
            batch = tuple(batch)
        result = None
        try:
            result = self._captured(batch, *settings)
            problem = self._captured.error
            self._captured.calls += 1
            if problem is None and self._captured.recorded > max(64, self._captured.calls // 2):
                problem = "the batches have too many different shapes"
            if problem is None:
                return result
        except _C.CaptureError as error:
            problem = error
        except TypeError as error:  # from the arguments, before anything ran
            if "hashable" not in str(error):
                raise
            problem = "a batch holds something that is neither a tensor nor a constant"
        if self.capture is True:
            raise problem if isinstance(problem, Exception) else _C.CaptureError(f"fit: {problem}")
        self._captured = None
        self._say(f"training without capture: {problem}")
        return self._update(batch, *settings) if result is None else result

    def _own_values(self):
        """What a subclass and its loss may compute with: attributes, closures. Changed ones record another program."""
        values = ()
        known = self._base_names
        if known is not None:
            values += _marks({k: v for k, v in vars(self).items() if k not in known and not k.startswith("_")})
        closure = getattr(self.loss, "__closure__", None)
        if closure:
            values += tuple(_marks(cell.cell_contents) for cell in closure)
        if not isinstance(self.loss, Module) and getattr(self.loss, "__dict__", None):
            values += _marks(vars(self.loss))
        return values

    def _update(self, batch, clip_norm, clip_value, scored, *_):
        """Forward, backward, clipping, update: ``(loss, number of items, output, target)``.

        Nothing that is not finite reaches the weights: FloatingPointError before.
        """
        with no_grad():
            for kept, buffer in self._kept:  # the forward pass changes running means
                kept.copy_(buffer)
        self._stage[0] = "forward"
        self.optimizer.zero_grad()
        loss, output, target = self.forward(batch)
        waits = loss.device != "cpu"  # a look at a value waits for the device: once a step, at loss and norm
        if not waits:
            _C._require_finite_loss(loss)
        loss.backward()
        self._clip(clip_norm, clip_value, loss if waits else None)
        self._stage[0] = "optimizer"
        self.optimizer.step()
        self._stage[0] = "end"
        items = batch_size(target)
        if not scored:
            output = target = None
        return loss.detach(), items, _detached(output), target

    def _clip(self, clip_norm, clip_value, loss=None):
        """Clip the gradients; FloatingPointError if they, or the loss, are not finite."""
        parameters = self._optimised()
        grads = gradients(parameters)
        if not grads:
            if loss is not None:
                _C._require_finite_loss(loss)
            return
        # The norm is finite unless an element is not, or it overflows: only then is a closer look needed.
        norm = joint_norm(grads, 2.0)
        if loss is not None:
            _C._require_finite_loss(loss)
        _C._require_finite_gradients(grads, norm)
        if clip_value is not None:
            from ..nn.utils import clip_grad_value_

            clip_grad_value_(parameters, clip_value)
            norm = joint_norm(grads, 2.0) if clip_norm is not None else norm
        if clip_norm is not None:
            clip_by_norm(grads, norm, clip_norm)

    def _optimised(self):
        return [p for group in self.optimizer.param_groups for p in group["params"]]

    def _name_of(self, parameter):
        return next((name for name, p in self.model.named_parameters() if p is parameter), "(outside the model)")

    def _keep_buffers(self):
        """Room for the buffers as they were before a batch, the same over the epochs: a recorded step writes there."""
        buffers = list(self.model.buffers())
        if len(buffers) != len(self._kept) or any(b is not k for (_, k), b in zip(self._kept, buffers)):
            self._kept = [(b.detach().clone(), b) for b in buffers]
            if self._captured is not None:
                self._captured = _Captured(self)

    def _restore_buffers(self):
        with no_grad():
            for kept, buffer in self._kept:
                buffer.copy_(kept)

    def _not_finite(self, problem):
        if problem.startswith("gradient "):
            bad = (p for p in self._optimised() for g in gradients([p]) if not np.isfinite(to_numpy(g)).all())
            problem = f"the gradient of the parameter {self._name_of(next(bad, None))} is not finite"
        where = f"epoch {self.epoch + 1}, batch {self.batch + 1}, step {self.step + 1}"
        self._restore_buffers()
        if self.nan_policy == "stop":
            self.stop("nan")
            self._say(f"{where}: {problem}; stopped before it reached the weights")
            return None
        if self.nan_policy == "skip":
            self.skipped += 1
            self._skipped_in_a_row += 1
            if self._skipped_in_a_row < self.MAX_SKIPPED:
                if self.record_steps:
                    self.history.step_losses.append(math.nan)
                return math.nan
            problem = f"{problem}, as in the {self.MAX_SKIPPED - 1} batches before"
        lr = self.optimizer.param_groups[0]["lr"]
        raise FloatingPointError(
            f"fit: {problem} ({where}, lr {lr:g}). The weights are those before this batch. "
            "Try a smaller learning rate, clip_norm=1.0, or nan_policy='skip'."
        )

    def _say(self, text):
        if self._bar:
            self._bar.note(text)


def _marks(value):
    """Something hashable that differs where plain values differ, also inside lists and dicts; else the identity."""
    if value is None or isinstance(value, (bool, int, float, str, bytes)):
        return (type(value), value)
    if isinstance(value, (list, tuple)):
        return tuple(_marks(v) for v in value)
    if isinstance(value, dict):
        return tuple((_marks(k), _marks(v)) for k, v in value.items())
    return (id(value),)


def _detached(value):
    """A model's output without its history, whatever holds it."""
    if isinstance(value, _C.Tensor):
        return value.detach()
    if isinstance(value, (tuple, list)):
        items = [_detached(v) for v in value]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    return {k: _detached(v) for k, v in value.items()} if isinstance(value, dict) else value
