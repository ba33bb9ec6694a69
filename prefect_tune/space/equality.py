"""Type-exact equality of values: 1, 1.0 and True differ, nan equals nan.

Rule: objects other than numbers, texts and containers are equal if they are one object, or if their
identities (prefect_tune.identity) are: a copy that came back from a worker is still the same option.
"""

from __future__ import annotations

import struct
from collections.abc import Hashable, Iterable
from typing import Any

from prefect_tune.errors import Uncacheable
from prefect_tune.identity.encode import hexdigest


def token(value: Any, *, deep: bool = True) -> Hashable:
    """A hashable stand-in: two values have equal tokens iff they are equal, type-exactly.

    With `deep=False` objects of other types count by being one object, which is cheap.
    """
    kind = type(value)
    if kind is float:
        return kind, "nan" if value != value else struct.pack("<d", value)
    if kind in (int, bool, str, bytes, complex, type(None)):
        return kind, value
    if kind in (list, tuple):
        return kind, tuple([token(item, deep=deep) for item in value])
    if kind is dict:
        pairs = [(token(key, deep=deep), token(item, deep=deep)) for key, item in value.items()]
        return kind, frozenset(pairs)
    if deep:
        try:
            return kind, hexdigest("option/v1", value)
        except Uncacheable:
            pass
    return kind, id(value)


def same(first: Any, second: Any) -> bool:
    """Whether two values are equal, type-exactly."""
    return first is second or (type(first) is type(second) and token(first) == token(second))


def find(value: Any, values: Iterable[Any]) -> int | None:
    """Position of the first value that is equal type-exactly; else of a number equal after a cast.

    Casts: an int for a float, an integral float for an int; a bool for neither.
    """
    members = list(values)
    for position, member in enumerate(members):
        if same(value, member):
            return position
    other = {int: float, float: int}.get(type(value))
    for position, member in enumerate(members):
        if other is not None and type(member) is other and value == member:
            return position
    return None


def repeated(values: Iterable[Any]) -> tuple[int, int] | None:
    """Positions of the first two equal values, or None."""
    seen: dict[Hashable, int] = {}
    for position, value in enumerate(values):
        first = seen.setdefault(token(value, deep=False), position)
        if first != position:
            return first, position
    return None
