"""The picture of the page: how many times faster than each peer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from page_tables import Line, times

COLORS = {  # of peers, the same ones as in the other pictures where they are there
    "scikit-learn": "#d9a404",
    "dask-ml": "#c8321f",
    "stock DaskTaskRunner": "#5b8a3c",
    "Ray Tune ASHA": "#1f6fb4",
}
OTHER = "#8e4fa8"


def draw_ratios(lines: Sequence[Line], path: Path) -> None:
    """Writes the picture: a point for each line, right of 1 where ours is faster."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axis = plt.subplots(figsize=(10, 0.34 * len(lines) + 1.2), layout="constrained")
    for height, line in enumerate(reversed(lines)):
        color = COLORS.get(line.peer, OTHER)
        ratio = line.ratio or 1.0
        axis.plot([1, ratio], [height, height], color=color, linewidth=2.4, alpha=0.5)
        axis.plot(ratio, height, "o", color=color, markersize=8)
        place, said = (max(ratio, 1), height), f"{times(ratio)} {line.peer}"
        axis.annotate(said, place, (7, 0), textcoords="offset points", va="center", size=9)
    axis.axvline(1, color="#404040", linewidth=1)
    named = ["" if i and line.what == lines[i - 1].what else line.what for i, line in enumerate(lines)]
    axis.set_yticks(range(len(lines)), named[::-1], fontsize=9)
    axis.set_xscale("log")
    low, high = (pick(line.ratio or 1.0 for line in lines) for pick in (min, max))
    axis.set_xlim(min(low, 1) / 1.5, max(high, 1) * 40)  # room for words
    inside = axis.get_xlim()
    ticks = [tick for tick in (0.01, 0.1, 0.3, 1, 3, 10, 100) if inside[0] <= tick <= inside[1]]
    axis.set_xticks(ticks, [f"{tick:g} ×" for tick in ticks])
    axis.minorticks_off()
    axis.grid(axis="x", color="#e4e4e4", linewidth=0.6)
    axis.set_axisbelow(True)
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.tick_params(axis="y", length=0)
    axis.set_xlabel("time of the other system over that of prefect-tune, in the same run", fontsize=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)
