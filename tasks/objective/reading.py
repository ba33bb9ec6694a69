"""What an objective has reported, checked but for the metric's name, which the search knows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from prefect_tune.tuning.metrics import ARTEFACTS, COST, Metric, ReportError, number

BARE = ""
"""Name of the metric of a bare number; the search puts its own in place."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A checked report.

    Attributes:
        metrics: name -> value; `BARE` for a number without a name.
        stated: the resource, if the report says it.
        cost: cumulative within the attempt.
        artefacts: name -> anything.
    """

    metrics: dict[str, float]
    stated: int | None = None
    cost: float = 0.0
    artefacts: Mapping[str, Any] = field(default_factory=dict)

    def after(self, last: int, name: str) -> int:
        """The report's resource: the one stated, else the next.

        Args:
            last: resource of the report before.
            name: of the entry that states it.

        Raises:
            ReportError: it does not rise.
        """
        if self.stated is None:
            return last + 1
        if self.stated <= last:
            rule = f"it must rise, and the last report was at {last}; a resumed trial goes on from its state"
            raise ReportError(f"report[{name!r}]", self.stated, rule)
        return self.stated


def read(value: Any, resource: str) -> Reading:
    """The report that an objective has returned or yielded.

    Args:
        resource: name of the entry that states the resource.

    Raises:
        ReportError: it is no number and no dict of numbers.
    """
    if not isinstance(value, Mapping):
        return Reading({BARE: number(value)})
    names = [n for n in value if isinstance(n, str) and n not in (COST, resource, *ARTEFACTS)]
    if not names:
        raise ReportError("the report", dict(value), "it holds no metric; add one, such as 'loss'")
    found = Metric(names[0], resource=resource).read(value)
    return Reading(found.metrics, found.resource, found.cost or 0.0, found.artefacts)


def no_report(name: str) -> ReportError:
    """What to say of an objective that ended without a report."""
    return ReportError("the objective", None, f"{name}() ended without a report; yield at least one")
