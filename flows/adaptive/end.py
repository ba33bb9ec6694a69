"""The end of an adaptive search: its table, its best model, what it cost, and what need not be kept."""

from __future__ import annotations

import asyncio
import dataclasses
import time
import uuid
import warnings
from collections.abc import Sequence

from prefect_tune.errors import UserError
from prefect_tune.explained import Book, enter_chain, training_book
from prefect_tune.flows.adaptive.board import Board, BoardDispatch
from prefect_tune.flows.adaptive.search import AdaptiveSearch
from prefect_tune.flows.run import flow_run_page, pass_on_warnings
from prefect_tune.history import RaceHistory, adaptive_table, history_entries, metadata_done, winning_row
from prefect_tune.model import ModelRef
from prefect_tune.races import Race
from prefect_tune.report.text import params_text
from prefect_tune.results import AdaptiveResult, Cost, Failure
from prefect_tune.rounds import ModelUnit, RoundBatch
from prefect_tune.tasks.batch import SearchFile, publish
from prefect_tune.tasks.runner import TuneTaskRunner


def tabulate(search: AdaptiveSearch, board: Board, histories: Sequence[RaceHistory]) -> AdaptiveResult:
    """The result without a model.

    Raises:
        UserError: every candidate failed.
    """
    spec = search.spec
    pass_on_warnings(board.tally)
    best = winning_row(histories, spec.metric)
    failures = list_failures(board)
    if best is None:
        first = failures[0].tail if failures else "no candidate has a finite score"
        raise UserError(
            f"all {len(spec.candidates)} candidates failed; set error_score='raise' to see the first error "
            f"as it was raised. The first:\n{first}"
        )
    if failures:
        warnings.warn(
            f"{len({f.candidate for f in failures})} of {len(spec.candidates)} candidates failed and were "
            f"dropped; the first: {failures[0].cause}. See the report for all of them.",
            UserWarning,
            stacklevel=2,
        )
    shown = float("nan") if spec.error_score == "raise" else float(spec.error_score)
    table = adaptive_table(histories, spec.drawn, spec.metrics, spec.metric, shown)
    rows = [row for history in histories for row in history.race.rows]
    index = rows.index(best)
    return AdaptiveResult(
        name=spec.name,
        cv_results=table,
        best_index=index,
        best_params=table["params"][index],
        best_score=float(table[f"mean_test_{spec.metric}"][index]),
        metric=spec.metric,
        metrics=spec.metrics,
        n_splits=spec.n_splits,
        failures=failures,
        uncacheable=spec.uncacheable(),
        history=history_entries(histories, spec.drawn, spec.metric),
        metadata=dict(search.drawn.metadata),
        metadata_done=metadata_done(search.drawn, histories),
        resource=spec.resource.name,
        rounds_found=board.found,
        rounds_run=board.run,
    )


def list_failures(board: Board) -> tuple[Failure, ...]:
    """The failures in the order of the candidates."""
    return tuple(
        Failure(
            candidate=row,
            params=params_text(dict(board.spec.drawn[row])),
            fold=split,
            cause=failure.cause,
            tail=failure.tail,
        )
        for (row, split), failure in sorted(board.failures.items())
    )


def rounds_book(search: AdaptiveSearch, board: Board) -> Book:
    """What the keys of the search are made of, as far as it is; only for use in the board's thread."""
    levels = {row: [level] for race in search.drawn.races for row, level in _first_round(race).items()}
    for event in (event for history in list(board.histories) for event in list(history.events)):
        if event.level not in levels[event.row]:
            levels[event.row].append(event.level)
    paths = {row: [tuple(reached[: i + 1]) for i in range(len(reached))] for row, reached in levels.items()}
    splits = range(board.spec.n_splits)
    reached = {(row, split): found for row, found in paths.items() for split in splits}
    book = training_book(board.spec, reached, board.chain)
    if board.kept is not None:
        chain, fold, key = board.kept
        book.model(key, enter_chain(book, chain, fold))
    return book


def _first_round(race: Race) -> dict[int, int]:
    """Row -> the level at which the candidate is scored first."""
    rows = dict(zip(race.keys, race.rows, strict=True))
    targets = race.schedule.next_round(RaceHistory(race, []).reports(""))
    return {rows[key]: level for key, level in targets.items()}


