"""Halving by a parameter that grows: scikit-learn's results to the bit, and no tree is grown twice."""

from __future__ import annotations

import itertools
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from differential import assert_same_table
from halving_here import Here, assert_equal_fit
from scipy.stats import randint
from sklearn.base import clone
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.ensemble._hist_gradient_boosting.grower import TreeGrower
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import BaseDecisionTree
from structures import numbers, target
from toys import accuracy

import prefect_tune
from prefect_tune.flows import halving as flows
from prefect_tune.growing import FOR_GROWTH, adds_up, why_from_nothing
from prefect_tune.halving_search import Halving
from prefect_tune.plan import CompiledSearch
from prefect_tune.search import prepare
from prefect_tune.store import StepStore
from prefect_tune.tasks.growing import grown

GRID, RANDOM = "HalvingGridSearchCV", "HalvingRandomSearchCV"
FOREST = ExtraTreesClassifier(random_state=0)
DEPTHS = {"max_depth": [1, 2, 3, None]}
LADDER = {
    "cv": 3,
    "random_state": 5,
    "resource": "n_estimators",
    "min_resources": 2,
    "max_resources": 8,
    "factor": 2,
}
FRESH = 3 * (4 * 2 + 2 * 4 + 1 * 8)  # folds × (candidates × trees) of the iterations (4, 2) (2, 4) (1, 8)
GROWN = 3 * (4 * 2 + 2 * 2 + 1 * 4)  # what is left when each goes on from the one before


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Here:
    """The searches of this test run in this process, on a store of its own."""
    place = Here(tmp_path / "store")
    for flow in (flows.halving_grid_search, flows.halving_randomized_search):
        monkeypatch.setattr(flow, "start", place.start)
    return place


@pytest.fixture
def trees(monkeypatch: pytest.MonkeyPatch) -> list[type]:
    """The trees that scikit-learn grows, one after the other."""
    adds_up()  # which grows some of its own, once
    found: list[type] = []
    for kind, method in ((BaseDecisionTree, "_fit"), (TreeGrower, "grow")):
        real = getattr(kind, method)

        def counting(self: Any, *args: Any, real: Any = real, **options: Any) -> Any:
            found.append(type(self))
            return real(self, *args, **options)

        monkeypatch.setattr(kind, method, counting)
    return found


# -- growing against fitting from nothing ------------------------------------------------------------------

FOREST_WAYS: list[dict] = [
    {}, {"bootstrap": True, "oob_score": True}, {"bootstrap": True, "max_samples": 0.5},
    {"max_features": 0.5},
]  # fmt: skip
BOOSTING_WAYS: list[dict] = [
    {}, {"subsample": 0.5}, {"max_features": 2}, {"init": "zero"}, {"learning_rate": 0.37, "max_depth": 6},
]  # fmt: skip
HISTOGRAM_WAYS: list[dict] = [{"min_samples_leaf": 5}, {"max_features": 0.5}, {"learning_rate": 0.37}]
MATRIX: list[tuple[Any, str, list[dict]]] = [
    (RandomForestClassifier, "classes", [*FOREST_WAYS, {"class_weight": {0: 1, 1: 3, 2: 1}}]),
    (ExtraTreesClassifier, "classes", FOREST_WAYS),
    (RandomForestRegressor, "numbers", [*FOREST_WAYS, {"criterion": "absolute_error"}]),
    (ExtraTreesRegressor, "numbers", FOREST_WAYS),
    (GradientBoostingClassifier, "classes", BOOSTING_WAYS),
    (GradientBoostingRegressor, "numbers", [
        *BOOSTING_WAYS, {"loss": "huber"}, {"loss": "absolute_error"}, {"loss": "quantile"},
    ]),
    (HistGradientBoostingClassifier, "classes", [*HISTOGRAM_WAYS, {"class_weight": "balanced"}]),
    (HistGradientBoostingRegressor, "numbers", [
        *HISTOGRAM_WAYS, {"loss": "absolute_error"}, {"loss": "quantile", "quantile": 0.3},
    ]),
]  # fmt: skip


def rows(kind: str) -> tuple[np.ndarray, np.ndarray]:
    """120 rows of three classes, or of a number."""
    draw = np.random.RandomState(0)
    X = draw.randn(120, 5)
    return X, np.digitize(X[:, 0] + X[:, 1] ** 2, [0, 1]) if kind == "classes" else X[:, 0] ** 2 + draw.rand(
        120
    )


