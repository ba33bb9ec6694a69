"""Reports of candidates, and the one order among them.

Rule 1: finite before non-finite, the greater score first, ties to the smaller key. Position and time of
arrival never decide.
Rule 2: a candidate whose last score is not finite has failed. That is a value, not an exception.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Report:
    """A score of one candidate.

    Attributes:
        calls: training calls the candidate had had.
        score: greater is better; nan for a candidate that failed.
    """

    calls: int
    score: float


History: TypeAlias = Mapping[str, Sequence[Report]]
"""Reports by candidate key, in the order of their calls; every candidate has an entry, maybe an empty one."""


def rank(scores: Mapping[str, float]) -> list[str]:
    """All keys, best first, in the one total order.

    >>> rank({"b": 0.5, "a": 0.5, "c": float("nan"), "d": 0.9})
    ['d', 'a', 'b', 'c']
    """

    def order(key: str) -> tuple[bool, float, str]:
        score = scores[key]
        bad = not math.isfinite(score)
        return bad, 0.0 if bad else -score, key  # a bare nan would poison the tuple

    return sorted(scores, key=order)


def competition_ranks(scores: Mapping[str, float]) -> dict[str, int]:
    """Rank of each key, 1 the best; equal scores share a rank, and all failures the last one.

    >>> competition_ranks({"a": 0.5, "b": 0.9, "c": 0.5, "d": float("nan")})
    {'b': 1, 'a': 2, 'c': 2, 'd': 4}
    """
    ranks: dict[str, int] = {}
    previous: str | None = None
    for place, key in enumerate(rank(scores), start=1):
        ranks[key] = (
            ranks[previous] if previous is not None and _tied(scores[key], scores[previous]) else place
        )
        previous = key
    return ranks


def _tied(one: float, other: float) -> bool:
    return one == other or not (math.isfinite(one) or math.isfinite(other))


def failed(reports: Sequence[Report]) -> bool:
    """Whether the last report is a failure; a candidate without reports has not failed."""
    return bool(reports) and not math.isfinite(reports[-1].score)


def last_calls(reports: Sequence[Report]) -> int:
    """Training calls at the last report, 0 without one."""
    return reports[-1].calls if reports else 0


def last_scores(history: History) -> dict[str, float]:
    """The last score of each candidate that has one."""
    return {key: reports[-1].score for key, reports in history.items() if reports}


def best(history: History) -> str | None:
    """The candidate with the best last score, whoever was dropped; None if no score is finite.

    The answer of a search that still has survivors is among these: see `survivors` of the schedules.
    """
    order = [key for key in rank(last_scores(history)) if not failed(history[key])]
    return order[0] if order else None


def winner(survivors: Iterable[Mapping[str, float]]) -> tuple[int, str] | None:
    """Place of the bracket and key of the best survivor; None if no bracket has one.

    Args:
        survivors: last scores of each bracket's survivors, the most aggressive bracket first; between
            brackets, ties go to the earlier one.

    >>> winner([{"b": 0.5}, {"a": 0.5, "c": 0.4}])
    (0, 'b')
    """
    found: tuple[int, str] | None = None
    top = -math.inf
    for place, scores in enumerate(survivors):
        for key in rank(scores)[:1]:
            if math.isfinite(scores[key]) and scores[key] > top:
                found, top = (place, key), scores[key]
    return found
