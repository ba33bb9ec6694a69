"""Adaptive searches in this process: all but their flow runs, on threads that know nothing yet."""

from __future__ import annotations

import asyncio
import uuid
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from prefect_tune.flows.adaptive.board import Board
from prefect_tune.flows.adaptive.end import keep_best, release_losers, tabulate, with_cost
from prefect_tune.flows.adaptive.first_steps import PrefixDispatch
from prefect_tune.flows.adaptive.race import RaceRunner
from prefect_tune.flows.adaptive.ready import ready_adaptive
from prefect_tune.results import AdaptiveResult
from prefect_tune.tasks.batch import publish


class Ended:
    """What stands for a task run's future."""

    def __init__(self, future: Future) -> None:
        self.future = future

    def add_done_callback(self, function: Any) -> None:
        self.future.add_done_callback(lambda _: function(self))

    def outcome(self) -> None:
        """Nothing is ever lost here."""

    def result(self) -> Any:
        return self.future.result().data

    def cancel(self) -> None:
        self.future.cancel()


class Threads:
    """What stands for a task runner: so many workers of one thread."""

    def __init__(self, slots: int) -> None:
        self.pool = ThreadPoolExecutor(slots)

    def lost(self) -> None:
        """None: it is always there."""

    def submit(self, task: Any, parameters: dict[str, Any]) -> Ended:
        return Ended(self.pool.submit(task.fn, **parameters))


def search(
    kind: str, estimator: Any, space: Any, X: Any, y: Any = None, *, slots: int = 2, **asked: Any
) -> AdaptiveResult:
    """The result of an adaptive search; `asked` are the flow's parameters."""
    asked = {"random_state": 0, **asked, "estimator": estimator, "parameters": space, "X": X, "y": y}
    return asyncio.run(_run(ready_adaptive(kind, asked), slots))


async def _run(ready: Any, slots: int) -> AdaptiveResult:
    async def told(_: Board) -> None:
        pass

    board = Board(
        ready.spec, ready.store, slots, ready.drawn.max_resource, ready.resources, ready.started, told
    )
    file, runner = publish(ready.spec, ready.store, uuid.uuid4().hex, ready.limits), Threads(slots)
    try:
        await PrefixDispatch(board, file, runner).fit_all()
        await board.off_loop(board.foresee, ready.drawn.races)
        races = [RaceRunner(board, race, file, runner).race() for race in ready.drawn.races]
        histories = await asyncio.gather(*races)
        result = await keep_best(ready, tabulate(ready, board, histories), board, file, runner)
        await board.off_loop(release_losers, ready, result, board)
        return with_cost(result, ready, board)
    finally:
        runner.pool.shutdown(cancel_futures=True)
        board.thread.shutdown()
