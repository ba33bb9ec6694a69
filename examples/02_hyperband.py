"""Hyperband over a pipeline on digits, three times: as asked, again, and three times as long.

The second run trains nothing, the third only what is new. Nothing else needs to be started: a temporary
Prefect API and a local Dask cluster come up with the search.

    python examples/02_hyperband.py
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scipy.stats import loguniform
from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from prefect_tune import AdaptiveResult, hyperband_search

X, y = load_digits(return_X_y=True)
pipeline = Pipeline([("scale", StandardScaler()), ("clf", SGDClassifier())])
space = {
    "clf__alpha": loguniform(1e-6, 1e-1),
    "clf__penalty": ["l1", "l2", "elasticnet"],
    "clf__average": [False, True],
}


def search(max_iter: int) -> AdaptiveResult:
    """The search with that many calls at most for a candidate; a call trains on a chunk of 150 rows."""
    result = hyperband_search(
        pipeline,
        space,
        X,
        y,
        max_iter=max_iter,
        chunk_size=150,
        random_state=0,
        fit_params={"classes": list(range(10))},
        name=f"digits-{max_iter}",
    )
    show_brackets(result.metadata_done)
    return result


def show_brackets(metadata: Mapping[str, Any]) -> None:
    """Prints what each bracket did."""
    for bracket in reversed(metadata["brackets"]):
        print(
            f"  bracket {bracket['bracket']}: {bracket['n_models']} candidates, compared after "
            f"{', '.join(map(str, bracket['decisions']))} calls, {bracket['partial_fit_calls']} calls in all"
        )


print("First search: no candidate gets more than 9 calls.", flush=True)
first = search(9)

print("\nThe same search: everything is known.", flush=True)
second = search(9)

print("\nThree times as long: what was trained is not trained again.", flush=True)
longer = search(27)

planned = longer.metadata["partial_fit_calls"]
best = ", ".join(f"{name}={value}" for name, value in (longer.best_params or {}).items())
print(
    f"\ncalls run: {first.cost.calls} the first time, {second.cost.calls} the second "
    f"({second.rounds_found} of {second.rounds_found + second.rounds_run} rounds were known); "
    f"{longer.cost.calls} of {planned} for the longer one\n"
    f"best: {best} with accuracy {longer.best_score:.4f} ({first.best_score:.4f} before)\n"
    f"report: {longer.report_path}"
)
