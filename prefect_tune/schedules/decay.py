"""Inverse decay: the number of candidates falls as n / (1 + t)^decay while their calls grow.

Rule 1: all start with one call. At c calls, if the curve has fallen below one candidate at c + 1, it is over;
otherwise look for the next time t at which the curve reaches another whole number, keep that many (at least
one), and train them for t - (c + 1) calls. One candidate left, or `max_resource`: over.
Rule 2: so the rungs are known beforehand, and a decay is a ladder like any other. Scores never move them.
Rule 3: whole decays are integer arithmetic; others take the floor of a double, nudged by 1e-12.
Theory: the adaptive search of dask-ml (Rocklin and Sievert), with its counts made explicit.
"""

from __future__ import annotations

import bisect
import math
from dataclasses import dataclass
from numbers import Real

from prefect_tune.errors import ScheduleError
from prefect_tune.schedules.exact import whole
from prefect_tune.schedules.incremental import score_step
from prefect_tune.schedules.ladder import Ladder, Schedule
from prefect_tune.schedules.plateau import Plateau
from prefect_tune.schedules.rungs import Bracket, Rung, checked_max


@dataclass(frozen=True, slots=True)
class InverseDecay(Schedule):
    """Candidates dropped along an inverse decay.

    Attributes:
        n_initial: candidates at the start, at least 1.
        decay: how fast they are dropped, above 0; 1 halves them each time their calls double.
        max_resource: a hard cap on the calls of one candidate.
        fits_per_score: the most calls between two scores, where there is a plateau rule.
        plateau: who stops early; None: nobody.

    >>> InverseDecay(20, 1, max_resource=100).bracket.sizes
    (20, 5, 4, 3, 2)
    """

    n_initial: int
    decay: float
    max_resource: int
    fits_per_score: int = 1
    plateau: Plateau | None = None

    def __post_init__(self) -> None:
        whole("n_initial", self.n_initial, least=1, advice="a search needs a candidate to train")
        checked_max(self.max_resource)
        score_step(self.fits_per_score, self.plateau)
        number = isinstance(self.decay, Real) and not isinstance(self.decay, bool)
        if not (number and math.isfinite(self.decay) and self.decay > 0):
            advice = "1 is usual, and Incremental drops nobody"
            raise ScheduleError("decay", "must be a number above 0", self.decay, advice)

    @property
    def size(self) -> int:
        """Candidates of the first rung; the search may bring fewer."""
        return self.n_initial

    @property
    def bracket(self) -> Bracket:
        """The rungs of the decay, the first at one call."""
        rungs = [Rung(0, self.n_initial, 1)]
        while (following := self._after(rungs[-1].resource)) is not None:
            size, resource = following
            rungs.append(Rung(len(rungs), size, resource))
        return Bracket("inverse-decay", tuple(rungs))

    def ladder(self, size: int) -> Ladder:
        """The decay's rungs, and the scores that the plateau rule needs between them."""
        if self.plateau is None:
            return Ladder(rungs=self.bracket.rungs)
        step = score_step(self.fits_per_score, self.plateau)
        return Ladder(rungs=self.bracket.rungs, first=1, step=step, plateau=self.plateau)

    def _after(self, calls: int) -> tuple[int, int] | None:
        """Size and resource of the rung after the one at so many calls; None if that is the last."""
        now = self._count(calls + 1)
        if now <= 1 or calls >= self.max_resource:
            return None
        times = range(calls + 2, self.max_resource + 2)
        change = calls + 2 + bisect.bisect_right(times, -now, key=lambda time: -self._count(time))
        # Beyond the cap only the count matters: convex, and level for a step, the curve falls by one.
        kept = self._count(change) if change in times else now - 1
        return None if kept <= 1 else (kept, min(self.max_resource, change - 1))

    def _count(self, time: int) -> int:
        """The curve at a time, in whole candidates."""
        if self.decay >= self.n_initial.bit_length():  # 2^decay is above n already: no powers that overflow
            return 0
        if self.decay == int(self.decay):
            return self.n_initial // (1 + time) ** int(self.decay)
        return math.floor(self.n_initial / (1 + time) ** float(self.decay) + 1e-12)
