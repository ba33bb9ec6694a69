"""The normal family: as it is, its exponential, with a step, within bounds.

Rule: x = mean + std * Phi^-1(u). Bounds cut the distribution, they do not pile mass up at the ends.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, field
from typing import Any

from scipy.special import log_ndtr, ndtr, ndtri, ndtri_exp

from prefect_tune.space.domain import MISSING, Call, Domain, as_float, clip, inside, read_numbers, refuse_any
from prefect_tune.space.lattice import Lattice

_LARGEST_LOG = math.log(sys.float_info.max)


@dataclass(frozen=True, slots=True, repr=False)
class Normal(Domain):
    """A normally distributed float.

    Attributes:
        mean: of the distribution; with `log`, of the logarithm.
        std: standard deviation, above 0; with `log`, of the logarithm.
        q: step; values are its multiples, rounded half to even.
        log: the value is the exponential.
        low: least value; goes with neither `q` nor `log`. None for no bound.
        high: largest value, likewise.
    """

    mean: float
    std: float
    q: float | None = None
    log: bool = False
    low: float | None = None
    high: float | None = None
    _lattice: Lattice | None = field(init=False, default=None, compare=False)

    def __post_init__(self) -> None:
        for name, open_end in (("low", -math.inf), ("high", math.inf)):
            if getattr(self, name) == open_end:
                object.__setattr__(self, name, None)
        read_numbers(self, "mean", "std", "q", "low", "high", optional=("q", "low", "high"))
        cut = self.low is not None or self.high is not None
        empty = self.low is not None and self.high is not None and self.low > self.high
        q = self.q
        refuse_any(
            self,
            (self.std <= 0, "std must be above 0", self.std, "give a width, or the constant itself"),
            (q is not None and q <= 0, "q must be above 0", q, "give the step between two values"),
            (empty, "low must not exceed high", (self.low, self.high), "swap the bounds"),
            (
                cut and (self.log or q is not None),
                "bounds go with neither log nor q",
                (self.low, self.high),
                "leave the bounds out, or use scipy.stats",
            ),
        )
        if q is not None:
            object.__setattr__(self, "_lattice", Lattice(q))

    def value(self, u: float) -> float:
        u = inside(u)
        if self.low is not None or self.high is not None:
            return self._cut(u)
        return self._finish(self.mean + self.std * float(ndtri(u)))

    def _finish(self, x: float) -> float:
        if self.log:
            x = max(math.exp(min(x, _LARGEST_LOG)), sys.float_info.min)
        return x if self._lattice is None else self._lattice.point(self._lattice.nearest(x))

    def _bounds(self) -> tuple[float, float]:
        low = -math.inf if self.low is None else (self.low - self.mean) / self.std
        high = math.inf if self.high is None else (self.high - self.mean) / self.std
        return low, high

    def _clip(self, x: float) -> float:
        return clip(
            x, -math.inf if self.low is None else self.low, math.inf if self.high is None else self.high
        )

    def _cut(self, u: float) -> float:
        """The value at u of the distribution within the bounds, accurate also far out in a tail."""
        low, high = self._bounds()
        if _is_flat(low, high):
            return self._clip(self.mean + self.std * (low + u * (high - low)))
        right = low > 0  # mirrored, since only the left tail has small probabilities that floats resolve
        if right:
            low, high, u = -high, -low, 1 - u
        # Phi(z) = (1 - u) Phi(low) + u Phi(high), in logarithms.
        start, end = float(log_ndtr(low)) + math.log1p(-u), float(log_ndtr(high)) + math.log(u)
        most = max(start, end)
        z = float(ndtri_exp(min(most + math.log(math.exp(start - most) + math.exp(end - most)), 0.0)))
        return self._clip(self.mean + self.std * (-z if right else z))

    def unit(self, value: Any) -> float:
        if self._lattice is None:
            return inside(self._position(value))
        k, step = self._lattice.nearest(value), self._lattice.step
        return inside((self._position((k - 0.5) * step) + self._position((k + 0.5) * step)) / 2)

    def _position(self, x: float) -> float:
        if self.log:
            x = math.log(x) if x > 0 else -math.inf
        z = (x - self.mean) / self.std
        low, high = self._bounds()
        if low == high:
            return 0.5
        if _is_flat(low, high):
            return clip((z - low) / (high - low), 0.0, 1.0)
        if low > 0:
            return 1.0 - _share(-z, -high, -low)
        return _share(z, low, high)

    def default(self) -> float:
        return self._finish(self._clip(self.mean))

    def cast(self, value: Any) -> Any:
        number = as_float(value)
        if number is MISSING or number != self._clip(number):
            return MISSING
        if self.log and (number < 0 or (number == 0 and self._lattice is None)):
            return MISSING
        return MISSING if self._lattice is not None and self._lattice.index(number) is None else number

    @property
    def size(self) -> int | None:
        return 1 if self.low is not None and self.low == self.high else None

    def call(self) -> Call:
        if self.low is not None or self.high is not None:
            return Call("truncnormal", (self.mean, self.std, self.low, self.high))
        name = f"{'' if self.q is None else 'q'}{'log' if self.log else ''}normal"
        return Call(name, (self.mean, self.std) if self.q is None else (self.mean, self.std, self.q))


def _is_flat(low: float, high: float) -> bool:
    """Whether the density between two bounds is level to 1e-8; the difference of their Phi would be noise."""
    return (high - low) * max(abs(low), abs(high), 1.0) < 1e-8


def _share(z: float, low: float, high: float) -> float:
    """(Phi(z) - Phi(low)) / (Phi(high) - Phi(low)), for bounds that are not far to the right."""
    if math.isinf(low) and math.isinf(high):
        return float(ndtr(z))
    top = float(log_ndtr(high))
    lower = math.exp(float(log_ndtr(low)) - top)
    return clip((math.exp(float(log_ndtr(z)) - top) - lower) / (1.0 - lower), 0.0, 1.0) if lower < 1 else 0.5
