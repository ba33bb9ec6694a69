"""`prefect-tune show`: what a search found, what it cost, what failed; and its report in the browser."""

from __future__ import annotations

import tempfile
import webbrowser
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from rich.markdown import Markdown

from prefect_tune.errors import UserError
from prefect_tune.flows.cli.curves import Curve, curves_of, note_of, sparkline
from prefect_tune.flows.cli.output import Json, say, say_json, table_of
from prefect_tune.flows.cli.page import html_page, sections
from prefect_tune.report.text import counted, seconds_text

if TYPE_CHECKING:
    from prefect_tune.flows.cli.found import FoundRun

_IN_WORDS = ("Failures", "Not cacheable")
"""Sections of a report whose text is shown, not only their tables."""


def show(
    run: str = "latest",
    *,
    limit: int = 10,
    open_: Annotated[bool, Parameter(name="--open", negative="")] = False,
    output: Path | None = None,
    json: Json = False,
) -> None:
    """Show what a search found: its state, leaderboard, learning curves, cost and failures.

    Args:
        run: Id, name or address of its flow run, or latest.
        limit: Rows of the leaderboard, and curves.
        open_: Write the report as one HTML file and open it in the browser.
        output: Write the report to this file: HTML, or Markdown if it ends in .md.
        json: Print JSON instead of tables.
    """
    from prefect_tune.flows.cli.found import find_run

    found = find_run(run)
    written = _written(found, output, open_=open_) if open_ or output is not None else None
    mode = str(found.parameters.get("mode") or ("min" if "objective" in found.parameters else "max"))
    note = note_of(str(found.run.id), found.parameters)
    curves = curves_of(note, mode=mode, limit=limit) if note is not None else []
    facts = _facts(found, limit)
    if json:
        told = {**facts, "curves": [asdict(curve) for curve in curves], "sections": sections(found.report)}
        say_json({**told, "written": str(written) if written else None})
    else:
        _print(found, facts, curves)
        if written:
            say("", f"The report is at {written}")
    if open_ and written is not None:
        webbrowser.open(written.resolve().as_uri())


def _facts(found: FoundRun, limit: int) -> dict[str, Any]:
    run = found.run
    return {
        "run": str(run.id),
        "name": run.name,
        "state": found.state,
        "message": run.state.message if run.state else None,
        "started": str(run.start_time) if run.start_time else None,
        "seconds": run.total_run_time.total_seconds(),
        "url": found.url,
        "outcome": found.outcome,
        "best": found.leaderboard[0] if found.leaderboard else None,
        "leaderboard": found.leaderboard[:limit],
        "cost": _cost(found),
        "progress": found.progress,
    }


def _cost(found: FoundRun) -> dict[str, Any]:
    """Counts and seconds from the API, and the report's own numbers of work and reuse."""
    ended = [task for task in found.tasks if task.state is not None and task.state.is_final()]
    failed = [task for task in ended if task.state is not None and not task.state.is_completed()]
    numbers: dict[str, str] = {}
    for title, part in sections(found.report).items():
        if title in ("Cost", "Reuse"):
            numbers |= {row[0]: row[1] for row in part["rows"] if len(row) == 2}
    return {
        "task_runs": len(found.tasks),
        "task_runs_failed": len(failed),
        "task_seconds": round(sum(task.total_run_time.total_seconds() for task in found.tasks), 3),
        **numbers,
    }


def _print(found: FoundRun, facts: Mapping[str, Any], curves: list[Curve]) -> None:
    lasted = seconds_text(facts["seconds"])
    say(f"{facts['name']}: {facts['state']}, {lasted}", style="bold")
    if facts["message"]:
        say(facts["message"])
    if facts["outcome"]:
        say(facts["outcome"].replace("`", ""))
    elif facts["progress"]:
        say(facts["progress"].replace("`", ""))
    if facts["url"]:
        say(facts["url"])
    if rows := facts["leaderboard"]:
        numbers = [name for name, value in rows[0].items() if isinstance(value, (int, float))]
        say("", table_of(rows, right=numbers))
    if curves:
        _print_curves(curves)
    cost = facts["cost"]
    runs = f"{counted(cost['task_runs'], 'task run')}, {seconds_text(cost['task_seconds'])} in them"
    say("", f"cost: {runs}" + (f", {cost['task_runs_failed']:,} failed" if cost["task_runs_failed"] else ""))
    for title, part in sections(found.report).items():
        # The captions of pictures say nothing without them.
        if title == "Leaderboard" or not (part["rows"] or title in _IN_WORDS):
            continue
        say("", title)
        if part["rows"]:
            say(table_of([dict(zip(part["columns"], row, strict=False)) for row in part["rows"]]))
        if title in _IN_WORDS:
            say(Markdown(part["text"]))


def _print_curves(curves: list[Curve]) -> None:
    scores = [score for curve in curves for score in curve.scores if score == score]
    low, high = min(scores, default=0.0), max(scores, default=1.0)
    rows = [
        {
            "scores": sparkline(curve.scores, low, high),
            "from": curve.scores[0],
            "to": curve.scores[-1],
            "at": f"{curve.levels[0]}–{curve.levels[-1]}",
            "parameters": curve.params,
        }
        for curve in curves
    ]
    say("", f"learning curves, ▁ is {low:.4g} and █ is {high:.4g}", table_of(rows, right=("from", "to")))


def _written(found: FoundRun, output: Path | None, *, open_: bool) -> Path:
    """The file that the report was written to.

    Raises:
        UserError: there is no report, or the file cannot be written.
    """
    if not found.report:
        raise UserError(
            f"show: the run {found.run.name!r} ({found.state}) has no report; one is written when its first "
            "candidates are through."
        )
    if output is None:
        folder = Path(tempfile.mkdtemp(prefix="prefect-tune-"))
        output = folder / "report.html"
    plain = output.suffix == ".md" and not open_
    text = found.report if plain else html_page(found.report, found.run.name)
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"output: {output} cannot be written ({error.strerror}).") from error
    return output
