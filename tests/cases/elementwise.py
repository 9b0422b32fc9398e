"""Cases of the elementwise operations."""

import numpy as np

from cases.case import Case, binary, torch, unary

CASES = [
    Case("add", numpy=np.add, torch=lambda x, y: torch.add(x, y), samples=binary()),
    Case("relu", numpy=lambda x: np.where(x < 0, 0, x), torch=lambda x: torch.relu(x), samples=unary("away")),
]
