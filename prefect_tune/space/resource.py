"""The largest resource of a trial, read from a constant of its space."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prefect_tune.errors import SpaceError, did_you_mean
from prefect_tune.space.tree import SearchSpace

NAMES = ("epochs", "max_t", "max_epochs")
"""Where the largest resource is looked for, in this order; a dash may stand for an underscore."""


def resource_of(space: SearchSpace | Mapping[str, Any], attr: str | None = None) -> int:
    """The largest resource, at least 1: the constant at `attr`, else the first of `NAMES` that is an int.

    Leaves of those names are passed over: what varies from trial to trial is no limit.

    Raises:
        SpaceError: no such constant, or it is no int of at least 1.
    """
    space = space if isinstance(space, SearchSpace) else SearchSpace(dict(space))
    constants = space.constants
    if attr is not None:
        return _checked(attr, constants, space)
    for name in NAMES:
        for written in dict.fromkeys((name, name.replace("_", "-"))):
            if type(constants.get(written)) is int:
                return _checked(written, constants, space)
    raise SpaceError(
        f"max_resource: it is not given, and the space has no constant int named {', '.join(NAMES)}; "
        "give max_resource=, or max_resource_attr= with the name of a constant of the space."
    )


def _checked(path: str, constants: Mapping[str, Any], space: SearchSpace) -> int:
    if path not in constants:
        leaf = any(leaf.path == path for leaf in space.leaves)
        found = "a domain" if leaf else "nothing"
        raise SpaceError(
            f"max_resource_attr: {path!r} must name a constant int of the space, got {found};"
            f"{did_you_mean(path, constants)} the constants are {', '.join(constants) or 'none'}."
        )
    value = constants[path]
    if type(value) is not int or value < 1:
        raise SpaceError(
            f"{path}: the largest resource must be an int of at least 1, got {value!r}; raise it."
        )
    return value
