"""`prefect-tune`: the dry run of a search, and the search itself, from a file.

The file is YAML or JSON and holds the flow's parameters, flat, as a deployment would; `param_distributions`
makes it a randomized search, `param_grid` a grid search. An adaptive search has `parameters`, and says which
it is: `search: hyperband` (or `successive_halving`, `incremental`, `inverse_decay`). A search over any
objective has `objective: module:function` and `space`.

    estimator:
      class: sklearn.svm.SVC
    param_grid: {C: [0.1, 1, 10], gamma: [scale, auto]}
    X: flights.parquet
    y: delayed
"""

from __future__ import annotations

import inspect
import json
import sys
from pathlib import Path
from typing import Any

import yaml
from cyclopts import App
from prefect import Flow
from rich.console import Console
from rich.table import Table

from prefect_tune._version import __version__
from prefect_tune.errors import TuneError, UnknownParameter, UserError
from prefect_tune.plan import SearchPlan
from prefect_tune.races import KINDS
from prefect_tune.tuning.plan import TunePlan

TUNE = "tune"

app = App(name="prefect-tune", help="Hyperparameter search as cached Prefect flows.", version=__version__)


def read_spec(path: Path) -> tuple[str, dict[str, Any]]:
    """(`grid`, `randomized` or the kind of an adaptive search, the parameters) from a YAML or JSON file.

    Raises:
        UserError: a file that cannot be read, or that describes no search.
    """
    try:
        spec = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"spec: {path} cannot be read ({error.strerror}).") from error
    except yaml.YAMLError as error:
        raise UserError(f"spec: {path} is neither YAML nor JSON: {error}") from error
    if isinstance(spec, dict) and "objective" in spec:
        if "space" not in spec:
            raise UserError(f"spec: {path} has an 'objective' and no 'space' to try it on.")
        _check_names(TUNE, spec)
        return TUNE, spec
    spaces = {"param_grid": "grid", "param_distributions": "randomized", "parameters": ""}
    named = [name for name in spaces if isinstance(spec, dict) and name in spec]
    if len(named) != 1 or not {"estimator", "X"} <= set(spec):
        raise UserError(
            f"spec: {path} needs 'estimator', 'X' and one of 'param_grid', 'param_distributions' and "
            "'parameters'."
        )
    kind = spaces[named[0]] or spec.pop("search", None)
    if kind not in ("grid", "randomized", *KINDS):
        raise UserError(
            f"spec: {path} has 'parameters', so 'search' must say which search it is, got {kind!r}: one of "
            f"{', '.join(KINDS)}."
        )
    _check_names(kind, spec)
    return kind, spec


def _flow(kind: str) -> Flow:
    from prefect_tune.flows import adaptive
    from prefect_tune.flows.search import grid_search, randomized_search

    if kind == TUNE:
        from prefect_tune.flows.tuning import tune

        return tune
    if kind in KINDS:
        return getattr(adaptive, f"{kind}_search")
    return grid_search if kind == "grid" else randomized_search


def _check_names(kind: str, spec: dict[str, Any]) -> None:
    known = inspect.signature(_flow(kind).fn).parameters
    for name in spec:
        if name not in known:
            raise UnknownParameter(f"{kind} search", str(name), known)


@app.command
def plan(spec: Path, *, as_json: bool = False) -> None:
    """Show what a search would do, without doing it.

    Args:
        spec: YAML or JSON file with the search's parameters.
        as_json: print JSON instead of a table.
    """
    from prefect_tune.dry_run import plan_search

    kind, asked = read_spec(spec)
    if kind == TUNE:
        from prefect_tune.flows.tuning.plan import plan_tune

        _show(_trials(plan_tune(asked.pop("objective"), asked.pop("space"), **asked)), as_json)
        return
    if kind in KINDS:
        _show(_brackets(kind, asked), as_json)
        return
    space = asked.pop("param_grid", None) or asked.pop("param_distributions")
    n_iter = asked.pop("n_iter", 10) if kind == "randomized" else None
    for name in ("name", "cluster", "worker_resources", "verbose"):
        asked.pop(name, None)
    data = asked.pop("X"), asked.pop("y", None)
    found = plan_search(asked.pop("estimator"), space, *data, n_iter=n_iter, **asked)
    _show(_facts(found), as_json)


def _show(facts: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(facts))
        return
    table = Table(show_header=False, box=None)
    for name, value in facts.items():
        for i, line in enumerate(value if isinstance(value, list) else [value]):
            shown = ", ".join(f"{n} {v}" for n, v in line.items()) if isinstance(line, dict) else str(line)
            table.add_row("" if i else name.replace("_", " "), "not measured yet" if line is None else shown)
    Console().print(table)


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


@app.command
def run(spec: Path) -> None:
    """Run a search and show its result.

    Args:
        spec: YAML or JSON file with the search's parameters.
    """
    kind, asked = read_spec(spec)
    _flow(kind)(**{"verbose": 2, **asked})


def main(arguments: list[str] | None = None) -> None:
    """The console script: 0 on success, 2 for a user's mistake, 1 for anything else."""
    try:
        app(sys.argv[1:] if arguments is None else arguments)
    except UserError as error:
        print(f"prefect-tune: {error}", file=sys.stderr)
        sys.exit(2)
    except TuneError as error:
        print(f"prefect-tune: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
