"""Transfer learning: weights loaded by name, layers frozen and freed, a new head, features computed once and kept.

The less data, the more stays frozen: with a handful of images only a new head is trained, on features that are kept
(`cached_features`); with more, later layers too (`GradualUnfreezing`), earlier ones with smaller steps
(`discriminative_groups`); with a lot, the loaded weights are but a good start.

>>> model = SqueezeNet("1.0")
>>> load_by_name(model, "squeezenet.npz", layout="torch")
>>> replace_head(model, 6)
>>> freeze(model, "conv1", "fire[2-5]")
>>> optimizer = AdamW(discriminative_groups(model, lr=1e-3))
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .. import nn
from .._arrays import is_tensor, to_numpy, to_tensor
from ..autograd import no_grad
from ..convert import layout_changes
from ..data import DataLoader, TensorDataset
from ..io import load, load_safetensors, read_metadata, save_safetensors

__all__ = [
    "GradualUnfreezing", "LoadReport", "cached_features", "discriminative_groups", "freeze", "layer_stages",
    "load_by_name", "replace_head", "unfreeze",
]  # fmt: skip


# --- freezing ---------------------------------------------------------------------------------------------------------


def _chosen(op, model, names):
    """The modules that paths or patterns name, all parts of each."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"{op}: expected a Module, got {type(model).__name__}")
    if not names:
        return [model]
    known = [(path, module) for path, module in model.named_modules() if path]
    chosen = []
    for name in names:
        found = [module for path, module in known if fnmatchcase(path, name)]
        if not found:
            raise ValueError(f"{op}: no layer of {type(model).__name__} is called {name!r}")
        chosen += found
    return chosen


def freeze(model: nn.Module, *names: str) -> nn.Module:
    """Keep layers as they are: no gradient, and evaluation mode even in training.

    The mode matters: batch normalisation would go on averaging the new data into its statistics, dropout would drop.

    Parameters
    ----------
    model : Module
    *names : str
        Paths of layers (``"layer1.0"``), ``*``, ``?`` and ``[2-5]`` stand for any; none: the whole model.

    Returns
    -------
    Module
        ``model``.

    Raises
    ------
    ValueError
        For a name that no layer has.
    """
    for part in _chosen("freeze", model, names):
        part.requires_grad_(False)
        for module in part.modules():
            module._frozen, module.training = True, False
    return model


def unfreeze(model: nn.Module, *names: str) -> nn.Module:
    """Undo `freeze`: parameters get gradients again, and the layers take the mode that ``model`` is in."""
    for part in _chosen("unfreeze", model, names):
        part.requires_grad_(True)
        for module in part.modules():
            module._frozen, module.training = False, True if module is model else model.training
    return model


# --- a new head -------------------------------------------------------------------------------------------------------


def replace_head(model: nn.Module, num_classes: int, name: str | None = None) -> str:
    """A fresh last layer for other classes, in place of the one that is there.

    Parameters
    ----------
    model : Module
        Its last linear layer or convolution in order of definition is the head, unless named.
    num_classes : int
    name : str, optional
        Path of the head.

    Returns
    -------
    str
        The path of the new layer, of the same kind and input as the old one.

    Raises
    ------
    ValueError
        When there is no such layer.
    """
    if isinstance(num_classes, bool) or not isinstance(num_classes, (int, np.integer)) or num_classes < 1:
        raise ValueError(f"replace_head: num_classes expects an integer from 1 on, got {num_classes!r}")
    (part,) = _chosen("replace_head", model, ())
    kinds = (nn.Linear, nn.Conv2d)
    heads = {path: module for path, module in part.named_modules() if path and isinstance(module, kinds)}
    path = name if name is not None else next(reversed(heads), None)
    if path not in heads:
        what = "linear layer or convolution" if name is None else f"linear layer or convolution {name!r}"
        raise ValueError(f"replace_head: {type(model).__name__} has no {what}")
    old, dtype = heads[path], heads[path].weight.dtype
    if isinstance(old, nn.Linear):
        new = nn.Linear(old.in_features, int(num_classes), bias=old.bias is not None, dtype=dtype)
    else:
        new = nn.Conv2d(old.in_channels, int(num_classes), old.kernel_size, old.stride, old.padding, old.dilation,
                        bias=old.bias is not None, dtype=dtype, activation=old.activation)  # fmt: skip
    owner, _, last = path.rpartition(".")
    setattr(model.get_submodule(owner) if owner else model, last, new.train(model.training).to(old.weight.device))
    return path


# --- depth ------------------------------------------------------------------------------------------------------------


