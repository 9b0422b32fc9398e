"""cuBLAS through ctypes, the yardstick of the matrix products where PyTorch is not installed."""

import ctypes
import glob
import os

import numpy as np

KINDS = {"float32": (0, 68), "tf32": (0, 77), "bf16": (14, 68)}  # cudaDataType of A and B, cublasComputeType


def _library():
    names = ["libcublas.so", "libcublas.so.13", "libcublas.so.12"]
    for folder in (os.environ.get("CUDA_HOME", ""), "/usr/local/cuda"):
        names += sorted(glob.glob(f"{folder}/lib64/libcublas.so*")) + sorted(
            glob.glob(f"{folder}/targets/*/lib/libcublas.so*")
        )
    for name in names:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    return None


class Cublas:
    """Row-major c = a b of n x n matrices."""

    def __init__(self):
        self.library = _library()
        self.handle = ctypes.c_void_p()
        if self.library is None or self.library.cublasCreate_v2(ctypes.byref(self.handle)) != 0:
            self.library = None

    def product(self, kind, n):
        """(call, result as an array of its first row) on matrices of its own; None where there is no cuBLAS."""
        import fastnn

        if self.library is None:
            return None
        kinds, compute = KINDS[kind]
        rng = np.random.default_rng(1)
        wide = rng.standard_normal((2, n, n), dtype=np.float32)
        if kind == "bf16":  # the upper halves of float32, in pairs
            wide = (wide.view(np.uint32) >> 16).astype(np.uint16).view(np.int32)
        else:
            wide = wide.view(np.int32)
        a, b = (fastnn.from_numpy(np.ascontiguousarray(half)).to("cuda:0") for half in wide)
        c = fastnn.zeros((n, n), device="cuda:0")
        one, zero = ctypes.c_float(1), ctypes.c_float(0)
        p = ctypes.c_void_p
        arguments = [self.handle, 0, 0, n, n, n, ctypes.byref(one), p(b.data_ptr()), kinds, n]
        arguments += [p(a.data_ptr()), kinds, n, ctypes.byref(zero), p(c.data_ptr()), 0, n, compute, -1]
        fastnn.cuda.synchronize()

        def call():
            if self.library.cublasGemmEx(*arguments) != 0:
                raise RuntimeError("cublasGemmEx failed")

        call.keep = a, b, c
        return call
