"""A search in a process of its own, for tests that take its Prefect API away; also imported by them.

    python outage_program.py PATIENCE STORE

It prints a line of JSON that says what became of the search.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.append(str(Path(__file__).parent))
from learners import Held

RATES = {"rate": np.linspace(0.001, 1, 100_000).tolist()}  # no two brackets draw the same
OPTIONS: dict[str, Any] = {"max_iter": 9, "chunk_size": 30, "random_state": 0}


def rows() -> tuple[np.ndarray, np.ndarray]:
    """The data."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 3))
    return X, (X[:, 0] + 0.5 * rng.normal(size=120) > 0).astype(int)


def table(result: Any) -> list[Any]:
    """What must not depend on the API: every candidate's calls, score and rank, and the best model."""
    found = result.cv_results
    columns = ("partial_fit_calls", "test_score", "rank_test_score")
    values = zip(found["model_id"], *(found[name].tolist() for name in columns), strict=True)
    best = [float(weight).hex() for weight in result.load_best().weights_]
    return [*([str(name), int(calls), score.hex(), int(rank)] for name, calls, score, rank in values), best]


def run(store: str) -> dict[str, Any]:
    """What became of one search, on a cluster of threads."""
    from distributed import LocalCluster

    from prefect_tune import hyperband_search
    from prefect_tune.errors import TuneError

    threads = {"n_workers": 1, "threads_per_worker": 2, "processes": False, "dashboard_address": None}
    with LocalCluster(**threads) as cluster:
        place = {"cluster": cluster.scheduler_address, "store": store, "verbose": 0}
        try:
            result = hyperband_search(Held(), RATES, *rows(), **OPTIONS, **place)
        except TuneError as error:
            return {"error": type(error).__name__, "text": str(error)}
    return {"table": table(result), "calls": result.cost.calls}


def main(patience: str, store: str) -> None:
    from prefect_tune.flows import outage

    outage.PATIENCE = float(patience)
    print(json.dumps(run(store)), flush=True)
    os._exit(0)  # without the events and logs that wait for an API


if __name__ == "__main__":
    main(*sys.argv[1:])
