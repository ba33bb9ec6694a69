"""Part (a): searches over TaskSet's tables in simulated time, an epoch of any setting taking one unit.

Regret is the share of the way from a coin's loss to the table's best that is left, by the smallest loss
known so far. All are compared at equal numbers of epochs, summed over workers; medians over seeds with their
bootstrap interval (95 %). Stragglers: every job is slower by a factor of its own (lognormal, sigma 0.5), and
each epoch is lost with its trial once in a thousand.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tuners_methods import METHODS, Run, Trace, simulated
from tuners_stats import first_below, interval, loss_after, mean_ranks
from tuners_tables import FOLDER, load, names

# 5 s to 2 minutes a run: on four workers only, and with fewer seeds
SLOW = {"ASHA + TPE", "Optuna SHA + TPE", "ASHA + MOBSTER", "Syne Tune MOBSTER"}
SLOWEST = {"Syne Tune MOBSTER"}  # ten minutes and more a run: only if named
PLAIN = {"synchronous halving"}  # only in the comparison of workers
ASYNCHRONOUS = ("ASHA stopping", "ASHA promotion", "synchronous halving", "Hyperband")
COUNTS = (1, 4, 16, 64)
LUCKS = ((0.0, 0.0), (0.5, 0.0), (0.5, 0.01))  # spread of the jobs' slowness, chance to lose an epoch
CROWD_SEEDS = 5


@dataclass(frozen=True)
class Asked:
    """How much to simulate.

    Attributes:
        seeds, slow_seeds: of the methods, and of those in SLOW.
        budget: epochs of a search.
        methods: names in METHODS; all but the slowest, if not given.
        runs: file of finished runs, one line of JSON each; what it has is not simulated again.
        processes: at a time.
    """

    seeds: int = 20
    slow_seeds: int = 10
    budget: int = 1000
    methods: tuple[str, ...] = ()
    runs: Path | None = None
    processes: int = os.cpu_count() or 1

    def seeds_of(self, method: str) -> range:
        return range(min(self.seeds, self.slow_seeds) if method in SLOW else self.seeds)


WORLDS: dict[str, dict[str, Any]] = {
    "4 workers": {"workers": 4},
    "64 workers, stragglers": {"workers": 64, "spread": 0.5, "drop": 0.001},
}


def planned(asked: Asked) -> list[Run]:
    """The runs whose regret is compared: the quick ones first, then seed by seed."""
    left_out = PLAIN if asked.methods else PLAIN | SLOWEST
    methods = [name for name in asked.methods or METHODS if name not in left_out]
    runs = [
        Run(method, table, seed, budget=asked.budget, **world)
        for world in WORLDS.values()
        for method in methods
        for table in names()
        for seed in asked.seeds_of(method)
        if not (method in SLOW and world["workers"] > 4)
    ]
    return sorted(runs, key=lambda run: (run.method in SLOW, run.workers, run.seed))


def crowds(asked: Asked) -> list[Run]:
    """The runs that compare numbers of workers, on twice the epochs."""
    return [
        Run(method, table, seed, workers, spread, drop, budget=2 * asked.budget)
        for workers in COUNTS
        for spread, drop in LUCKS
        for method in ASYNCHRONOUS
        for table in names()
        for seed in range(min(asked.seeds, CROWD_SEEDS))
    ]


def perform(runs: Iterable[Run], asked: Asked) -> list[Trace]:
    """All runs, in as many processes as asked for; those known from the file are not run again."""
    known = dict(_read(asked.runs)) if asked.runs and asked.runs.exists() else {}
    runs = list(runs)
    missing = [run for run in runs if run not in known]
    began = time.perf_counter()
    # Fresh processes: a fork would share the peers' pipes.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(asked.processes, mp_context=context) as pool:
        waiting = {pool.submit(simulated, run): run for run in missing}
        for number, future in enumerate(as_completed(waiting), start=1):
            trace = known[waiting[future]] = future.result()
            if asked.runs:
                with asked.runs.open("a") as file:
                    file.write(json.dumps(asdict(trace)) + "\n")
            if number % 50 == 0 or number == len(missing):
                took = time.perf_counter() - began
                print(f"  {number} of {len(missing)} runs, {took:.0f} s", file=sys.stderr, flush=True)
    return [known[run] for run in runs]


def _read(file: Path) -> Iterable[tuple[Run, Trace]]:
    for line in file.read_text().splitlines():
        found = json.loads(line)
        run = Run(**found.pop("run"))
        yield run, Trace(run, found.pop("steps"), **found)


def regrets(traces: Sequence[Trace], epochs: Sequence[float]) -> Any:
    """Regret by trace and number of epochs."""
    import numpy as np

    return np.array(
        [[load(one.run.table).regret(loss_after(one.steps, at)) for at in epochs] for one in traces]
    )


def compared(traces: Sequence[Trace], asked: Asked) -> dict[str, Any]:
    """By table and method: regret along a grid of epochs; what suggestions took; the mean rank."""
    import numpy as np

    grid = sorted({round(float(x)) for x in np.geomspace(10, asked.budget, 60)})
    tables: dict[str, Any] = {}
    for table in names():
        tables[table] = {}
        for method in dict.fromkeys(trace.run.method for trace in traces):
            mine = [trace for trace in traces if (trace.run.table, trace.run.method) == (table, method)]
            found = regrets(mine, grid)
            low, high = interval(found)
            took = [second for trace in mine for second in trace.suggestions]
            tables[table][method] = {
                "median": np.median(found, axis=0).tolist(),
                "low": low.tolist(),
                "high": high.tolist(),
                "final": found[:, -1].tolist(),
                "half": regrets(mine, [asked.budget / 2])[:, 0].tolist(),
                "makespan": float(np.median([trace.makespan for trace in mine])),
                "idle": float(np.mean([trace.idle for trace in mine])),
                "suggestion": float(np.mean(took)) if took else 0.0,
                "slowest": float(np.max(took)) if took else 0.0,
            }
    last = [{method: each["median"][-1] for method, each in methods.items()} for methods in tables.values()]
    return {"grid": grid, "tables": tables, "ranks": mean_ranks(last)}


def below(found: dict[str, Any], method: str, control: str) -> dict[str, Any]:
    """On how many tables a method's regret is below a control's with the same seeds, half-way and at last."""
    import numpy as np

    said: dict[str, Any] = {}
    for moment in ("half", "final"):
        said[moment] = {}
        for table, methods in found["tables"].items():
            mine, theirs = methods[method][moment], methods[control][moment]
            paired = np.array(mine) - np.array(theirs[: len(mine)])
            low, high = interval(paired, "mean")
            said[moment][table] = {
                "median": float(np.median(mine)),
                "control": float(np.median(theirs[: len(mine)])),
                "mean_difference": float(paired.mean()),
                "low": float(low),
                "high": float(high),
            }
        said[f"{moment}_below"] = sum(each["median"] < each["control"] for each in said[moment].values())
        said[f"{moment}_mean_below"] = sum(each["mean_difference"] < 0 for each in said[moment].values())
    return said


def crowded(traces: Sequence[Trace]) -> list[dict[str, Any]]:
    """Idle share, and time until a loss that one row in a hundred reaches, by workers and luck."""
    import numpy as np

    goals = {
        table: float(np.quantile([np.nanmin(curve[1:]) for curve in load(table).curves], 0.01))
        for table in names()
    }
    cells: dict[tuple[Any, ...], list[Trace]] = {}
    for trace in traces:
        run = trace.run
        cells.setdefault((run.method, run.workers, run.spread, run.drop), []).append(trace)
    rows = []
    for (method, workers, spread, drop), found in cells.items():
        times = [first_below(trace.steps, goals[trace.run.table]) for trace in found]
        typical = float(np.median(times))
        rows.append(
            {
                "method": method,
                "workers": workers,
                "spread": spread,
                "drop": drop,
                "idle": float(np.mean([trace.idle for trace in found])),
                "time": typical if np.isfinite(typical) else None,
                "reached": float(np.mean(np.isfinite(times))),
            }
        )
    return rows


def case_a(asked: Asked, picture: Path | None = None) -> dict[str, Any]:
    """Everything of part (a); without the tables, why not."""
    from tuners_pasha import savings
    from tuners_plot import draw

    title = f"(a) simulated time on TaskSet's tables, {asked.budget} epochs, {asked.seeds} seeds"
    if not names():
        return {"title": title, "skipped": f"the tables are not here ({FOLDER.name} beside the checkout)"}
    found: dict[str, Any] = {"title": title, "worlds": {}, "slow_seeds": asked.slow_seeds}
    traces = perform(planned(asked), asked)
    for world, settings in WORLDS.items():
        mine = [trace for trace in traces if trace.run.workers == settings["workers"]]
        found["worlds"][world] = compared(mine, asked)
    first = found["worlds"]["4 workers"]
    if {"ASHA + MOBSTER", "ASHA stopping"} <= set(first["ranks"]):
        found["mobster"] = below(first, "ASHA + MOBSTER", "ASHA stopping")
    found["crowds"] = crowded(perform(crowds(asked), asked))
    found["pasha"] = savings(asked.seeds)
    if picture:
        draw(found["worlds"]["4 workers"], picture)
    return found


def line_a(found: dict[str, Any]) -> str:
    """The outcome as a table for the README, and in words."""
    if "skipped" in found:
        return f"skipped: {found['skipped']}"
    from tuners_pasha import line_pasha

    lines = []
    for world, outcome in found["worlds"].items():
        tables = outcome["tables"]
        lines += ["", f"Median regret in % at {outcome['grid'][-1]} epochs, {world}", ""]
        lines.append(f"| | {' | '.join(tables)} | mean rank | ms per suggestion |")
        lines.append("|---" * (len(tables) + 3) + "|")
        for method, rank in sorted(outcome["ranks"].items(), key=lambda item: item[1]):
            cells = [_cell(tables[table][method]) for table in tables]
            took = 1000 * max(tables[table][method]["suggestion"] for table in tables)
            lines.append(f"| {method} | {' | '.join(cells)} | {rank:.1f} | {took:.1f} |")
    if "mobster" in found:
        said = found["mobster"]
        lines += ["", "ASHA + MOBSTER below ASHA stopping, medians of the same seeds: "]
        lines[-1] += f"{said['half_below']} tables at half of the epochs, {said['final_below']} at the end "
        lines[-1] += f"(means: {said['half_mean_below']} and {said['final_mean_below']})"
    lines += ["", "| workers, spread, losses | " + " | ".join(ASYNCHRONOUS) + " |", "|---|---|---|---|---|"]
    for key in dict.fromkeys((row["workers"], row["spread"], row["drop"]) for row in found["crowds"]):
        here = {r["method"]: r for r in found["crowds"] if (r["workers"], r["spread"], r["drop"]) == key}
        cells = [f"{100 * here[m]['idle']:.0f} % idle, {_time(here[m])}" for m in ASYNCHRONOUS]
        lines.append(f"| {key[0]}, {key[1]}, {key[2]} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", line_pasha(found["pasha"])])


def _cell(each: dict[str, Any]) -> str:
    return f"{100 * each['median'][-1]:.1f} ({100 * each['low'][-1]:.1f}–{100 * each['high'][-1]:.1f})"


def _time(row: dict[str, Any]) -> str:
    return f"never ({100 * row['reached']:.0f} %)" if row["time"] is None else f"{row['time']:.0f}"
