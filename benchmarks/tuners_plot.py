"""The picture of part (a): regret against epochs, a panel per table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

# Two hues of each family: ours solid, peers dashed, controls grey.
STYLES: dict[str, dict[str, Any]] = {
    "random": {"color": "#9a9a9a", "linestyle": ":"},
    "TPE": {"color": "#7a6a55", "linestyle": ":"},
    "Hyperband": {"color": "#5b8a3c"},
    "PASHA": {"color": "#d9a404"},
    "ASHA promotion": {"color": "#7fb2e5"},
    "ASHA stopping": {"color": "#1f6fb4"},
    "ASHA + TPE": {"color": "#8e4fa8"},
    "ASHA + MOBSTER": {"color": "#c8321f", "linewidth": 2.4},
    "Optuna SHA + TPE": {"color": "#8e4fa8", "linestyle": "--"},
    "Syne Tune ASHA": {"color": "#1f6fb4", "linestyle": "--"},
    "Syne Tune MOBSTER": {"color": "#c8321f", "linestyle": "--"},
}


def draw(found: dict[str, Any], path: Path) -> None:
    """Writes the picture; the interval of two searches is shaded."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    tables, grid = found["tables"], found["grid"]
    figure, axes = plt.subplots(2, 3, figsize=(12, 7.2), sharex=True, layout="constrained")
    for axis, (table, methods) in zip(axes.flat, tables.items(), strict=False):
        for method in sorted(methods, key=list(STYLES).index):
            each = methods[method]
            style = {"linewidth": 1.5, **STYLES.get(method, {})}
            axis.plot(grid, [100 * value for value in each["median"]], label=method, **style)
            if method in ("ASHA stopping", "ASHA + MOBSTER"):
                bounds = [[100 * value for value in each[side]] for side in ("low", "high")]
                axis.fill_between(grid, *bounds, color=style["color"], alpha=0.12, linewidth=0)
        axis.set_title(table, fontsize=10)
        axis.set_xscale("log")
        axis.set_yscale("symlog", linthresh=1, linscale=0.4)  # down to 0, which is the table's best
        axis.set_ylim(0, 110)
        axis.set_yticks([0, 1, 3, 10, 30, 100], ["0", "1", "3", "10", "30", "100"])
        axis.set_xticks([10, 30, 100, 300, 1000], ["10", "30", "100", "300", "1000"])
        axis.minorticks_off()
        axis.set_xlim(grid[0], grid[-1])
        axis.grid(color="#e4e4e4", linewidth=0.6)
        axis.spines[["top", "right"]].set_visible(False)
    for axis in axes[-1]:
        axis.set_xlabel("epochs trained by all workers", fontsize=9)
    figure.supylabel("median regret, % of the way from a coin to the table's best", fontsize=10)
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=6, frameon=False, fontsize=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)
