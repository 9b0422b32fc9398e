"""The strategy of a machine-learning project: where the error comes from, what to do next, which model to take.

>>> print(diagnose(human=0.04, train=0.07, train_dev=0.10, dev=0.12, test=0.12))
>>> check = same_distribution(x_dev, x_test)
"""

from .distribution import DistributionCheck, DistributionWarning, ks_test, same_distribution

__all__ = ["DistributionCheck", "DistributionWarning", "ks_test", "same_distribution"]
