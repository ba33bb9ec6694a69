"""Rules: which trials of a rung pass, for our rule and for those of other tools, by name.

Rule 1: the losses of a rung include the present one. With k ranks passing, a loss passes if it is at most the
k-th smallest, so equal losses pass together.
Rule 2: counts are exact; only `ray` interpolates between values, as Ray does.
Theory: Li et al., MLSys 2020, Algorithm 2 (`paper`); Salinas et al., AutoML 2022 (Syne Tune); Akiba et al.,
KDD 2019 (Optuna); Liaw et al., 2018 (Ray Tune).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType
from typing import TypeAlias

import numpy as np

from prefect_tune.errors import ScheduleError
from prefect_tune.schedules.exact import Exact, exact_factor

STOPPING, PROMOTION = "stopping", "promotion"

Count: TypeAlias = Callable[[int, Fraction, Exact], int | None]
"""Passing ranks among n losses, given the rung's share and eta; None while n decides nothing."""


def _ours(n: int, share: Fraction, eta: Exact) -> int | None:
    """The ranks at or below the interpolated share-quantile, once there are eta losses."""
    return None if n < eta else int((n - 1) * share) + 1


def _from_two(n: int, share: Fraction, eta: Exact) -> int | None:
    return None if n < 2 else int((n - 1) * share) + 1


def _floor(n: int, share: Fraction, eta: Exact) -> int | None:
    return int(n // eta)


def _floor_and_one(n: int, share: Fraction, eta: Exact) -> int | None:
    return 1 if n == 1 else int(n // eta) + 1


def _at_least_one(n: int, share: Fraction, eta: Exact) -> int | None:
    return max(1, int(n // eta))


_COUNTS: Mapping[tuple[str | None, str], Count | None] = MappingProxyType(
    {
        (None, STOPPING): _ours,
        (None, PROMOTION): _ours,
        ("paper", PROMOTION): _floor,
        ("syne-0.13", STOPPING): _from_two,
        ("syne-0.13", PROMOTION): _from_two,
        ("syne-0.15", STOPPING): _floor_and_one,
        ("optuna", STOPPING): _at_least_one,
        ("ray", STOPPING): None,  # compares values, not ranks
    }
)


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule with its settings.

    Attributes:
        type: `stopping` or `promotion`; decides what happens while a rung has too few losses to judge.
        eta: inverse of the share that passes, for the rules that take it at every level.
        compat: whose rule; None is ours.
    """

    type: str
    eta: Exact
    compat: str | None = None

    @property
    def keeps_jumped(self) -> bool:
        """Whether levels that a report jumped over are recorded by the trial's later reports."""
        return self.compat == "ray"

    def passing(self, n: int, share: Fraction) -> int:
        """How many top ranks pass among n losses."""
        count = _COUNTS[self.compat, self.type]
        if count is None:
            raise ScheduleError("compat", "must go by ranks", self.compat, "use passes")
        ranks = count(n, share, self.eta)
        if ranks is None:  # undecided: a running trial goes on, a paused one stays
            return n if self.type == STOPPING else 0
        return ranks

    def passes(self, losses: Sequence[float], loss: float, share: Fraction) -> bool:
        """Whether a loss passes.

        Args:
            losses: finite losses of the rung, rising, the present one among them.
            loss: the present one.
            share: of the rung.
        """
        if _COUNTS[self.compat, self.type] is None:
            return self._above_cutoff(losses, loss)
        ranks = self.passing(len(losses), share)
        return ranks > 0 and loss <= losses[min(ranks, len(losses)) - 1]

    def _above_cutoff(self, losses: Sequence[float], loss: float) -> bool:
        """Ray's test: the score is not below the percentile of the scores that were there before."""
        place = bisect_left(losses, loss)
        earlier = [-other for i, other in enumerate(losses) if i != place]
        if not earlier:
            return True
        cutoff = np.nanpercentile(earlier, (1 - 1 / float(self.eta)) * 100)
        return not -loss < cutoff


def plan_rule(type: str, eta: float, compat: str | None = None) -> Rule:
    """The rule by its names, checked.

    >>> rule = plan_rule("promotion", 3)
    >>> [rule.passing(n, Fraction(1, 3)) for n in range(1, 8)]
    [0, 0, 1, 2, 2, 2, 3]
    """
    if type not in (STOPPING, PROMOTION):
        raise ScheduleError("type", "must be 'stopping' or 'promotion'", type, "stopping is the default")
    if (compat, type) not in _COUNTS:
        names = [repr(name) for name, of in _COUNTS if of == type]
        rule = f"must be one of {', '.join(names)} with type={type!r}"
        raise ScheduleError("compat", rule, compat, "None is our own rule")
    return Rule(type, exact_factor(eta), compat)
