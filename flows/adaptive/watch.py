"""The live face of an adaptive search, in the terminal and in the UI."""

from __future__ import annotations

import time
from typing import Any

from prefect_tune.flows.adaptive.board import Board
from prefect_tune.flows.adaptive.end import with_cost
from prefect_tune.flows.adaptive.search import AdaptiveSearch
from prefect_tune.flows.artifacts import SearchArtifacts
from prefect_tune.flows.display import TerminalDisplay
from prefect_tune.flows.run import PUBLISH_EVERY
from prefect_tune.history import adaptive_table, history_entries
from prefect_tune.report.progress import Progress
from prefect_tune.report.text import counted
from prefect_tune.results import AdaptiveResult
from prefect_tune.text import short


class Watcher:
    """Draws the state of the search after each batch and round, in the terminal and in the UI."""

    def __init__(self, search: AdaptiveSearch, display: TerminalDisplay, artifacts: SearchArtifacts) -> None:
        self.search, self.display, self.artifacts = search, display, artifacts
        races, splits = search.drawn.races, search.spec.n_splits
        self._planned = splits * sum(r.schedule.plan(len(r.rows)).partial_fit_calls for r in races)
        self._shown = 0.0
        self._published = search.started

    async def __call__(self, board: Board) -> None:
        now = time.perf_counter()
        if now - self._shown < 0.2 and not self._over(board):
            return
        self._shown = now
        spec = self.search.spec
        reached = sum(board.reached.values())
        best: dict[str, Any] = {}
        if board.best is not None:
            params = spec.candidates[board.best[1]]
            best = {
                "best_score": board.best[0],
                "best_params": ", ".join(f"{n}={short(v, 30)}" for n, v in params.items()),
            }
        found = f"{counted(board.found, 'round')} found" if board.found else ""
        progress = Progress(
            name=spec.name,
            total=self._planned,
            done=reached,
            failed=len(board.failures),
            task_runs_done=board.tally.task_runs,
            task_runs=board.tally.planned,
            elapsed=now - self.search.started,
            unit=f"{spec.resource.unit}",
            message=found if board.tally.planned or board.found else "planning",
            **best,
        )
        self.display.update(progress)
        if now - self._published > PUBLISH_EVERY:
            self._published = now
            await self._publish(board)
        await self.artifacts.update(progress)

    def _over(self, board: Board) -> bool:
        """Whether nothing is left to train."""
        return sum(board.reached.values()) >= self._planned

    async def _publish(self, board: Board) -> None:
        histories = [history for history in board.histories if history.events]
        if not histories:
            return
        spec = self.search.spec
        table = adaptive_table(histories, spec.drawn, spec.metrics, spec.metric)
        partial = AdaptiveResult(
            name=spec.name,
            cv_results=table,
            best_index=None,
            best_params=None,
            best_score=None,
            metric=spec.metric,
            metrics=spec.metrics,
            n_splits=spec.n_splits,
            history=history_entries(histories, spec.drawn, spec.metric),
            metadata=dict(self.search.drawn.metadata),
            resource=spec.resource.name,
        )
        await self.artifacts.publish(with_cost(partial, self.search, board))
