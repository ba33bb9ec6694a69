"""The flows `grid_search` and `randomized_search`, and their async twins.

Each can be called with live objects, from a script, a notebook, a sync or an async flow; and each can be
deployed, since its parameters are flat JSON. What is live is checked and put into the store before the flow
run exists; the run's parameters hold references.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from typing import Any

from anyio.from_thread import start_blocking_portal
from prefect import Flow

from prefect_tune.data import DataRef
from prefect_tune.errors import StoreUnavailable
from prefect_tune.flows import forms
from prefect_tune.flows.approval import patience_of
from prefect_tune.flows.display import TerminalDisplay
from prefect_tune.flows.places import Places, open_places, open_store, require_models
from prefect_tune.flows.run import Search, run_search
from prefect_tune.flows.saved import data_form, judged, place_forms, with_data
from prefect_tune.report.progress import Progress
from prefect_tune.request import build_search, portable, reference, resolve_data, revive
from prefect_tune.results import SearchResult
from prefect_tune.search import prepare
from prefect_tune.tasks.api import api_settings
from prefect_tune.tasks.cluster import enclosing_cluster
from prefect_tune.tasks.isolation.limits import limits_of

HANDED_OVER: ContextVar[tuple[Search, Places] | None] = ContextVar("prefect_tune_search", default=None)
"""What the caller has made ready, for the flow run it is about to start in the same process."""


def ready_search(kind: str, asked: dict[str, Any]) -> Search:
    """A search ready to run, from flow parameters in JSON form or live.

    Raises:
        UserError: for anything that cannot work; nothing has been submitted then.
    """
    started = time.perf_counter()
    store = open_store(asked.get("store"))
    search = asked.get("sklearn") or build_search(kind, asked, store)
    if search.refit:
        require_models(store, "refit fits one: or pass refit=False")
    approve, limits = patience_of(asked, refit=bool(search.refit)), limits_of(asked)
    asked = with_data(asked, store)
    X, y = resolve_data(asked["X"], asked.get("y"), store)
    params = revive(asked.get("fit_params") or {}, store)
    seed, name = asked.get("seed", 0), asked.get("name") or f"{kind}-search"
    options = {"params": params, "seed": seed, "name": name}
    try:
        spec = prepare(search, X, y, store=store, **options)
    except StoreUnavailable:  # the disk is full: the store is only read from now on
        store = open_store(store)
        spec = prepare(search, X, y, store=store, **options)
    return Search(
        spec=spec,
        sklearn=search,
        store=store,
        resources=asked.get("resources") or {},
        limits=limits,
        verbose=asked.get("verbose", 1),
        started=started,
        approve=approve,
    )


def json_parameters(asked: dict[str, Any], search: Search) -> dict[str, Any]:
    """`asked` as the flow run's parameters: plain JSON, with references to the store for what is live."""
    spec, store = search.spec, search.store
    special: dict[str, Any] = {
        "X": data_form(asked["X"], spec.X),
        "y": spec.y.to_json() if isinstance(spec.y, DataRef) else None,
        "fit_params": {
            name: reference(value, store) for name, value in (asked.get("fit_params") or {}).items()
        },
        **place_forms(asked, store),
    }
    plain = {
        name: portable(value, store) for name, value in asked.items() if name not in {*special, "sklearn"}
    }
    return {**plain, **special}


async def search_body(
    kind: str, asked: dict[str, Any], ready: Callable[..., Any] = ready_search, run: Any = run_search
) -> Any:
    """The flow's body: uses what the caller made ready, or makes it ready itself (in a deployment)."""
    handed = HANDED_OVER.get()
    if handed is not None:
        HANDED_OVER.set(None)
        return await run(handed[0], handed[1].lease)
    with judged():
        search = await asyncio.to_thread(ready, kind, asked)
        places = await asyncio.to_thread(open_places_for, asked)
    try:
        return await run(search, places.lease)
    finally:
        await asyncio.to_thread(places.close)


