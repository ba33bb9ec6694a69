"""The result of a search over an objective, with what it has cost."""

from __future__ import annotations

import time
from typing import Any

from prefect_tune.flows.run import flow_run_page, pass_on_warnings
from prefect_tune.flows.tuning.search import TuneSearch
from prefect_tune.trials import TrialState
from prefect_tune.tuning.cost import TuneCost
from prefect_tune.tuning.result import TuneResult


def result_of(search: TuneSearch, loop: Any) -> TuneResult:
    """The result of a search whose trials have all ended; paused ones count as stopped from now on."""
    pass_on_warnings(loop)
    for trial in loop.tuner.trials:
        if trial.state is TrialState.PAUSED:
            trial.state, trial.reason = TrialState.STOPPED, trial.reason or "never promoted"
    return partial_result(search, loop)


def partial_result(search: TuneSearch, loop: Any) -> TuneResult:
    """The result so far, of a search that goes on."""
    tuner, store = loop.tuner, search.store
    return TuneResult(
        trials=tuple(tuner.trials),
        metric=tuner.metric,
        mode=search.settings.mode,
        max_resource=getattr(search.settings.schedule, "max_resource", None),
        stopped_by=tuner.halted.reason if tuner.halted else "",
        name=search.name,
        ranking=tuple(tuner.ranking()),
        levels=tuple(search.settings.schedule.levels),
        cost=cost_of(search, loop),
        store=store.place,
        scope=search.scope,
        flow_run_url=flow_run_page(),
        uncacheable=tuple(sorted(search.identifier.uncacheable.items())),
        whole=search.settings.whole,
    )


def cost_of(search: TuneSearch, loop: Any) -> TuneCost:
    """What the search has cost so far."""
    trials = loop.tuner.trials
    return TuneCost(
        trained=sum(trial.trained for trial in trials),
        known=sum(trial.known for trial in trials),
        task_runs=loop.task_runs,
        seconds_trained=sum(trial.seconds for trial in trials),
        seconds_suggesting=loop.suggesting,
        suggestions=loop.suggestions,
        seconds_active=loop.diary.elapsed(),
        wall_seconds=time.perf_counter() - search.started,
        slots=loop.tuner.settings.max_concurrent,
    )
