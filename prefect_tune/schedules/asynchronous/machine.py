"""The machine of asynchronous halving: ledger, boards and brackets together, told event by event.

Rule 1: a loss that is not finite fails the trial at a rung, at the maximum and as a function's last word. It
makes no record.
Rule 2: a report beyond a level is recorded at the highest level crossed; the others crossed are skipped.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from prefect_tune.schedules.asynchronous.board import Board, RungRecords
from prefect_tune.schedules.asynchronous.contract import Decision, Job, KeyOf, Verdict
from prefect_tune.schedules.asynchronous.gates import Gate
from prefect_tune.schedules.asynchronous.ledger import Course, Ledger
from prefect_tune.schedules.asynchronous.levels import Levels
from prefect_tune.schedules.asynchronous.sight import seen_losses, seen_pending
from prefect_tune.trials import TrialState, order_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What a machine is made from.

    Attributes:
        levels: where trials are compared.
        draw: gives a trial's bracket by its index.
        keys: gives a trial's key, which breaks ties.
        searcher_data: what samplers see.
        fail_early: whether a loss that is not finite fails a trial between rungs too.
        jumps: whether levels that were jumped over are recorded by later reports.
    """

    levels: Levels
    draw: Callable[[int], int]
    keys: KeyOf
    searcher_data: str
    fail_early: bool = False
    jumps: bool = False


@dataclass(slots=True)
class HalvingMachine:
    """State of one search. Made by the settings' `begin`.

    Attributes:
        boards: one, shared by all brackets, or one per bracket.
        gate: decides at the rungs.
    """

    setup: Setup
    gate: Gate
    boards: list[Board]
    ledger: Ledger = field(default_factory=Ledger)

    @property
    def warnings(self) -> list[str]:
        """Sentences for the user, in the order they came up."""
        return self.ledger.warnings

    def offer(self, index: int | None) -> Job | None:
        """A promotion, else the new trial `index`, else None."""
        bracket = None if index is None else self.setup.draw(index)
        for board in self.boards if bracket is None else [self._board(bracket)]:
            found = self.gate.promote(board)
            if found is not None:
                return self._resume(*found)
        return None if index is None or bracket is None else self._start(index, bracket)

    def report(self, trial: int, resource: int, loss: float) -> Decision:
        """What becomes of the trial after this report."""
        course = self.ledger.of(trial)
        known = self.ledger.old_news(course, resource, loss)
        if known is not None:
            return known
        decision = self._decide(course, resource, loss)
        self.ledger.settle(course, resource, loss, decision)
        if decision.verdict is Verdict.PAUSE:
            self._rung(course).wait(trial, self.setup.keys(trial))
        return decision

    def done(self, trial: int) -> Decision:
        """Completed, or failed if its last loss is not finite; a paused trial stays paused."""
        return self.ledger.returned(self.ledger.of(trial))

    def fail(self, trial: int) -> None:
        """The trial has failed; its records stay."""
        self._end(self.ledger.of(trial), TrialState.FAILED)

    def stop(self, trial: int) -> None:
        """The trial is stopped, running or paused."""
        self._end(self.ledger.of(trial), TrialState.STOPPED)

    def state(self, trial: int) -> TrialState:
        """Where the trial stands."""
        return self.ledger.of(trial).state

    def losses(self, trial: int) -> dict[int, float]:
        """The trial's losses that a sampler may see."""
        return seen_losses(self.ledger.of(trial), self.setup.levels, self.setup.searcher_data)

    def pending(self, trial: int) -> tuple[int, ...]:
        """The trial's resources under way."""
        return seen_pending(self.ledger.of(trial), self.setup.searcher_data)

    def ranking(self) -> list[int]:
        """Trials by their loss at the highest level they were recorded at, higher levels first.

        A function that returned by itself counts as one that reached the maximum. Failed trials come last.
        """
        top, found = len(self.setup.levels.rungs), []
        for course in self.ledger.courses.values():
            place, loss = max(course.records.items(), default=(-1, math.nan))
            if course.state is TrialState.COMPLETED:
                place, loss = top, course.last
            if place >= 0:
                order = order_of(loss, self.setup.keys(course.index))
                found.append((course.state is TrialState.FAILED, -place, order, course.index))
        return [index for *_, index in sorted(found)]

    def _start(self, index: int, bracket: int) -> Job:
        until = self.setup.levels.all[bracket]
        self.ledger.open(Course(index, bracket, place=bracket, until=until))
        return Job(trial=index, since=0, until=until, bracket=bracket)

    def _resume(self, trial: int, place: int) -> Job:
        course = self.ledger.of(trial)
        course.state, course.since = TrialState.RUNNING, course.at
        course.until = self.setup.levels.all[place + 1]
        return Job(trial=trial, since=course.since, until=course.until, bracket=course.bracket)

    def _decide(self, course: Course, resource: int, loss: float) -> Decision:
        """The decision on news, with its record made."""
        levels = self.setup.levels
        reached = levels.crossed(resource)
        crossed = [*course.jumped, *range(course.place, reached)]
        if not math.isfinite(loss):
            self.gate.watch(course.index, resource, loss, self._board(course.bracket))
            bad = bool(crossed) or self.setup.fail_early
            return Decision(Verdict.FAIL, reason="non-finite") if bad else course.go_on()
        verdict, reason = Verdict.CONTINUE, ""
        if crossed:
            reason = self._skip(course, crossed[:-1], resource)
            verdict, why = self._enter(course, crossed[-1], resource, loss)
            reason = "; ".join(filter(None, (reason, why)))
        self.gate.watch(course.index, resource, loss, self._board(course.bracket))
        return Decision(verdict, course.until if verdict is Verdict.CONTINUE else None, reason)

    def _skip(self, course: Course, places: list[int], resource: int) -> str:
        """Deals with the levels stepped over; what to say about it."""
        if self.setup.jumps:
            course.jumped = places
            return ""
        if not places:
            return ""
        rungs = self._board(course.bracket).rungs
        for place in places:
            rungs[place].skip(course.index)
        passed = ", ".join(str(rungs[place].level) for place in places)
        text = f"trial {course.index} stepped over level {passed}: its first report there was at {resource}"
        return self.ledger.warn(course, "stepped", text)

    def _enter(self, course: Course, place: int, resource: int, loss: float) -> tuple[Verdict, str]:
        """Makes the record at a level and asks the gate."""
        levels, top = self.setup.levels.all, len(self.setup.levels.rungs)
        course.records[place], course.landed = loss, resource
        course.place = max(course.place, place + 1)
        if place == top:
            return Verdict.COMPLETE, f"has reached {levels[top]}"
        course.until = levels[course.place]
        rung = self._board(course.bracket).rungs[place]
        rung.enter(course.index, loss)
        return self.gate.arrive(rung, course.index)

    def _end(self, course: Course, state: TrialState) -> None:
        if course.state is TrialState.PAUSED:
            self._rung(course).withdraw(course.index, self.setup.keys(course.index))
        if not course.state.finished:
            course.state = state

    def _board(self, bracket: int) -> Board:
        return self.boards[bracket if len(self.boards) > 1 else 0]

    def _rung(self, course: Course) -> RungRecords:
        """Where the trial was recorded last."""
        return self._board(course.bracket).rungs[course.place - 1]
