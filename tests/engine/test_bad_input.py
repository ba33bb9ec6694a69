"""Misuse gives one clear error before anything runs: parameter, value, way out. Failures are told."""

from __future__ import annotations

import threading
import warnings

import numpy as np
import pandas as pd
import pytest
from differential import run_ours
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_iris
from sklearn.exceptions import FitFailedWarning
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from toys import Choosy, Scaler

from prefect_tune import grid_search, halving_grid_search, hyperband_search, tune
from prefect_tune.dry_run import plan_search
from prefect_tune.errors import (
    DataError,
    MissingDependency,
    NotPicklable,
    ScoringError,
    SpaceError,
    UnknownParameter,
    UserError,
)
from prefect_tune.request import build_search, resolve_data
from prefect_tune.search import prepare
from prefect_tune.space import uniform
from prefect_tune.store import StepStore

X, Y = load_iris(return_X_y=True)
PIPE = Pipeline([("scale", StandardScaler()), ("clf", LogisticRegression())])
COLUMNS = Pipeline([("prep", ColumnTransformer([("num", StandardScaler(), [0])])), ("clf", SVC())])


@pytest.fixture
def store(tmp_path):
    return StepStore.open(tmp_path / "store")


def says(error, *words):
    """Nothing; every word is in the message, which is one line."""
    text = str(error.value)
    assert "\n" not in text
    for word in words:
        assert word in text, text


@pytest.mark.parametrize(
    ("estimator", "grid", "words"),
    [
        (PIPE, {"clf__penalti": ["l2"]}, ["'clf'", "'penalti'", "'penalty'"]),
        (PIPE, {"clv__C": [1]}, ["Pipeline", "'clv'", "'clf'"]),
        (PIPE, {"clv": [SVC()]}, ["'clv'", "'clf'"]),
        (PIPE, {"C": [1]}, ["Pipeline", "'C'", "clf"]),
        (PIPE, {"clf": [SVC()], "clf__gama": [1]}, ["'clf'", "'gama'", "'gamma'"]),
        (
            PIPE,
            [{"clf": [SVC()], "clf__gamma": [1]}, {"clf": [GaussianNB()], "clf__gamma": [1]}],
            ["'clf'", "'gamma'"],
        ),
        (PIPE, {"clf": ["passthrough"], "clf__C": [1]}, ["'clf'", "passthrough", "'C'"]),
        (PIPE, {"scale__with_mean__deep": [1]}, ["'scale__with_mean'", "deep"]),
        (COLUMNS, {"prep__num__with_meen": [True]}, ["'prep__num'", "'with_meen'", "'with_mean'"]),
        (COLUMNS, {"prep__nun__with_mean": [True]}, ["'prep'", "'nun'", "'num'"]),
        (SVC(), {"c": [1]}, ["SVC", "'c'", "'C'"]),
        (OneVsRestClassifier(SVC()), {"estimator__gama": [1]}, ["'estimator'", "'gama'", "'gamma'"]),
        (
            OneVsRestClassifier(SVC()),
            {"estimator": [GaussianNB()], "estimator__C": [1]},
            ["'estimator'", "'C'"],
        ),
        (PIPE, [{"clf__C": [1]}, {"clf__D": [1]}], ["'clf'", "'D'", "C, "]),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, (dict, list)) else "",
)
def test_unknown_parameter_names_owner_and_neighbour(estimator, grid, words, store):
    """A parameter that does not exist is refused with its owner and the closest name, wherever it sits."""
    with pytest.raises(UnknownParameter) as error:
        prepare(GridSearchCV(estimator, grid), X, Y, store=store)
    says(error, *words)


