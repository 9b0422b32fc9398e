"""Optimisers: one fused kernel call per parameter and step. Schedules are in ``fastnn.optim.lr_scheduler``."""

from . import lr_scheduler
from .adam import Adam, AdamW
from .adaptive import Adadelta, Adagrad, RMSprop
from .averaging import WeightAverage, exponentially_weighted_average
from .optimizer import Optimizer
from .sgd import SGD

__all__ = ["SGD", "Adadelta", "Adagrad", "Adam", "AdamW", "Optimizer", "RMSprop", "WeightAverage",
           "exponentially_weighted_average", "lr_scheduler"]  # fmt: skip
