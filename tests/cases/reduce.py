"""Cases of the reductions."""

from cases.case import Case, reductions, torch

SUM = "a tree of float32 additions: log2(n) roundings of partial sums no larger than sum |x|"


def axes(dim):
    """NumPy's axis of a dim."""
    return tuple(dim) if isinstance(dim, list | tuple) else dim


CASES = [
    Case(
        "sum",
        numpy=lambda x, dim=None, keepdim=False: x.sum(axis=axes(dim), keepdims=keepdim),
        torch=lambda x, dim=None, keepdim=False: torch.sum(x, dim=dim, keepdim=keepdim),
        samples=reductions(),
        tol32=(2e-6, 2e-5),
        tol64=(1e-13, 1e-11),
        why=SUM,
    ),
]
