"""Runs that can be found and compared again: a folder with what was run, on what, and how it went."""

from __future__ import annotations

import json
import math
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

from .._arrays import device_of
from ..io import atomic_write
from .callbacks import Callback

__all__ = ["Run", "CSVLogger", "JSONLinesLogger", "TensorBoardLogger", "environment", "git_revision"]


def _device_text(device) -> str:
    """A device and, of a GPU, what it is."""
    from .. import cuda

    return str(device) if str(device) == "cpu" else f"{device} ({cuda.get_device_name(device)})"


def environment() -> dict[str, str]:
    """Versions, machine and default device of this process, as text."""
    import numpy

    import fastnn

    return {
        "fastnn": fastnn.__version__,
        "python": platform.python_version(),
        "numpy": numpy.__version__,
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "instruction set": fastnn.isa(),
        "threads": str(fastnn.get_num_threads()),
        "matmul precision": fastnn.get_matmul_precision(),
        "device": _device_text(fastnn.get_default_device()),
    }


def git_revision(folder=".") -> str | None:
    """The commit that `folder` is at, with "+changes" where tracked files differ from it; None outside git."""

    def git(*words):
        done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, timeout=10)
        return done.stdout.strip() if done.returncode == 0 else None

    try:
        revision = git("rev-parse", "HEAD")
        if revision is None:
            return None
        return revision + ("+changes" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.TimeoutExpired):
        return None


