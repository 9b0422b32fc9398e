"""What memory bandwidth limits, as a share of the measured copy; then convolutions, LSTM and suppression of boxes."""

import numpy as np

from .measure import compare, relative, row, timed, torch_cuda

SHARE = 0.85  # of the copy's bandwidth


def memory_cases(F, fastnn, rows, cols):
    """(name, fastnn call, PyTorch call of (torch, x, y), passes over the data) on x, y [rows, cols]."""
    weight = lambda t: t.ones(cols, device="cuda")  # noqa: E731
    return [
        ("add", lambda x, y: x + y, lambda t, x, y: x + y, 3),
        ("exp", lambda x, y: fastnn.exp(x), lambda t, x, y: t.exp(x), 2),
        ("gelu", lambda x, y: F.gelu(x), lambda t, x, y: t.nn.functional.gelu(x), 2),
        ("sum, rows", lambda x, y: x.sum(1), lambda t, x, y: x.sum(1), 1),
        ("sum, columns", lambda x, y: x.sum(0), lambda t, x, y: x.sum(0), 1),
        ("transpose", lambda x, y: x.T.contiguous(), lambda t, x, y: x.T.contiguous(), 2),
        ("softmax", lambda x, y: F.softmax(x, 1), lambda t, x, y: t.softmax(x, 1), 2),
        ("layer norm", lambda x, y: F.layer_norm(x, (cols,), weight(fastnn), weight(fastnn)),
         lambda t, x, y: t.nn.functional.layer_norm(x, (cols,), weight(t), weight(t)), 2),
        ("dropout", lambda x, y: F.dropout(x, 0.5), lambda t, x, y: t.nn.functional.dropout(x, 0.5), 2),
    ]  # fmt: skip


def run(options):
    import fastnn
    from fastnn import cuda
    from fastnn.nn import functional as F

    torch = torch_cuda()
    rows, cols = (64, 96) if options.tiny else (32768, 2048)
    nbytes = 4e-9 * rows * cols
    rng = np.random.default_rng(0)
    host = rng.standard_normal((rows, cols), dtype=np.float32)
    with fastnn.no_grad(), fastnn.device("cuda:0"):
        x = fastnn.from_numpy(host).to("cuda:0")
        y = fastnn.zeros_like(x)
        seconds = timed(lambda: y.copy_(x), cuda.synchronize)
        copy = 2 * nbytes / seconds
        if torch:
            tx = torch.from_numpy(host).cuda()
            ty = torch.empty_like(tx)
            copy = max(copy, 2 * nbytes / timed(lambda: ty.copy_(tx), torch.cuda.synchronize))
        yield {"name": f"copy {rows} x {cols}", "value": 2 * nbytes / seconds, "unit": "GB/s",
               "note": f"{copy:.0f} GB/s is what the others are a share of"}  # fmt: skip
        for name, ours, theirs, passes in memory_cases(F, fastnn, rows, cols):
            if options.late():
                return
            try:
                seconds = timed(lambda ours=ours: ours(x, y), cuda.synchronize, 0.15)
                made = row(name, seconds, passes * nbytes, "GB/s", SHARE, copy)
                if torch:
                    peer = timed(lambda theirs=theirs: theirs(torch, tx, ty), torch.cuda.synchronize, 0.15)
                    compare(made, "PyTorch", seconds, peer)
            except Exception as problem:  # noqa: BLE001 (the other rows go on)
                made = {"name": name, "ok": False, "note": f"{type(problem).__name__}: {problem}"[:200]}
            yield made
    for part in (batch_norm, convolutions, lstm, suppression):
        if options.late():
            return
        try:
            yield from part(options, torch, copy)
        except Exception as problem:  # noqa: BLE001
            yield {"name": part.__name__, "ok": False, "note": f"{type(problem).__name__}: {problem}"[:200]}


def batch_norm(options, torch, copy):
    """In training: the data is read twice and written once."""
    import fastnn
    from fastnn import cuda, nn

    shape = (4, 6, 6, 8) if options.tiny else (256, 56, 56, 64)
    x = fastnn.randn(*shape, device="cuda:0")
    layer = nn.BatchNorm2d(shape[-1]).to("cuda:0")
    with fastnn.no_grad():
        seconds = timed(lambda: layer(x), cuda.synchronize, 0.15)
    made = row("batch norm, training", seconds, 12e-9 * x.numel(), "GB/s", SHARE, copy)
    if torch:
        tx = torch.randn(*shape, device="cuda").permute(0, 3, 1, 2)
        theirs = torch.nn.BatchNorm2d(shape[-1]).cuda()
        with torch.no_grad():
            compare(made, "PyTorch", seconds, timed(lambda: theirs(tx), torch.cuda.synchronize, 0.15))
    yield made


