"""Wilcoxon: a trial stops when it loses, part by part, against the best trial that is complete.

For objectives that are a mean over parts, such as the folds of a cross-validation: the loss at resource r is
the mean over the first r parts, and the parts are the same for every trial. Each part's own loss follows from
two means, r·m(r) − s·m(s) over r − s; differences below 1e-12 of the largest loss are rounding, and count as
equal.

Rule: the paired differences go through a one-sided signed-rank test (Wilcoxon, Biometrics Bulletin 1, 1945),
zeros ranked and split between the two sides. The trial stops if p is below the threshold and its mean over
these parts is above the best one's. With n parts p is at least 1/2ⁿ, so the first decision falls at 4 parts
for a threshold of 0.1, at 3 for 0.2, at 2 for 0.3.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from prefect_tune.errors import ScheduleError
from prefect_tune.schedules.asynchronous.contract import Decision, Job, KeyOf, Machine, Verdict
from prefect_tune.schedules.asynchronous.curves import CurveMachine, checked_fail_on_nan
from prefect_tune.schedules.exact import exact_factor, whole
from prefect_tune.schedules.rungs import checked_max
from prefect_tune.trials import TrialState, order_of

DIGITS = 12
EXACT = 50
Part = tuple[int, int]  # (the resource before, the resource at its end)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wilcoxon:
    """Trials that lose against the best complete one, part by part, stop.

    Attributes:
        max_resource: number of parts; where a trial is complete.
        p_threshold: how unlikely the trial's losses must be, were it as good as the best one.
        grace_period: nobody stops below so many parts.
        compat: `optuna` compares the mean so far with the best trial's mean over all parts, as Optuna's
            WilcoxonPruner does; by default with its mean over the same parts.
        fail_on_nan: `report` fails a trial at its first loss that is not finite, `rung` only at its end.
    """

    max_resource: int = field(kw_only=False)
    p_threshold: float = 0.1
    grace_period: int = 2
    compat: str | None = None
    fail_on_nan: str = "rung"

    def __post_init__(self) -> None:
        most = checked_max(self.max_resource)
        grace = whole("grace_period", self.grace_period, least=1, advice="nobody stops below it")
        object.__setattr__(self, "max_resource", most)
        object.__setattr__(self, "grace_period", grace)
        if grace > most:
            rule = f"must be at most max_resource ({most})"
            raise ScheduleError("grace_period", rule, grace, "lower it or raise max_resource")
        if most < 3:
            rule, advice = "must be at least 3", "two parts are compared before the last one"
            raise ScheduleError("max_resource", rule, most, advice)
        least = 0.5 ** (most - 1)
        if not least < float(exact_factor(self.p_threshold, name="p_threshold", least=0)) <= 1:
            rule = f"must be above {least:g}, the smallest p with {most - 1} of {most} parts, and at most 1"
            raise ScheduleError("p_threshold", rule, self.p_threshold, "raise it, or give more parts")
        if self.compat not in (None, "optuna"):
            advice = "None compares the same parts"
            raise ScheduleError("compat", "must be 'optuna' or None", self.compat, advice)
        checked_fail_on_nan(self.fail_on_nan)

    @property
    def first(self) -> int:
        """The number of parts at which a trial can stop first."""
        enough = next(n for n in range(2, 2000) if 0.5**n < self.p_threshold)
        return max(enough, self.grace_period)

    @property
    def levels(self) -> tuple[int, ...]:
        """Every number of parts from the first decision on."""
        return (*range(self.first, self.max_resource), self.max_resource)

    def begin(self, seed: int, keys: KeyOf) -> Machine:
        """A fresh machine; nothing is drawn."""
        return _WilcoxonMachine(self, keys)

    def identity(self) -> dict[str, object]:
        """The settings."""
        return {
            "schedule": "wilcoxon",
            "max_resource": self.max_resource,
            "p_threshold": self.p_threshold,
            "grace_period": self.grace_period,
            "compat": self.compat,
            "fail_on_nan": self.fail_on_nan,
        }


class _WilcoxonMachine(CurveMachine):
    """Starts whatever may start, and stops whom the test finds worse."""

    def __init__(self, settings: Wilcoxon, keys: KeyOf) -> None:
        super().__init__(settings.levels, settings.max_resource, keys, settings.fail_on_nan)
        self._settings = settings

    def offer(self, index: int | None) -> Job | None:
        """The new trial, if one is allowed."""
        return None if index is None else self.start(Job(index, 0, self._settings.levels[0]))

    def decide(self, trial: int, resource: int, loss: float) -> Decision:
        """Stops the trial if it loses against the best complete one."""
        first, most = self._settings.levels[0], self._settings.max_resource
        if resource >= first and (reason := self._judge(self.curves[trial].losses)):
            return Decision(Verdict.STOP, reason=reason)
        return Decision(Verdict.CONTINUE, min(max(resource + 1, first), most))

    def _judge(self, losses: Mapping[int, float]) -> str:
        """Why the trial with these losses stops; empty if it goes on."""
        best = self._best()
        if best is None or not all(map(math.isfinite, (*losses.values(), *best.values()))):
            return ""
        own, other = _parts(losses), _parts(best)
        shared = [part for part in own if part in other]
        if len(shared) < max(2, self._settings.grace_period):
            return ""
        ours, theirs = np.array([own[p] for p in shared]), np.array([other[p] for p in shared])
        differences = _differences(ours, theirs)
        p = p_worse(differences)
        if self._settings.compat == "optuna":
            worse = best[max(best)] < losses[max(losses)]
        else:
            worse = bool(differences.sum() > 0)
        if not worse or not p < self._settings.p_threshold:
            return ""
        return f"worse than the best trial on {len(shared)} parts (p = {p:.3g})"

    def _best(self) -> Mapping[int, float] | None:
        """The losses of the best trial that is complete, None before there is one."""
        done = [
            (order_of(curve.losses[curve.latest], self.keys(trial)), trial)
            for trial, curve in self.curves.items()
            if curve.state is TrialState.COMPLETED
        ]
        return self.curves[min(done)[1]].losses if done else None


def _parts(means: Mapping[int, float]) -> dict[Part, float]:
    """Each part's own loss, from the means over the first r parts.

    >>> _parts({1: 4.0, 2: 3.0, 4: 2.0})
    {(0, 1): 4.0, (1, 2): 2.0, (2, 4): 1.0}
    """
    found: dict[Part, float] = {}
    before, total = 0, 0.0
    for resource, mean in sorted(means.items()):
        found[before, resource] = (resource * mean - total) / (resource - before)
        before, total = resource, resource * mean
    return found


def _differences(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Ours less theirs, without the rounding of the means, so that equal losses tie."""
    largest = float(max(np.abs(ours).max(), np.abs(theirs).max()))
    decimals = DIGITS - math.ceil(math.log10(largest)) if largest else 0
    return np.round(ours - theirs, min(decimals, 300))


def p_worse(differences: np.ndarray) -> float:
    """The one-sided p-value of the signed-rank test: how likely such losses are for one who is no worse.

    Up to 50 parts it is exact, ties and zeros too: every way to give the differences their signs is counted.
    Beyond that it is SciPy's, by the normal approximation.

    >>> p_worse(np.array([3.0, 1.0, 2.0, -0.5]))
    0.125
    """
    from scipy.stats import rankdata, wilcoxon

    if len(differences) > EXACT:
        return float(wilcoxon(differences, alternative="greater", zero_method="zsplit").pvalue)
    signs = np.sign(differences).astype(int)
    doubled = (2 * rankdata(np.abs(differences))).astype(int)  # ties share a rank that may end in a half
    chances = np.zeros(1 + doubled.sum())
    chances[0] = 1.0
    for rank in doubled[signs != 0]:
        moved = np.zeros_like(chances)
        moved[rank:] = chances[: len(chances) - rank]
        chances = (chances + moved) / 2
    return float(chances[doubled[signs > 0].sum() :].sum())
