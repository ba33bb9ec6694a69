"""The live face of a search over an objective: the terminal, the artifacts, and the callbacks."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any

from prefect.logging import get_logger

from prefect_tune.flows.artifacts import SearchArtifacts
from prefect_tune.flows.display import TerminalDisplay
from prefect_tune.flows.run import PUBLISH_EVERY
from prefect_tune.flows.tuning.end import partial_result
from prefect_tune.flows.tuning.search import TuneSearch
from prefect_tune.report.progress import Progress
from prefect_tune.report.text import counted, params_text
from prefect_tune.report.tune.live import Standings
from prefect_tune.tasks.objective.protocol import ObjectiveFile
from prefect_tune.tasks.objective.task import topic
from prefect_tune.tasks.runner import TuneTaskRunner
from prefect_tune.trials import TrialState
from prefect_tune.tuning.result import TuneResult
from prefect_tune.tuning.trial import Trial


class Watcher:
    """Draws the state of the search after each event, and tells the callbacks.

    Reports of jobs that still run arrive as Dask events, so that the terminal moves within a long job too.
    """

    def __init__(
        self,
        search: TuneSearch,
        display: TerminalDisplay,
        artifacts: SearchArtifacts,
        runner: TuneTaskRunner,
        file: ObjectiveFile,
    ) -> None:
        self.search, self.display, self.artifacts = search, display, artifacts
        self._shown = 0.0
        self._published = search.started
        self._live: dict[int, int] = {}  # trial -> resource of its latest report, heard or taken in
        self._told: dict[int, tuple[int, TrialState]] = {}
        self._begun = False  # whether the callbacks know of the search
        self._standings = Standings(search.settings.mode, whole=search.settings.whole)
        self._client, self._topic = runner.client, topic(file)
        with contextlib.suppress(Exception):  # only the display is poorer without
            self._client.subscribe_topic(self._topic, self._hear)

    async def __call__(self, loop: Any) -> None:
        await asyncio.to_thread(self._tell, loop.tuner)
        now = time.perf_counter()
        if now - self._shown < 0.2 and not loop.tuner.over:
            return
        self._shown = now
        progress = self._progress(loop, now)
        self.display.update(progress)
        if now - self._published > PUBLISH_EVERY and loop.tuner.metric is not None:
            self._published = now
            await self.artifacts.publish(partial_result(self.search, loop), figures=True)
        await self.artifacts.update(progress)

    async def finish(self, result: TuneResult) -> None:
        """Tells the callbacks that the search has ended."""
        with contextlib.suppress(Exception):
            self._client.unsubscribe_topic(self._topic)
        await asyncio.to_thread(self._tell, result)  # also what ended with the search
        await asyncio.to_thread(self._each, "search_ended", result)

    def interrupted(self, error: BaseException) -> None:
        """Tells the callbacks that there will be no result."""
        if self._begun:
            self._each("search_interrupted", error)

    def _hear(self, event: Any) -> None:
        _, (trial, resource, _) = event
        self._live[trial] = max(resource, self._live.get(trial, 0))

    def _progress(self, loop: Any, now: float) -> Progress:
        tuner, settings = loop.tuner, self.search.settings
        states = [trial.state for trial in tuner.trials]
        finished = sum(state.finished for state in states)
        heard = sum(max(self._live.get(t.index, 0) - t.resource, 0) for t in tuner.trials)
        paused = sum(state is TrialState.PAUSED for state in states)
        words = [f"{len(tuner.running)} running"]
        words += [f"{paused} paused"] if paused else []
        words += [counted(tuner.usage.resource + heard, "unit")] if settings.schedule.levels != (1,) else []
        return Progress(
            name=self.search.name,
            total=max(settings.budget.n_trials or 0, len(states)),
            done=min(finished + paused, max(settings.budget.n_trials or 0, len(states))),
            failed=tuner.usage.failed,
            task_runs_done=loop.task_runs,
            task_runs=loop.task_runs + len(tuner.running),
            elapsed=now - self.search.started,
            unit="trial",
            message=", ".join(words),
            **self._best(tuner.trials),
        )

    def _best(self, trials: list[Trial]) -> dict[str, Any]:
        """The best trial so far, and the leaders."""
        self._standings.read(trials)
        if (found := self._standings.best()) is None:
            return {}
        score, best = found
        return {
            "best_score": score,
            "best_params": params_text(self._standings.params(best)),
            "leaders": self._standings.lines(),
        }

    # -- callbacks -----------------------------------------------------------------------------------

    def _tell(self, tuner: Any) -> None:
        """Tells the callbacks what is new: trials that began, reports, trials that ended."""
        if not self.search.callbacks:
            return
        if not self._begun:
            self._begun = True
            self._each("search_started", self.search.info)
        for trial in tuner.trials:
            known, state = self._told.get(trial.index, (-1, None))
            if known < 0:
                self._each("trial_started", trial)
                known = 0
            for report in trial.reports[known:]:
                self._each("trial_reported", trial, report)
            if trial.state.finished and trial.state is not state:
                self._each("trial_ended", trial)
            self._told[trial.index] = len(trial.reports), trial.state

    def _each(self, what: str, *arguments: Any) -> None:
        """Calls every callback that has the method; one that raises is reported, and the search goes on."""
        for callback in self.search.callbacks:
            if (method := getattr(callback, what, None)) is None:
                continue
            try:
                method(*arguments)
            except Exception:
                get_logger("prefect_tune").warning(
                    "callback %s.%s failed", type(callback).__name__, what, exc_info=True
                )
