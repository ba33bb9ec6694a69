"""The constructors of leaves, under the names that users know."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from prefect_tune.space.categories import Choice, Grid, Ordinal
from prefect_tune.space.finite import FinRange
from prefect_tune.space.floats import Float
from prefect_tune.space.integers import Integer
from prefect_tune.space.normals import Normal
from prefect_tune.space.special import Constant, Derived
from prefect_tune.space.weighted import Weighted


def uniform(low: float, high: float) -> Float:
    """A float in [low, high], uniform."""
    return Float(low, high)


def loguniform(low: float, high: float) -> Float:
    """A float in [low, high], uniform in the logarithm; low above 0."""
    return Float(low, high, log=True)


def reverseloguniform(low: float, high: float) -> Float:
    """A float in [low, high], uniform in the logarithm of its distance to 1; for momenta. high below 1."""
    return Float(low, high, reverse=True)


def quniform(low: float, high: float, q: float, *, clip: bool = True) -> Float:
    """A multiple of q in [low, high], both of them multiples of q; the ends have half the mass of the others.

    `clip=False` rounds without clipping, as hyperopt does; then the bounds need not be multiples.
    """
    return Float(low, high, q, clip=clip)


def qloguniform(low: float, high: float, q: float, *, clip: bool = True) -> Float:
    """A multiple of q in [low, high], uniform in the logarithm before it is rounded."""
    return Float(low, high, q, log=True, clip=clip)


def normal(mean: float, std: float) -> Normal:
    """A normally distributed float."""
    return Normal(mean, std)


def lognormal(mean: float, std: float) -> Normal:
    """A float whose logarithm is normally distributed with this mean and standard deviation."""
    return Normal(mean, std, log=True)


def qnormal(mean: float, std: float, q: float) -> Normal:
    """A normally distributed float, rounded to a multiple of q."""
    return Normal(mean, std, q)


def qlognormal(mean: float, std: float, q: float) -> Normal:
    """A float whose logarithm is normally distributed, rounded to a multiple of q; it may be 0."""
    return Normal(mean, std, q, log=True)


def truncnormal(mean: float, std: float, low: float | None, high: float | None) -> Normal:
    """A normally distributed float within bounds; None for an open side."""
    return Normal(mean, std, low=low, high=high)


def randint(low: int, high: int, *, rounding: str | None = None) -> Integer:
    """An int in [low, high], **high included**, all equally likely.

    `rounding="half"`: the ends half as likely as the others.
    """
    return Integer(low, high, rounding=rounding)


def lograndint(low: int, high: int, *, rounding: str | None = None) -> Integer:
    """An int in [low, high], high included, uniform in the logarithm.

    `rounding`: None (an int has the mass of [v - 1/2, v + 1/2]), `closed` or `floor`.
    """
    return Integer(low, high, log=True, rounding=rounding)


def qrandint(low: int, high: int, q: int) -> Integer:
    """A multiple of q in [low, high], both of them multiples of q, all equally likely."""
    return Integer(low, high, q)


def qlograndint(low: int, high: int, q: int, *, rounding: str | None = None) -> Integer:
    """A multiple of q in [low, high], both of them multiples of q: `lograndint`, rounded."""
    return Integer(low, high, q, log=True, rounding=rounding)


def choice(options: Sequence[Any], weights: Sequence[float] | None = None) -> Choice:
    """One of the options; an option may be a dict with leaves, which are active only if it is chosen."""
    return Choice(options, weights)  # type: ignore[arg-type]  # made tuples by Choice


def ordinal(values: Sequence[Any], kind: str | None = None) -> Ordinal:
    """One of the values, which have an order; `kind` is `equal`, `nn` or `nn-log` (see Ordinal)."""
    return Ordinal(values, kind)  # type: ignore[arg-type]


def logordinal(values: Sequence[Any]) -> Ordinal:
    """One of rising numbers above 0: the one nearest to a number drawn in the logarithm."""
    return Ordinal(values, "nn-log")  # type: ignore[arg-type]


def finrange(low: float, high: float, size: int, *, cast_int: bool = False) -> FinRange:
    """One of `size` equally spaced numbers, both ends included."""
    return FinRange(low, high, size, cast_int=cast_int)


def logfinrange(low: float, high: float, size: int, *, cast_int: bool = False) -> FinRange:
    """One of `size` numbers equally spaced in the logarithm, both ends included."""
    return FinRange(low, high, size, log=True, cast_int=cast_int)


def weighted(values: Sequence[int], weights: Sequence[float]) -> Weighted:
    """One of rising ints, each as likely as its weight says."""
    return Weighted(values, weights)  # type: ignore[arg-type]


def derived(function: Callable[[Mapping[str, Any]], Any]) -> Derived:
    """What the function makes of the configuration, once all other leaves are known."""
    return Derived(function)


def grid(values: Sequence[Any]) -> Grid:
    """A value of which every one is tried: the product of all grids, in turn, not by chance."""
    return Grid(values)  # type: ignore[arg-type]


def constant(value: Any) -> Constant:
    """The value itself, for lists and whatever else would be read as part of the space."""
    return Constant(value)
