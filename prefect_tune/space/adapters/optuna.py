"""Optuna's distributions.

A float with a step, and an int whose low end is no multiple of its step, become a range of equally likely
values: low + k * step, as decimals.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from prefect_tune.space.adapters.origin import is_a
from prefect_tune.space.categories import Choice
from prefect_tune.space.domain import Domain
from prefect_tune.space.finite import FinRange
from prefect_tune.space.floats import Float
from prefect_tune.space.integers import Integer


def domain_of(value: Any) -> Any:
    """Our domain for a distribution; other objects as they are."""
    if is_a(value, "CategoricalDistribution"):
        return Choice(tuple(value.choices))
    if is_a(value, "IntDistribution"):
        return _integer(value)
    if is_a(value, "FloatDistribution"):
        return _float(value)
    return value


def _float(value: Any) -> Domain:
    if value.step is None:
        return Float(value.low, value.high, log=value.log)
    low, high, step = (Decimal(repr(float(number))) for number in (value.low, value.high, value.step))
    many = int((high - low) // step)
    return FinRange(float(low), float(low + many * step), many + 1)


def _integer(value: Any) -> Domain:
    low, step = value.low, value.step
    high = low + (value.high - low) // step * step
    if step == 1 or value.log:
        return Integer(low, high, log=value.log)
    if low % step == 0:
        return Integer(low, high, step)
    return FinRange(low, high, (high - low) // step + 1, cast_int=True)
