"""Whole numbers between two bounds, both included: uniform or in the logarithm; with a step.

Rule: uniform ints have equal mass. In the logarithm an int v has the mass of [v - 1/2, v + 1/2] (our rule);
`rounding="closed"` cuts that at the bounds, so that the ends get less; `"floor"` gives v that of [v, v + 1].
`rounding="half"`, for uniform ints, rounds a float between the bounds: the ends get half the mass.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from prefect_tune.space.domain import MISSING, Call, Domain, as_int, clip, inside, read_numbers, refuse_any

LARGEST = 2**63


@dataclass(frozen=True, slots=True, repr=False)
class Integer(Domain):
    """An int in [low, high], both included.

    Attributes:
        low: least value.
        high: largest value.
        q: step; values are its multiples, and so are the bounds.
        log: drawn in the logarithm.
        rounding: None, `closed` or `floor` with `log`; None or `half` without.
    """

    low: int
    high: int
    q: int | None = None
    log: bool = False
    rounding: str | None = None

    def __post_init__(self) -> None:
        read_numbers(self, "low", "high", "q", whole=True)
        low, high, q = self.low, self.high, self.q
        allowed = ("closed", "floor") if self.log else ("half",)
        huge = max(abs(low), abs(high)) > LARGEST
        refuse_any(
            self,
            (low > high, "low must not exceed high", (low, high), "swap the bounds"),
            (
                self.log and low < 1,
                "low must be at least 1 for a logarithm",
                low,
                "raise low, or use randint",
            ),
            (huge, "bounds must lie within 2**63", (low, high), "use a float type"),
            (q is not None and q < 1, "q must be at least 1", q, "give the step between two values"),
            (
                self.rounding is not None and self.rounding not in allowed,
                f"rounding must be None or one of {allowed}",
                self.rounding,
                "leave it out for our rule",
            ),
        )
        step = self._step
        refuse_any(
            self,
            *[
                (
                    end % step != 0,
                    f"{name} must be a multiple of q",
                    end,
                    f"{name}={_nearest_multiple(Fraction(end), step)} would be",
                )
                for name, end in (("low", low), ("high", high))
            ],
        )

    @property
    def _step(self) -> int:
        return 1 if self.q is None else self.q

    def _range(self) -> tuple[float, float]:
        """The bounds of the number that is rounded; logarithms for log types."""
        if not self.log:
            return float(self.low), float(self.high)
        if self.rounding is None:
            return math.log(self.low - 0.5), math.log(self.high + 0.5)
        return math.log(self.low), math.log(self.high + (self.rounding == "floor"))

    def value(self, u: float) -> int:
        u = inside(u)
        if not self.log and self.rounding is None:
            return min(self.low + int(u * self.size) * self._step, self.high)
        start, end = self._range()
        x = start + u * (end - start)
        x = math.exp(x) if self.log else x
        whole = math.floor(x) if self.rounding == "floor" else round(x)
        return self._on_step(Fraction(min(max(whole, self.low), self.high)))

    def _on_step(self, x: Fraction) -> int:
        return min(max(_nearest_multiple(x, self._step), self.low), self.high)

    def unit(self, value: Any) -> float:
        if not self.log and self.rounding is None:
            return inside((value - self.low + self._step / 2) / (self._step * self.size))
        start, end = self._range()
        if start == end:
            return 0.5
        return inside(
            (self._edge(value, upper=False) + self._edge(value, upper=True) - 2 * start) / (end - start) / 2
        )

    def _edge(self, value: int, *, upper: bool) -> float:
        """Where the mass of a value begins or ends, on the scale that is uniform."""
        start, end = self._range()
        if value == (self.high if upper else self.low):
            return end if upper else start
        # The least or largest whole number that is rounded to this multiple of the step.
        whole = value
        if self._step > 1:
            sign = 1 if upper else -1
            whole = value + sign * (self._step // 2)
            whole -= sign * (self._on_step(Fraction(whole)) != value)
        if self.rounding == "floor":
            x: float = whole + upper
        else:
            x = whole + (0.5 if upper else -0.5)
        return clip(math.log(x) if self.log else x, start, end)

    def default(self) -> int:
        middle = Fraction(self.low + self.high, 2)
        return self._on_step(Fraction(math.sqrt(self.low * self.high)) if self.log else middle)

    def cast(self, value: Any) -> Any:
        number = as_int(value)
        if number is MISSING or not self.low <= number <= self.high or number % self._step:
            return MISSING
        return number

    @property
    def size(self) -> int:
        return (self.high - self.low) // self._step + 1

    def members(self) -> Iterator[int]:
        return iter(range(self.low, self.high + 1, self._step))

    def call(self) -> Call:
        name = f"{'' if self.q is None else 'q'}{'log' if self.log else ''}randint"
        args = (self.low, self.high) if self.q is None else (self.low, self.high, self.q)
        return Call(name, args, {} if self.rounding is None else {"rounding": self.rounding})


def _nearest_multiple(x: Fraction, step: int) -> int:
    """The nearest multiple; half a step goes to the even one."""
    return step * round(x / step)
