"""The leaderboard as rows for any JSON reader: no nan, no infinity, no integer that JavaScript rounds."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from prefect_tune.report.adaptive import has_brackets, units
from prefect_tune.report.parameters import MISSING, parameter_columns, varied_parameters
from prefect_tune.report.text import plain, value_text
from prefect_tune.results import AdaptiveResult, SearchResult

_SAFE = 2**53  # JavaScript, and so the UI, holds larger integers only roughly


def leaderboard_rows(result: SearchResult, limit: int = 50) -> list[dict[str, Any]]:
    """The best `limit` candidates, best first, as rows of JSON values with the same columns in each.

    Columns: `rank`, the metric that ranks, `std`, the other metrics, `fit_seconds`, then the parameters,
    those that vary first. An adaptive search has the units of its resource (`calls`, say) and the `bracket`
    before `fit_seconds`, and `std` only with several folds. A parameter that has the name of another column
    is called `param_<name>`. Numbers have 6 significant digits; what JSON cannot hold is text.
    """
    measured = measured_columns(result)
    params = {**varied_parameters(result), **parameter_columns(result)}
    columns = measured | {column_name(result, name): values for name, values in params.items()}
    order = np.argsort(np.asarray(measured["rank"]), kind="stable")[:limit]
    return [{name: cell(values[i]) for name, values in columns.items()} for i in order]


def column_name(result: SearchResult, parameter: str) -> str:
    """The column of `leaderboard_rows` that holds this parameter."""
    return f"param_{parameter}" if parameter in measured_columns(result) else parameter


def measured_columns(result: SearchResult) -> dict[str, Any]:
    """The columns of `leaderboard_rows` that are no parameters, one value per candidate."""
    table = result.cv_results
    adaptive = result if isinstance(result, AdaptiveResult) else None
    columns = {
        "rank": table[f"rank_test_{result.metric}"],
        result.metric: table[f"mean_test_{result.metric}"],
    }
    if adaptive is None or result.n_splits > 1:
        columns["std"] = table[f"std_test_{result.metric}"]
    columns |= {name: table[f"mean_test_{name}"] for name in result.metrics if name != result.metric}
    if adaptive is not None:
        columns[units(adaptive)] = table["partial_fit_calls"]
        columns |= {"bracket": table["bracket"]} if has_brackets(adaptive) else {}
    return columns | {"fit_seconds": table["mean_fit_time"]}


def cell(value: Any) -> Any:
    """`value` as a JSON value; a missing one is an empty text."""
    value = plain(value)
    if value is MISSING or value is np.ma.masked:
        return ""
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value) if abs(value) < _SAFE else value_text(value)
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else str(value)
    return value_text(value)
