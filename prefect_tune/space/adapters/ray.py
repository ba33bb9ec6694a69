"""Ray Tune's domains.

Ray leaves the upper bound of ints out, but includes it with a step above 1. With a step, positions are drawn:
bounds need not be multiples, and the logarithm is of the position.
"""

from __future__ import annotations

import math
from typing import Any

from prefect_tune.space.adapters.origin import is_a
from prefect_tune.space.categories import Choice, Grid
from prefect_tune.space.domain import Domain
from prefect_tune.space.faults import Fault, SpaceFaults
from prefect_tune.space.floats import Float
from prefect_tune.space.integers import Integer
from prefect_tune.space.normals import Normal
from prefect_tune.space.special import Derived
from prefect_tune.space.weighted import shared_out


def is_grid(value: Any) -> bool:
    """Whether it is what `tune.grid_search` returns: a dict with that key alone."""
    return type(value) is dict and [*value] == ["grid_search"] and isinstance(value["grid_search"], list)


def grid_of(value: dict[str, Any]) -> Grid:
    """The grid."""
    return Grid(tuple(value["grid_search"]))


def domain_of(value: Any) -> Any:
    """Our domain for one of Ray's; other objects as they are."""
    if is_a(value, "Function"):
        return _derived(value)
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
    log = is_a(sampler, "LogUniform")
    if is_a(value, "Float"):
        return Float(value.lower, value.upper, step, log=log)
    return _integer(value.lower, value.upper, step, log=log)


def _derived(value: Any) -> Derived:
    if not value.pass_config:
        rule = "a function without argument draws by itself, and a search could not be repeated"
        advice = "use a domain, or let the function take the configuration"
        raise SpaceFaults([Fault("sample_from", rule, value.func, advice)])
    return Derived(value.func)


def _integer(lower: int, upper: int, step: int | None, *, log: bool) -> Domain:
    if step in (None, 1):
        return Integer(lower, upper - 1, log=log, rounding="floor" if log else None)
    first, last = math.ceil(lower / step), math.floor(upper / step)
    if first > last:
        rule = "a multiple of q must lie between the bounds"
        raise SpaceFaults([Fault("the domain", rule, (lower, upper, step), "take a smaller step")])
    if not log:
        return Integer(first * step, last * step, step)
    start, end = math.log(first), math.log(last + 1)
    return shared_out(
        range(first * step, last * step + 1, step),
        lambda x: (math.log(x) - start) / (end - start),
        lambda place: first + place,
    )
