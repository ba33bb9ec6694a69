"""A person approves the best candidate before the refit: paused runs of a real API, answered from outside."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextvars import copy_context
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from distributed.deploy.spec import SpecCluster
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterName, FlowRunFilterStateType
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.flow_engine import run_flow_async
from prefect.flow_runs import resume_flow_run
from prefect.states import AwaitingRetry
from seen import see_run
from sklearn.datasets import load_iris
from sklearn.linear_model import SGDClassifier
from sklearn.tree import DecisionTreeClassifier

from prefect_tune import (
    agrid_search,
    grid_search,
    halving_grid_search,
    randomized_search,
    successive_halving_search,
    tune,
)
from prefect_tune.errors import NotApproved, UserError
from prefect_tune.flows import approval
from prefect_tune.flows import run as running
from prefect_tune.model import Approval
from prefect_tune.space import choice
from prefect_tune.tasks import api

pytestmark = pytest.mark.usefixtures("prefect_api")

X, y = load_iris(return_X_y=True)
DEPTHS = {"max_depth": [1, 2, 3]}
TREE = DecisionTreeClassifier(random_state=0)
JSON_TREE = {"class": "sklearn.tree.DecisionTreeClassifier", "params": {"random_state": 0}}
LONG = 120
"""Seconds that a test may take to answer; nobody waits so long."""


@pytest.fixture(autouse=True)
def _look_often(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(approval, "_LOOK_EVERY", 0.2)
    return


@pytest.fixture
def place(dask_threads: SpecCluster, tmp_path: Path) -> dict[str, Any]:
    """Where the searches run: the threads of this process, a store of the test; under a name of their own."""
    return {
        "cluster": dask_threads.scheduler_address,
        "store": str(tmp_path / "store"),
        "name": f"asked-{tmp_path.name}",
        "verbose": 0,
    }


@dataclass(frozen=True, slots=True)
class Question:
    """A paused run, and what its form shows."""

    run: FlowRun
    text: str
    fields: dict[str, Any]


def started(search: Any, *args: Any, **asked: Any) -> Future:
    """What the search, which runs in a thread of its own, is going to return."""
    future: Future = Future()

    def run() -> None:
        try:
            future.set_result(search(*args, **asked))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=copy_context().run, args=(run,), daemon=True).start()
    return future


def question(name: str, search: Future) -> Question:
    """The form of the run of that name, once it is paused."""
    wanted = FlowRunFilter(
        name=FlowRunFilterName(any_=[name]),
        state={"type": FlowRunFilterStateType(any_=[StateType.PAUSED])},  # type: ignore[arg-type]
    )
    deadline = time.monotonic() + 60
    with get_client(sync_client=True) as client:
        while time.monotonic() < deadline:
            if search.done():
                raise AssertionError(f"nobody was asked: {search.result()}")
            for run in client.read_flow_runs(flow_run_filter=wanted):
                found = client.filter_flow_run_input(run.id, "paused-", limit=200, exclude_keys=set())
                keys = run.state.state_details.run_input_keyset
                values = {item.key: item.decoded_value for item in found}
                if keys["description"] in values:  # the last that is written
                    return Question(run, values[keys["description"]], values[keys["schema"]]["properties"])
            time.sleep(0.1)
    raise AssertionError(f"no run called {name} was paused")


def answered(place: dict[str, Any], search: Future, **answer: Any) -> tuple[Any, Question]:
    """The result of the search after that answer, and what was asked."""
    asked = question(place["name"], search)
    resume_flow_run(asked.run.id, run_input=answer)
    return search.result(timeout=60), asked


def test_the_run_pauses_with_a_form_and_goes_on_to_the_refit(place):
    """The form shows the candidates and their scores; approved, the run fits the best one and completes."""
    search = started(grid_search, TREE, DEPTHS, X, y, cv=3, approve=LONG, **place)
    result, asked = answered(place, search, decision="refit", note="looks right | `to` me")
    assert result.approval.row == result.best_index
    assert result.load_best().get_depth() == result.best_params["max_depth"]
    shown = asked.text.splitlines()
    assert f"**{result.best_score:.5g}**" in shown[0]
    assert len([line for line in shown if "`max_depth=" in line and line.startswith("|")]) == 3
    assert f"`max_depth={result.best_params['max_depth']}`" in shown[4]
    assert asked.fields["decision"]["enum"] == ["refit", "end without a model"]
    assert (asked.fields["candidate"]["minimum"], asked.fields["candidate"]["maximum"]) == (1, 3)
    assert all(field["description"] for field in asked.fields.values())
    seen = see_run(asked.run.id, lambda tasks: len(tasks) == result.cost.task_runs)
    assert seen.run.state.is_completed()
    report = seen.artifacts[f"{place['name'].replace('_', '-')}-report"]
    assert "A person approved the best candidate" in report
    assert "looks right" in report
    assert "A person approved" in Path(result.report_path).read_text(encoding="utf-8")


def test_another_candidate_may_be_chosen_from_the_list_and_no_other(place):
    """A wrong answer leaves the run paused. The model is of the chosen one; the best stays what was found."""
    search = started(randomized_search, TREE, DEPTHS, X, y, n_iter=3, cv=3, approve=LONG, **place)
    asked = question(place["name"], search)
    for wrong in ({"candidate": 4}, {"candidate": 0}, {"decision": "maybe"}, {"other": 1}):
        with pytest.raises(RuntimeError, match="Cannot resume"):
            resume_flow_run(asked.run.id, run_input=wrong)
    resume_flow_run(asked.run.id, run_input={"candidate": 3})
    result = search.result(timeout=60)
    row = result.approval.row
    assert f"| 3 | {result.cv_results['mean_test_score'][row]:.5g} |" in asked.text
    assert row != result.best_index
    assert result.cv_results["rank_test_score"][result.best_index] == 1
    assert result.load_best().max_depth == result.cv_results["params"][row]["max_depth"]
    report = Path(result.report_path).read_text(encoding="utf-8")
    assert "A person chose candidate 3 of the list" in report
    assert f"the model is of `max_depth={result.load_best().max_depth}`" in report


def test_refused_the_search_ends_without_a_model(place):
    """The search, here a subflow, completes with its table and no model; nothing more was fitted."""

    @flow(name="around")
    def around() -> Any:
        return grid_search(TREE, DEPTHS, X, y, cv=3, approve=LONG, **place)

    answer = {"decision": "end without a model", "note": "too shallow"}
    result, asked = answered(place, started(around), **answer)
    assert asked.run.parent_task_run_id is not None
    assert (result.model, result.approval.row) == (None, None)
    assert result.best_params is not None
    with pytest.raises(LookupError, match="a person ended this search without a model"):
        result.load_best()
    seen = see_run(asked.run.id, lambda tasks: len(tasks) == result.cost.task_runs)
    assert seen.run.state.is_completed()
    assert not [name for name, _ in seen.states if "refit" in name or "best" in name]
    report = Path(result.report_path).read_text(encoding="utf-8")
    assert "ended the search without a model" in report
    assert "too shallow" in report


def test_nobody_answers_and_a_retry_asks_again_without_repeating_work(place):
    """The run fails and says what to do; its next attempt finds all steps and fits nothing but the model."""
    asked = {"estimator": JSON_TREE, "param_grid": DEPTHS, "X": X, "y": y, "cv": 3}
    with pytest.raises(NotApproved, match=r"within 1 s.*retry this run"):
        grid_search(**asked, approve=1, **place)
    with get_client(sync_client=True) as client:
        (run,) = client.read_flow_runs(
            flow_run_filter=FlowRunFilter(name=FlowRunFilterName(any_=[place["name"]]))
        )
        assert run.state.is_failed()
        assert "nobody approved the best candidate within 1 s" in run.state.message
        client.set_flow_run_state(run.id, AwaitingRetry(), force=True)  # as `prefect flow-run retry` does
        again = client.read_flow_run(run.id)
    parameters = {**again.parameters, "approve": LONG}
    search = started(lambda: asyncio.run(run_flow_async(agrid_search, again, parameters)))
    result, shown = answered(place, search)
    assert shown.run.id == run.id
    assert (result.cost.run, result.cost.known) == (0, result.cost.distinct)
    assert result.load_best().max_depth == result.best_params["max_depth"]


def test_a_run_that_breaks_after_the_approval_does_not_ask_twice(place, monkeypatch):
    """Its next attempt has the same candidates and scores, so that the approval holds."""
    whole, attempts = running.refit_best, []

    async def refit_best(*args: Any) -> Any:
        attempts.append(args)
        if len(attempts) == 1:
            raise ConnectionError("the machine is gone")
        return await whole(*args)

    monkeypatch.setattr(running, "refit_best", refit_best)
    retried = grid_search.with_options(retries=2)  # Prefect counts going on after a pause as an attempt
    search = started(retried, JSON_TREE, DEPTHS, X, y, cv=3, approve=LONG, **place)
    result, asked = answered(place, search, candidate=2)
    assert len(attempts) == 2
    assert result.approval.place == 2
    assert result.load_best().max_depth == result.approval.params["max_depth"]
    with get_client(sync_client=True) as client:
        assert client.read_flow_run(asked.run.id).run_count == 3


def test_halving_offers_the_candidates_of_its_last_iteration(place):
    """Only they can be fitted; the chosen one is."""
    grid = {"max_depth": [1, 2, 3, 4]}
    search = started(halving_grid_search, TREE, grid, X, y, cv=2, approve=LONG, **place)
    result, asked = answered(place, search, candidate=2)
    last = result.ladder.rungs[-1].size
    assert asked.fields["candidate"]["maximum"] == last > 1
    assert len(result) - last <= result.approval.row
    chosen = result.cv_results["params"][result.approval.row]
    assert {name: result.load_best().get_params()[name] for name in chosen} == chosen


def test_adaptive_searches_ask_before_the_model_is_made(place):
    """The model that training left is of the candidate that was chosen, though it went on with another."""
    search = started(
        successive_halving_search,
        SGDClassifier(random_state=0),
        {"alpha": [1e-4, 1e-3, 1e-2, 1e-1]},
        X,
        y,
        n_initial_parameters="grid",
        n_initial_iter=1,
        max_iter=3,
        fit_params={"classes": [0, 1, 2]},
        approve=LONG,
        **place,
    )
    result, _ = answered(place, search, candidate=4)
    assert result.approval.row != result.best_index
    assert result.load_best().alpha == result.cv_results["params"][result.approval.row]["alpha"]
    assert "A person chose candidate 4" in Path(result.report_path).read_text(encoding="utf-8")


def test_tune_asks_before_it_fits_the_best_estimator(place):
    """The model is of the trial that was chosen; had it been refused, there would be none."""
    grid = {"max_depth": choice([1, 2, 3])}
    search = started(tune, TREE, grid, X=X, y=y, cv=2, n_trials=3, sampler="random", approve=LONG, **place)
    result, asked = answered(place, search, candidate=2)
    chosen = result[result.approval.row]
    assert chosen.config != result.best_config
    assert f"`max_depth={chosen.config['max_depth']}" in asked.text.splitlines()[5]
    assert result.best_estimator().max_depth == chosen.config["max_depth"]
    assert "A person chose candidate 2" in Path(result.report_path).read_text(encoding="utf-8")
    refused = dataclasses.replace(result, model=None, approval=Approval(row=None))
    assert refused.chosen_config is None
    with pytest.raises(LookupError, match="a person ended"):
        refused.best_estimator()


@pytest.mark.parametrize(
    ("asked", "word"),
    [({"approve": 0}, "at least 1"), ({"approve": "soon"}, "soon"), ({"approve": 1, "refit": False}, "none")],
)
def test_questions_that_make_no_sense_are_refused_before_anything_runs(place, asked, word):
    """A number of seconds is at least one, and where no model is made there is nothing to approve."""
    with pytest.raises(UserError, match=word):
        grid_search(TREE, DEPTHS, X, y, **asked, **place)
    with pytest.raises(UserError, match="approve"):
        tune(lambda config: config["a"], {"a": choice([1, 2])}, approve=True, **place)


def test_nobody_can_answer_on_a_temporary_api(place, monkeypatch):
    """Where only this process's own server could be asked, the search says so and does not start."""
    monkeypatch.setattr(api, "_server", (None, api.PREFECT_API_URL.value()))
    with pytest.raises(UserError, match="prefect server start"):
        grid_search(TREE, DEPTHS, X, y, approve=True, **place)
