"""The leaderboard of a search over an objective as rows for any JSON reader."""

from __future__ import annotations

import math
from typing import Any

from prefect_tune.report.tables import cell
from prefect_tune.report.tune.facts import TrialFacts, TuneFacts

_METRICS = 6  # besides the one that is judged by


def tune_rows(facts: TuneFacts, limit: int = 50) -> list[dict[str, Any]]:
    """The first `limit` trials of the leaderboard as rows of JSON values with the same columns in each.

    Columns: those of `leading_columns`, the parameters that vary, those of `further_columns`, the parameters
    that do not vary. Trials that failed or have no value come last and have no rank. A parameter that has the
    name of another column is called `param_<name>`.
    """
    leading, further = leading_columns(facts), further_columns(facts)
    varied = {column_name(facts, name): facts.columns[name] for name in facts.varied}
    fixed = {column_name(facts, n): v for n, v in facts.columns.items() if n not in facts.varied}
    rows = []
    for rank, place in enumerate(facts.order[:limit], 1):
        values = _measured(facts, facts.trials[place], rank if rank <= facts.ranked else "")
        row = {name: values[name] for name in leading}
        row |= {name: column[place] for name, column in varied.items()}
        row |= {name: values[name] for name in further}
        row |= {name: column[place] for name, column in fixed.items()}
        rows.append({name: cell(value) for name, value in row.items()})
    return rows


def leading_columns(facts: TuneFacts) -> list[str]:
    """`rank`, `trial`, `state`, `resource` where trials report on their way, and the metric."""
    return ["rank", "trial", "state", *(["resource"] if facts.staged else []), facts.metric]


def further_columns(facts: TuneFacts) -> list[str]:
    """Metrics besides the one that is judged by, and `seconds`."""
    taken = {*leading_columns(facts), "seconds"}
    return [*[name for name in facts.others if name not in taken][:_METRICS], "seconds"]


def column_name(facts: TuneFacts, parameter: str) -> str:
    """The column of `tune_rows` that holds this parameter."""
    taken = (*leading_columns(facts), *further_columns(facts))
    return f"param_{parameter}" if parameter in taken else parameter


def _measured(facts: TuneFacts, trial: TrialFacts, rank: int | str) -> dict[str, Any]:
    """What was measured of a trial; of its metrics those of its last report."""
    values: dict[str, Any] = {name: trial.metrics.get(name, "") for name in further_columns(facts)}
    values[facts.metric] = "" if math.isnan(trial.value) else trial.value
    return values | {
        "rank": rank,
        "trial": trial.index,
        "state": str(trial.state),
        "resource": trial.resource,
        "seconds": trial.seconds,
    }