@pytest.mark.parametrize(
    ("make", "kind", "words"),
    [
        (lambda: GridSearchCV(PIPE, []), SpaceError, ["empty"]),
        (lambda: GridSearchCV(PIPE, {"clf__C": []}), SpaceError, ["clf__C"]),
        (lambda: GridSearchCV(PIPE, [{"clf__C": [1]}, {"clf__tol": []}]), SpaceError, ["clf__tol"]),
        (lambda: GridSearchCV(PIPE, {"clf__C": "abc"}), SpaceError, ["clf__C", "abc"]),
        (lambda: GridSearchCV(PIPE, {"clf__C": 1.0}), SpaceError, ["clf__C", "1.0"]),
        (lambda: GridSearchCV(PIPE, [3]), SpaceError, ["3"]),
        (lambda: RandomizedSearchCV(PIPE, {"clf__C": 5}), SpaceError, ["clf__C"]),
        (lambda: RandomizedSearchCV(PIPE, []), SpaceError, ["empty"]),
        (lambda: GridSearchCV(PIPE, {}, scoring="acuracy"), ScoringError, ["'acuracy'", "'accuracy'"]),
        (
            lambda: GridSearchCV(PIPE, {}, scoring=["f1_makro"], refit=False),
            ScoringError,
            ["f1_makro", "f1_macro"],
        ),
        (
            lambda: GridSearchCV(PIPE, {}, scoring={"a": "acuracy"}, refit="a"),
            ScoringError,
            ["acuracy", "accuracy"],
        ),
        (
            lambda: GridSearchCV(PIPE, {}, scoring=["accuracy", "f1_macro"], refit="f1"),
            ScoringError,
            ["'f1'", "refit"],
        ),
        (lambda: GridSearchCV(PIPE, {}, scoring=["accuracy", "f1_macro"]), ScoringError, ["refit", "True"]),
        (lambda: GridSearchCV(PIPE, {}, scoring=[]), ScoringError, ["scoring"]),
        (lambda: GridSearchCV(PIPE, {}, scoring=["accuracy", "accuracy"]), ScoringError, ["scoring"]),
        (lambda: GridSearchCV(PIPE, {}, cv=[]), DataError, ["cv", "no split"]),
        (lambda: GridSearchCV(StandardScaler, {}), UserError, ["estimator"]),
        (lambda: GridSearchCV("svc", {}), UserError, ["estimator", "svc", "get_params"]),
        (lambda: GridSearchCV(StandardScaler(), {}), ScoringError, ["scoring", "score"]),
    ],
)
def test_wrong_question_is_refused(make, kind, words, store):
    """A space, a scorer or folds that make no search are refused by name and value."""
    with pytest.raises(kind) as error:
        prepare(make(), X, Y, store=store)
    says(error, *words)


def test_empty_grid_of_no_parameters_is_one_candidate(store):
    """`{}` asks for the estimator as it stands, as in scikit-learn."""
    assert len(prepare(GridSearchCV(PIPE, {}), X, Y, store=store).candidates) == 1


@pytest.mark.parametrize(
    ("data", "params", "words"),
    [
        ((X, Y[:-1]), {}, ["X", "y", "150", "149"]),
        ((X, Y), {"groups": [1, 2]}, ["groups", "2", "150"]),
        ((X, Y), {"sample_weight": np.ones(149)}, ["sample_weight", "149", "150"]),
        ((X, Y), {"clf__sample_weight": np.ones(3)}, ["clf__sample_weight", "3", "150"]),
        ((X, Y), {"klf__sample_weight": np.ones(150)}, ["klf", "clf"]),
        ((X, Y), {"sample_weight": np.ones(150)}, ["Pipeline", "sample_weight", "clf"]),
        ((5, Y), {}, ["X"]),
        ((None, Y), {}, ["X", "None"]),
    ],
)
def test_data_that_does_not_fit_together_is_refused(data, params, words, store):
    """Lengths that differ, and arguments that reach no step, are refused with both numbers or names."""
    with pytest.raises(DataError) as error:
        prepare(GridSearchCV(PIPE, {}), *data, params=params, store=store)
    says(error, *words)


class Holder(SVC):
    """An estimator with a parameter that may hold anything."""

    def __init__(self, held=None):
        super().__init__()
        self.held = held


OPENED = open(__file__)  # noqa: SIM115 -- its being open is the point


