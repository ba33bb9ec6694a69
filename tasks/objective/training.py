"""A job in the cell: the objective is called, and what it reports is written as it comes.

Rule 1: training goes on from the latest state within the known reports; without one from the beginning, and
what is reported again up to there is passed over: the first report of a resource stands.
Rule 2: the global generators are seeded at the start of every stretch, so that a generator that was kept and
one that was restored from its state go on alike.
Rule 3: a state is stored before the reports that end a stretch: whoever finds the reports finds the state.
"""

from __future__ import annotations

import functools
import time
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from prefect_tune.errors import InfrastructureError
from prefect_tune.identity.seeds import low32
from prefect_tune.store import MissingBlob, Record
from prefect_tune.tasks.objective.calls import Calls
from prefect_tune.tasks.objective.known import Known, end_record, look_up, report_record
from prefect_tune.tasks.objective.protocol import Ask
from prefect_tune.tasks.objective.reading import Reading, no_report, read
from prefect_tune.tasks.seeding import seed_globals
from prefect_tune.tuning.jobs import JobOutcome, Reported
from prefect_tune.tuning.objective import Kind, Objective

LAZY = (types.FunctionType, types.MethodType, functools.partial)
"""What makes a state when it is wanted; a module of a neural network can be called too, and is a state."""


@dataclass(slots=True)
class Kept:
    """A generator that waits after a report, for the next stretch of the same chain."""

    chain: str
    resource: int
    reports: Any

    def close(self) -> None:
        self.reports.close()


