"""MLflowTracker on a real MLflow with a database of its own: one run for the search, one for each trial."""

from __future__ import annotations

import pickle
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("mlflow", reason="MLflow is not installed: pip install 'prefect-tune[mlflow]'")

from mlflow.tracking import MlflowClient

from prefect_tune import MLflowTracker, tune
from prefect_tune.space import choice, uniform
from prefect_tune.trials import TrialState

sys.path.append(str(Path(__file__).parent))
import objectives
import told
from objectives import MOST

SPACE = {
    "x": uniform(0.0, 1.0),
    "y": uniform(0.0, 1.0),
    "net": choice([{"kind": "mlp", "width": 8}, {"kind": "cnn"}]),
}
STATUS = {TrialState.COMPLETED: "FINISHED", TrialState.STOPPED: "KILLED", TrialState.FAILED: "FAILED"}


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database; making its tables takes seconds, so the tests share it."""
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"


@pytest.fixture
def place(prefect_api: str, dask_threads: Any, tmp_path: Path, monkeypatch: Any) -> dict[str, Any]:
    """Where the searches of a test run; MLflow puts artifacts into the working directory."""
    monkeypatch.chdir(tmp_path)
    return {"cluster": dask_threads.scheduler_address, "store": str(tmp_path / "store"), "verbose": 0}


class Seen:
    """What MLflow has of an experiment."""

    def __init__(self, uri: str, experiment: str) -> None:
        self.client = MlflowClient(tracking_uri=uri)
        found = self.client.get_experiment_by_name(experiment)
        runs = self.client.search_runs([found.experiment_id], max_results=1_000, order_by=["start_time ASC"])
        self.searches = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
        self.parent = self.searches[-1]
        children = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == self.parent.info.run_id]
        self.trials = {int(run.data.tags["prefect_tune.trial"]): run for run in children}
        assert len(self.trials) == len(children)

    def metric(self, run: Any, name: str) -> list[tuple[int, float]]:
        """(step, value) as often as it was logged."""
        return sorted((m.step, m.value) for m in self.client.get_metric_history(run.info.run_id, name))

    def matches(self, result: Any) -> None:
        """Nothing; every trial has its run, with every report once."""
        assert sorted(self.trials) == [trial.index for trial in result]
        for trial in result:
            run = self.trials[trial.index]
            assert run.info.status == STATUS[trial.state]
            assert run.data.tags["prefect_tune.state"] == trial.state.value
            assert run.data.params["x"] == str(trial.config["x"])
            for name in ("loss", "half"):
                reports = [(r.resource, r.metrics[name]) for r in trial.reports if name in r.metrics]
                assert self.metric(run, name) == sorted(reports)


def test_every_trial_is_a_run_within_the_search(place, uri, tmp_path):
    """Parameters by path, metrics by resource, states as status; the best value, tables and state at hand."""
    tracker = MLflowTracker("halving", tracking_uri=uri, tags={"team": "a"})
    schedule = {"asha": {"type": "promotion", "max_resource": MOST}}
    asked = {"n_trials": 9, "sampler": "random", "schedule": schedule, **place}
    result = tune(objectives.epochs, SPACE, name="first", callbacks=tracker, **asked)
    seen = Seen(uri, "halving")
    seen.matches(result)
    assert {t.state for t in result} == {TrialState.COMPLETED, TrialState.STOPPED}  # else it shows little
    for trial in result:
        params = seen.trials[trial.index].data.params
        assert params["net/kind"] == trial.config["net"]["kind"]
        assert params.get("net/width") == ("8" if trial.config["net"]["kind"] == "mlp" else None)
        assert seen.trials[trial.index].info.run_name == trial.id
        assert seen.trials[trial.index].data.tags["team"] == "a"

    best, parent = result.best(), seen.parent
    assert (parent.info.status, parent.info.run_name) == ("FINISHED", "first")
    assert seen.metric(parent, "loss") == [(9, best.value)]
    assert parent.data.params["objective"] == "epochs"
    assert parent.data.tags["prefect_tune.best_trial"] == best.trial.id
    marked = [i for i, run in seen.trials.items() if run.data.tags.get("prefect_tune.best") == "true"]
    assert marked == [best.trial.index]
    names = {entry.path for entry in seen.client.list_artifacts(parent.info.run_id)}
    assert {"trials.csv", "reports.csv", "best_config.json"} <= names
    state = seen.client.download_artifacts(
        seen.trials[marked[0]].info.run_id, "state/state.pkl", str(tmp_path)
    )
    assert pickle.loads(Path(state).read_bytes()) == result.load_best()


def test_a_search_that_goes_on_does_so_in_the_same_runs(place, uri):
    """4 trials, then 8 by a tracker that knows nothing of the first, then once more: no metric twice."""
    asked = {"sampler": "random", "schedule": "asha", "max_resource": MOST, "name": "goes on", **place}
    tune(objectives.epochs, SPACE, n_trials=4, callbacks=[MLflowTracker(tracking_uri=uri)], **asked)
    before = Seen(uri, "goes on")  # the experiment has the name of the search
    result = tune(objectives.epochs, SPACE, n_trials=8, callbacks=[MLflowTracker(tracking_uri=uri)], **asked)
    after = Seen(uri, "goes on")
    after.matches(result)
    assert len(after.searches) == 1
    assert {i: run.info.run_id for i, run in before.trials.items()}.items() <= {
        i: run.info.run_id for i, run in after.trials.items()
    }.items()
    assert [step for step, _ in after.metric(after.parent, "loss")] == [4, 8]
    best = [i for i, run in after.trials.items() if run.data.tags.get("prefect_tune.best") == "true"]
    assert best == [result.best().trial.index]

    tune(objectives.epochs, SPACE, n_trials=8, callbacks=[MLflowTracker(tracking_uri=uri)], **asked)
    again = Seen(uri, "goes on")
    again.matches(result)
    assert [run.info.end_time for run in again.trials.values()] == [
        run.info.end_time for run in after.trials.values()
    ]
    assert again.metric(again.parent, "loss") == after.metric(after.parent, "loss")


def test_a_search_that_was_cut_goes_on_in_the_same_runs(place, uri):
    """An error in the driver leaves the runs killed; the next run of the search opens them again."""

    def stop(status):
        if status.evaluations >= 4:
            raise RuntimeError("pulled the plug")
        return False

    schedule = {"asha": {"type": "promotion", "max_resource": MOST}}
    asked = {"n_trials": 6, "sampler": "random", "schedule": schedule, "name": "cut", **place}
    with pytest.raises(RuntimeError, match="pulled the plug"):
        tune(objectives.epochs, SPACE, stop=stop, callbacks=[MLflowTracker(tracking_uri=uri)], **asked)
    before = Seen(uri, "cut")
    assert before.parent.info.status == "KILLED"
    assert before.trials
    assert {run.info.status for run in before.trials.values()} <= {"KILLED", "FINISHED"}
    result = tune(objectives.epochs, SPACE, callbacks=[MLflowTracker(tracking_uri=uri)], **asked)
    after = Seen(uri, "cut")
    after.matches(result)
    assert (after.parent.info.run_id, after.parent.info.status) == (before.parent.info.run_id, "FINISHED")
    for index, run in before.trials.items():
        assert after.trials[index].info.run_id == run.info.run_id


def test_a_tracker_that_comes_later_gets_everything(place, uri):
    """A search that ran without MLflow: running it again writes all of it, and trains nothing."""
    asked = {"n_trials": 3, "sampler": "random", "schedule": "asha", "max_resource": MOST, **place}
    tune(objectives.epochs, SPACE, **asked)
    result = tune(objectives.epochs, SPACE, callbacks=[MLflowTracker("later", tracking_uri=uri)], **asked)
    assert result.cost.task_runs == 0
    Seen(uri, "later").matches(result)


def test_a_search_that_starts_anew_has_a_run_of_its_own(place, uri):
    """resume=False is another search for MLflow; going on later goes on in the newer one."""
    tracker = MLflowTracker("anew", tracking_uri=uri)
    asked = {"sampler": "random", "callbacks": tracker, **place}
    tune(objectives.plain, SPACE, n_trials=2, **asked)
    tune(objectives.plain, SPACE, n_trials=2, resume=False, **asked)
    result = tune(objectives.plain, SPACE, n_trials=3, **asked)
    seen = Seen(uri, "anew")
    assert len(seen.searches) == 2
    seen.matches(result)


def test_failed_trials_are_failed_runs(place, uri):
    """The cause is a tag; names that MLflow does not take are changed; nan stays nan."""
    tracker = MLflowTracker("failures", tracking_uri=uri)
    asked = {"n_trials": 6, "sampler": "random", "metric": "loss", **place}
    result = tune(told.now_and_then, {"x": uniform(0.0, 1.0)}, callbacks=tracker, **asked)
    seen = Seen(uri, "failures")
    seen.matches(result)
    assert Counter(run.info.status for run in seen.trials.values()).keys() == {"FINISHED", "FAILED"}
    for trial in result:
        run = seen.trials[trial.index]
        if trial.state is TrialState.FAILED:
            assert "x is too large" in run.data.tags["prefect_tune.error"]
        else:
            assert run.data.metrics["acc_1"] == 1 - trial.config["x"]
            assert run.data.metrics["bad"] != run.data.metrics["bad"]
    assert seen.parent.data.tags["prefect_tune.failed"] == str(result.num_errors)


def test_the_best_estimator_is_a_model(place, uri, monkeypatch):
    """A state that is an estimator of scikit-learn can be loaded as MLflow's model of the best run."""
    import mlflow

    tracker = MLflowTracker("models", tracking_uri=uri)
    asked = {"n_trials": 2, "sampler": "random", "callbacks": tracker, **place}
    result = tune(told.fitted, {"alpha": uniform(0.1, 1.0)}, **asked)
    run = Seen(uri, "models").trials[result.best().trial.index]
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(uri)
    try:
        model = mlflow.sklearn.load_model(f"runs:/{run.info.run_id}/model")
    finally:
        mlflow.set_tracking_uri(before)
    assert model.alpha == result.best().config["alpha"]
    assert model.predict([[3.0]]) == result.load_best().predict([[3.0]])


def test_a_server_that_is_not_there_costs_a_warning(place, monkeypatch, caplog):
    """The search has its result; what failed is said once, and what to do in the end."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    tracker = MLflowTracker("nowhere", tracking_uri="http://127.0.0.1:9", wait=0.5)
    result = tune(objectives.plain, SPACE, n_trials=3, sampler="random", callbacks=tracker, **place)
    assert len(result) == 3
    assert caplog.text.count("MLflow cannot be reached") == 1
    assert "MLflow does not have all of search 'tune'" in caplog.text


def test_what_is_stored_of_a_tracker_shows_no_password():
    """Flow parameters show a tracker by its text; a copy of it starts without sessions."""
    tracker = MLflowTracker("e", tracking_uri="https://me:secret@mlflow.example/x")
    assert "secret" not in repr(tracker)
    assert "mlflow.example/x" in repr(tracker)
    assert pickle.loads(pickle.dumps(tracker)).experiment == "e"