@pytest.mark.parametrize(
    "held", [threading.Lock(), (i for i in range(3)), OPENED], ids=["lock", "generator", "file"]
)
def test_what_cannot_travel_is_refused(held, store):
    """A lock, a generator or an open file cannot reach a worker, in the estimator or in a candidate."""
    with pytest.raises(NotPicklable) as error:
        prepare(GridSearchCV(make_pipeline(Holder(held)), {}), X, Y, store=store)
    says(error, "estimator", "open them in fit()")
    with pytest.raises(NotPicklable) as error:
        prepare(GridSearchCV(Holder(), {"held": [None, held]}), X, Y, store=store)
    says(error, "held", "open them in fit()")


@pytest.mark.parametrize(
    ("form", "kind", "words"),
    [
        (
            {"class": "nowhere.Model"},
            MissingDependency,
            ["estimator", "'nowhere.Model'", "'nowhere'", "install"],
        ),
        ({"class": "sklearn.svm.SVCC"}, UserError, ["estimator", "'SVCC'", "'sklearn.svm'", "'SVC'"]),
        ({"class": "SVC"}, UserError, ["estimator", "'SVC'", "dotted"]),
        ({"class": "sklearn.svm.SVC", "params": {"c": 1}}, UserError, ["estimator", "SVC", "'c'"]),
        ({"class": "sklearn.svm.SVC", "params": [1]}, UserError, ["estimator", "params"]),
        ({"class": 3}, UserError, ["estimator", "3", "dotted"]),
        ({"klass": "sklearn.svm.SVC"}, UserError, ["estimator", "klass", "class"]),
        ({"object": {"digest": "ab"}}, UserError, ["estimator", "object"]),
        ({"object": {"digest": "0" * 64, "size": 5, "codec": "pickle"}}, UserError, ["estimator", "store"]),
        (
            {"class": "sklearn.pipeline.Pipeline", "params": {"steps": [["a", {"class": "gone.Step"}]]}},
            MissingDependency,
            ["estimator.steps", "gone.Step"],
        ),
    ],
)
def test_bad_json_form_is_refused(form, kind, words, store):
    """A JSON form that stands for nothing is refused with its place and what to write."""
    with pytest.raises(kind) as error:
        build_search("grid", {"estimator": form, "param_grid": {}}, store)
    says(error, *words)


def test_good_json_form_is_built(store):
    """Pairs in JSON become the tuples that scikit-learn wants."""
    steps = [
        ["s", {"class": "sklearn.preprocessing.StandardScaler"}],
        ["c", {"class": "sklearn.svm.SVC", "params": {"C": 2}}],
    ]
    form = {"class": "sklearn.pipeline.Pipeline", "params": {"steps": steps}}
    search = build_search("grid", {"estimator": form, "param_grid": {"c__C": [1, 2]}}, store)
    assert search.estimator.get_params()["c__C"] == 2


@pytest.mark.parametrize(
    ("X_", "y_", "words"),
    [
        ("missing.parquet", None, ["X", "missing.parquet"]),
        ("data.xlsx", None, ["X", "data.xlsx", ".parquet"]),
        (pd.DataFrame({"a": [1], "goal": [2]}), "gaol", ["y", "'gaol'", "'goal'"]),
        (np.ones((3, 2)), "goal", ["y", "'goal'", "column"]),
        ({"data": "ab", "blob": {}}, None, ["reference", "ingest"]),
    ],
)
def test_bad_path_or_column_is_refused(X_, y_, words, store, tmp_path, monkeypatch):
    """A path that cannot be read and a column that is not there are named, with what there is."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError) as error:
        resolve_data(X_, y_, store)
    says(error, *words)


def test_dry_run_refuses_as_the_search_does(store):
    """`plan_search` checks what a search checks."""
    with pytest.raises(UnknownParameter):
        plan_search(PIPE, {"clf__D": [1]}, X, Y, store=store)


def test_failures_are_told(tmp_path):
    """A failed candidate is listed with row, parameters, fold, cause and end of its traceback; the table is
    complete, and the warning is scikit-learn's."""
    pipe = Pipeline([("a", Scaler()), ("c", Choosy())])
    search = GridSearchCV(pipe, {"c__good": [True, False], "a__fail": [False]}, cv=2)
    with pytest.warns(FitFailedWarning, match="2 fits failed out of a total of 4"):
        run = run_ours(search, X, Y, root=tmp_path / "store")
    assert [(f.candidate, f.fold) for f in run.failures] == [(1, 0), (1, 1)]
    assert run.failures[0].cause == "Refused: good=False"
    assert "c__good=False" in run.failures[0].params
    assert "in fit" in run.failures[0].tail
    assert "Refused: good=False" in run.failures[0].tail
    assert np.isnan(run.table["mean_test_score"][1])


