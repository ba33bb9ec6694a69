"""Configurations as points of the unit cube, and back.

Rule 1: numbers keep their order and scale, finite ordered values stand at (index + 1/2) / K, options of a
choice get a dimension each, or share one if there are two. What cannot vary has no dimension.
Rule 2: a leaf that is not active stands where its default does.
Rule 3: decoding what was encoded gives it back: discrete values exactly, floats up to rounding.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from prefect_tune.samplers.gp.kernels import Array
from prefect_tune.space import (
    Choice,
    Constant,
    Distribution,
    Domain,
    FinRange,
    Float,
    Grid,
    Integer,
    Leaf,
    Ordinal,
    SearchSpace,
)
from prefect_tune.space.equality import find, token
from prefect_tune.trials import Config

_MOST_LISTED = 10_000  # points of a lattice; with more, its distribution's own scale is as good


class Code(Protocol):
    """How one leaf stands in the cube: `width` coordinates."""

    @property
    def width(self) -> int: ...

    def encode(self, value: Any) -> list[float]: ...

    def decode(self, x: Array) -> Any: ...


@dataclass(frozen=True, slots=True)
class Scaled:
    """By the domain's own scale: linear, logarithmic, or the share of a distribution below the value."""

    domain: Domain
    width: int = 1

    def encode(self, value: Any) -> list[float]:
        return [self.domain.unit(value)]

    def decode(self, x: Array) -> Any:
        return self.domain.value(float(x[0]))


@dataclass(frozen=True, slots=True)
class Stepped:
    """Ints with equal distances."""

    domain: Integer
    width: int = 1

    @property
    def _step(self) -> int:
        return self.domain.q or 1

    def encode(self, value: Any) -> list[float]:
        return [((value - self.domain.low) // self._step + 0.5) / self.domain.size]

    def decode(self, x: Array) -> Any:
        index = min(max(int(float(x[0]) * self.domain.size), 0), self.domain.size - 1)
        return self.domain.low + index * self._step


@dataclass(frozen=True, slots=True)
class Logarithmic:
    """Ints by their logarithm, between the ends that the domain draws from."""

    domain: Integer
    width: int = 1

    @property
    def _ends(self) -> tuple[float, float]:
        low, high = self.domain.low, self.domain.high
        if self.domain.rounding is None:
            return math.log(low - 0.5), math.log(high + 0.5)
        return math.log(low), math.log(high + (self.domain.rounding == "floor"))

    def encode(self, value: Any) -> list[float]:
        start, end = self._ends
        return [(math.log(value) - start) / (end - start)]

    def decode(self, x: Array) -> Any:
        start, end = self._ends
        number = math.exp(start + float(x[0]) * (end - start))
        # An int that was encoded comes back a little too small or too large.
        whole = math.floor(number * (1 + 1e-12)) if self.domain.rounding == "floor" else round(number)
        return min(max(whole, self.domain.low), self.domain.high)


@dataclass(frozen=True, slots=True)
class Listed:
    """Values in their order, at equal distances."""

    values: tuple[Any, ...]
    places: Mapping[Hashable, int]
    width: int = 1

    @classmethod
    def of(cls, values: tuple[Any, ...]) -> Listed:
        return cls(values, {token(value): place for place, value in enumerate(values)})

    def place(self, value: Any) -> int:
        """Its index; of an equal number where the type differs."""
        place = self.places.get(token(value))
        return place if place is not None else find(value, self.values) or 0

    def encode(self, value: Any) -> list[float]:
        return [(self.place(value) + 0.5) / len(self.values)]

    def decode(self, x: Array) -> Any:
        return self.values[min(max(int(float(x[0]) * len(self.values)), 0), len(self.values) - 1)]


@dataclass(frozen=True, slots=True)
class OneOf:
    """Values without an order, three or more: one dimension each, the largest coordinate decides."""

    listed: Listed
    possible: tuple[int, ...]

    @property
    def width(self) -> int:
        return len(self.listed.values)

    def encode(self, value: Any) -> list[float]:
        row = [0.0] * self.width
        row[self.listed.place(value)] = 1.0
        return row

    def decode(self, x: Array) -> Any:
        return self.listed.values[max(self.possible, key=lambda place: (x[place], -place))]


def code_of(domain: Domain) -> Code | None:
    """How the domain's values stand in the cube; None if they do not vary, or no model can place them."""
    if isinstance(domain, Constant) or domain.size == 1:
        return None
    if isinstance(domain, (Choice, Grid)):
        values = tuple(range(len(domain.options))) if isinstance(domain, Choice) else domain.values
        possible = domain.possible if isinstance(domain, Choice) else tuple(range(len(values)))
        listed = Listed.of(values)
        return listed if len(values) == 2 else OneOf(listed, possible)
    if isinstance(domain, (Ordinal, FinRange)):
        return Listed.of(domain.values)
    if isinstance(domain, Integer):
        return Logarithmic(domain) if domain.log and domain.q is None else Stepped(domain)
    if isinstance(domain, Float) and domain.size is not None and domain.size <= _MOST_LISTED:
        return Listed.of(tuple(domain.members()))
    if isinstance(domain, Distribution) and not hasattr(domain.law, "cdf"):
        return None
    return Scaled(domain)


class Encoding:
    """The cube of a space.

    Attributes:
        dimensions: of the cube.
    """

    def __init__(self, space: SearchSpace) -> None:
        self.space = space
        self._parts: list[tuple[Leaf, Code | None, slice]] = []
        self.dimensions = 0
        for leaf in space.leaves:
            code = code_of(leaf.domain)
            end = self.dimensions + (0 if code is None else code.width)
            self._parts.append((leaf, code, slice(self.dimensions, end)))
            self.dimensions = end
        self._middle = np.zeros(self.dimensions)
        for leaf, code, where in self._parts:
            if code is not None:
                self._middle[where] = code.encode(space.default_of(leaf))

    def encode(self, config: Config) -> Array:
        """The point of a configuration."""
        row, values = self._middle.copy(), self.space.values(config)
        for leaf, code, where in self._parts:
            if code is not None and leaf.path in values:
                row[where] = code.encode(values[leaf.path])
        return row

    def encode_all(self, configs: list[Config]) -> Array:
        """The points of configurations, one row each."""
        return np.array([self.encode(config) for config in configs]).reshape(-1, self.dimensions)

    def draw(self, units: Sequence[float]) -> tuple[dict[str, Any], Array]:
        """The values of active leaves at these u, one per leaf by rising path, and their point."""
        row, values = self._middle.copy(), dict[str, Any]()
        for (leaf, code, where), u in zip(self._parts, units, strict=True):
            if leaf.active(values):  # what it depends on stands before it
                values[leaf.path] = leaf.domain.value(u)
                if code is not None:
                    row[where] = code.encode(values[leaf.path])
        return values, row

    def decode(self, x: Array, like: Config | None = None) -> Config:
        """The configuration at a point.

        Args:
            x: the point.
            like: gives the values of leaves without a dimension; their defaults where it has none.
        """
        known = {} if like is None else self.space.values(like)
        values: dict[str, Any] = {}
        for leaf, code, where in self._parts:
            if not leaf.active(values):
                continue
            if code is not None:
                values[leaf.path] = code.decode(x[where])
            elif leaf.domain.size == 1:
                values[leaf.path] = next(iter(leaf.domain.members()))
            else:
                values[leaf.path] = known.get(leaf.path, self.space.default_of(leaf))
        return self.space.assemble(values)
