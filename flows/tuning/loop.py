"""The event loop of a search over an objective: what came back is taken in, what is next is sent.

Rule 1: what the tuner decides is in the journal before it is acted on.
Rule 2: what the store knows of a job is looked up here; a job that is known to its end is never submitted.
Rule 3: suggestions are drawn in a thread; for a sampler with a model, before a worker is free, so that none
waits for one.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from distributed import KilledWorker

from prefect_tune.errors import InfrastructureError
from prefect_tune.flows.flight import Flight
from prefect_tune.flows.tuning.diary import Diary
from prefect_tune.flows.tuning.search import TuneSearch
from prefect_tune.flows.tuning.spread import Spread
from prefect_tune.samplers.contract import NoSuggestion, Question, Suggestion
from prefect_tune.tasks.futures import cut_off
from prefect_tune.tasks.objective.known import look_up
from prefect_tune.tasks.objective.protocol import Ask, ObjectiveFile
from prefect_tune.tasks.objective.task import TrialFailed, order, run_trial
from prefect_tune.tasks.runner import TuneFuture, TuneTaskRunner
from prefect_tune.tasks.threads import one_thread
from prefect_tune.tuning.jobs import Fault, JobOutcome, TrialJob
from prefect_tune.tuning.tuner import Tuner

ATTEMPTS = 3
"""How often a job is sent whose worker was lost."""
TICK = 0.5  # seconds between two looks at the clock

Message = tuple[Any, Any]


class Loop:
    """Runs the trials of one search.

    Args:
        search: the question.
        tuner: decides; replayed already if the search is resumed.
        file: where workers find the objective.
        runner: the started task runner.
        diary: the journal.
        told: called after each event.
        spread: sends folds ahead where workers are idle.
    """

    def __init__(
        self,
        search: TuneSearch,
        tuner: Tuner,
        file: ObjectiveFile,
        runner: TuneTaskRunner,
        diary: Diary,
        told: Callable[[Loop], Awaitable[None]],
        spread: Spread,
    ) -> None:
        self.search, self.tuner, self.file, self.diary, self.told = search, tuner, file, diary, told
        self.spread = spread
        self.task_runs = 0
        self.suggesting = 0.0
        self.suggestions = 0
        self.warnings: Counter = Counter()
        self._messages: asyncio.Queue[Message] = asyncio.Queue()
        self._flight = Flight(runner, self._messages)
        self._lost: Counter = Counter()
        self._asking: asyncio.Task[None] | None = None
        self._waiting = False  # the sampler wants to see results first
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="prefect-tune-suggest")
        sampler = search.settings.sampler
        self._ahead = sampler.startup > 0 and tuner.settings.max_concurrent > 1

    async def run(self) -> None:
        """Nothing; no trial runs and none will.

        Raises:
            UnknownMetric: at the first report that lacks the metric.
            InfrastructureError: when jobs were lost again and again.
        """
        self._loop = asyncio.get_running_loop()
        try:
            await self._fill()
            while not self.tuner.over or self._asking is not None:
                try:
                    async with asyncio.timeout(TICK):
                        message = await self._messages.get()
                except TimeoutError:
                    message = None
                    self._flight.check()
                if message is not None:
                    await self._hear(*message)
                await self._fill()
                self.task_runs += await self.spread(self.tuner.running)
                await self.told(self)
        finally:
            await asyncio.to_thread(self._end)

    # -- giving out ----------------------------------------------------------------------------------

    async def _fill(self) -> None:
        while True:
            self._ask()
            job = self.tuner.next(self.diary.elapsed())
            await self._write()
            if job is None:
                return
            await self._send(job)

    async def _send(self, job: TrialJob) -> None:
        known = await asyncio.to_thread(
            look_up, self.search.store, self.search.scope, job, resumes=self.search.objective.resumes
        )
        if known.complete(job):
            await self._take(known.outcome(job))
            return
        self._submit(job)

    def _submit(self, job: TrialJob) -> None:
        ask = Ask(self.file, job, self.search.limits)
        self._flight.submit(
            job.number,
            job,
            run_trial,
            {"label": label_of(job), "order": order(ask)},
            resources=self.search.resources,
            priority=-job.trial,
        )

    def _ask(self) -> None:
        """Has the next suggestion drawn, unless that is under way or nobody wants one."""
        if self._asking is None and not self._waiting:
            question = self.tuner.question(ahead=self._ahead)
            if question is not None:
                self._asking = asyncio.create_task(self._draw(question))

    async def _draw(self, question: Question) -> None:
        found: Any
        start = time.perf_counter()
        try:
            found = await self._loop.run_in_executor(self._pool, self._suggest, question)
        except Exception as error:  # told to the loop, which ends the search by it
            found = error
        self._messages.put_nowait((question, (found, time.perf_counter() - start)))

    def _suggest(self, question: Question) -> Suggestion:
        if not self.search.settings.sampler.startup:
            return self.tuner.suggest(question)
        with one_thread():
            return self.tuner.suggest(question)

    # -- taking in -----------------------------------------------------------------------------------

    async def _hear(self, item: Any, came: Any) -> None:
        if isinstance(item, Question):
            self._suggested(item, *came)
            return
        self._flight.take(item.number)
        outcome = await asyncio.to_thread(self._outcome, item, came)
        if outcome is None:
            self._submit(item)
            return
        self.task_runs += 1
        await self._take(outcome)

    def _suggested(self, question: Question, found: Suggestion | Exception, seconds: float) -> None:
        self._asking = None
        if isinstance(found, Exception):
            raise found
        self.suggesting += seconds
        self.suggestions += 1
        self.tuner.suggested(question, found, seconds)
        # A sampler that waits is asked again when something has come back.
        self._waiting = found is NoSuggestion.WAIT

    async def _take(self, outcome: JobOutcome) -> None:
        self._waiting = False
        self.warnings.update(outcome.warnings)
        released = self.tuner.take(outcome, self.diary.elapsed())
        await self._write()
        if released:
            await asyncio.to_thread(self.search.store.release, released)

    def _outcome(self, job: TrialJob, future: TuneFuture) -> JobOutcome | None:
        """What the job did; None if it was lost and is sent again."""
        found = future.outcome()
        if isinstance(found, BaseException):
            return self._again(job, found)
        try:
            return future.result()
        except TrialFailed as failed:
            return failed.outcome

    def _again(self, job: TrialJob, cause: BaseException) -> JobOutcome | None:
        """None for a job that is sent again; its outcome when it was lost too often.

        Raises:
            InfrastructureError: every job was lost, so it is not this trial's fault.
        """
        if cut_off(cause):
            return None
        self._lost[job.number] += 1
        if self._lost[job.number] < ATTEMPTS and not isinstance(cause, KilledWorker):
            return None
        if not any(trial.reports for trial in self.tuner.trials) and len(self._lost) > 1:
            raise InfrastructureError(
                f"task runs were lost again and again ({cause!r}) before any trial reported; run the same "
                "search again to go on."
            ) from cause
        text = f"{type(cause).__name__}: the workers that ran it were lost"
        return JobOutcome(job=job.number, trial=job.trial, fault=Fault.LOST, cause=text)

    async def _write(self) -> None:
        if self.tuner.log:
            events, self.tuner.log = self.tuner.log, []
            halted = self.tuner.halted
            await asyncio.to_thread(self.diary.write, events)
            if halted is not None and halted.cancel:
                self.diary.stop(self.file.stop)

    def _end(self) -> None:
        self.diary.stop(self.file.stop)
        self._flight.abandon()
        self.spread.end()
        self._pool.shutdown(wait=False, cancel_futures=True)


def label_of(job: TrialJob) -> str:
    """The name of a job's task run.

    >>> from prefect_tune.tuning.jobs import Chain
    >>> label_of(TrialJob(number=0, trial=12, config={}, chain=Chain(""), since=3, until=9))
    'trial 12 · 3 to 9'
    """
    if job.until is None or job.until == 1:
        return f"trial {job.trial}" if not job.since else f"trial {job.trial} · from {job.since}"
    return f"trial {job.trial} · {job.since} to {job.until}"
