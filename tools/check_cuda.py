"""What ptxas says of the compiled CUDA kernels, and which tensor-core instructions are in them; for check_cuda.sh.

    python tools/check_cuda.py LOG BUILD_DIR NVCC

LOG is the output of a build with ``-Xptxas -v``. A kernel of the list below may not spill registers; the sources of
matrix products must hold instructions for tensor cores, read from the machine code with cuobjdump where it is, else
from PTX.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# Parts of the names of kernels that decide the speed of training, or of their sources (which are part of the names that
# ptxas prints); the others may spill a few registers.
HOT = [
    "gemm",
    "conv",
    "lstm",
    "gru",
    "softmax",
    "norm",
    "ternary",
    "binary",
    "unary",
    "reduce",
    "copy",
    "adam",
    "sgd",
    "pool",
    "embedding",
    "cross_entropy",
    "random_fill",
    "nms",
]

# Sources, architecture, instruction of its machine code, instruction of its PTX.
TENSOR_CORES = [
    ("*_tensor_cuda.cu", "80", r"\bHMMA\b", r"\bmma\.sync"),
    ("*_wgmma_cuda.cu", "90a", r"\bHGMMA\b", r"\bwgmma\.mma_async"),
]


def kernels(text):
    """(kernel, architecture, bytes of spill stores and loads, registers) of what ptxas -v printed."""
    found, entry, spills = [], None, 0
    for line in text.splitlines():
        if match := re.search(r"Compiling entry function '(\S+)' for '(\S+)'", line):
            entry, spills = match.groups(), 0
        elif match := re.search(r"(\d+) bytes spill stores, (\d+) bytes spill loads", line):
            spills = int(match[1]) + int(match[2])
        elif (match := re.search(r"Used (\d+) registers", line)) and entry:
            found.append((*entry, spills, int(match[1])))
            entry = None
    return found


def plain(names):
    """Demangled, where c++filt is."""
    if not shutil.which("c++filt") or not names:
        return names
    return subprocess.run(["c++filt"], input="\n".join(names), capture_output=True, text=True).stdout.splitlines()


def check_spills(log):
    found = kernels(log.read_text(errors="replace"))
    if not found:
        print(f"ptxas reports nothing in {log}")
        return 1
    spilling = [(name, arch, spills) for name, arch, spills, _ in found if spills]
    bad = 0
    for (symbol, arch, spills), name in zip(spilling, plain([name for name, _, _ in spilling]), strict=True):
        hot = any(word in symbol.lower() for word in HOT)
        bad += hot
        print(f"{'spills' if hot else 'spills (not hot)'}: {spills} bytes, {arch}: {name[:150]}")
    # ptxas only mentions it: the instructions of a warpgroup wait for each other, at a fraction of the speed.
    waiting = [line for line in log.read_text(errors="replace").splitlines() if "instructions are serialized" in line]
    for line in waiting:
        print(line.strip()[:250])
    archs = sorted({arch for _, arch, _, _ in found})
    print(f"{len(found)} kernels for {', '.join(archs)}; {len(spilling)} spill, {bad} of them hot")
    return bad + len(waiting)


def instructions(source, arch, build, nvcc):
    """Machine code of the object where cuobjdump is, else PTX; and which of the two it is."""
    tool = shutil.which("cuobjdump") or str(Path(nvcc).resolve().parent / "cuobjdump")
    objects = [path for path in build.rglob("*.o") if path.name.startswith(source.name)]
    if Path(tool).is_file() and objects:
        command = [tool, "-sass", "-arch", f"sm_{arch}", str(objects[0])]
        return subprocess.run(command, capture_output=True, text=True).stdout, "machine code"
    out = build / f"{source.stem}.ptx"  # a file: nvcc lets ptxas read what it wrote
    command = [nvcc, "-std=c++17", "--expt-relaxed-constexpr", "-DFASTNN_CUDA", f"-I{ROOT / 'csrc'}", "-ptx",
               f"-arch=compute_{arch}", "-o", str(out), str(source)]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    if done.returncode:
        print(done.stderr[-2000:])
    return out.read_text() if out.is_file() else "", "PTX"


def check_tensor_cores(build, nvcc):
    bad = 0
    for pattern, arch, sass, ptx in TENSOR_CORES:
        sources = sorted(ROOT.glob(f"csrc/ops/*/{pattern}"))
        if not shutil.which("cuobjdump"):  # each source is compiled once more then: one has to do
            sources = [source for source in sources if source.name.startswith("gemm")]
        if not sources:
            print(f"sm_{arch}: there is no {pattern}")
        for source in sources:
            text, kind = instructions(source, arch, build, nvcc)
            count = len(re.findall(sass if kind == "machine code" else ptx, text))
            bad += count == 0
            print(f"sm_{arch}: {source.name}: {count} tensor-core instructions in its {kind}")
    return bad


if __name__ == "__main__":
    output, folder, compiler = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    sys.exit(1 if check_spills(output) + check_tensor_cores(folder, compiler) else 0)
