"""Syne Tune's domains. Both bounds of ints are included.

Its ints with a step are drawn without it and then rounded, so that they need not be equally likely.
"""

from __future__ import annotations

import math
from typing import Any

from prefect_tune.space.adapters.origin import is_a
from prefect_tune.space.categories import Choice, Grid, Ordinal
from prefect_tune.space.domain import Domain
from prefect_tune.space.finite import FinRange
from prefect_tune.space.floats import Float
from prefect_tune.space.integers import Integer
from prefect_tune.space.normals import Normal
from prefect_tune.space.weighted import shared_out


def domain_of(value: Any) -> Any:
    """Our domain for one of Syne Tune's; other objects as they are."""
    if is_a(value, "FiniteRange"):
        return FinRange(value.lower, value.upper, value.size, value.log_scale, value.cast_int)
    if is_a(value, "OrdinalNearestNeighbor"):
        return Ordinal(tuple(value.categories), "nn-log" if value.log_scale else "nn")
    if is_a(value, "Ordinal"):
        return Ordinal(tuple(value.categories), "equal")
    if is_a(value, "Categorical"):
        options = tuple(value.categories)
        return Grid(options) if is_a(value.sampler, "Grid") else Choice(options)
    if not is_a(value, "Float", "Integer"):
        return value
    sampler, step = value.get_sampler(), None
    if is_a(sampler, "Quantized"):
        sampler, step = sampler.get_sampler(), sampler.q
    if is_a(sampler, "Normal"):
        return Normal(sampler.mean, sampler.sd, step)
    reverse = is_a(sampler, "_ReverseLogUniform")
    log = is_a(sampler, "LogUniform") and not reverse
    if is_a(value, "Float"):
        return Float(value.lower, value.upper, step, log=log, reverse=reverse)
    if step in (None, 1):
        return Integer(value.lower, value.upper, log=log, rounding="closed" if log else None)
    return _stepped(Integer(value.lower, value.upper, log=log, rounding="closed" if log else None), step)


def _stepped(base: Integer, step: int) -> Domain:
    """The base's ints, each rounded to a multiple of the step, half to even."""
    values = range(step * round(base.low / step), step * round(base.high / step) + 1, step)

    def edge(place: int) -> float:
        """Where the ints begin that are rounded to the multiple at this position."""
        middle = values[place] - step / 2
        first = math.ceil(middle)
        return first if round(first / step) * step == values[place] else first + 1

    def below(first: float) -> float:
        """The probability of an int of the base below this one."""
        if not base.log:
            return (first - base.low) / base.size
        if base.low == base.high:
            return 0.0
        start, end = math.log(base.low), math.log(base.high)
        return min(max((math.log(first - 0.5) - start) / (end - start), 0.0), 1.0)

    return shared_out(values, below, edge)
