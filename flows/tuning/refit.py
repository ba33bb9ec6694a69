"""The best configuration of a search over an estimator, fitted on all rows by one task run of its own."""

from __future__ import annotations

import asyncio
import dataclasses
import warnings
from typing import Any

from prefect_tune.batches import Planner
from prefect_tune.flows.drive import Driver
from prefect_tune.flows.tuning.search import TuneSearch
from prefect_tune.identity import encode as enc
from prefect_tune.plan import CompiledSearch
from prefect_tune.results import ModelRef
from prefect_tune.search import unfitted
from prefect_tune.tasks.batch import publish
from prefect_tune.tasks.objective.folds import FoldObjective
from prefect_tune.tasks.outcome import cause_of
from prefect_tune.tasks.runner import TuneTaskRunner
from prefect_tune.tuning.result import NoResult, TuneResult


async def refit_best(
    search: TuneSearch, result: TuneResult, runner: TuneTaskRunner, run_id: str
) -> TuneResult:
    """The result with the place of its fitted model, if one is wanted.

    Warns:
        UserWarning: the fit has failed; the result is as it was.
    """
    function = search.objective.function
    if not search.refit or not isinstance(function, FoldObjective):
        return result
    try:
        config = result.chosen_config
    except NoResult:
        return result
    if config is None:
        return result
    try:
        key = await _fitted(search, function, config, runner, run_id)
    except Exception as error:  # the search itself has its result all the same
        warnings.warn(
            f"the best configuration could not be fitted on all rows ({cause_of(error)}); run the same "
            "search again to try once more.",
            UserWarning,
            stacklevel=2,
        )
        return result
    store, scope = search.store, function.spec.scope
    root = store.home_of(key, scope) if hasattr(store, "home_of") else store.root
    return dataclasses.replace(result, model=ModelRef(store=str(root), scope=scope, key=key))


async def _fitted(
    search: TuneSearch, function: FoldObjective, config: Any, runner: TuneTaskRunner, run_id: str
) -> str:
    """The key of the fitted model, which is in the store."""
    row = unfitted([enc.plain(function.parameters(config))])
    spec = dataclasses.replace(function.spec, candidates=row, drawn=row)
    compiled = await asyncio.to_thread(CompiledSearch, spec, search.store)
    file = await asyncio.to_thread(publish, spec, search.store, run_id)
    batch = dataclasses.replace(Planner(compiled, 1).refit(0), resources=search.resources)
    outcomes = await Driver(compiled, file, runner, 1, _told).run([batch])
    return outcomes[0].model


async def _told(_: Any) -> None:
    """Nobody follows a single fit."""
