"""Leaves of other kinds: constants that would be read as something else, derived values, scipy's laws."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from prefect_tune.identity.encode import plain
from prefect_tune.space.domain import EDGE, MISSING, Call, Domain, as_float, as_int, inside, refuse_any
from prefect_tune.space.equality import find
from prefect_tune.space.values import is_distribution


@dataclass(frozen=True, slots=True, repr=False)
class Constant(Domain):
    """One value, passed through; needed only where a bare one would be read otherwise, e.g. a list.

    Attributes:
        held: the value.
    """

    held: Any

    def __post_init__(self) -> None:
        object.__setattr__(self, "held", plain(self.held))

    def value(self, u: float) -> Any:
        return self.held

    def unit(self, value: Any) -> float:
        return 0.5

    def default(self) -> Any:
        return self.held

    def cast(self, value: Any) -> Any:
        return MISSING if find(plain(value), (self.held,)) is None else self.held

    @property
    def size(self) -> int:
        return 1

    def members(self) -> Iterator[Any]:
        return iter((self.held,))

    def call(self) -> Call:
        return Call("constant", (_Shown(repr(self.held)),))


@dataclass(frozen=True, slots=True)
class _Shown:
    """A text whose repr is itself."""

    text: str

    def __repr__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True, repr=False)
class Derived(Domain):
    """What a function makes of the configuration, once all that is drawn is known.

    It is stored in the configuration, and no model sees it.

    Attributes:
        function: takes the configuration, which it must not change; derived values whose path sorts before
            its own are in it.
    """

    function: Callable[[Mapping[str, Any]], Any]

    def __post_init__(self) -> None:
        wrong = not callable(self.function)
        refuse_any(
            self, (wrong, "function must be callable", self.function, "give a function of the configuration")
        )

    def call(self) -> Call:
        name = getattr(self.function, "__qualname__", None)
        return Call("derived", (_Shown(name or repr(self.function)),))


@dataclass(frozen=True, slots=True, repr=False)
class Distribution(Domain):
    """A frozen distribution of scipy, or any object with `rvs`.

    The value at u is `ppf(u)` where there is one; else `rvs` is given a generator made of u.

    Attributes:
        law: the object.
    """

    law: Any

    def __post_init__(self) -> None:
        wrong = not is_distribution(self.law)
        refuse_any(self, (wrong, "law must have rvs", self.law, "give a frozen distribution of scipy.stats"))

    @property
    def _discrete(self) -> bool:
        return hasattr(getattr(self.law, "dist", self.law), "pmf") and hasattr(self.law, "pmf")

    def value(self, u: float) -> Any:
        u = inside(u)
        if callable(getattr(self.law, "ppf", None)):
            return self._python(self.law.ppf(u))
        bits = np.random.PCG64(int(u / EDGE))
        return self._python(self.law.rvs(random_state=np.random.Generator(bits)))

    def _python(self, drawn: Any) -> Any:
        if isinstance(drawn, np.ndarray) and drawn.ndim == 0:
            drawn = drawn[()]
        drawn = plain(drawn)
        return int(drawn) if self._discrete and type(drawn) is float and drawn.is_integer() else drawn

    def unit(self, value: Any) -> float:
        if not callable(getattr(self.law, "cdf", None)):
            return 0.5
        mass = float(self.law.pmf(value)) if self._discrete else 0.0
        return inside(float(self.law.cdf(value)) - mass / 2)

    def default(self) -> Any:
        return self.value(0.5)

    def cast(self, value: Any) -> Any:
        if not callable(getattr(self.law, "cdf", None)):
            return plain(value)
        number = as_float(value)
        if self._discrete:
            whole = as_int(value)
            number = number if whole is MISSING else whole
            return number if number is not MISSING and self.law.pmf(number) > 0 else MISSING
        low, high = self._support()
        return number if number is not MISSING and low <= number <= high else MISSING

    def _support(self) -> tuple[float, float]:
        if not callable(getattr(self.law, "support", None)):
            return -math.inf, math.inf
        low, high = self.law.support()
        return float(low), float(high)

    @property
    def size(self) -> int | None:
        low, high = self._support()
        # Frozen discrete laws of scipy live on the whole numbers of their support.
        whole = self._discrete and hasattr(self.law, "dist") and math.isfinite(low) and math.isfinite(high)
        return int(high) - int(low) + 1 if whole else None

    def members(self) -> Iterator[Any]:
        if self.size is None:
            return Domain.members(self)
        low, high = self._support()
        return (value for value in range(int(low), int(high) + 1) if self.law.pmf(value) > 0)

    def described(self) -> tuple[Any, ...]:
        return "distribution", self.law

    def call(self) -> Call:
        law = getattr(self.law, "dist", None)
        if law is None or not hasattr(law, "name"):
            return Call("distribution", (self.law,))
        return Call(f"scipy.stats.{law.name}", tuple(self.law.args), dict(self.law.kwds))