def convolutions(options, torch, copy):
    """Forward and with both gradients, 3 x 3 of ResNet."""
    import fastnn
    from fastnn import cuda
    from fastnn.nn import functional as F

    shapes = [(2, 6, 6, 4)] if options.tiny else [(64, 56, 56, 64), (64, 14, 14, 256)]
    for n, h, w, c in shapes:
        x = fastnn.randn(n, h, w, c, device="cuda:0", requires_grad=True)
        k = fastnn.randn(3, 3, c, c, device="cuda:0", requires_grad=True)
        dy = fastnn.randn(n, h, w, c, device="cuda:0")
        tx = tk = None
        if torch:
            torch.backends.cudnn.allow_tf32 = False
            tx = torch.randn(n, c, h, w, device="cuda").to(memory_format=torch.channels_last).requires_grad_()
            tk = torch.randn(c, c, 3, 3, device="cuda").to(memory_format=torch.channels_last).requires_grad_()
            tdy = torch.randn(n, c, h, w, device="cuda").to(memory_format=torch.channels_last)

        def forward(x=x, k=k):
            with fastnn.no_grad():
                F.conv2d(x, k, None, 1, 1)

        def both(x=x, k=k, dy=dy):
            fastnn.autograd.grad([F.conv2d(x, k, None, 1, 1)], [x, k], [dy])

        flops = 18e-12 * n * h * w * c * c
        for what, call, times in (("forward", forward, 1), ("and backward", both, 3)):
            seconds = timed(call, cuda.synchronize, 0.2)
            made = {"name": f"conv 3x3 {n}x{h}x{w}x{c}, {what}", "value": times * flops / seconds, "unit": "TFLOP/s"}
            if torch:

                def theirs(times=times, tx=tx, tk=tk, tdy=tdy):
                    y = torch.nn.functional.conv2d(tx, tk, None, 1, 1)
                    if times == 3:
                        torch.autograd.grad([y], [tx, tk], [tdy])

                compare(made, "PyTorch", seconds, timed(theirs, torch.cuda.synchronize, 0.2))
            yield made


def lstm(options, torch, copy):
    """64 steps, forward and backward."""
    import fastnn
    from fastnn import cuda, nn

    n, t, c = (2, 3, 8) if options.tiny else (64, 64, 512)
    x = fastnn.randn(n, t, c, device="cuda:0")
    layer = nn.LSTM(c, c).to("cuda:0")

    def step():
        layer.zero_grad()
        layer(x)[0].sum().backward()

    seconds = timed(step, cuda.synchronize)
    made = {"name": f"LSTM {n} x {t} x {c}, forward and backward", "value": 1e3 * seconds, "unit": "ms"}
    if torch:
        tx = torch.randn(n, t, c, device="cuda")
        theirs = torch.nn.LSTM(c, c, batch_first=True).cuda()

        def their_step():
            theirs.zero_grad()
            theirs(tx)[0].sum().backward()

        peer = timed(their_step, torch.cuda.synchronize)
        made |= {"peer": "PyTorch", "peer_value": 1e3 * peer, "ratio": peer / seconds}
    yield made


def suppression(options, torch, copy):
    """20,000 boxes as a detector gives them."""
    from suites import nms

    import fastnn
    from fastnn import cuda
    from fastnn.vision.ops import nms as ours

    case = {"kind": "clustered", "n": 300 if options.tiny else 20000}
    v = nms.inputs(case, np.random.default_rng(0))
    boxes, scores = (fastnn.from_numpy(v[k]).to("cuda:0") for k in ("boxes", "scores"))
    kept = ours(boxes, scores, nms.THRESHOLD).cpu().numpy()
    right = relative(kept, nms._suppress(v["boxes"], v["scores"], np.float32(nms.THRESHOLD))) == 0
    seconds = timed(lambda: ours(boxes, scores, nms.THRESHOLD), cuda.synchronize)
    made = {"name": f"NMS, {case['n']} boxes", "value": 1e3 * seconds, "unit": "ms", "ok": bool(right),
            "note": f"{len(kept)} kept{'' if right else ', other ones than on the CPU'}"}  # fmt: skip
    try:
        from torchvision.ops import nms as theirs
    except ImportError:
        theirs = None
    if torch and theirs:
        tb, ts = (torch.from_numpy(v[k]).cuda() for k in ("boxes", "scores"))
        peer = timed(lambda: theirs(tb, ts, nms.THRESHOLD), torch.cuda.synchronize)
        made |= {"peer": "torchvision", "peer_value": 1e3 * peer, "ratio": peer / seconds}
        made |= {"target": ">= 3 x torchvision", "ok": bool(right and peer >= 3 * seconds)}
    yield made
