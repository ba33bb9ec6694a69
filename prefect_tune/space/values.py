"""How Python values stand in a space: which are lists of values, which hold leaves, which are one value.

Rule: only what cannot be meant otherwise is converted: numpy scalars to Python's numbers, 1-d arrays, ranges
and lists to lists. Everything else passes as the object it is.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from prefect_tune.identity.encode import plain
from prefect_tune.space.domain import Domain


def list_of(value: Any) -> list[Any] | None:
    """The members of a list, tuple, range or 1-d array as Python values; None for anything else."""
    if isinstance(value, np.ndarray):
        return [plain(item) for item in value.tolist()] if value.ndim == 1 else None
    if isinstance(value, (list, tuple, range)):
        return [settled(item) for item in value]
    return None


def is_distribution(value: Any) -> bool:
    """Whether the value is an object that draws values: scipy's frozen distributions and their like."""
    return not isinstance(value, type) and callable(getattr(value, "rvs", None))


def is_leaf(value: Any) -> bool:
    """Whether the value is a domain, or an object with `rvs`."""
    return isinstance(value, Domain) or is_distribution(value)


def holds_leaf(value: Any) -> bool:
    """Whether the value is a leaf, or a dict, list or tuple with one somewhere inside."""
    if isinstance(value, dict):
        return any(map(holds_leaf, value.values()))
    if type(value) in (list, tuple):
        return any(map(holds_leaf, value))
    return is_leaf(value)


def settled(value: Any) -> Any:
    """The value as a space keeps it: a structure with leaves as a copy, anything else as it is."""
    if not isinstance(value, Domain) and holds_leaf(value):
        if isinstance(value, dict):
            return {plain(key): settled(item) for key, item in value.items()}
        if type(value) in (list, tuple):
            return type(value)(map(settled, value))
    return plain(value)


def copied(space: Any) -> Any:
    """The space with dicts, lists and tuples of its own; leaves and constants are the same objects."""
    if isinstance(space, dict):
        return {key: copied(item) for key, item in space.items()}
    return type(space)(map(copied, space)) if type(space) in (list, tuple) else space
