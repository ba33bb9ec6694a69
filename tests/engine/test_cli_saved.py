"""`plan` and `run` of a search whose store, data, cluster or the search itself are saved blocks."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from cli_here import ESTIMATOR, GRID, asked_of, call_cli, spec_file
from distributed.deploy.spec import SpecCluster

from prefect_tune.blocks import DaskCluster, ParquetData, SearchSpec, StepStore, WorkerGroup

pytestmark = pytest.mark.usefixtures("prefect_api")
STEPS = 3 * (2 + 3 * 2)  # folds × (scaler on both sides, three fits with their scores)


@pytest.fixture
def asked(dask_threads: SpecCluster, tmp_path: Path) -> dict[str, Any]:
    """A search in JSON whose store, data and cluster are blocks called `shelf`, saved on the server."""
    plain = asked_of(tmp_path, dask_threads.scheduler_address)
    blocks = {
        "store": StepStore(root=plain["store"], size_budget="1 kB"),
        "X": ParquetData(path=plain["X"], target="target"),
        "cluster": DaskCluster(kind="address", address=plain["cluster"]),
    }
    for block in blocks.values():
        block.save("shelf", overwrite=True)
    named = {name: f"{block.get_block_type_slug()}/shelf" for name, block in blocks.items()}
    return {name: value for name, value in {**plain, **named}.items() if name != "y"}


def planned(capsys: Any, spec: object) -> dict[str, Any]:
    """What `plan` says, as JSON."""
    capsys.readouterr()
    assert call_cli("plan", str(spec), "--json") == 0
    return json.loads(capsys.readouterr().out)


def test_plan_asks_the_saved_store_about_the_saved_data(
    asked: dict, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a run left in the saved store is known to the plan; no folder of the block's name appears."""
    monkeypatch.chdir(tmp_path)
    path = spec_file(tmp_path, asked)
    before = planned(capsys, path)
    assert (before["distinct_steps"], before["known"], before["to_run"]) == (STEPS, 0, STEPS)
    assert call_cli("run", str(path)) == 0
    after = planned(capsys, path)
    assert (after["known"], after["to_run"]) == (STEPS, 0)
    assert after["task_runs"] == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["flowers.parquet", "search.yaml", "store"]


def test_plan_removes_nothing(asked: dict, tmp_path: Path, capsys: Any) -> None:
    """A run keeps the saved store in its budget; a plan leaves what it finds, however old."""
    path = spec_file(tmp_path, asked)
    planned(capsys, path)  # brings the data into the store
    files = [file for file in (tmp_path / "store" / "cas").rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) > 1000
    for file in (tmp_path / "store").rglob("*"):
        os.utime(file, (1e9, 1e9))
    planned(capsys, path)
    assert all(file.exists() for file in files)


def test_a_saved_search_is_planned_and_run(asked: dict, tmp_path: Path, capsys: Any) -> None:
    """`search-spec/NAME` takes the place of the file; another run of it, or its file, finds all known."""
    SearchSpec(method="grid", parameters=asked).save("shelf", overwrite=True)
    assert planned(capsys, "search-spec/shelf")["to_run"] == STEPS
    assert call_cli("run", "search-spec/shelf", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["best_params"]["clf__n_neighbors"] in GRID["clf__n_neighbors"]
    assert planned(capsys, "search-spec/shelf")["to_run"] == 0
    assert planned(capsys, spec_file(tmp_path, asked))["to_run"] == 0


def test_a_saved_search_names_allowed_code_only(asked: dict, tmp_path: Path, capsys: Any) -> None:
    """What a block names is judged as in a deployment; the owner of a file may name any class."""
    mine = {**asked, "estimator": {"class": "counting.CountingScaler"}, "param_grid": {}}
    SearchSpec(method="grid", parameters=mine).save("mine", overwrite=True)
    for command in ("plan", "run"):
        assert call_cli(command, "search-spec/mine") == 2
        assert "PREFECT_INTEGRATIONS_TUNE_ALLOWED_MODULES" in capsys.readouterr().err


@pytest.mark.parametrize("method", ["hyperband", "tune"])
def test_plan_of_other_searches_takes_saved_places(method: str, asked: dict, capsys: Any) -> None:
    """A search in rounds and one over an objective are planned from blocks as well."""
    places = {name: asked[name] for name in ("store", "cluster")}
    rounds = {"estimator": {"class": "sklearn.linear_model.SGDClassifier"}, "X": asked["X"], "max_iter": 9}
    space = {"alpha": [rate / 1000 for rate in range(1, 41)]}
    if method == "hyperband":
        parameters = {**rounds, **places, "parameters": space}
    else:
        parameters = {**places, "objective": ESTIMATOR, "space": {"clf__n_neighbors": {"choice": [3, 5]}},
                      "X": asked["X"], "cv": 3}  # fmt: skip
    SearchSpec(method=method, parameters=parameters).save("other", overwrite=True)
    facts = planned(capsys, "search-spec/other")
    assert facts["n_models"] > 3 if method == "hyperband" else facts["trials_to_start"] == 2


def test_a_halving_search_in_a_file(asked: dict, tmp_path: Path, capsys: Any) -> None:
    """`search: halving_grid` beside `param_grid` is successive halving; its iterations are planned."""
    path = spec_file(tmp_path, asked, search="halving_grid", min_resources=50, factor=3)
    plan = planned(capsys, path)
    assert plan["iterations"] == [{"candidates": 3, "n_samples": 50}, {"candidates": 1, "n_samples": 150}]
    assert plan["first_iteration_to_run"] > 0
    assert call_cli("run", str(path)) == 0
    assert planned(capsys, path)["first_iteration_to_run"] == 0
    assert call_cli("plan", str(spec_file(tmp_path, asked, search="hyperband"))) == 2
    assert "halving_grid" in capsys.readouterr().err


def test_plan_counts_the_workers_of_a_saved_cluster(asked: dict, tmp_path: Path, capsys: Any) -> None:
    """More workers get more task runs; none is started for a plan."""
    runs = {}
    for workers in (1, 64):
        DaskCluster(groups=[WorkerGroup(workers=workers)]).save("wide", overwrite=True)
        runs[workers] = planned(capsys, spec_file(tmp_path, asked, cluster="dask-cluster/wide"))["task_runs"]
    assert runs[1] < runs[64]


def test_a_block_that_is_not_there(asked: dict, tmp_path: Path, capsys: Any) -> None:
    """It is named in one line, with exit code 2, by plan and run alike."""
    missing = {name: asked[name].replace("shelf", "lost") for name in ("store", "X", "cluster")}
    for name in missing:
        (tmp_path / name).mkdir()
    specs = [(spec_file(tmp_path / name, asked, **{name: block}), block) for name, block in missing.items()]
    for spec, block in [*specs, ("search-spec/lost", "search-spec/lost")]:
        for command in ("plan", "run"):
            assert call_cli(command, str(spec)) == 2
            assert block in capsys.readouterr().err
