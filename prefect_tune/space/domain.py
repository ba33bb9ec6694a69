"""What every kind of leaf can do: give the value of a number in (0, 1), and judge a value.

Rule 1: a leaf's value is a function of one number u. Whoever makes the u (a generator, a Sobol sequence, a
model) decides how values are spread; the domain only maps.
Rule 2: a domain that exists is valid: a wrong bound is refused where it is written.
Rule 3: values are Python's own; numpy scalars never come out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from prefect_tune.errors import SpaceError
from prefect_tune.identity.encode import plain
from prefect_tune.space.faults import Fault, SpaceFaults

EDGE = 2.0**-53
"""The smallest u, and the distance of the largest from 1."""


class Missing(Enum):
    """No value: a key that a point leaves out, or a value outside its domain."""

    MISSING = "missing"

    def __repr__(self) -> str:
        return "nothing"


MISSING = Missing.MISSING


@dataclass(frozen=True, slots=True)
class Call:
    """How a domain is written: `name(*args, **options)`; what its repr and its JSON form are made of."""

    name: str
    args: tuple[Any, ...]
    options: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        parts = [repr(list(arg) if isinstance(arg, tuple) else arg) for arg in self.args]
        parts += [
            f"{name}={list(value) if isinstance(value, tuple) else value!r}"
            for name, value in self.options.items()
        ]
        return f"{self.name}({', '.join(parts)})"


class Domain:
    """One kind of leaf with its bounds. Frozen; see the subclasses for the fields."""

    __slots__ = ()

    def value(self, u: float) -> Any:
        """The value at `u`, taken as at least 2**-53 and at most 1 - 2**-53."""
        raise NotImplementedError

    def unit(self, value: Any) -> float:
        """A u whose value this is: the middle of its mass; exact for finite domains."""
        raise NotImplementedError

    def default(self) -> Any:
        """The middle of the domain: what a point gets that does not say."""
        raise NotImplementedError

    def cast(self, value: Any) -> Any:
        """The value as the domain would give it, or MISSING if it is outside.

        An int is taken for a float and an integral float for an int; nothing is rounded or clipped.
        """
        raise NotImplementedError

    def contains(self, value: Any) -> bool:
        """Whether the value is one of the domain's, after the accepted casts."""
        return self.cast(value) is not MISSING

    @property
    def size(self) -> int | None:
        """How many different values there are, or None if they cannot be counted."""
        return None

    def members(self) -> Iterator[Any]:
        """Every value that can be drawn, in rising order; only for finite domains."""
        raise SpaceError(f"{self!r} has no list of values: it is not finite; name the values by choice(...).")

    def call(self) -> Call:
        """How it is written."""
        raise NotImplementedError

    def described(self) -> tuple[Any, ...]:
        """What tells it from other domains, encodable if its values are."""
        call = self.call()
        return call.name, call.args, dict(call.options)

    def to_json(self) -> Any:
        """The readable form, e.g. `{"loguniform": [0.0001, 1.0]}`; SpaceError if JSON cannot hold it."""
        from prefect_tune.space.form import to_form  # the form knows every kind of leaf, also this one

        return to_form(self)

    def __repr__(self) -> str:
        return str(self.call())


def inside(u: float) -> float:
    """u, at least 2**-53 and at most 1 - 2**-53."""
    return min(max(float(u), EDGE), 1.0 - EDGE)


def clip(x: float, low: float, high: float) -> float:
    """The nearest number in [low, high]."""
    return min(max(x, low), high)


def as_float(value: Any) -> Any:
    """A finite int or float as a float, anything else MISSING; a bool is no number."""
    value = plain(value)
    if type(value) not in (int, float):
        return MISSING
    try:
        number = float(value)
    except OverflowError:
        return MISSING
    return number if math.isfinite(number) else MISSING


def as_int(value: Any) -> Any:
    """An int or integral float as an int, anything else MISSING; a bool is no number."""
    value = plain(value)
    if type(value) is float and value.is_integer():
        return int(value)
    return value if type(value) is int else MISSING


def read_numbers(
    domain: Domain, *names: str, whole: bool = False, optional: tuple[str, ...] = ("q",)
) -> None:
    """Sets the named fields to Python numbers; raises one error for all that are none.

    None stays in the optional ones.
    """
    faults = []
    for name in names:
        given = getattr(domain, name)
        if given is None and name in optional:
            continue
        number = as_int(given) if whole else as_float(given)
        if number is MISSING:
            kind = "a whole number" if whole else "a finite number"
            faults.append(Fault(str(domain), f"{name} must be {kind}", given, "write a plain number"))
        else:
            object.__setattr__(domain, name, number)
    if faults:
        raise SpaceFaults(faults, repr(domain))


def refuse_any(domain: Domain, *checks: tuple[bool, str, Any, str]) -> None:
    """Raises one error for every check (is wrong, rule, value, advice) that found something."""
    faults = [Fault(repr(domain), rule, value, advice) for wrong, rule, value, advice in checks if wrong]
    if faults:
        raise SpaceFaults(faults, repr(domain))
