"""Gates: what becomes of a trial at a rung, and who is promoted. The two types of asynchronous halving.

Rule 1: stopping decides at the report: go on, or stop for good.
Rule 2: promotion pauses everybody; a free worker takes the best trial of the highest rung where one passes.
Rule 3: a gate is asked after the record is made, so the present loss counts.
Theory: Li et al., MLSys 2020, Algorithm 2 (promotion) and its stopping variant.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from prefect_tune.schedules.asynchronous.board import Board, RungRecords
from prefect_tune.schedules.asynchronous.contract import Verdict
from prefect_tune.schedules.asynchronous.rules import Rule


class Gate(Protocol):
    """Decides at rungs."""

    def arrive(self, rung: RungRecords, trial: int) -> tuple[Verdict, str]:
        """What becomes of a trial recorded just now, and why."""
        ...

    def promote(self, board: Board) -> tuple[int, int] | None:
        """(trial, place of the rung it leaves), taken off the waiting list; None if nobody passes."""
        ...

    def watch(self, trial: int, resource: int, loss: float, board: Board) -> None:
        """Is told of every report that counts, after its record is made."""
        ...


@dataclass(frozen=True, slots=True)
class Stopping:
    """Trials that do not pass at a rung are stopped there."""

    rule: Rule

    def arrive(self, rung: RungRecords, trial: int) -> tuple[Verdict, str]:
        """Continue or stop, by the rule."""
        if rung.passes(trial, self.rule):
            return Verdict.CONTINUE, ""
        return Verdict.STOP, f"not among the best {len(rung.losses)} at {rung.level}"

    def promote(self, board: Board) -> tuple[int, int] | None:
        """None: nobody is paused."""
        return None

    def watch(self, trial: int, resource: int, loss: float, board: Board) -> None:
        """Nothing: only records at rungs count."""


@dataclass(frozen=True, slots=True)
class Promotion:
    """Trials pause at each rung until they pass."""

    rule: Rule

    def arrive(self, rung: RungRecords, trial: int) -> tuple[Verdict, str]:
        """Pause: a free worker decides."""
        return Verdict.PAUSE, f"waits at {rung.level}"

    def promote(self, board: Board) -> tuple[int, int] | None:
        """The best trial of the highest rung where the best passes."""
        return self.scan(board, range(len(board.rungs)))

    def scan(self, board: Board, places: Iterable[int]) -> tuple[int, int] | None:
        """The same among some of the rungs."""
        for place in sorted(places, reverse=True):
            trial = board.rungs[place].promote(self.rule)
            if trial is not None:
                return trial, place
        return None

    def watch(self, trial: int, resource: int, loss: float, board: Board) -> None:
        """Nothing: only records at rungs count."""
