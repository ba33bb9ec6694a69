"""The ledger: what each trial has reported and been told, and where it stands.

Rule 1: the first report of a (trial, resource) stands. Told again, it gets its first answer; told another
value, the first still stands, with one warning per trial.
Rule 2: a trial that is not running is not changed by reports: they are late.
Rule 3: a promoted trial without a checkpoint starts again at 1. What it reports up to where it was is no
news: it is told to go on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from prefect_tune.errors import ScheduleError
from prefect_tune.schedules.asynchronous.contract import Decision, Verdict
from prefect_tune.trials import TrialState

_STATES = {
    Verdict.CONTINUE: TrialState.RUNNING,
    Verdict.PAUSE: TrialState.PAUSED,
    Verdict.STOP: TrialState.STOPPED,
    Verdict.COMPLETE: TrialState.COMPLETED,
    Verdict.FAIL: TrialState.FAILED,
}
_ENDS = {TrialState.COMPLETED: Verdict.COMPLETE, TrialState.FAILED: Verdict.FAIL}


@dataclass(slots=True)
class Course:
    """One trial so far.

    Attributes:
        index: of the trial.
        bracket: that it belongs to.
        place: of the next level it has to enter.
        until: resource of the next decision.
        since: resource at which its present job took it up.
        at: resource of its last accepted report.
        landed: resource of the last report that was recorded at a level.
        jumped: places of levels that later reports still record (`Rule.keeps_jumped`).
        answers: loss and decision by resource of each accepted report.
        records: loss by place of the levels it was recorded at, the maximum included.
    """

    index: int
    bracket: int
    place: int
    until: int
    since: int = 0
    at: int = 0
    landed: int = 0
    state: TrialState = TrialState.RUNNING
    jumped: list[int] = field(default_factory=list)
    answers: dict[int, tuple[float, Decision]] = field(default_factory=dict)
    records: dict[int, float] = field(default_factory=dict)
    warned: set[str] = field(default_factory=set)

    @property
    def last(self) -> float:
        """The last accepted loss; nan without one."""
        return self.answers[self.at][0] if self.at else math.nan

    def go_on(self, reason: str = "") -> Decision:
        """The decision to train to the next level."""
        return Decision(Verdict.CONTINUE, self.until, reason)


@dataclass(slots=True)
class Ledger:
    """All trials by index.

    Attributes:
        warnings: sentences for the user, in the order they came up.
    """

    courses: dict[int, Course] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def open(self, course: Course) -> None:
        """Adds a trial, which runs from now on."""
        if course.index in self.courses:
            advice = "offer each index once, until it has become a trial"
            raise ScheduleError("index", "must be of a trial that does not exist yet", course.index, advice)
        self.courses[course.index] = course

    def of(self, trial: int) -> Course:
        """The trial's course."""
        if trial not in self.courses:
            raise ScheduleError("trial", "must be one that has been given out", trial, "offer it first")
        return self.courses[trial]

    def old_news(self, course: Course, resource: int, loss: float) -> Decision | None:
        """The answer to a report that changes nothing; None for news."""
        known = course.answers.get(resource)
        if known is not None and not _same(known[0], loss):
            text = (
                f"trial {course.index} reported {known[0]!r} at {resource}, then {loss!r}: the first stands"
            )
            self.warn(course, "changed", text)
        running = course.state is TrialState.RUNNING
        if running and resource <= course.since:
            return course.go_on("known from before the promotion")
        if known is not None:
            return known[1]
        if not running:
            return Decision(Verdict.LATE, reason=f"the trial is {course.state}")
        if resource <= course.at:
            return course.go_on("ignored: the trial has been further")
        return None

    def settle(self, course: Course, resource: int, loss: float, decision: Decision) -> None:
        """Stores a report with its decision, which takes effect."""
        course.at = resource
        course.answers[resource] = (loss, decision)
        course.state = _STATES[decision.verdict]

    def returned(self, course: Course) -> Decision:
        """What becomes of a trial whose function has returned by itself."""
        if course.state is not TrialState.RUNNING:
            verdict = _ENDS.get(course.state, Verdict.LATE)
            return Decision(verdict, reason=f"the trial is {course.state}")
        good = math.isfinite(course.last)
        course.state = TrialState.COMPLETED if good else TrialState.FAILED
        if good:
            return Decision(Verdict.COMPLETE, reason="the function has returned")
        reason = "non-finite" if course.at else "the function returned without a report"
        return Decision(Verdict.FAIL, reason=reason)

    def warn(self, course: Course, kind: str, text: str) -> str:
        """The text, noted, if it is the first of its kind for the trial; else nothing."""
        if kind in course.warned:
            return ""
        course.warned.add(kind)
        self.warnings.append(text)
        return text


def _same(one: float, other: float) -> bool:
    return one == other or (math.isnan(one) and math.isnan(other))
