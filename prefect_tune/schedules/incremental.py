"""Incremental search: everybody trains to the end, scored on the way.

Rule: each round gives every candidate `fits_per_score` more calls, the last one what is left of
`max_resource`. Nobody is dropped but failures and, with a plateau rule, those that stopped getting better.
"""

from __future__ import annotations

from dataclasses import dataclass

from prefect_tune.schedules.exact import whole
from prefect_tune.schedules.ladder import Ladder, Schedule
from prefect_tune.schedules.plateau import Plateau
from prefect_tune.schedules.rungs import Rung, checked_max


@dataclass(frozen=True, slots=True)
class Incremental(Schedule):
    """The passive search, for any number of candidates.

    Attributes:
        max_resource: calls of each candidate, at least 1.
        fits_per_score: calls between two scores; with a plateau rule at most its patience.
        plateau: who stops early; None: nobody.

    >>> Incremental(100, fits_per_score=7).plan(10).scores
    150
    """

    max_resource: int
    fits_per_score: int = 1
    plateau: Plateau | None = None

    def __post_init__(self) -> None:
        checked_max(self.max_resource)
        score_step(self.fits_per_score, self.plateau)

    @property
    def size(self) -> None:
        """Any number of candidates will do."""
        return

    def ladder(self, size: int) -> Ladder:
        """One rung at the end, and scores on the way."""
        step = score_step(self.fits_per_score, self.plateau)
        return Ladder(rungs=(Rung(0, max(1, size), self.max_resource),), step=step, plateau=self.plateau)


def score_step(fits_per_score: int, plateau: Plateau | None) -> int:
    """Calls between two scores, checked: never more than the plateau rule looks back over."""
    advice = "1 scores a candidate after every call"
    step = whole("fits_per_score", fits_per_score, least=1, advice=advice)
    return step if plateau is None else min(step, plateau.patience)
