"""Metrics: what an objective has returned or yielded, made into checked numbers, or refused with its cause.

Rule 1: numbers are int, float and their numpy kinds, or an array or tensor without dimensions. A bool, text,
None, a complex number and anything nested are refused by name: nothing is guessed. nan and inf are numbers,
and the schedules say what becomes of them.
Rule 2: in a dict, `cost`, `artefacts` and the entry that holds the resource have meanings of their own. Every
other entry is a metric.
Rule 3: inside, everything is a loss: the metric itself for mode `min`, its negative for `max`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from numbers import Complex, Real
from typing import Any

import numpy as np

from prefect_tune.errors import UserError, did_you_mean
from prefect_tune.text import short

COST = "cost"
ARTEFACTS = ("artefacts", "artifacts")
DEFAULT_NAME = "loss"


class ReportError(UserError):
    """An objective has returned or yielded what is no report; the trial fails by it.

    Args:
        place: which entry, e.g. `report['val']`.
        value: what was found there.
        advice: the rule and the next move.
    """

    def __init__(self, place: str, value: object, advice: str) -> None:
        self.place, self.value, self.advice = place, short(value), advice
        super().__init__(f"{place}: got {self.value} ({type(value).__name__}); {advice}.")

    def __reduce__(self) -> tuple:
        return _rebuilt, (type(self), self.args[0], dict(self.__dict__))


class UnknownMetric(ReportError):
    """A report does not have the metric that the search asks for.

    Args:
        name: the metric; None if the search names none and the report has several.
        known: metrics of the report.
    """

    def __init__(self, name: str | None, known: Iterable[str]) -> None:
        self.name, self.known = name, sorted(known)
        has = f"It has: {', '.join(self.known) or 'none'}."
        if name is None and not self.known:
            text = "metric: the report has no metrics; return a number, or a dict with at least one."
        elif name is None:
            text = f"metric: the report has several metrics and the search names none. {has}"
        else:
            text = f"metric: the report has no metric {name!r}.{did_you_mean(name, self.known)} {has}"
        UserError.__init__(self, text)


def _rebuilt(kind: type[ReportError], text: str, facts: dict[str, Any]) -> ReportError:
    """The error on the other side of a pickle."""
    error = kind.__new__(kind, text)
    error.__dict__.update(facts)
    return error


@dataclass(frozen=True, slots=True)
class Measured:
    """A checked report.

    Attributes:
        name: of the metric that the search looks at.
        loss: smaller is better.
        metrics: name -> value, that metric included.
        resource: if the report states it.
        cost: cumulative within the attempt, if the report states it.
        artefacts: name -> anything, as given.
    """

    name: str
    loss: float
    metrics: dict[str, float]
    resource: int | None = None
    cost: float | None = None
    artefacts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Metric:
    """The metric that a search looks at.

    Attributes:
        name: None takes the only one that reports have.
        mode: `min` or `max`.
        resource: name of the entry of a report that holds the resource.

    >>> Metric("accuracy", "max").read({"accuracy": 0.75, "epoch": 3, "seconds": 2}).loss
    -0.75
    """

    name: str | None = None
    mode: str = "min"
    resource: str = "epoch"

    def __post_init__(self) -> None:
        if self.mode not in ("min", "max"):
            raise UserError(f"mode: must be 'min' or 'max', got {self.mode!r}; 'max' makes the metric large.")
        if self.name is not None and not isinstance(self.name, str):
            raise UserError(
                f"metric: must be a text or None, got {self.name!r}; give the name in the reports."
            )
        if self.name in (COST, *ARTEFACTS):
            rule = "has a meaning of its own in a report"
            raise UserError(f"metric: {self.name!r} {rule}; report the metric by another name.")

    def loss(self, value: float) -> float:
        """The loss of a value of the metric."""
        return value if self.mode == "min" else -value

    def value(self, loss: float) -> float:
        """The metric's value of a loss."""
        return self.loss(loss)

    def read(self, given: Any) -> Measured:
        """The report that an objective has returned or yielded, checked.

        Raises:
            ReportError: it is no number and no dict of numbers.
            UnknownMetric: the search's metric is not in it.
        """
        if not isinstance(given, Mapping):
            name = self.name or DEFAULT_NAME
            value = number(given, "the report")
            return Measured(name, self.loss(value), {name: value})
        entries = dict(given)
        if strange := [key for key in entries if not isinstance(key, str)]:
            raise ReportError("a name in the report", strange[0], "names of metrics are texts")
        cost = entries.pop(COST, None)
        artefacts = [entries.pop(name) for name in ARTEFACTS if name in entries]
        resource = entries.pop(self.resource, None) if self.resource != self.name else None
        metrics = {name: number(value, f"report[{name!r}]") for name, value in entries.items()}
        name = self._name(metrics)
        return Measured(
            name,
            self.loss(metrics[name]),
            metrics,
            None if resource is None else _resource(resource, self.resource),
            None if cost is None else _cost(cost),
            _artefacts(artefacts),
        )

    def _name(self, metrics: Mapping[str, float]) -> str:
        """The metric to look at."""
        if self.name is None and len(metrics) == 1:
            return next(iter(metrics))
        if self.name is None and DEFAULT_NAME in metrics:
            return DEFAULT_NAME
        if self.name is None or self.name not in metrics:
            raise UnknownMetric(self.name, metrics)
        return self.name


