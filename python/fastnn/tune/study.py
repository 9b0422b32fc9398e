"""Running a search: trials in this process or in several, each result in a file of its own as soon as it is there."""

from __future__ import annotations

import hashlib
import json
import math
import multiprocessing
import os
import signal
import sys
import time
import traceback
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import wait
from pathlib import Path

from ..io import atomic_write
from .methods import RandomSearch
from .results import Results
from .space import Space

__all__ = ["Trial", "Study", "tune"]


@dataclass
class Trial:
    """What the objective is given, and what came of it.

    Attributes
    ----------
    number : int
    config : dict
        The values to try: ``trial.config["lr"]``.
    budget : int or None
        How long to train, where the method rations it.
    folder : Path
        For checkpoints and whatever else the trial writes. A trial that was killed finds it as it was left.
    parent_folder : Path or None
        Where the trial that this one continues left its checkpoint.
    seed : int
        fastnn's generator has been set to it.
    status : {"done", "failed"} or None
    score : float or None
    metrics : dict
        Other numbers that the objective returned.
    error : str or None
    seconds : float
    """

    number: int
    config: dict
    budget: int | None = None
    parent: int | None = None
    positions: list = field(default_factory=list)
    folder: Path | None = None
    parent_folder: Path | None = None
    seed: int = 0
    status: str | None = None
    score: float | None = None
    metrics: dict = field(default_factory=dict)
    error: str | None = None
    seconds: float = 0.0

    _FILE = "result.json"

    def save(self) -> None:
        record = {k: v for k, v in asdict(self).items() if k not in ("folder", "parent_folder")}
        with atomic_write(self.folder / self._FILE) as file:
            file.write(json.dumps(record, indent=1).encode())

    @classmethod
    def load(cls, folder: Path) -> Trial | None:
        """The trial of a folder, None where it has no result yet."""
        try:
            text = (folder / cls._FILE).read_text()
        except FileNotFoundError:
            return None
        try:
            return cls(**json.loads(text), folder=folder)
        except (ValueError, TypeError) as error:
            raise ValueError(f"tune: {folder / cls._FILE} is not the result of a trial ({error})") from None


class Study(Results):
    """The finished trials of a search. Made by `tune`; ``Study.load(folder)`` reads one again."""

    def __init__(self, names, trials, maximize: bool = True):
        self.names, self.trials, self.maximize = list(names), list(trials), bool(maximize)

    @classmethod
    def load(cls, folder) -> Study:
        """The trials that a folder of `tune` holds so far."""
        folder = Path(folder)
        try:
            about = json.loads((folder / "study.json").read_text())
        except FileNotFoundError:
            raise FileNotFoundError(f"Study.load: {folder} holds no search (study.json is not there)") from None
        trials = [Trial.load(p) for p in sorted((folder / "trials").glob("[0-9]*"))]
        return cls(about["names"], [t for t in trials if t is not None], about["maximize"])


def tune(objective, space, method=None, *, folder, maximize: bool = True, workers: int = 1, seed: int = 0,
         retry_failed: bool = False, progress: bool = True) -> Study:  # fmt: skip
    """Search a space for the configuration with the best score.

    Every trial's result is written at once, so a search that is stopped or killed goes on from there when it is called
    again with the same arguments, and ends with the same table.

    Parameters
    ----------
    objective : callable
        ``objective(trial)`` trains with ``trial.config["lr"]`` and so on (see `Trial`) and returns the score, or a
        dict with "score" and other numbers. An exception is a failed trial, not the end of the search.
    space : Space or dict
    method : method, optional
        Of `fastnn.tune`; default ``RandomSearch(25, seed)``.
    folder : str or Path
    maximize : bool
        Whether a higher score is better.
    workers : int
        Trials at a time. More than 1 run in processes of their own, which share this machine's threads.
    seed : int
        Trial n runs with fastnn's generator set to a function of `seed` and its configuration.
    retry_failed : bool
        Run trials again that failed before.
    progress : bool
        A line for every trial.

    Returns
    -------
    Study

    Raises
    ------
    ValueError
        When `folder` holds the trials of another search.
    """
    if not callable(objective):
        raise TypeError(f"tune: objective must be a function of the trial, got {type(objective).__name__}")
    if not isinstance(space, (Space, dict)):
        raise TypeError(f"tune: space must be a Space or a dict of scales, got {type(space).__name__}")
    if method is not None and not hasattr(method, "rounds"):
        raise TypeError(f"tune: method must be one of fastnn.tune, such as RandomSearch(25), got {method!r:.60}")
    space = space if isinstance(space, Space) else Space(space)
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
        raise ValueError(f"tune: workers expects a whole number >= 1, got {workers!r}")
    folder = Path(folder)
    _describe(folder, {"names": list(space.scales), "maximize": bool(maximize), "space": repr(space)})
    rounds = (method or RandomSearch(25, seed)).rounds(space)
    trials: list[Trial] = []
    run = _Inline(objective, progress) if workers == 1 else _Processes(objective, workers, progress)
    requests = next(rounds, None)
    while requests is not None:
        current = [_prepare(r, len(trials) + i, folder, space, seed, trials) for i, r in enumerate(requests)]
        done = [_known(t, retry_failed) for t in current]
        run([t for t, found in zip(current, done) if found is None])
        current = [found or t for t, found in zip(current, done)]
        trials += current
        sign = 1 if maximize else -1
        scores = [sign * t.score if t.status == "done" else -math.inf for t in current]
        try:
            requests = rounds.send(scores)
        except StopIteration:
            requests = None
    return Study(space.scales, trials, maximize)


