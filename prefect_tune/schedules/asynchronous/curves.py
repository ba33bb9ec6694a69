"""Learning curves: what every trial has reported, for the schedules that have no rungs.

Rule 1: a report is known by (trial, resource). The first one stands, and so does its decision. A new report
below the greatest resource so far is no news: the trial is told to go on.
Rule 2: a loss that is not finite at the maximum, or as a function's last word, fails the trial. Before that
the report is kept and decides nothing, unless `fail_on_nan="report"`.
Rule 3: a trial that returned by itself stands at the last level: its function has no more to give.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

from prefect_tune.errors import ScheduleError
from prefect_tune.schedules.asynchronous.contract import Decision, Job, KeyOf, Verdict
from prefect_tune.trials import TrialState, order_of

NON_FINITE = "non-finite"
STATES = {
    Verdict.STOP: TrialState.STOPPED,
    Verdict.FAIL: TrialState.FAILED,
    Verdict.COMPLETE: TrialState.COMPLETED,
    Verdict.PAUSE: TrialState.PAUSED,
}
ENDS = {TrialState.COMPLETED: Verdict.COMPLETE, TrialState.FAILED: Verdict.FAIL}


def checked_fail_on_nan(value: object) -> None:
    """ScheduleError unless the value says when a loss that is not finite fails its trial."""
    if value not in ("rung", "report"):
        advice = "'rung' fails a trial where it would be compared, 'report' at once"
        raise ScheduleError("fail_on_nan", "must be 'rung' or 'report'", value, advice)


@dataclass(slots=True)
class Curve:
    """One trial's reports.

    Attributes:
        state: where the trial stands.
        losses: every accepted loss by resource, rising.
        decisions: the answer to each report.
        levels: finite losses at the levels that samplers see.
        since: resource of the checkpoint that its present job goes on from; reports up to there are no news.
        latest: greatest resource reported, at least `since`.
        until: where the next decision may fall, None at its own end.
    """

    state: TrialState = TrialState.RUNNING
    losses: dict[int, float] = field(default_factory=dict)
    decisions: dict[int, Decision] = field(default_factory=dict)
    levels: dict[int, float] = field(default_factory=dict)
    since: int = 0
    latest: int = 0
    until: int | None = None

    def best(self) -> float | None:
        """The smallest finite loss so far, None without one."""
        return min((loss for loss in self.losses.values() if math.isfinite(loss)), default=None)


class CurveMachine(ABC):
    """A machine that keeps curves; what it decides between the first report and the last is left open.

    Args:
        levels: resources at which samplers see losses, rising.
        max_resource: where a trial is complete; None: where its function returns.
        keys: gives the key of a trial's configuration.
        fail_on_nan: `report` fails a trial at its first loss that is not finite.

    `warnings` holds sentences for the user, in the order in which they came up.
    """

    def __init__(
        self, levels: Sequence[int], max_resource: int | None, keys: KeyOf, fail_on_nan: str = "rung"
    ) -> None:
        self.curves: dict[int, Curve] = {}
        self.warnings: list[str] = []
        self._changed: set[int] = set()
        self.keys, self.max_resource = keys, max_resource
        self._fail_on_nan, self._end = fail_on_nan, levels[-1]
        self._levels = tuple(levels) if max_resource else ()  # without a maximum only the end counts

    @abstractmethod
    def offer(self, index: int | None) -> Job | None:
        """Work for a free worker."""

    @abstractmethod
    def decide(self, trial: int, resource: int, loss: float) -> Decision:
        """The answer to a new report below the maximum, which is on the curve already."""

    def report(self, trial: int, resource: int, loss: float) -> Decision:
        """What becomes of the trial. A report known already gives its first decision again."""
        curve = self.curve(trial)
        known = resource in curve.decisions
        if known:
            self._compare(trial, resource, loss)
        if curve.state is TrialState.RUNNING and resource <= curve.since:
            return Decision(Verdict.CONTINUE, curve.until, "known from before its checkpoint")
        if known:
            return curve.decisions[resource]
        if curve.state is not TrialState.RUNNING:
            return Decision(Verdict.LATE, reason=f"the trial is {curve.state}")
        if resource <= curve.latest:
            return Decision(Verdict.CONTINUE, curve.until, "ignored: the trial has been further")
        before, curve.latest = curve.latest, resource
        curve.losses[resource] = loss
        if math.isfinite(loss):
            self._record(curve, before, resource, loss)
        decision = self._answer(trial, resource, loss)
        curve.decisions[resource], curve.until = decision, decision.until
        curve.state = STATES.get(decision.verdict, curve.state)
        return decision

    def done(self, trial: int) -> Decision:
        """The function has returned by itself: completed, unless its last loss is not finite."""
        curve = self.curve(trial)
        if curve.state is not TrialState.RUNNING:
            return Decision(ENDS.get(curve.state, Verdict.LATE), reason=f"the trial is {curve.state}")
        if not curve.losses:
            answer = Decision(Verdict.FAIL, reason="the function returned without a report")
        elif not math.isfinite(curve.losses[curve.latest]):
            answer = Decision(Verdict.FAIL, reason=NON_FINITE)
        else:
            curve.levels[self._end] = curve.losses[curve.latest]
            answer = Decision(Verdict.COMPLETE, reason="the function has returned")
        curve.state = STATES[answer.verdict]
        return answer

    def fail(self, trial: int) -> None:
        """The trial has failed for good; its records stay."""
        self._leave(trial, TrialState.FAILED)

    def stop(self, trial: int) -> None:
        """The search stops the trial."""
        self._leave(trial, TrialState.STOPPED)

    def losses(self, trial: int) -> dict[int, float]:
        """The trial's finite losses by level, rising."""
        return dict(sorted(self.curve(trial).levels.items()))

    def pending(self, trial: int) -> tuple[int, ...]:
        """The next level of a running trial."""
        curve = self.curve(trial)
        if curve.state is not TrialState.RUNNING:
            return ()
        place = bisect_right(self._levels, curve.latest)
        return (self._levels[place],) if place < len(self._levels) else (self._end,)

    def ranking(self) -> list[int]:
        """Trials that have a loss at a level, best first: the highest level, there the best loss."""

        def order(trial: int) -> tuple[int, tuple[bool, float, str]]:
            top, loss = max(self.curves[trial].levels.items())
            return -top, order_of(loss, self.keys(trial))

        return sorted((trial for trial, curve in self.curves.items() if curve.levels), key=order)

    def start(self, job: Job) -> Job:
        """The job, its trial's curve begun."""
        if job.trial in self.curves:
            advice = "offer each index once, until it has become a trial"
            raise ScheduleError("index", "must be of a trial that does not exist yet", job.trial, advice)
        self.curves[job.trial] = Curve(since=job.since, latest=job.since, until=job.until)
        return job

    def resume(self, trial: int, until: int) -> Job:
        """A job for a paused trial, which runs from now on."""
        curve = self.curve(trial)
        curve.state, curve.since, curve.until = TrialState.RUNNING, curve.latest, until
        return Job(trial, curve.since, until)

    def curve(self, trial: int) -> Curve:
        """The trial's curve, which `offer` has begun."""
        if trial not in self.curves:
            raise ScheduleError("trial", "must be one that has been given out", trial, "offer it first")
        return self.curves[trial]

    def _answer(self, trial: int, resource: int, loss: float) -> Decision:
        """The decision on a new report of a running trial."""
        bad = not math.isfinite(loss)
        if self.max_resource is not None and resource >= self.max_resource:
            if bad:
                return Decision(Verdict.FAIL, reason=NON_FINITE)
            return Decision(Verdict.COMPLETE, reason=f"reached {self.max_resource}")
        if bad and self._fail_on_nan == "report":
            return Decision(Verdict.FAIL, reason=NON_FINITE)
        return self.decide(trial, resource, loss)

    def _compare(self, trial: int, resource: int, loss: float) -> None:
        """Notes, once per trial, that a report has come again with another value."""
        first = self.curves[trial].losses[resource]
        if first != loss and not (math.isnan(first) and math.isnan(loss)) and trial not in self._changed:
            self._changed.add(trial)
            text = f"trial {trial} reported {first!r} at {resource}, then {loss!r}: the first stands"
            self.warnings.append(text)

    def _record(self, curve: Curve, before: int, resource: int, loss: float) -> None:
        """Enters a finite loss at the highest level that the report has crossed."""
        place = bisect_right(self._levels, resource)
        if place and self._levels[place - 1] > before:
            curve.levels[self._levels[place - 1]] = loss

    def _leave(self, trial: int, state: TrialState) -> None:
        curve = self.curve(trial)
        if not curve.state.finished:
            curve.state = state