def number(value: Any, place: str = "the report") -> float:
    """The value as a float; ReportError with the cause for what is none.

    >>> number(3), number(float("inf"))
    (3.0, inf)
    """
    kind = _cause(value)
    if kind:
        raise ReportError(place, value, kind)
    try:
        return float(value)
    except OverflowError:
        raise ReportError(place, value, "the number is too large for a float; report its logarithm") from None
    except (TypeError, ValueError, RuntimeError) as error:
        raise ReportError(place, value, f"it is no number: {short(error)}") from error


def _cause(value: Any) -> str:
    """Why a value is no number, and what to do; empty if it may be one."""
    if value is None:
        return "nothing was returned; return the metric as a number, or a dict with it"
    if isinstance(value, bool | np.bool_):
        return "a bool is no metric; report a number, such as the share of what is right"
    if isinstance(value, str | bytes | bytearray):
        return "a text is no metric; report a number"
    if isinstance(value, Mapping):
        return "metrics cannot be nested; name them like 'val/loss'"
    if isinstance(value, Real):
        return ""
    if isinstance(value, Complex | np.complexfloating):
        return "a complex number has no order; report its real part or its absolute value"
    shape = getattr(value, "shape", None)
    if shape is not None:
        if tuple(shape):
            return f"it has shape {tuple(shape)}; report one number, such as its mean"
        item = getattr(value, "item", None)
        plain = item() if callable(item) else None
        return "" if isinstance(plain, Real) and not isinstance(plain, bool) else "it holds no number"
    if isinstance(value, list | tuple | set | frozenset):
        return "a list is no metric; report one number, or a dict of named numbers"
    return "it is no number; return the metric as a number, or a dict with it"


def _resource(value: Any, name: str) -> int:
    found = number(value, f"report[{name!r}]")
    if not found.is_integer() or found < 1:
        raise ReportError(f"report[{name!r}]", value, "the resource is a whole number of at least 1")
    return int(found)


def _cost(value: Any) -> float:
    found = number(value, f"report[{COST!r}]")
    if not math.isfinite(found) or found < 0:
        raise ReportError(f"report[{COST!r}]", value, "the cost so far is a finite number of at least 0")
    return found


def _artefacts(given: list[Any]) -> dict[str, Any]:
    """All named artefacts, whichever spelling they came under."""
    found: dict[str, Any] = {}
    for entry in given:
        if not isinstance(entry, Mapping) or not all(isinstance(name, str) for name in entry):
            raise ReportError(f"report[{ARTEFACTS[0]!r}]", entry, "give a dict of name -> object")
        found |= entry
    return found
