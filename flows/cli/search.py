"""`prefect-tune plan` and `prefect-tune run`: the dry run of a search in a file, and the search itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from prefect_tune.errors import TuneError
from prefect_tune.flows.cli.output import Json, say, say_json
from prefect_tune.results import SearchResult

if TYPE_CHECKING:
    from prefect_tune.flows.cli.spec import Asked


def plan(spec: Path, *, json: Json = False) -> None:
    """Show what a search would do, without doing it.

    Args:
        spec: YAML or JSON file with the search's parameters, or search-spec/NAME for a saved one.
        json: Print JSON instead of a table.
    """
    from prefect_tune.flows.cli.planning import planned
    from prefect_tune.flows.cli.spec import asked_for

    asked = asked_for(spec)
    with asked.judged():
        facts = planned(asked.kind, asked.parameters)
    say_json(facts) if json else _table(facts)


def _table(facts: dict[str, Any]) -> None:
    table = Table(show_header=False, box=None)
    for name, value in facts.items():
        for i, line in enumerate(value if isinstance(value, list) else [value]):
            shown = ", ".join(f"{n} {v}" for n, v in line.items()) if isinstance(line, dict) else str(line)
            table.add_row("" if i else name.replace("_", " "), "not measured yet" if line is None else shown)
    say(table)


def run(spec: Path, *, json: Json = False) -> None:
    """Run a search and show its result.

    Args:
        spec: YAML or JSON file with the search's parameters, or search-spec/NAME for a saved one.
        json: Print the result as JSON instead of tables.
    """
    from prefect_tune.flows.cli.spec import asked_for

    result = _run(asked_for(spec), {"verbose": 0} if json else {})
    if json:
        say_json(_result(result))


def _run(asked: Asked, instead: dict[str, Any]) -> Any:
    """What the search found; a saved one runs below the flow run of its name."""
    from prefect_tune.flows.cli.spec import flow_of
    from prefect_tune.flows.saved_search import search_from_spec

    if asked.saved is None:
        return flow_of(asked.kind)(**{"verbose": 2, **asked.parameters, **instead})
    return search_from_spec(asked.saved, {"verbose": asked.parameters.get("verbose", 2), **instead})


def _result(result: Any) -> dict[str, Any]:
    """What a search found, as JSON."""
    from prefect_tune.report.pages import rows

    best = _best(result)
    return {
        "name": result.name,
        **best,
        "leaderboard": rows(result),
        "report": result.report_path,
        "run": result.flow_run_url.rstrip("/").rpartition("/")[2],
        "url": result.flow_run_url,
    }


def _best(result: Any) -> dict[str, Any]:
    if isinstance(result, SearchResult):
        score, params = result.best_score, result.best_params
    else:
        try:
            best = result.best()
        except TuneError:  # no trial has a value
            return {"best_score": None, "best_params": None}
        score, params = best.value, best.config
    return {"best_score": score, "best_params": dict(params) if params is not None else None}
