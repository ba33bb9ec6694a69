"""Median stopping: a trial stops when it does worse than most others did by the same resource.

Three published rules, told apart by `rule`:

- `vizier`: stop if the trial's best loss so far is above the median of the others' mean losses up to here
  (Golovin et al., KDD 2017, section 3.2.2).
- `rank`: stop if more than the share `cutoff` of all mean losses at this very resource is smaller than the
  trial's own mean (the running-average rule of Syne Tune).
- `percentile`: stop if the trial's best loss so far is above that percentile of the losses that completed
  trials had at this very resource (the rule of Optuna's percentile and median pruners).

Means, medians and percentiles are exact fractions: in floats the mean of equal losses need not be that loss,
and equal trials would stop each other. Losses that are not finite take no part.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Protocol

from prefect_tune.errors import ScheduleError
from prefect_tune.schedules.asynchronous.contract import Decision, Job, KeyOf, Machine, Verdict
from prefect_tune.schedules.asynchronous.curves import Curve, CurveMachine, checked_fail_on_nan
from prefect_tune.schedules.exact import Exact, exact_factor, whole
from prefect_tune.schedules.rungs import checked_max
from prefect_tune.trials import TrialState

_HALF = Fraction(1, 2)
MIN_SAMPLES = {"vizier": 3, "rank": 5, "percentile": 5}


@dataclass(frozen=True, slots=True, kw_only=True)
class MedianStopping:
    """Trials that do worse than the others stop.

    Attributes:
        max_resource: where a trial is complete.
        rule: `vizier`, `rank` or `percentile`.
        grace_period: nobody stops below this resource; the means of `vizier` begin there.
        min_samples: nobody stops before there are so many: others (`vizier`, 3), means at the same resource,
            its own included (`rank`, 5), completed trials (`percentile`, 5).
        interval: a trial is judged at its first report in each stretch of this length from the grace period.
        cutoff: of `rank`: the share of smaller means that a trial survives.
        percentile: of `percentile`: 50 is the median, 25 keeps the better quarter.
        min_at_resource: of `percentile`: losses of completed trials that there must be at the same resource.
        fail_on_nan: `report` fails a trial at its first loss that is not finite, `rung` only at its end.
    """

    max_resource: int = field(kw_only=False)
    rule: str = "vizier"
    grace_period: int = 1
    min_samples: int | None = None
    interval: int = 1
    cutoff: float = 0.5
    percentile: float = 50
    min_at_resource: int = 1
    fail_on_nan: str = "rung"

    def __post_init__(self) -> None:
        if self.rule not in MIN_SAMPLES:
            rules = ", ".join(MIN_SAMPLES)
            raise ScheduleError("rule", f"must be one of {rules}", self.rule, "vizier is the usual one")
        samples = MIN_SAMPLES[self.rule] if self.min_samples is None else self.min_samples
        ints = {
            "max_resource": checked_max(self.max_resource),
            "grace_period": whole("grace_period", self.grace_period, least=1, advice="nobody stops below it"),
            "min_samples": whole("min_samples", samples, least=1, advice="None takes the rule's own number"),
            "interval": whole("interval", self.interval, least=1, advice="1 judges every report"),
            "min_at_resource": whole("min_at_resource", self.min_at_resource, least=1, advice="1 is usual"),
        }
        for name, value in ints.items():  # numpy's ints become ours
            object.__setattr__(self, name, value)
        if self.grace_period > self.max_resource:
            rule = f"must be at most max_resource ({self.max_resource})"
            raise ScheduleError("grace_period", rule, self.grace_period, "lower it or raise max_resource")
        _share(self.cutoff)
        _share(self.percentile, 100, "percentile")
        checked_fail_on_nan(self.fail_on_nan)

    @property
    def levels(self) -> tuple[int, ...]:
        """The grace period, every interval after it, and the maximum."""
        return (*range(self.grace_period, self.max_resource, self.interval), self.max_resource)

    def begin(self, seed: int, keys: KeyOf) -> Machine:
        """A fresh machine; nothing is drawn."""
        return _MedianMachine(self, keys)

    def identity(self) -> dict[str, object]:
        """The settings that this rule reads."""
        found: dict[str, object] = {
            "schedule": "median",
            "rule": self.rule,
            "max_resource": self.max_resource,
            "grace_period": self.grace_period,
            "min_samples": self.min_samples,
            "interval": self.interval,
            "fail_on_nan": self.fail_on_nan,
        }
        if self.rule == "rank":
            found["cutoff"] = self.cutoff
        if self.rule == "percentile":
            found |= {"percentile": self.percentile, "min_at_resource": self.min_at_resource}
        return found


class _MedianMachine(CurveMachine):
    """Starts whatever may start, and stops whom the rule names."""

    def __init__(self, settings: MedianStopping, keys: KeyOf) -> None:
        super().__init__(settings.levels, settings.max_resource, keys, settings.fail_on_nan)
        self._settings = settings
        self._rule = _RULES[settings.rule](settings)

    def offer(self, index: int | None) -> Job | None:
        """The new trial, if one is allowed."""
        return None if index is None else self.start(Job(index, 0, self._next(0)))

    def report(self, trial: int, resource: int, loss: float) -> Decision:
        """What becomes of the trial. A report known already gives its first decision again."""
        losses = self.curve(trial).losses
        known = len(losses)
        decision = super().report(trial, resource, loss)
        if len(losses) > known and math.isfinite(loss):
            self._rule.learn(trial, resource, loss)  # a completed trial's last report too
        return decision

    def decide(self, trial: int, resource: int, loss: float) -> Decision:
        """Stops the trial if it is time to judge it and the rule says so."""
        curve = self.curves[trial]
        if self._due(curve, resource) and (reason := self._rule.judge(trial, resource, self.curves)):
            return Decision(Verdict.STOP, reason=reason)
        return Decision(Verdict.CONTINUE, self._next(resource))

    def _due(self, curve: Curve, resource: int) -> bool:
        """Whether this is the trial's first report in its stretch."""
        grace, interval = self._settings.grace_period, self._settings.interval
        if resource < grace:
            return False
        begin = resource - (resource - grace) % interval
        return not any(begin <= earlier < resource for earlier in curve.losses)

    def _next(self, resource: int) -> int:
        """Where the next stretch begins, at most the maximum."""
        grace, interval = self._settings.grace_period, self._settings.interval
        if resource < grace:
            return grace
        return min(resource - (resource - grace) % interval + interval, self._settings.max_resource)


