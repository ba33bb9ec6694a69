"""Part (b): Hyperband against a search that prunes nothing, by passes over the data.

The published experiment (Sievert, Augspurger and Rocklin, 2019): R = 299, eta = 4, six blocks of 8,361 rows,
378 models and 5,721 training calls; the other side trains 19 models to 299 calls each. Published for 200
seeds: 84 % mean accuracy after some 350 passes with pruning, some 900 without. Here the data and the brackets
are the published ones; what is smaller is the number of seeds.
"""

from __future__ import annotations

import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from adaptive_data import circles, perceptron, perceptron_space

WORKERS = 2
CHUNK = 8_361
MAX_ITER = 299
ETA = 4
PASSIVE_MODELS = 19
GOAL = 0.84
CLASSES = [0, 1, 2, 3]


def curve(history: Sequence[dict[str, Any]], blocks: int) -> tuple[np.ndarray, np.ndarray]:
    """(passes, best): after each score, the passes over the data so far and the best score so far.

    A pass is as many training calls as there are blocks, whichever models they go to.
    """
    done: dict[Any, int] = {}
    passes, best, calls, top = [], [], 0, -np.inf
    for record in sorted(history, key=lambda record: record["elapsed_wall_time"]):
        name, now = record["model_id"], record["partial_fit_calls"]
        calls += now - done.get(name, 0)
        done[name] = now
        top = max(top, record["score"])
        passes.append(calls / blocks)
        best.append(top)
    return np.asarray(passes), np.asarray(best)


def mean_curve(curves: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """The mean of the best scores over the seeds, at every whole number of passes that all of them have."""
    first = max(passes[0] for passes, _ in curves)
    grid = np.arange(np.ceil(first), max(passes[-1] for passes, _ in curves) + 1)
    at = [best[np.searchsorted(passes, grid, side="right") - 1] for passes, best in curves]
    return grid, np.mean(at, axis=0)


def passes_to(goal: float, curves: Sequence[tuple[np.ndarray, np.ndarray]]) -> float | None:
    """Passes until the mean best score reaches `goal`; None: never."""
    grid, best = mean_curve(curves)
    reached = np.flatnonzero(best >= goal)
    return float(grid[reached[0]]) if len(reached) else None


def search(kind: str, seed: int, X: Any, y: Any, store: str) -> Any:
    """The result of one search, with an empty store."""
    from prefect_tune import hyperband_search, incremental_search

    common = {
        "max_iter": MAX_ITER,
        "chunk_size": CHUNK,
        "random_state": seed,
        "fit_params": {"classes": CLASSES},
        "store": store,
        "n_workers": WORKERS,
        "name": f"circles-{kind}-{seed}",
        "verbose": 0,
    }
    if kind == "hyperband":
        # With patience there are more scores on the way; without a tolerance none of them stops a model.
        return hyperband_search(
            perceptron(), perceptron_space(), X, y, aggressiveness=ETA, patience=True, tol=None, **common
        )
    return incremental_search(
        perceptron(), perceptron_space(), X, y,
        n_initial_parameters=PASSIVE_MODELS, fits_per_score=6, **common,
    )  # fmt: skip


def test_score(result: Any, X: Any, y: Any) -> float:
    """Accuracy of the best model, as it was trained, on rows that no search has seen."""
    from prefect_tune.model import load_model

    model = result.best_estimator if hasattr(result, "best_estimator") else load_model(result.model)
    return float(model.score(X, y))


def case_b(seeds: int = 3, rows: int = 50_000) -> dict[str, Any]:
    """Both searches for each seed, in turns."""
    X, y, X_test, y_test = circles(rows)
    blocks = -(-len(X) // CHUNK)
    sides: dict[str, dict[str, list]] = {
        kind: {"curves": [], "test": [], "validation": [], "seconds": [], "calls": []}
        for kind in ("hyperband", "passive")
    }
    for seed in range(seeds):
        for kind, side in sides.items():
            store = tempfile.mkdtemp(prefix="bench-")
            start = time.perf_counter()
            try:
                result = search(kind, seed, X, y, store)
                side["seconds"].append(time.perf_counter() - start)
                side["calls"].append(int(result.cost.calls))
                side["validation"].append(float(result.best_score))
                side["test"].append(test_score(result, X_test, y_test))
                side["curves"].append(curve(result.history, blocks))
            finally:
                shutil.rmtree(store, ignore_errors=True)
            print(
                f"  seed {seed}: {kind:9s} {side['seconds'][-1]:7.1f} s, {side['calls'][-1]} calls, "
                f"validation {side['validation'][-1]:.3f}, test {side['test'][-1]:.3f}",
                file=sys.stderr, flush=True,
            )  # fmt: skip
    return {
        "title": f"(b) four circles, max_iter {MAX_ITER}, {seeds} seeds (published: 200)",
        "rows": len(X),
        "passes_to_goal": {kind: passes_to(GOAL, side["curves"]) for kind, side in sides.items()},
        "each_passes_to_goal": {
            kind: [passes_to(GOAL, [one]) for one in side["curves"]] for kind, side in sides.items()
        },
        "passes": {kind: max(float(p[-1]) for p, _ in side["curves"]) for kind, side in sides.items()},
        "test": {kind: side["test"] for kind, side in sides.items()},
        "median_test": {kind: statistics.median(side["test"]) for kind, side in sides.items()},
        "validation": {kind: side["validation"] for kind, side in sides.items()},
        "calls": {kind: side["calls"] for kind, side in sides.items()},
        "seconds": {kind: side["seconds"] for kind, side in sides.items()},
    }


def line_b(found: dict[str, Any]) -> str:
    """The outcome in words."""
    words = []
    for kind in ("hyperband", "passive"):
        passes = found["passes_to_goal"][kind]
        reached = f"after {passes:.0f} passes" if passes is not None else "never"
        words.append(
            f"{kind}: {GOAL:.0%} {reached} of {found['passes'][kind]:.0f}, "
            f"test median {found['median_test'][kind]:.3f} (worst {min(found['test'][kind]):.3f}), "
            f"{statistics.median(found['seconds'][kind]):.0f} s"
        )
    return "; ".join(words)
