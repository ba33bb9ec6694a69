"""What PASHA saves against promotion to the end, on the tables and on longer curves made from them.

256 trials on four workers, as the published runs. The curves have 50 epochs, so there is little to save; the
longer ones are the same curves by linear interpolation.
"""

from __future__ import annotations

import math
from typing import Any

from tuners_stats import interval, summary
from tuners_tables import EPOCHS, drawn, load, names, stretched

TRIALS = 256
ETAS = (2, 3)
LENGTHS = (EPOCHS, 200, 400)


def pair(curves: Any, ids: list[int], eta: int) -> dict[str, float]:
    """One search of each; what they trained, when they ended, how far their answers are from the best."""
    from prefect_tune.schedules.asynchronous.asha import ASHA
    from prefect_tune.schedules.asynchronous.pasha import PASHA
    from prefect_tune.schedules.asynchronous.simulate import World, simulate

    top = len(curves[ids[0]]) - 1
    best = min(curves[row][top] for row in ids if math.isfinite(curves[row][top]))
    found: dict[str, float] = {}
    for name, schedule in (
        ("asha", ASHA(top, eta=eta, type="promotion")),
        ("pasha", PASHA(top, eta=eta)),
    ):
        ran = simulate(schedule, curves, trials=TRIALS, world=World(workers=4), suggest=lambda i, _: ids[i])
        answer = math.nan if ran.best_row is None else curves[ran.best_row][top]
        found |= {
            f"{name}_epochs": ran.spent,
            f"{name}_end": ran.makespan,
            f"{name}_regret": answer / best - 1,
        }
    return found


def savings(seeds: int) -> list[dict[str, Any]]:
    """One row per length of the curves, eta and table."""
    rows = []
    for length in LENGTHS:
        for eta in ETAS:
            for table in names():
                curves: Any = load(table).curves
                if length != EPOCHS:
                    curves = {row: stretched(curve, length) for row, curve in enumerate(curves)}
                    curves = [curves[row] for row in range(len(curves))]
                rows.append({"epochs": length, "eta": eta, "table": table} | _row(curves, eta, seeds))
    return rows


def _row(curves: Any, eta: int, seeds: int) -> dict[str, Any]:
    found = [pair(curves, drawn(seed)[:TRIALS], eta) for seed in range(seeds)]
    asha, pasha = ([one[f"{name}_regret"] for one in found] for name in ("asha", "pasha"))
    low, high = interval(asha, "mean")
    return {
        "saving": summary([one["asha_end"] / one["pasha_end"] for one in found]),
        "epochs_saved": summary([one["asha_epochs"] / one["pasha_epochs"] for one in found]),
        "dearer": sum(one["pasha_epochs"] > one["asha_epochs"] for one in found),
        "asha": summary(asha),
        "pasha": summary(pasha),
        "asha_mean_interval": [float(low), float(high)],
        "within": min(asha) <= summary(pasha)["median"] <= max(asha),
    }


def line_pasha(rows: list[dict[str, Any]]) -> str:
    """A table for the README."""
    lines = [
        "PASHA's saving in time over ASHA promotion, 4 workers, 256 trials: median (smallest–largest); "
        "median and mean regret of both answers at the last epoch, in %; runs that trained more",
        "",
        "| epochs | η | table | saving | PASHA | ASHA | trained more |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        saving, pasha, asha = row["saving"], row["pasha"], row["asha"]
        lines.append(
            f"| {row['epochs']} | {row['eta']} | {row['table']} | {saving['median']:.2f} "
            f"({saving['least']:.2f}–{saving['most']:.2f}) | {100 * pasha['median']:.2f}, "
            f"{100 * pasha['mean']:.2f} | {100 * asha['median']:.2f}, {100 * asha['mean']:.2f} "
            f"(at most {100 * asha['most']:.2f}) | {row['dearer']} |"
        )
    return "\n".join(lines)
