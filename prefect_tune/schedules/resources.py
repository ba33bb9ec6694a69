"""Halving over any integer resource, counted as scikit-learn's halving searches count.

Rule 1: every iteration refits from nothing; the last one decides.
Rule 2: exact arithmetic. The library's float logarithm loses an iteration where the candidates or the ratio
of the resources are 243 (factor 3) or 1000 (factor 10); here they have it.
"""

from __future__ import annotations

from prefect_tune.errors import ScheduleError
from prefect_tune.schedules.exact import Exact, exact_factor, ilog, keep_ceiling, whole
from prefect_tune.schedules.rungs import Rung


def halving_iterations(
    n_candidates: int, min_resources: int, max_resources: int, factor: float, aggressive: bool = False
) -> tuple[Rung, ...]:
    """The iterations (candidates, resources), first to last; ⌈size / factor⌉ candidates outlive each.

    Args:
        n_candidates: candidates at the start, at least 1.
        min_resources: resources of each candidate at the start.
        max_resources: the most resources of one candidate.
        factor: share of candidates dropped and growth of the resource, above 1.
        aggressive: repeat the first resource until the rest of the ladder ends with at most `factor`.

    >>> [(rung.size, rung.resource) for rung in halving_iterations(60, 20, 1000, 3)]
    [(60, 20), (20, 60), (7, 180), (3, 540)]
    """
    base = _factor(factor)
    size = _candidates(n_candidates)
    first, most = _bounds(min_resources, max_resources)
    required = 1 + ilog(size, base)
    possible = 1 + ilog(most // first, base)
    delay = required - possible if aggressive else 0
    rungs = []
    for level in range(required if aggressive else min(required, possible)):
        resource = min(most, int(first * base ** max(0, level - delay)))
        rungs.append(Rung(level, size, resource))
        size = keep_ceiling(size, base)
    return tuple(rungs)


def min_resources_exhaust(n_candidates: int, smallest: int, max_resources: int, factor: float) -> int:
    """The most resources to begin with that still reach the last iteration within `max_resources`.

    >>> min_resources_exhaust(60, 20, 1000, 3)
    37
    """
    base = _factor(factor)
    size = _candidates(n_candidates)
    smallest, most = _bounds(smallest, max_resources)
    return max(smallest, int(most // base ** ilog(size, base)))


def n_candidates_exhaust(min_resources: int, max_resources: int) -> int:
    """As many candidates as `max_resources` pays for at `min_resources` each.

    >>> n_candidates_exhaust(20, 1000)
    50
    """
    first, most = _bounds(min_resources, max_resources)
    return most // first


def smallest_resources(resource: str, *, n_splits: int, n_classes: int | None = None) -> int:
    """The fewest resources that make sense: two samples per fold and class, or 1 of anything else.

    Args:
        resource: `n_samples` or the name of an integer parameter.
        n_splits: folds.
        n_classes: classes of a classifier; None for anything else.

    >>> smallest_resources("n_samples", n_splits=5, n_classes=2)
    20
    """
    return 2 * n_splits * (n_classes or 1) if resource == "n_samples" else 1


def _factor(factor: float) -> Exact:
    return exact_factor(factor, name="factor", least=1, strict=True)


def _candidates(n_candidates: int) -> int:
    return whole("n_candidates", n_candidates, least=1, advice="halving needs a candidate to fit")


def _bounds(min_resources: int, max_resources: int) -> tuple[int, int]:
    """Both ends of the resource, checked."""
    most = whole("max_resources", max_resources, least=1, advice="it is the most that one candidate gets")
    first = whole("min_resources", min_resources, least=1, advice="it is what each candidate starts with")
    if first > most:
        rule = f"must be at most max_resources ({most})"
        raise ScheduleError("min_resources", rule, first, "lower it, or give more data or a larger maximum")
    return first, most