def _plain(value):
    """What JSON can hold; numbers it cannot hold become null, other objects their text."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if hasattr(value, "item") and getattr(value, "size", 1) == 1 and not isinstance(value, type):
        value = value.item()
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value)


class Run(Callback):
    """The folder of a run: ``run.json`` (configuration, seed, git revision, environment, status, results) and, as a
    callback of a trainer, ``history.csv`` and ``history.jsonl``.

    >>> run = Run("runs/wide", config={"width": 512, "lr": 1e-3}, seed=0)
    >>> Trainer(model, loss, optimizer, callbacks=[run], checkpoint=run.folder / "checkpoint.safetensors").fit(...)
    >>> run.finish({"test_accuracy": 0.91})

    A run that is taken up again keeps the time it was first started; its history is that of the trainer.

    Parameters
    ----------
    folder : str or Path
    config : dict
        The settings, for comparisons; anything JSON holds, other objects as their text.
    seed : int, optional
        Default: the seed last given to `fastnn.manual_seed`.
    name : str, optional
        Default: the name of the folder.
    """

    FILE = "run.json"

    def __init__(self, folder, config: dict | None = None, seed: int | None = None, name: str | None = None):
        import fastnn

        if config is not None and not isinstance(config, dict):
            raise TypeError(f"Run: config expects a dict, got {type(config).__name__}")
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        earlier = self._earlier = read_run(self.folder) if (self.folder / self.FILE).exists() else {}
        now = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        self.record = {
            "name": name or self.folder.name,
            "started": earlier.get("started", now),
            "status": "running",
            "config": _plain(config or {}),
            "seed": int(fastnn.get_rng_state()[0]) if seed is None else seed,
            "git": git_revision(),
            "environment": environment(),
            "command": [os.path.basename(sys.argv[0] or "python"), *sys.argv[1:]],
            "epochs": 0,
            "seconds": 0.0,
            "results": {},
        }
        self._begin = time.perf_counter()
        self._write()

    def _write(self):
        self.record["seconds"] = round(time.perf_counter() - self._begin, 3)
        with atomic_write(self.folder / self.FILE) as file:
            file.write(json.dumps(self.record, indent=1).encode())

    def finish(self, results: dict | None = None, status: str = "finished") -> None:
        """Write the final numbers and the status. One that fails before it did anything leaves an earlier record."""
        if status.startswith("failed") and self._earlier and not (self.record["results"] or results):
            self.record = self._earlier
            with atomic_write(self.folder / self.FILE) as file:
                file.write(json.dumps(self.record, indent=1).encode())
            return
        self.record["results"].update(_plain(results or {}))
        self.record["status"] = status
        self._write()

    # --- as a callback -----------------------------------------------------------------------------------------------

    def on_fit_begin(self, trainer):
        self.record["environment"]["device"] = _device_text(device_of(trainer.model))

    def on_epoch_end(self, trainer, logs):
        self.record["epochs"] = int(logs["epoch"])
        self.record["results"].update(_plain({k: v for k, v in logs.items() if k not in ("epoch", "seconds")}))
        write_history(trainer.history, self.folder)
        self._write()

    def on_fit_end(self, trainer):
        self.finish(status="interrupted" if trainer.interrupted else trainer.history.stopped or "finished")

    def on_fit_error(self, trainer, error):
        self.finish(status=f"failed: {type(error).__name__}")


def write_history(history, folder) -> None:
    """``history.csv`` and ``history.jsonl`` of a history, replaced as a whole: a resumed run has no line twice."""
    folder = Path(folder)
    history.to_csv(folder / "history.csv")
    _write_lines(history, folder / "history.jsonl")


def _write_lines(history, path):
    lines = [json.dumps(_plain(dict(zip(history, row)))) for row in zip(*history.values())]
    with atomic_write(path) as file:
        file.write("".join(line + "\n" for line in lines).encode())


def read_run(folder) -> dict:
    """The ``run.json`` of a folder."""
    path = Path(folder) / Run.FILE
    try:
        record = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path} is not the record of a run ({error})") from None
    if not isinstance(record, dict) or not isinstance(record.get("config", {}), dict):
        raise ValueError(f"{path} is not the record of a run")
    return record


class CSVLogger(Callback):
    """The history as a CSV file, one line an epoch, written after every epoch."""

    def __init__(self, path):
        self.path = path

    def on_epoch_end(self, trainer, logs):
        trainer.history.to_csv(self.path)


class JSONLinesLogger(Callback):
    """The history as JSON lines, one object an epoch, written after every epoch; NaN and infinity become null."""

    def __init__(self, path):
        self.path = path

    def on_epoch_end(self, trainer, logs):
        _write_lines(trainer.history, self.path)


class TensorBoardLogger(Callback):
    """Curves for TensorBoard, by TensorBoard's own writer (``pip install tensorboard``).

    Training and validation values of a metric share a picture. After a resume TensorBoard is told to forget what the
    earlier process wrote beyond the epoch that is continued from.

    Parameters
    ----------
    folder : str or Path
    every_batch : bool
        Also the loss of every batch, as ``batch/loss`` in a run of its own, ``batches``: its steps are batches, those
        of the others epochs.
    """

    def __init__(self, folder, every_batch: bool = False):
        try:
            from tensorboard.compat.proto import event_pb2, summary_pb2
            from tensorboard.summary.writer.event_file_writer import EventFileWriter
        except ImportError:
            raise ImportError("TensorBoardLogger needs the package tensorboard (pip install tensorboard)") from None
        self.folder, self.every_batch = Path(folder), every_batch
        self._event, self._summary, self._open = event_pb2, summary_pb2, EventFileWriter
        self._writers: dict = {}

    def _writer(self, part):
        if part not in self._writers:
            self._writers[part] = self._open(str(self.folder / part))
        return self._writers[part]

    def _add(self, part, name, value, step):
        value = self._summary.Summary.Value(tag=name, simple_value=float(value))
        summary = self._summary.Summary(value=[value])
        self._writer(part).add_event(self._event.Event(wall_time=time.time(), step=step, summary=summary))

    def on_fit_begin(self, trainer):
        if trainer.epoch:
            start = self._event.SessionLog(status=self._event.SessionLog.START)
            epoch, batch = trainer.epoch + 1, trainer.step + 1
            for part, step in (("train", epoch), ("validation", epoch), ("batches", batch)):
                if (self.folder / part).exists():
                    event = self._event.Event(wall_time=time.time(), step=step, session_log=start)
                    self._writer(part).add_event(event)

    def on_batch_end(self, trainer, logs):
        if self.every_batch:
            self._add("batches", "batch/loss", logs["loss"], trainer.step)

    def on_epoch_end(self, trainer, logs):
        for name, value in logs.items():
            if name in ("epoch", "seconds") or not isinstance(value, (int, float)):
                continue
            part, name = ("validation", name[4:]) if name.startswith("val_") else ("train", name)
            self._add(part, name, value, int(logs["epoch"]))

    def on_fit_error(self, trainer, error):
        self.on_fit_end(trainer)  # what was written so far is on the disk

    def on_fit_end(self, trainer):
        for writer in self._writers.values():
            writer.close()
        self._writers = {}
