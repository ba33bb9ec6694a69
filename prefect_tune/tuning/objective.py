"""The user's objective: how it is called, what it can do, and its identity.

Three kinds of function are taken:

- `f(config)` returns a loss or metrics: one report, one unit of the resource;
- a generator yields a report, or (report, state), each epoch;
- a function with a parameter `report` calls `report(metrics, state)` each epoch.

The last two may have parameters `resume` (the last state they gave, or None), `until` (the resource at which
they will be asked to wait) and `seed`; a plain function may have `seed`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from prefect_tune.errors import UserError
from prefect_tune.identifier import Identifier
from prefect_tune.identity import encode as enc
from prefect_tune.text import short

OFFERED = ("resume", "report", "until", "seed")


class Kind(StrEnum):
    """How an objective tells what it found."""

    RETURNS = "returns"
    YIELDS = "yields"
    CALLS = "calls"


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """A function to minimise or maximise.

    Attributes:
        function: the user's callable.
        kind: how it reports.
        takes: which of the offered arguments it has.
        resource: name of the entry of a report that holds the resource, e.g. `epoch`; reports without it
            count 1, 2, 3 and so on.
    """

    function: Callable[..., Any]
    kind: Kind
    takes: frozenset[str]
    resource: str = "epoch"

    @property
    def reports(self) -> bool:
        """Whether it can be stopped between reports."""
        return self.kind is not Kind.RETURNS

    @property
    def resumes(self) -> bool:
        """Whether it can go on from a state that it gave."""
        return "resume" in self.takes

    @property
    def name(self) -> str:
        """What people call it."""
        return getattr(self.function, "__name__", type(self.function).__name__)

    def arguments(self, **offered: Any) -> dict[str, Any]:
        """Those of the offered arguments that it takes."""
        return {name: value for name, value in offered.items() if name in self.takes}

    def identity(self, identifier: Identifier) -> bytes:
        """The digest of its code and of what it holds; private where that cannot be told.

        A function with a method `tune_identity` says itself which frame it is known by.
        """
        own = getattr(self.function, "tune_identity", None)
        frame = own(identifier) if callable(own) else identifier.frame(self.function, "objective")
        return enc.digest_frames("objective/v1", frame, enc.encode(self.resource))


def inspect_objective(function: Any, resource: str = "epoch") -> Objective:
    """The objective that `function` is.

    Raises:
        UserError: it is not callable, or has a parameter that nobody can fill.
    """
    if not callable(function):
        raise UserError(
            f"objective: {short(function)} is not callable; pass a function of one configuration, such as "
            "f(config) -> loss, or its name as 'module:function'."
        )
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # some callables written in C have no signature
        return Objective(function=function, kind=Kind.RETURNS, takes=frozenset(), resource=resource)
    names = _taken(function, parameters)
    inner = function
    while isinstance(inner, functools.partial):
        inner = inner.func
    if not inspect.isroutine(inner) and not isinstance(inner, type):
        inner = type(inner).__call__
    if inspect.isgeneratorfunction(inner):
        if "report" in names:
            raise UserError(
                f"objective: {_name(function)} yields and has a parameter 'report'; use one of the two."
            )
        kind = Kind.YIELDS
    elif inspect.iscoroutinefunction(inner) or inspect.isasyncgenfunction(inner):
        raise UserError(
            f"objective: {_name(function)} is async; wrap it in a plain function that calls asyncio.run()."
        )
    else:
        kind = Kind.CALLS if "report" in names else Kind.RETURNS
    return Objective(function=function, kind=kind, takes=names, resource=resource)


def _taken(function: Any, parameters: list[inspect.Parameter]) -> frozenset[str]:
    """The offered arguments among the parameters after the first, which is the configuration."""
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if not positional and not any(p.kind is p.VAR_POSITIONAL for p in parameters):
        raise UserError(
            f"objective: {_name(function)} takes no positional argument; its first one is the configuration."
        )
    rest = [p for p in parameters if p not in positional[:1]]
    wanting = [
        p.name
        for p in rest
        if p.default is p.empty and p.name not in OFFERED and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]
    if wanting:
        raise UserError(
            f"objective: {_name(function)} has the parameter {wanting[0]!r}, which nobody fills; bind it "
            f"with functools.partial, or name it one of {', '.join(OFFERED)}."
        )
    return frozenset(p.name for p in rest if p.name in OFFERED and p.kind is not p.POSITIONAL_ONLY)


def _name(function: Any) -> str:
    return f"{getattr(function, '__name__', short(function))}()"
