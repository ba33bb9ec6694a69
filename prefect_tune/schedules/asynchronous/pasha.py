"""PASHA: asynchronous promotion under a cap that grows only while the ranking of the two top rungs changes.

Rule 1: the cap starts at the second rung. Only rungs below it promote. It never shrinks, and grows by at most
one level per report.
Rule 2: it grows where the two top rungs rank their common trials differently by more than epsilon, which is
measured on curves that keep crossing (see `noise`).
Theory: Bohdal, Balles, Wistuba, Ermis, Archambeau and Zappella, ICLR 2023. Where we differ: the quantile rule
that decides promotions is ours (`rules`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from functools import partial
from typing import TypeVar

from prefect_tune.errors import ScheduleError
from prefect_tune.schedules.asynchronous.asha import ASHA
from prefect_tune.schedules.asynchronous.board import Board, RungRecords
from prefect_tune.schedules.asynchronous.contract import KeyOf, Verdict
from prefect_tune.schedules.asynchronous.gates import Promotion
from prefect_tune.schedules.asynchronous.levels import Levels
from prefect_tune.schedules.asynchronous.machine import HalvingMachine
from prefect_tune.schedules.asynchronous.noise import Crossings

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PASHA:
    """Progressive asynchronous halving: promotion that stops growing once the ranking is stable.

    Attributes:
        max_resource: where a trial is complete, if the cap grows that far.
        grace_period: first rung.
        eta: factor between rungs, at least 2.
        rung_levels, rung_increment: other rungs, see `plan_levels`.
        percentile: of the distances of crossing pairs, which is epsilon.
        compat: whose rule decides promotions; None is ours.
        searcher_data: what samplers see: `rungs`, `all` or `rungs_and_last`.
        fail_on_nan: `rung`, or `report` to fail a trial at once.

    >>> PASHA(81).levels
    (1, 3, 9, 27, 81)
    """

    max_resource: int
    _: KW_ONLY
    grace_period: int = 1
    eta: float = 3
    rung_levels: Sequence[int] | None = None
    rung_increment: int | None = None
    percentile: float = 90
    compat: str | None = None
    searcher_data: str = "rungs"
    fail_on_nan: str = "rung"

    def __post_init__(self) -> None:
        if not (isinstance(self.percentile, int | float) and 0 <= self.percentile <= 100):
            raise ScheduleError("percentile", "must lie between 0 and 100", self.percentile, "90 is usual")
        object.__setattr__(self, "rung_levels", self.promotion.rung_levels)

    @property
    def promotion(self) -> ASHA:
        """The promotion schedule below the cap."""
        return ASHA(
            self.max_resource,
            grace_period=self.grace_period,
            eta=self.eta,
            type="promotion",
            rung_levels=self.rung_levels,
            rung_increment=self.rung_increment,
            compat=self.compat,
            searcher_data=self.searcher_data,
            fail_on_nan=self.fail_on_nan,
        )

    @property
    def levels(self) -> tuple[int, ...]:
        """Rungs and the maximum."""
        return self.promotion.levels

    def begin(self, seed: int, keys: KeyOf) -> HalvingMachine:
        """A fresh machine; with fewer than two rungs, that of plain promotion."""
        plain, planned = self.promotion, self.promotion.plan
        if len(planned.rungs) < 2:
            return plain.begin(seed, keys)
        return plain.machine(seed, keys, Progressive(Promotion(plain.rule), planned, keys, self.percentile))

    def identity(self) -> dict[str, object]:
        """The settings that tell two schedules apart."""
        return self.promotion.identity() | {"schedule": "pasha", "percentile": float(self.percentile)}


@dataclass(slots=True)
class Progressive:
    """The gate: promotion below the cap, and the cap's growth.

    Attributes:
        top: place of the level that is the cap, counted from 0; one past the last rung is the maximum.
    """

    promotion: Promotion
    levels: Levels
    keys: KeyOf
    percentile: float
    top: int = 1
    crossings: Crossings = field(init=False)
    _epsilon: float = 0.0
    _stale: bool = False
    _moved: bool = False
    _checked: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        self.crossings = Crossings(self.levels.all[self.top - 1], self.cap)

    @property
    def cap(self) -> int:
        """Resource that no promotion goes beyond."""
        return self.levels.all[self.top]

    @property
    def epsilon(self) -> float:
        """Up to which distance two losses count as equal; without a crossing pair, as before."""
        if self._stale:
            found = self.crossings.percentile(self.percentile)
            self._epsilon = self._epsilon if found is None else found
            self._stale = False
        return self._epsilon

    def arrive(self, rung: RungRecords, trial: int) -> tuple[Verdict, str]:
        """Pause."""
        return self.promotion.arrive(rung, trial)

    def promote(self, board: Board) -> tuple[int, int] | None:
        """The best trial of the highest rung below the cap where one passes."""
        return self.promotion.scan(board, range(self.top))

    def watch(self, trial: int, resource: int, loss: float, board: Board) -> None:
        """Takes in a report; raises the cap if the two top rungs disagree now."""
        if self.top == len(self.levels.rungs):
            return  # the cap is the maximum
        if math.isfinite(loss):
            self._stale |= self.crossings.add(trial, resource, loss) or self._moved
        else:
            _ = self.epsilon  # measured now: it stays, should nothing be left to measure
            self.crossings.leave_out(trial)
            self._stale = True
        self._moved = False
        rungs = board.rungs[self.top], board.rungs[self.top - 1]
        sizes = len(rungs[0].entries), len(rungs[1].entries)
        if not self._stale and sizes == self._checked:
            return  # nothing that the ranking depends on is new
        self._checked = sizes
        if self._disagree(*map(_finite, rungs)):
            self.top += 1
            self.crossings.move(self.levels.all[self.top - 1], self.cap)
            self._moved = True  # the next report measures anew

    def _disagree(self, higher: dict[int, float], lower: dict[int, float]) -> bool:
        """Whether two rungs rank the trials they have in common differently by more than epsilon."""
        common = [trial for trial in higher if trial in lower]
        if len(common) < 2:
            return False
        top, previous = (sorted(common, key=partial(self._order, losses)) for losses in (higher, lower))
        return breach(top, previous, lower, self.epsilon)

    def _order(self, losses: dict[int, float], trial: int) -> tuple[float, str]:
        return losses[trial], self.keys(trial)


def breach(top: Sequence[T], previous: Sequence[T], losses: Mapping[T, float], epsilon: float) -> bool:
    """Whether two rankings differ by more than epsilon.

    Args:
        top: trials in the order of the upper rung.
        previous: the same trials in the order of the lower rung.
        losses: of the lower rung.
        epsilon: distance up to which two losses count as equal.

    >>> breach("acb", "abc", {"a": 0.1, "b": 0.2, "c": 0.22}, 0.01)
    True
    """
    return any(
        not abs(losses[one] - losses[other]) <= epsilon for one, other in zip(top, previous, strict=True)
    )


def _finite(rung: RungRecords) -> dict[int, float]:
    return {trial: loss for trial, loss in rung.entries.items() if loss is not None}
