"""The search flows without live objects: JSON parameters, deployments, the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from cli_here import ESTIMATOR, GRID
from distributed.deploy.spec import SpecCluster
from prefect.client.orchestration import get_client
from prefect.deployments.runner import RunnerDeployment
from prefect.flows import load_flow_from_entrypoint
from prefect.utilities.callables import parameter_schema
from seen import see_run
from sklearn import model_selection
from sklearn.datasets import load_iris
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler

from prefect_tune import grid_search

pytestmark = pytest.mark.usefixtures("prefect_api")


@pytest.fixture(scope="module")
def flowers(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """The data, with the target among the columns."""
    return load_iris(as_frame=True).frame


@pytest.fixture(scope="module")
def expected(flowers: pd.DataFrame) -> Any:
    """scikit-learn's own search, from live objects."""
    pipe = Pipeline([("scale", MinMaxScaler()), ("clf", KNeighborsClassifier(weights="distance"))])
    return model_selection.GridSearchCV(pipe, GRID, cv=3).fit(
        flowers.drop(columns="target"), flowers["target"]
    )


@pytest.fixture
def asked(flowers: pd.DataFrame, dask_threads: SpecCluster, tmp_path: Path) -> dict[str, Any]:
    """A search in JSON."""
    flowers.to_parquet(tmp_path / "flowers.parquet")
    return {
        "estimator": ESTIMATOR,
        "param_grid": GRID,
        "X": str(tmp_path / "flowers.parquet"),
        "y": "target",
        "cv": 3,
        "store": str(tmp_path / "store"),
        "cluster": dask_threads.scheduler_address,
        "verbose": 0,
    }


def test_json_parameters_give_the_same_search(asked: dict, expected: Any) -> None:
    """An estimator by class name, a Parquet file and the name of its target column: scikit-learn's table."""
    result = grid_search(**json.loads(json.dumps(asked)))
    assert list(result.cv_results["mean_test_score"]) == list(expected.cv_results_["mean_test_score"])
    assert list(result.load_best().feature_names_in_) == list(expected.feature_names_in_)


@pytest.mark.parametrize("name", ["grid_search", "agrid_search", "randomized_search", "arandomized_search"])
def test_flows_can_be_deployed(name: str) -> None:
    """A dotted entrypoint finds the flow, and its parameters have a JSON schema with a help text each."""
    found = load_flow_from_entrypoint(f"prefect_tune.flows.search.{name}", use_placeholder_flow=False)
    assert found.name == ("grid-search" if "grid" in name else "randomized-search")
    schema = json.loads(parameter_schema(found).model_dump_json())
    assert {"estimator", "X"} <= set(schema["required"])
    assert {"store", "seed", "n_workers", "verbose"} <= set(schema["properties"])
    silent = [key for key, value in schema["properties"].items() if not value.get("description")]
    assert silent == []


def test_deployment_run(asked: dict, expected: Any, prefect_api: str) -> None:
    """A deployed search runs in a process of its own, as a worker would start it, from JSON parameters."""
    deployment = RunnerDeployment.from_entrypoint("prefect_tune.flows.search.grid_search", name="nightly")
    with get_client(sync_client=True) as client:
        run = client.create_flow_run_from_deployment(
            deployment.apply(), parameters={**asked, "name": "nightly"}
        )
    environment = {**os.environ, "PREFECT__FLOW_RUN_ID": str(run.id), "PREFECT_API_URL": prefect_api}
    ended = subprocess.run(
        [sys.executable, "-m", "prefect.engine", str(run.id)],
        env=environment, capture_output=True, text=True, timeout=90, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
    seen = see_run(run.id, lambda tasks: any(task.name == "best · all rows" for task in tasks))
    assert seen.run.state_name == "Completed"
    best = json.loads(seen.artifacts["nightly-leaderboard"])[0]
    assert str(expected.best_params_["clf__n_neighbors"]) in map(str, best.values())


@pytest.mark.parametrize("name", ["tune", "atune"])
def test_tune_can_be_deployed(name: str) -> None:
    """`tune` by its dotted name, every parameter with a help text."""
    found = load_flow_from_entrypoint(f"prefect_tune.flows.tuning.{name}", use_placeholder_flow=False)
    schema = json.loads(parameter_schema(found).model_dump_json())
    assert set(schema["required"]) == {"objective", "space"}
    assert [key for key, value in schema["properties"].items() if not value.get("description")] == []
