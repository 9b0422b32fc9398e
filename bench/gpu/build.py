"""Builds the CPU module and the CUDA plug-in side by side with plain cmake; says what is missing where it cannot."""

import importlib.util
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
VENDOR = ROOT / "build" / "vendor"  # packages that were carried here


def find_nvcc():
    """The CUDA compiler, or None."""
    for path in (os.environ.get("CUDACXX"), shutil.which("nvcc"), "/usr/local/cuda/bin/nvcc"):
        if path and (shutil.which(path) or Path(path).is_file()):
            return path
    return None


def find_pybind11():
    """The folder of pybind11's CMake files, or None."""
    places = []
    spec = importlib.util.find_spec("pybind11")
    if spec and spec.submodule_search_locations:
        places += spec.submodule_search_locations
    places.append(VENDOR / "pybind11")
    for place in places:
        folder = Path(place) / "share" / "cmake" / "pybind11"
        if folder.is_dir():
            return folder
    return None


def missing():
    """What this machine lacks, in words."""
    lacks = []
    for module in ("numpy",):
        if importlib.util.find_spec(module) is None:
            lacks.append(f"the Python package {module}")
    if find_pybind11() is None:
        lacks.append(f"pybind11 3 (installed, or its package folder copied to {VENDOR / 'pybind11'})")
    if not shutil.which("cmake"):
        lacks.append("cmake")
    if not shutil.which(os.environ.get("CXX", "g++")):
        lacks.append("a C++17 compiler")
    if find_nvcc() is None:
        lacks.append("nvcc ($CUDACXX, PATH, /usr/local/cuda/bin)")
    return lacks


def build(out, report, deadline):
    """(folder for PYTHONPATH, plug-in or None); the rows of the report say what happened."""
    lacks = missing()
    if lacks:
        for what in lacks:
            report.fail("build", "missing", what)
        return ROOT / "python", None
    generator = ["-G", "Ninja"] if shutil.which("ninja") else []
    jobs = str(max(1, len(os.sched_getaffinity(0)) // 2))
    nvcc = find_nvcc()
    cpu, cuda = out / "cpu", out / "cuda"
    configure = {
        cpu: [f"-Dpybind11_DIR={find_pybind11()}", f"-DPython_EXECUTABLE={sys.executable}", str(ROOT)],
        cuda: [f"-DCMAKE_CUDA_COMPILER={nvcc}", f"-DCMAKE_CUDA_ARCHITECTURES={architectures()}", str(ROOT / "cuda")],
    }
    target = {cpu: "_C", cuda: "fastnn_cuda"}
    start, running = time.monotonic(), {}
    for folder, options in configure.items():
        script = (
            f'cmake {" ".join(generator)} -B "$0" "${{@:2}}" && cmake --build "$0" --target {target[folder]} -j {jobs}'
        )
        log = open(out / f"build-{folder.name}.log", "w")  # noqa: SIM115 (the process holds it)
        command = ["bash", "-c", script, str(folder), "-", *options]
        running[folder] = subprocess.Popen(command, stdout=log, stderr=log), log
    for folder, (process, log) in running.items():
        try:
            code = process.wait(max(1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            code = "no end in time"
        log.close()
        row = {"name": f"{target[folder]}", "value": time.monotonic() - start, "unit": "s", "ok": code == 0}
        report.add("build", row if code == 0 else {**row, "note": f"{code}: {_errors(log.name)}"})
    package = stage(out, cpu)
    plugin = cuda / "csrc_cuda" / "libfastnn_cuda.so"
    return package, plugin if plugin.is_file() and any(cpu.glob("_C*.so")) else None


def architectures():
    """Of the GPU here, where nvidia-smi tells (half the time of both); else the two that are released."""
    try:
        text = subprocess.run(
            ["nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=30,
        ).stdout
        found = {"9.0": "90a-real", "8.0": "80-real"}.get(text.split()[0])
    except (OSError, IndexError, subprocess.TimeoutExpired):
        found = None
    return found or "80;90a-real"


def stage(out, cpu):
    """The package with the built module, apart from the checkout's own."""
    package = out / "python"
    shutil.rmtree(package, ignore_errors=True)
    shutil.copytree(
        ROOT / "python" / "fastnn", package / "fastnn", ignore=shutil.ignore_patterns("*.so", "__pycache__")
    )
    for module in cpu.glob("_C*.so"):
        shutil.copy2(module, package / "fastnn")
    return package


def _errors(log):
    """The first errors of a log."""
    text = Path(log).read_text(errors="replace").splitlines()
    found = [line for line in text if "error" in line.lower()] or text[-3:]
    return " / ".join(found[:3])[:300]
