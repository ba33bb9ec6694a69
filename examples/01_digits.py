"""A grid search over a real pipeline, twice: the second, wider one runs only what is new.

Nothing else needs to be started: a temporary Prefect API and a local Dask cluster come up with the search.

    python examples/01_digits.py
"""

from __future__ import annotations

from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from prefect_tune import grid_search

X, y = load_digits(return_X_y=True)
pipeline = Pipeline([("scale", StandardScaler()), ("pca", PCA()), ("clf", SVC())])


def grid(components: list[int]) -> list[dict]:
    """Two classifiers, each with its own parameters, behind the same preparation."""
    return [
        {"pca__n_components": components, "clf": [SVC()], "clf__C": [0.1, 1.0, 10.0]},
        {"pca__n_components": components, "clf": [LogisticRegression(max_iter=200)], "clf__C": [0.1, 1.0]},
    ]


print("First search: 3 preparations × 5 classifiers, 5 folds.", flush=True)
first = grid_search(pipeline, grid([10, 20, 40]), X, y, cv=5, name="digits", verbose=2)

print("\nThe same question with one more preparation: only what is new runs.", flush=True)
wider = grid_search(pipeline, grid([10, 20, 30, 40]), X, y, cv=5, name="digits-wider", verbose=2)

print(
    f"\nsteps run: {first.cost.run} the first time, {wider.cost.run} the second; "
    f"{wider.cost.known} of {wider.cost.distinct} were known.\n"
    f"best: {dict(wider.best_params)} with accuracy {wider.best_score:.4f}\n"
    f"report: {wider.report_path}"
)
