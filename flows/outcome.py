"""The outcome of a search as text for a terminal: its leaderboard, what it cost and what failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from prefect_tune.report.adaptive import (
    best_note,
    bracket_facts,
    has_brackets,
    resumed_text,
    rungs_text,
    size_text,
    units,
    work_shares,
)
from prefect_tune.report.parameters import parameter_columns, varied_parameters
from prefect_tune.report.tables import column_name, leaderboard_rows
from prefect_tune.report.text import (
    bytes_text,
    counted,
    failure_groups,
    one_line,
    plural,
    score_text,
    seconds_text,
    value_text,
)
from prefect_tune.results import AdaptiveResult, SearchResult

_BRACKETS = 20


def show_result(result: SearchResult, console: Console | None = None, *, limit: int = 10) -> None:
    """Prints what a search found, what it cost and what failed.

    Args:
        console: by default one on stdout.
        limit: rows of the leaderboard.
    """
    console = console or Console()
    console.print(Text(f"{one_line(result.name)}: {_size(result)}", "bold"), soft_wrap=True)
    console.print(_leaderboard(result, limit, console.width))
    if isinstance(result, AdaptiveResult):
        console.print(Padding(_brackets(result, console.width), (1, 0)))
    # Text, not markup: a bracket in a parameter's value is only a bracket.
    lines = [Text.assemble((f"{label:<9}", "bold"), text) for label, text in _facts(result)]
    console.print(Text("\n").join(lines), soft_wrap=True)


def _size(result: SearchResult) -> str:
    if isinstance(result, AdaptiveResult):
        return size_text(result)
    return f"{counted(len(result), 'candidate')}, {counted(result.n_splits, 'fold')}"


def _facts(result: SearchResult) -> list[tuple[str, str]]:
    """Label and text of each line below the leaderboard."""
    cost = result.cost
    spent = f"{seconds_text(cost.wall_seconds)} wall, {seconds_text(cost.seconds_run)} of work run"
    spared = f"{seconds_text(cost.seconds_saved)} saved, {bytes_text(cost.bytes_written)} written"
    facts = [("best", _best(result)), *_reuse(result), ("cost", f"{spent}, {spared}")]
    if failed := max(cost.failed, len(result.failures)):
        facts.append(("failed", counted(failed, "score")))
    for group in failure_groups(result)[:3]:
        cause, params = one_line(group.first.cause, 100), one_line(group.first.params, 80)
        facts.append(("", f"{len(group.failures):,} × {cause} [{params}]"))
    if result.uncacheable:
        where, why = result.uncacheable[0]
        more = f" and {len(result.uncacheable) - 1:,} more" if len(result.uncacheable) > 1 else ""
        facts.append(("uncached", f"{one_line(where)}: {one_line(why, 100)}{more}"))
    places = [place for place in (result.report_path, result.flow_run_url) if place]
    return facts + ([("report", "  ".join(places))] if places else [])


def _reuse(result: SearchResult) -> list[tuple[str, str]]:
    """What was done, and what was spared."""
    cost, runs = result.cost, counted(result.cost.task_runs, "task run")
    if not isinstance(result, AdaptiveResult):
        steps = f"{cost.uses:,} = {cost.run:,} ran + {cost.shared:,} shared + {cost.known:,} known"
        return [("steps", f"{steps} ({runs})")]
    unit, known, run, spared = work_shares(result)
    work = f"{known + run + spared:,} = {run:,} ran + {known:,} known"
    work += f" + {spared:,} not run" if spared else ""
    facts = [(plural(unit.split()[-1]), f"{work} ({runs})")]
    if note := best_note(result):
        facts.insert(0, ("", note))
    label, _, text = resumed_text(result).rstrip(".").rpartition(": ")
    return facts + ([(label.lower() or "rounds", text)] if text else [])


def _best(result: SearchResult) -> str:
    if result.best_params is None:
        return "none chosen"
    params = ", ".join(f"{name}={value_text(value)}" for name, value in result.best_params.items())
    return f"{result.metric} {score_text(result.best_score)}{' with ' + params if params else ''}"


def _brackets(result: AdaptiveResult, width: int) -> Table:
    """A line for each bracket; where it is narrow, one column is left out."""
    facts = bracket_facts(result)[:_BRACKETS]
    columns = {
        "bracket": [value_text(bracket.name, 20) for bracket in facts] if has_brackets(result) else [],
        "candidates": [f"{bracket.candidates:,}" for bracket in facts],
        f"candidates at {units(result)}": [rungs_text(bracket.rungs) for bracket in facts],
        units(result): [_share(bracket.done, bracket.planned) for bracket in facts],
        "known": [_share(bracket.found, bracket.scores) for bracket in facts],
        "best": [score_text(bracket.best) for bracket in facts],
    }
    columns = {name: texts for name, texts in columns.items() if texts}
    widths = {name: 2 + max(map(len, (name, *texts))) for name, texts in columns.items()}
    if sum(widths.values()) > width:
        # The first rung says how many candidates there are.
        fits = sum(widths.values()) - widths["candidates"] <= width
        del columns["candidates" if fits else f"candidates at {units(result)}"]
    table = Table(box=None, pad_edge=False)
    for name in columns:
        table.add_column(Text(name), justify="left" if " at " in name else "right", no_wrap=True)
    for row in zip(*columns.values(), strict=True):
        table.add_row(*map(Text, row))
    return table


def _share(part: int, whole: int) -> str:
    return f"{part:,} of {whole:,}"


def _leaderboard(result: SearchResult, limit: int, width: int) -> Table:
    """The leaderboard as a table; parameters share one column where a column each does not fit."""
    rows = leaderboard_rows(result, limit)
    table = Table(box=None, pad_edge=False)
    params = [column_name(result, name) for name in varied_parameters(result)]
    fixed = {column_name(result, name) for name in parameter_columns(result)}
    measured = [name for name in (rows[0] if rows else ()) if name not in fixed]
    texts = [{name: _short(row[name]) for name in (*measured, *params)} for row in rows]
    natural = sum(2 + max(len(name), *(len(row[name]) for row in texts)) for name in (*measured, *params))
    for name in measured:
        table.add_column(Text(name), justify="right", no_wrap=True)
    if params and natural > width:
        texts = [row | {"parameters": _joined(row, params)} for row in texts]
        params = ["parameters"]
    for name in params:
        table.add_column(Text(name), overflow="fold")
    for row in texts:
        table.add_row(*(Text(row[name]) for name in (*measured, *params)))
    return table


def _joined(row: Mapping[str, str], names: Sequence[str]) -> str:
    return ", ".join(f"{name}={row[name]}" for name in names if row[name])


def _short(value: Any) -> str:
    return f"{value:.5g}" if isinstance(value, float) else value_text(value, 40)
