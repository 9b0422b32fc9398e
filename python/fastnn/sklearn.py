"""fastnn's networks as scikit-learn estimators, for its pipelines, cross-validation and searches.

>>> from fastnn.sklearn import FastNNClassifier
>>> pipeline = make_pipeline(StandardScaler(), FastNNClassifier((256, 128), dropout=0.2, random_state=0))
>>> GridSearchCV(pipeline, {"fastnnclassifier__learning_rate": [1e-3, 3e-3]}).fit(X, y)

Both pass scikit-learn's own ``check_estimator``. Needs scikit-learn >= 1.6.
"""

from __future__ import annotations

import copy
import numbers
import warnings
from contextlib import contextmanager

import numpy as np

try:
    from scipy.sparse import issparse
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.utils import check_random_state, compute_class_weight
    from sklearn.utils.multiclass import check_classification_targets, type_of_target, unique_labels
    from sklearn.utils.validation import _check_sample_weight, check_is_fitted, column_or_1d, validate_data
except ImportError as error:
    raise ImportError(f"fastnn.sklearn needs scikit-learn >= 1.6 (pip install scikit-learn): {error}") from error

import fastnn
from fastnn import nn, optim
from fastnn._arrays import device_of, to_numpy, to_tensor
from fastnn.data import DataLoader, TensorDataset
from fastnn.data._random import permutation
from fastnn.nn import functional as F
from fastnn.train import EarlyStopping, Trainer

__all__ = ["FastNNClassifier", "FastNNRegressor"]

_ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh, "logistic": nn.Sigmoid, "sigmoid": nn.Sigmoid, "gelu": nn.GELU,
                "silu": nn.SiLU, "leaky_relu": nn.LeakyReLU, "elu": nn.ELU, "identity": nn.Identity}  # fmt: skip
_OPTIMIZERS = {"adam": optim.Adam, "adamw": optim.AdamW, "sgd": optim.SGD, "rmsprop": optim.RMSprop}

_PARAMETERS = """
    Computes in the type of X: float32 stays float32, anything else becomes float64, which is what scikit-learn's
    users expect and takes about twice the time.

    Parameters
    ----------
    hidden_layer_sizes : tuple of int, default (100,)
        Units of the hidden layers.
    activation : {"relu", "tanh", "logistic", "gelu", "silu", "leaky_relu", "elu", "identity"}
    module : nn.Module or callable, optional
        A network of your own instead of hidden layers: a module that takes [N, n_features] and gives
        [N, n_outputs] (logits for classification), which is copied and trained on, or a function
        ``(n_features, n_outputs) -> module``.
    optimizer : {"adam", "adamw", "sgd", "rmsprop"}
        "sgd" has a momentum of 0.9.
    learning_rate : float, default 1e-3
    weight_decay : float, default 0
        L2 penalty on all parameters; decoupled from the gradient with "adamw".
    dropout : float, default 0
        Probability with which hidden units are dropped in training.
    batch_size : int or "auto"
        Examples of an update; "auto" is min(200, n_samples).
    max_iter : int, default 200
        Most epochs.
    tol : float, default 1e-4
        An epoch improves the loss if it falls by more than this.
    n_iter_no_change : int, default 10
        Epochs without improvement after which training ends.
    early_stopping : bool, default False
        Hold out `validation_fraction` of the examples, watch their loss instead of the training loss, and keep the
        weights of the best epoch.
    validation_fraction : float, default 0.1
    warm_start : bool, default False
        A further `fit` goes on from the weights there are, with the `learning_rate` and `weight_decay` of now.
    random_state : int, RandomState or None
        Of the initial weights, the order of the examples and dropout. The same integer gives the same bits.
    verbose : bool
        Show the progress.
"""


class _Trainer(Trainer):
    """Batches (x, target, weight): the loss is the weighted mean over the examples."""

    def forward(self, batch):
        x, target, *weight = batch
        output = self.model(x)
        losses = self.loss(output, target)
        if not weight:
            return losses.mean(), output, target
        return (losses * weight[0]).sum() / weight[0].sum(), output, target


@contextmanager
def _own_random_numbers(state):
    """Run with fastnn's generator at `state` and leave the caller's as it was."""
    before = fastnn.get_rng_state()
    fastnn.set_rng_state(state)
    try:
        yield
    finally:
        fastnn.set_rng_state(before)


