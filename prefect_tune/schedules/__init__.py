"""Schedules: who gets how much training, and who stops. Pure, and exact.

Rule 1: a schedule is frozen settings. Every decision follows from the reports so far (`next_round`).
Rule 2: plans are values made before anything runs, and what runs is what was planned.
"""

from __future__ import annotations

from prefect_tune.schedules.decay import InverseDecay
from prefect_tune.schedules.exact import ceil_div, exact_factor, ilog, keep_ceiling, keep_count, rhe
from prefect_tune.schedules.halving import Halving
from prefect_tune.schedules.hyperband import hyperband
from prefect_tune.schedules.incremental import Incremental
from prefect_tune.schedules.ladder import Plan, Schedule
from prefect_tune.schedules.metadata import bracket_metadata, hyperband_metadata
from prefect_tune.schedules.plateau import Plateau, plateau_rule
from prefect_tune.schedules.reports import History, Report, best, competition_ranks, rank, winner
from prefect_tune.schedules.resources import (
    halving_iterations,
    min_resources_exhaust,
    n_candidates_exhaust,
    smallest_resources,
)
from prefect_tune.schedules.rungs import Bracket, Rung, plan_bracket

__all__ = [
    "Bracket",
    "Halving",
    "History",
    "Incremental",
    "InverseDecay",
    "Plan",
    "Plateau",
    "Report",
    "Rung",
    "Schedule",
    "best",
    "bracket_metadata",
    "ceil_div",
    "competition_ranks",
    "exact_factor",
    "halving_iterations",
    "hyperband",
    "hyperband_metadata",
    "ilog",
    "keep_ceiling",
    "keep_count",
    "min_resources_exhaust",
    "n_candidates_exhaust",
    "plan_bracket",
    "plateau_rule",
    "rank",
    "rhe",
    "smallest_resources",
    "winner",
]
