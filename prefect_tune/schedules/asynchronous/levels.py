"""Levels: the resources at which trials are compared, and the last one, where they end.

Rule 1: the maximum is the final level, not a rung: nobody is dropped there.
Rule 2: integers and exact fractions only (see `schedules.exact`).
Rule 3: a report beyond a level stands for the highest level it crossed; those below it are skipped.
Theory: Li et al., MLSys 2020, Algorithm 2.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from prefect_tune.errors import ScheduleError
from prefect_tune.schedules.exact import exact_factor, rhe, whole
from prefect_tune.schedules.rungs import checked_max, checked_min

USUAL_NAMES = ("epochs", "max_t", "max-t", "max_epochs", "max-epochs")


@dataclass(frozen=True, slots=True)
class Levels:
    """Rungs, rising, and the maximum above them.

    >>> Levels((1, 3, 9, 27), 50).share(3)
    Fraction(27, 50)
    """

    rungs: tuple[int, ...]
    top: int

    @property
    def all(self) -> tuple[int, ...]:
        """The rungs and the maximum."""
        return (*self.rungs, self.top)

    def share(self, place: int) -> Fraction:
        """The part of a rung's trials that should go on: its resource over that of the next level."""
        levels = self.all
        return Fraction(levels[place], levels[place + 1])

    def crossed(self, resource: int) -> int:
        """How many levels, the maximum included, are at or below the resource.

        >>> Levels((1, 3, 9), 27).crossed(10)
        3
        """
        return bisect_right(self.rungs, resource) + (resource >= self.top)


def plan_levels(
    max_resource: int,
    *,
    grace_period: int = 1,
    eta: float = 3,
    rung_levels: Sequence[int] | None = None,
    rung_increment: int | None = None,
) -> Levels:
    """The levels of an asynchronous schedule.

    Args:
        max_resource: where a trial is complete.
        grace_period: the first rung; no trial is dropped before it.
        eta: factor between rungs, at least 2; a decimal number is taken exactly (3.5 is 7/2).
        rung_levels: the rungs themselves, rising; overrides the rest.
        rung_increment: distance between rungs, instead of `eta`.

    >>> plan_levels(81).rungs, plan_levels(10, grace_period=4, rung_increment=3).rungs
    ((1, 3, 9, 27), (4, 7))
    """
    top = checked_max(max_resource)
    first, factor = _checked_grace(grace_period, top), exact_factor(eta)
    if rung_levels is not None:
        return Levels(_explicit(rung_levels, top), top)
    if rung_increment is not None:
        advice = "it is the distance between two rungs"
        step = whole("rung_increment", rung_increment, least=1, advice=advice)
        return Levels(tuple(range(first, top, step)), top)
    rungs: list[int] = []
    while (level := rhe(first * factor ** len(rungs))) < top:
        rungs.append(level)
    return Levels(tuple(rungs), top)


def max_resource_of(space: Mapping[str, object], name: str | None = None) -> int:
    """The maximum that a space names: the constant `name`, else the first of the usual names.

    Args:
        space: values by parameter; only a plain int counts, a domain is passed over.
        name: of the parameter to take.

    >>> max_resource_of({"lr": 0.1, "max-t": 81})
    81
    """
    for candidate in USUAL_NAMES if name is None else (name,):
        value = space.get(candidate)
        if isinstance(value, int) and not isinstance(value, bool):
            return checked_max(value)
    if name is None:
        rule = f"must be given, or the space must hold an int constant named {', '.join(USUAL_NAMES)}"
        raise ScheduleError("max_resource", rule, None, "give max_resource")
    rule = "must name an int constant of the space"
    raise ScheduleError("max_resource_attr", rule, name, "give max_resource instead")


def _checked_grace(grace_period: object, top: int) -> int:
    try:
        return checked_min(grace_period, top)
    except ScheduleError as error:
        raise error.renamed({"min_resource": "grace_period"}) from None


def _explicit(rung_levels: Sequence[int], top: int) -> tuple[int, ...]:
    """The given rungs, checked; a last one that equals the maximum is dropped."""
    rule = f"must be rising ints of at least 1, the last at most max_resource ({top})"
    error = ScheduleError("rung_levels", rule, rung_levels, "for example [1, 3, 9]")
    try:
        levels = tuple(whole("rung_levels", level, least=1, advice="") for level in rung_levels)
    except (TypeError, ScheduleError):
        raise error from None
    if any(low >= high for low, high in pairwise(levels)) or (levels and levels[-1] > top):
        raise error
    return levels[:-1] if levels and levels[-1] == top else levels
