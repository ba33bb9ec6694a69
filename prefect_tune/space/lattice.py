"""Multiples of a step, as decimals: the third point of step 0.1 is 0.3, not 0.30000000000000004.

Rule: the step is taken as the decimal that its repr shows, k times the step is computed in whole numbers,
and only the result becomes a float.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from decimal import Decimal

MOST_POINTS = 2**53


@dataclass(frozen=True, slots=True)
class Lattice:
    """The multiples of `step`.

    Attributes:
        step: above 0.
    """

    step: float
    _digits: int = field(init=False, repr=False, compare=False)
    _exponent: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        shown = Decimal(repr(self.step)).as_tuple()
        object.__setattr__(self, "_digits", int("".join(map(str, shown.digits))))
        object.__setattr__(self, "_exponent", shown.exponent)

    def point(self, k: int) -> float:
        """k times the step."""
        return float(f"{k * self._digits}e{self._exponent}")

    def nearest(self, x: float) -> int:
        """The k of the nearest point; half a step goes to the even k."""
        return round(x / self.step)

    def index(self, x: float) -> int | None:
        """The k whose point is exactly x, or None."""
        ratio = x / self.step
        if not math.isfinite(ratio):
            return None
        k = round(ratio)
        return k if self.point(k) == x else None

    def is_multiple(self, x: float) -> bool:
        """Whether x is a multiple, up to a relative error of 1e-9."""
        return math.isclose(x, self.nearest(x) * self.step, rel_tol=1e-9, abs_tol=1e-9 * self.step)
