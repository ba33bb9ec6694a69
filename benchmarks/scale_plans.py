"""Part (a): what a plan costs, before anything runs."""

from __future__ import annotations

import tempfile
import time
from typing import Any


def grid(candidates: int) -> dict[str, Any]:
    """A pipeline of four steps on five folds: fifty prefixes, however many candidates share them."""
    import numpy as np
    from sklearn.decomposition import PCA
    from sklearn.feature_selection import SelectKBest
    from sklearn.linear_model import Ridge
    from sklearn.model_selection import GridSearchCV, KFold
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler

    from prefect_tune.batches import Planner
    from prefect_tune.plan import CompiledSearch, summarise
    from prefect_tune.search import prepare
    from prefect_tune.store import StepStore

    X = np.random.default_rng(0).normal(size=(100, 40))
    steps = [("scale", StandardScaler()), ("select", SelectKBest()), ("pca", PCA()), ("model", Ridge())]
    space = {
        "scale__with_mean": [True, False],
        "select__k": [10, 15, 20, 25, 30],
        "pca__n_components": [1, 2, 3, 4, 5],
        "model__alpha": [float(alpha) for alpha in np.linspace(0.1, 10, max(1, candidates // 50))],
    }
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        store = StepStore.open(folder)
        start = time.perf_counter()
        search = GridSearchCV(Pipeline(steps), space, cv=KFold(5))
        spec = prepare(search, X, X[:, 0], store=store)
        compile_start = time.perf_counter()
        compiled = CompiledSearch(spec, store)
        batches = Planner(compiled, 2).batches()
        end = time.perf_counter()
        plan = summarise(compiled, len(batches))
    return {
        "prepare_seconds": round(compile_start - start, 4),
        "plan_seconds": round(end - compile_start, 4),
        "steps": plan.uses,
        "distinct": plan.distinct,
        "task_runs": plan.task_runs,
    }


def hyperband(max_iter: int) -> dict[str, Any]:
    """All brackets of Hyperband, and the counts that they plan."""
    from prefect_tune.schedules import Halving, hyperband

    brackets = hyperband(max_iter)
    plans = [Halving(bracket).plan() for bracket in brackets]
    return {
        "brackets": len(brackets),
        "models": sum(plan.n_models for plan in plans),
        "calls": sum(plan.partial_fit_calls for plan in plans),
    }
