"""Deployed searches under a served API and a process worker: scheduled, triggered, retried, brought back."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
import pytest
import yaml
from prefect.client.schemas.objects import FlowRun

from prefect_tune import grid_search, hyperband_search, tune
from prefect_tune.tasks.api import api_settings
from prefect_tune.tasks.cluster import close_default_clusters, open_cluster

sys.path.append(str(Path(__file__).parent))
from counted import lines
from deployed import broken
from served import POOL, Served

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).resolve().parents[2]
AUTOMATIONS = str(ROOT / "deployments" / "automations.py")
LONG = "90"
"""Seconds of silence after which a search has crashed, where it should not matter."""


def own(folder: Path) -> dict[str, tuple[str, Any, dict[str, Any]]]:
    """Name -> (entrypoint, the flow, its parameters) of what is deployed besides the searches of the file."""
    space = {"x": {"uniform": [0.0, 1.0]}, "log": str(folder / "killed-flow"), "pause": 0.1}
    rates = [i / 100 for i in range(1, 100)]
    paced = {"class": "deployed.Unsteady", "params": {"pause": 0.02}}
    rungs = {"parameters": {"rate": rates}, "X": "train", "y": "target", "max_iter": 9, "random_state": 0,
             "validation": ["held-out", "target"], "error_score": "raise"}  # fmt: skip
    return {
        "failing-grid": (
            "prefect_tune.flows.search.grid_search",
            grid_search,
            {
                "estimator": {"class": "deployed.Fragile"},
                "param_grid": {"threshold": [0.0, 0.5, 1.0, 1.5, 2.0]},
                "X": "table.parquet",
                "y": "target",
                "cv": 3,
                "error_score": "raise",
            },
        ),
        "failing-brackets": ("prefect_tune.flows.adaptive.hyperband_search", hyperband_search,
                             {"estimator": paced, **rungs}),
        "killed-flow": ("prefect_tune.flows.tuning.tune", tune,
                        {"objective": "deployed:slowly", "space": space, "n_trials": 8, "sampler": "random",
                         "schedule": {"asha": {"type": "promotion"}}, "max_resource": 9}),
        "killed-worker": ("prefect_tune.flows.adaptive.hyperband_search", hyperband_search,
                          {"estimator": paced, **rungs}),
    }  # fmt: skip


def parameters_of(name: str, folder: Path, cluster: str, store: str = "store") -> dict[str, Any]:
    """The parameters of one of our own deployments, with a log of its own."""
    _, _, asked = own(folder)[name]
    asked = json.loads(json.dumps(asked))
    if "estimator" in asked:
        asked["estimator"].setdefault("params", {})["log"] = str(folder / name)
    return {**asked, "name": name, "cluster": cluster, "store": store, "verbose": 0}


def write_data(folder: Path) -> None:
    """Nothing; the tables of the deployments are there, in two classes."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(240, 3))
    y = (X[:, 0] + 0.5 * rng.normal(size=240) > 0).astype(int)
    frame = pd.DataFrame(X, columns=list("abc")).assign(target=y)
    frame.to_parquet(folder / "table.parquet")
    for name, first, last in (("train", 0, 180), ("events", 0, 180), ("held-out", 180, 240)):
        (folder / name).mkdir()
        for start in range(first, last, 60):
            frame[start : start + 60].to_parquet(folder / name / f"{start:03d}.parquet")