class _Network(BaseEstimator):
    """What both estimators share: the network, and the fit."""

    def __init__(self, hidden_layer_sizes=(100,), activation="relu", *, module=None, optimizer="adam",
                 learning_rate=1e-3, weight_decay=0.0, dropout=0.0, batch_size="auto", max_iter=200, tol=1e-4,
                 n_iter_no_change=10, early_stopping=False, validation_fraction=0.1, warm_start=False,
                 random_state=None, verbose=False):  # fmt: skip
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.module = module
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.dropout = dropout
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

    # --- the network -------------------------------------------------------------------------------------------------

    def _build(self, inputs: int, outputs: int):
        if self.module is None:
            model = self._dense(inputs, outputs)
        elif isinstance(self.module, nn.Module):
            model = copy.deepcopy(self.module)
        elif callable(self.module):
            model = self.module(inputs, outputs)
        else:
            raise TypeError(f"{self._name}: module expects an nn.Module or a function, got {self.module!r:.60}")
        if not isinstance(model, nn.Module):
            raise TypeError(f"{self._name}: module must make an nn.Module, got {type(model).__name__}")
        return model.to(getattr(fastnn, self._dtype))

    def _dense(self, inputs, outputs):
        sizes = self.hidden_layer_sizes
        sizes = [sizes] if isinstance(sizes, numbers.Integral) else list(sizes)
        for size in sizes:
            if not isinstance(size, numbers.Integral) or size < 1:
                raise ValueError(f"{self._name}: hidden_layer_sizes expects numbers >= 1, got {size!r}")
        layers = []
        for size in sizes:
            layers += [nn.Linear(inputs, int(size)), self._choice("activation", _ACTIVATIONS)()]
            if self.dropout:
                layers.append(nn.Dropout(self.dropout))
            inputs = int(size)
        return nn.Sequential(*layers, nn.Linear(inputs, outputs))

    def _choice(self, name, table):
        value = getattr(self, name)
        if value not in table:
            raise ValueError(f"{self._name}: {name} expects one of {', '.join(table)}, got {value!r}")
        return table[value]

    def _make_optimizer(self, model):
        kind = self._choice("optimizer", _OPTIMIZERS)
        options = {"momentum": 0.9} if kind is optim.SGD else {}
        return kind(model.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay, **options)

    @property
    def _name(self):
        return type(self).__name__

    # --- fitting -----------------------------------------------------------------------------------------------------

    def _check_settings(self):
        for name, least in (("max_iter", 1), ("n_iter_no_change", 1)):
            value = getattr(self, name)
            if not isinstance(value, numbers.Integral) or value < least:
                raise ValueError(f"{self._name}: {name} expects a whole number >= {least}, got {value!r}")
        size = self.batch_size
        if size != "auto" and (not isinstance(size, numbers.Integral) or size < 1):
            raise ValueError(f"{self._name}: batch_size expects 'auto' or a whole number >= 1, got {size!r}")
        if not 0 < self.validation_fraction < 1:
            raise ValueError(f"{self._name}: validation_fraction expects 0 < f < 1, got {self.validation_fraction!r}")

    def _check_x(self, X, reset):
        return validate_data(self, X, reset=reset, dtype=(np.float64, np.float32))

    def _weights(self, X, sample_weight):
        if sample_weight is None:
            return None
        weight = _check_sample_weight(sample_weight, X, dtype=X.dtype, ensure_non_negative=True)
        if not weight.any():
            raise ValueError(f"{self._name}: sample weights are all zero, so there is nothing to fit")
        return weight

    def _start(self, X, outputs):
        """A new network; the dtype is that of X."""
        self._dtype = X.dtype.name
        seed = int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))
        with _own_random_numbers((seed, 0)):
            self.module_ = self._build(X.shape[1], outputs)
            self._random = fastnn.get_rng_state()
        self._seed = seed
        self._optimizer = self._make_optimizer(self.module_)
        self.loss_curve_ = []
        self.n_iter_ = 0

    def _change_rate(self):
        """Going on, the settings of the optimiser are those of now."""
        for group in self._optimizer.param_groups:
            group.update(lr=self.learning_rate, weight_decay=self.weight_decay)

    def _train(self, X, target, weight, epochs, stop_early):
        """Epochs over the examples; those of weight 0 are as if they were not there."""
        X = np.asarray(X, self._dtype)
        parts = [X, target] if weight is None else [X, target, np.asarray(weight, self._dtype)]
        if weight is not None and not weight.all():
            parts = [part[weight != 0] for part in parts]
        held_out = None
        if stop_early and self.early_stopping:
            parts, held_out = self._split(parts)
        n = len(parts[0])
        size = min(200, n) if self.batch_size == "auto" else min(int(self.batch_size), n)
        # One batch needs no shuffling; without it, its sums have one order.
        loader = DataLoader(
            TensorDataset(*map(to_tensor, parts)), size, shuffle=size < n, seed=self._seed if size < n else None
        )
        if size < n:
            loader.set_epoch(self.n_iter_)
        validation = None if held_out is None else DataLoader(TensorDataset(*map(to_tensor, held_out)), 1024)
        callbacks = []
        if stop_early:
            monitor = "loss" if held_out is None else "val_loss"
            callbacks.append(EarlyStopping(monitor, int(self.n_iter_no_change), min_delta=self.tol,
                                           restore_best=held_out is not None))  # fmt: skip
        trainer = _Trainer(self.module_, self._loss, self._optimizer, callbacks=callbacks, progress=bool(self.verbose))
        with _own_random_numbers(self._random):
            history = trainer.fit(loader, validation, epochs=epochs)
            self._random = fastnn.get_rng_state()
        self.loss_curve_ += [float(v) for v in history["loss"]]
        self.n_iter_ += trainer.epoch
        self.loss_ = self.loss_curve_[-1]
        if trainer.interrupted:
            raise KeyboardInterrupt
        if stop_early and history.stopped is None:
            warnings.warn(
                f"{self._name}: max_iter={epochs} epochs passed and the loss still falls; raise max_iter or tol",
                ConvergenceWarning, stacklevel=3)  # fmt: skip

    def _split(self, parts):
        n = len(parts[0])
        count = max(1, round(n * self.validation_fraction))
        if count >= n:
            raise ValueError(f"{self._name}: early_stopping needs at least 2 examples, got {n}")
        order = permutation(n, self._seed, stream=2)
        return [p[order[count:]] for p in parts], [p[order[:count]] for p in parts]

    def _outputs(self, X) -> np.ndarray:
        """What the network says of X, [N, n_outputs]."""
        check_is_fitted(self, "module_")
        X = np.asarray(self._check_x(X, reset=False), self._dtype)
        self.module_.eval()
        with fastnn.no_grad():
            device = device_of(self.module_)
            batches = (fastnn.from_numpy(np.ascontiguousarray(X[i : i + 4096])) for i in range(0, len(X), 4096))
            parts = [to_numpy(self.module_(x.to(device))) for x in batches]
        return np.concatenate(parts)

    def _is_new(self, incremental) -> bool:
        return not (hasattr(self, "module_") and (incremental or self.warm_start))


