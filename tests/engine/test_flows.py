"""The search flows as users call them, and what Prefect's API shows of them.

Every search runs on two worker threads in this process; the expected tables are scikit-learn's own.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from distributed.deploy.spec import SpecCluster
from prefect import flow
from prefect.client.orchestration import get_client
from seen import Seen, run_id, see, see_run
from sklearn import model_selection
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA
from sklearn.exceptions import FitFailedWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from toys import Choosy, Refused

from prefect_tune import agrid_search, arandomized_search, grid_search, plan_search, randomized_search
from prefect_tune.errors import UserError
from prefect_tune.results import SearchResult

pytestmark = pytest.mark.usefixtures("prefect_api")

X, y = load_iris(return_X_y=True)
PIPE = Pipeline([("scale", StandardScaler()), ("pca", PCA()), ("clf", LogisticRegression(max_iter=300))])
GRID = {"pca__n_components": [2, 3], "clf__C": [0.1, 1.0, 10.0]}
FOLDS = 3
# Distinct steps on each fold: a scaler and two PCAs, each fitted and then applied to the test rows, and for
# each of six candidates a fit and a score.
STEPS = FOLDS * (2 * (1 + 2) + 2 * 6)


@pytest.fixture(scope="module")
def expected() -> Any:
    """scikit-learn's own search."""
    return model_selection.GridSearchCV(PIPE, GRID, cv=FOLDS).fit(X, y)


@pytest.fixture
def options(dask_threads: SpecCluster, tmp_path: Path) -> dict[str, Any]:
    """Where the searches run: the threads of this process, an empty store."""
    return {"cv": FOLDS, "cluster": dask_threads.scheduler_address, "store": str(tmp_path), "verbose": 0}


def same_table(result: SearchResult, expected: Any) -> bool:
    """Whether parameters, scores of each fold and ranks are those of scikit-learn's search, bit for bit."""
    wanted = expected.cv_results_
    columns = [name for name in wanted if "score" in name and "time" not in name]
    assert "rank_test_score" in columns
    assert "split2_test_score" in columns
    same = all(np.array_equal(result.cv_results[name], wanted[name], equal_nan=True) for name in columns)
    return same and list(result.cv_results["params"]) == wanted["params"]


def in_a_script(search: Callable[[], SearchResult]) -> SearchResult:
    return search()


def in_a_sync_flow(search: Callable[[], SearchResult]) -> SearchResult:
    return flow(lambda: search(), name="outer", persist_result=False)()


def in_an_async_flow(search: Callable[[], SearchResult]) -> SearchResult:
    @flow(persist_result=False)
    async def outer() -> SearchResult:
        return search()

    return asyncio.run(outer())


def in_a_running_loop(search: Callable[[], SearchResult]) -> SearchResult:
    async def cell() -> SearchResult:
        return search()

    return asyncio.run(cell())


@pytest.mark.parametrize("call", [in_a_script, in_a_sync_flow, in_an_async_flow, in_a_running_loop])
def test_grid_search_can_be_called_anywhere(call: Callable, options: dict, expected: Any) -> None:
    """A call in a script, in a flow of either kind or under a running loop gives scikit-learn's table."""
    result = call(lambda: grid_search(PIPE, GRID, X, y, **options))
    assert same_table(result, expected)
    assert dict(result.best_params) == expected.best_params_
    assert result.load_best().predict(X).tolist() == expected.predict(X).tolist()


@pytest.mark.parametrize("inside", [True, False], ids=["in a flow", "bare"])
def test_async_twin_is_awaited(inside: bool, options: dict, expected: Any) -> None:
    """`await agrid_search(...)` gives the same, bare or in an async flow."""

    async def search() -> SearchResult:
        return await agrid_search(PIPE, GRID, X, y, **options)

    assert same_table(asyncio.run(flow(search, persist_result=False)() if inside else search()), expected)


@pytest.mark.parametrize("twin", ["sync", "async"])
def test_randomized_search_draws_what_sklearn_draws(twin: str, options: dict) -> None:
    """With a random_state the candidates and their scores are those of scikit-learn."""
    asked = {"n_iter": 4, "random_state": 7}
    expected = model_selection.RandomizedSearchCV(PIPE, GRID, cv=FOLDS, **asked).fit(X, y)
    if twin == "sync":
        result = randomized_search(PIPE, GRID, X, y, **asked, **options)
    else:
        result = asyncio.run(arandomized_search(PIPE, GRID, X, y, **asked, **options))
    assert same_table(result, expected)