class Training:
    """One job.

    Args:
        ask: the job and where its results go.
        objective: what to call.
        told: called after each new report.
        kept: the generator that the last job of this cell left, if it is of the same chain.
    """

    def __init__(
        self, ask: Ask, objective: Objective, told: Callable[[Reported], None], kept: Kept | None
    ) -> None:
        self.job, self.limits, self.objective, self.told = ask.job, ask.limits, objective, told
        self.store, self.scope = ask.file.store, ask.file.scope
        self.outcome = JobOutcome(job=ask.job.number, trial=ask.job.trial)
        self.kept = kept
        self.leaves: Kept | None = None
        self._fresh: list[Record] = []
        self._state: tuple[int, Any] | None = None
        self._stored_at = 0
        self._written = time.monotonic()

    def run(self) -> JobOutcome:
        """The outcome; an exception of the user's passes through, after what was found is written.

        Raises:
            ReportError: a report that is none.
        """
        job, objective = self.job, self.objective
        known = look_up(self.store, self.scope, job, resumes=objective.resumes)
        self.outcome.reports, self.outcome.known = list(known.reports), known.reached(job) - job.since
        self.outcome.output = dict(known.output)
        if known.complete(job):
            return known.outcome(job)
        seed_globals(job.seed, f"{job.chain.key} {job.since}".encode())
        started = time.perf_counter()
        try:
            if objective.kind is Kind.RETURNS:
                self._once(started)
            else:
                self._epochs(known, started)
        finally:
            self.outcome.seconds = time.perf_counter() - started
            self._write()
        return self.outcome

    # -- kinds ---------------------------------------------------------------------------------------

    def _once(self, started: float) -> None:
        job = self.job
        value = self.objective.function(job.config, **self.objective.arguments(seed=low32(job.seed)))
        self._take(read(value, self.objective.resource), 1, time.perf_counter() - started)
        self._end(1)

    def _epochs(self, known: Known, started: float) -> None:
        job, begin = self.job, known.state
        reached = known.reached(job)
        kept = self.kept
        if kept is not None and kept.resource >= (begin or 0) and kept.resource in (job.since, reached):
            reports, last = kept.reports, kept.resource
        else:
            if kept is not None:
                kept.close()
            begin, state = self._restored(begin)
            last = begin or job.chain.base
            if job.chain.base and state is None:
                raise InfrastructureError(f"the state that trial {job.trial} was to start from is gone")
            reports = self._opened(state)
        base = self._spent(known, last)
        for value in reports:
            report, state = value if isinstance(value, tuple) and len(value) == 2 else (value, None)
            reading = read(report, self.objective.resource)
            last = resource = reading.after(last, self.objective.resource)
            # A state that came before may be a live object that has moved on since.
            self._state = None if state is None else (resource, state)
            if resource > reached:
                self._take(reading, resource, base + time.perf_counter() - started)
                self._checkpoint(resource)
            if job.until is not None and resource >= job.until:
                self._wait(resource, reports)
                return
        if not self.outcome.reports and last <= job.since:
            raise no_report(self.objective.name)
        self._store_state()
        self._end(last)

    def _opened(self, state: Any) -> Any:
        job, objective = self.job, self.objective
        offered = objective.arguments(resume=state, until=job.until, seed=low32(job.seed))
        if objective.kind is Kind.CALLS:
            return Calls(objective.function, job.config, offered)
        return iter(objective.function(job.config, **offered))

    def _restored(self, resource: int | None) -> tuple[int | None, Any]:
        """The resource and the state to go on from; (None, None) starts from nothing."""
        if resource is None:
            return None, None
        key = self.job.chain.state(resource)
        record = self.store.get(key, self.scope)
        try:
            return (resource, self.store.load(record, "state", writable=True)) if record else (None, None)
        except MissingBlob:
            return None, None

    def _spent(self, known: Known, last: int) -> float:
        """Seconds that the trial had trained at the resource from which it goes on."""
        if last <= self.job.chain.base:
            return 0.0
        at = {report.resource: report.seconds for report in known.reports}
        return at.get(last, self.job.spent)

    def _wait(self, resource: int, reports: Any) -> None:
        """Stores where the trial stands, and keeps its generator if it is likely to go on here."""
        self._store_state()
        if self.job.last or "until" in self.objective.takes:  # which was told another limit
            reports.close()
        else:
            self.leaves = Kept(self.job.chain.key, resource, reports)

    # -- writing -------------------------------------------------------------------------------------

    def _take(self, reading: Reading, resource: int, seconds: float) -> None:
        before = self.outcome.reports[-1].resource if self.outcome.reports else self.job.since
        report = Reported(resource, reading.metrics, seconds, reading.cost)
        self.outcome.reports.append(report)
        self.outcome.trained += resource - before
        stored = self._store_artefacts(resource, reading.artefacts) if reading.artefacts else ()
        self._fresh.append(report_record(self.job, report, before, stored))
        self.told(report)

    def _checkpoint(self, resource: int) -> None:
        """Writes within a long job, by units or by the clock."""
        every = self.limits.checkpoint_every
        late = time.monotonic() - self._written > self.limits.checkpoint_seconds
        if late or (every is not None and resource % every == 0):
            self._store_state()
            self._write()

    def _store_state(self) -> None:
        if self._state is None or self._state[0] <= self._stored_at:
            return
        resource, state = self._state
        value = state() if isinstance(state, LAZY) else state
        record = Record(key=self.job.chain.state(resource), kind="state", family="trial")
        stored = self.store.put(record, {"state": value}, self.scope)
        if stored.outputs:
            self.outcome.states[resource] = stored.bytes
            self._stored_at = resource
        else:
            text = f"the state at {resource} could not be stored; the trial would start again from nothing"
            self.outcome.warnings[("UserWarning", text)] = 1

    def _store_artefacts(self, resource: int, artefacts: Mapping[str, Any]) -> Iterable[str]:
        """The names of what the store now has."""
        key = self.job.chain.artefacts(resource)
        stored = self.store.put(Record(key=key, kind="artefacts", family="trial"), artefacts, self.scope)
        names = list(artefacts) if stored.outputs else []
        self.outcome.output |= dict.fromkeys(names, resource)
        return names

    def _end(self, resource: int) -> None:
        self.outcome.ended = True
        self._fresh.append(end_record(self.job, resource))

    def _write(self) -> None:
        if self._fresh:
            self.store.put_pack(self._fresh, self.scope)
            self._fresh = []
        self._written = time.monotonic()
