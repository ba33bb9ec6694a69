"""Plateaus: a trial, or a search, that has stopped getting better.

Rule 1: a plateau is a small population standard deviation of the last few losses. It is compared as an exact
fraction, so equal losses have none.
Rule 2: `TrialPlateau` wraps any schedule and speaks only where that lets a trial go on. To the wrapped
schedule, such a trial has returned by itself: its last loss stands, and it is never promoted.
Rule 3: `SearchPlateau` is a stopping criterion of budgets. It looks at the best loss so far, after each
trial that has finished.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

from prefect_tune.errors import ScheduleError
from prefect_tune.schedules.asynchronous.contract import (
    Decision,
    Job,
    KeyOf,
    Machine,
    TrialSchedule,
    Verdict,
)
from prefect_tune.schedules.exact import exact_factor, whole
from prefect_tune.space import SearchSpace
from prefect_tune.trials import Config


@dataclass(frozen=True, slots=True)
class TrialPlateau:
    """Another schedule, and trials whose loss no longer moves stop.

    Attributes:
        schedule: decides everything else.
        std: a trial stops when its last reports have at most this standard deviation.
        num_results: reports to look back over, at least 2.
        grace_period: nobody stops on a plateau below this resource.
    """

    schedule: TrialSchedule
    std: float = field(default=0.01, kw_only=True)
    num_results: int = field(default=4, kw_only=True)
    grace_period: int = field(default=4, kw_only=True)

    def __post_init__(self) -> None:
        _checked_std(self.std)
        whole("num_results", self.num_results, least=2, advice="4 is usual")
        grace = whole("grace_period", self.grace_period, least=1, advice="nobody stops below it")
        top = self.schedule.levels[-1]
        if grace > top > 1:  # 1: an objective of one value, or a maximum that nobody knows
            rule = f"must be at most max_resource ({top})"
            raise ScheduleError("grace_period", rule, grace, "lower it or raise max_resource")

    @property
    def levels(self) -> tuple[int, ...]:
        """Those of the wrapped schedule."""
        return self.schedule.levels

    def begin(self, seed: int, keys: KeyOf) -> Machine:
        """A fresh machine around one of the wrapped schedule."""
        return _PlateauMachine(self, self.schedule.begin(seed, keys))

    def child(self, config: Config, space: SearchSpace, seed: int, exploit: int) -> Config:
        """The configuration of a copy, where the wrapped schedule makes copies (see `PBT.child`)."""
        schedule: Any = self.schedule
        return schedule.child(config, space, seed, exploit)

    def identity(self) -> dict[str, object]:
        """The settings, and those of the wrapped schedule under `of`."""
        return {
            "schedule": "plateau",
            "std": self.std,
            "num_results": int(self.num_results),
            "grace_period": int(self.grace_period),
            "of": self.schedule.identity(),
        }


class _PlateauMachine:
    """Passes everything on, and looks at what comes back."""

    def __init__(self, settings: TrialPlateau, inner: Machine) -> None:
        self._settings, self._inner = settings, inner
        self._answers: dict[int, dict[int, Decision]] = {}
        self._losses: dict[int, dict[int, float]] = {}
        self._stopped: set[int] = set()

    def offer(self, index: int | None) -> Job | None:
        job = self._inner.offer(index)
        return job and replace(job, until=self._next(job.trial, job.since, job.until))

    def report(self, trial: int, resource: int, loss: float) -> Decision:
        answers, losses = self._answers.setdefault(trial, {}), self._losses.setdefault(trial, {})
        if trial in self._stopped:
            return answers.get(resource, Decision(Verdict.LATE, reason="the trial is stopped"))
        answer = self._inner.report(trial, resource, loss)
        if answer.verdict is Verdict.LATE:
            return answer
        first = answers.get(resource)
        if first is not None and first.verdict is answer.verdict:
            return first
        news = resource > max(losses, default=0)
        if news:
            losses[resource] = loss
        if answer.verdict is Verdict.CONTINUE:
            if news and self._flat(losses):
                self._inner.done(trial)
                self._stopped.add(trial)
                answer = Decision(Verdict.STOP, reason=f"plateau: {self._words()}")
            else:
                answer = replace(answer, until=self._next(trial, max(losses, default=resource), answer.until))
        return answers.setdefault(resource, answer) if news else answer

    def done(self, trial: int) -> Decision:
        if trial in self._stopped:
            return Decision(Verdict.LATE, reason="the trial is stopped")
        return self._inner.done(trial)

    def fail(self, trial: int) -> None:
        self._inner.fail(trial)

    def stop(self, trial: int) -> None:
        self._inner.stop(trial)

    @property
    def warnings(self) -> list[str]:
        """Those of the wrapped machine."""
        return getattr(self._inner, "warnings", [])

    def donors(self) -> frozenset[tuple[int, int]]:
        """Checkpoints that copies may start from, where the wrapped machine makes copies."""
        return getattr(self._inner, "donors", frozenset)()

    @property
    def copied_over(self) -> dict[int, str]:
        """Members of a population that stopped without a report of their own, where there is one."""
        return getattr(self._inner, "copied_over", {})

    @property
    def incomplete(self) -> bool:
        """Whether a population that is compared in step still lacks members."""
        return getattr(self._inner, "incomplete", False)

    def losses(self, trial: int) -> dict[int, float]:
        return self._inner.losses(trial)

    def pending(self, trial: int) -> tuple[int, ...]:
        return self._inner.pending(trial)

    def ranking(self) -> list[int]:
        return self._inner.ranking()

    def _flat(self, losses: dict[int, float]) -> bool:
        """Whether the last reports by resource are on a plateau."""
        order = sorted(losses)
        if order[-1] < self._settings.grace_period or len(order) < self._settings.num_results:
            return False
        return flat([losses[at] for at in order[-self._settings.num_results :]], self._settings.std)

    def _next(self, trial: int, resource: int, until: int | None) -> int | None:
        """Where either rule may decide next, reports being at least one unit apart."""
        missing = self._settings.num_results - len(self._losses.get(trial, {}))
        own = max(self._settings.grace_period, resource + max(1, missing))
        return own if until is None else min(own, until)

    def _words(self) -> str:
        return f"the last {self._settings.num_results} losses have moved by at most {self._settings.std:g}"


@dataclass(frozen=True, slots=True)
class SearchPlateau:
    """When new trials no longer improve on the best.

    Attributes:
        top: finished trials to look back over, at least 2.
        std: the best losses so far after each of these have at most this standard deviation.
        patience: how often in a row this is forgiven.
    """

    top: int = 10
    std: float = 0.001
    patience: int = 0

    def __post_init__(self) -> None:
        whole("top", self.top, least=2, advice="10 is usual")
        _checked_std(self.std)
        whole("patience", self.patience, least=0, advice="0 stops at the first plateau")

    def reached(self, best: Sequence[float]) -> bool:
        """Whether the search stands on a plateau.

        Args:
            best: the best loss so far after each finished trial, in the order in which they finished; not
                finite before the first trial that has a loss.

        >>> SearchPlateau(top=3).reached([0.9, 0.5, 0.5]), SearchPlateau(top=3).reached([0.9, 0.5, 0.5, 0.5])
        (False, True)
        """
        # The counter is above `patience` iff the last patience + 1 windows were all flat.
        ends = range(len(best), len(best) - self.patience - 1, -1)
        return all(end >= self.top and flat(best[end - self.top : end], self.std) for end in ends)


def flat(losses: Sequence[float], std: float) -> bool:
    """Whether the population standard deviation is at most `std`; never with a loss that is not finite.

    >>> flat([0.0, 0.5, 0.0, 0.5], 0.25), flat([0.0, 0.5, 0.0, 0.5], 0.2)
    (True, False)
    """
    if not losses or not all(map(math.isfinite, losses)):
        return False
    exact = [Fraction(loss) for loss in losses]
    mean = sum(exact) / len(exact)
    return sum((loss - mean) ** 2 for loss in exact) <= len(exact) * Fraction(str(std)) ** 2


def _checked_std(std: object) -> None:
    try:
        exact_factor(std, least=0)
    except ScheduleError:
        rule, advice = "must be a number of at least 0", "it is in units of the metric"
        raise ScheduleError("std", rule, std, advice) from None
