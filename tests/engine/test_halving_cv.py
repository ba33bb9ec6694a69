"""Halving over samples and over parameters: scikit-learn's results to the bit, and nothing runs twice."""

from __future__ import annotations

import asyncio
import inspect
import json
import warnings
from collections import Counter
from operator import itemgetter
from pathlib import Path
from typing import Any

import counting
import numpy as np
import pytest
from counting import Nearest, Step
from differential import assert_same_model, assert_same_table
from halving_here import Here, assert_equal_fit
from scipy.stats import loguniform, randint
from seen import run_id as flow_run_of
from seen import see_run
from sklearn import config_context, model_selection
from sklearn.cluster import KMeans
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import ExtraTreesClassifier, RandomForestRegressor
from sklearn.experimental import enable_halving_search_cv  # noqa: F401 - lets scikit-learn give its classes
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GroupKFold, KFold, PredefinedSplit, ShuffleSplit, StratifiedKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from structures import frame, numbers, target
from toys import Choosy, accuracy, two_scores

import prefect_tune
from prefect_tune.errors import ScoringError, UserError
from prefect_tune.flows import halving as flows
from prefect_tune.halving_search import Halving, prepare_halving
from prefect_tune.store import StepStore

GRID, RANDOM = "HalvingGridSearchCV", "HalvingRandomSearchCV"
TREE, SPLITS = (
    DecisionTreeClassifier(random_state=0),
    {"min_samples_leaf": [1, 2, 5], "max_depth": [1, 2, 3, None]},
)
FOREST = ExtraTreesClassifier(random_state=0)
WAYS = {"cv": 3, "random_state": 5}


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Here:
    """The searches of this test run in this process, on a store of its own."""
    place = Here(tmp_path / "store")
    for flow in (flows.halving_grid_search, flows.halving_randomized_search):
        monkeypatch.setattr(flow, "start", place.start)
    return place


def many(n: int = 150) -> tuple[np.ndarray, np.ndarray]:
    return numbers(n)


