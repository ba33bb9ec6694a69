"""Whole numbers and exact fractions: the arithmetic below every schedule.

Rule: no float ever decides a rung. `math.log(243, 3)` is 4.99…, and whoever floors it loses a bracket.
"""

from __future__ import annotations

import operator
from decimal import Decimal
from fractions import Fraction
from numbers import Rational, Real
from typing import TypeAlias

from prefect_tune.errors import ScheduleError

Exact: TypeAlias = int | Fraction


def whole(name: str, value: object, *, least: int, advice: str) -> int:
    """The setting as an int of at least `least`; ScheduleError for anything else, `True` included."""
    try:
        number = None if isinstance(value, bool) else operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        number = None
    if number is None or number < least:
        raise ScheduleError(name, f"must be an int of at least {least}", value, advice)
    return number


def exact_factor(value: object, *, name: str = "eta", least: Exact = 2, strict: bool = False) -> Exact:
    """The factor between rungs, exactly as written: 3 stays 3, and 3.5 is 7/2.

    Args:
        value: an int, a fraction, or a decimal number taken by its shortest literal.
        least: the smallest factor allowed; with `strict` it must be exceeded.

    >>> exact_factor(3.5)
    Fraction(7, 2)
    """
    bound = f"{'above' if strict else 'of at least'} {least}"
    error = ScheduleError(name, f"must be a number {bound}", value, "3 and 4 are usual")
    if isinstance(value, bool) or not isinstance(value, Real | Decimal):
        raise error
    try:
        number = Fraction(value) if isinstance(value, Rational) else Fraction(str(value))
    except ValueError:  # nan, inf
        raise error from None
    if number < least or (strict and number == least):
        raise error
    return int(number) if number.denominator == 1 else number


def ilog(value: Exact, base: Exact) -> int:
    """The greatest s with base**s <= value, found by multiplication; `value` at least 1.

    >>> ilog(243, 3), ilog(242, 3), ilog(1, 3)
    (5, 4, 0)
    """
    if value < 1 or base <= 1:
        raise ValueError(f"ilog: needs value >= 1 and base > 1, got {value} and {base}")
    level, power = 0, base
    while power <= value:
        level, power = level + 1, power * base
    return level


def rhe(value: Exact) -> int:
    """The nearest integer, a half going to the even one.

    >>> rhe(Fraction(5, 2)), rhe(Fraction(7, 2)), rhe(4)
    (2, 4, 4)
    """
    return round(value)


def ceil_div(number: Exact, divisor: Exact) -> int:
    """The quotient rounded up.

    >>> ceil_div(7, 2)
    4
    """
    return int(-(-number // divisor))


def keep_count(size: int, eta: Exact, level: int = 1) -> int:
    """How many of `size` candidates are left `level` rungs later: floor, as Hyperband.

    >>> keep_count(34, 3), keep_count(34, 3, 2)
    (11, 3)
    """
    return int(size // eta**level)


def keep_ceiling(size: int, factor: Exact) -> int:
    """How many of `size` candidates are kept by scikit-learn's halving, which rounds up.

    >>> keep_ceiling(20, 3)
    7
    """
    return ceil_div(size, factor)