class FastNNClassifier(ClassifierMixin, _Network):
    __doc__ = f"""A network that tells classes apart: binary, multi-class, or several labels at once.
{_PARAMETERS}    class_weight : dict, "balanced" or None
        Weights of the classes, multiplied with those of the examples.

    Attributes
    ----------
    classes_ : array
        The labels.
    module_ : nn.Module
        The trained network; its outputs are logits.
    loss_curve_ : list of float
        The training loss of each epoch.
    n_iter_ : int
        Epochs trained.
    """

    def __init__(self, hidden_layer_sizes=(100,), activation="relu", *, module=None, optimizer="adam",
                 learning_rate=1e-3, weight_decay=0.0, dropout=0.0, batch_size="auto", max_iter=200, tol=1e-4,
                 n_iter_no_change=10, early_stopping=False, validation_fraction=0.1, warm_start=False,
                 random_state=None, verbose=False, class_weight=None):  # fmt: skip
        super().__init__(hidden_layer_sizes, activation, module=module, optimizer=optimizer,
                         learning_rate=learning_rate, weight_decay=weight_decay, dropout=dropout,
                         batch_size=batch_size, max_iter=max_iter, tol=tol, n_iter_no_change=n_iter_no_change,
                         early_stopping=early_stopping, validation_fraction=validation_fraction,
                         warm_start=warm_start, random_state=random_state, verbose=verbose)  # fmt: skip
        self.class_weight = class_weight

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    def fit(self, X, y, sample_weight=None):
        """Train on X [N, n_features] and labels y [N], or [N, n_labels] of 0 and 1. Returns self."""
        return self._fit(X, y, sample_weight, self.max_iter, incremental=False, classes=None)

    def partial_fit(self, X, y, classes=None, sample_weight=None):
        """One epoch over X and y; the first call needs all `classes` unless y has them all. Returns self."""
        return self._fit(X, y, sample_weight, 1, incremental=True, classes=classes)

    def _fit(self, X, y, sample_weight, epochs, incremental, classes):
        self._check_settings()
        new = self._is_new(incremental)
        X, y = validate_data(self, X, y, reset=new, dtype=(np.float64, np.float32), multi_output=True)
        check_classification_targets(y)
        y = y.toarray() if issparse(y) else y
        self._check_labels(y, new, classes)
        target = self._encode(y)
        weight = self._weights(X, sample_weight)
        if self.class_weight is not None:
            if self._multilabel:
                raise ValueError(f"{self._name}: class_weight is for one label an example, y has several")
            table = compute_class_weight(self.class_weight, classes=self.classes_, y=self._flat(y))
            of_class = table[np.searchsorted(self.classes_, self._flat(y))].astype(X.dtype)
            weight = of_class if weight is None else weight * of_class
            if not weight.any():
                raise ValueError(f"{self._name}: class_weight leaves every example a weight of 0")
        if new:
            self._start(X, target.shape[1] if target.ndim == 2 else len(self.classes_))
        else:
            self._change_rate()
        target = target.astype(self._dtype) if target.ndim == 2 else target
        self._train(X, target, weight, epochs, stop_early=not incremental)
        return self

    def _flat(self, y):
        return column_or_1d(y) if y.ndim == 2 and y.shape[1] == 1 else y

    def _check_labels(self, y, new, classes):
        multilabel = type_of_target(y) == "multilabel-indicator"
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        found = np.arange(y.shape[1]) if multilabel else unique_labels(y)
        if new:
            self._multilabel = multilabel
            self.classes_ = found if classes is None or multilabel else unique_labels(classes)
        elif multilabel != self._multilabel or (multilabel and len(found) != len(self.classes_)):
            raise ValueError(f"{self._name}: y is not of the kind that was fitted first")
        if not multilabel and np.setdiff1d(found, self.classes_).size:
            raise ValueError(
                f"{self._name}: y holds labels {np.setdiff1d(found, self.classes_).tolist()} that are not among the "
                f"classes {self.classes_.tolist()}"
            )

    def _encode(self, y):
        """[N, outputs] of 0 and 1 for one logit a label, [N] of int64 for one logit a class."""
        if self._multilabel:
            return np.asarray(y)
        index = np.searchsorted(self.classes_, self._flat(y)).astype(np.int64)
        return index[:, None] if len(self.classes_) <= 2 else index

    @staticmethod
    def _loss(output, target):
        if output.ndim == target.ndim:
            return F.binary_cross_entropy_with_logits(output, target, reduction="none").mean(1)
        return F.cross_entropy(output, target, reduction="none")

    def predict_proba(self, X):
        """Probabilities, [N, n_classes]; of several labels each for itself."""
        z = self._outputs(X)
        if self._multilabel or len(self.classes_) <= 2:
            p = 0.5 * (1 + np.tanh(0.5 * z))  # the sigmoid, without overflow
            if self._multilabel:
                return p
            return np.ones_like(p) if len(self.classes_) == 1 else np.concatenate([1 - p, p], 1)
        e = np.exp(z - z.max(1, keepdims=True))
        return e / e.sum(1, keepdims=True)

    def predict(self, X):
        """The most probable label of each row, [N]; 0 or 1 for each label where there are several."""
        p = self.predict_proba(X)
        return (p > 0.5).astype(np.int64) if self._multilabel else self.classes_[p.argmax(1)]


