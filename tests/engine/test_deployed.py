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
import yaml
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

from prefect_tune import grid_search, randomized_search
from prefect_tune.flows import cli

pytestmark = pytest.mark.usefixtures("prefect_api")

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


def spec_file(folder: Path, asked: dict[str, Any], **more: Any) -> Path:
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


def test_cli_plans_and_runs(asked: dict, tmp_path: Path, capsys: Any) -> None:
    """`plan` counts the steps without running any; after `run` all are known."""
    path = str(spec_file(tmp_path, asked))
    assert call_cli("plan", path, "--as-json") == 0
    plan = json.loads(capsys.readouterr().out)
    steps = 3 * (2 + 3 * 2)  # folds × (scaler on both sides, three fits with their scores)
    facts = {"candidates": 3, "folds": 3, "distinct_steps": steps, "known": 0, "to_run": steps}
    assert {name: plan[name] for name in facts} == facts
    assert plan["seconds_of_work"] is None
    assert call_cli("run", path) == 0
    capsys.readouterr()
    assert call_cli("plan", path, "--as-json") == 0
    plan = json.loads(capsys.readouterr().out)
    assert (plan["known"], plan["to_run"]) == (steps, 0)
    assert call_cli("plan", path) == 0
    assert str(steps) in capsys.readouterr().out


def test_cli_runs_a_randomized_search(asked: dict, tmp_path: Path, capsys: Any) -> None:
    """`param_distributions` in the file makes it a randomized search, with its table at the end."""
    asked = {name: value for name, value in asked.items() if name != "param_grid"}
    path = spec_file(tmp_path, asked, param_distributions=GRID, n_iter=2, random_state=0, verbose=2)
    assert call_cli("plan", str(path), "--as-json") == 0
    assert json.loads(capsys.readouterr().out)["candidates"] == 2
    assert call_cli("run", str(path)) == 0
    shown = capsys.readouterr()
    assert "2 candidates" in shown.out + shown.err


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"param_grid": {"clf__depht": [1]}}, "depht"),
        ({"X": "nowhere.parquet"}, "nowhere.parquet"),
        ({"y": "colour"}, "colour"),
        ({"estimator": {"class": "sklearn.svm.SVX"}}, "SVX"),
        ({"estimator": {"class": "no_such_package.Model"}}, "no_such_package"),
        ({"param_distributions": {}}, "param_grid"),
        ({"cv_folds": 3}, "cv_folds"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("command", ["plan", "run"])
def test_cli_reports_a_mistake(
    command: str, change: dict, says: str, asked: dict, tmp_path: Path, capsys: Any
) -> None:
    """A user's mistake ends with exit code 2 and one line that names it, without a traceback."""
    path = spec_file(tmp_path, asked, **change)
    assert call_cli(command, str(path)) == 2
    shown = capsys.readouterr().err
    assert says in shown
    assert "Traceback" not in shown


def test_cli_needs_a_file_that_can_be_read(tmp_path: Path, capsys: Any) -> None:
    """A spec that is not there, or is no YAML, is the user's mistake as well."""
    broken = tmp_path / "broken.yaml"
    broken.write_text("estimator: [")
    assert call_cli("plan", str(tmp_path / "none.yaml")) == 2
    assert "none.yaml" in capsys.readouterr().err
    assert call_cli("run", str(broken)) == 2
    assert "YAML" in capsys.readouterr().err


def test_console_script(asked: dict, tmp_path: Path) -> None:
    """The installed command does what the module does."""
    script = Path(sys.executable).with_name("prefect-tune")
    path = spec_file(tmp_path, asked)
    ended = subprocess.run([script, "plan", path, "--as-json"], capture_output=True, text=True, check=True)
    assert json.loads(ended.stdout)["candidates"] == 3
    assert randomized_search.name == "randomized-search"


def tuned(asked: dict[str, Any]) -> dict[str, Any]:
    """A search over an objective in JSON, in the same place."""
    here = {name: asked[name] for name in ("store", "cluster", "verbose")}
    space = {"x": {"uniform": [0.0, 1.0]}, "y": {"uniform": [0.0, 1.0]}}
    search = {"objective": "objectives:epochs", "space": space, "n_trials": 4, "sampler": "random"}
    return {**search, "schedule": "asha", "max_resource": 9, **here}


@pytest.mark.parametrize("name", ["tune", "atune"])
def test_tune_can_be_deployed(name: str) -> None:
    """`tune` by its dotted name, every parameter with a help text."""
    found = load_flow_from_entrypoint(f"prefect_tune.flows.tuning.{name}", use_placeholder_flow=False)
    schema = json.loads(parameter_schema(found).model_dump_json())
    assert set(schema["required"]) == {"objective", "space"}
    assert [key for key, value in schema["properties"].items() if not value.get("description")] == []


def test_cli_plans_and_runs_a_search_over_an_objective(asked: dict, tmp_path: Path, capsys: Any) -> None:
    """`plan` says what is to be started and what comes first; after `run` nothing is left."""
    path = tmp_path / "tune.yaml"
    path.write_text(yaml.safe_dump(tuned(asked)))
    assert call_cli("plan", str(path), "--as-json") == 0
    plan = json.loads(capsys.readouterr().out)
    assert (plan["trials_to_start"], plan["trials_so_far"], plan["units_at_most"]) == (4, 0, 36)
    assert plan["next"][0] == {"x": 0.5, "y": 0.5}
    assert call_cli("run", str(path)) == 0
    capsys.readouterr()
    assert call_cli("plan", str(path), "--as-json") == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["trials_to_start"] == 0
    assert sum(plan["trials_so_far"][0].values()) == 4
    assert plan["units_trained"] > 4
    path.write_text(yaml.safe_dump({**tuned(asked), "sched": "asha"}))
    assert call_cli("plan", str(path)) == 2
    assert "Did you mean 'schedule'" in capsys.readouterr().err
