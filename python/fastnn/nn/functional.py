"""One function an operation, with PyTorch's argument names (the first argument is called ``x``).

Most are the compiled functions themselves; what is written here is a formula over them that needs no kernel of its own.
"""

from .._C import *  # noqa: F403
