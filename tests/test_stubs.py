"""The committed types of the compiled module are those of the module."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import fastnn

ROOT = Path(__file__).resolve().parent.parent
STUB = ROOT / "python" / "fastnn" / "_C.pyi"


@pytest.mark.skipif(not STUB.exists(), reason="runs in a source tree")
def test_stub_is_fresh():
    out = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "make_stubs.py"), "--check"], capture_output=True, text=True
    )
    assert out.returncode == 0, out.stderr


@pytest.mark.skipif(not STUB.exists(), reason="runs in a source tree")
def test_stub_names():
    """The stub is Python, and has every public name of the module."""
    tree = ast.parse(STUB.read_text())
    names = {n.name for n in tree.body if isinstance(n, (ast.FunctionDef, ast.ClassDef))}
    names |= {n.target.id for n in tree.body if isinstance(n, ast.AnnAssign)}
    assert {n for n in vars(fastnn._C) if not n.startswith("_")} <= names


def test_typed_marker():
    assert (Path(fastnn.__file__).parent / "py.typed").exists()


@pytest.mark.skipif(not STUB.exists(), reason="runs in a source tree")
def test_mypy(tmp_path):
    """Type checkers read the stub and understand a small program."""
    pytest.importorskip("mypy")
    program = tmp_path / "program.py"
    program.write_text(
        "import fastnn\n"
        "x: fastnn.Tensor = fastnn.tensor([1.0, 2.0], dtype=fastnn.float64)\n"
        "y: fastnn.Tensor = (x + 1) @ x.T\n"
        "n: int = x.shape[0]\n"
    )
    out = subprocess.run(
        [sys.executable, "-m", "mypy", "--no-incremental", "--follow-imports=silent", str(program)],
        capture_output=True,
        text=True,
        env={"MYPYPATH": str(ROOT / "python"), "PATH": "/usr/bin:/bin"},
    )
    assert out.returncode == 0, out.stdout
