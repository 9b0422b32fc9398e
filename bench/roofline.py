"""The roofline picture of a report: what each row reaches, below what the machine was measured to allow.

Each row is a point at its arithmetic intensity (operations over bytes, every tensor counted once): fastnn filled, the
best peer hollow, a line between them. The roofs are the best rates measured of multiply-add and of each level of
memory.
"""

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
MARKERS = "osD^vP"
#: Distances in points at which a label is tried, in this order.
OFFSETS = ((5, 4), (5, -9), (-5, 4), (-5, -9), (9, 12), (9, -18), (-9, 12), (-9, -18), (16, 24), (16, -30), (-16, 24))


def draw(result, path):
    """Write the picture of a report (as in results.json) to `path`. Returns (path, its name), or (None, why not)."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from PIL import Image
    except ImportError:
        return None, "no roofline picture: matplotlib is not installed"
    points = _points(result["rows"])
    threads = sorted({p["threads"] for p in points} & {p["threads"] for p in result["peaks"]})
    if not threads:
        return None, "no roofline picture: it needs rows with arithmetic, and measured roofs"
    suites = list(dict.fromkeys(p["suite"] for p in points))
    figure = Figure(figsize=(6.4 * len(threads) + 0.4, 5.4), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(threads), sharey=True, squeeze=False)[0]
    ours = {t: [p for p in points if p["threads"] == t] for t in threads}
    left = min([0.1, *(p["intensity"] for t in threads for p in ours[t])]) / 1.6
    right = max([20, *(p["intensity"] for t in threads for p in ours[t])]) * 2
    bottom = min(min(p["fastnn"], p["peer"] or p["fastnn"]) for t in threads for p in ours[t]) / 2
    top = 2.2 * max(r["best"] for r in result["peaks"] if r["kind"] == "fma f32")
    for panel, t in zip(panels, threads):
        panel.set(xscale="log", yscale="log", xlim=(left, right), ylim=(bottom, top))
        panel.set_title(f"{t} thread" + ("s" if t > 1 else ""), fontsize=11)
        panel.set_xlabel("arithmetic intensity, FLOP/byte")
        panel.grid(True, which="major", color="#e6e6e6", linewidth=0.6)
        panel.set_axisbelow(True)
        for side in ("top", "right"):
            panel.spines[side].set_visible(False)
    panels[0].set_ylabel("GFLOP/s")
    figure.suptitle(_title(result), fontsize=11)
    _legend(figure, panels[0], suites)
    figure.canvas.draw()  # the angles of the roofs and the places of the labels need the final layout
    figure.set_layout_engine("none")
    for panel, t in zip(panels, threads):
        taken = _roofs(panel, result["peaks"], t)
        for p in ours[t]:
            _mark(panel, p, suites.index(p["suite"]))
        _label(figure, panel, ours[t], taken)
    figure.savefig(path, dpi=130)
    Image.open(path).convert("RGB").quantize(128).save(path, optimize=True)  # a third of the size
    return path, str(path)


def _points(rows):
    """Rows with a place in the picture: those with arithmetic, on the processor's own instruction set."""
    points = []
    for row in rows:
        us = row["results"].get(row["subject"], {}).get("us")
        if not us or not row["flops"] or not row["nbytes"] or row["isa"] or row["suite"].endswith("_bf16"):
            continue
        peer = row["results"].get(row["best_peer"], {}).get("us")
        points.append(
            {
                "suite": row["suite"],
                "name": row["case"],
                "threads": row["threads"],
                "intensity": row["flops"] / row["nbytes"],
                "fastnn": row["flops"] / us / 1e3,
                "peer": peer and row["flops"] / peer / 1e3,
            }
        )
    return points


def _title(result):
    m = result["machine"]
    return f"fastnn below the roofs of this machine: {m['cpu']} (family {m['family']} model {m['model']})"


def _legend(figure, panel, suites):
    from matplotlib.lines import Line2D

    handles = []
    for i, suite in enumerate(suites):
        style = {"marker": MARKERS[i % 6], "color": COLOURS[i % 6], "linestyle": "", "markersize": 5}
        handles.append(Line2D([], [], label=f"{suite}: fastnn", **style))
        handles.append(Line2D([], [], label=f"{suite}: best peer", markerfacecolor="white", **style))
    figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 8), fontsize=9, frameon=False)


