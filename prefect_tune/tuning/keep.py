"""Which checkpoints a search keeps, and which it lets go. Pure: nothing is deleted here.

Rule 1: `num_to_keep=N` counts per trial: the N best and the latest, so N = 1 holds at most two. A checkpoint
whose score is not finite is never among the best; of equal scores the newer one is better.
Rule 2: `keep_in_search=M` lets only the M best trials keep what rule 1 leaves them. Beside those, the latest
checkpoint of every running trial stays (a retry needs it), and of paused ones (a promotion needs it), but of
at most M of these: those at the highest rung, there the best. Whoever is left out begins again at 1 if it is
promoted.
Rule 3: what the caller names as needed (the donor's checkpoint of a copy that has not started) stays.
Rule 4: a trial that has stopped or failed is protected by nothing but being among the best.

The caller deletes once the record of what replaces a checkpoint is durable, not before.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Set
from dataclasses import dataclass

from prefect_tune.errors import ScheduleError
from prefect_tune.schedules.exact import whole
from prefect_tune.trials import TrialState, order_of
from prefect_tune.tuning.trial import Trial


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """How many checkpoints are kept.

    Attributes:
        num_to_keep: per trial, besides the latest; None keeps all.
        keep_in_search: trials that keep theirs; None keeps all.
        score: metric by which checkpoints of a trial are compared; None keeps the most recent.
        order: `min` or `max` of that metric.
    """

    num_to_keep: int | None = None
    keep_in_search: int | None = None
    score: str | None = None
    order: str = "min"

    def __post_init__(self) -> None:
        for name in ("num_to_keep", "keep_in_search"):
            if (value := getattr(self, name)) is not None:
                advice = "None keeps all"
                object.__setattr__(self, name, whole(name, value, least=1, advice=advice))
        if self.order not in ("min", "max"):
            raise ScheduleError("order", "must be 'min' or 'max'", self.order, "'max' keeps large scores")


def to_release(
    trials: Iterable[Trial], keep: Keep, needed: Set[tuple[int, int]] = frozenset()
) -> list[tuple[int, int]]:
    """Checkpoints that may be deleted, as (trial, resource), rising.

    Args:
        trials: of the search, with the checkpoints that they have.
        keep: the settings.
        needed: (trial, resource) of checkpoints that somebody else is about to start from.
    """
    having = [trial for trial in trials if trial.checkpoints]
    kept = {(trial.index, resource) for trial in having for resource in _of_trial(trial, keep)}
    if keep.keep_in_search is not None:
        best = _best_trials(having, keep.keep_in_search)
        kept = {place for place in kept if place[0] in best}
        kept |= {(trial.index, max(trial.checkpoints)) for trial in _protected(having, keep.keep_in_search)}
    kept |= needed
    have = {(trial.index, resource) for trial in having for resource in trial.checkpoints}
    return sorted(have - kept)


def _of_trial(trial: Trial, keep: Keep) -> set[int]:
    """Resources of the checkpoints that a trial keeps by rule 1."""
    resources = sorted(trial.checkpoints, reverse=True)  # newer first, and sorting is stable
    if keep.num_to_keep is None:
        return set(resources)
    if keep.score is None:
        return set(resources[: keep.num_to_keep])
    values = {report.resource: report.metrics.get(keep.score, math.nan) for report in trial.accepted}
    sign = 1 if keep.order == "min" else -1
    scored = [at for at in resources if math.isfinite(values.get(at, math.nan))]
    best = sorted(scored, key=lambda at: sign * values[at])[: keep.num_to_keep]
    return {*best, *resources[:1]}


def _best_trials(trials: Iterable[Trial], many: int) -> set[int]:
    """Indices of the best trials, by their best loss; those without a finite one are not among them."""
    ranked = sorted(
        (order_of(trial.best_loss, trial.key), trial.index) for trial in trials if trial.best_loss is not None
    )
    return {index for _, index in ranked[:many]}


def _protected(trials: Iterable[Trial], most: int) -> list[Trial]:
    """Trials whose latest checkpoint a retry or a promotion may need."""
    running = [trial for trial in trials if trial.state is TrialState.RUNNING]
    paused = [trial for trial in trials if trial.state is TrialState.PAUSED]

    def order(trial: Trial) -> tuple[int, tuple[bool, float, str]]:
        last = trial.last
        return -trial.resource, order_of(math.inf if last is None else last.loss, trial.key)

    return running + sorted(paused, key=order)[:most]
