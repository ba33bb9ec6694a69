"""`prefect-tune plan` and `prefect-tune run`: the dry run of a search in a file, and the search itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.table import Table

from prefect_tune.errors import TuneError
from prefect_tune.flows.cli.output import Json, say, say_json
from prefect_tune.flows.cli.spec import TUNE, flow_of, read_spec
from prefect_tune.plan import SearchPlan
from prefect_tune.races import KINDS
from prefect_tune.results import SearchResult
from prefect_tune.tuning.plan import TunePlan


def plan(spec: Path, *, json: Json = False) -> None:
    """Show what a search would do, without doing it.

    Args:
        spec: YAML or JSON file with the search's parameters.
        json: Print JSON instead of a table.
    """
    facts = _planned(*read_spec(spec))
    say_json(facts) if json else _table(facts)


def _planned(kind: str, asked: dict[str, Any]) -> dict[str, Any]:
    from prefect_tune.dry_run import plan_search

    if kind == TUNE:
        from prefect_tune.flows.tuning.plan import plan_tune

        return _trials(plan_tune(asked.pop("objective"), asked.pop("space"), **asked))
    if kind in KINDS:
        return _brackets(kind, asked)
    space = asked.pop("param_grid", None) or asked.pop("param_distributions")
    n_iter = asked.pop("n_iter", 10) if kind == "randomized" else None
    for name in ("name", "cluster", "worker_resources", "verbose"):
        asked.pop(name, None)
    data = asked.pop("X"), asked.pop("y", None)
    return _facts(plan_search(asked.pop("estimator"), space, *data, n_iter=n_iter, **asked))


def _table(facts: dict[str, Any]) -> None:
    table = Table(show_header=False, box=None)
    for name, value in facts.items():
        for i, line in enumerate(value if isinstance(value, list) else [value]):
            shown = ", ".join(f"{n} {v}" for n, v in line.items()) if isinstance(line, dict) else str(line)
            table.add_row("" if i else name.replace("_", " "), "not measured yet" if line is None else shown)
    say(table)


def _brackets(kind: str, asked: dict[str, Any]) -> dict[str, Any]:
    """What an adaptive search is planned to do; its data is not opened."""
    from prefect_tune.flows.adaptive.ready import drawn_races, revived
    from prefect_tune.flows.places import open_store

    return dict(drawn_races(kind, revived(asked, open_store(asked.get("store")))).metadata)


def _trials(found: TunePlan) -> dict[str, Any]:
    """What a search over an objective is planned to do."""
    facts = {
        "trials_so_far": [dict(found.trials)] if found.trials else 0,
        "trials_to_start": "as many as the budget allows" if found.to_start is None else found.to_start,
        "levels": ", ".join(map(str, found.levels)) or "to the objective's own end",
        "units_trained": found.units_trained,
        "units_expected": found.units_expected,
        "units_at_most": found.units_at_most,
        "seconds_per_unit": found.seconds_per_unit,
        "stopped_by": found.stopped_by,
        "schedule": [dict(found.schedule)],
        "sampler": [dict(found.sampler)],
        "next": [dict(config) for config in found.next],
    }
    return {name: value for name, value in facts.items() if value not in (None, "", [])}


def _facts(found: SearchPlan) -> dict[str, Any]:
    return {
        "candidates": found.candidates,
        "folds": found.folds,
        "steps_one_by_one": found.uses,
        "distinct_steps": found.distinct,
        "known": found.known,
        "to_run": found.to_run,
        "task_runs": found.task_runs,
        "seconds_of_work": None if found.seconds is None else round(found.seconds, 2),
        "seconds_saved": round(found.saved, 2),
    }


def run(spec: Path, *, json: Json = False) -> None:
    """Run a search and show its result.

    Args:
        spec: YAML or JSON file with the search's parameters.
        json: Print the result as JSON instead of tables.
    """
    kind, asked = read_spec(spec)
    result = flow_of(kind)(**{"verbose": 2, **asked, **({"verbose": 0} if json else {})})
    if json:
        say_json(_result(result))


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