def _roofs(panel, peaks, threads):
    """Lines of the measured limits with their names on them; returns the names' boxes."""
    import numpy as np

    best = {}
    for row in peaks:
        name = {"fma f32": "FMA", "read": row["where"], "copy streaming": "DRAM streaming copy"}.get(row["kind"])
        if name and row["threads"] == threads:
            best[name] = max(best.get(name, 0), row["best"])
    left, right = panel.get_xlim()
    fma = best.pop("FMA")
    first = fma / max(best.values(), default=fma / left)
    panel.plot([first, right], [fma, fma], color="black", linewidth=1.3, zorder=1)
    texts = [panel.text(right / 1.1, fma * 1.07, f"FMA {fma:.0f} GFLOP/s", ha="right", va="bottom", fontsize=8)]
    for name, rate in best.items():
        x = np.array([left, fma / rate])
        style = {"linestyle": "--"} if "copy" in name else {}
        panel.plot(x, rate * x, color="black", linewidth=1.3 if name == "DRAM" else 0.7, zorder=1, **style)
        # Names stand near the upper end, where no points are; L3's below its line, which is close to L2's.
        at, side = fma / rate / 1.25, "top" if name == "L3" else "bottom"
        a, b = panel.transData.transform([(at, rate * at), (2 * at, 2 * rate * at)])
        angle = np.degrees(np.arctan2(b[1] - a[1], b[0] - a[0]))
        style = {"rotation": angle, "rotation_mode": "anchor", "ha": "right", "va": side, "fontsize": 7.5}
        texts.append(panel.text(at, rate * at, f"{name} {rate:.0f} GB/s", **style))
    return [text.get_window_extent() for text in texts]


def _mark(panel, p, i):
    style = {"marker": MARKERS[i % 6], "color": COLOURS[i % 6], "linestyle": "", "markersize": 4.5}
    if p["peer"]:
        panel.plot([p["intensity"]] * 2, [p["peer"], p["fastnn"]], color=COLOURS[i % 6], linewidth=0.7, alpha=0.6)
        panel.plot(p["intensity"], p["peer"], markerfacecolor="white", markeredgewidth=0.9, zorder=3, **style)
    panel.plot(p["intensity"], p["fastnn"], zorder=4, **style)


def _label(figure, panel, points, taken):
    """Names beside points wherever there is room, the largest distances to the peer first."""
    import numpy as np
    from matplotlib.patheffects import withStroke
    from matplotlib.transforms import Bbox

    def pixels(p, key):
        return panel.transData.transform((p["intensity"], p[key]))

    halo = [withStroke(linewidth=1.8, foreground="white")]
    renderer = figure.canvas.get_renderer()
    scale = figure.dpi / 72
    marks = [pixels(p, key) for p in points for key in ("fastnn", "peer") if p[key]]
    taken = taken + [Bbox.from_bounds(*(m - 2.5 * scale), 5 * scale, 5 * scale) for m in marks]
    for p in sorted(points, key=lambda p: -abs(np.log(p["fastnn"] / (p["peer"] or p["fastnn"])))):
        at = pixels(p, "fastnn")
        own = Bbox.from_bounds(*(at - 2.5 * scale), 5 * scale, 5 * scale)
        for dx, dy in OFFSETS:
            text = panel.annotate(
                p["name"],
                (p["intensity"], p["fastnn"]),
                (dx, dy),
                textcoords="offset points",
                fontsize=6.5,
                ha="left" if dx > 0 else "right",
                color="#333333",
                arrowprops=None if abs(dx) < 9 else {"arrowstyle": "-", "linewidth": 0.4, "color": "#888888"},
                zorder=5,
                path_effects=halo,
            )
            box = text.get_window_extent(renderer)
            inside = panel.bbox.contains(box.x0, box.y0) and panel.bbox.contains(box.x1, box.y1)
            if inside and not any(box.overlaps(b) for b in taken if b.bounds != own.bounds):
                taken.append(box)
                break
            text.remove()
