"""Part (d): a real search of cheap candidates, through Prefect's API and a local Dask cluster."""

from __future__ import annotations

import os
import tempfile
import time
from typing import Any

WORKERS = 2


def real(candidates: int) -> dict[str, Any]:
    """A grid of so many ridge regressions on one fold; what the driver's process needs is told."""
    import numpy as np
    import psutil
    from sklearn.linear_model import Ridge
    from sklearn.model_selection import ShuffleSplit

    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder:
        os.environ.setdefault("PREFECT_HOME", f"{folder}/home")
        from prefect_tune import grid_search

        X = np.random.default_rng(0).normal(size=(200, 5))
        space = {"alpha": [float(alpha) for alpha in np.linspace(0.1, 10, candidates)]}
        asked: dict[str, Any] = {
            "cv": ShuffleSplit(1, random_state=0), "n_workers": WORKERS, "verbose": 0, "refit": False,
        }  # fmt: skip
        grid_search(Ridge(), {"alpha": [0.5, 0.7]}, X, X[:, 0], store=f"{folder}/warm", name="warm", **asked)
        before, start = psutil.Process().cpu_times(), time.perf_counter()
        result = grid_search(Ridge(), space, X, X[:, 0], store=f"{folder}/store", name="scale", **asked)
        wall, after = time.perf_counter() - start, psutil.Process().cpu_times()
    used = after.user + after.system - before.user - before.system
    return {
        "seconds": wall,
        "cpu": used,
        "candidates_a_second": round(candidates / wall, 1),
        "driver_cpu_ms_each": round(1e3 * used / candidates, 3),
        "task_runs": result.cost.task_runs,
    }
