"""Matrix products at the three precisions, beside cuBLAS (through PyTorch, else itself)."""

import numpy as np

from .measure import compare, relative, timed, torch_cuda

LEAST = {"float32": 0.8, "tf32": None, "bf16": 0.7}  # of cuBLAS
BOUND = {"float32": 1e-5, "tf32": 1e-2, "bf16": 1e-2}


def _torch_call(torch, kind, n):
    torch.backends.cuda.matmul.allow_tf32 = kind == "tf32"
    dtype = torch.bfloat16 if kind == "bf16" else torch.float32
    a, b = (torch.randn(n, n, device="cuda", dtype=dtype) for _ in range(2))
    c = torch.empty_like(a)
    return lambda: torch.mm(a, b, out=c)


def run(options):
    import fastnn
    from fastnn import cuda

    from .cublas import Cublas

    torch, cublas = torch_cuda(), Cublas()
    rng = np.random.default_rng(0)
    for n in (64, 128) if options.tiny else (4096, 8192):
        host = [rng.standard_normal((n, n), dtype=np.float32) for _ in range(2)]
        a, b = (fastnn.from_numpy(x).to("cuda:0") for x in host)
        rows = np.unique(np.linspace(0, n - 1, 6).astype(int))
        want = host[0][rows].astype(np.float64) @ host[1].astype(np.float64)
        for kind in LEAST:
            if options.late():
                return
            try:
                fastnn.set_matmul_precision(kind)
            except ValueError as error:
                yield {"name": f"{kind} {n}", "note": f"not offered: {error}"}
                continue
            with fastnn.no_grad():
                off = relative((a @ b)[fastnn.tensor(rows, device="cuda:0")].cpu().numpy(), want)
                seconds = timed(lambda a=a, b=b: a @ b, cuda.synchronize)
            made = {
                "name": f"{kind} {n}",
                "value": 2e-12 * n**3 / seconds,
                "unit": "TFLOP/s",
                "note": f"error {off:.0e}",
            }
            if off > BOUND[kind]:
                made |= {"ok": False, "note": f"error {off:.1e}, expected < {BOUND[kind]:g}"}
            if torch:
                peer = timed(_torch_call(torch, kind, n), torch.cuda.synchronize)
            else:
                call = cublas.product(kind, n)
                peer = timed(call, cuda.synchronize) if call else None
            wrong = made.get("ok") is False
            if peer:
                compare(made, "cuBLAS", seconds, peer, LEAST[kind])
            yield made | ({"ok": False} if wrong else {})
        fastnn.set_matmul_precision("float32")