def test_searches_side_by_side(options: dict, expected: Any, tmp_path: Path) -> None:
    """Two searches gathered in one loop do not get in each other's way on one store."""

    async def both() -> list[SearchResult]:
        stores = [{**options, "store": str(tmp_path / name)} for name in ("a", "a")]
        return await asyncio.gather(*(agrid_search(PIPE, GRID, X, y, **place) for place in stores))

    results = asyncio.run(both())
    assert all(same_table(result, expected) for result in results)
    assert len({run_id(result) for result in results}) == 2


@pytest.fixture(scope="module")
def watched(
    dask_threads: SpecCluster, tmp_path_factory: pytest.TempPathFactory
) -> tuple[SearchResult, Seen, Any]:
    """One search inside a flow: its result, what the API shows of it, and the flow run around it."""
    place = {"store": str(tmp_path_factory.mktemp("store")), "cluster": dask_threads.scheduler_address}

    @flow(persist_result=False)
    def training() -> tuple[SearchResult, Any]:
        from prefect.runtime import flow_run

        return grid_search(PIPE, GRID, X, y, cv=FOLDS, name="Iris", verbose=0, **place), flow_run.id

    result, outer = training()
    return result, see(result), outer


def test_task_runs_are_named_for_people(watched: tuple) -> None:
    """A task run says its folds, its preparation and how many candidates it scores; all have completed."""
    result, seen, _ = watched
    assert seen.run.state_name == "Completed"
    assert set(Counter(state for _, state in seen.states)) == {"Completed"}
    names = [name for name, _ in seen.states]
    assert names[-1] == "best · all rows"
    assert len(names) == result.cost.task_runs
    scoring = [name.split(" · ") for name in names if name.endswith(("candidate", "candidates"))]
    assert scoring
    assert sum(int(parts[-1].split()[0]) for parts in scoring) >= 6 * FOLDS  # the pilot may count some twice
    assert all(parts[0].startswith("fold") for parts in scoring)


def test_search_is_a_subflow_of_the_flow_around_it(watched: tuple) -> None:
    """The search's flow run hangs under the flow that called it."""
    _, seen, outer = watched
    with get_client(sync_client=True) as client:
        link = client.read_task_run(seen.run.parent_task_run_id)
    assert str(link.flow_run_id) == str(outer)


def test_parameters_in_the_api_are_small_and_hold_no_data(watched: tuple) -> None:
    """X and y are references; the estimator is one to the store; the rest is what the user wrote."""
    parameters = watched[1].run.parameters
    text = json.dumps(parameters)
    assert len(text) < 3000
    assert parameters["param_grid"] == GRID
    assert parameters["cv"] == FOLDS
    assert set(parameters["X"]) == {"data", "blob", "rows", "kind", "unstable"}
    assert (parameters["X"]["rows"], parameters["y"]["rows"]) == (150, 150)
    assert set(parameters["estimator"]) == {"object"}
    for number in ("5.1", "3.5", "1.4"):  # the first flower
        assert number not in text


def test_artifacts_hold_the_result(watched: tuple) -> None:
    """Progress ends at 100, the leaderboard's first row is the best candidate, the report is the page."""
    result, seen, _ = watched
    assert set(seen.artifacts) == {"iris-progress", "iris-leaderboard", "iris-report"}
    assert float(seen.artifacts["iris-progress"]) == 100.0
    rows = json.loads(seen.artifacts["iris-leaderboard"])
    assert len(rows) == 6
    assert float(rows[0]["mean score"] if "mean score" in rows[0] else rows[0]["score"]) == pytest.approx(
        result.best_score, abs=1e-4
    )
    report = seen.artifacts["iris-report"]
    assert report.startswith("# `Iris`")
    assert Path(result.report_path).read_text().splitlines()[0] == report.splitlines()[0]
    assert all(name in report for name in ("pca__n_components", "clf__C"))


def test_second_search_runs_nothing(options: dict, expected: Any) -> None:
    """A search that is asked again runs no step; the UI shows what was known as one Cached task run."""
    first = grid_search(PIPE, GRID, X, y, **options)
    assert (first.cost.distinct, first.cost.known) == (STEPS, 0)
    again = grid_search(PIPE, GRID, X, y, **options)
    assert (again.cost.run, again.cost.known) == (0, STEPS)
    assert same_table(again, expected)
    states = see(again).states
    assert states[0] == (f"known · {STEPS} steps", "Cached")
    assert {state for _, state in states} == {"Cached"}


