"""Whole numbers with a probability each: for types of other libraries that none of ours equals."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import Any

from prefect_tune.space.domain import MISSING, Call, Domain, as_float, as_int, inside, refuse_any
from prefect_tune.space.values import list_of

MOST = 100_000


@dataclass(frozen=True, slots=True, repr=False)
class Weighted(Domain):
    """One of rising ints, each with a weight.

    Attributes:
        values: rising.
        weights: one per value, above 0, of any sum.
    """

    values: tuple[int, ...]
    weights: tuple[float, ...]
    _cumulative: tuple[float, ...] = field(init=False, default=(), compare=False)

    def __post_init__(self) -> None:
        values, weights = self.values, self.weights
        object.__setattr__(self, "values", tuple(as_int(value) for value in list_of(values) or ()))
        object.__setattr__(self, "weights", tuple(as_float(weight) for weight in list_of(weights) or ()))
        no_ints = MISSING in self.values or not self.values
        falling = not no_ints and any(a >= b for a, b in pairwise(self.values))
        refuse_any(
            self,
            (no_ints or falling, "values must be rising ints", values, "sort them, and name each once"),
            (
                len(self.values) != len(self.weights)
                or any(weight is MISSING or weight <= 0 for weight in self.weights),
                "weights must be finite numbers above 0, one per value",
                weights,
                "leave out what cannot occur",
            ),
        )
        total = math.fsum(self.weights)
        object.__setattr__(self, "_cumulative", tuple(part / total for part in accumulate(self.weights)))

    def value(self, u: float) -> int:
        return self.values[min(bisect_right(self._cumulative, inside(u)), len(self.values) - 1)]

    def unit(self, value: Any) -> float:
        place = self.values.index(value)
        return inside(((self._cumulative[place - 1] if place else 0.0) + self._cumulative[place]) / 2)

    def default(self) -> int:
        return self.value(0.5)

    def cast(self, value: Any) -> Any:
        number = as_int(value)
        return number if number is not MISSING and number in self.values else MISSING

    @property
    def size(self) -> int:
        return len(self.values)

    def members(self) -> Iterator[int]:
        return iter(self.values)

    def call(self) -> Call:
        return Call("weighted", (self.values, self.weights))


def shared_out(values: range, below: Callable[[float], float], edge: Callable[[int], float]) -> Weighted:
    """The whole numbers, each with the mass between its own edge and the next one's.

    Args:
        values: all of them, rising; the least takes all the mass below it, the largest all above.
        below: the distribution function of the mass.
        edge: where the mass of the number at a position begins.

    Raises:
        SpaceFaults: more than 100,000 numbers.
    """
    if len(values) > MOST:
        rule = f"at most {MOST:,} whole numbers can have a probability each"
        refuse_any(Weighted((0,), (1,)), (True, rule, values, "use a float type, or a larger step"))
    edges = [0.0, *(below(edge(place)) for place in range(1, len(values))), 1.0]
    masses = [(value, end - start) for value, (start, end) in zip(values, pairwise(edges), strict=True)]
    kept = [(value, mass) for value, mass in masses if mass > 0]
    return Weighted(tuple(value for value, _ in kept), tuple(mass for _, mass in kept))
