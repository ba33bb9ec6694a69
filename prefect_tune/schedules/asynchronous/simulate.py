"""Searches over tables of learning curves, under a simulated clock: no work, no waiting, the same every time.

Rule 1: a worker reports at every unit of resource; simultaneous events come in the order they were scheduled.
Rule 2: a free worker is served at once; idle workers are asked again after every event.
Rule 3: chance (slow jobs, lost jobs) depends on (seed, trial, start of the job), not on the order of events.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count

from prefect_tune.schedules.asynchronous.contract import Decision, Job, TrialSchedule, Verdict
from prefect_tune.schedules.asynchronous.replay import Answer, Event, Recorder, Told
from prefect_tune.trials import TrialRecord, TrialState, generator

Suggest = Callable[[int, Sequence[TrialRecord]], int]
"""The table's row for a new trial, by its index and the records of all trials before it.

The records show the search as it stands and are made when looked at; who wants to keep them copies them.
The configuration of a record is `{"row": row}`."""

_STATES = {
    Verdict.PAUSE: TrialState.PAUSED,
    Verdict.STOP: TrialState.STOPPED,
    Verdict.COMPLETE: TrialState.COMPLETED,
    Verdict.FAIL: TrialState.FAILED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """The workers and their luck.

    Attributes:
        workers: how many.
        unit_time: time of one unit of resource, by the table's row; 1 each without it.
        spread: standard deviation of the logarithm of a job's slowness; 0 for equal speed.
        drop: chance that a job is lost at a unit, its trial with it.
        seed: of both.
    """

    workers: int = 1
    unit_time: Sequence[float] | None = None
    spread: float = 0.0
    drop: float = 0.0
    seed: int = 0

    def pace(self, job: Job, row: int) -> float:
        """Time of one unit in this job."""
        unit = 1.0 if self.unit_time is None else float(self.unit_time[row])
        if not self.spread:
            return unit
        slowness = generator(self.seed, "pace", job.trial, job.since).lognormal(0.0, self.spread)
        return unit * float(slowness)

    def lost_at(self, job: Job) -> float:
        """Resource at which this job is lost; infinite if it is not."""
        if not self.drop:
            return math.inf
        return job.since + int(generator(self.seed, "drop", job.trial, job.since).geometric(self.drop))


@dataclass(frozen=True, slots=True)
class Step:
    """One report in the simulated time.

    Attributes:
        time: of the report.
        spent: units of resource trained by all workers until now, this one included.
    """

    time: float
    spent: int
    trial: int
    resource: int
    loss: float
    verdict: Verdict


@dataclass(slots=True)
class Ran:
    """A trial of a simulation: its row, its end, the resource it got."""

    row: int
    bracket: int
    state: TrialState = TrialState.RUNNING
    resource: int = 0


@dataclass(frozen=True)
class Simulation:
    """What has happened.

    Attributes:
        trials: in the order of their start.
        steps: every report, in time order.
        spent: units of resource trained in all.
        makespan: time of the last event.
        busy: time that workers worked, added up.
        ranking: trials, best first, as the schedule sees it.
        events, answers: the log, for `replay`.
    """

    trials: tuple[Ran, ...]
    steps: tuple[Step, ...]
    spent: int
    makespan: float
    busy: float
    workers: int
    ranking: tuple[int, ...]
    events: tuple[Event, ...]
    answers: tuple[Answer, ...]

    @property
    def idle_share(self) -> float:
        """The part of all workers' time that was not worked."""
        whole = self.workers * self.makespan
        return 1 - self.busy / whole if whole else 0.0

    @property
    def best_row(self) -> int | None:
        """The table's row of the schedule's answer."""
        return self.trials[self.ranking[0]].row if self.ranking else None

    @cached_property
    def best_so_far(self) -> tuple[tuple[float, int, float], ...]:
        """(time, spent, loss) wherever the smallest loss reported so far falls."""
        found: list[tuple[float, int, float]] = []
        for step in self.steps:
            if math.isfinite(step.loss) and (not found or step.loss < found[-1][2]):
                found.append((step.time, step.spent, step.loss))
        return tuple(found)

    def reached(self, resource: int) -> int:
        """How many trials have reported a finite loss at the resource."""
        return sum(step.resource == resource and math.isfinite(step.loss) for step in self.steps)


def simulate(
    schedule: TrialSchedule,
    losses: Sequence[Sequence[float]],
    *,
    trials: int,
    world: World | None = None,
    suggest: Suggest | None = None,
    seed: int = 0,
) -> Simulation:
    """A search of so many trials over a table.

    Promotions go on after the last trial has started, until nobody passes.

    Args:
        schedule: who goes on.
        losses: a learning curve per row: the loss at resource r stands at index r, index 0 is not read. A
            curve that ends before the schedule's maximum is a function that returns by itself.
        trials: how many are started.
        world: the workers; one, if not given.
        suggest: gives the row of a new trial. Without it, the rows in their order.
        seed: of the schedule.
    """
    return _Clock(schedule, losses, trials=trials, world=world or World(), suggest=suggest, seed=seed).run()


