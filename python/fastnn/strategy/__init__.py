"""The strategy of a machine-learning project: where the error comes from, what to do next, which model to take.

>>> print(diagnose(human=0.04, train=0.07, train_dev=0.10, dev=0.12, test=0.12))
>>> check = same_distribution(x_dev, x_test)
>>> select(models, optimize="accuracy", subject_to={"ms": "<=100"}).best
"""

from .choice import Choice, measure, select
from .curves import EpochCurve, LearningCurve, learning_curve
from .diagnosis import REMEDIES, Diagnosis, Gap, diagnose, diagnose_trainer
from .distribution import DistributionCheck, DistributionWarning, ks_test, same_distribution
from .errors import ErrorRow, ErrorTable, LabelImpact, collect_errors, confused_pairs, most_confident_errors
from .matrix import ErrorMatrix

__all__ = [
    "Choice", "Diagnosis", "DistributionCheck", "DistributionWarning", "EpochCurve", "ErrorMatrix", "ErrorRow",
    "ErrorTable", "Gap", "LabelImpact", "LearningCurve", "REMEDIES", "collect_errors", "confused_pairs", "diagnose",
    "diagnose_trainer", "ks_test", "learning_curve", "measure", "most_confident_errors", "same_distribution", "select",
]  # fmt: skip
