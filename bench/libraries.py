"""How each library is started, limited to a number of threads, and read back as NumPy arrays.

A variant such as ``torch-compile`` or ``numpy-skx`` is the library before the dash with something changed; ``-keep``
after any name runs it with a malloc that returns nothing to the system.
"""

import importlib
import importlib.metadata
import os

import numpy as np

#: Module to import, and distributions whose versions belong in the report.
MODULES = {
    "fastnn": ("fastnn", ["fastnn-native"]),
    "numpy": ("numpy", ["numpy"]),
    "torch": ("torch", ["torch"]),
    "jax": ("jax", ["jax", "jaxlib"]),
    "onnxruntime": ("onnxruntime", ["onnxruntime"]),
}
#: What holds a library to an older instruction set. ONNX Runtime has no such switch.
HELD_TO = {
    "avx2": {
        "ATEN_CPU_CAPABILITY": "avx2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "OPENBLAS_CORETYPE": "Haswell",
        "XLA_FLAGS": "--xla_cpu_max_isa=AVX2",
        "FASTNN_ISA": "avx2",
    },
    "baseline": {"FASTNN_ISA": "baseline"},
}


def base(lib):
    return lib.split("-")[0]


def plain(lib):
    """The name without "-keep", which changes how the process is started and nothing else."""
    return lib.removesuffix("-keep")


def precision(lib):
    """Ratios are only made between libraries that compute in the same precision."""
    return "bf16" if lib.endswith("-bf16") else "f32"


def environment(lib, threads, isa=None):
    """Variables that must be set before the process starts."""
    env = {**os.environ, **HELD_TO.get(isa, {})}
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "FASTNN_NUM_THREADS"):
        env[name] = str(threads)
    env["JAX_PLATFORMS"] = "cpu"
    if lib == "numpy-skx":  # OpenBLAS takes some AVX-512 processors for AVX2 ones; this forces its AVX-512 kernels
        env["OPENBLAS_CORETYPE"] = "SkylakeX"
    if lib.endswith("-keep"):  # malloc keeps what is freed, so that large results do not fault in new pages every time
        env |= {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 40), "MALLOC_TOP_PAD_": str(64 << 20)}
    return env


def installed(lib):
    return importlib.util.find_spec(MODULES[base(lib)][0]) is not None


def versions(libs):
    found = {}
    for lib in libs:
        for distribution in MODULES[base(lib)][1]:
            try:
                found[distribution] = importlib.metadata.version(distribution)
            except importlib.metadata.PackageNotFoundError:
                found[distribution] = "not installed as a distribution"
    return found


def start(lib, threads):
    """Import the library in this process and limit its threads."""
    module = importlib.import_module(MODULES[base(lib)][0])
    if base(lib) == "torch":
        module.set_num_threads(threads)
    if base(lib) == "fastnn":
        module.set_num_threads(threads)
    return module


def to_numpy(value):
    """Results of any library as a flat list of NumPy arrays."""
    if isinstance(value, (list, tuple)):
        return [array for item in value for array in to_numpy(item)]
    if hasattr(value, "detach"):
        value = value.detach()
        if str(value.dtype) == "torch.bfloat16":
            value = value.float()
        value = value.numpy()
    return [np.asarray(value)]


def onnx_session(nodes, inputs, constants, threads, opset=17, out=None):
    """An ONNX Runtime session of a graph with one output, named ``out``, of type `out` (float by default).

    `inputs` maps names to example arrays, `constants` names to arrays baked into the graph.
    """
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    kinds = {"float32": TensorProto.FLOAT, "int64": TensorProto.INT64, "bool": TensorProto.BOOL}
    graph = helper.make_graph(
        nodes,
        "case",
        [helper.make_tensor_value_info(n, kinds[str(x.dtype)], x.shape) for n, x in inputs.items()],
        [helper.make_tensor_value_info("out", out or TensorProto.FLOAT, None)],
        [numpy_helper.from_array(x, n) for n, x in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = 9
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