def test_wider_grid_runs_only_what_is_new(options: dict) -> None:
    """One more value for C on the same folds: a fit and a score for each PCA, no preparation."""
    grid_search(PIPE, GRID, X, y, refit=False, **options)
    wider = {**GRID, "clf__C": [*GRID["clf__C"], 100.0]}
    result = grid_search(PIPE, wider, X, y, refit=False, **options)
    assert result.cost.known == STEPS
    assert result.cost.run == FOLDS * 2 * 2
    assert same_table(result, model_selection.GridSearchCV(PIPE, wider, cv=FOLDS).fit(X, y))


def test_failing_candidate_is_ranked_last_and_reported(options: dict) -> None:
    """The search goes on without it; its error is in the result, in the report and in no one's way."""
    grid = {"good": [False, True], "label": [0, 1]}
    with pytest.warns(FitFailedWarning, match="6 fits failed out of a total of 12"):
        result = grid_search(Choosy(), grid, X, y, name="choosy", **options)
    assert list(result.cv_results["rank_test_score"][:2]) == [3, 3]
    assert np.isnan(result.cv_results["mean_test_score"][:2]).all()
    assert {failure.candidate for failure in result.failures} == {0, 1}
    seen = see(result)
    assert seen.run.state_name == "Completed"
    assert "Refused: good=False" in seen.artifacts["choosy-report"]


def test_task_run_of_failures_only_is_failed(options: dict) -> None:
    """A task run of which every fit fails is Failed; a search of nothing else raises as in scikit-learn."""
    grid = {"good": [False], "label": [0, 1]}
    with pytest.raises(ValueError, match="All the 6 fits failed"):
        grid_search(Choosy(), grid, X, y, name="hopeless", **options)
    seen = last_run()
    assert seen.run.state_name == "Failed"
    assert {state for _, state in seen.states} == {"Failed"}
    assert seen.tasks[0].state.message.endswith("Refused: good=False")


def test_error_score_raise_gives_the_users_own_exception(options: dict) -> None:
    """With error_score="raise" the first failure ends the search, by the exception that `fit` raised."""
    with pytest.raises(Refused, match="good=False"):
        grid_search(Choosy(), {"good": [False, True]}, X, y, error_score="raise", **options)


def last_run() -> Seen:
    """The flow run that was started last."""
    from prefect.client.schemas.sorting import FlowRunSort

    with get_client(sync_client=True) as client:
        run = client.read_flow_runs(sort=FlowRunSort.EXPECTED_START_TIME_DESC, limit=1)[0]
    return see_run(run.id, lambda tasks: len(tasks) > 0)


def test_plan_is_what_then_runs(options: dict) -> None:
    """The dry run counts what then runs: everything at first, nothing when known, the rest when wider."""
    asked = {"cv": FOLDS, "store": options["store"], "n_workers": 2}
    plan = plan_search(PIPE, GRID, X, y, **asked)
    assert (plan.candidates, plan.folds, plan.known, plan.to_run) == (6, FOLDS, 0, STEPS)
    assert plan.uses == 6 * FOLDS * (2 + 2 + 2)  # scale twice, pca twice, fit and score
    assert plan.seconds is None
    cost = grid_search(PIPE, GRID, X, y, refit=False, **options).cost
    assert (cost.uses, cost.distinct, cost.known, cost.run) == (plan.uses, plan.distinct, 0, plan.to_run)
    after = plan_search(PIPE, GRID, X, y, **asked)
    assert (after.known, after.to_run, after.task_runs) == (STEPS, 0, 0)
    wider = {**GRID, "clf__C": [*GRID["clf__C"], 100.0]}
    plan = plan_search(PIPE, wider, X, y, **asked)
    assert plan.seconds > 0
    cost = grid_search(PIPE, wider, X, y, refit=False, **options).cost
    assert (cost.run, cost.known, cost.task_runs) == (plan.to_run, plan.known, plan.task_runs)


def test_mistake_leaves_no_flow_run(options: dict) -> None:
    """What cannot work is refused before a flow run exists."""
    before = last_run().run.id
    with pytest.raises(UserError, match=r"clf.*'Z'|'Z'"):
        grid_search(PIPE, {"clf__Z": [1]}, X, y, **options)
    assert last_run().run.id == before
