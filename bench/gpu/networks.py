"""Whole training steps, captured, beside PyTorch's eager ones; the losses of the first steps against the CPU's."""

import numpy as np

from .measure import relative, timed, torch_cuda

LEAST = 1.5  # times PyTorch


def run(options):
    from builders import nets_fastnn, nets_torch, train_fastnn, train_torch
    from suites import train, train_images

    import fastnn
    from fastnn import cuda

    torch = torch_cuda()
    cases = [(train, train.CASES[1], train_fastnn, train_torch)]
    cases += [(train_images, case, nets_fastnn, nets_torch) for case in train_images.CASES]
    for suite, case, ours, theirs in cases:
        if options.late():
            return
        p = suite.tiny(case.params) if options.tiny and hasattr(suite, "tiny") else case.params
        v = suite.inputs(p, case.rng())
        try:
            want = ours.build(p, v, 0).result()
            with fastnn.device("cuda:0"):
                step = ours.build_captured(p, v, 0)
                off = relative(step.result(), want)
                seconds = timed(step, cuda.synchronize)
                eager = timed(ours.build(p, v, 0), cuda.synchronize)
        except Exception as problem:  # noqa: BLE001 (the other rows go on)
            yield {"name": case.name, "ok": False, "note": f"{type(problem).__name__}: {problem}"[:250]}
            continue
        made = {"name": f"{case.name}, captured", "value": 1e6 * seconds, "unit": "us", "ok": bool(off < 1e-3),
                "note": f"eager {1e6 * eager:.0f} us; losses differ from the CPU's by {off:.0e}"}  # fmt: skip
        if torch:
            torch.set_default_device("cuda")
            try:
                peer = timed(theirs.build(p, v, 0), torch.cuda.synchronize)
            finally:
                torch.set_default_device(None)
            made |= {"peer": "PyTorch eager", "peer_value": 1e6 * peer, "ratio": peer / seconds}
            made |= {"target": f">= {LEAST} x", "ok": bool(off < 1e-3 and peer >= LEAST * seconds)}
        yield made


np.seterr(all="ignore")
