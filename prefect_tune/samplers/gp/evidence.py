"""What a model gets to see of the records: losses, and what is still under way.

Rule 1: only finite losses are data. A failed trial gives none; asked to, a model counts it as infinitely bad
where it failed, which is then as bad as the worst of the others.
Rule 2: losses are standardised over what the model keeps: mean 0, variance 1.
Rule 3: before that, losses far above the median are pulled in: none may be farther above it than the best is
below. A diverged run is bad; whether it reached 10 or 10^18 says nothing about where the best lies, and one
such number would make all others equal. Where half of the losses equal the best, nothing is pulled in.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from prefect_tune.samplers.gp.caps import Observation
from prefect_tune.samplers.gp.kernels import Array
from prefect_tune.trials import TrialRecord, TrialState

_LEAST_SPREAD = 1e-9


@dataclass(frozen=True, slots=True)
class Evidence:
    """Data and pending points of one suggestion.

    Attributes:
        observations: by rising (trial, level).
        pending: (trial, level) pairs whose loss is awaited.
    """

    observations: list[Observation]
    pending: list[tuple[int, int]]


def single(records: Sequence[TrialRecord], top: int, failed: str = "out") -> Evidence:
    """One loss a trial: its final one, else the one at its highest level. All stand at level `top`.

    Args:
        records: of the trials.
        top: the level.
        failed: what failed trials count as, `out` for nothing, `worst` for an infinite loss.
    """
    observations, pending = [], []
    for record in records:
        loss = record.final
        if loss is None and record.losses:
            loss = record.losses[max(record.losses)]
        if record.state is TrialState.FAILED:
            observations += [Observation(record.index, top, math.inf)] * (failed == "worst")
        elif loss is not None and math.isfinite(loss):
            observations.append(Observation(record.index, top, loss))
        elif loss is None and _under_way(record):
            pending.append((record.index, top))
    return Evidence(observations, pending)


def joint(records: Sequence[TrialRecord], levels: Sequence[int], failed: str = "out") -> Evidence:
    """Every loss of every trial with its level, and every level under way.

    Args:
        records: of the trials.
        levels: of the schedule.
        failed: what failed trials count as, `out` for nothing, `worst` for an infinite loss at the level that
            they did not reach.
    """
    observations, pending = [], []
    for record in records:
        losses = dict(record.losses)
        if record.state is TrialState.FAILED:
            missed = [level for level in levels if level > max(losses, default=0)]
            observations += [
                Observation(record.index, level, math.inf) for level in missed[: failed == "worst"]
            ]
            continue
        if not losses and record.final is not None:
            losses = {levels[-1]: record.final}
        observations += [
            Observation(record.index, level, loss)
            for level, loss in sorted(losses.items())
            if math.isfinite(loss)
        ]
        if _under_way(record):
            # A trial drawn ahead, that no schedule has seen yet, will report at the first level.
            awaited = record.pending or (() if losses else (levels[0],))
            pending += [(record.index, level) for level in awaited if level not in losses]
    return Evidence(observations, pending)


def _under_way(record: TrialRecord) -> bool:
    return record.state in (TrialState.PENDING, TrialState.RUNNING)


def standardised(losses: Array, pull_in: bool) -> Array:
    """Losses with mean 0 and population standard deviation 1; those far above the median pulled in first.

    Infinite ones become the largest of the others. At least one is finite.
    """
    finite = losses[np.isfinite(losses)]
    if pull_in:
        best, median = float(np.min(finite)), float(np.median(finite))
        if median > best:
            losses = np.minimum(losses, median + (median - best))
            finite = np.minimum(finite, median + (median - best))
    losses = np.minimum(losses, np.max(finite))
    centred = losses - np.mean(losses)
    return centred / max(float(np.std(centred)), _LEAST_SPREAD)