def open_places_for(asked: dict[str, Any]) -> Places:
    """API and cluster that the parameters of a flow ask for, started where they must be."""
    display = TerminalDisplay(asked.get("verbose", 1))
    name = asked.get("name") or "search"
    try:
        return open_places(
            asked.get("cluster"),
            asked.get("n_workers"),
            asked.get("worker_resources"),
            lambda text: display.update(Progress(name=name, message=text)),
        )
    finally:
        display.close(None)


class SearchFlow(Flow):
    """A flow that takes live objects when it is called, and plain JSON when it is deployed.

    Attributes:
        kind: which search it runs.
        twin: the async flow that a sync one runs.
        ready: makes a search of that kind ready, from what was asked.
        parameters_of: gives the flow run's parameters, from what was asked and the ready search.
    """

    ready: Callable[[str, dict[str, Any]], Any] = staticmethod(ready_search)
    parameters_of: Callable[[dict[str, Any], Any], dict[str, Any]] = staticmethod(json_parameters)
    kind: str = "grid"
    twin: Flow | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The `SearchResult`; a coroutine of it for the async flows."""
        bound = inspect.signature(self.fn).bind(*args, **kwargs)
        bound.apply_defaults()
        return self.start(dict(bound.arguments))

    def start(self, asked: dict[str, Any]) -> Any:
        """Runs the flow with `asked`, which may hold a ready scikit-learn search as `sklearn`."""
        if asked.get("cluster") is None and asked.get("n_workers") is None:
            asked["cluster"] = enclosing_cluster()
        if self.isasync:
            return self._judged(asked)
        assert isinstance(self.twin, SearchFlow)  # every sync flow here is made with one
        return run_blocking(self.twin.start(asked))

    async def _judged(self, asked: dict[str, Any]) -> Any:
        """`_run`; inside the flow run of a deployment, what its parameters may name is limited."""
        with judged(always=False):
            return await self._run(asked)

    async def _run(self, asked: dict[str, Any]) -> SearchResult:
        search = await asyncio.to_thread(self.ready, self.kind, asked)
        parameters = await asyncio.to_thread(self.parameters_of, asked, search)
        places = await asyncio.to_thread(open_places_for, asked)
        token = HANDED_OVER.set((search, places))
        try:
            with api_settings(places.api_url):
                return await Flow.__call__(self, **parameters)
        finally:
            HANDED_OVER.reset(token)
            await asyncio.to_thread(places.close)

    def with_options(self, **options: Any) -> SearchFlow:
        """A flow with other options; its async twin gets the same."""
        other: Any = super().with_options(**options)
        other.__class__ = type(self)  # Prefect makes a plain Flow
        other.kind = self.kind
        other.twin = self.twin.with_options(**options) if self.twin is not None else None
        return other


def run_blocking(work: Coroutine[Any, Any, Any]) -> Any:
    """What `work` returns, run on an event loop of its own in a thread, in the caller's context.

    So it works with and without a running loop. Ctrl-C cancels the work and waits for it to clean up.
    """

    async def run() -> Any:
        return await work

    with start_blocking_portal() as portal:
        future = portal.start_task_soon(run)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise


def search_flow(name: str, kind: str, family: type[SearchFlow] = SearchFlow) -> Any:
    """A decorator that makes an async function a flow of `family`."""

    def wrap(fn: Any) -> SearchFlow:
        made = family(fn, name=name, flow_run_name="{name}", validate_parameters=False, persist_result=False)
        made.kind = kind
        return made

    return wrap


@search_flow("grid-search", "grid")
async def agrid_search(
    estimator: forms.Estimator,
    param_grid: forms.Space,
    X: forms.Data,
    y: forms.Target = None,
    *,
    scoring: forms.Scoring = None,
    cv: forms.Folds = None,
    refit: forms.Refit = True,
    approve: forms.Approve = False,
    error_score: forms.ErrorScore = None,
    return_train_score: bool = False,
    fit_params: forms.Arguments = None,
    step_seconds: float | None = None,
    step_memory: forms.Memory = None,
    seed: forms.FromZero = 0,
    name: str = "grid-search",
    store: forms.Store = None,
    cluster: forms.Cluster = None,
    n_workers: int | None = None,
    resources: forms.Resources = None,
    worker_resources: forms.Arguments = None,
    verbose: forms.Verbosity = 1,
) -> SearchResult:
    """The result of an exhaustive search over a grid, with equal steps run once.

    Args:
        estimator: A scikit-learn estimator, or {"class": "dotted.Name", "params": {...}}.
        param_grid: Parameter name to list of values, or a list of such grids.
        X: Data: arrays, a frame, what ingest() returned, a path to a Parquet, CSV or .npy file, or a saved
            block, such as parquet-data/NAME.
        y: Target: an array, or the name of a column of X.
        scoring: A scorer name, a list or dict of them, or a callable.
        cv: Number of folds, or a splitter.
        refit: Whether to fit the best candidate on all rows; a metric's name, or a callable.
        approve: Seconds to wait for a person's approval before that; true: an hour.
        error_score: Score of a failed fit; "raise" stops at the first. Default: not a number.
        return_train_score: Whether training scores are computed too.
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
    return await search_body("grid", locals())


