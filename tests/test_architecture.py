"""The rules of docs/architecture.md that a machine can check."""

import re
from pathlib import Path

import pytest

import fastnn

ROOT = Path(__file__).resolve().parent.parent
CSRC = ROOT / "csrc"
pytestmark = pytest.mark.skipif(not CSRC.is_dir(), reason="runs in a source tree")

# Which folder may include which: arrows point down. A folder may include itself.
BELOW = {
    "core": {"core"},
    "kernels": {"kernels"},
    "runtime": {"runtime", "kernels", "core"},
    "autograd": {"autograd", "core"},
    "cuda": {"cuda", "core", "kernels"},
    "ops": {"ops", "autograd", "runtime", "core", "kernels", "cuda"},
    "python": {"python", "ops", "autograd", "runtime", "core", "kernels"},
}
# The exceptions, each with its reason.
EXCEPTIONS = {
    ("core/tensor.cpp", "autograd/node.h"): "a tensor owns its node, and must see the type to delete it",
    ("core/tensor.cpp", "runtime/allocator.h"): "storage comes from the allocator",
    ("core/tensor.cpp", "runtime/launch.h"): "a number is written through the one door, so that a captured step has it",
    ("kernels/parallel.h", "runtime/thread_pool.h"): "function pointers and sizes only",
    ("kernels/peak_cpu.cpp", "runtime/peak.h"): "declares the kernels that measure the machine",
    ("runtime/capture.h", "autograd/node.h"): "a replay leaves the gradients that the recorded step left",
    ("autograd/history.cpp", "ops/elementwise/elementwise.h"): "gradients are copied and filled by the copy kernels",
    ("autograd/tape.cpp", "ops/elementwise/elementwise.h"): "gradients are added by the addition kernel",
}
LIMIT = 500  # lines of a file; about 400 is the aim


def sources(*suffixes):
    return sorted(p for p in CSRC.rglob("*") if p.suffix in suffixes)


def includes(path):
    return re.findall(r'^\s*#\s*include\s+"([^"]+)"', path.read_text(), re.M)


def layer(path):
    """The folder that a source belongs to; a *_py.cpp belongs to python wherever it lies."""
    return "python" if path.name.endswith("_py.cpp") else path.relative_to(CSRC).parts[0]


def test_arrows_point_down():
    wrong = []
    for path in sources(".h", ".cpp"):
        name = str(path.relative_to(CSRC))
        for target in includes(path):
            top = target.split("/")[0]
            if "/" not in target or not (CSRC / top).is_dir():
                continue
            if top not in BELOW[layer(path)] and (name, target) not in EXCEPTIONS:
                wrong.append(f"{name} includes {target}")
    assert wrong == []


def test_exceptions_are_used():
    used = {(str(p.relative_to(CSRC)), t) for p in sources(".h", ".cpp") for t in includes(p)}
    assert set(EXCEPTIONS) - used == set()


def reachable(path, seen):
    """All project headers that a source sees."""
    for target in includes(path):
        for found in (CSRC / target, path.parent / target):
            if found.is_file() and found not in seen:
                seen.add(found)
                reachable(found, seen)
    return seen


@pytest.mark.parametrize("path", [str(p.relative_to(CSRC)) for p in sources(".cpp") if p.name.endswith("_cpu.cpp")])
def test_kernels_know_no_tensor(path):
    """Kernels use pointers and sizes. (The header that declares a kernel may show the operation's function as well.)"""
    seen = {str(p.relative_to(CSRC)) for p in reachable(CSRC / path, set())}
    assert not {p for p in seen if p in ("autograd/node.h", "autograd/op.h", "runtime/launch.h")}
    assert not {p for p in seen if p.split("/")[0] == "python"}
    text = re.sub(r"//[^\n]*|/\*.*?\*/", "", (CSRC / path).read_text(), flags=re.S)
    assert not re.search(r"\bTensor\b", text), "a kernel names Tensor"
    assert "FASTNN_ISA" in text, "everything in a kernel file lives in the namespace of its instruction set"


def test_intrinsics_stay_in_their_files():
    """Vector intrinsics appear in the vector layer and the GEMM tile only."""
    allowed = {f"kernels/simd{part}.h" for part in ("", "_single", "_bytes", "_math")} | {"kernels/peak_cpu.cpp"}
    wrong = [
        str(p.relative_to(CSRC))
        for p in sources(".h", ".cpp")
        if re.search(r"\b_mm(256|512)?_\w+\(|\bimmintrin\.h", p.read_text())
        and str(p.relative_to(CSRC)) not in allowed
        and not p.name.startswith("gemm_")
    ]
    assert wrong == []


def test_launch_is_the_only_door():
    """Nothing calls a kernel of one instruction set by name."""
    wrong = [
        str(p.relative_to(CSRC))
        for p in sources(".cpp")
        if not p.name.endswith("_cpu.cpp") and re.search(r"\b(avx512|avx2|baseline|neon)::\w+\(", p.read_text())
    ]
    assert wrong == []


def test_nothing_ends_the_process():
    """No assert, abort or exit can be reached from input."""
    wrong = [
        f"{p.relative_to(CSRC)}: {m.group(0)}"
        for p in sources(".h", ".cpp", ".cu")
        if not p.name.startswith("emulated")  # a tool of the tests
        for m in re.finditer(r"(?<![\w.])(assert|abort|exit|_exit|terminate)\(", re.sub(r"//[^\n]*", "", p.read_text()))
    ]
    assert wrong == []


def test_files_are_short():
    files = [p for folder in ("csrc", "python", "tests", "bench", "tools") for p in (ROOT / folder).rglob("*")]
    long = {
        str(p.relative_to(ROOT)): n
        for p in files
        if p.suffix in (".h", ".cpp", ".py", ".cuh", ".cu") and (n := len(p.read_text().splitlines())) > LIMIT
    }
    assert long == {}


def entries():
    return re.findall(r"^(FAMILY|OP)\((\w+)(?:,\s*(\w+))?\)", (CSRC / "ops" / "ops.inc").read_text(), re.M)


def test_the_list_is_the_module():
    """ops.inc, the folders and the module agree."""
    families = [f for kind, f, _ in entries() if kind == "FAMILY"]
    ops = [(f, o) for kind, f, o in entries() if kind == "OP"]
    assert len(set(families)) == len(families) and len(set(ops)) == len(ops)
    assert {f for f, _ in ops} <= set(families)
    assert sorted(ops) == sorted(fastnn._C.OPS)
    for family in families:
        assert list((CSRC / "ops").rglob(f"{family}_py.cpp")), f"{family}: no {family}_py.cpp"


def test_every_public_operation_is_in_the_list():
    """A function of the module that takes a tensor is an operation of the list, or named here."""
    others = set(
        "as_tensor tensor from_numpy from_dlpack get_num_threads set_num_threads isa isa_found set_isa "
        "memory_stats set_matmul_precision get_matmul_precision reset_peak_memory empty_cache manual_seed "
        "get_rng_state set_rng_state is_grad_enabled measure_peaks get_default_device set_default_device".split()
    )
    ops = {o for _, o in fastnn._C.OPS}
    public = {
        n
        for n, o in vars(fastnn._C).items()
        if not n.startswith("_")
        and callable(o)
        and n not in ("Tensor", "dtype", "device", "CaptureError", "DeviceError")
    }
    assert sorted(public - others - ops) == []
