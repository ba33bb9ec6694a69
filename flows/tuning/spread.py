"""Folds of running trials, worked out ahead on workers that have nothing else to do.

Rule 1: only folds that a trial will come to before its next decision: nothing is run that is not needed.
Rule 2: what is found goes into the store, where the trial looks before it fits. So nothing here is decided or
written down, and whatever goes wrong here costs nothing but time.
Rule 3: from the last fold backwards, while the trial itself goes forward; where they meet, one waits.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Iterator, Mapping

from prefect_tune.flows.flight import Flight
from prefect_tune.flows.tuning.search import TuneSearch
from prefect_tune.identity import encode as enc
from prefect_tune.tasks.objective.folds import AHEAD, FoldObjective
from prefect_tune.tasks.objective.protocol import Ask, ObjectiveFile
from prefect_tune.tasks.objective.task import order, run_trial
from prefect_tune.tasks.runner import TuneTaskRunner
from prefect_tune.tuning.jobs import Chain, TrialJob

PATIENCE = 1.0
"""Seconds that a job must have been out: short ones are done before help is there."""
LAST = -(10**6)  # priority: after every trial


class Spread:
    """Sends folds ahead.

    Args:
        search: the question; only one over an estimator has folds.
        file: where workers find the objective.
        runner: the started task runner.
        slots: of the cluster.
    """

    def __init__(self, search: TuneSearch, file: ObjectiveFile, runner: TuneTaskRunner, slots: int) -> None:
        self.search, self.file, self.slots = search, file, slots
        self._applies = isinstance(search.objective.function, FoldObjective)
        self._flight = Flight(runner, asyncio.Queue())
        self._jobs: dict[int, int] = {}  # number of a fold sent ahead -> that of the job it helps
        self._seen: dict[int, float] = {}
        self._sent: set[tuple[int, int]] = set()

    async def __call__(self, running: Mapping[int, TrialJob]) -> int:
        """How many task runs have ended since the last call; idle workers have folds to do now."""
        if not self._applies:
            return 0
        ended = await asyncio.to_thread(self._landed)
        for number in [n for n, job in self._jobs.items() if job not in running]:
            self._flight.flying[number].cancel()
            self._forget(number)
        free = self.slots - len(running) - len(self._flight)
        for job, fold in self._wanted(running) if free > 0 else ():
            self._submit(job, fold)
            free -= 1
            if free <= 0:
                break
        return ended

    def end(self) -> None:
        """Cancels what is under way."""
        self._flight.abandon()

    def _landed(self) -> int:
        """How many came back; what became of them is in the store."""
        ended = 0
        while not self._flight.landed.empty():
            number, future = self._flight.landed.get_nowait()
            future.outcome()  # lets Dask forget it
            self._forget(number)
            ended += 1
        return ended

    def _forget(self, number: int) -> None:
        self._flight.take(number)
        self._jobs.pop(number, None)

    def _wanted(self, running: Mapping[int, TrialJob]) -> Iterator[tuple[TrialJob, int]]:
        """Folds to work out ahead, the oldest trial's first, counted from 1."""
        now = time.monotonic()
        for number, job in sorted(running.items(), key=lambda item: item[1].trial):
            if now - self._seen.setdefault(number, now) < PATIENCE or job.until is None:
                continue
            for fold in range(job.until, job.since + 1, -1):
                if (job.trial, fold) not in self._sent:
                    yield job, fold

    def _submit(self, job: TrialJob, fold: int) -> None:
        number = len(self._sent)
        self._sent.add((job.trial, fold))
        self._jobs[number] = job.number
        ahead = dataclasses.replace(
            job,
            number=number,
            config={**job.config, AHEAD: fold - 1},
            chain=Chain(enc.digest("fold-ahead/v1", job.chain.key, fold).hex()),
            since=0,
            until=1,
            last=True,
        )
        self._flight.submit(
            number,
            number,
            run_trial,
            {
                "label": f"trial {job.trial} · fold {fold} ahead",
                "order": order(Ask(self.file, ahead, self.search.limits)),
            },
            resources=self.search.resources,
            priority=LAST - job.trial,
        )