class FastNNRegressor(RegressorMixin, _Network):
    __doc__ = f"""A network that predicts numbers, one or several an example, by the squared error.
{_PARAMETERS}
    Attributes
    ----------
    module_ : nn.Module
        The trained network.
    loss_curve_ : list of float
        The training loss of each epoch.
    n_iter_ : int
        Epochs trained.
    """

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def fit(self, X, y, sample_weight=None):
        """Train on X [N, n_features] and numbers y [N] or [N, n_outputs]. Returns self."""
        return self._fit(X, y, sample_weight, self.max_iter, incremental=False)

    def partial_fit(self, X, y, sample_weight=None):
        """One epoch over X and y. Returns self."""
        return self._fit(X, y, sample_weight, 1, incremental=True)

    def _fit(self, X, y, sample_weight, epochs, incremental):
        self._check_settings()
        new = self._is_new(incremental)
        X, y = validate_data(self, X, y, reset=new, dtype=(np.float64, np.float32), multi_output=True, y_numeric=True)
        y = y.toarray() if issparse(y) else y
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        outputs = 1 if y.ndim == 1 else y.shape[1]
        weight = self._weights(X, sample_weight)
        if new:
            self._flat_target = y.ndim == 1
            self.n_outputs_ = outputs
            self._start(X, outputs)
        elif outputs != self.n_outputs_:
            raise ValueError(f"{self._name}: y has {outputs} outputs, {self.n_outputs_} were fitted first")
        else:
            self._change_rate()
        target = np.asarray(y, self._dtype).reshape(len(y), outputs)
        self._train(X, target, weight, epochs, stop_early=not incremental)
        return self

    @staticmethod
    def _loss(output, target):
        return F.mse_loss(output, target, reduction="none").mean(1)

    def predict(self, X):
        """The predicted numbers, of the shape that y had."""
        z = self._outputs(X)
        return z[:, 0] if self._flat_target else z
