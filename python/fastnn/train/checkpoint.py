"""A checkpoint: one safetensors file with everything a run needs to continue as if it had never stopped.

Model, optimiser, schedule, random states (fastnn's, NumPy's and Python's global ones), the position in the data, the
running sums of the epoch, history and callbacks. Written atomically (see `fastnn.io`), read without pickle.
"""

from __future__ import annotations

import random

import numpy as np

from .. import io
from .._arrays import is_tensor, to_numpy, to_tensor

__all__ = ["save_checkpoint", "load_checkpoint", "load_weights", "random_state", "set_random_state"]

FORMAT = "fastnn-checkpoint"
VERSION = 1


def save_checkpoint(state: dict, path) -> None:
    """Write the nested state `state` to `path`."""
    io.save({"format": FORMAT, "version": VERSION, **state}, path, {"format": FORMAT})


def load_checkpoint(path) -> dict:
    """Read a checkpoint.

    Raises
    ------
    FileNotFoundError
    ValueError
        When the file is damaged, is not a checkpoint, or was written by a newer fastnn.
    """
    state = io.load(path)
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise ValueError(f"{path}: not a fastnn checkpoint (it has {', '.join(map(str, list(state)[:5]))} ...)")
    if state.get("version") != VERSION:
        raise ValueError(f"{path}: checkpoint version {state.get('version')}, this fastnn reads version {VERSION}")
    return state


def load_weights(path) -> dict:
    """The ``state_dict`` of the model in a checkpoint or in a plain safetensors or npz file of weights.

    A checkpoint of a run with early stopping gives the best weights seen, not the latest.
    """
    state = io.load(path)
    if isinstance(state, dict) and state.get("format") == FORMAT:
        for callback in state.get("callbacks", ()):
            if callback.get("best_weights"):
                return {k: to_tensor(v) for k, v in callback["best_weights"].items()}
        return state["model"]
    return state


def random_state() -> dict:
    """The states of all random generators a training step may draw from."""
    import fastnn

    own = fastnn.get_rng_state()
    return {
        "fastnn": to_numpy(own) if is_tensor(own) else own,
        "numpy": np.random.get_state(),
        "python": random.getstate(),
    }


def set_random_state(state: dict) -> None:
    """Put back what `random_state` returned."""
    import fastnn

    own = state["fastnn"]
    fastnn.set_rng_state(to_tensor(own, "cpu") if isinstance(own, np.ndarray) else own)
    np.random.set_state(state["numpy"])
    random.setstate(state["python"])
