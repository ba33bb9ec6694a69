"""The flows `halving_grid_search` and `halving_randomized_search`, and their async twins.

One flow run holds all iterations: each is compiled, planned and driven like a search of its own, then the
best candidates go on to the next.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import inspect
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from prefect_tune.batches import Batch, Planner
from prefect_tune.errors import StoreUnavailable
from prefect_tune.explained import search_book
from prefect_tune.flows import forms
from prefect_tune.flows.approval import approved, candidates_of, patience_of
from prefect_tune.flows.artifacts import SearchArtifacts
from prefect_tune.flows.dispatch import Tally
from prefect_tune.flows.display import TerminalDisplay
from prefect_tune.flows.drive import Driver
from prefect_tune.flows.noted import note
from prefect_tune.flows.places import open_store, require_models
from prefect_tune.flows.run import (
    Search,
    Watcher,
    note_known,
    pass_on_warnings,
    refit_best,
    with_cost,
    write_report,
)
from prefect_tune.flows.saved import with_data
from prefect_tune.flows.search import SearchFlow, search_body, search_flow, sync_twin
from prefect_tune.halving_result import HalvingResult
from prefect_tune.halving_search import Halving, prepare_halving
from prefect_tune.plan import CompiledSearch, SearchPlan, summarise
from prefect_tune.request import resolve_data, revive
from prefect_tune.schedules.rungs import Rung
from prefect_tune.tasks.batch import publish
from prefect_tune.tasks.cluster import ClusterLease
from prefect_tune.tasks.isolation.limits import limits_of
from prefect_tune.tasks.runner import TuneTaskRunner


@dataclass(frozen=True, slots=True, kw_only=True)
class HalvingSearch(Search):
    """A halving search that is ready to run; `spec` is the search before anybody is dropped.

    Attributes:
        halving: the iterations to come.
    """

    halving: Halving


def ready_halving(kind: str, asked: dict[str, Any]) -> HalvingSearch:
    """A halving search ready to run, from flow parameters in JSON form or live.

    Raises:
        UserError: for anything that cannot work; nothing has been submitted then.
    """
    started = time.perf_counter()
    store = open_store(asked.get("store"))
    search = asked.get("sklearn") or _build(kind, asked, store)
    if search.refit:
        require_models(store, "refit fits one: or pass refit=False")
    approve, limits = patience_of(asked, refit=bool(search.refit)), limits_of(asked)
    asked = with_data(asked, store)
    X, y = resolve_data(asked["X"], asked.get("y"), store)
    params = revive(asked.get("fit_params") or {}, store)
    options = {"params": params, "seed": asked.get("seed", 0), "name": asked.get("name") or f"{kind}-search"}
    try:
        halving = prepare_halving(search, X, y, store=store, **options)
    except StoreUnavailable:  # the disk is full: the store is only read from now on
        store = open_store(store)
        halving = prepare_halving(search, X, y, store=store, **options)
    return HalvingSearch(
        spec=halving.start,
        sklearn=search,
        store=store,
        resources=asked.get("resources") or {},
        limits=limits,
        verbose=asked.get("verbose", 1),
        started=started,
        halving=halving,
        approve=approve,
    )


def _build(kind: str, asked: dict[str, Any], store: Any) -> Any:
    """An unfitted scikit-learn search with what was asked for."""
    from sklearn.experimental import enable_halving_search_cv  # noqa: F401 - before the classes
    from sklearn.model_selection import HalvingGridSearchCV, HalvingRandomSearchCV

    family = HalvingGridSearchCV if kind == "halving-grid" else HalvingRandomSearchCV
    names = [name for name in inspect.signature(family).parameters if name in asked]
    given = {name: revive(asked[name], store, name) for name in names}
    given["error_score"] = np.nan if given.get("error_score") is None else given["error_score"]
    search = family(**given)
    search._validate_params()
    return search


async def run_halving(search: HalvingSearch, lease: ClusterLease) -> HalvingResult:
    """The result of `search`, run on the leased cluster inside the current flow run."""
    display, artifacts = TerminalDisplay(search.verbose), SearchArtifacts()
    await artifacts.start(search.spec.name, lease)
    with contextlib.ExitStack() as stack:
        stack.callback(display.close, None)
        runner = stack.enter_context(TuneTaskRunner(address=lease.address, client_kwargs=lease.client_kwargs))
        stage = _Stage(search, lease, runner, display, artifacts)
        stack.callback(stage.drop_scratch)
        for rung in search.halving.ladder.rungs:
            await stage.run(rung)
        pass_on_warnings(stage.tally)
        result = stage.with_cost(search.halving.result())
        if search.approve:  # only those of the last iteration can be refitted
            first = len(result) - search.halving.ladder.rungs[-1].size
            result = await approved(result, search.approve, artifacts, candidates_of(result, first))
        # The report is drawn here while a worker fits the best candidate on all rows.
        page, result = await asyncio.gather(artifacts.finish(result.standings()), stage.refit(result))
        result = stage.with_cost(result)
        result = await asyncio.to_thread(write_report, result, page, search.store)
        display.close(result.standings() if search.verbose > 1 else None)
        return result


class _Stage:
    """Where the iterations of one search run, one after the other, and what they have done so far."""

    def __init__(
        self,
        search: HalvingSearch,
        lease: ClusterLease,
        runner: TuneTaskRunner,
        display: TerminalDisplay,
        artifacts: SearchArtifacts,
    ) -> None:
        self.search, self.slots, self.runner = search, lease.n_slots, runner
        self.display, self.artifacts = display, artifacts
        self.tally, self.plan = Tally(), SearchPlan(**dict.fromkeys(_PLAN, 0))
        self.trained = self.taken_over = 0
        self._run_id = uuid.uuid4().hex
        self._scratch: list[str] = []
        self._last: tuple[Driver, Planner] | None = None

    async def run(self, rung: Rung) -> None:
        """Evaluates the candidates that are left with the resource of `rung`."""
        search, halving, store = self.search, self.search.halving, self.search.store
        spec = await asyncio.to_thread(halving.spec, rung)
        compiled = await asyncio.to_thread(CompiledSearch, spec, store)
        planner = Planner(compiled, self.slots, search.resources)
        dry_run = summarise(compiled)
        await note(partial(search_book, compiled), store, spec.scope)
        self.plan = _added(self.plan, dry_run)
        self._scratch.append(f"{self._run_id}-{rung.level}")
        file = await asyncio.to_thread(publish, spec, store, self._scratch[-1], self.search.limits)
        if dry_run.known:
            await note_known(dry_run.known, dry_run.distinct)
        place = f"iteration {rung.level + 1} of {len(halving.ladder.rungs)}"
        stage = f"{place}: {rung.size} with {halving.ladder.resource}={rung.resource}"
        show = Watcher(search, compiled, self.plan, self.display, self.artifacts, stage)
        driver = Driver(compiled, file, self.runner, self.slots, show)
        driver.tally, self._last = self.tally, (driver, planner)
        await show(self.tally)
        await driver.run(_labelled(place, planner.pilot()))
        await asyncio.to_thread(compiled.look_up_prefixes)
        await driver.run(_labelled(place, planner.batches()))
        halving.take_in(rung, compiled, self.tally.failures)
        await asyncio.to_thread(halving.models.drop)
        self.trained, self.taken_over = self.trained + driver.trained, self.taken_over + driver.taken_over

    async def refit(self, result: HalvingResult) -> HalvingResult:
        """The result with its best candidate fitted on all rows, if that is wanted."""
        assert self._last is not None  # there is at least one iteration
        index = result.chosen_index
        row = None if index is None else self.search.halving.row_in_last(index)
        return await refit_best(self.search, result, *self._last, row)

    def with_cost(self, result: HalvingResult) -> HalvingResult:
        result = with_cost(result, self.search, self.plan, self.tally)
        cost = dataclasses.replace(result.cost, trained=self.trained, taken_over=self.taken_over)
        return dataclasses.replace(result, cost=cost)

    def drop_scratch(self) -> None:
        for run_id in self._scratch:
            self.search.store.drop_scratch(run_id)


_PLAN = [field.name for field in dataclasses.fields(SearchPlan)]


def _added(plan: SearchPlan, more: SearchPlan) -> SearchPlan:
    """Both plans as one; seconds are not known where those of one are not."""
    pairs = {name: (getattr(plan, name), getattr(more, name)) for name in _PLAN}
    sums: dict[str, Any] = {name: None if None in pair else sum(pair) for name, pair in pairs.items()}
    return SearchPlan(**sums)


def _labelled(place: str, batches: Iterable[Batch]) -> list[Batch]:
    return [dataclasses.replace(batch, label=f"{place} · {batch.label}") for batch in batches]


class HalvingFlow(SearchFlow):
    """A flow that runs a halving search."""

    ready = staticmethod(ready_halving)


@search_flow("halving-grid-search", "halving-grid", HalvingFlow)
async def ahalving_grid_search(
    estimator: forms.Estimator,
    param_grid: forms.Space,
    X: forms.Data,
    y: forms.Target = None,
    *,
    factor: forms.Factor = 3,
    resource: str = "n_samples",
    max_resources: forms.MaxResources = "auto",
    min_resources: forms.MinResources = "exhaust",
    aggressive_elimination: bool = False,
    cv: forms.Folds = 5,
    scoring: forms.Scoring = None,
    refit: bool = True,
    approve: forms.Approve = False,
    error_score: forms.ErrorScore = None,
    return_train_score: bool = True,
    random_state: forms.Seed = None,
    fit_params: forms.Arguments = None,
    step_seconds: float | None = None,
    step_memory: forms.Memory = None,
    seed: forms.FromZero = 0,
    name: str = "halving-grid-search",
    store: forms.Store = None,
    cluster: forms.Cluster = None,
    n_workers: int | None = None,
    resources: forms.Resources = None,
    worker_resources: forms.Arguments = None,
    verbose: forms.Verbosity = 1,
) -> HalvingResult:
    """The result of successive halving over a grid: fewer and fewer candidates, with more and more resource.

    Args:
        estimator: A scikit-learn estimator, or {"class": "dotted.Name", "params": {...}}.
        param_grid: Parameter name to list of values, or a list of such grids.
        X: Data: arrays, a frame, what ingest() returned, a path to a Parquet, CSV or .npy file, or a saved
            block, such as parquet-data/NAME.
        y: Target: an array, or the name of a column of X.
        factor: One candidate in so many goes on, with so many times the resource.
        resource: What grows: n_samples, or an integer parameter of the estimator.
        max_resources: The most resource of one candidate. Default: all samples.
        min_resources: The resource at the start: a number, smallest, or exhaust to end near max_resources.
        aggressive_elimination: Whether to drop candidates at the first resource until few enough are left.
        cv: Number of folds, or a splitter.
        scoring: A scorer name or a callable.
        refit: Whether to fit the best candidate on all rows.
        approve: Seconds to wait for a person's approval before that; true: an hour.
        error_score: Score of a failed fit; "raise" stops at the first. Default: not a number.
        return_train_score: Whether training scores are computed too.
        random_state: Seed of the samples. Default: derived from seed, so that a second run draws the same.
        fit_params: Arguments of fit, such as groups, sample_weight or step__name.
        step_seconds: The longest that one fit, transform or scoring may take. With a limit, steps run in
            processes that can be killed; the last refit has none.
        step_memory: The most memory that one of them may take, such as "2 GiB".
        seed: Fills every random_state=None, by derivation.
        name: Name of the search, in the UI and in its artifacts.
        store: Folder or URL of the store, or step-store/NAME. Default: tune in PREFECT_HOME.
        cluster: Address of a Dask scheduler, dask-cluster/NAME, or {"class": ..., "kwargs": ...}. Default:
            the cluster of the enclosing flow, else local workers.
        n_workers: Number of local workers. Default: all cores.
        resources: Dask resources by step, such as {"clf": {"GPU": 1}}.
        worker_resources: Dask resources that each local worker offers.
        verbose: 0 is silent, 1 shows progress, 2 the result too.
    """
    return await search_body("halving-grid", locals(), ready_halving, run_halving)


@search_flow("halving-randomized-search", "halving-randomized", HalvingFlow)
async def ahalving_randomized_search(
    estimator: forms.Estimator,
    param_distributions: forms.Space,
    X: forms.Data,
    y: forms.Target = None,
    *,
    n_candidates: forms.Pool = "exhaust",
    factor: forms.Factor = 3,
    resource: str = "n_samples",
    max_resources: forms.MaxResources = "auto",
    min_resources: forms.MinResources = "smallest",
    aggressive_elimination: bool = False,
    cv: forms.Folds = 5,
    scoring: forms.Scoring = None,
    refit: bool = True,
    approve: forms.Approve = False,
    error_score: forms.ErrorScore = None,
    return_train_score: bool = True,
    random_state: forms.Seed = None,
    fit_params: forms.Arguments = None,
    step_seconds: float | None = None,
    step_memory: forms.Memory = None,
    seed: forms.FromZero = 0,
    name: str = "halving-randomized-search",
    store: forms.Store = None,
    cluster: forms.Cluster = None,
    n_workers: int | None = None,
    resources: forms.Resources = None,
    worker_resources: forms.Arguments = None,
    verbose: forms.Verbosity = 1,
) -> HalvingResult:
    """The result of successive halving over candidates drawn from distributions.

    Args:
        estimator: A scikit-learn estimator, or {"class": "dotted.Name", "params": {...}}.
        param_distributions: Parameter name to distribution or list of values, or a list of such spaces.
        X: Data: arrays, a frame, what ingest() returned, a path to a Parquet, CSV or .npy file, or a saved
            block, such as parquet-data/NAME.
        y: Target: an array, or the name of a column of X.
        n_candidates: Candidates at the start: a number, or exhaust for as many as max_resources pays for.
        factor: One candidate in so many goes on, with so many times the resource.
        resource: What grows: n_samples, or an integer parameter of the estimator.
        max_resources: The most resource of one candidate. Default: all samples.
        min_resources: The resource at the start: a number, smallest, or exhaust to end near max_resources.
        aggressive_elimination: Whether to drop candidates at the first resource until few enough are left.
        cv: Number of folds, or a splitter.
        scoring: A scorer name or a callable.
        refit: Whether to fit the best candidate on all rows.
        approve: Seconds to wait for a person's approval before that; true: an hour.
        error_score: Score of a failed fit; "raise" stops at the first. Default: not a number.
        return_train_score: Whether training scores are computed too.
        random_state: Seed of candidates and samples. Default: derived from seed.
        fit_params: Arguments of fit, such as groups, sample_weight or step__name.
        step_seconds: The longest that one fit, transform or scoring may take. With a limit, steps run in
            processes that can be killed; the last refit has none.
        step_memory: The most memory that one of them may take, such as "2 GiB".
        seed: Fills every random_state=None, by derivation.
        name: Name of the search, in the UI and in its artifacts.
        store: Folder or URL of the store, or step-store/NAME. Default: tune in PREFECT_HOME.
        cluster: Address of a Dask scheduler, dask-cluster/NAME, or {"class": ..., "kwargs": ...}. Default:
            the cluster of the enclosing flow, else local workers.
        n_workers: Number of local workers. Default: all cores.
        resources: Dask resources by step, such as {"clf": {"GPU": 1}}.
        worker_resources: Dask resources that each local worker offers.
        verbose: 0 is silent, 1 shows progress, 2 the result too.
    """
    return await search_body("halving-randomized", locals(), ready_halving, run_halving)


halving_grid_search = sync_twin(ahalving_grid_search)
halving_randomized_search = sync_twin(ahalving_randomized_search)