def further(estimator: Any, name: str, levels: tuple[int, ...], *data: Any, **arguments: Any) -> Any:
    """`estimator` fitted at the first level and grown to each other one, read back from bytes in between."""
    state = clone(estimator).set_params(**{name: levels[0]}).fit(*data, **arguments)
    for before, level in itertools.pairwise(levels):
        step = clone(estimator).set_params(**{name: level})
        assert why_from_nothing(step, name, len(data[1]), arguments) == ""
        state = grown(step, pickle.loads(pickle.dumps(state)), (name, before, level), *data, **arguments)
    return state


def answer(model: Any, X: Any) -> np.ndarray:
    return model.predict_proba(X) if hasattr(model, "predict_proba") else model.predict(X)


@pytest.mark.filterwarnings("error", "ignore:Some inputs do not have OOB scores")
@pytest.mark.parametrize("row", MATRIX, ids=lambda row: row[0].__name__)
def test_growing_equals_a_fit_from_nothing(row: tuple) -> None:
    """In one step or in several, with or without weights: the same predictions to the bit, and no warning."""
    kind, data, ways = row
    if kind.__name__.startswith("Gradient") and not adds_up():
        pytest.skip("this build of scikit-learn rounds differently in training and predicting")
    name = "max_iter" if "Hist" in kind.__name__ else "n_estimators"
    X, y = rows(data)
    weights = {"sample_weight": np.linspace(0.1, 2, len(y))}
    for way in ways:
        estimator = kind(random_state=7, **way)
        for levels, arguments in (((2, 9), {}), ((1, 3, 9), weights)):
            model = further(estimator, name, levels, X, y, **arguments)
            fresh = clone(estimator).set_params(**{name: 9}).fit(X, y, **arguments)
            assert np.array_equal(answer(model, X), answer(fresh, X)), (way, levels)
            assert model.get_params() == fresh.get_params()


@pytest.mark.parametrize("kind", [RandomForestClassifier, GradientBoostingClassifier])
def test_sparse_rows_grow_too(kind: Any) -> None:
    """Compressed by rows or by columns, the rows are the same in both fits."""
    X, y = rows("classes")
    X[np.abs(X) < 0.5] = 0.0
    for matrix in (sp.csr_matrix(X), sp.csc_matrix(X)):
        estimator = kind(random_state=7)
        if why_from_nothing(estimator, "n_estimators", 120, {}):
            pytest.skip("this build of scikit-learn rounds differently in training and predicting")
        fresh = clone(estimator).set_params(n_estimators=9).fit(matrix, y)
        model = further(estimator, "n_estimators", (1, 3, 9), matrix, y)
        assert np.array_equal(answer(model, X), answer(fresh, X))


@pytest.mark.parametrize("kind", ["xgboost.XGBClassifier", "xgboost.XGBRegressor", "lightgbm.LGBMClassifier",
                                  "lightgbm.LGBMRegressor"])  # fmt: skip
def test_boosters_grow_too(kind: str) -> None:
    """Training that is continued gives the booster of one training, while nothing is sampled."""
    package, _, name = kind.partition(".")
    module = pytest.importorskip(package, reason=f"{package} is not installed")
    quiet = {"verbose": -1, "min_child_samples": 5} if package == "lightgbm" else {}
    X, y = rows("numbers" if name.endswith("Regressor") else "classes")
    for way in ({}, {"learning_rate": 0.37}, {"max_depth": 2, "reg_lambda": 0.5}):
        estimator = getattr(module, name)(random_state=7, n_jobs=1, **quiet, **way)
        fresh = clone(estimator).set_params(n_estimators=9).fit(X, y)
        model = further(estimator, "n_estimators", (1, 3, 9), X, y)
        assert np.array_equal(answer(model, X), answer(fresh, X))
        assert model.n_estimators == 9
    for way in ({"subsample": 0.5}, {"colsample_bytree": 0.5}, {"n_estimators": 3, "objective": max}):
        estimator = getattr(module, name)(random_state=7, n_jobs=1, **quiet, **way)
        assert why_from_nothing(estimator, "n_estimators", 120, {})
    assert "early" in why_from_nothing(
        getattr(module, name)(random_state=7, early_stopping_rounds=3), "n_estimators", 120, {}
    )


# -- searches ----------------------------------------------------------------------------------------------

