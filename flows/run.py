"""A search from its spec to its result: the order of events, on one screen."""

from __future__ import annotations

import asyncio
import dataclasses
import time
import uuid
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from prefect.context import FlowRunContext
from prefect.logging import get_logger
from prefect.states import Completed
from prefect.tasks import task

from prefect_tune.batches import Planner
from prefect_tune.explained import model_book, search_book
from prefect_tune.flows.approval import approved, candidates_of
from prefect_tune.flows.artifacts import SearchArtifacts, artifact_key
from prefect_tune.flows.dispatch import Tally
from prefect_tune.flows.display import TerminalDisplay
from prefect_tune.flows.drive import Driver
from prefect_tune.flows.noted import note
from prefect_tune.plan import CompiledSearch, SearchPlan, summarise
from prefect_tune.report.pages import Found
from prefect_tune.report.pages import page as page_of
from prefect_tune.report.progress import Progress
from prefect_tune.results import Cost, ModelRef, SearchResult
from prefect_tune.search import SearchSpec
from prefect_tune.table import (
    cv_results,
    list_failures,
    metric_names,
    partial_result,
    score_rows,
    select_best,
    warn_or_raise,
)
from prefect_tune.tasks.batch import publish
from prefect_tune.tasks.cluster import ClusterLease
from prefect_tune.tasks.isolation.limits import StepLimits
from prefect_tune.tasks.runner import TuneTaskRunner
from prefect_tune.text import short

Result = TypeVar("Result", bound=SearchResult)
Told = TypeVar("Told", bound=Found)

