"""Part (c): what one suggestion takes with 100, 500 and 1,000 records, in a space of eight leaves.

The records are those of a simulated search with asynchronous halving of 1 to 50 epochs, four trials of it
running. Nobody waits for a suggestion while the search runs: the next ones are drawn ahead.
"""

from __future__ import annotations

import math
import statistics
import sys
import time
from typing import Any

SIZES = (100, 500, 1000)
TIMES = 5
EPOCHS = 50
LEAVES = 8


def records(size: int) -> tuple[Any, Any, list[Any]]:
    """(space, levels, records): a search of so many trials, the last four of them under way."""
    from dataclasses import replace

    from prefect_tune.schedules.asynchronous.asha import ASHA
    from prefect_tune.schedules.asynchronous.simulate import World, simulate
    from prefect_tune.space import SearchSpace, loguniform
    from prefect_tune.trials import TrialState

    space = SearchSpace({f"x{place}": loguniform(1e-6, 1) for place in range(LEAVES)})
    configs = [space.draw(0, index) for index in range(size + 1)]
    curves = [[_loss(config, epoch) for epoch in range(EPOCHS + 1)] for config in configs]
    schedule, seen = ASHA(EPOCHS), []

    def suggest(index: int, known: Any) -> int:
        if index == size:
            seen.extend(replace(record, config=configs[record.index]) for record in known)
        return index

    simulate(schedule, curves, trials=size + 1, world=World(workers=5), suggest=suggest)
    found = seen[:size]
    assert any(record.state is TrialState.RUNNING for record in found)
    return space, schedule.levels, found


def _loss(config: dict[str, float], epoch: int) -> float:
    far = sum((math.log10(value) + 3) ** 2 for value in config.values()) / 9
    return far + 4 / (epoch + 1)


def samplers() -> dict[str, Any]:
    from prefect_tune.samplers.gp import GP, MOBSTER
    from prefect_tune.samplers.tpe import TPE

    return {"TPE": TPE(), "GP": GP(), "MOBSTER": MOBSTER()}


def case_c() -> dict[str, Any]:
    """Milliseconds by sampler and number of records: median and slowest of a few, after one not counted."""
    from prefect_tune.samplers.contract import Question

    found: dict[str, Any] = {}
    for size in SIZES:
        space, levels, known = records(size)
        for name, sampler in samplers().items():
            times, busy = [], []
            for turn in range(TIMES + 1):
                question = Question(size + turn, space, known, levels, 0)
                start, worked = time.perf_counter(), time.process_time()
                sampler.suggest(question)
                times.append(1000 * (time.perf_counter() - start))
                busy.append(1000 * (time.process_time() - worked))
            found.setdefault(name, {})[size] = {
                "first": times[0],
                "median": statistics.median(times[1:]),
                "slowest": max(times[1:]),
                # What it takes where nobody else wants the processor.
                "cpu": statistics.median(busy[1:]),
            }
            print(f"  {size:5d} records: {name:8s} {found[name][size]}", file=sys.stderr, flush=True)
    return {"title": f"(c) a suggestion, {LEAVES} leaves", "milliseconds": found}


def line_c(found: dict[str, Any]) -> str:
    """The outcome in words."""
    each = []
    for name, sizes in found["milliseconds"].items():
        times = ", ".join(
            f"{size}: {row['median']:.0f} ms (processor {row['cpu']:.0f})" for size, row in sizes.items()
        )
        each.append(f"{name} with {times}")
    return "; ".join(each)