# name -> (class, estimator, space, data, options)
CASES: dict[str, tuple] = {
    "extra_trees": (GRID, FOREST, DEPTHS, numbers, {}),
    "random_forest": (GRID, RandomForestClassifier(random_state=3, oob_score=True), DEPTHS, numbers, {}),
    "regressor": (GRID, RandomForestRegressor(random_state=3), DEPTHS, target, {}),
    "boosting": (
        GRID, GradientBoostingRegressor(random_state=3, subsample=0.7), {"max_depth": [1, 2, 3, 4]},
        target, {},
    ),
    "histograms": (
        GRID, HistGradientBoostingRegressor(random_state=3, min_samples_leaf=2), DEPTHS, target,
        {"resource": "max_iter"},
    ),
    "in_a_pipeline": (
        GRID, make_pipeline(StandardScaler(), FOREST), {"extratreesclassifier__max_depth": [1, 2, 3, None]},
        numbers, {"resource": "extratreesclassifier__n_estimators"},
    ),
    "random": (RANDOM, FOREST, {"min_samples_leaf": randint(1, 99)}, numbers, {"n_candidates": 4}),
    "whole_estimators_scored": (GRID, FOREST, DEPTHS, numbers, {"scoring": accuracy}),
    "warm_start": (GRID, ExtraTreesClassifier(random_state=0, warm_start=True), DEPTHS, numbers, {}),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_no_tree_is_grown_twice(case: str, here: Here, trees: list[type]) -> None:
    """Table, winner and model are scikit-learn's; each iteration grows only the trees that it adds."""
    name, estimator, space, data, options = CASES[case]
    if case == "boosting" and not adds_up():
        pytest.skip("this build of scikit-learn rounds differently in training and predicting")
    assert_equal_fit(name, estimator, space, data=data(), **{**LADDER, **options})
    theirs = FRESH + 8  # and the winner on all rows
    assert len(trees) == theirs + GROWN + 8
    assert here.grown == [(24, 0), (12, 12), (12, 12)]


class OwnForest(ExtraTreesClassifier):
    """A subclass may do anything in its fit."""


@pytest.mark.parametrize(
    "estimator",
    [
        ExtraTreesClassifier(random_state=np.random.RandomState(0)),
        ExtraTreesClassifier(random_state=0, class_weight="balanced"),
        GradientBoostingClassifier(random_state=0, n_iter_no_change=9),
        OwnForest(random_state=0),
    ],
    ids=["generator", "class_weight", "early_stopping", "subclass"],
)
def test_what_does_not_grow_exactly_is_fitted_from_nothing(estimator: Any, here: Here) -> None:
    """As in scikit-learn, and with its results."""
    assert_equal_fit(GRID, estimator, {"max_depth": [1, 2, 3, 4]}, data=rows("classes"), **LADDER)
    assert here.grown == [(24, 0), (24, 0), (24, 0)]


def test_without_a_seed_fits_start_from_nothing(here: Here) -> None:
    """A seed that is derived belongs to one step, so other trees are drawn with more of them."""
    prefect_tune.HalvingGridSearchCV(ExtraTreesClassifier(), DEPTHS, **LADDER).fit(*numbers())
    assert here.grown == [(24, 0), (24, 0), (24, 0)]


def test_weights_grow_along(here: Here) -> None:
    """The same weights reach the trees that are added."""
    X, y = numbers()
    fit = {"sample_weight": np.linspace(0.1, 2, len(y))}
    assert_equal_fit(GRID, FOREST, DEPTHS, data=(X, y), fit=fit, **LADDER)
    assert here.grown == [(24, 0), (12, 12), (12, 12)]


def test_repeated_levels_grow_nothing(here: Here) -> None:
    """Aggressive elimination asks at one level twice; the next still goes on from it."""
    options = {**LADDER, "min_resources": 4, "max_resources": 8, "aggressive_elimination": True}
    assert_equal_fit(GRID, FOREST, DEPTHS, data=numbers(), **options)
    # (4 candidates, 4 trees), (2, 4) known, (1, 8)
    assert here.grown == [(48, 0), (0, 0), (12, 12)]


def waiting_models(root: Path) -> list[str]:
    """Keys of the models that are kept only to be gone on from."""
    from prefect_tune.store.actions import check_manifest

    found = []
    for path in (root / "ac").rglob("*"):
        if path.is_file():
            record, _ = check_manifest(path.name.partition(".")[0], path.read_bytes())
            if record is not None and record.values.get(FOR_GROWTH):
                found.append(record.key)
    return found


def test_models_wait_no_longer_than_needed(here: Here) -> None:
    """After an iteration the store has the models of those that go on, after the search none."""
    held: list[int] = []
    here.lose = lambda store: held.append(len(waiting_models(here.root)))
    prefect_tune.HalvingGridSearchCV(FOREST, DEPTHS, **LADDER).fit(*numbers())
    assert held == [6, 3, 0]  # three folds of two candidates, of one, of none


def test_models_that_are_lost_are_grown_again(here: Here) -> None:
    """A model that is gone costs its trees, and changes no number."""
    here.lose = lambda store: store.release(waiting_models(here.root))
    assert_equal_fit(GRID, FOREST, DEPTHS, data=numbers(), **LADDER)
    assert here.grown == [(24, 0), (24, 0), (24, 0)]


def test_a_damaged_model_is_not_gone_on_from(here: Here) -> None:
    """A model that does not verify counts as lost."""

    def damage(store: StepStore) -> None:
        for path in (here.root / "cas").rglob("*"):
            if path.is_file() and b"ExtraTrees" in path.read_bytes():
                path.chmod(0o600)
                path.write_bytes(path.read_bytes()[:-9])

    here.lose = damage
    assert_equal_fit(GRID, FOREST, DEPTHS, data=numbers(), **{**LADDER, "refit": False})
    assert here.grown == [(24, 0), (24, 0), (24, 0)]


def test_a_second_search_grows_nothing(here: Here) -> None:
    """The store answers, in every iteration; the times are those of the first search."""
    first = prefect_tune.HalvingGridSearchCV(FOREST, DEPTHS, **LADDER).fit(*numbers())
    again = prefect_tune.HalvingGridSearchCV(FOREST, DEPTHS, **LADDER).fit(*numbers())
    assert here.grown == [(0, 0)] * 3
    assert [ran.total() for ran in here.ran] == [0, 0, 0]
    assert_same_table(again.cv_results_, first.cv_results_)
    for column in ("mean_fit_time", "mean_score_time"):  # the records' own
        assert again.cv_results_[column].tolist() == first.cv_results_[column].tolist()


def test_what_was_grown_is_known_to_other_searches(here: Here) -> None:
    """A grown fit has the key of a fit from nothing: a grid search that meets it asks the store."""
    search = prefect_tune.HalvingGridSearchCV(FOREST, DEPTHS, **LADDER, refit=False).fit(*numbers())
    best = {name: [value] for name, value in search.best_params_.items()}
    grid = GridSearchCV(FOREST, best, cv=3, return_train_score=True)
    compiled = CompiledSearch(prepare(grid, *numbers(), store=(store := StepStore.open(here.root))), store)
    assert best["n_estimators"] == [8]
    assert compiled.unknown() == []


def test_a_search_that_was_cut_off_goes_on_growing(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    """After an interruption the next iteration goes on from the models that wait in the store."""
    take_in = Halving.take_in

    def cut_off(halving: Halving, rung: Any, *args: Any) -> None:
        take_in(halving, rung, *args)
        if rung.level == 0:
            raise KeyboardInterrupt

    monkeypatch.setattr(Halving, "take_in", cut_off)
    with pytest.raises(KeyboardInterrupt):
        prefect_tune.HalvingGridSearchCV(FOREST, DEPTHS, **LADDER).fit(*numbers())
    monkeypatch.setattr(Halving, "take_in", take_in)
    assert_equal_fit(GRID, FOREST, DEPTHS, data=numbers(), **LADDER)
    assert here.grown == [(0, 0), (12, 12), (12, 12)]
    assert waiting_models(here.root) == []


def test_fit_times_are_those_of_the_whole_model(here: Here) -> None:
    """A grown model took what all its trees took, as the table of a fit from nothing would say."""
    search = prefect_tune.HalvingGridSearchCV(FOREST, DEPTHS, **LADDER, refit=False).fit(*numbers())
    times, params = search.cv_results_["mean_fit_time"], search.cv_results_["params"]
    spent: dict[Any, list[float]] = {}
    for row, seconds in zip(params, times, strict=True):
        spent.setdefault(row["max_depth"], []).append(seconds)
    assert all(seconds == sorted(seconds) for seconds in spent.values())


def test_the_cost_says_what_was_taken_over(prefect_api: str, dask_threads: Any, tmp_path: Path) -> None:
    """As a flow: trees trained and taken over are in the cost and in the report; a second run trains none."""
    place = {"cluster": dask_threads.scheduler_address, "store": str(tmp_path)}
    search = assert_equal_fit(GRID, FOREST, DEPTHS, data=numbers(), place=place, **LADDER)
    cost = search.search_result_.cost
    assert (cost.trained, cost.taken_over) == (GROWN, FRESH - GROWN)
    assert "taken over from earlier iterations" in Path(search.search_result_.report_path).read_text()
    assert waiting_models(tmp_path) == []
    again = prefect_tune.HalvingGridSearchCV(FOREST, DEPTHS, **LADDER, **place).fit(*numbers())
    cost = again.search_result_.cost
    assert (cost.run, cost.trained, cost.taken_over) == (0, 0, 0)