PUBLISH_EVERY = 5.0
"""Seconds between two renewals of the leaderboard and the report while a search runs."""
LIVE_ROWS = 20_000
"""Rows of the table above which they are made at the end only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """A search that is ready to run.

    Attributes:
        spec: the question, the data by reference, the candidates.
        sklearn: the scikit-learn search it was made from; decides on refit and formats the table.
        store: where results are found and left.
        resources: step name -> Dask resources.
        limits: what each step may use.
        verbose: 0 is silent, 1 shows progress, 2 the result too.
        started: clock at the call.
        approve: seconds that a person has to approve the best candidate before the refit; 0: nobody is asked.
    """

    spec: SearchSpec
    sklearn: Any
    store: Any
    resources: Mapping[str, Mapping[str, float]]
    limits: StepLimits
    verbose: int
    started: float
    approve: int = 0


@task(name="known", task_run_name="known · {steps} {what}", persist_result=False)
async def note_known(steps: int, distinct: int, what: str = "steps") -> Any:
    """A row in the UI for what the store answered: a Completed state called Cached."""
    return Completed(name="Cached", message=f"{steps} of {distinct} {what} were known", data=steps)


async def run_search(search: Search, lease: ClusterLease) -> SearchResult:
    """The result of `search`, run on the leased cluster inside the current flow run."""
    spec, store, run_id = search.spec, search.store, uuid.uuid4().hex
    display, artifacts = TerminalDisplay(search.verbose), SearchArtifacts()
    await artifacts.start(spec.name, lease)
    compiled = await asyncio.to_thread(CompiledSearch, spec, store)
    planner = Planner(compiled, lease.n_slots, search.resources)
    dry_run = summarise(compiled)
    file = await asyncio.to_thread(publish, spec, store, run_id, search.limits)
    noted = asyncio.create_task(note(partial(search_book, compiled), store, spec.scope))
    try:
        if dry_run.known:
            await note_known(dry_run.known, dry_run.distinct)
        with TuneTaskRunner(address=lease.address, client_kwargs=lease.client_kwargs) as runner:
            show = Watcher(search, compiled, dry_run, display, artifacts)
            await show(Tally())
            driver = Driver(compiled, file, runner, lease.n_slots, show)
            await driver.run(planner.pilot())
            await asyncio.to_thread(compiled.look_up_prefixes)
            await driver.run(planner.batches())
            result = with_cost(_tabulate(search, compiled, driver.tally), search, dry_run, driver.tally)
            if search.approve:
                result = await approved(result, search.approve, artifacts, candidates_of(result))
            # The report is drawn here while a worker fits the best candidate on all rows.
            page, result = await asyncio.gather(
                artifacts.finish(result), refit_best(search, result, driver, planner, result.chosen_index)
            )
        result = with_cost(result, search, dry_run, driver.tally)
        result = await asyncio.to_thread(write_report, result, page, store)
        display.close(result if search.verbose > 1 else None)
        return result
    finally:
        display.close(None)
        await noted
        await asyncio.to_thread(store.drop_scratch, run_id)


class Watcher:
    """Draws the state of the search after each batch, in the terminal and in the UI.

    Args:
        stage: where a search that has several stands.
    """

    def __init__(
        self,
        search: Search,
        compiled: CompiledSearch,
        plan: SearchPlan,
        display: TerminalDisplay,
        artifacts: SearchArtifacts,
        stage: str = "",
    ) -> None:
        self.stage = stage
        self.search, self.compiled, self.plan = search, compiled, plan
        self.display, self.artifacts = display, artifacts
        self.best: tuple[float, str] | None = None
        self._open = dict.fromkeys(range(len(compiled.table)))  # rows with folds to come, in order
        self._shown = 0.0
        self._published = search.started

    async def __call__(self, tally: Tally) -> None:
        now = time.perf_counter()
        if now - self._shown < 0.2 and tally.task_runs < tally.planned:
            return
        self._shown = now
        progress = Progress(
            name=self.search.spec.name,
            total=self.plan.distinct,
            known=self.plan.known,
            done=min(tally.steps, self.plan.to_run),
            failed=len(tally.failures),
            task_runs_done=tally.task_runs,
            task_runs=tally.planned,
            elapsed=now - self.search.started,
            message=self.stage if tally.planned else "planning",
            **self._best(),
        )
        self.display.update(progress)
        if now - self._published > PUBLISH_EVERY and (partial := self._partial(tally)) is not None:
            self._published = time.perf_counter()
            await self.artifacts.publish(partial)
        await self.artifacts.update(progress)

    def _partial(self, tally: Tally) -> SearchResult | None:
        """The result over the candidates that have all folds in; None before there are any."""
        complete = [row for row in range(len(self.compiled.table)) if row not in self._open]
        if not complete or len(complete) * len(self.compiled.table[0]) > LIVE_ROWS:
            return None
        return partial_result(self.compiled, complete, tally.failures, self.search.sklearn)

    def _best(self) -> dict[str, Any]:
        """The best candidate among those with all folds in; each candidate is looked at once."""
        scores = self.compiled.scores
        for row in list(self._open):
            keys = [leaf.score_keys[0] for leaf in self.compiled.table[row]]
            if not all(key in scores for key in keys):
                continue
            del self._open[row]
            values = [scores[key].values["score"] for key in keys]
            if all(isinstance(value, (int, float)) for value in values):
                mean = sum(values) / len(values)
                if self.best is None or mean > self.best[0]:
                    params = self.search.spec.candidates[row]
                    self.best = (mean, ", ".join(f"{n}={short(v, 30)}" for n, v in params.items()))
        return {"best_score": self.best[0], "best_params": self.best[1]} if self.best else {}


def _tabulate(search: Search, compiled: CompiledSearch, tally: Tally) -> SearchResult:
    """The result without a model."""
    spec = search.spec
    pass_on_warnings(tally)
    warn_or_raise(compiled, tally.failures)
    rows = score_rows(compiled, tally.failures)
    table = cv_results(compiled, rows, search.sklearn)
    metrics = metric_names(rows)
    index, metric, score = select_best(search.sklearn, table, metrics)
    return SearchResult(
        name=spec.name,
        cv_results=table,
        best_index=index,
        best_params=table["params"][index] if index is not None else None,
        best_score=score,
        metric=metric,
        metrics=metrics,
        n_splits=spec.n_splits,
        failures=list_failures(compiled, tally.failures),
        uncacheable=spec.uncacheable(),
    )


def pass_on_warnings(tally: Tally) -> None:
    """Nothing; what was warned of in the workers is warned of here."""
    for (category, text), count in tally.warnings.items():
        times = f" ({count} times)" if count > 1 else ""
        warnings.warn(f"{category} in the workers{times}: {text}", UserWarning, stacklevel=3)


async def refit_best(
    search: Search, result: Result, driver: Driver, planner: Planner, row: int | None
) -> Result:
    """The result with its best candidate fitted on all rows, if that is wanted, the model in the store.

    Args:
        row: the candidate, in the search that `planner` plans; None: no model is wanted.
    """
    if row is None or not search.sklearn.refit:
        return result
    start = time.perf_counter()
    outcomes = await driver.run([planner.refit(row)])
    store, scope, key = search.store, search.spec.scope, outcomes[0].model
    root = store.home_of(key, scope) if hasattr(store, "home_of") else store.root
    model = ModelRef(store=str(root), scope=scope, key=key)
    result = dataclasses.replace(result, model=model, refit_seconds=time.perf_counter() - start)
    await note(partial(model_book, planner.compiled, row, key), store, scope, part=True)
    return result


def flow_run_page() -> str:
    """The page of the current flow run in the UI, empty outside of one."""
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        return ""
    from prefect.utilities.urls import url_for

    return url_for(context.flow_run) or ""


def with_cost(result: Result, search: Search, plan: SearchPlan, tally: Tally) -> Result:
    """The result with what it has cost so far and its page in the UI."""
    cost = Cost(
        uses=plan.uses,
        distinct=plan.distinct,
        known=plan.known,
        run=tally.steps,
        failed=len(tally.failures),
        task_runs=tally.task_runs,
        seconds_run=tally.seconds,
        seconds_saved=plan.saved,
        wall_seconds=time.perf_counter() - search.started,
        bytes_written=tally.bytes_written,
        waited=tally.waited,
    )
    return dataclasses.replace(result, cost=cost, flow_run_url=flow_run_page())


def write_report(result: Told, page: str, store: Any) -> Told:
    """The result with the place of its report, a Markdown file beside the store's records."""
    path = Path(store.root) / "reports" / f"{artifact_key(result.name, 'report')}.md"
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        path.write_text(page or page_of(result), encoding="utf-8")
    except OSError:
        return result
    except Exception:  # a search whose report cannot be drawn has its result all the same
        get_logger("prefect_tune").warning("the report of %r could not be made", result.name, exc_info=True)
        return result
    return dataclasses.replace(result, report_path=str(path))
