"""Calling `prefect-tune` in this process, and searches for it to run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from sklearn.datasets import load_iris

from prefect_tune.flows import cli

ESTIMATOR = {
    "class": "sklearn.pipeline.Pipeline",
    "params": {
        "steps": [
            ["scale", {"class": "sklearn.preprocessing.MinMaxScaler"}],
            ["clf", {"class": "sklearn.neighbors.KNeighborsClassifier", "params": {"weights": "distance"}}],
        ]
    },
}
GRID = {"clf__n_neighbors": [3, 5, 9]}


def asked_of(folder: Path, cluster: str) -> dict[str, Any]:
    """A grid search over three neighbourhoods in JSON, its data and its store in `folder`."""
    load_iris(as_frame=True).frame.to_parquet(folder / "flowers.parquet")
    return {
        "estimator": ESTIMATOR,
        "param_grid": GRID,
        "X": str(folder / "flowers.parquet"),
        "y": "target",
        "cv": 3,
        "store": str(folder / "store"),
        "cluster": cluster,
        "verbose": 0,
    }


def spec_file(folder: Path, asked: dict[str, Any], **more: Any) -> Path:
    """The search as a file."""
    path = folder / "search.yaml"
    path.write_text(yaml.safe_dump({**asked, **more}))
    return path


def call_cli(*arguments: str) -> int:
    """The exit code of `prefect-tune` with these arguments."""
    try:
        cli.main(list(arguments))
    except SystemExit as end:
        return int(end.code or 0)
    return 0
