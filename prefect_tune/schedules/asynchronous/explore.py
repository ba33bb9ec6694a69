"""Exploring: a copy's configuration, a small step away from its donor's.

Rule, per active leaf, in the order of paths: a choice is drawn anew. Anything else is drawn anew with the
resample probability; else a number is multiplied by 1.2 or 0.8 with equal odds, taken to the domain's nearest
value, and a value of a list with an order moves one place up or down. Grids and constants stay.
Theory: Jaderberg et al., 2017, section 4.1.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np

from prefect_tune.space import (
    Choice,
    Constant,
    Derived,
    Distribution,
    Domain,
    FinRange,
    Float,
    Grid,
    Integer,
    Normal,
    Ordinal,
    SearchSpace,
    Weighted,
)
from prefect_tune.space.domain import MISSING, clip
from prefect_tune.space.equality import find
from prefect_tune.space.lattice import Lattice
from prefect_tune.trials import Config

UP, DOWN = Fraction(6, 5), Fraction(4, 5)
RESAMPLE = 0.25


def explore(
    config: Config, space: SearchSpace, draws: np.random.Generator, resample: float = RESAMPLE
) -> Config:
    """The changed configuration.

    Each leaf takes from `draws`: a choice one number; a grid or constant none; a leaf that its choice has
    just made active one; any other leaf one for whether it is drawn anew, and one for how.

    A change that the space forbids is not made: then the configuration stays as it was.

    Args:
        config: of the donor.
        space: that the configuration is from.
        draws: where chance comes from.
        resample: chance that a value is drawn anew instead of being moved.
    """
    old = space.values(config)
    new: dict[str, Any] = {}
    for leaf in space.leaves:
        domain = leaf.domain
        if isinstance(domain, Derived) or not leaf.active(new):
            continue
        known = leaf.path in old
        if isinstance(domain, Grid | Constant) and known:
            new[leaf.path] = old[leaf.path]
        elif isinstance(domain, Choice) or not known or draws.random() < resample:
            new[leaf.path] = domain.value(draws.random())
        else:
            new[leaf.path] = moved(domain, old[leaf.path], up=draws.random() < 0.5)
    found = space.assemble(new)
    return found if space.allows(found) else dict(config)


def moved(domain: Domain, value: Any, *, up: bool) -> Any:
    """The domain's value one step above or below.

    >>> moved(Integer(1, 100), 10, up=True), moved(Integer(1, 100), 2, up=False)
    (12, 2)
    >>> moved(Ordinal(("s", "m", "l")), "m", up=True), moved(Ordinal(("s", "m", "l")), "l", up=True)
    ('l', 'l')
    """
    if isinstance(domain, Ordinal | FinRange | Weighted):
        place = (find(value, domain.values) or 0) + (1 if up else -1)
        return domain.values[min(max(place, 0), len(domain.values) - 1)]
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return value
    number = Fraction(value) * (UP if up else DOWN)
    found = domain.cast(_nearest(domain, number, value))
    return value if found is MISSING else found


def _nearest(domain: Domain, number: Fraction, value: Any) -> Any:
    """The domain's value nearest to a number."""
    if isinstance(domain, Integer):
        step = domain.q or 1
        return min(max(step * round(number / step), domain.low), domain.high)
    if isinstance(domain, Float | Normal):
        low = -math.inf if domain.low is None else domain.low
        high = math.inf if domain.high is None else domain.high
        inside = clip(float(number), low, high)
        return inside if domain.q is None else _on_lattice(domain, Lattice(domain.q), inside)
    if isinstance(domain, Distribution):
        rounded = round(number) if isinstance(value, int) else float(number)
        support = getattr(domain.law, "support", None)
        low, high = support() if callable(support) else (-math.inf, math.inf)
        return type(value)(min(max(rounded, low), high))
    return value


def _on_lattice(domain: Domain, lattice: Lattice, x: float) -> float:
    """The nearest multiple of the step that lies in the domain; bounds need not be multiples."""
    nearest = lattice.nearest(x)
    points = [lattice.point(k) for k in (nearest, nearest - 1, nearest + 1)]
    return next((point for point in points if domain.contains(point)), x)
