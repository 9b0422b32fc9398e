"""Matrix products in bfloat16: operands rounded to 8 bits, sums in float32. The ratio is fastnn's to PyTorch's."""

from suites import gemm

TITLE = "Matrix products, bfloat16"
LIBS = ["fastnn-bf16", "torch-bf16", "fastnn"]
SUBJECT = "fastnn-bf16"
CASES = [case for case in gemm.CASES if "gemv" not in case.name]
inputs, reference, tiny = gemm.inputs, gemm.reference, gemm.tiny


def _fastnn(p, x, threads):
    import fastnn

    fastnn.set_matmul_precision("bf16")
    return gemm.BUILDERS["fastnn"](p, x, threads)


BUILDERS = {
    "fastnn-bf16": _fastnn,
    "torch-bf16": gemm.BUILDERS["torch-bf16"],
    "fastnn": gemm.BUILDERS["fastnn"],
}
