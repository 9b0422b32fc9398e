"""The list of operations and the list of cases are the same list."""

import pytest
from cases import CASES

import fastnn

COVERED = {name for c in CASES for name in (c.op, *c.also)}


@pytest.mark.parametrize("family, name", fastnn._C.OPS, ids=[f"{f}.{n}" for f, n in fastnn._C.OPS])
def test_has_case(family, name):
    """Every operation of ops.inc has a case."""
    assert name in COVERED, f"{family}.{name} has no case: add one to tests/cases/{family}.py"


def test_no_stale_case():
    """Every case belongs to an operation of the list, and none is there twice."""
    names = [n for _, n in fastnn._C.OPS]
    assert sorted(COVERED - set(names)) == []
    assert len(names) == len(set(names))
    ops = [c.op for c in CASES]
    assert len(ops) == len(set(ops))


@pytest.mark.parametrize("case", CASES, ids=[c.op for c in CASES])
def test_case_is_whole(case):
    """A case has a reference or a check, samples, and a reason where its tolerance is wide."""
    assert case.numpy or case.check, f"{case.op}: neither numpy nor check"
    assert case.samples, f"{case.op}: no samples"
    if case.tol32[0] > 1e-5 or case.tol64[0] > 1e-11:
        assert case.why != type(case).__dataclass_fields__["why"].default, f"{case.op}: say why it needs {case.tol32}"
