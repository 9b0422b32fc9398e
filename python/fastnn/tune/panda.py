"""Watching over one run: settings changed while it trains, and yesterday's checkpoint when that was a mistake."""

from __future__ import annotations

import json
import math
from pathlib import Path

from ..io import atomic_write
from ..nn.regularization import StochasticDepth, dropout_places
from ..optim.lr_scheduler import ReduceLROnPlateau

__all__ = ["Panda"]


class Panda:
    """Trains one model a little at a time, with a snapshot after every stretch that can be gone back to.

    >>> panda = Panda(trainer, "runs/panda")
    >>> panda.train(train_loader, val_loader, epochs=3)
    >>> panda.set(lr=3e-4)                       # day 2
    >>> panda.train(train_loader, val_loader, epochs=3)
    >>> panda.rollback()                         # day 3: that was worse, back to where day 2 began
    >>> print(panda.diary())

    The folder holds everything: a new process with the same trainer goes on with ``Panda(trainer, folder)``, with the
    same bits.

    Parameters
    ----------
    trainer : Trainer
    folder : str or Path
    """

    def __init__(self, trainer, folder):
        self.trainer, self.folder = trainer, Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._entries: list[dict] = []
        file = self.folder / "diary.json"
        if file.exists():
            try:
                self._entries = json.loads(file.read_text())
            except ValueError as error:
                raise ValueError(f"Panda: {file} is damaged ({error})") from None
            self._restore(self._entries[-1]["snapshot"])
        else:
            self._write("begin", {})

    @property
    def epoch(self) -> int:
        """Epochs that the current state has been trained for."""
        return self.trainer.epoch

    def train(self, train_loader, val_loader=None, epochs: int = 1) -> dict:
        """Train `epochs` more and take a snapshot. Returns the last line of the history.

        A run that turns NaN stops with FloatingPointError; the last snapshot is untouched.
        """
        if epochs < 1:
            raise ValueError(f"Panda.train: expected epochs >= 1, got {epochs}")
        if hasattr(train_loader, "set_epoch"):
            train_loader.set_epoch(self.trainer.epoch)
        history = self.trainer.fit(train_loader, val_loader, epochs=self.trainer.epoch + epochs)
        if self.trainer.interrupted:
            raise KeyboardInterrupt
        last = {k: history[k][-1] for k in history if k not in ("seconds",)}
        self._write("train", {k: v for k, v in last.items() if isinstance(v, (int, float)) and math.isfinite(v)})
        return last

    def set(self, **values) -> None:
        """Change settings of the optimiser (lr, momentum, weight_decay, betas ...), or probabilities of all dropout
        layers (``dropout=0.3``), from here on.

        Of a learning rate with a schedule it is the rate at this place of it: the schedule goes on from there, all of
        it higher or lower. ValueError for what the optimiser refuses; nothing is changed then.
        """
        if not values:
            raise ValueError("Panda.set: expected something to change, as in set(lr=1e-4)")
        groups = self.trainer.optimizer.param_groups
        layers = self._dropout_layers()
        known = sorted({k for group in groups for k in group if k != "params"} | ({"dropout"} if layers else set()))
        for name in values:
            if name not in known:
                raise ValueError(f"Panda.set: there is no setting {name!r}; there are {', '.join(known)}")
        dropout = values.get("dropout")
        if dropout is not None and not 0 <= dropout < 1:
            raise ValueError(f"Panda.set: dropout expects a probability in [0, 1), got {dropout!r}")
        settings = {k: v for k, v in values.items() if k != "dropout"}
        for group in groups:
            self.trainer.optimizer._check({**group, **settings})
        before = {k: groups[0][k] for k in settings}
        base = self._base_rates(settings["lr"]) if "lr" in settings else None
        for group in groups:
            group.update(settings)
        if base is not None:
            self.trainer.scheduler.base_lrs = base
        for layer, name in layers if dropout is not None else ():
            setattr(layer, name, float(dropout))
        self._write("set", {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}, before)

    def _base_rates(self, lr):
        """The initial rates with which the schedule is at `lr` now; None without a schedule that would write over it.

        Schedules are straight lines in their initial rate, so two points of each say where `lr` lies.
        """
        scheduler = self.trainer.scheduler
        if scheduler is None or isinstance(scheduler, ReduceLROnPlateau):
            return None
        kept = scheduler.base_lrs
        try:
            scheduler.base_lrs = [0.0] * len(kept)
            low = scheduler.rates(scheduler.last_epoch)
            scheduler.base_lrs = [1.0] * len(kept)
            high = scheduler.rates(scheduler.last_epoch)
        finally:
            scheduler.base_lrs = kept
            scheduler.rates(scheduler.last_epoch)  # a SequentialLR hands them on
        if any(a == b for a, b in zip(low, high)):
            raise ValueError(
                f"Panda.set: {type(scheduler).__name__} is at {low[0]:g} here, whatever rate it began with"
            )
        return [(lr - a) / (b - a) for a, b in zip(low, high)]

    def rollback(self, to: int | None = None) -> int:
        """Go back to a line of the diary; default: to before the last change of settings and what followed it.

        Weights, optimiser, schedule, history and random numbers are those of then. Returns the epoch.
        """
        if to is None:
            changes = [i for i, e in enumerate(self._entries) if e["what"] == "set"]
            to = changes[-1] - 1 if changes else max(len(self._entries) - 2, 0)
        if not 0 <= to < len(self._entries):
            raise IndexError(f"Panda.rollback: the diary has lines 0 to {len(self._entries) - 1}, got {to}")
        entry = self._entries[to]
        self._restore(entry["snapshot"])
        self._note("rollback", {"to": to}, entry["snapshot"], entry.get("dropout"))
        return self.trainer.epoch

    def diary(self) -> str:
        """What was done, a line each."""
        lines = []
        for i, entry in enumerate(self._entries):
            facts = ", ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in entry["facts"].items())
            lines.append(f"{i:>3}  epoch {entry['epoch']:>4}  {entry['what']:<8}  {facts}".rstrip())
        return "\n".join(lines)

    # --- keeping ---------------------------------------------------------------------------------------------------

    def _write(self, what, facts, before=None):
        snapshot = f"snapshot-{len(self._entries):04d}.safetensors"
        self.trainer.save_checkpoint(self.folder / snapshot)
        if before:
            facts = {**facts, **{f"{k} before": list(v) if isinstance(v, tuple) else v for k, v in before.items()}}
        self._note(what, facts, snapshot, self._dropout())

    def _note(self, what, facts, snapshot, dropout):
        entry = {"what": what, "epoch": self.trainer.epoch, "facts": facts, "snapshot": snapshot, "dropout": dropout}
        with atomic_write(self.folder / "diary.json") as file:
            file.write(json.dumps([*self._entries, entry], indent=1).encode())
        self._entries.append(entry)

    def _dropout(self):
        """The probabilities of the dropout layers, which are settings and not in a state dict."""
        return [getattr(layer, name) for layer, name in self._dropout_layers()]

    def _dropout_layers(self):
        return [place for place in dropout_places(self.trainer.model) if not isinstance(place[0], StochasticDepth)]

    def _restore(self, snapshot):
        self.trainer.load_checkpoint(self.folder / snapshot)
        entry = next(e for e in self._entries if e["snapshot"] == snapshot)
        for (layer, name), p in zip(self._dropout_layers(), entry["dropout"] or ()):
            setattr(layer, name, p)