def write_deployments(folder: Path, cluster: str) -> None:
    """Nothing; a copy of the project's file lies in the folder, hasty, and with our own searches in it."""
    found = yaml.safe_load((ROOT / "deployments" / "prefect.yaml").read_text(encoding="utf-8"))
    kept = [entry for entry in found["deployments"] if entry["name"] in ("nightly", "on-new-data")]
    for entry in kept:
        entry["parameters"].update(cluster=cluster, store="store", verbose=0)
        if entry["name"] == "nightly":
            assert entry["schedules"][0]["cron"]
            entry["schedules"] = [{"interval": 10}]
        else:
            entry["parameters"].update(prefix_rows=60, max_iter=9)
    limit = {"limit": 1, "collision_strategy": "ENQUEUE"}
    ours = [
        {"name": name, "entrypoint": entrypoint, "work_pool": {"name": POOL}, "concurrency_limit": limit,
         "parameters": parameters_of(name, folder, cluster)}
        for name, (entrypoint, *_) in own(folder).items()
    ]  # fmt: skip
    document = {"name": found["name"], "deployments": [*kept, *ours]}
    (folder / "prefect.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server, a worker, and the deployments; a cluster of two processes does the work of all searches."""
    served = Served(tmp_path_factory.mktemp("served"))
    try:
        write_data(served.folder)
        served.start()
        with open_cluster(n_workers=2, api_url=served.url) as lease:
            write_deployments(served.folder, lease.address)
            served.cluster = lease.address
            served.ready()
            served.work()
            served.until(served.has_pool, 60)
            served.command("deploy", "--all")
            yield served
            served.close()
        close_default_clusters()
    finally:
        served.close()


def undisturbed(served: Served, name: str) -> Any:
    """The leaderboard of one of our own searches, in a store of its own, when nothing happens to it."""
    _, flow, _ = own(served.folder)[name]
    asked = parameters_of(name, served.folder, served.cluster, f"{name}-again")
    before = os.getcwd()
    os.chdir(served.folder)
    try:
        with api_settings(served.url):
            result = flow(**asked)
    finally:
        os.chdir(before)
    run = UUID(result.flow_run_url.rstrip("/").rpartition("/")[2])
    return leaderboard(served, name, run)


def leaderboard(served: Served, name: str, run: UUID) -> list[dict[str, Any]]:
    """What a search has published as its table, without the time that it took."""
    rows = json.loads(served.artifacts(run)[f"{name}-leaderboard"])
    assert rows
    return [{key: value for key, value in row.items() if "seconds" not in key} for row in rows]


def repeated(log: Path) -> int:
    """How often something was trained that had been trained before."""
    return sum((Counter(lines(log)) - Counter(set(lines(log)))).values())


def run_steps(served: Served, run: FlowRun) -> int:
    """How many steps ran, as the report of a grid search says."""
    report = served.artifacts(run.id)[f"{run.name}-report"]
    return next(int(line.split("|")[2]) for line in report.splitlines() if line.startswith("| run |"))


# -- schedules and events --------------------------------------------------------------------------------


def test_schedule_fires_and_the_next_run_reuses_its_steps(served: Served) -> None:
    """Nobody starts them: the first scheduled run does the steps, the second finds them all."""

    def completed() -> list[FlowRun] | None:
        found = [run for run in served.runs("nightly") if run.state_name == "Completed"]
        return found if len(found) >= 2 else None

    first, second, *_ = served.until(completed, 120)
    served.pause("nightly")
    assert first.auto_scheduled
    assert (run_steps(served, first), run_steps(served, second)) == (5 * (2 + 4 * 2), 0)
    assert leaderboard(served, "nightly", first.id) == leaderboard(served, "nightly", second.id)


def test_event_starts_a_search(served: Served) -> None:
    """An event about the data starts the search once; one about other data does not."""
    for data in ("elsewhere", "events"):
        served.command(
            "event", "emit", "prefect-tune.data.appended", "--resource-id", f"prefect-tune.data.{data}"
        )
    (run,) = served.until(lambda: served.runs("on-new-data"), 30)
    served.ended(run, "Completed")
    assert leaderboard(served, "on-new-data", run.id)
    assert len(served.runs("on-new-data")) == 1


# -- retries ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["failing-grid", "failing-brackets"])
def test_retry_runs_only_what_is_missing(name: str, served: Served) -> None:
    """`prefect flow-run retry` of a failed search: the same run, and nothing is trained that had been."""
    log = served.folder / name
    broken(log).touch()
    run = served.begin(name)
    served.ended(run, "Failed")
    done = len(lines(log))
    assert done > 0
    broken(log).unlink()
    served.command("flow-run", "retry", str(run.id))
    again = served.ended(run, "Completed")
    assert again.run_count == 2
    assert repeated(log) == 0
    assert len(lines(log)) > done
    assert leaderboard(served, name, run.id) == undisturbed(served, name)


# -- crashes ---------------------------------------------------------------------------------------------


def test_killed_flow_comes_back(served: Served) -> None:
    """The worker reports that the process is gone, the automation schedules the run, and it ends as if nothing."""
    served.command(AUTOMATIONS, "--lost-after", LONG)
    log, run = served.folder / "killed-flow", served.begin("killed-flow")
    served.until(lambda: len(lines(log)) > 12, 60)
    served.kill(run)
    again = served.ended(run, "Completed")
    assert again.run_count == 2
    assert [state.name for state in served.states(run)][2:5] == ["Crashed", "AwaitingRetry", "Pending"]
    assert repeated(log) <= 2 * 9  # a stretch on each of two workers
    assert leaderboard(served, "killed-flow", run.id) == undisturbed(served, "killed-flow")


def test_killed_worker_and_flow_come_back(served: Served) -> None:
    """A host is lost, and nobody is left to say so: the heartbeat stays out, and another worker takes the run."""
    served.command(AUTOMATIONS, "--lost-after", "12")
    log, run = served.folder / "killed-worker", served.begin("killed-worker")
    served.until(lambda: len(lines(log)) > 20, 60)
    os.killpg(served.worker.pid, signal.SIGKILL)
    served.kill(run)
    served.ended(run, "AwaitingRetry", 30)
    assert [state.message for state in served.states(run) if state.name == "Crashed"] == [
        "No heartbeat for 12 s."
    ]
    served.command(AUTOMATIONS, "--lost-after", LONG)
    served.work()
    again = served.ended(run, "Completed")
    assert again.run_count == 2
    assert repeated(log) <= 2 * 9
    assert leaderboard(served, "killed-worker", run.id) == undisturbed(served, "killed-worker")
