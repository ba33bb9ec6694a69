"""A search described in a file.

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
from pathlib import Path
from typing import Any

import yaml
from prefect import Flow

from prefect_tune.errors import UnknownParameter, UserError
from prefect_tune.races import KINDS

TUNE = "tune"


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


def flow_of(kind: str) -> Flow:
    """The flow that runs a search of this kind."""
    from prefect_tune.flows import adaptive
    from prefect_tune.flows.search import grid_search, randomized_search

    if kind == TUNE:
        from prefect_tune.flows.tuning import tune

        return tune
    if kind in KINDS:
        return getattr(adaptive, f"{kind}_search")
    return grid_search if kind == "grid" else randomized_search


def _check_names(kind: str, spec: dict[str, Any]) -> None:
    known = inspect.signature(flow_of(kind).fn).parameters
    for name in spec:
        if name not in known:
            raise UnknownParameter(f"{kind} search", str(name), known)
