"""`import fastnn` loads NumPy and the compiled core, and nothing heavy."""

import subprocess
import sys

HEAVY = "torch matplotlib sklearn h5py pooch PIL pandas scipy tqdm onnx jax tensorflow multiprocessing asyncio".split()


def run(code):
    """Standard output of a fresh interpreter."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_no_heavy_module():
    loaded = set(run("import sys, fastnn; print(*sys.modules)").split())
    without = set(run("import sys, numpy; print(*sys.modules)").split())
    assert [m for m in HEAVY if m in loaded - without] == []


def test_few_modules():
    """What fastnn adds to NumPy's own imports is mostly fastnn."""
    added = set(run("import sys, fastnn; print(*sys.modules)").split()) - set(
        run("import sys, numpy; print(*sys.modules)").split()
    )
    assert len([m for m in added if not m.startswith("fastnn")]) <= 10, sorted(added)


def test_parts_load_when_used():
    out = run("import sys, fastnn; a = 'fastnn.nn' in sys.modules; fastnn.nn; print(a, 'fastnn.nn' in sys.modules)")
    assert out.split() == ["False", "True"]


def test_unknown_attribute():
    out = run("import fastnn\ntry:\n    fastnn.nothing\nexcept AttributeError as e:\n    print(e)")
    assert "no attribute 'nothing'" in out


def test_public_names():
    """`from fastnn import *` and dir() offer the public names and no private one."""
    out = run("from fastnn import *\nprint(*[n for n in dir() if not n.startswith('__')])").split()
    assert "Tensor" in out and "no_grad" in out and not [n for n in out if n.startswith("_")]


def test_dir_promises_nothing_that_is_not_there():
    assert run("import fastnn\nprint(*[n for n in dir(fastnn) if not hasattr(fastnn, n)])").split() == []
