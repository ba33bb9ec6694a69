"""Synchronous Hyperband under the same simulated clock: rungs are barriers, so workers may have to wait.

Rounds of brackets follow each other, each with new rows, until the epochs are spent. Within a round all
brackets run at once; a free worker takes the first waiting candidate of the most aggressive bracket.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from tuners_stats import Step
from tuners_tables import Curves


@dataclass
class Race:
    """One bracket under way: its schedule, the reports by key, the row of each key, who trains now."""

    schedule: Any
    history: dict[str, list[Any]]
    rows: dict[str, int]
    running: set[str] = field(default_factory=set)

    def waiting(self) -> list[tuple[str, int]]:
        """Candidates that could train now, and how far."""
        found = self.schedule.next_round(self.history).items()
        return [(key, target) for key, target in found if key not in self.running]

    @property
    def over(self) -> bool:
        return not self.running and not self.schedule.next_round(self.history)


@dataclass
class Rounds:
    """A simulation; `run` gives (improvements, epochs, end time, idle share)."""

    brackets: Sequence[Any]
    curves: Curves
    order: Sequence[int]
    world: Any
    budget: int

    def __post_init__(self) -> None:
        self.steps: list[Step] = []
        self.now, self.spent, self.busy, self.free = 0.0, 0, 0.0, self.world.workers
        self.idle = 0.0  # share of the workers' time, until the epochs are spent
        self.due: list[Any] = []
        self.numbers, self.jobs = count(), 0
        self.left = list(reversed(self.order))
        self.races: list[Race] = []

    def run(self) -> tuple[list[Step], int, float, float]:
        """Rounds until the epochs are spent or the rows used up."""
        while self._begin():
            self._serve()
            while self.due:
                self._take()
                self._serve()
        return self.steps, self.spent, self.now, self.idle

    def _begin(self) -> bool:
        """A new round, if epochs and rows are left for one."""
        from prefect_tune.schedules import Halving

        if self.spent >= self.budget or len(self.left) < sum(bracket.size for bracket in self.brackets):
            return False
        self.races = []
        for bracket in self.brackets:
            rows = {f"{row:04d}": row for row in (self.left.pop() for _ in range(bracket.size))}
            self.races.append(Race(Halving(bracket), {key: [] for key in rows}, rows))
        return True

    def _serve(self) -> None:
        """Work for free workers, the most aggressive bracket's first."""
        if self.spent >= self.budget:
            return
        for race in self.races:
            if not self.free:
                return
            for key, target in race.waiting()[: self.free]:
                self._start(race, key, target)

    def _start(self, race: Race, key: str, target: int) -> None:
        from prefect_tune.schedules.asynchronous.contract import Job

        self.free -= 1
        race.running.add(key)
        since = race.history[key][-1].calls if race.history[key] else 0
        job = Job(race.rows[key], since, target)
        pace, lost_at = self.world.pace(job, race.rows[key]), self.world.lost_at(job)
        self._push(race, key, since + 1, target, pace, lost_at)

    def _push(self, race: Race, key: str, resource: int, target: int, pace: float, lost_at: float) -> None:
        entry = (self.now + pace, next(self.numbers), race, key, resource, target, pace, lost_at)
        heapq.heappush(self.due, entry)

    def _take(self) -> None:
        """One epoch of one candidate has ended."""
        from prefect_tune.schedules import Report

        self.now, _, race, key, resource, target, pace, lost_at = heapq.heappop(self.due)
        self.busy, self.spent = self.busy + pace, self.spent + 1
        if self.spent <= self.budget:
            under_way = sum(pace - (end - self.now) for end, *_, pace, _ in self.due)
            self.idle = 1 - (self.busy + under_way) / (self.world.workers * self.now)
        loss = self.curves[race.rows[key]][resource]
        lost = resource >= lost_at
        if math.isfinite(loss) and not lost and (not self.steps or loss < self.steps[-1][2]):
            self.steps.append((self.now, self.spent, loss))
        if resource < target and math.isfinite(loss) and not lost:
            self._push(race, key, resource + 1, target, pace, lost_at)
            return
        race.history[key].append(Report(resource, math.nan if lost else -loss))
        race.running.discard(key)
        self.free += 1


def synchronous(
    plan: Callable[[], Sequence[Any]], curves: Curves, order: Sequence[int], world: Any, budget: int
) -> tuple[list[Step], int, float, float]:
    """(improvements, epochs, end time, idle share) of rounds of the planned brackets."""
    return Rounds(plan(), curves, order, world, budget).run()
