"""The dry run of a search: what it would do, without doing it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prefect_tune.batches import Planner
from prefect_tune.plan import CompiledSearch, SearchPlan, summarise
from prefect_tune.request import build_search, resolve_data, revive
from prefect_tune.search import prepare
from prefect_tune.store import StepStore
from prefect_tune.store.home import default_root


def plan_search(
    estimator: Any,
    space: Any,
    X: Any,
    y: Any = None,
    *,
    n_iter: int | None = None,
    store: str | Path | StepStore | None = None,
    n_workers: int | None = None,
    resources: Mapping[str, Mapping[str, float]] | None = None,
    seed: int = 0,
    **options: Any,
) -> SearchPlan:
    """What `grid_search` (or `randomized_search`, with `n_iter`) would do: steps, known, task runs, seconds.

    Nothing is fitted; the data is ingested, since its content is part of every key.

    Args:
        estimator: a live estimator, or its JSON form.
        space: the grid, or with `n_iter` the distributions.
        X, y: data, references, a path, a column name.
        n_iter: number of candidates to draw; None: the whole grid.
        store: the store to ask; None: the default one.
        n_workers: workers to plan for; None: all cores.
        resources: step name -> Dask resources.
        seed: the search's seed.
        **options: `scoring`, `cv`, `refit`, `error_score`, `return_train_score`, `random_state`,
            `fit_params`.

    Raises:
        UserError: for anything that cannot work.
    """
    opened: Any = store if hasattr(store, "lookup") else StepStore.open(store or default_root())  # type: ignore[arg-type]
    kind = "grid" if n_iter is None else "randomized"
    spaces = {"param_grid": space} if n_iter is None else {"param_distributions": space, "n_iter": n_iter}
    params = revive(options.pop("fit_params", None) or {}, opened)
    search = build_search(kind, {"estimator": estimator, **spaces, **options}, opened)
    X, y = resolve_data(X, y, opened)
    spec = prepare(search, X, y, params=params, store=opened, seed=seed)
    compiled = CompiledSearch(spec, opened)
    planner = Planner(compiled, n_workers or os.cpu_count() or 1, resources)
    return summarise(compiled, len(planner.batches()))
