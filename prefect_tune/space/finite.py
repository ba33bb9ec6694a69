"""Equally spaced numbers: so many between two bounds, both included.

Rule: values are fractions of the bounds' decimals, made floats at the end: 0.3, not 0.30000000000000004.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from prefect_tune.space.domain import (
    MISSING,
    Call,
    Domain,
    as_float,
    as_int,
    inside,
    read_numbers,
    refuse_any,
)
from prefect_tune.space.equality import repeated


@dataclass(frozen=True, slots=True, repr=False)
class FinRange(Domain):
    """One of equally spaced numbers, both ends included, all equally likely.

    Attributes:
        low: least value.
        high: largest value.
        size: how many there are, at least 1; 2 or more if the bounds differ.
        log: equally spaced in the logarithm.
        cast_int: rounded to ints, half to even; they must stay different.
    """

    low: float
    high: float
    size: int = 2  # replaces the property: the number of values is given here
    log: bool = False
    cast_int: bool = False
    values: tuple[Any, ...] = field(init=False, default=(), compare=False)

    def __post_init__(self) -> None:
        read_numbers(self, "low", "high")
        read_numbers(self, "size", whole=True)
        low, high, size = self.low, self.high, self.size
        least = 1 if low == high else 2
        refuse_any(
            self,
            (low > high, "low must not exceed high", (low, high), "swap the bounds"),
            (self.log and low <= 0, "low must be above 0 for a logarithm", low, "raise low, or use finrange"),
            (size < least, f"size must be at least {least}", size, "say how many values there are"),
            (size > 10**6, "size must be at most a million", size, "use quniform or randint"),
            (low == high and size > 1, "size must be 1 where both bounds are equal", size, "move a bound"),
        )
        values = [self._at(index) for index in range(size)]
        if self.cast_int:
            values = [round(value) for value in values]
        twice = repeated(values)
        rule = f"{size} values must differ, but {values[twice[0]] if twice else None} comes twice"
        refuse_any(self, (twice is not None, rule, size, "ask for fewer, or use ordinal"))
        object.__setattr__(self, "values", tuple(values))

    def _at(self, index: int) -> float:
        if index in (0, self.size - 1):
            return self.high if index else self.low
        share = Fraction(index, self.size - 1)
        if self.log:
            start, end = math.log(self.low), math.log(self.high)
            return min(max(math.exp(start + float(share) * (end - start)), self.low), self.high)
        low, high = Fraction(repr(self.low)), Fraction(repr(self.high))
        return float(low + share * (high - low))

    def _index(self, value: Any) -> int | None:
        number = as_int(value) if self.cast_int else as_float(value)
        if number is MISSING:
            return None
        index = bisect_left(self.values, number)
        return index if index < self.size and self.values[index] == number else None

    def value(self, u: float) -> Any:
        return self.values[min(int(inside(u) * self.size), self.size - 1)]

    def unit(self, value: Any) -> float:
        return inside(((self._index(value) or 0) + 0.5) / self.size)

    def default(self) -> Any:
        return self.values[round(Fraction(self.size - 1, 2))]

    def cast(self, value: Any) -> Any:
        index = self._index(value)
        return MISSING if index is None else self.values[index]

    def members(self) -> Iterator[Any]:
        return iter(self.values)

    def call(self) -> Call:
        options = {"cast_int": True} if self.cast_int else {}
        return Call(f"{'log' if self.log else ''}finrange", (self.low, self.high, self.size), options)
