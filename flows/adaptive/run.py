"""An adaptive search from its spec to its result: the order of events, on one screen."""

from __future__ import annotations

import asyncio
import uuid
from contextvars import ContextVar
from functools import partial
from typing import Any

from prefect import flow

from prefect_tune.flows.adaptive.board import Board
from prefect_tune.flows.adaptive.end import keep_best, release_losers, rounds_book, tabulate, with_cost
from prefect_tune.flows.adaptive.first_steps import PrefixDispatch
from prefect_tune.flows.adaptive.race import RaceRunner
from prefect_tune.flows.adaptive.search import AdaptiveSearch
from prefect_tune.flows.adaptive.watch import Watcher
from prefect_tune.flows.approval import approved, candidates_of
from prefect_tune.flows.artifacts import SearchArtifacts
from prefect_tune.flows.display import TerminalDisplay
from prefect_tune.flows.noted import noted
from prefect_tune.flows.outage import Outage
from prefect_tune.flows.run import note_known, write_report
from prefect_tune.history import RaceHistory
from prefect_tune.results import AdaptiveResult
from prefect_tune.tasks.batch import SearchFile, publish
from prefect_tune.tasks.cluster import ClusterLease
from prefect_tune.tasks.runner import TuneTaskRunner


async def run_adaptive(search: AdaptiveSearch, lease: ClusterLease) -> AdaptiveResult:
    """The result of `search`, run on the leased cluster inside the current flow run.

    Raises:
        ApiUnreachable: the API went away and did not come back; all rounds so far are in the store.
    """
    outage = Outage(search.store.root)
    async with outage.watched():
        return await _run(search, lease, outage)


async def _run(search: AdaptiveSearch, lease: ClusterLease, outage: Outage) -> AdaptiveResult:
    spec, store, run_id = search.spec, search.store, uuid.uuid4().hex
    display, artifacts = TerminalDisplay(search.verbose), SearchArtifacts()
    await artifacts.start(spec.name, lease)
    watcher = Watcher(search, display, artifacts)
    board = Board(
        spec, store, lease.n_slots, search.drawn.max_resource, search.resources, search.started, watcher
    )
    file = await asyncio.to_thread(publish, spec, store, run_id, search.limits)
    explained = noted(partial(rounds_book, search, board), store, spec.scope, board.thread)
    try:
        async with explained:
            with TuneTaskRunner(address=lease.address, client_kwargs=lease.client_kwargs) as runner:
                await watcher(board)
                await PrefixDispatch(board, file, runner).fit_all()
                await board.off_loop(board.foresee, search.drawn.races)
                histories = await run_brackets(search, board, file, lease, outage)
                if board.found:
                    await note_known(board.found, board.found + board.run, "rounds")
                result = tabulate(search, board, histories)
                if search.approve:
                    result = with_cost(result, search, board)
                    result = await approved(result, search.approve, artifacts, candidates_of(result))
                page, result = await asyncio.gather(
                    artifacts.finish(with_cost(result, search, board)),
                    keep_best(search, result, board, file, runner),
                )
        await board.off_loop(release_losers, search, result, board)
        result = with_cost(result, search, board)
        result = await asyncio.to_thread(write_report, result, page, store)
        display.close(result if search.verbose > 1 else None)
        return result
    finally:
        display.close(None)
        board.thread.shutdown(wait=False)
        await asyncio.to_thread(store.drop_scratch, run_id)


# -- brackets ----------------------------------------------------------------------------------------

IN_FLOW: ContextVar[Any] = ContextVar("prefect_tune_bracket", default=None)
"""What a bracket's flow run works with; live, so it is no parameter."""


@flow(
    name="bracket",
    flow_run_name="{label} · {candidates} candidates",
    validate_parameters=False,
    persist_result=False,
)
async def run_bracket(label: str, candidates: int, first: int, last: int) -> Any:
    """All scores of one bracket of an adaptive search.

    Args:
        label: Name of the bracket.
        candidates: Number of its candidates.
        first: Units of the resource before candidates are compared for the first time.
        last: Units that the best ones get.
    """
    race, board, file, lease, gate, outage = IN_FLOW.get()
    gate.begun.set()
    async with outage.watched():
        with TuneTaskRunner(address=lease.address, client_kwargs=lease.client_kwargs) as runner:
            history = await RaceRunner(board, race, file, runner).race()
    await gate.to_end()
    return history


class Gate:
    """Lets flow runs begin and end one at a time.

    A database of one file answers several of them at once with errors, and the client then waits for seconds.

    Attributes:
        begun: set once the bracket's body runs.
    """

    def __init__(self, turn: asyncio.Lock) -> None:
        self.begun, self._turn, self._ending = asyncio.Event(), turn, False

    async def to_end(self) -> None:
        """Waits until this flow run may end; `ended` makes room for the next."""
        await self._turn.acquire()
        self._ending = True

    def ended(self, _: Any) -> None:
        if self._ending:
            self._turn.release()


async def run_brackets(
    search: AdaptiveSearch, board: Board, file: SearchFile, lease: ClusterLease, outage: Outage
) -> list[RaceHistory]:
    """The histories of all brackets, which run side by side, each as a flow run of its own.

    They begin and end one after the other; see `Gate`.
    """
    running: list[asyncio.Task[RaceHistory]] = []
    turn = asyncio.Lock()
    try:
        for race in search.drawn.races:
            gate = Gate(turn)
            decisions = race.schedule.plan(len(race.rows)).decisions
            async with turn:
                token = IN_FLOW.set((race, board, file, lease, gate, outage))
                bracket = run_bracket(race.label, len(race.rows), decisions[0], decisions[-1])
                running.append(asyncio.create_task(bracket))
                IN_FLOW.reset(token)
                running[-1].add_done_callback(gate.ended)
                waiting = asyncio.create_task(gate.begun.wait())
                await asyncio.wait({waiting, running[-1]}, return_when=asyncio.FIRST_COMPLETED)
                waiting.cancel()
        return list(await asyncio.gather(*running))
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