class _Rule(Protocol):
    """Who stops, and what must be remembered for that."""

    def judge(self, trial: int, resource: int, curves: dict[int, Curve]) -> str:
        """Why the trial stops; empty if it goes on. Its report is on its curve, and not yet learnt."""
        ...

    def learn(self, trial: int, resource: int, loss: float) -> None:
        """Takes note of a finite loss."""
        ...


@dataclass(slots=True)
class _Sums:
    """Sums of one trial's finite losses over rising resources."""

    resources: list[int] = field(default_factory=list)
    sums: list[Fraction] = field(default_factory=lambda: [Fraction(0)])

    def add(self, resource: int, loss: float) -> None:
        self.resources.append(resource)
        self.sums.append(self.sums[-1] + Fraction(loss))

    def mean(self, least: int, most: int) -> Fraction | None:
        """The mean over `least` ≤ resource ≤ `most`, None without a loss there."""
        low, high = bisect_left(self.resources, least), bisect_right(self.resources, most)
        return (self.sums[high] - self.sums[low]) / (high - low) if high > low else None


class _Vizier:
    def __init__(self, settings: MedianStopping) -> None:
        self._settings = settings
        self._sums: dict[int, _Sums] = {}
        self._means: dict[int, tuple[set[int], list[Fraction]]] = {}

    def judge(self, trial: int, resource: int, curves: dict[int, Curve]) -> str:
        best = curves[trial].best()
        if best is None or not math.isfinite(curves[trial].losses[resource]):
            return ""
        means = self._others(trial, resource, curves)
        if len(means) < (self._settings.min_samples or 0) or best <= (median := quantile(means, _HALF)):
            return ""
        return f"best loss {best:g} above the median {float(median):g} of {len(means)} others"

    def _others(self, trial: int, resource: int, curves: dict[int, Curve]) -> list[Fraction]:
        """Sorted means of the others that have come so far; each is final, so it is worked out once."""
        seen, means = self._means.setdefault(resource, (set(), []))
        for other, sums in self._sums.items():
            if other not in seen and other != trial and curves[other].latest >= resource:
                seen.add(other)
                if (mean := sums.mean(self._settings.grace_period, resource)) is not None:
                    insort(means, mean)
        return means

    def learn(self, trial: int, resource: int, loss: float) -> None:
        self._sums.setdefault(trial, _Sums()).add(resource, loss)