def test_failure_of_a_shared_step_is_told_once_per_candidate(tmp_path):
    """Candidates below a prefix that fails all name its cause."""
    pipe = Pipeline([("a", Scaler(fail=True)), ("c", Choosy())])
    search = GridSearchCV(pipe, [{"c__label": [0, 1]}, {"a__fail": [False]}], cv=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run = run_ours(search, X, Y, root=tmp_path / "store")
    assert [f.candidate for f in run.failures] == [0, 0, 1, 1]
    assert {f.cause for f in run.failures} == {"ArithmeticError: told to fail with factor=1.0"}


def test_failed_candidates_run_again(tmp_path):
    """A failure is never a stored result: the same search asks again, and only for what failed."""
    search = GridSearchCV(Choosy(), {"good": [True, False]}, cv=2, refit=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        first = run_ours(search, X, Y, root=tmp_path / "store")
        second = run_ours(search, X, Y, root=tmp_path / "store")
    assert (first.plan.to_run, second.plan.to_run) == (8, 4)
    assert len(second.failures) == 2


@pytest.fixture
def shared(tmp_path):
    """A store that others are said to write in."""
    return StepStore.open(tmp_path / "shared", trust="data-only")


@pytest.mark.parametrize(
    "start",
    [
        lambda store: grid_search(PIPE, {"clf__C": [1.0]}, X, Y, store=store),
        lambda store: halving_grid_search(PIPE, {"clf__C": [1.0, 2.0]}, X, Y, store=store),
        lambda store: hyperband_search(
            SGDClassifier(), {"alpha": [1e-3]}, X, Y, fit_params={"classes": [0, 1, 2]}, store=store
        ),
        lambda store: tune(PIPE, {"clf__C": uniform(1.0, 2.0)}, X=X, y=Y, cv=3, n_trials=2, store=store),
    ],
    ids=["grid", "halving", "hyperband", "tune"],
)
def test_a_store_that_keeps_no_models_is_refused_at_once(start, shared):
    """Where a fitted model would have to be kept, a data-only store is refused before anything runs."""
    with pytest.raises(UserError) as error:
        start(shared)
    says(error, str(shared.root), "data-only", "trust='local'")


def test_frames_are_refused_by_a_store_that_takes_no_pickles(shared):
    """Workers could not read them."""
    with pytest.raises(DataError) as error:
        grid_search(PIPE, {"clf__C": [1.0]}, pd.DataFrame(X), Y, store=shared, refit=False)
    says(error, "X", "DataFrame", "data-only")


def test_a_store_that_takes_no_pickles_serves_a_search_of_arrays(shared, prefect_api, dask_threads):
    """Data, folds and scores need none: scikit-learn's table, and everything known the second time."""
    asked = {"refit": False, "cluster": dask_threads.scheduler_address, "verbose": 0}
    grid = {"clf__C": [0.1, 1.0]}
    first = grid_search(PIPE, grid, X, Y, store=shared, **asked)
    plain = GridSearchCV(PIPE, grid).fit(X, Y)
    assert first.dataframe()["mean_test_score"].tolist() == plain.cv_results_["mean_test_score"].tolist()
    assert grid_search(PIPE, grid, X, Y, store=shared, **asked).cost.run == 0
