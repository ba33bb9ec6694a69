"""Floats between two bounds: uniform, in the logarithm, in the logarithm of the distance to 1; with a step.

Rule: with a step both ends of a uniform range are included, each with half the mass of an inner point: the
number is drawn without the step, then rounded half to even.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from prefect_tune.space.domain import MISSING, Call, Domain, as_float, clip, inside, read_numbers, refuse_any
from prefect_tune.space.lattice import MOST_POINTS, Lattice


@dataclass(frozen=True, slots=True, repr=False)
class Float(Domain):
    """A float in [low, high].

    Attributes:
        low: least value.
        high: largest value.
        q: step; values are its multiples.
        log: drawn uniformly in the logarithm.
        reverse: drawn uniformly in the logarithm of 1 - x.
        clip: with a step: values stay within the bounds. False rounds without clipping, as hyperopt does, so
            that the bounds need not be multiples and a value may lie up to half a step outside.
    """

    low: float
    high: float
    q: float | None = None
    log: bool = False
    reverse: bool = False
    clip: bool = True
    _lattice: Lattice | None = field(init=False, default=None, compare=False)
    _ends: tuple[int, int] = field(init=False, default=(0, 0), compare=False)

    def __post_init__(self) -> None:
        read_numbers(self, "low", "high", "q")
        low, high, q = self.low, self.high, self.q
        refuse_any(
            self,
            (low > high, "low must not exceed high", (low, high), "swap the bounds"),
            (
                self.log and low <= 0,
                "low must be above 0 for a logarithm",
                low,
                "raise low, or use a type without log",
            ),
            (
                self.reverse and (low < 0 or high >= 1),
                "bounds must be at least 0 and below 1",
                (low, high),
                "keep high below 1",
            ),
            (
                self.reverse and (self.log or q is not None),
                "reverse goes with neither log nor q",
                q,
                "leave them out",
            ),
            (q is not None and q <= 0, "q must be above 0", q, "give the step between two values"),
        )
        if q is not None:
            self._set_lattice(q)

    def _set_lattice(self, q: float) -> None:
        many = max(abs(self.low), abs(self.high)) / q > MOST_POINTS
        refuse_any(self, (many, "q must leave fewer than 2**53 points", q, "take a larger step"))
        lattice = Lattice(q)
        if self.clip and not self.log:
            refuse_any(
                self,
                *[
                    (
                        not lattice.is_multiple(end),
                        f"{name} must be a multiple of q",
                        end,
                        f"{name}={lattice.point(lattice.nearest(end))!r} would be",
                    )
                    for name, end in (("low", self.low), ("high", self.high))
                ],
            )
        first, last = lattice.nearest(self.low), lattice.nearest(self.high)
        if self.clip and self.log:
            first += first * q < self.low * (1 - 1e-9)
            last -= last * q > self.high * (1 + 1e-9)
            none = first > last
            refuse_any(self, (none, "a multiple of q must lie between the bounds", q, "take a smaller step"))
        object.__setattr__(self, "_lattice", lattice)
        object.__setattr__(self, "_ends", (first, last))

    def _at(self, u: float) -> float:
        """The number at u, before a step."""
        low, high = self.low, self.high
        if self.log:
            start = math.log(low)
            x = math.exp(start + u * (math.log(high) - start))
        elif self.reverse:
            start, end = -math.log1p(-low), -math.log1p(-high)
            x = -math.expm1(-(start + u * (end - start)))
        else:
            width = high - low
            x = low + u * width if math.isfinite(width) else low * (1 - u) + high * u
        return clip(x, low, high)

    def _position(self, x: float) -> float:
        """The u of a number within the bounds, before a step."""
        if self.low == self.high:
            return 0.5
        if self.log:
            start, end, place = math.log(self.low), math.log(self.high), math.log(x)
        elif self.reverse:
            start, end, place = math.log1p(-self.low), math.log1p(-self.high), math.log1p(-x)
        else:
            start, end, place = self.low / 2, self.high / 2, x / 2  # halves: their difference is finite
        # Two bounds next to each other may have one logarithm.
        return 0.5 if start == end else clip((place - start) / (end - start), 0.0, 1.0)

    def _round(self, x: float, lattice: Lattice) -> float:
        first, last = self._ends
        return lattice.point(min(max(lattice.nearest(x), first), last))

    def value(self, u: float) -> float:
        x = self._at(inside(u))
        return x if self._lattice is None else self._round(x, self._lattice)

    def unit(self, value: Any) -> float:
        if self._lattice is None:
            return inside(self._position(clip(value, self.low, self.high)))
        k, (first, last) = self._lattice.nearest(value), self._ends
        start = self.low if k <= first else clip((k - 0.5) * self._lattice.step, self.low, self.high)
        end = self.high if k >= last else clip((k + 0.5) * self._lattice.step, self.low, self.high)
        return inside((self._position(start) + self._position(end)) / 2)

    def default(self) -> float:
        x = self._at(0.5)
        if self.log:
            # The rounder number where it can be had: 0.01, not 0.010000000000000004.
            x = clip(math.sqrt(self.low) * math.sqrt(self.high), self.low, self.high)
        return x if self._lattice is None else self._round(x, self._lattice)

    def cast(self, value: Any) -> Any:
        number = as_float(value)
        if number is MISSING:
            return MISSING
        if self._lattice is None:
            return number if self.low <= number <= self.high else MISSING
        k = self._lattice.index(number)
        return number if k is not None and self._ends[0] <= k <= self._ends[1] else MISSING

    @property
    def size(self) -> int | None:
        if self._lattice is not None:
            return self._ends[1] - self._ends[0] + 1
        return 1 if self.low == self.high else None

    def members(self) -> Iterator[float]:
        if self._lattice is not None:
            return map(self._lattice.point, range(self._ends[0], self._ends[1] + 1))
        # Not super(): a dataclass with slots is a second class, unknown to the first one's methods.
        return iter([self.low]) if self.low == self.high else Domain.members(self)

    def call(self) -> Call:
        kind = "reverse" if self.reverse else "q" if self.q is not None else ""
        name = f"{kind}{'log' if self.log or self.reverse else ''}uniform"
        args = (self.low, self.high) if self.q is None else (self.low, self.high, self.q)
        return Call(name, args, {} if self.clip else {"clip": False})
