"""Leaves with a list of values: choice, ordinal, grid.

Rule 1: the element itself comes out, never a copy made by numpy.
Rule 2: a choice speaks of its options by index, since an option may hold leaves of its own; the other types
speak of their values.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import Any

from prefect_tune.space.domain import (
    MISSING,
    Call,
    Domain,
    as_float,
    as_int,
    inside,
    refuse_any,
)
from prefect_tune.space.equality import find, repeated
from prefect_tune.space.values import list_of


def _read_list(domain: Domain, name: str) -> tuple[Any, ...]:
    """Sets the field to a tuple of Python values; raises if it is empty, no list or holds one value twice."""
    given = getattr(domain, name)
    members = list_of(given)
    if members is None:
        object.__setattr__(domain, name, (given,))
        refuse_any(domain, (True, f"{name} must be a list", given, "write the values as a list"))
    values = tuple(members or ())
    object.__setattr__(domain, name, values)
    refuse_any(domain, (not values, f"{name} must not be empty", [], "name at least one value"))
    twice = repeated(values)
    if twice is not None:
        rule = f"{name} must differ, but {twice[0]} and {twice[1]} (counted from 0) are equal"
        refuse_any(
            domain, (True, rule, values[twice[0]], "name it once, and its weight by choice(weights=...)")
        )
    return values


@dataclass(frozen=True, slots=True, repr=False)
class Choice(Domain):
    """One of several options, given by index; an option may hold leaves, which then depend on this choice.

    Attributes:
        options: at least one, all different.
        weights: one per option, at least 0, any sum above 0; None for equal ones.
    """

    options: tuple[Any, ...]
    weights: tuple[float, ...] | None = None
    _cumulative: tuple[float, ...] = field(init=False, default=(), compare=False)

    def __post_init__(self) -> None:
        options = _read_list(self, "options")
        if self.weights is None:
            return
        given = self.weights
        weights = tuple(as_float(weight) for weight in list_of(given) or ())
        bad = any(weight is MISSING or weight < 0 for weight in weights)
        refuse_any(
            self,
            (
                len(weights) != len(options),
                f"weights must be a list of {len(options)} numbers, one per option",
                given,
                "add or remove some",
            ),
            (bad, "weights must be finite numbers of at least 0", given, "write plain numbers"),
            (not bad and not sum(weights) > 0, "weights must have a sum above 0", given, "raise one of them"),
        )
        total = math.fsum(weights)
        object.__setattr__(self, "weights", weights)
        object.__setattr__(self, "_cumulative", tuple(part / total for part in accumulate(weights)))

    @property
    def possible(self) -> tuple[int, ...]:
        """Indices of the options that can be drawn: those without a weight of 0."""
        weights = self.weights
        return tuple(i for i in range(len(self.options)) if weights is None or weights[i] > 0)

    def value(self, u: float) -> int:
        u = inside(u)
        if self.weights is None:
            return min(int(u * len(self.options)), len(self.options) - 1)
        return min(bisect_right(self._cumulative, u), self.possible[-1])

    def unit(self, value: Any) -> float:
        if self.weights is None:
            return inside((value + 0.5) / len(self.options))
        before = self._cumulative[value - 1] if value else 0.0
        return inside((before + self._cumulative[value]) / 2)

    def default(self) -> int:
        return 0

    def cast(self, value: Any) -> Any:
        number = as_int(value)
        return number if number is not MISSING and 0 <= number < len(self.options) else MISSING

    @property
    def size(self) -> int:
        return len(self.possible)

    def members(self) -> Iterator[int]:
        return iter(self.possible)

    def call(self) -> Call:
        return Call("choice", (self.options,), {} if self.weights is None else {"weights": self.weights})


KINDS = ("equal", "nn", "nn-log")


@dataclass(frozen=True, slots=True, repr=False)
class Ordinal(Domain):
    """One of several values with an order.

    Attributes:
        values: in their order.
        kind: `equal`: all equally likely. `nn`: a number is drawn uniformly over the range of the values and
            the nearest value taken; `nn-log`: likewise in the logarithm. None: `nn` for rising numbers, else
            `equal`.
    """

    values: tuple[Any, ...]
    kind: str | None = None
    _places: tuple[float, ...] = field(init=False, default=(), compare=False)

    def __post_init__(self) -> None:
        values = _read_list(self, "values")
        numbers = [as_float(value) for value in values]
        rising = MISSING not in numbers and all(a < b for a, b in pairwise(numbers))
        if self.kind is None:
            object.__setattr__(self, "kind", "nn" if rising else "equal")
        refuse_any(
            self,
            (self.kind not in KINDS, f"kind must be one of {KINDS}", self.kind, "leave it out"),
            (
                self.kind != "equal" and not rising,
                "values must be rising numbers for the nearest one to be taken",
                list(values),
                "sort them, or say kind='equal'",
            ),
            (
                self.kind == "nn-log" and rising and numbers[0] <= 0,
                "values must be above 0 for a logarithm",
                values[0],
                "say kind='nn'",
            ),
        )
        if self.kind != "equal":
            places = tuple(math.log(number) if self.kind == "nn-log" else number for number in numbers)
            object.__setattr__(self, "_places", places)

    def _edges(self) -> list[float]:
        """Ends of the range that is drawn from, and the borders between neighbours."""
        places = self._places
        half_gap = (places[-1] - places[0]) / max(len(places) - 1, 1) / 2
        inner = [(a + b) / 2 for a, b in pairwise(places)]
        return [places[0] - half_gap, *inner, places[-1] + half_gap]

    def value(self, u: float) -> Any:
        u = inside(u)
        if self.kind == "equal":
            return self.values[min(int(u * len(self.values)), len(self.values) - 1)]
        edges = self._edges()
        x = edges[0] + u * (edges[-1] - edges[0])
        return self.values[bisect_left(edges[1:-1], x)]

    def unit(self, value: Any) -> float:
        index = find(value, self.values)
        if self.kind == "equal" or len(self.values) == 1:
            return inside((index or 0) / len(self.values) + 0.5 / len(self.values))
        edges = self._edges()
        middle = (edges[index or 0] + edges[(index or 0) + 1]) / 2
        return inside((middle - edges[0]) / (edges[-1] - edges[0]))

    def default(self) -> Any:
        if self.kind == "equal":
            return self.values[len(self.values) // 2]
        middle = (self._places[0] + self._places[-1]) / 2
        gaps = [abs(place - middle) for place in self._places]
        return self.values[gaps.index(min(gaps))]

    def cast(self, value: Any) -> Any:
        index = find(value, self.values)
        return MISSING if index is None else self.values[index]

    @property
    def size(self) -> int:
        return len(self.values)

    def members(self) -> Iterator[Any]:
        return iter(self.values)

    def call(self) -> Call:
        return Call("ordinal", (self.values,), {"kind": self.kind})


@dataclass(frozen=True, slots=True, repr=False)
class Grid(Domain):
    """A value of which every one is tried: trials go through the product of all grids, in turn.

    Attributes:
        values: in the order in which they are tried.
    """

    values: tuple[Any, ...]

    def __post_init__(self) -> None:
        _read_list(self, "values")

    def value(self, u: float) -> Any:
        return self.values[min(int(inside(u) * len(self.values)), len(self.values) - 1)]

    def unit(self, value: Any) -> float:
        return inside(((find(value, self.values) or 0) + 0.5) / len(self.values))

    def default(self) -> Any:
        return self.values[0]

    def cast(self, value: Any) -> Any:
        index = find(value, self.values)
        return MISSING if index is None else self.values[index]

    @property
    def size(self) -> int:
        return len(self.values)

    def members(self) -> Iterator[Any]:
        return iter(self.values)

    def call(self) -> Call:
        return Call("grid", (self.values,))