@search_flow("randomized-search", "randomized")
async def arandomized_search(
    estimator: forms.Estimator,
    param_distributions: forms.Space,
    X: forms.Data,
    y: forms.Target = None,
    *,
    n_iter: forms.AtLeastOne = 10,
    random_state: forms.Seed = None,
    scoring: forms.Scoring = None,
    cv: forms.Folds = None,
    refit: forms.Refit = True,
    approve: forms.Approve = False,
    error_score: forms.ErrorScore = None,
    return_train_score: bool = False,
    fit_params: forms.Arguments = None,
    step_seconds: float | None = None,
    step_memory: forms.Memory = None,
    seed: forms.FromZero = 0,
    name: str = "randomized-search",
    store: forms.Store = None,
    cluster: forms.Cluster = None,
    n_workers: int | None = None,
    resources: forms.Resources = None,
    worker_resources: forms.Arguments = None,
    verbose: forms.Verbosity = 1,
) -> SearchResult:
    """The result of a search over candidates drawn from distributions, with equal steps run once.

    Args:
        estimator: A scikit-learn estimator, or {"class": "dotted.Name", "params": {...}}.
        param_distributions: Parameter name to distribution or list of values, or a list of such spaces.
        X: Data: arrays, a frame, what ingest() returned, a path to a Parquet, CSV or .npy file, or a saved
            block, such as parquet-data/NAME.
        y: Target: an array, or the name of a column of X.
        n_iter: Number of candidates to draw.
        random_state: Seed of the draw. Default: derived from seed, so that a second run draws the same.
        scoring: A scorer name, a list or dict of them, or a callable.
        cv: Number of folds, or a splitter.
        refit: Whether to fit the best candidate on all rows; a metric's name, or a callable.
        approve: Seconds to wait for a person's approval before that; true: an hour.
        error_score: Score of a failed fit; "raise" stops at the first. Default: not a number.
        return_train_score: Whether training scores are computed too.
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
    return await search_body("randomized", locals())


def sync_twin(async_flow: SearchFlow) -> SearchFlow:
    """The sync face of an async flow: same name, parameters, documentation and runs."""

    def run(*args: Any, **kwargs: Any) -> SearchResult:
        return run_blocking(async_flow.fn(*args, **kwargs))

    run.__name__ = run.__qualname__ = async_flow.fn.__name__.removeprefix("a")
    run.__doc__, run.__module__ = async_flow.fn.__doc__, async_flow.fn.__module__
    run.__signature__ = inspect.signature(async_flow.fn, eval_str=True)  # type: ignore[attr-defined]
    made = type(async_flow)(
        run, name=async_flow.name, flow_run_name="{name}", validate_parameters=False, persist_result=False
    )
    made.kind, made.twin = async_flow.kind, async_flow
    return made


grid_search = sync_twin(agrid_search)
randomized_search = sync_twin(arandomized_search)
