"""What a search described in a file, or saved in a block, would do: the work behind `prefect-tune plan`.

Rule: a search is made ready as its flow makes it ready, saved blocks included, and then not run. Only the
budget of a saved store is not kept: a plan removes nothing.
"""

from __future__ import annotations

import os
from typing import Any

from prefect_tune.batches import Planner
from prefect_tune.flows.adaptive.ready import drawn_races, revived
from prefect_tune.flows.halving import ready_halving
from prefect_tune.flows.places import open_store
from prefect_tune.flows.saved import DATA, block_of, cluster_spec, store_block
from prefect_tune.flows.search import ready_search
from prefect_tune.flows.tuning.plan import plan_tune
from prefect_tune.plan import CompiledSearch, SearchPlan, summarise
from prefect_tune.races import KINDS
from prefect_tune.tuning.plan import TunePlan


def planned(kind: str, asked: dict[str, Any]) -> dict[str, Any]:
    """What the search would do, as plain facts by name.

    Args:
        kind: of the search, as in `saved_search.FLOWS`.
        asked: its flow's parameters.

    Raises:
        UserError: for anything that cannot work.
    """
    cluster = cluster_spec(asked.get("cluster"))  # one that is not there is a mistake here as it is in a run
    asked = {**asked, "store": _store(asked.get("store"))}
    if kind == "tune":
        return _trials(plan_tune(asked.pop("objective"), asked.pop("space"), **asked))
    if kind in KINDS:
        return _brackets(kind, asked)
    workers = asked.get("n_workers") or _workers(cluster) or os.cpu_count() or 1
    if kind.startswith("halving"):
        return _iterations(kind, asked, workers)
    return _folds(ready_search(kind, asked), workers)


def _store(wish: Any) -> Any:
    block = store_block(wish)
    return wish if block is None else block.open()


def _workers(cluster: Any) -> int:
    """Task runs that the worker groups of a saved cluster take at once; 0 if nothing says how many."""
    groups = cluster.get("groups", ()) if isinstance(cluster, dict) else ()
    return sum((group.get("workers") or os.cpu_count() or 1) * group.get("threads", 1) for group in groups)


def _folds(search: Any, workers: int) -> dict[str, Any]:
    """What a search on folds is planned to do."""
    return _facts(_compiled(search, search.spec, workers))


def _compiled(search: Any, spec: Any, workers: int) -> SearchPlan:
    compiled = CompiledSearch(spec, search.store)
    planner = Planner(compiled, workers, search.resources)
    return summarise(compiled, len(planner.batches()))


def _facts(found: SearchPlan) -> dict[str, Any]:
    return {
        "candidates": found.candidates,
        "folds": found.folds,
        "steps_one_by_one": found.uses,
        "distinct_steps": found.distinct,
        "known": found.known,
        "to_run": found.to_run,
        "task_runs": found.task_runs,
        "seconds_of_work": None if found.seconds is None else round(found.seconds, 2),
        "seconds_saved": round(found.saved, 2),
    }


def _iterations(kind: str, asked: dict[str, Any], workers: int) -> dict[str, Any]:
    """What a halving search is planned to do: its iterations, and the steps of the first.

    Who takes part in the later ones depends on scores.
    """
    search = ready_halving(kind.replace("_", "-"), asked)
    ladder = search.halving.ladder
    rungs = [{"candidates": rung.size, ladder.resource: rung.resource} for rung in ladder.rungs]
    first = _facts(_compiled(search, search.halving.spec(ladder.rungs[0]), workers))
    size = {name: first.pop(name) for name in ("candidates", "folds")}
    return {**size, "iterations": rungs, **{f"first_iteration_{name}": first[name] for name in first}}


def _brackets(kind: str, asked: dict[str, Any]) -> dict[str, Any]:
    """What an adaptive search is planned to do; its data is not opened."""
    for name in ("X", "validation"):
        block_of(asked.get(name), name, *DATA)  # one that is not there is a mistake
    return dict(drawn_races(kind, revived(asked, open_store(asked["store"]))).metadata)


def _trials(found: TunePlan) -> dict[str, Any]:
    """What a search over an objective is planned to do."""
    facts = {
        "trials_so_far": [dict(found.trials)] if found.trials else 0,
        "trials_to_start": "as many as the budget allows" if found.to_start is None else found.to_start,
        "levels": ", ".join(map(str, found.levels)) or "to the objective's own end",
        "units_trained": found.units_trained,
        "units_expected": found.units_expected,
        "units_at_most": found.units_at_most,
        "seconds_per_unit": found.seconds_per_unit,
        "stopped_by": found.stopped_by,
        "schedule": [dict(found.schedule)],
        "sampler": [dict(found.sampler)],
        "next": [dict(config) for config in found.next],
    }
    return {name: value for name, value in facts.items() if value not in (None, "", [])}
