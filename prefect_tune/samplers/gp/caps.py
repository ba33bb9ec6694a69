"""Which observations a model keeps when there are more than it can take.

Rule: what is dropped at random is drawn with the generator passed in, and with nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

GeneratorOf = Callable[[], np.random.Generator]


@dataclass(frozen=True, slots=True, order=True)
class Observation:
    """One loss of one trial at one resource."""

    trial: int
    level: int
    loss: float


def keep_best(observations: Sequence[Observation], cap: int, rng: GeneratorOf) -> list[Observation]:
    """At most `cap` observations by (trial, level): the best, a quarter of the cap, and a random subset."""
    if len(observations) <= cap:
        return sorted(observations)
    ranked = sorted(observations, key=lambda seen: (seen.loss, seen.trial, seen.level))
    best = cap // 4
    return sorted(ranked[:best] + _subset(ranked[best:], cap - best, rng))


def keep_highest(observations: Sequence[Observation], cap: int, rng: GeneratorOf) -> list[Observation]:
    """At most `cap` observations by (trial, level): those of the trials that came furthest.

    From the highest level down, all data of the trials that ended there. The first group that does not fit
    loses its lowest levels; of the level in which the cap falls, a random subset stays.
    """
    if len(observations) <= cap:
        return sorted(observations)
    reached: dict[int, int] = {}
    for seen in observations:
        reached[seen.trial] = max(seen.level, reached.get(seen.trial, 0))
    kept: list[Observation] = []
    for level in sorted(set(reached.values()), reverse=True):
        group = [seen for seen in observations if reached[seen.trial] == level]
        room = cap - len(kept)
        if len(group) > room:
            return sorted(kept + _thinned(group, room, rng))
        kept += group
    return sorted(kept)


def _thinned(group: Sequence[Observation], room: int, rng: GeneratorOf) -> list[Observation]:
    """Exactly `room` of the group, the lowest levels given up first."""
    kept: list[Observation] = []
    for level in sorted({seen.level for seen in group}, reverse=True):
        here = [seen for seen in group if seen.level == level]
        if len(kept) + len(here) > room:
            return kept + _subset(here, room - len(kept), rng)
        kept += here
    return kept


def _subset(observations: Sequence[Observation], count: int, rng: GeneratorOf) -> list[Observation]:
    """`count` of them, drawn without replacement from their order by (trial, level)."""
    ordered = sorted(observations)
    return [ordered[i] for i in sorted(rng().choice(len(ordered), size=count, replace=False))]
