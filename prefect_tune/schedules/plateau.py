"""Plateaus: a candidate that has stopped getting better stops training.

Rule 1: a look back over `patience` calls, on the candidate's own scores only.
Rule 2: whoever stops is frozen: no more calls, but the last score stands, and may win.
"""

from __future__ import annotations

import math
import operator
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real

from prefect_tune.errors import ScheduleError
from prefect_tune.schedules.exact import exact_factor
from prefect_tune.schedules.reports import Report
from prefect_tune.schedules.rungs import checked_max

_ADVICE = "0 or False turns it off"


@dataclass(frozen=True, slots=True)
class Plateau:
    """When a candidate stops before its time.

    Attributes:
        patience: training calls to look back over, at least 2; the candidate is scored at least that often.
        tol: stop unless the score rose by more than this since; None or nan never stops.
    """

    patience: int
    tol: float | None

    def __post_init__(self) -> None:
        if isinstance(self.patience, bool) or not _counts(self.patience) or self.patience < 2:
            raise ScheduleError("patience", "must be an int of at least 2", self.patience, _ADVICE)
        if self.tol is not None and (isinstance(self.tol, bool) or not isinstance(self.tol, Real)):
            raise ScheduleError("tol", "must be a number or None", self.tol, "None never stops a candidate")

    @property
    def stops(self) -> bool:
        """Whether any score could stop a candidate."""
        return self.tol is not None and not math.isnan(self.tol)

    def stopped(self, reports: Sequence[Report], max_resource: int) -> bool:
        """Whether a candidate with these reports gets no more calls.

        >>> steady = [Report(calls, 0.5) for calls in range(1, 6)]
        >>> Plateau(5, 0.0).stopped(steady[:4], 100), Plateau(5, 0.0).stopped(steady, 100)
        (False, True)
        """
        if not reports:
            return False
        calls = reports[-1].calls
        if calls >= max_resource:
            return True
        if self.tol is None or calls < self.patience:
            return False
        first, *later = [report.score for report in reports if report.calls >= calls - self.patience]
        return bool(later) and max(later) - first <= self.tol  # nan: never


def plateau_rule(
    patience: object, tol: float | None, *, max_resource: int, eta: float | None = None
) -> Plateau | None:
    """The rule that these settings ask for; None where it is off.

    Args:
        patience: False or 0 turns it off. True, in a Hyperband search, looks back over ⌊max_resource / eta⌋
            calls, which is off where that is below 2.
        tol: see `Plateau`.
        max_resource, eta: of the Hyperband search; without `eta`, True has no meaning and is refused.

    Warns where an explicit patience is below Hyperband's own and could stop candidates.
    """
    share = None if eta is None else max(1, int(checked_max(max_resource) // exact_factor(eta)))
    if patience is True and share is not None:
        return Plateau(share, tol) if share > 1 else None
    if isinstance(patience, bool) or not _counts(patience):
        if patience is False:
            return None
        raise ScheduleError(
            "patience", "must be an int", patience, f"give the calls to look back over; {_ADVICE}"
        )
    if patience == 0:
        return None
    rule = Plateau(patience, tol)  # type: ignore[arg-type]
    if share is not None and rule.patience < share and rule.stops:
        warnings.warn(
            f"patience: {patience} is below max_resource // eta = {share}, so candidates may stop before "
            "the rungs compare them; patience=True takes that number.",
            UserWarning,
            stacklevel=2,
        )
    return rule


def _counts(value: object) -> bool:
    """Whether the value is an int, numpy's included."""
    try:
        operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        return False
    return True
