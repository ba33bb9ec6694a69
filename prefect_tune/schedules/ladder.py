"""The climb: who stands where on a ladder of rungs, read from the reports alone.

Rule 1: no state. The same reports give the same decisions, in whatever order they came; a report added later
never changes an earlier decision.
Rule 2: a rung is a barrier. It is decided when each member has reached it, is frozen, or has failed.
Rule 3: a candidate's score at a rung is its first report there; a frozen one's is its last.
All schedules of this package are ladders: they differ in rungs, and in where they score between them.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prefect_tune.errors import ScheduleError
from prefect_tune.schedules.exact import ceil_div, whole
from prefect_tune.schedules.plateau import Plateau
from prefect_tune.schedules.reports import History, Report, failed, last_calls, last_scores, rank
from prefect_tune.schedules.rungs import Rung


@dataclass(frozen=True, slots=True)
class Plan:
    """What a schedule does if nobody fails or stops early.

    Attributes:
        n_models: candidates.
        partial_fit_calls: training calls of all of them.
        scores: scores of all of them.
        decisions: calls at which candidates are compared, rising.
    """

    n_models: int
    partial_fit_calls: int
    scores: int
    decisions: tuple[int, ...]

    @property
    def metadata(self) -> dict[str, Any]:
        """Counts in dask-ml's words."""
        return {
            "n_models": self.n_models,
            "partial_fit_calls": self.partial_fit_calls,
            "max_iter": self.decisions[-1],
            "decisions": list(self.decisions),
        }


@dataclass(frozen=True, slots=True)
class Standing:
    """Where the race is.

    Attributes:
        rung: the rung being climbed, or the last one.
        members: its candidates, frozen and failed ones included, by key.
        waiting: those that have to train on.
    """

    rung: Rung
    members: tuple[str, ...]
    waiting: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ladder:
    """Rungs, and where candidates are scored between them.

    Attributes:
        rungs: resources rising, sizes falling.
        first: calls before the very first score; None: those of the first rung.
        step: the most calls between two scores; None: scored at rungs only.
        plateau: who stops between rungs.
    """

    rungs: tuple[Rung, ...]
    first: int | None = None
    step: int | None = None
    plateau: Plateau | None = None

    def next_round(self, history: History) -> dict[str, int]:
        """See `Schedule.next_round`."""
        standing = self.standing(history)
        return {
            key: self._target(last_calls(history[key]), standing.rung.resource) for key in standing.waiting
        }

    def survivors(self, history: History) -> list[str]:
        """See `Schedule.survivors`."""
        alive = [key for key in self.standing(history).members if not failed(history[key])]
        scored = rank(last_scores({key: history[key] for key in alive}))
        return scored + [key for key in alive if not history[key]]

    def standing(self, history: History) -> Standing:
        """The first rung that is not decided yet, or the last that has members."""
        if len(history) > self.rungs[0].size:
            rule = f"must hold at most {self.rungs[0].size} candidates"
            raise ScheduleError("history", rule, len(history), "plan a schedule of that size")
        members = sorted(history)
        for rung, above in zip(self.rungs, (*self.rungs[1:], None), strict=True):
            waiting = [key for key in members if self._waits(history[key], rung.resource)]
            if waiting or above is None:
                break
            promoted = _promoted({key: _score_at(history[key], rung.resource) for key in members}, above.size)
            if not promoted:
                break
            members = promoted
        return Standing(rung, tuple(members), tuple(waiting))

    def plan(self, size: int) -> Plan:
        """Counts for so many candidates, at most those of the first rung."""
        size = min(size, self.rungs[0].size)
        calls = scores = before = 0
        for rung in self.rungs:
            count = min(size, rung.size)
            calls += count * (rung.resource - before)
            scores += count * self._scores_between(before, rung.resource)
            before = rung.resource
        return Plan(size, calls, scores, tuple(rung.resource for rung in self.rungs))

    def _waits(self, reports: Sequence[Report], resource: int) -> bool:
        """Whether a candidate has to train on towards a rung."""
        if last_calls(reports) >= resource or failed(reports):
            return False
        return self.plateau is None or not self.plateau.stopped(reports, self.rungs[-1].resource)

    def _target(self, calls: int, resource: int) -> int:
        """Where a candidate is scored next on its way to a rung."""
        if self.step is None:
            return resource
        return min(resource, calls + (self.first or self.step) if calls == 0 else calls + self.step)

    def _scores_between(self, calls: int, resource: int) -> int:
        """Scores on the way from one rung (0 for the start) to the next."""
        if self.step is None:
            return 1
        if calls == 0:
            first = self._target(0, resource)
            return 1 + ceil_div(resource - first, self.step)
        return ceil_div(resource - calls, self.step)


def _score_at(reports: Sequence[Report], resource: int) -> float:
    """The score that counts at a rung: the first there, or the last of a candidate that stopped before."""
    return next((report for report in reports if report.calls >= resource), reports[-1]).score


def _promoted(scores: Mapping[str, float], count: int) -> list[str]:
    """The best so many candidates, by key; failures never."""
    return sorted([key for key in rank(scores) if math.isfinite(scores[key])][:count])


class Schedule(ABC):
    """Frozen settings that say, from the reports alone, who trains next and how far."""

    __slots__ = ()

    @abstractmethod
    def ladder(self, size: int) -> Ladder:
        """The rungs for so many candidates, and where they are scored between."""

    @property
    @abstractmethod
    def size(self) -> int | None:
        """Candidates that the settings ask for; None where any number will do."""

    def next_round(self, history: History) -> dict[str, int]:
        """Calls that each candidate must have reached when next scored, by key in key order; empty when over.

        Candidates that do not train are left out. Asked before a round is fully reported, it names those
        that need not wait for the others.
        """
        return self.ladder(len(history)).next_round(history)

    def survivors(self, history: History) -> list[str]:
        """Candidates of the present rung that have not failed, best last score first, unscored ones last.

        When the race is over the first one wins; none is left where a whole rung failed.
        """
        return self.ladder(len(history)).survivors(history)

    def plan(self, size: int | None = None) -> Plan:
        """Counts for so many candidates (as many as the settings ask for, if not given)."""
        count = self.size if size is None else size
        count = whole("size", count, least=1, advice="say how many candidates there are")
        return self.ladder(count).plan(count)
