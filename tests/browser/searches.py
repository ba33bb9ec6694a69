"""A program: small searches, one of each kind of page. It prints their flow runs as one line of JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

from scipy.stats import loguniform
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA
from sklearn.linear_model import SGDClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.svm import SVC

from prefect_tune import grid_search, hyperband_search, tune


def train(config: dict[str, Any]) -> Iterator[dict[str, float]]:
    """Losses of nine epochs; a high learning rate fails."""
    if config["lr"] > 0.5:
        raise ValueError(f"the loss is not finite at lr={config['lr']:.2f}")
    for epoch in range(1, 10):
        yield {"loss": 1 / (1 + epoch * config["lr"]) + config["decay"], "epoch": epoch}


def main(store: str) -> None:
    """Runs the searches with their steps in the folder `store`."""
    X, y = load_iris(return_X_y=True)
    places: dict[str, Any] = {"store": store, "verbose": 0}
    scaled = Pipeline([("scale", StandardScaler()), ("pca", PCA()), ("clf", SVC())])
    grid = {
        "scale": [StandardScaler(), MinMaxScaler()],
        "pca__n_components": [2, 3],
        "clf__C": [-1.0, 0.1, 1.0, 10.0],
    }
    in_threads = {"n_workers": 1, "processes": False, "protocol": "tcp", "dashboard_address": "127.0.0.1:0"}
    found = {
        "grid": grid_search(scaled, grid, X, y, cv=3, name="iris pipeline", n_workers=2, **places),
        "tune": tune(
            train,
            {"lr": loguniform(1e-3, 1), "decay": [0.0, 0.1]},
            schedule="asha",
            max_resource=9,
            n_trials=24,
            name="learning rates",
            n_workers=2,
            **places,
        ),
        # On a cluster that has a dashboard; the local one of prefect-tune has none.
        "hyperband": hyperband_search(
            Pipeline([("scale", StandardScaler()), ("clf", SGDClassifier(random_state=0))]),
            {"clf__alpha": loguniform(1e-5, 1), "clf__penalty": ["l1", "l2"]},
            X,
            y,
            max_iter=9,
            fit_params={"classes": [0, 1, 2]},
            name="iris hyperband",
            cluster={"class": "distributed.LocalCluster", "kwargs": in_threads},
            **places,
        ),
    }
    print(json.dumps({kind: result.flow_run_url.rpartition("/")[2] for kind, result in found.items()}))


if __name__ == "__main__":
    main(sys.argv[1])