class _Rank:
    def __init__(self, settings: MedianStopping) -> None:
        self._settings = settings
        self._cutoff = _share(settings.cutoff)
        self._sums: dict[int, _Sums] = {}
        self._means: dict[int, list[Fraction]] = {}

    def judge(self, trial: int, resource: int, curves: dict[int, Curve]) -> str:
        loss = curves[trial].losses[resource]
        if not math.isfinite(loss):
            return ""
        own = self._mean(trial, loss)
        means = self._means.get(resource, [])
        count, smaller = len(means) + 1, bisect_left(means, own)
        if count < (self._settings.min_samples or 0) or Fraction(smaller, count) <= self._cutoff:
            return ""
        return f"{smaller} of {count} mean losses at {resource} are smaller than its own"

    def learn(self, trial: int, resource: int, loss: float) -> None:
        insort(self._means.setdefault(resource, []), self._mean(trial, loss))
        self._sums.setdefault(trial, _Sums()).add(resource, loss)

    def _mean(self, trial: int, loss: float) -> Fraction:
        """The mean of the trial's losses so far, the new one included."""
        sums = self._sums.get(trial) or _Sums()
        return (sums.sums[-1] + Fraction(loss)) / len(sums.sums)


class _Percentile:
    def __init__(self, settings: MedianStopping) -> None:
        self._settings = settings
        self._at = _share(settings.percentile, 100) / 100

    def judge(self, trial: int, resource: int, curves: dict[int, Curve]) -> str:
        completed = [c.losses for c in curves.values() if c.state is TrialState.COMPLETED]
        if len(completed) < (self._settings.min_samples or 0):
            return ""
        best = curves[trial].best()
        if best is None:
            return "no finite loss so far"
        there = sorted(
            Fraction(losses[resource])
            for losses in completed
            if resource in losses and math.isfinite(losses[resource])
        )
        if len(there) < self._settings.min_at_resource or best <= (bound := quantile(there, self._at)):
            return ""
        at = f"percentile {self._settings.percentile:g} at {resource}"
        return f"best loss {best:g} above {float(bound):g}, {at}"

    def learn(self, trial: int, resource: int, loss: float) -> None:
        """Nothing: the curves say it all."""


_RULES: dict[str, Callable[[MedianStopping], _Rule]] = {
    "vizier": _Vizier,
    "rank": _Rank,
    "percentile": _Percentile,
}


def quantile(values: Sequence[Fraction], at: Exact) -> Fraction:
    """The quantile of sorted values, linear between neighbours.

    >>> quantile([Fraction(1), Fraction(2), Fraction(4)], Fraction(3, 4))
    Fraction(3, 1)
    """
    place = (len(values) - 1) * Fraction(at)
    below = math.floor(place)
    above = min(below + 1, len(values) - 1)
    return values[below] + (values[above] - values[below]) * (place - below)


def _share(value: object, most: int = 1, name: str = "cutoff") -> Fraction:
    """The number exactly as written; ScheduleError unless it lies between 0 and `most`."""
    rule, advice = f"must be a number from 0 to {most}", f"{most / 2:g} is the median"
    try:
        exact = Fraction(exact_factor(value, least=0))
    except ScheduleError:
        raise ScheduleError(name, rule, value, advice) from None
    if exact > most:
        raise ScheduleError(name, rule, value, advice)
    return exact
