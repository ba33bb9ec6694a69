"""Part (e): how a search of many short calls uses 1 to 64 workers, with sleeps instead of training.

A training call sleeps a unit of time, a score 1.5 units; the brackets are those of the published replay
(dask-ml, 2019): 4,743 calls and 206 scores. The workers are threads of Dask workers: sleeping needs no core.
No engine can be faster than the longer of work / workers and the longest chain (`simple`). Brackets end in
rungs of few models, though: at 16 workers there is work for 10 of them in the last 40 % of the time, and no
order of the work comes nearer than 1.19 times the simple bound. `bound` takes that into account. It can be
reached: in a simulation, single calls handed out by the length of the chain behind them come within 1 %.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any

BRACKETS = [(81, 3), (34, 9), (15, 27), (8, 81), (5, 243)]
MAX_ITER = 243
ETA = 3
SCORE = 1.5  # units
UNIT = 0.02  # seconds
WORKERS = (1, 2, 4, 8, 16, 32, 64)
PROCESSES = 4

Rungs = list[tuple[int, int]]


def rungs(size: int, resource: int) -> Rungs:
    """(models, calls) of a bracket's rungs, up to MAX_ITER calls.

    >>> rungs(15, 27)
    [(15, 27), (5, 81), (1, 243)]
    """
    found = []
    while size and resource <= MAX_ITER:
        found.append((size, resource))
        size, resource = size // ETA, resource * ETA
    return found


def demand(brackets: Sequence[Rungs]) -> tuple[int, int, float, float]:
    """(calls, scores, units of work, units of the longest chain).

    >>> demand([rungs(*bracket) for bracket in BRACKETS])
    (4743, 206, 5052.0, 250.5)
    """
    calls = scores = 0
    longest = 0.0
    for bracket in brackets:
        before = 0
        for size, resource in bracket:
            calls += size * (resource - before)
            scores += size
            before = resource
        longest = max(longest, before + SCORE * len(bracket))
    return calls, scores, calls + SCORE * scores, longest


def attainable(brackets: Sequence[Rungs], workers: int) -> float:
    """Units that any order of the work takes at least.

    Look back from the end: `x` units before it, a bracket must have come to a rung from which the rest of its
    chain takes at most `x`, and works on no more models than that rung has. So much work as fits under this
    ceiling, and under the number of workers, can be done in the last `x` units.

    >>> attainable([[(2, 10)]], 8), attainable([[(9, 1), (1, 10)]], 8)
    (11.5, 13.3125)
    """
    tails: list[list[tuple[float, int]]] = []  # (units before the end up to which, models), last rung first
    for bracket in brackets:
        befores = [0, *(resource for _, resource in bracket[:-1])]
        tails.append([])
        far = 0.0
        for (size, resource), before in zip(reversed(bracket), reversed(befores), strict=True):
            far += resource - before + SCORE
            tails[-1].append((far, size))
    left, now = demand(brackets)[2], 0.0
    for edge in sorted({far for tail in tails for far, _ in tail}):
        ceiling = sum(next((size for far, size in tail if far >= edge), tail[-1][1]) for tail in tails)
        speed = min(workers, ceiling)
        if left <= speed * (edge - now):
            return max(now + left / speed, demand(brackets)[3])
        left, now = left - speed * (edge - now), edge
    return now + left / min(workers, sum(tail[-1][1] for tail in tails))


def replay(workers: int, unit: float) -> dict[str, Any]:
    """Seconds of one search on that many simulated workers."""
    import numpy as np
    from adaptive_data import Sleeper
    from distributed import Client, LocalCluster
    from scipy.stats import uniform

    from prefect_tune import hyperband_search

    X, y = np.arange(1000.0).reshape(500, 2), np.arange(500) % 2
    space = {"quality": uniform(0.1, 0.8)}  # no value twice: equal candidates would share their calls
    processes = min(PROCESSES, workers)

    def run(max_iter: int, brackets: list[tuple[int, int]], seed: int) -> Any:
        folder = tempfile.mkdtemp(prefix="bench-")
        try:
            return hyperband_search(
                Sleeper(unit=unit), space, X, y, max_iter=max_iter, aggressiveness=ETA, brackets=brackets,
                chunk_size=10, random_state=seed, fit_params={"classes": [0, 1]}, store=folder,
                cluster=cluster.scheduler_address, name="replay", verbose=0,
            )  # fmt: skip
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    with (
        LocalCluster(
            n_workers=processes,
            threads_per_worker=workers // processes,
            processes=True,
            dashboard_address=None,
        ) as cluster,
        Client(cluster),
    ):
        run(3, [(2 * workers, 1)], 1)  # connections and imports, on every worker
        start = time.perf_counter()
        result = run(MAX_ITER, BRACKETS, 0)
        seconds = time.perf_counter() - start
    return {
        "seconds": seconds,
        "calls": int(result.cost.calls),
        "scores": len(result.history),
        "slept": float(result.cost.seconds_run),
    }


def case_e(unit: float = UNIT, counts: Sequence[int] = WORKERS) -> dict[str, Any]:
    """Seconds by number of workers, beside both bounds."""
    brackets = [rungs(*bracket) for bracket in BRACKETS]
    calls, scores, work, chain = demand(brackets)
    rows = {}
    for workers in counts:
        row = replay(workers, unit)
        row["bound"] = attainable(brackets, workers) * unit
        row["simple"] = max(work / workers, chain) * unit
        row["over_bound"] = row["seconds"] / row["bound"]
        row["over_simple"] = row["seconds"] / row["simple"]
        # On a busy machine a sleep ends late, whoever asked for it: 1.0 if none does.
        row["oversleep"] = row["slept"] / (work * unit)
        rows[workers] = row
        print(
            f"  {workers:2d} workers: {row['seconds']:.2f} s, bound {row['bound']:.2f} s",
            file=sys.stderr, flush=True,
        )  # fmt: skip
    return {
        "title": f"(e) replay with sleeps, {calls} calls and {scores} scores, unit {unit * 1000:g} ms",
        "work": work * unit,
        "chain": chain * unit,
        "workers": rows,
        "worst": max(row["over_bound"] for row in rows.values()),
    }


def line_e(found: dict[str, Any]) -> str:
    """The outcome in words."""
    each = (
        f"{workers}: {row['seconds']:.1f} s = {row['over_bound']:.2f} × bound "
        f"({row['over_simple']:.2f} × the simple one; sleeps took {row['oversleep']:.2f} × as long as asked)"
        for workers, row in found["workers"].items()
    )
    return "workers " + ", ".join(each)