# name -> (class, estimator, space, data, options); (candidates, resources) of the iterations where the
# reference (algorithms, section 3.8) works them out, None where only scikit-learn says them.
CASES: dict[str, tuple] = {
    "samples": (GRID, TREE, SPLITS, many, WAYS),
    "factor_2": (GRID, TREE, SPLITS, many, {**WAYS, "factor": 2}),
    "factor_2.5": (GRID, TREE, SPLITS, many, {**WAYS, "factor": 2.5}),
    "smallest": (GRID, TREE, SPLITS, many, {**WAYS, "min_resources": "smallest"}),
    "int_bounds_leave_many": (
        GRID, TREE, SPLITS, many, {**WAYS, "min_resources": 40, "max_resources": 100, "factor": 2},
    ),
    "aggressive": (
        GRID, TREE, SPLITS, many,
        {**WAYS, "min_resources": 40, "max_resources": 80, "factor": 2, "aggressive_elimination": True},
    ),
    "aggressive_with_room": (
        GRID, TREE, {"max_depth": [1, 2, 3]}, many,
        {**WAYS, "min_resources": 20, "factor": 2, "aggressive_elimination": True},
    ),
    "one_candidate": (GRID, TREE, {}, many, WAYS),
    "regressor": (
        GRID, DecisionTreeRegressor(random_state=0), {"max_depth": [1, 2, 3, 4]}, lambda: target(90),
        {**WAYS, "factor": 2, "scoring": "neg_mean_squared_error"},
    ),
    "regressor_smallest": (
        GRID, make_pipeline(StandardScaler(), Ridge()), {"ridge__alpha": [0.1, 1, 10, 100]},
        lambda: target(90), {**WAYS, "min_resources": "smallest", "factor": 2, "return_train_score": False},
    ),
    "unsupervised": (
        GRID, KMeans(n_init=1, random_state=0), {"n_clusters": [2, 3, 4]}, lambda: (many()[0],), WAYS,
    ),
    "trees_of_a_forest": (
        GRID, FOREST, {"max_depth": [1, 2, 3, None]}, numbers,
        {**WAYS, "resource": "n_estimators", "max_resources": 9, "factor": 2},
    ),
    "trees_of_a_forest_in_a_pipeline": (
        GRID, make_pipeline(StandardScaler(), RandomForestRegressor(random_state=0)),
        {"randomforestregressor__max_depth": [1, 2, 3], "standardscaler__with_mean": [True, False]}, target,
        {**WAYS, "resource": "randomforestregressor__n_estimators", "max_resources": 9,
         "min_resources": "smallest"},
    ),
    "random": (
        RANDOM, TREE, {"max_depth": [1, 2, 3, None], "min_samples_leaf": randint(1, 9)}, many, WAYS,
    ),
    "random_with_a_number": (
        RANDOM, LogisticRegression(max_iter=50), {"C": loguniform(1e-3, 10)}, many,
        {**WAYS, "n_candidates": 7, "min_resources": "exhaust", "factor": 2},
    ),
    "random_over_trees": (
        RANDOM, FOREST, {"max_depth": [1, 2, 3, None], "min_samples_leaf": randint(1, 9)}, numbers,
        {**WAYS, "resource": "n_estimators", "max_resources": 8, "min_resources": 2, "factor": 2},
    ),
    "generator": (
        RANDOM, TREE, {"max_depth": [1, 2, 3, None], "min_samples_leaf": randint(1, 9)}, many,
        {"cv": 3, "random_state": np.random.RandomState(4), "factor": 2},
    ),
    "shuffled_folds": (
        GRID, TREE, SPLITS, many, {**WAYS, "cv": StratifiedKFold(4, shuffle=True, random_state=1)},
    ),
    "drawn_folds": (GRID, TREE, SPLITS, many, {**WAYS, "cv": ShuffleSplit(2, random_state=1)}),
    "folds_as_a_list": (
        GRID, TREE, SPLITS, many, {**WAYS, "cv": list(KFold(3).split(np.arange(150)))},
    ),
    # 87/150 is 0.58, and 0.58 · 100 is 57.99… in floats: 57 training rows.
    "a_share_that_floats_miss": (
        GRID, TREE, {"max_depth": [1, 2]}, many,
        {"cv": PredefinedSplit(np.repeat([-1, 0], [100, 50])), "random_state": 0, "min_resources": 87},
    ),
    "frame": (
        GRID, make_pipeline(StandardScaler(), LogisticRegression()), {"logisticregression__C": [0.1, 1, 10]},
        lambda: (frame(120)[0][["a", "c"]], frame(120)[1]), WAYS,
    ),
    "steps_to_choose_from": (
        GRID, Pipeline([("scale", "passthrough"), ("clf", LogisticRegression())]),
        [{"scale": [StandardScaler(), MinMaxScaler()], "clf__C": [0.1, 1]}, {"clf": [TREE]}], many, WAYS,
    ),
    "equal_scores": (GRID, DummyClassifier(), {"constant": list(range(40))}, many, {**WAYS, "factor": 2}),
    "failures": (
        GRID, Choosy(), {"good": [False, True], "label": [0, 1, 2]}, many, {**WAYS, "factor": 1.5},
    ),
    "own_scorer": (GRID, TREE, SPLITS, many, {**WAYS, "scoring": accuracy}),
    "no_refit": (GRID, TREE, SPLITS, many, {**WAYS, "refit": False}),
    # scikit-learn's halving does not ask it
    "own_refit": (GRID, TREE, SPLITS, many, {**WAYS, "refit": lambda results: 1}),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_halving_equals_sklearn(case: str, here: Here) -> None:
    """Candidates, iterations, samples, scores, ranks, winner and model are scikit-learn's, bit for bit."""
    name, estimator, space, data, options = CASES[case]
    assert_equal_fit(name, estimator, space, data=data(), **options)


@pytest.mark.parametrize(
    ("options", "rungs", "remaining"),
    [
        ({"min_resources": 20, "max_resources": 1000}, [(60, 20), (20, 60), (7, 180), (3, 540)], 1),
        ({"max_resources": 1000}, [(60, 37), (20, 111), (7, 333), (3, 999)], 1),
        ({"min_resources": 20, "max_resources": 200}, [(60, 20), (20, 60), (7, 180)], 3),
        (
            {"min_resources": 20, "max_resources": 200, "aggressive_elimination": True},
            [(60, 20), (20, 20), (7, 60), (3, 180)],
            1,
        ),
        # 200 rows, five folds and two classes: at least 20 samples, and 200 // 3³ is less.
        ({}, [(60, 20), (20, 60), (7, 180)], 3),
    ],
)
def test_iterations_are_those_worked_out_by_hand(
    options: dict, rungs: list, remaining: int, tmp_path: Path
) -> None:
    """60 candidates, factor 3 (algorithms, section 3.8): before anything runs it is known what will."""
    n = options.get("max_resources", 200)
    X, y = np.zeros((n, 1)), np.arange(n) % 2
    search = model_selection.HalvingGridSearchCV(DummyClassifier(), {"constant": list(range(60))}, **options)
    ladder = prepare_halving(search, X, y, store=StepStore.open(tmp_path)).ladder
    assert [(rung.size, rung.resource) for rung in ladder.rungs] == rungs
    assert ladder.n_remaining == remaining


@pytest.mark.parametrize("flags", [{"groups": True}, {"sample_weight": True}])
def test_groups_and_weights_reach_what_they_are_for(flags: dict, here: Here) -> None:
    """Groups make the folds, weights are cut like the samples; both as in scikit-learn."""
    X, y = many()
    given = {"groups": np.arange(150) // 5, "sample_weight": np.linspace(0.1, 2, 150)}
    cv = GroupKFold(3) if "groups" in flags else 3
    fit = {name: given[name] for name in flags}
    assert_equal_fit(GRID, TREE, SPLITS, data=(X, y), fit=fit, cv=cv, random_state=1)


def test_groups_are_routed(here: Here) -> None:
    """With metadata routing the groups go to the splitter that asks for them."""
    X, y = many()
    with config_context(enable_metadata_routing=True):
        fit = {"groups": np.arange(150) // 5}
        assert_equal_fit(GRID, TREE, SPLITS, data=(X, y), fit=fit, cv=GroupKFold(3), random_state=1)


@pytest.mark.parametrize("name", [GRID, RANDOM])
def test_constructor_takes_what_sklearns_takes(name: str) -> None:
    """Names, order, kinds and defaults are scikit-learn's; our own settings follow, by keyword only."""
    mine, other = (
        list(inspect.signature(getattr(module, name)).parameters.values())
        for module in (prefect_tune, model_selection)
    )
    assert [(p.name, p.kind, repr(p.default)) for p in mine[: len(other)]] == [
        (p.name, p.kind, repr(p.default)) for p in other
    ]
    own = ["cluster", "store", "seed", "resources", "step_seconds", "step_memory"]
    assert [p.name for p in mine[len(other) :]] == own
    assert issubclass(getattr(prefect_tune, name), getattr(model_selection, name))


BAD: dict[str, tuple] = {
    "resource is searched over": (GRID, {"resource": "max_depth", "max_resources": 9}, "max_depth"),
    "no such resource": (GRID, {"resource": "max_dept", "max_resources": 9}, "Did you mean 'max_depth'"),
    "least above most": (GRID, {"min_resources": 90, "max_resources": 80}, "min_resources.*80.*90"),
    "too few rows": (GRID, {"min_resources": 151}, "min_resources.*150.*151"),
    "smallest above most": (
        GRID,
        {"min_resources": "smallest", "max_resources": 10},
        "min_resources.*10.*18",
    ),
    "both exhaust": (RANDOM, {"min_resources": "exhaust", "n_candidates": "exhaust"}, "n_candidates"),
    "most unknown": (GRID, {"resource": "min_samples_split"}, "max_resources.*min_samples_split"),
    "more than there is": (GRID, {"min_resources": 100, "max_resources": 1000}, r"max_resources.*\(150\)"),
    "several metrics": (GRID, {"scoring": ["accuracy", "f1_macro"]}, "scoring"),
    "empty space": (GRID, {"space": []}, "empty"),
    "unknown parameter": (GRID, {"space": {"max_dept": [1]}}, "Did you mean 'max_depth'"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_told_before_anything_runs(case: str, here: Here) -> None:
    """What scikit-learn refuses is refused as a ValueError too, by name and value, and nothing has run."""
    name, options, message = BAD[case]
    options = {**WAYS, **options}
    space = options.pop("space", SPLITS)
    with pytest.raises((ValueError, IndexError)):
        getattr(model_selection, name)(TREE, space, **options).fit(*many())
    with pytest.raises(ValueError, match=message) as caught:
        getattr(prefect_tune, name)(TREE, space, **options).fit(*many())
    assert (
        isinstance(caught.value, UserError) or case == "several metrics"
    )  # which scikit-learn's own check tells
    assert here.ran == []


def test_factor_must_be_above_one(here: Here) -> None:
    """A factor of 1 would go on for ever; scikit-learn divides by zero."""
    with pytest.raises(UserError, match="factor: must be a number above 1, got 1"):
        prefect_tune.HalvingGridSearchCV(TREE, SPLITS, factor=1).fit(*many())


def test_classes_must_be_there_to_be_counted(here: Here) -> None:
    """A classifier's smallest number of samples follows from its classes; a continuous y has none."""
    X, y = target(90)
    with pytest.raises(UserError, match="y: Unknown label type"):
        prefect_tune.HalvingGridSearchCV(TREE, SPLITS).fit(X, y)
    with pytest.raises(UserError, match="y: is missing"):
        prefect_tune.HalvingGridSearchCV(TREE, SPLITS).fit(X)


def test_scorer_with_several_scores_is_refused(here: Here) -> None:
    """A callable may return several scores, but one number must decide; scikit-learn has a KeyError."""
    with pytest.raises(ScoringError, match="acc, size"):
        prefect_tune.HalvingGridSearchCV(TREE, SPLITS, scoring=two_scores, **WAYS).fit(*many())


def test_all_fits_failed(here: Here) -> None:
    """When no candidate of an iteration can be fitted the search says so, as scikit-learn's does."""
    search = prefect_tune.HalvingGridSearchCV(Choosy(good=False), {"label": [0, 1, 2]}, **WAYS)
    with pytest.raises(ValueError, match="All the 9 fits failed"):
        search.fit(*many())


def test_values_without_identity_stay_themselves(here: Here) -> None:
    """What only this search knows is told apart in every iteration, and reported."""
    columns = [itemgetter((slice(None), [first, first + 1])) for first in range(4)]
    pipe, space = make_pipeline(FunctionTransformer(), TREE), {"functiontransformer__func": columns}
    ours, theirs = (
        getattr(module, GRID)(pipe, space, factor=2, refit=False, **WAYS).fit(*many())
        for module in (prefect_tune, model_selection)
    )
    assert ours.search_result_.uncacheable
    assert ours.cv_results_["mean_test_score"].tolist() == theirs.cv_results_["mean_test_score"].tolist()
    assert list(map(id, ours.cv_results_["param_functiontransformer__func"])) == list(
        map(id, theirs.cv_results_["param_functiontransformer__func"])
    )


def test_a_second_fit_runs_nothing(here: Here) -> None:
    """The same search on the same data is answered by the store, in every iteration."""
    first = prefect_tune.HalvingRandomSearchCV(TREE, {"max_depth": randint(1, 9)}, n_candidates=5).fit(
        *many()
    )
    assert min(map(Counter.total, here.ran)) > 0
    again = prefect_tune.HalvingRandomSearchCV(TREE, {"max_depth": randint(1, 9)}, n_candidates=5).fit(
        *many()
    )
    assert list(map(Counter.total, here.ran)) == [0] * first.n_iterations_
    assert_same_table(again.cv_results_, first.cv_results_)


def test_another_seed_draws_other_samples(here: Here) -> None:
    """`seed` stands in for `random_state=None`: another one asks other questions."""
    tables = [
        prefect_tune.HalvingGridSearchCV(TREE, SPLITS, seed=seed).fit(*many()).cv_results_ for seed in (0, 1)
    ]
    assert tables[0]["mean_test_score"].tolist() != tables[1]["mean_test_score"].tolist()


def test_shuffled_folds_without_a_seed_are_drawn_once(here: Here) -> None:
    """Where scikit-learn refuses a `cv` that shuffles unseeded, ours draws the folds once, from `seed`."""
    cv = StratifiedKFold(3, shuffle=True)
    with pytest.raises(ValueError, match="consistent folds"):
        model_selection.HalvingGridSearchCV(TREE, SPLITS, cv=cv).fit(*many())
    prefect_tune.HalvingGridSearchCV(TREE, SPLITS, cv=cv).fit(*many())
    search = prefect_tune.HalvingGridSearchCV(TREE, SPLITS, cv=cv).fit(*many())
    assert list(map(Counter.total, here.ran)) == [0] * search.n_iterations_


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that counts; emptied by `counting.calls`."""
    monkeypatch.setenv(counting.VARIABLE, str(tmp_path / "calls.txt"))
    return tmp_path / "calls.txt"


def test_what_iterations_share_runs_once(log: Path, here: Here) -> None:
    """Where a parameter of the last step grows, the steps before it are fitted once per fold for all."""
    pipe = Pipeline([("prep", Step()), ("clf", Nearest())])
    search = prefect_tune.HalvingGridSearchCV(
        pipe, {"clf__shrink": [0.5, 1.0, 2.0, 4.0]}, resource="clf__tag", max_resources=4, factor=2, cv=3,
        return_train_score=False, refit=False,
    )  # fmt: skip
    search.fit(*many())
    assert list(zip(search.n_candidates_, search.n_resources_, strict=True)) == [(4, 1), (2, 2), (1, 4)]
    # Three folds; every candidate of every iteration is one fit; a class of the user never grows.
    assert counting.calls(log) == {
        "Step(0).fit_transform": 3, "Step(0).transform": 3,
        **{f"Nearest({tag}).fit": 3 * n for tag, n in ((1, 4), (2, 2), (4, 1))},
        **{f"Nearest({tag}).predict": 3 * n for tag, n in ((1, 4), (2, 2), (4, 1))},
    }  # fmt: skip


def test_repeated_resources_run_nothing(here: Here) -> None:
    """Aggressive elimination asks the same candidates again with the same samples: that is known by then."""
    search = prefect_tune.HalvingGridSearchCV(
        TREE, SPLITS, min_resources=50, factor=3, aggressive_elimination=True, **WAYS
    ).fit(*many())
    assert (search.n_candidates_, search.n_resources_) == ([12, 4, 2], [50, 50, 150])
    assert [ran.total() > 0 for ran in here.ran] == [True, False, True]


def test_a_search_that_was_cut_off_goes_on(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    """What ended before an interruption is not run again, and the table is that of an undisturbed search."""
    options = {**WAYS, "factor": 2}
    take_in = Halving.take_in

    def cut_off(halving: Halving, rung: Any, *args: Any) -> None:
        if rung.level == 2:
            raise KeyboardInterrupt
        take_in(halving, rung, *args)

    monkeypatch.setattr(Halving, "take_in", cut_off)
    with pytest.raises(KeyboardInterrupt):
        prefect_tune.HalvingGridSearchCV(TREE, SPLITS, **options).fit(*many())
    monkeypatch.setattr(Halving, "take_in", take_in)
    assert_equal_fit(GRID, TREE, SPLITS, data=many(), **options)
    assert [ran.total() > 0 for ran in here.ran] == [False, False, False, True]


def test_no_iteration_is_lost_to_a_logarithm(tmp_path: Path) -> None:
    """log(243) / log(3) is 4.99… in floats, and scikit-learn stops at three candidates; here one is left."""
    X, y = numbers(20)
    options = {"resource": "tag", "max_resources": 243, "cv": 2, "return_train_score": False, "refit": False}
    space = {"shrink": np.linspace(0, 2, 243).tolist()}
    theirs = model_selection.HalvingGridSearchCV(Nearest(), space, **options).fit(X, y)
    assert theirs.n_candidates_ == [243, 81, 27, 9, 3]
    ours = prepare_halving(theirs, X, y, store=StepStore.open(tmp_path)).ladder
    assert [(rung.size, rung.resource) for rung in ours.rungs] == [
        (243, 1), (81, 3), (27, 9), (9, 27), (3, 81), (1, 243),
    ]  # fmt: skip
    assert (ours.n_required, ours.n_possible, ours.n_remaining) == (6, 6, 1)


def test_standings_show_each_candidate_once(here: Here) -> None:
    """The leaderboard has who came furthest first, with the samples it was given last."""
    search = prefect_tune.HalvingGridSearchCV(TREE, SPLITS, **WAYS, factor=2).fit(*many())
    result = search.search_result_
    standings = result.standings()
    assert len(result) == sum(search.n_candidates_)
    assert len(standings) == 12
    best = result.leaderboard(1)[0]
    assert (best["rank"], best["n_samples"]) == (1, str(search.n_resources_[-1]))
    assert standings.cv_results["params"][standings.best_index] == {
        "n_samples": search.n_resources_[-1], **search.best_params_,
    }  # fmt: skip
    order = np.argsort(standings.cv_results["rank_test_score"], kind="stable")
    came = standings.cv_results["iter"][order]
    assert came.tolist() == sorted(came, reverse=True)
    for level in range(search.n_iterations_):
        scores = standings.cv_results["mean_test_score"][order][came == level]
        assert scores.tolist() == sorted(scores, reverse=True)


def test_failures_are_told_by_row_and_by_candidate(here: Here) -> None:
    """A failure names its row of the table; the standings name its candidate."""
    search = prefect_tune.HalvingGridSearchCV(
        Choosy(), {"good": [False, True], "label": [0, 1, 2]}, factor=1.5, refit=False, **WAYS
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = search.fit(*many()).search_result_
    table = result.cv_results
    assert result.failures
    assert {failure.candidate for failure in result.failures} == {
        row for row, params in enumerate(table["params"]) if not params["good"]
    }
    named = {failure.candidate for failure in result.standings().failures}
    assert named == {0, 1, 2}  # the grid's first three are the bad ones


# -- as flows --------------------------------------------------------------------------------------------


@pytest.fixture
def place(prefect_api: str, dask_threads: Any, tmp_path: Path) -> dict[str, Any]:
    """Where the flows run: two threads of this process, an empty store."""
    return {"cluster": dask_threads.scheduler_address, "store": str(tmp_path), "verbose": 0}


def test_fit_is_one_flow_run(place: dict) -> None:
    """All iterations are task runs of one flow run, named by iteration; a second fit executes no step."""
    first = assert_equal_fit(GRID, TREE, SPLITS, data=many(), place=place, **WAYS)
    cost, ladder = first.search_result_.cost, first.search_result_.ladder
    assert (cost.known, cost.run) == (0, cost.distinct)
    seen = see_run(flow_run_of(first.search_result_), lambda tasks: len(tasks) == cost.task_runs)
    assert seen.run.state_name == "Completed"
    names = [name for name, _ in seen.states]
    assert {name.split(" · ")[0] for name in names[:-1]} == {
        f"iteration {i + 1} of {len(ladder.rungs)}" for i in range(len(ladder.rungs))
    }
    assert names[-1] == "best · all rows"
    rows = json.loads(seen.artifacts["halving-grid-search-leaderboard"])
    assert len(rows) == 12
    assert float(seen.artifacts["halving-grid-search-progress"]) == 100.0
    assert Path(first.search_result_.report_path).read_text().startswith("# `halving-grid-search`")
    again = prefect_tune.HalvingGridSearchCV(TREE, SPLITS, **WAYS, **place).fit(*many())
    assert (again.search_result_.cost.run, again.search_result_.cost.known) == (0, cost.distinct)
    assert_same_table(again.cv_results_, first.cv_results_)
    for column in ("mean_fit_time", "mean_score_time"):  # the records' own
        assert again.cv_results_[column].tolist() == first.cv_results_[column].tolist()


@pytest.mark.parametrize("twin", ["sync", "async"])
def test_flows_take_plain_json(twin: str, place: dict) -> None:
    """As in a deployment: the estimator by name, everything else numbers and words."""
    X, y = many()
    asked = {
        "estimator": {"class": "sklearn.ensemble.ExtraTreesClassifier", "params": {"random_state": 0}},
        "X": X, "y": y, "resource": "n_estimators", "max_resources": 8, "factor": 2, **WAYS,
    }  # fmt: skip
    if twin == "sync":
        asked["param_grid"] = {"max_depth": [1, 2, 3, None]}
        result = flows.halving_grid_search(**asked, **place)
    else:
        asked |= {"param_distributions": {"max_depth": [1, 2, 3, None]}, "n_candidates": 4}
        result = asyncio.run(flows.ahalving_randomized_search(**asked, **place))
    family = getattr(model_selection, GRID if twin == "sync" else RANDOM)
    given = {name: value for name, value in asked.items() if name not in ("X", "y", "estimator")}
    theirs = family(FOREST, **given).fit(X, y)
    assert_same_table(result.cv_results, theirs.cv_results_)
    assert dict(result.best_params) == theirs.best_params_
    assert_same_model(result.load_best(), theirs.best_estimator_, X)
    parameters = see_run(flow_run_of(result), lambda tasks: True).run.parameters
    assert (parameters["estimator"], parameters["max_resources"]) == (asked["estimator"], 8)
