"""Brackets: at which rung a new trial starts.

Rule: bracket s skips the first s rungs. It is drawn from (seed, trial index) alone, so neither workers nor
restarts change it.
Theory: Li et al., JMLR 18, 2018 (Hyperband); Klein et al., 2020 (drawn brackets for asynchronous halving).
"""

from __future__ import annotations

import binascii
import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate

from prefect_tune.schedules.asynchronous.levels import Levels
from prefect_tune.schedules.exact import Exact, ceil_div, whole
from prefect_tune.trials import generator


@dataclass(frozen=True, slots=True)
class Brackets:
    """The brackets of a schedule and how a trial gets one.

    Attributes:
        levels: of the schedule.
        count: of brackets; at most one per level.
        eta: factor between rungs, for Optuna's shares.
        compat: whose chances; ours for all but `ray` and `optuna`.
    """

    levels: Levels
    count: int
    eta: Exact
    compat: str | None = None

    def chances(self) -> tuple[float, ...]:
        """Probability of each bracket, adding up to 1.

        >>> [round(p, 4) for p in plan_brackets(Levels((1, 3), 9), 3, 3).chances()]
        [0.5455, 0.2727, 0.1818]
        """
        weights = self._weights()
        return tuple(float(weight / sum(weights)) for weight in weights)

    def drawer(self, seed: int) -> Callable[[int], int]:
        """A function from a trial's index to its bracket."""
        if self.count == 1:
            return lambda index: 0
        if self.compat == "optuna":
            return lambda index: self._hashed(f"{seed}_{index}")
        weights = self._weights()
        bounds = [bound / sum(weights) for bound in accumulate(weights)]

        def draw(index: int) -> int:
            point = generator(seed, "bracket", index).random()
            return next((s for s, bound in enumerate(bounds) if bound > point), self.count - 1)

        return draw

    def _weights(self) -> list[Fraction]:
        if self.compat == "ray":
            return [Fraction(math.exp(-s)) for s in range(self.count)]
        if self.compat == "optuna":
            return [Fraction(size) for size in self._sizes()]
        levels = self.levels.all
        return [Fraction(len(levels), (len(levels) - s) * levels[s]) for s in range(self.count)]

    def _sizes(self) -> list[int]:
        """Trials of each bracket in one round of Optuna's Hyperband."""
        return [ceil_div(self.count * self.eta**s, s + 1) for s in range(self.count - 1, -1, -1)]

    def _hashed(self, name: str) -> int:
        """Optuna's bracket of a trial, from the checksum of `study_trial`."""
        sizes = self._sizes()
        place = binascii.crc32(name.encode()) % sum(sizes)
        return next(s for s, bound in enumerate(accumulate(sizes)) if place < bound)


def plan_brackets(levels: Levels, count: int, eta: Exact, compat: str | None = None) -> Brackets:
    """So many brackets, checked; more than there are levels are cut to one per level."""
    count = whole("brackets", count, least=1, advice="1 is plain asynchronous halving")
    return Brackets(levels, min(count, len(levels.rungs) + 1), eta, compat)
