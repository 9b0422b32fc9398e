"""`cmake --install` gives a package that another CMake project finds, compiles against, links and runs.

FASTNN_CPP_BUILD names a build folder of this checkout (.ci/run gives that of the wheel). Without it the library is
compiled once more, which takes minutes: with FASTNN_TEST_FULL=1 only.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def _tool(name):
    """From the environment of this Python first: a test must not depend on what PATH happens to hold."""
    beside = Path(sys.executable).parent / name
    return str(beside) if beside.exists() else shutil.which(name)


def _run(*command):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout


@pytest.mark.skipif(not (ROOT / "CMakeLists.txt").exists(), reason="runs in a checkout, not on an installed package")
@pytest.mark.skipif(
    not (os.environ.get("FASTNN_CPP_BUILD") or os.environ.get("FASTNN_TEST_FULL")),
    reason="compiles the library: with FASTNN_TEST_FULL=1, or FASTNN_CPP_BUILD=a build folder",
)
@pytest.mark.skipif(_tool("cmake") is None, reason="needs cmake")
@pytest.mark.skipif(shutil.which("c++") is None and "CXX" not in os.environ, reason="needs a C++ compiler")
def test_cpp_consumer(tmp_path):
    cmake = _tool("cmake")
    generator = ["-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={_tool('ninja')}"] if _tool("ninja") else []
    # Unoptimised: what is tested is the package, not the kernels. They take most of the time to compile.
    fast = ["-DCMAKE_BUILD_TYPE=Release", "-DCMAKE_CXX_FLAGS_RELEASE=-O0"]
    library, installed, consumer = tmp_path / "library", tmp_path / "installed", tmp_path / "consumer"
    if os.environ.get("FASTNN_CPP_BUILD"):
        library = os.environ["FASTNN_CPP_BUILD"]
    else:
        _run(cmake, "-S", ROOT, "-B", library, "-DFASTNN_PYTHON=OFF", *generator, *fast)
        _run(cmake, "--build", library, "--parallel", str(len(os.sched_getaffinity(0))))
    _run(cmake, "--install", library, "--prefix", installed)
    prefix = [f"-DCMAKE_PREFIX_PATH={installed}"]
    _run(cmake, "-S", ROOT / "tests" / "cpp", "-B", consumer, *prefix, *generator, *fast)
    _run(cmake, "--build", consumer)
    assert _run(consumer / "consumer").strip() == "dw = 9 12"


def test_version_agrees():
    """The compiled module, the Python package and CMakeLists.txt name one version."""
    import fastnn

    assert fastnn.__version__ == fastnn._C.__version__
    if (ROOT / "CMakeLists.txt").exists():
        text = (ROOT / "CMakeLists.txt").read_text()
        assert fastnn.__version__ == re.search(r"project\(fastnn VERSION ([0-9.]+)", text).group(1)