def _describe(folder, about) -> None:
    """Say in ``study.json`` what is searched; what another search said there is not written over."""
    (folder / "trials").mkdir(parents=True, exist_ok=True)
    file = folder / "study.json"
    if file.exists():
        try:
            earlier = json.loads(file.read_text())
        except ValueError as error:
            raise ValueError(f"tune: {file} is not the description of a search ({error})") from None
        if earlier == about:
            return
        if any((folder / "trials").glob(f"*/{Trial._FILE}")):
            raise ValueError(f"tune: {folder} holds trials of another search, {earlier}, this one is {about}; "
                             "give another folder")  # fmt: skip
    with atomic_write(file) as out:
        out.write(json.dumps(about).encode())


def _prepare(request, number, folder, space, seed, earlier) -> Trial:
    own = folder / "trials" / f"{number:04d}"
    parent = earlier[request.parent] if request.parent is not None else None
    text = json.dumps([seed, request.config], sort_keys=True)
    return Trial(number, request.config, request.budget, request.parent, space.positions(request.config), own,
                 parent.folder if parent else None,
                 int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "little"))  # fmt: skip


def _known(trial: Trial, retry_failed: bool) -> Trial | None:
    """The result that an earlier run left, if it is of this configuration."""
    found = Trial.load(trial.folder)
    if found is None:
        return None
    if found.config != trial.config or found.budget != trial.budget or found.seed != trial.seed:
        raise ValueError(
            f"tune: {trial.folder} holds a trial of another search (it tried {found.config}, this one {trial.config}); "
            "give another folder"
        )
    found.parent_folder = trial.parent_folder
    if found.status == "failed" and retry_failed:
        for name in (Trial._FILE, "error.txt"):  # else a second failure without a word would be told as the first
            (trial.folder / name).unlink(missing_ok=True)
        return None
    return found


def _run(objective, trial: Trial) -> None:
    """One trial from begin to end; its result is in its file afterwards."""
    import fastnn

    trial.folder.mkdir(parents=True, exist_ok=True)
    fastnn.manual_seed(trial.seed)
    start = time.perf_counter()
    try:
        result = objective(trial)
        metrics = {k: _plain(v) for k, v in result.items()} if isinstance(result, dict) else {"score": _plain(result)}
        if "score" not in metrics:
            raise ValueError(f"the objective returned {sorted(metrics)}, without 'score'")
        score = metrics.pop("score")
        if not isinstance(score, (int, float)):
            raise TypeError(f"the objective returned {score!r:.60}; expected a number, or a dict with 'score'")
        trial.score = float(score)
        if not math.isfinite(trial.score):
            raise ValueError(f"the score is {trial.score}")
        json.dumps(metrics)  # what no file can hold is this trial's failure, too
        trial.metrics, trial.status = metrics, "done"
    except Exception as error:
        trial.status, trial.score = "failed", None
        trial.error = f"{type(error).__name__}: {error}"
        (trial.folder / "error.txt").write_text(traceback.format_exc())
    trial.seconds = time.perf_counter() - start
    trial.save()


def _plain(value):
    return value.item() if hasattr(value, "item") else value


def _line(trial: Trial) -> str:
    config = ", ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in trial.config.items())
    result = f"{trial.score:.5g}" if trial.status == "done" else f"failed: {trial.error}"
    return f"trial {trial.number:>3}  {config}  ->  {result}  ({trial.seconds:.1f} s)"


class _Inline:
    """Trials one after the other in this process."""

    def __init__(self, objective, progress):
        self.objective, self.progress = objective, progress

    def __call__(self, trials):
        for trial in trials:
            _run(self.objective, trial)
            if self.progress:
                print(_line(trial), flush=True)


class _Processes:
    """Trials in forked processes, `workers` at a time; a process that dies is a failed trial."""

    def __init__(self, objective, workers, progress):
        import fastnn

        self.objective, self.workers, self.progress = objective, workers, progress
        self.threads = max(1, fastnn.get_num_threads() // workers)
        # A fork takes the objective along as it is, closures too; where there is none it must be importable.
        self.context = multiprocessing.get_context("fork" if sys.platform != "win32" else "spawn")

    def __call__(self, trials):
        waiting, running = list(trials), {}
        try:
            while waiting or running:
                while waiting and len(running) < self.workers:
                    trial = waiting.pop(0)
                    process = self.context.Process(
                        target=_child, args=(self.objective, trial, self.threads, os.getpid())
                    )
                    process.start()
                    running[process.sentinel] = (process, trial)
                for sentinel in wait(list(running)):
                    process, trial = running.pop(sentinel)
                    process.join()
                    self._collect(trial, process.exitcode)
        finally:  # Ctrl-C, or an error here: nothing goes on behind the caller's back
            for process, _ in running.values():
                process.terminate()
            for process, _ in running.values():
                process.join()

    def _collect(self, trial, exit_code):
        found = Trial.load(trial.folder)
        if found is None:
            trial.status, trial.error = "failed", f"its process ended with exit code {exit_code}"
            trial.folder.mkdir(parents=True, exist_ok=True)
            trial.save()
        else:
            for name in ("status", "score", "metrics", "error", "seconds"):
                setattr(trial, name, getattr(found, name))
        if self.progress:
            print(_line(trial), flush=True)


def _child(objective, trial, threads, parent):
    import fastnn

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its children
    _die_with(parent)
    fastnn.set_num_threads(threads)
    _run(objective, trial)


def _die_with(parent: int) -> None:
    """Have the kernel end this process when its parent is killed (Linux)."""
    if sys.platform == "linux":
        import ctypes

        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
        if os.getppid() != parent:  # it was killed before that
            os._exit(1)