def layer_stages(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """The parts of a network that have parameters, by depth: ``[(path, module), ...]``, those next to the input first.

    The children of the model, in order of definition; where there is but one, the children of that.
    """
    (part,), prefix = _chosen("layer_stages", model, ()), ""
    while True:
        children = [(name, m) for name, m in part.named_children() if next(m.parameters(), None) is not None]
        if len(children) != 1 or next(children[0][1].children(), None) is None:
            break
        prefix, part = f"{prefix}{children[0][0]}.", children[0][1]
    if not children:
        children = [("", part)] if next(part.parameters(), None) is not None else []
    return [((prefix + name).rstrip("."), module) for name, module in children]


def discriminative_groups(model: nn.Module, lr: float, decay: float = 2.6, stages=None) -> list[dict]:
    """Parameter groups for an optimizer whose rate falls from the head to the input (Howard and Ruder 2018).

    Parameters
    ----------
    model : Module
    lr : float
        Of the last stage; each one before it has the rate of the next over ``decay``.
    decay : float, default 2.6
    stages : list of (name, Module) or of list of names, optional
        Default `layer_stages`.

    Returns
    -------
    list of dict
        ``{"params", "lr", "name"}``, one a stage from the input on. Frozen parameters are in them, without a gradient
        they are not changed; so `GradualUnfreezing` can free them later.

    Raises
    ------
    ValueError
        When a parameter belongs to no stage.
    """
    if not lr > 0 or not decay > 0 or not np.isfinite([lr, decay]).all():
        raise ValueError(f"discriminative_groups: lr and decay expect numbers > 0, got {lr} and {decay}")
    stages = layer_stages(model) if stages is None else list(stages)
    groups, seen = [], set()
    for depth, (name, module) in enumerate(stages):
        params = [p for p in module.parameters() if id(p) not in seen]
        seen |= {id(p) for p in params}
        groups.append({"params": params, "lr": lr / decay ** (len(stages) - 1 - depth), "name": name})
    left = [name for name, p in model.named_parameters() if id(p) not in seen]
    if left:
        raise ValueError(f"discriminative_groups: no stage holds {', '.join(left[:5])}")
    return groups


class GradualUnfreezing:
    """A callback of `Trainer` that frees one more stage every few epochs, from the head on.

    Which stages are free follows from the number of the epoch alone, so a resumed run has the same.

    Parameters
    ----------
    model : Module
    every : int, default 1
        Epochs between two stages.
    start : int, default 1
        Stages that are free from the first epoch on.
    stages : list of (name, Module), optional
        Default `layer_stages`.
    """

    def __init__(self, model: nn.Module, every: int = 1, start: int = 1, stages=None):
        if every < 1 or start < 0:
            raise ValueError(f"GradualUnfreezing: expected every >= 1 and start >= 0, got {every} and {start}")
        self.model, self.every, self.start = model, int(every), int(start)
        self.stages = layer_stages(model) if stages is None else list(stages)

    def free(self, epoch: int) -> int:
        """How many stages are free in an epoch."""
        return min(self.start + epoch // self.every, len(self.stages))

    def on_epoch_begin(self, trainer):
        """Frees and freezes what this epoch wants."""
        first = len(self.stages) - self.free(trainer.epoch)
        for i, (_, module) in enumerate(self.stages):
            if i < first:
                freeze(module)
            elif any(part._frozen for part in module.modules()):
                unfreeze(module)


# --- kept features ----------------------------------------------------------------------------------------------------


def _fingerprint(body, loader) -> str:
    """Of everything that features follow from: the layers, their weights and the data, however cut into batches."""
    digest = hashlib.blake2b(repr(body).encode(), digest_size=16)
    for name, value in body.state_dict().items():
        digest.update(name.encode() + np.ascontiguousarray(to_numpy(value)).tobytes())
    fields: dict[str, hashlib.blake2b] = {}
    for batch in loader:
        for i, field in enumerate(batch if isinstance(batch, (tuple, list)) else (batch,)):
            array = np.ascontiguousarray(to_numpy(field))
            kind = f"{i} {array.dtype} {array.shape[1:]}"
            fields.setdefault(kind, hashlib.blake2b(kind.encode())).update(array.tobytes())
    for part in fields.values():
        digest.update(part.digest())
    return digest.hexdigest()


def cached_features(body: nn.Module, dataset, path=None, batch_size: int = 64) -> TensorDataset:
    """What frozen layers make of a data set, computed once: a data set for training the head alone.

    Trained on it, a head gets the gradients that it would get on top of the frozen layers.

    Parameters
    ----------
    body : Module
        Images to features ``[N, ...]``; it runs in evaluation mode, without gradients.
    dataset : Dataset
        Items ``(x, ...)``; all but the first are taken over. Random changes of the images would be frozen too.
    path : str or Path, optional
        A safetensors file that keeps the features. It is read instead, if layers, weights and data are those that it
        was made from, else written anew.
    batch_size : int

    Returns
    -------
    TensorDataset
        ``(features, ...)``
    """
    loader = DataLoader(dataset, batch_size)
    made_of = _fingerprint(body, loader) if path is not None else ""
    if path is not None and Path(path).is_file() and read_metadata(path).get("features_of") == made_of:
        arrays, _ = load_safetensors(path)
        return TensorDataset(*(to_tensor(arrays[f"field{i}"]) for i in range(len(arrays))))
    fields: list[list] = []
    modes = [(module, module.training) for module in body.modules()]
    body.eval()
    try:
        with no_grad():
            for batch in loader:
                x, *rest = batch if isinstance(batch, (tuple, list)) else (batch,)
                fields.append([to_numpy(body(x)).copy(), *(to_numpy(r).copy() for r in rest)])
    finally:
        for module, mode in modes:
            module.training = mode
    if not fields:
        raise ValueError("cached_features: the data set is empty")
    arrays = [np.concatenate(parts) for parts in zip(*fields)]
    if path is not None:
        save_safetensors({f"field{i}": a for i, a in enumerate(arrays)}, path, {"features_of": made_of})
    return TensorDataset(*arrays)


# --- loading by name --------------------------------------------------------------------------------------------------


class LoadReport(NamedTuple):
    """What `load_by_name` did: names that were loaded, that the source lacks, that the model lacks, of other shapes."""

    loaded: list[str]
    missing: list[str]
    unexpected: list[str]
    mismatched: list[str]


def load_by_name(model: nn.Module, source, layout: str = "fastnn", rename=None, strict: bool = False) -> LoadReport:
    """Load the weights that a model shares with another one, by name and shape; the rest stays as it is.

    Parameters
    ----------
    model : Module
    source : str, Path or mapping
        A .safetensors or .npz file, or a state dict (arrays, or tensors of fastnn or PyTorch).
    layout : {'fastnn', 'torch'}
        'torch': kernels are ``[out, in, height, width]`` and matrices ``[out, in]``, as PyTorch and Caffe have them.
    rename : mapping or callable, optional
        From names in the source to names in the model: a function (None leaves a weight out), or a mapping of
        beginnings (``{"module.": "", "features.0.": "conv1."}``), of which the longest counts.
    strict : bool, default False
        True refuses when any name is missing, unexpected or of another shape.

    Returns
    -------
    LoadReport

    Raises
    ------
    KeyError
        With ``strict``; the model is unchanged. Also for two names that become one.
    ValueError
        For a file of another kind, or when not one weight fits, which is a wrong file or a wrong ``layout``.
    """
    if layout not in ("fastnn", "torch"):
        raise ValueError(f"load_by_name: layout expects 'fastnn' or 'torch', got {layout!r}")
    if not isinstance(source, Mapping):
        if Path(source).suffix not in (".safetensors", ".npz"):
            raise ValueError(
                f"load_by_name: expected a .safetensors or .npz file, got {source} (a PyTorch file: torch.load(file, "
                "weights_only=True) gives the state dict to pass)"
            )
        source = load(source)
    name_of = _renaming(rename)
    arrays = {}
    for key, value in source.items():
        name = name_of(key)
        if name in arrays:
            raise KeyError(f"load_by_name: two weights of the source become {name!r}")
        if name is not None:
            arrays[name] = value if is_tensor(value) else np.asarray(value)
    changes = layout_changes(model, back=False) if layout == "torch" else {}
    own, fitting = model.state_dict(), {}
    report = LoadReport([], [k for k in own if k not in arrays], [k for k in arrays if k not in own], [])
    for name, target in own.items():
        if name in arrays:
            array = to_numpy(arrays[name])
            if name in changes and array.ndim == target.ndim:
                array = changes[name](array)
            fits = array.shape == tuple(target.shape)
            (report.loaded if fits else report.mismatched).append(name)
            if fits:
                fitting[name] = array
    problems = [f"{what}: {', '.join(names)}" for what, names in zip(report._fields[1:], report[1:]) if names]
    if strict and problems:
        raise KeyError(f"load_by_name: {type(model).__name__}: {'; '.join(problems)}")
    if not fitting:
        raise ValueError(f"load_by_name: no weight fits {type(model).__name__}: {'; '.join(problems) or 'none given'}")
    model.load_state_dict(fitting, strict=False)
    return report


def _renaming(rename):
    if rename is None:
        return lambda key: key
    if callable(rename):
        return rename
    if not isinstance(rename, Mapping):
        raise TypeError(f"load_by_name: rename expects a function or a mapping, got {type(rename).__name__}")
    longest_first = sorted(rename.items(), key=lambda item: -len(item[0]))

    def name_of(key):
        for begin, new in longest_first:
            if key.startswith(begin):
                return new + key[len(begin) :]
        return key

    return name_of
