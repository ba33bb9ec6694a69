"""The outcome of a search as text for a terminal: its leaderboard, what it cost and what failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import singledispatch
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from prefect_tune.report.adaptive import (
    RungFacts,
    best_note,
    bracket_facts,
    has_brackets,
    resumed_text,
    rungs_text,
    size_text,
    units,
    work_shares,
)
from prefect_tune.report.pages import Found
from prefect_tune.report.parameters import parameter_columns, varied_parameters
from prefect_tune.report.sections import approved
from prefect_tune.report.tables import column_name, leaderboard_rows
from prefect_tune.report.text import (
    FailureGroup,
    bytes_text,
    counted,
    failure_groups,
    one_line,
    params_text,
    plural,
    score_text,
    seconds_text,
    value_text,
)
from prefect_tune.report.tune import rows as tune_rows
from prefect_tune.report.tune import words
from prefect_tune.report.tune.facts import TuneFacts, rung_facts, tune_facts
from prefect_tune.results import AdaptiveResult, SearchResult
from prefect_tune.tuning.result import TuneResult

_BRACKETS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sheet:
    """What is printed of a search.

    Attributes:
        title: name and size.
        rows: of the leaderboard.
        measured, params: names of its columns that are shown.
        middle: a table between the leaderboard and the lines.
        lines: label and text of each line below.
    """

    title: str
    rows: Sequence[Mapping[str, Any]]
    measured: Sequence[str]
    params: Sequence[str]
    middle: Table | None
    lines: Sequence[tuple[str, str]]


def show_result(result: Found, console: Console | None = None, *, limit: int = 10) -> None:
    """Prints what a search found, what it cost and what failed.

    Args:
        result: of the search.
        console: by default one on stdout.
        limit: rows of the leaderboard.
    """
    console = console or Console()
    sheet = _sheet(result, limit, console.width)
    console.print(Text(sheet.title, "bold"), soft_wrap=True)
    console.print(_leaderboard(sheet, console.width))
    if sheet.middle is not None:
        console.print(Padding(sheet.middle, (1, 0)))
    # Text, not markup: a bracket in a parameter's value is only a bracket.
    lines = [Text.assemble((f"{label:<9}", "bold"), text) for label, text in sheet.lines]
    console.print(Text("\n").join(lines), soft_wrap=True)


@singledispatch
def _sheet(result: Found, limit: int, width: int) -> _Sheet:
    """What is printed of a search on a console so wide."""
    raise TypeError(f"show_result: a search leaves no {type(result).__name__}.")


@_sheet.register
def _(result: SearchResult, limit: int, width: int) -> _Sheet:
    rows = leaderboard_rows(result, limit)
    fixed = {column_name(result, name) for name in parameter_columns(result)}
    return _Sheet(
        title=f"{one_line(result.name)}: {_size(result)}",
        rows=rows,
        measured=[name for name in (rows[0] if rows else ()) if name not in fixed],
        params=[column_name(result, name) for name in varied_parameters(result)],
        middle=_brackets(result, width) if isinstance(result, AdaptiveResult) else None,
        lines=_facts(result),
    )


@_sheet.register
def _(result: TuneResult, limit: int, width: int) -> _Sheet:
    facts = tune_facts(result)
    return _Sheet(
        title=f"{one_line(result.name)}: {words.size_text(facts)}",
        rows=tune_rows.tune_rows(facts, limit),
        measured=[*tune_rows.leading_columns(facts), *tune_rows.further_columns(facts)],
        params=[tune_rows.column_name(facts, name) for name in facts.varied],
        middle=_rungs(rung_facts(facts)) if len(facts.levels) > 1 else None,
        lines=_tune_lines(facts),
    )


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
    return [*facts, *_causes(failure_groups(result)), *_last(result)]


def _tune_lines(facts: TuneFacts) -> list[tuple[str, str]]:
    """Label and text of each line below the leaderboard."""
    result, cost = facts.result, facts.result.cost
    best = "no trial has a value"
    if facts.best is not None:
        trial, params = facts.trials[facts.best], params_text(facts.best_params)
        at = f" at {trial.levels[-1]:,}" if facts.staged else ""
        best = f"{facts.metric} {score_text(trial.value)} with {params} (trial {trial.index}{at})"
    note = words.order_note(facts)
    unit = f"{facts.unit}s" if facts.staged else "trained"
    spent = f"{seconds_text(cost.wall_seconds)} wall, {seconds_text(cost.seconds_trained)} in objectives"
    groups = words.trial_failures(facts)
    failed = sum(len(group.failures) for group in groups)
    return [
        ("best", best),
        *([("", note)] if note else []),
        *([("stopped", f"by {result.stopped_by}")] if result.stopped_by else []),
        (unit, f"{words.work_text(facts)} ({counted(cost.task_runs, 'task run')})"),
        ("cost", f"{spent}, {seconds_text(cost.seconds_suggesting)} suggesting"),
        *([("failed", counted(failed, "trial"))] if failed else []),
        *_causes(groups),
        *_last(result),
    ]


def _causes(groups: Sequence[FailureGroup]) -> list[tuple[str, str]]:
    """A line for each of the most frequent causes of failures."""
    return [
        ("", f"{len(g.failures):,} × {one_line(g.first.cause, 100)} [{one_line(g.first.params, 80)}]")
        for g in groups[:3]
    ]


def _last(result: Found) -> list[tuple[str, str]]:
    """What has no identity, and where the report is."""
    lines = []
    if result.uncacheable:
        where, why = result.uncacheable[0]
        more = f" and {len(result.uncacheable) - 1:,} more" if len(result.uncacheable) > 1 else ""
        lines.append(("uncached", f"{one_line(where)}: {one_line(why, 100)}{more}"))
    if decided := approved(result.approval):
        lines.append(("asked", decided.replace("`", "")))
    places = [place for place in (result.report_path, result.flow_run_url) if place]
    return lines + ([("report", "  ".join(places))] if places else [])


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


def _rungs(rungs: Sequence[RungFacts]) -> Table:
    """A line for each rung that trials have come to."""
    table = Table(box=None, pad_edge=False)
    for name in ("resource", "trials", "median", "best"):
        table.add_column(Text(name), justify="right", no_wrap=True)
    for rung in rungs:
        if rung.size:
            table.add_row(f"{rung.level:,}", f"{rung.size:,}", score_text(rung.median), score_text(rung.best))
    return table


def _share(part: int, whole: int) -> str:
    return f"{part:,} of {whole:,}"


def _leaderboard(sheet: _Sheet, width: int) -> Table:
    """The leaderboard as a table; parameters share one column where a column each does not fit."""
    table = Table(box=None, pad_edge=False)
    measured, params = sheet.measured, sheet.params
    texts = [{name: _short(row[name]) for name in (*measured, *params)} for row in sheet.rows]
    shown = (*measured, *params)
    natural = sum(2 + max([len(name), *(len(row[name]) for row in texts)]) for name in shown)
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