class ModelDispatch(BoardDispatch):
    """Leaves the best candidate's whole estimator in the store."""

    async def keep(self, unit: ModelUnit) -> str:
        """The key of the model; the calls that it took are on the board."""
        outcomes = await self.run([RoundBatch(index=0, leaves=(unit,), label="best model")])
        for outcome in outcomes:
            ran = {family: count for family, (count, _) in outcome.ran.items()}
            self.board.refit_calls += self.board.calls_of(ran)
        return outcomes[0].model


async def keep_best(
    search: AdaptiveSearch, result: AdaptiveResult, board: Board, file: SearchFile, runner: TuneTaskRunner
) -> AdaptiveResult:
    """The result with its best model in the store: as it was scored, or trained once more on all rows.

    With an approval it is the model of the candidate that was approved, if any was.
    """
    index = result.chosen_index
    if index is None:
        return result
    begun, spec = time.perf_counter(), search.spec
    rows = [row for race in search.drawn.races for row in race.rows]
    row = rows[index]
    path = tuple(
        entry["partial_fit_calls"]
        for entry in result.history
        if entry["model_id"] == result.cv_results["model_id"][index]
    )
    run_id = ""
    if search.refit:
        spec = dataclasses.replace(spec, split=spec.split.everything(), candidates=[spec.candidates[row]])
        row, run_id = 0, uuid.uuid4().hex
        file = await asyncio.to_thread(publish, spec, search.store, run_id)
    inner = Board(
        spec, search.store, board.slots, board.max_resource, board.resources, board.started, _quietly
    )
    inner.tally = board.tally
    try:
        chain = await inner.off_loop(inner.chain, row, 0)
        starts: tuple[int, ...] = ()
        if spec.resource.by_calls:
            starts = tuple(sorted({chain.calls(level) for level in path}, reverse=True))
        key = await ModelDispatch(inner, file, runner).keep(ModelUnit(row, 0, path, starts))
        board.refit_calls = inner.refit_calls
        board.kept = chain, -1 if search.refit else 0, key
    finally:
        inner.thread.shutdown(wait=False)
        if run_id:
            await asyncio.to_thread(search.store.drop_scratch, run_id)
    store = search.store
    root = store.home_of(key, spec.scope) if hasattr(store, "home_of") else store.root
    model = ModelRef(store=str(root), scope=spec.scope, key=key)
    return dataclasses.replace(result, model=model, refit_seconds=time.perf_counter() - begun)


async def _quietly(_: Board) -> None:
    """Nothing is shown of the last task run."""


def with_cost(result: AdaptiveResult, search: AdaptiveSearch, board: Board) -> AdaptiveResult:
    """The result with what it has cost so far and its page in the UI."""
    calls = board.calls_of(board.tally.ran)
    known = board.known if search.spec.resource.by_calls else board.found
    cost = Cost(
        uses=known + calls,
        distinct=known + calls,
        known=known,
        run=calls,
        failed=len(board.failures),
        task_runs=board.tally.task_runs,
        seconds_run=board.tally.seconds,
        seconds_saved=board.reused,
        wall_seconds=time.perf_counter() - search.started,
        bytes_written=board.tally.bytes_written,
        waited=board.tally.waited,
        unit="training call" if search.spec.resource.by_calls else "fit",
        calls=calls,
        refit_calls=board.refit_calls,
    )
    return dataclasses.replace(result, cost=cost, flow_run_url=flow_run_page())


def release_losers(search: AdaptiveSearch, result: AdaptiveResult, board: Board) -> int:
    """Bytes freed by dropping checkpoints beyond what `keep_checkpoints` asks for.

    Scores stay, so a repeated search still trains nothing; a larger one may have to train again.
    """
    keep = search.keep
    if not keep.limited:
        return 0
    ranks = result.cv_results[f"rank_test_{result.metric}"]
    rows = [row for race in search.drawn.races for row in race.rows]
    order = sorted(range(len(rows)), key=lambda i: (int(ranks[i]), i))
    kept = {rows[i] for i in order[: keep.per_search]}
    levels: dict[int, list[int]] = {row: [] for row in rows}
    names = dict(zip(result.cv_results["model_id"], rows, strict=True))
    for entry in result.history:
        levels[names[entry["model_id"]]].append(entry["partial_fit_calls"])
    doomed = []
    for row, path in levels.items():
        path = sorted(path)
        last = path[-keep.per_candidate :] if keep.per_candidate else path
        for split in range(search.spec.n_splits):
            chain = board.chain(row, split)
            stations = [path[: i + 1] for i in range(len(path))]
            doomed += [
                chain.key(station).hex() for station in stations if row not in kept or station[-1] not in last
            ]
    return search.store.release(doomed)