@dataclass(order=True, slots=True)
class _Due:
    """A report to come; equal times in the order of scheduling."""

    time: float
    number: int
    job: Job = field(compare=False)
    resource: int = field(compare=False)
    pace: float = field(compare=False)
    lost_at: float = field(compare=False)


class _Clock:
    """One simulation under way."""

    def __init__(
        self,
        schedule: TrialSchedule,
        losses: Sequence[Sequence[float]],
        *,
        trials: int,
        world: World,
        suggest: Suggest | None,
        seed: int,
    ) -> None:
        self.losses, self.limit, self.world, self.suggest = losses, trials, world, suggest
        self.ran: list[Ran] = []
        width = len(str(len(losses) - 1))
        machine = schedule.begin(seed, lambda trial: f"{self.ran[trial].row:0{width}d}")
        self.machine, self.log = machine, Recorder(machine)
        self.due: list[_Due] = []
        self.steps: list[Step] = []
        self.now, self.spent, self.busy, self.free = 0.0, 0, 0.0, world.workers
        self.numbers = count()

    def run(self) -> Simulation:
        """Serves workers and takes events in turn until neither is left."""
        self._serve()
        while self.due:
            self._take(heapq.heappop(self.due))
            self._serve()
        for trial, ran in enumerate(self.ran):
            if ran.state is TrialState.PAUSED:
                self.log.tell(Told.STOP, trial)
                ran.state = TrialState.STOPPED
        return Simulation(
            trials=tuple(self.ran),
            steps=tuple(self.steps),
            spent=self.spent,
            makespan=self.now,
            busy=self.busy,
            workers=self.world.workers,
            ranking=tuple(self.machine.ranking()),
            events=tuple(self.log.events),
            answers=tuple(self.log.answers),
        )

    def _serve(self) -> None:
        """Gives work to free workers while there is any."""
        while self.free:
            index = len(self.ran) if len(self.ran) < self.limit else None
            job = self.log.tell(Told.OFFER, index)
            if not isinstance(job, Job):
                return
            if job.trial == index:
                self.ran.append(Ran(self._row(job), job.bracket))
            self.free -= 1
            ran = self.ran[job.trial]
            ran.state = TrialState.RUNNING
            pace, lost_at = self.world.pace(job, ran.row), self.world.lost_at(job)
            self._next(_Due(self.now, 0, job, job.since, pace, lost_at))

    def _row(self, job: Job) -> int:
        """The table's row of a new trial; a copy has that of its parent."""
        if job.parent is not None:
            return self.ran[job.parent].row
        return job.trial if self.suggest is None else self.suggest(job.trial, _Records(self))

    def _next(self, last: _Due) -> None:
        """Puts the unit after this one on the clock, or tells that the function has returned."""
        resource, ran = last.resource + 1, self.ran[last.job.trial]
        if resource >= len(self.losses[ran.row]):
            answer = self.log.tell(Told.DONE, last.job.trial)
            self._end(ran, answer.verdict if isinstance(answer, Decision) else Verdict.COMPLETE)
            return
        due = _Due(self.now + last.pace, next(self.numbers), last.job, resource, last.pace, last.lost_at)
        heapq.heappush(self.due, due)

    def _take(self, due: _Due) -> None:
        """One event: a report, or the loss of a job."""
        trial, ran = due.job.trial, self.ran[due.job.trial]
        self.now = due.time
        self.busy += due.pace
        self.spent += 1
        ran.resource = due.resource
        if due.resource >= due.lost_at:
            self.log.tell(Told.FAIL, trial)
            self._end(ran, Verdict.FAIL)
            return
        loss = float(self.losses[ran.row][due.resource])
        decision = self.log.tell(Told.REPORT, trial, due.resource, loss)
        verdict = decision.verdict if isinstance(decision, Decision) else Verdict.CONTINUE
        self.steps.append(Step(self.now, self.spent, trial, due.resource, loss, verdict))
        if verdict is Verdict.CONTINUE:
            self._next(due)
        else:
            self._end(ran, verdict)

    def _end(self, ran: Ran, verdict: Verdict) -> None:
        ran.state = _STATES[verdict]
        self.free += 1


class _Records(Sequence[TrialRecord]):
    """What a sampler may know of the trials now; each record is made when it is looked at."""

    def __init__(self, clock: _Clock) -> None:
        self.clock = clock

    def __len__(self) -> int:
        return len(self.clock.ran)

    def __getitem__(self, trial):  # type: ignore[no-untyped-def]
        if isinstance(trial, slice):
            return [self[each] for each in range(*trial.indices(len(self)))]
        trial = range(len(self))[trial]
        ran, machine = self.clock.ran[trial], self.clock.machine
        final = None
        if ran.state is TrialState.COMPLETED:
            final = float(self.clock.losses[ran.row][ran.resource])
        losses, pending = machine.losses(trial), machine.pending(trial)
        return TrialRecord(trial, {"row": ran.row}, ran.state, losses, pending, final)
