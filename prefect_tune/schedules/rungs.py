"""Rungs and brackets: the plan of a halving search, made before anything runs.

Rule 1: a plan is a value. The counts it states are the counts that run: nobody trains beyond the last rung.
Rule 2: integers and exact fractions only (see `exact`).
Theory: Jamieson and Talwalkar, 2016 (successive halving); Li et al., JMLR 18, 2018 (Hyperband, Algorithm 1).
"""

from __future__ import annotations

from dataclasses import dataclass

from prefect_tune.errors import ScheduleError
from prefect_tune.schedules.exact import Exact, exact_factor, ilog, keep_count, rhe, whole


@dataclass(frozen=True, slots=True)
class Rung:
    """One level of a bracket: so many candidates, each trained to so many calls, compared with each other.

    Attributes:
        level: place in the bracket, 0 the first.
        size: candidates that are compared.
        resource: calls that each has had when it is.
    """

    level: int
    size: int
    resource: int


@dataclass(frozen=True, slots=True)
class Bracket:
    """A ladder of rungs: more resource each, for no more candidates.

    >>> plan_bracket(27, min_resource=1, max_resource=27).sizes
    (27, 9, 3, 1)
    """

    name: int | str
    rungs: tuple[Rung, ...]

    def __post_init__(self) -> None:
        steps = list(zip(self.rungs, self.rungs[1:], strict=False))
        rising = all(low.resource < high.resource and low.size >= high.size for low, high in steps)
        if not (self.rungs and rising and self.rungs[0].resource >= 1 and self.rungs[-1].size >= 1):
            shape = [(rung.size, rung.resource) for rung in self.rungs]
            rule = "must be rungs of rising resource and falling size, all at least 1"
            raise ScheduleError("rungs", rule, shape, "plan_bracket makes such a bracket")

    @property
    def size(self) -> int:
        """Candidates of the first rung: all that the bracket tries."""
        return self.rungs[0].size

    @property
    def sizes(self) -> tuple[int, ...]:
        """Candidates per rung."""
        return tuple(rung.size for rung in self.rungs)

    @property
    def resources(self) -> tuple[int, ...]:
        """Calls per candidate at each rung, rising."""
        return tuple(rung.resource for rung in self.rungs)

    @property
    def calls(self) -> int:
        """Training calls in all, where a promoted candidate goes on from its own state."""
        before = (0, *self.resources)
        return sum(rung.size * (rung.resource - past) for rung, past in zip(self.rungs, before, strict=False))

    @property
    def refit_calls(self) -> int:
        """Training calls in all, where every rung trains from nothing."""
        return sum(rung.size * rung.resource for rung in self.rungs)

    @property
    def scores(self) -> int:
        """Scores in all: one per candidate and rung."""
        return sum(self.sizes)


def plan_bracket(
    size: int,
    *,
    min_resource: int | None = None,
    max_resource: int | None = None,
    eta: float = 3,
    name: int | str = 0,
) -> Bracket:
    """The rungs of successive halving alone, widest first.

    It ends with the first rung that has one candidate or `max_resource` calls.

    Args:
        size: candidates at the start, at least 1.
        min_resource: calls before the first comparison. Without it, the most that lets halving go down to
            one candidate within `max_resource`.
        max_resource: a hard cap on the calls of one candidate.
        eta: factor between rungs, at least 2; a decimal number is taken exactly (3.5 is 7/2).

    >>> bracket = plan_bracket(10, min_resource=9, max_resource=20)
    >>> bracket.sizes, bracket.resources, bracket.calls
    ((10, 3), (9, 20), 123)
    """
    size = whole("size", size, least=1, advice="a bracket needs a candidate to train")
    factor = exact_factor(eta)
    cap = None if max_resource is None else checked_max(max_resource)
    first = _first_resource(size, min_resource, cap, factor)
    rungs: list[Rung] = []
    while count := keep_count(size, factor, len(rungs)):
        grown = rhe(first * factor ** len(rungs))
        rungs.append(Rung(len(rungs), count, grown if cap is None else min(cap, grown)))
        if count == 1 or rungs[-1].resource == cap:
            break
    return Bracket(name, tuple(rungs))


def checked_max(max_resource: object) -> int:
    """The cap on one candidate's calls, checked."""
    advice = "it is the most training calls that any one candidate gets"
    return whole("max_resource", max_resource, least=1, advice=advice)


def checked_min(min_resource: object, cap: int | None) -> int:
    """The calls before the first comparison, checked against the cap."""
    advice = "it is the training calls before the first comparison"
    first = whole("min_resource", min_resource, least=1, advice=advice)
    if cap is not None and first > cap:
        rule = f"must be at most max_resource ({cap})"
        raise ScheduleError("min_resource", rule, first, "lower it or raise the cap")
    return first


def _first_resource(size: int, min_resource: int | None, cap: int | None, factor: Exact) -> int:
    """The first rung's calls as given, or the default for so many candidates under this cap."""
    if min_resource is not None:
        return checked_min(min_resource, cap)
    if cap is None:
        advice = "give it, or max_resource to have it chosen"
        raise ScheduleError("min_resource", "must be given where max_resource is not", None, advice)
    return max(1, int(cap // factor ** ilog(size, factor)))
