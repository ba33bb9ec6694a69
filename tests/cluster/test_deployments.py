"""Deployed searches under a served API and a process worker: scheduled, triggered, retried, brought back."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
import pytest
import yaml
from prefect.client.schemas.objects import FlowRun
from prefect.states import Crashed

from prefect_tune import grid_search, hyperband_search, tune
from prefect_tune.tasks.api import api_settings
from prefect_tune.tasks.cluster import close_default_clusters, open_cluster

sys.path.append(str(Path(__file__).parent))
from counted import lines
from deployed import broken
from served import POOL, Served

# On a busy machine every process takes its time, and the first test that needs them all waits for them.
pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

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
                         "schedule": "fifo", "max_resource": 9}),
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
            entry["schedules"] = [{"interval": 10, "active": False}]
        else:
            entry["parameters"].update(prefix_rows=60, max_iter=9)
    limit = {"limit": 1, "collision_strategy": "ENQUEUE"}
    ours = [
        {"name": name, "entrypoint": entrypoint, "work_pool": {"name": POOL}, "concurrency_limit": limit,
         "parameters": parameters_of(name, folder, cluster)}
        for name, (entrypoint, *_) in own(folder).items()
    ]  # fmt: skip
    ours.append({**ours[0], "name": "nobody-works-here", "work_pool": {"name": "idle"}})
    document = {"name": found["name"], "deployments": [*kept, *ours]}
    (folder / "prefect.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")


@pytest.fixture(scope="module")
def served(
    tmp_path_factory: pytest.TempPathFactory, prefect_home: Callable[[Path], Path]
) -> Iterator[Served]:
    """A server, a worker, and the deployments; a cluster of two processes does the work of all searches."""
    served = Served(tmp_path_factory.mktemp("served"))
    try:
        write_data(served.folder)
        prefect_home(served.folder / "home")
        served.start()
        with open_cluster(n_workers=2, api_url=served.url) as lease:
            write_deployments(served.folder, lease.address)
            served.cluster = lease.address
            served.ready()
            served.work()
            served.until(served.has_pool, 60)
            served.add_pool("idle")
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
    served.schedule("nightly", active=True)

    def completed() -> list[FlowRun] | None:
        found = [run for run in served.runs("nightly") if run.state_name == "Completed"]
        return found if len(found) >= 2 else None

    first, second, *_ = served.until(completed, 120)
    served.schedule("nightly", active=False)
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


@pytest.fixture(scope="module")
def retried(served: Served) -> dict[str, tuple[FlowRun, int]]:
    """Name -> a search that has failed and was told to run again, and how often it had trained by then."""
    names = ("failing-grid", "failing-brackets")
    for name in names:
        broken(served.folder / name).touch()
    runs = {name: served.begin(name) for name in names}
    done = {}
    for name, run in runs.items():
        served.ended(run, "Failed")
        done[name] = len(lines(served.folder / name))
        broken(served.folder / name).unlink()
        served.command("flow-run", "retry", str(run.id))
    return {name: (run, done[name]) for name, run in runs.items()}


@pytest.mark.parametrize("name", ["failing-grid", "failing-brackets"])
def test_retry_runs_only_what_is_missing(
    name: str, served: Served, retried: dict[str, tuple[FlowRun, int]]
) -> None:
    """`prefect flow-run retry` of a failed search: the same run, and nothing is trained that had been."""
    (begun, done), log = retried[name], served.folder / name
    run = served.ended(begun, "Completed")
    assert run.run_count == 2
    assert 0 < done < len(lines(log))
    if name == "failing-grid":
        assert len(lines(log)) == 5 * 3 + 1  # every candidate on every fold, and the refit
    else:
        # A round is kept when it ends, and the fifth call fails: four calls of each of the three candidates
        # that go to nine in one round, and the fourth of each of the two that go on from three.
        assert repeated(log) <= 3 * 4 + 2 * 1
    assert leaderboard(served, name, run.id) == undisturbed(served, name)


# -- crashes ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def brought_back(served: Served) -> dict[str, FlowRun]:
    """Two searches that were killed, by name, and whose runs are complete all the same.

    The one loses its process. The other loses the host: its process, and before that the worker, so that
    nobody is left to report it but its silence.
    """
    served.command(AUTOMATIONS, "--lost-after", "20", "--wait", "30")
    lost = served.begin("killed-worker")
    served.until(lambda: len(lines(served.folder / "killed-worker")) > 20, 60)
    os.killpg(served.worker.pid, signal.SIGKILL)
    served.kill(lost)
    served.work()
    served.ended(lost, "Crashed", 60)
    # Others are heard of every 30 s; where they are slow they should not be missed.
    served.command(AUTOMATIONS, "--lost-after", LONG, "--wait", "30")
    killed = served.begin("killed-flow")
    served.until(lambda: len(lines(served.folder / "killed-flow")) > 12, 90)
    served.kill(killed)
    runs = {"killed-worker": lost, "killed-flow": killed}
    return {name: served.ended(run, "Completed", 150) for name, run in runs.items()}


@pytest.mark.recovery
@pytest.mark.parametrize(
    ("name", "why"),
    [("killed-flow", "exited with status code: -9"), ("killed-worker", "No heartbeat for 20 s.")],
)
def test_killed_search_comes_back(
    name: str, why: str, served: Served, brought_back: dict[str, FlowRun]
) -> None:
    """Nobody touches it: it crashes once, is scheduled again, and ends with the table of a quiet run."""
    run = brought_back[name]
    states = served.states(run)
    crash, again = (next(s for s in states if s.name == name) for name in ("Crashed", "AwaitingRetry"))
    assert why in crash.message
    assert crash.timestamp < again.timestamp
    assert run.run_count == 2
    assert repeated(served.folder / name) <= 2 * 9  # what the two workers were at
    assert leaderboard(served, name, run.id) == undisturbed(served, name)


@pytest.mark.recovery
def test_search_that_crashes_too_often_is_given_up(served: Served) -> None:
    """With one second chance, the first crash brings a run back, and the next is a failure."""
    served.command(AUTOMATIONS, "--lost-after", LONG, "--wait", "10", "--times", "1")
    run = served.begin("nobody-works-here")
    for following in ("AwaitingRetry", "Failed"):
        with served.client() as client:
            client.set_flow_run_state(run.id, Crashed())
        served.ended(run, following, 60)
    assert "Crashed 2 times" in served.states(run)[-1].message


def test_automations_are_put_there_once(served: Served) -> None:
    """Run again the script changes nothing, with other arguments what they say; --remove removes all."""

    def done(*arguments: str) -> list[str]:
        return [one["action"] for one in json.loads(served.command(AUTOMATIONS, "--json", *arguments))]

    same = ("--lost-after", LONG, "--wait", "15")
    assert set(done(*same)) <= {"created", "updated", "unchanged"}
    assert done(*same) == ["unchanged"] * 3
    assert done(*same, "--times", "1") == ["unchanged", "unchanged", "updated"]
    assert done("--remove") == ["removed"] * 3
    assert done("--remove") == []
