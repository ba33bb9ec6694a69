"""Hyperband: several brackets over one budget, from the most aggressive to the passive one.

Rule 1: bracket s has rungs 0 to s and no more, so no candidate exceeds `max_resource`.
Rule 2: the first sizes round up, the later ones down, each from the first (not from the one before).
Theory: Li, Jamieson, DeSalvo, Rostamizadeh and Talwalkar, JMLR 18, 2018, Algorithm 1 and Table 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from prefect_tune.errors import ScheduleError
from prefect_tune.schedules.exact import Exact, ceil_div, exact_factor, ilog, keep_count, rhe
from prefect_tune.schedules.rungs import Bracket, Rung, checked_max, checked_min, plan_bracket


def hyperband(
    max_resource: int,
    *,
    eta: float = 3,
    bracket_sizes: str = "jmlr",
    brackets: Iterable[tuple[int, int]] | None = None,
    min_resource: int = 1,
) -> tuple[Bracket, ...]:
    """The brackets of a Hyperband search, most aggressive first; the last one, named 0, drops nobody.

    Args:
        max_resource: a hard cap on the calls of one candidate.
        eta: factor between rungs, at least 2; a decimal number is taken exactly (3.5 is 7/2).
        bracket_sizes: `jmlr` (the pseudo-code, as dask-ml), `jmlr-table` (the paper's Table 1) or `upward`
            (rungs counted from below, as Syne Tune).
        brackets: instead, an explicit list of (candidates, first resource), each run as successive halving.
        min_resource: the lowest rung of `upward`; the others find their own.

    >>> [(b.name, b.size, b.calls) for b in hyperband(9)]
    [(2, 9, 21), (1, 5, 21), (0, 3, 27)]
    """
    cap, factor = checked_max(max_resource), exact_factor(eta)
    if bracket_sizes not in _SIZES:
        rule = f"must be one of {', '.join(_SIZES)}"
        raise ScheduleError("bracket_sizes", rule, bracket_sizes, "jmlr is the default")
    lowest = checked_min(min_resource, cap)
    if lowest > 1 and (bracket_sizes != "upward" or brackets is not None):
        raise ScheduleError("min_resource", "belongs to bracket_sizes='upward'", lowest, "leave it at 1")
    if brackets is not None:
        return _explicit(brackets, cap, eta)
    return _SIZES[bracket_sizes](cap, factor, lowest)


def _jmlr(cap: int, eta: Exact, lowest: int) -> tuple[Bracket, ...]:
    """Sizes of the pseudo-code: ⌈(s_max+1) η^s / (s+1)⌉, then the floor of n / η^i."""
    top = ilog(cap, eta)
    return tuple(
        _downward(s, ceil_div((top + 1) * eta**s, s + 1), cap=cap, eta=eta) for s in range(top, -1, -1)
    )


def _jmlr_table(cap: int, eta: Exact, lowest: int) -> tuple[Bracket, ...]:
    """Sizes of the paper's table: ⌊(s_max+1) / (s+1)⌋ η^s, as HpBandSter and NePS."""
    top = ilog(cap, eta)
    return tuple(
        _downward(s, int((top + 1) // (s + 1) * eta**s), cap=cap, eta=eta) for s in range(top, -1, -1)
    )


def _downward(s: int, size: int, *, cap: int, eta: Exact) -> Bracket:
    """Bracket s of rungs 0 to s, the first at ⌊R / η^s⌋ calls."""
    first = int(cap // eta**s)
    rungs = [Rung(i, max(1, keep_count(size, eta, i)), min(cap, rhe(first * eta**i))) for i in range(s + 1)]
    return Bracket(s, tuple(rungs))


def _upward(cap: int, eta: Exact, lowest: int) -> tuple[Bracket, ...]:
    """Rungs at r_min η^k below the cap, then the cap; bracket b skips the first b of them."""
    top = 0
    while lowest * eta**top < cap:
        top += 1
    # A decimal eta may round the last power up to the cap itself: that rung is the cap's.
    levels = [(k, level) for k in range(top) if (level := rhe(lowest * eta**k)) < cap]
    brackets = []
    for skipped in range(top + 1):
        left = [(k, level) for k, level in levels if k >= skipped] + [(top, cap)]
        sizes = [ceil_div((top + 1) * eta ** (top - k), top - skipped + 1) for k, _ in left]
        rungs = [Rung(i, size, level) for i, (size, (_, level)) in enumerate(zip(sizes, left, strict=True))]
        brackets.append(Bracket(top - skipped, tuple(rungs)))
    return tuple(brackets)


_SIZES: dict[str, Callable[[int, Exact, int], tuple[Bracket, ...]]] = {
    "jmlr": _jmlr,
    "jmlr-table": _jmlr_table,
    "upward": _upward,
}


def _explicit(pairs: Iterable[tuple[int, int]], cap: int, eta: float) -> tuple[Bracket, ...]:
    """The brackets of a list, sorted by their first resource and numbered down to 0."""
    try:
        listed = [(size, first) for size, first in pairs]
    except (TypeError, ValueError):
        listed = []
    if not listed:
        rule = "must be a list of pairs (candidates, first resource)"
        raise ScheduleError("brackets", rule, pairs, "for example [(81, 3), (34, 9)]")
    planned = [plan_bracket(size, min_resource=first, max_resource=cap, eta=eta) for size, first in listed]
    planned.sort(key=lambda bracket: bracket.resources[0])
    return tuple(replace(bracket, name=len(planned) - 1 - i) for i, bracket in enumerate(planned))
