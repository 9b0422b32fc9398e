"""Hyperparameter tuning: spaces on the right scale, searches that survive a kill, and watching over a single run.

>>> space = Space(lr=LogUniform(1e-4, 1), beta1=OneMinusLog(0.9, 0.999), units=Integer(50, 100))
>>> study = tune(objective, space, RandomSearch(20, seed=0), folder="runs/search", workers=2)
>>> study.best.config, study.table()

Many runs at once is the course's "caviar", one run that is tended like a panda is `Panda`.
"""

from .methods import CoarseToFine, Grid, Hyperband, Optuna, RandomSearch, SuccessiveHalving
from .panda import Panda
from .space import Choice, Integer, LogUniform, OneMinusLog, Space, Uniform, course_space
from .study import Study, Trial, tune

__all__ = [
    "Choice", "CoarseToFine", "Grid", "Hyperband", "Integer", "LogUniform", "OneMinusLog", "Optuna", "Panda",
    "RandomSearch", "Space", "Study", "SuccessiveHalving", "Trial", "Uniform", "course_space", "tune",
]  # fmt: skip
