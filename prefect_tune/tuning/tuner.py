"""The search as a state machine: it is told what came back, and says what is to be done next.

Rule 1: nothing happens here but decisions. Each one becomes an event in `log`, to be written before it is
acted on; the same events, told again, lead to the same state.
Rule 2: trials that go on come first, then what failed and is tried again, then what the schedule offers: a
promotion or a new trial.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from typing import Any

from prefect_tune.errors import UserError
from prefect_tune.samplers.contract import NoSuggestion, Question, Suggestion
from prefect_tune.schedules.asynchronous.contract import Decision, Job, Verdict
from prefect_tune.trials import Config, TrialState
from prefect_tune.tuning.budget import Reached
from prefect_tune.tuning.events import Event, Halted, Reopened, Returned, Started
from prefect_tune.tuning.jobs import Chain, Fault, JobOutcome, Reported, TrialJob
from prefect_tune.tuning.metrics import DEFAULT_NAME, UnknownMetric
from prefect_tune.tuning.roster import Roster
from prefect_tune.tuning.settings import TuneSettings
from prefect_tune.tuning.trial import Trial, TrialReport
from prefect_tune.tuning.usage import Usage

_ENDS = {
    Verdict.STOP: TrialState.STOPPED,
    Verdict.COMPLETE: TrialState.COMPLETED,
    Verdict.FAIL: TrialState.FAILED,
    Verdict.PAUSE: TrialState.PAUSED,
}


class JournalMismatch(UserError):
    """The journal was made by other rules than those in force."""


class Tuner:
    """A search over an objective, decided event by event.

    Attributes:
        log: events since it was last emptied, to be written before they are acted on.
        halted: why the search stops, None while it goes on.
        running: number of each job given out -> the job.
    """

    def __init__(self, settings: TuneSettings) -> None:
        self.settings = settings
        self._roster = Roster(settings)
        self.log: list[Event] = []
        self.halted: Halted | None = None
        self.running: dict[int, TrialJob] = {}
        self.metric = settings.metric
        self.exhausted = self._put_off = False  # whether the sampler has no more, or wants results first
        self._going_on: deque[TrialJob] = deque()  # their start is not in the log yet
        self._given: deque[TrialJob] = deque()  # in the log, but lost with the process that had them
        self._ahead: tuple[int, Suggestion, float] | None = None
        self._machine = settings.schedule.begin(settings.seed, self._roster.key)
        self.usage = Usage()
        self._costs: dict[int, float] = {}  # trial -> cost at its last report

    @property
    def trials(self) -> list[Trial]:
        """All trials, by index."""
        return self._roster.trials

    def chain(self, trial: int) -> Chain:
        """What names the reports and states of a trial."""
        return self._roster.chain(trial)

    # -- what is to be done --------------------------------------------------------------------------

    def next(self, elapsed: float = 0.0) -> TrialJob | None:
        """A job to give out now, None if there is none; its start is in the log.

        Args:
            elapsed: seconds that the search has been active.
        """
        if self._given:
            return self._given.popleft()
        if self.halted is None:
            self._check_budget(elapsed)
        if self.halted is not None and self.halted.cancel:
            return None
        if self._going_on:
            return self._give(self._going_on.popleft(), offered=False, elapsed=elapsed)
        if self.halted is not None or len(self.running) >= self.settings.max_concurrent:
            return None
        fresh = self._fresh()
        incomplete = getattr(self._machine, "incomplete", False)
        if incomplete and fresh is None and self._may_start() and not self._put_off:
            return None  # the suggestion is on its way
        offer = self._offered(fresh)
        if offer is None:
            return None
        suggestion = self._ahead[2] if offer.new and self._ahead is not None and offer.parent is None else 0.0
        config = self._configuration(offer) if offer.new else None
        job = self._job_of(offer, config)
        return self._give(
            job, offered=True, elapsed=elapsed, fresh=fresh, config=config, suggestion=suggestion
        )

    def question(self, ahead: bool = False) -> Question | None:
        """What a sampler should be asked now, None if no suggestion is wanted.

        Args:
            ahead: ask also when no worker is free, for the next one that will be.
        """
        if not self._may_start() or self._ahead is not None or self._going_on or self._given:
            return None
        if not ahead and len(self.running) >= self.settings.max_concurrent:
            return None
        settings = self.settings
        return Question(
            index=len(self.trials),
            space=settings.space,
            records=self._roster.evidence.records(self.trials, self._machine),
            levels=settings.schedule.levels or (1,),
            seed=settings.seed,
            points=len(settings.points),
        )

    def suggest(self, question: Question) -> Suggestion:
        """The configuration of the next trial: a point to evaluate first, else the sampler's."""
        if question.index < len(self.settings.points):
            return self.settings.points[question.index]
        return self.settings.sampler.suggest(question)

    def suggested(self, question: Question, suggestion: Suggestion, seconds: float = 0.0) -> None:
        """Takes in a suggestion, for the trial that starts next."""
        self._put_off = suggestion is NoSuggestion.WAIT
        if suggestion is NoSuggestion.EXHAUSTED:
            self.exhausted = True
        elif suggestion is not NoSuggestion.WAIT and question.index == len(self.trials):
            self._ahead = question.index, suggestion, seconds

    def draw(self) -> None:
        """Asks the sampler at once, where a suggestion is wanted."""
        if (question := self.question()) is not None:
            self.suggested(question, self.suggest(question))

    @property
    def over(self) -> bool:
        """Whether nothing runs and nothing will."""
        return not (self.running or self._going_on or self._given)

    # -- what happened -------------------------------------------------------------------------------

    def take(self, outcome: JobOutcome, elapsed: float = 0.0) -> list[str]:
        """Keys of the states that nobody needs any more, to be released once the log is written.

        The outcome of a job that is not under way any more changes nothing.

        Raises:
            UserError: at the first report, if it lacks the metric.
        """
        job = self.running.pop(outcome.job, None)
        if job is None:
            return []
        self._put_off = False
        self._name_metric(outcome)
        self.log.append(Returned(outcome=outcome, at=elapsed))
        trial = self.trials[outcome.trial]
        trial.seconds += outcome.seconds
        trial.trained += outcome.trained
        trial.known += outcome.known
        self._roster.stored(trial, outcome)
        decision = Decision(Verdict.CONTINUE, job.until)
        for report in outcome.reports:
            found = self._report(trial, report)
            if found.verdict is not Verdict.LATE:
                decision = found
        if trial.state is TrialState.RUNNING:
            self._follow(trial, job, outcome, decision)
        elif outcome.fault not in (None, Fault.LOST):
            # After the report that ended it, e.g. in storing a state.
            trial.error, trial.fault, trial.trace = outcome.cause, outcome.fault, outcome.tail
        if self.halted is None:
            self._check_budget(elapsed)
        return self._roster.released(getattr(self._machine, "donors", frozenset)())

    def _follow(self, trial: Trial, job: TrialJob, outcome: JobOutcome, decision: Decision) -> None:
        """What becomes of a trial that its reports have not ended."""
        if outcome.fault is not None:
            self._faulted(trial, job, outcome)
        elif outcome.ended:
            self._decided(trial, self._machine.done(trial.index))
        else:
            self._go_on(trial, job, decision.until)

    def halt(self, reason: str, *, cancel: bool, elapsed: float = 0.0) -> None:
        """Starts nothing new from now on; with `cancel`, running trials end at their last report."""
        if self.halted is not None and (self.halted.cancel or not cancel):
            return
        self.halted = Halted(reason=reason, cancel=cancel, at=elapsed)
        self.log.append(self.halted)
        if not cancel:
            return
        self._going_on.clear()
        for trial in self.trials:
            if trial.state is TrialState.RUNNING:
                self._machine.stop(trial.index)
                self._settle(trial, TrialState.STOPPED, reason)

    def replay(self, events: Iterable[Event]) -> float:
        """Seconds that the search had been active; its state is that after `events`.

        Jobs that were given out and never came back are given out again. A search that was stopped goes on
        if its budget allows it now.

        Raises:
            JournalMismatch: the rules in force decide otherwise than those that made the journal.
        """
        elapsed = 0.0
        for event in events:
            elapsed = max(elapsed, event.at)
            if isinstance(event, Started):
                self._replay_start(event)
            elif isinstance(event, Returned):
                halted, self.halted = self.halted, self.halted or Halted(reason="", cancel=False)
                self.take(event.outcome, event.at)
                self.halted = halted
            elif isinstance(event, Halted):
                self.halted = None
                self.halt(event.reason, cancel=event.cancel, elapsed=event.at)
            else:
                self.halted = None
        self.log.clear()
        self._given = deque(self.running.values())
        if self.halted is not None and self._reached(elapsed) is None:
            self.halted = None
            self.log.append(Reopened(at=elapsed))
        return elapsed

    # -- how it is done ------------------------------------------------------------------------------

    def ranking(self) -> list[int]:
        """Trials by the schedule's own answer, best first."""
        return self._machine.ranking()

    def _may_start(self) -> bool:
        n_trials = self.settings.budget.n_trials
        room = n_trials is None or self.usage.started < n_trials
        return room and not self.exhausted and self.halted is None

    def _fresh(self) -> int | None:
        """Index of the trial that may be started now: one whose configuration is there."""
        index = len(self.trials)
        ready = self._ahead is not None and self._ahead[0] == index
        return index if ready and self._may_start() else None

    def _reached(self, elapsed: float) -> Reached | None:
        status = self.usage.status(elapsed, self.settings.mode, self.trials)
        return self.settings.budget.reached(status)

    def _offered(self, fresh: int | None) -> Job | None:
        """What the schedule offers; members of a population may end by it without a report of their own."""
        offer = self._machine.offer(fresh)
        for index, reason in getattr(self._machine, "copied_over", {}).items():
            if self.trials[index].state is TrialState.PAUSED:
                self._settle(self.trials[index], TrialState.STOPPED, reason)
        return offer

    def _check_budget(self, elapsed: float) -> None:
        if (reached := self._reached(elapsed)) is not None:
            self.halt(reached.reason, cancel=reached.on_stop == "cancel", elapsed=elapsed)

    def _configuration(self, offer: Job) -> Config:
        if offer.parent is not None:
            settings, donor = self.settings, self.trials[offer.parent]
            schedule: Any = settings.schedule  # only one that copies trials offers a copy
            return schedule.child(donor.config, settings.space, settings.seed, offer.exploit)
        assert self._ahead is not None  # else no new trial was allowed
        return self._ahead[1]  # type: ignore[return-value]

    def _job_of(self, offer: Job, config: Config | None) -> TrialJob:
        """The job of an offer; a new trial is entered."""
        if offer.new:
            assert config is not None
            self.usage.started += offer.parent is None
            self._roster.enter(offer, config)
            self._ahead = None  # a suggestion is for one index only, which a copy may have taken
        return self._roster.stretch(self.trials[offer.trial], offer.since, offer.until)

    def _give(
        self,
        job: TrialJob,
        *,
        offered: bool,
        elapsed: float,
        fresh: int | None = None,
        config: Config | None = None,
        suggestion: float = 0.0,
    ) -> TrialJob:
        trial = self.trials[job.trial]
        trial.state = TrialState.RUNNING
        trial.attempts += 1
        self.running[job.number] = job
        self.log.append(
            Started(
                job=job.number,
                trial=job.trial,
                since=job.since,
                until=job.until,
                offered=offered,
                fresh=fresh,
                config=config,
                suggestion=suggestion,
                at=elapsed,
            )
        )
        return job

    def _report(self, trial: Trial, report: Reported) -> Decision:
        assert self.metric is not None  # named by the first outcome
        metrics = self._named(report)
        loss = self.settings.loss(metrics[self.metric])
        decision = self._machine.report(trial.index, report.resource, loss)
        if any(known.resource == report.resource for known in trial.reports):
            return decision  # told again by a second attempt: the first one counts
        late = decision.verdict is Verdict.LATE or trial.state is not TrialState.RUNNING
        trial.reports.append(TrialReport(report.resource, loss, metrics, report.seconds, late=late))
        if not late:
            units = report.resource - max(trial.resource, trial.inherited)
            counts = report.resource >= trial.complete_at
            self.usage.reported(loss if counts else math.inf, units, self._spent(trial, report.cost))
            trial.resource = max(trial.resource, report.resource)
            self._decided(trial, decision)
        return decision

    def _spent(self, trial: Trial, cost: float) -> float:
        """What was spent since the trial's last report. Costs are cumulative within a call of the objective,
        so a smaller one is that of a new call, which began at nothing."""
        before = self._costs.get(trial.index, 0.0)
        self._costs[trial.index] = cost
        more = cost - before if cost >= before else cost
        trial.cost += more
        return more

    def _decided(self, trial: Trial, decision: Decision) -> None:
        if decision.verdict in _ENDS:
            self._settle(trial, _ENDS[decision.verdict], decision.reason)

    def _settle(self, trial: Trial, state: TrialState, reason: str) -> None:
        trial.state, trial.reason = state, reason
        self._roster.evidence.changed.add(trial.index)
        if state.finished:
            self.usage.ended(state)

    def _go_on(self, trial: Trial, job: TrialJob, until: int | None) -> None:
        since = max(trial.resource, job.since)
        self._going_on.append(self._roster.stretch(trial, since, until))

    def _faulted(self, trial: Trial, job: TrialJob, outcome: JobOutcome) -> None:
        trial.failures += 1
        trial.error, trial.fault, trial.trace = outcome.cause, outcome.fault, outcome.tail
        if outcome.fault is not Fault.NONSENSE and trial.failures <= self.settings.max_failures:
            self._going_on.append(self._roster.stretch(trial, job.since, job.until, attempt=trial.failures))
            return
        self._machine.fail(trial.index)
        self._settle(trial, TrialState.FAILED, outcome.cause)

    def _name_metric(self, outcome: JobOutcome) -> None:
        """Nothing; the metric to judge by is named.

        Raises:
            UnknownMetric: a report lacks it, or the first one has several and none was named.
        """
        for report in outcome.reports:
            known = list(report.metrics)
            if self.metric is None:
                if len(known) > 1 and DEFAULT_NAME not in known:
                    raise UnknownMetric(None, known)
                self.metric = DEFAULT_NAME if len(known) > 1 else known[0] or DEFAULT_NAME
            if known != [""] and self.metric not in known:
                raise UnknownMetric(self.metric, known)

    def _named(self, report: Reported) -> dict[str, float]:
        """The metrics; a bare number gets the name of the metric that is judged by."""
        assert self.metric is not None
        return {name or self.metric: value for name, value in report.metrics.items()}

    def _replay_start(self, event: Started) -> None:
        if event.offered:
            offer = self._offered(event.fresh)
            job = self._job_of(offer, event.config) if offer is not None else None
        else:
            job = self._going_on.popleft() if self._going_on else None
        asked = (event.job, event.trial, event.since, event.until)
        found = (job.number, job.trial, job.since, job.until) if job is not None else None
        if job is None or asked != found:
            raise JournalMismatch(
                f"journal: it says that job, trial, since, until were {asked}; the rules in force give "
                f"{found}. Another version of prefect_tune wrote it; start again with resume=False."
            )
        self._give(job, offered=event.offered, elapsed=event.at)
