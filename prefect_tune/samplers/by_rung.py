"""Which trials a model sees that learns from one level at a time (as BOHB).

Rule 1: a third of the configurations is drawn from the space, by a coin of the trial's own.
Rule 2: the model sees the highest level that has enough losses; failures count, as infinitely bad.
Theory: Falkner, Klein and Hutter, ICML 2018. We keep the choice of the level; the densities are TPE's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from prefect_tune.samplers.contract import Question
from prefect_tune.samplers.distinct import earlier
from prefect_tune.samplers.study import Row, params_of
from prefect_tune.samplers.twins import Twin
from prefect_tune.trials import TrialRecord, TrialState, generator

SHARE = 1 / 3


def rows_of(question: Question, twins: Sequence[Twin], least: int | None) -> list[Row] | None:
    """The study's trials: those of the best level, and those under way; None if the space is to be asked.

    Args:
        question: its index gives the coin, its records the losses.
        twins: of the leaves that the model sees.
        least: losses that a level needs; None is the number of leaves plus one.
    """
    if generator(question.seed, "coin", question.index).random() < SHARE:
        return None
    records = earlier(question)
    level = best_level(records, question.levels, len(twins) + 1 if least is None else least)
    if level is None:
        return None
    rows = []
    for record in records:
        loss = loss_at(record, level, question.levels)
        state = "RUNNING" if loss is None else "COMPLETE"
        if loss is not None or record.state in (TrialState.RUNNING, TrialState.PENDING):
            params = params_of(question.space, twins, record.config)
            rows.append(Row(record.index, state, params, {}, loss))
    return rows


def best_level(records: Sequence[TrialRecord], levels: Sequence[int], least: int) -> int | None:
    """The highest level with at least `least` losses; None if there is none."""
    for level in sorted(levels, reverse=True):
        if sum(loss_at(record, level, levels) is not None for record in records) >= least:
            return level
    return None


def loss_at(record: TrialRecord, level: int, levels: Sequence[int]) -> float | None:
    """The trial's loss at a level: infinite where it failed, None where it has none.

    A trial fails at the first level above those that it has reached.
    """
    if level in record.losses:
        return record.losses[level]
    if level == max(levels) and record.state is TrialState.COMPLETED:
        return record.final
    if record.state is TrialState.FAILED:
        reached = max(record.losses, default=0)
        return math.inf if level == min((item for item in levels if item > reached), default=None) else None
    return None
