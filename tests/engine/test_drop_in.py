"""The drop-in classes are scikit-learn's to whoever holds one: signature, attributes, answers, copies."""

from __future__ import annotations

import inspect
import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from differential import assert_same, assert_same_model, assert_same_table, run_ours
from questions import QUESTIONS
from sklearn import model_selection
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.utils import estimator_html_repr, get_tags
from structures import frame, numbers, target
from toys import accuracy, two_scores

import prefect_tune
from prefect_tune.results import SearchResult

OWN = ["cluster", "store", "seed", "resources", "step_seconds", "step_memory"]
PAIRS = [
    (prefect_tune.GridSearchCV, model_selection.GridSearchCV),
    (prefect_tune.RandomizedSearchCV, model_selection.RandomizedSearchCV),
]


@pytest.fixture
def in_process(monkeypatch, tmp_path):
    """The searches run in this process: `fit` asks for a flow, and gets the result without one."""
    from prefect_tune.flows import search as flows

    def start(asked):
        search = asked["sklearn"]
        run = run_ours(search, asked["X"], asked["y"], root=tmp_path / "store", **asked["fit_params"])
        table, metrics = run.table, run.metrics
        metric = search.refit if isinstance(search.refit, str) else metrics[0]
        return SearchResult(
            name="search", cv_results=table, best_index=run.best_index, best_params=run.best_params,
            best_score=run.best_score, metric=metric, metrics=metrics, n_splits=run.plan.folds, model=run.ref,
            refit_seconds=0.5,
        )  # fmt: skip

    for flow in (flows.grid_search, flows.randomized_search):
        monkeypatch.setattr(flow, "start", start)


def both(name, *args, **options):
    """Our search and scikit-learn's of the same name and arguments."""
    return getattr(prefect_tune, name)(*args, **options), getattr(model_selection, name)(*args, **options)


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_constructor_takes_what_sklearns_takes(ours, theirs):
    """Names, order, kinds and defaults are scikit-learn's; our own settings follow, by keyword only."""
    mine = list(inspect.signature(ours.__init__).parameters.values())
    other = list(inspect.signature(theirs.__init__).parameters.values())
    assert [(p.name, p.kind) for p in mine[: len(other)]] == [(p.name, p.kind) for p in other]
    assert [repr(p.default) for p in mine[: len(other)]] == [repr(p.default) for p in other]
    assert [p.name for p in mine[len(other) :]] == OWN
    assert {p.kind for p in mine[len(other) :]} == {inspect.Parameter.KEYWORD_ONLY}


@pytest.mark.parametrize("attribute", ["best", "table"])
def test_fitted_attributes_are_sklearns(attribute, in_process):
    """After `fit` there are the attributes that scikit-learn sets, with its values."""
    X, y = numbers()
    ours, theirs = both(
        "GridSearchCV", make_pipeline(StandardScaler(), SVC()), {"svc__C": [0.1, 1, 10]}, cv=3
    )
    assert ours.fit(X, y) is ours
    theirs.fit(X, y)
    missing = {name for name in vars(theirs) if name.endswith("_") and not name.startswith("_")} - set(
        vars(ours)
    )
    assert missing == set()
    if attribute == "table":
        assert_same_table(ours.cv_results_, theirs.cv_results_)
    else:
        assert_same(ours.best_params_, theirs.best_params_, "best_params_")
        assert (ours.best_index_, ours.best_score_) == (theirs.best_index_, theirs.best_score_)
        assert (ours.n_splits_, ours.multimetric_, ours.n_features_in_) == (3, False, 5)
        assert ours.classes_.tolist() == theirs.classes_.tolist()
        assert_same_model(ours.best_estimator_, theirs.best_estimator_, X)


def test_methods_are_those_of_the_best_estimator(in_process):
    """Every method that scikit-learn's search has after `fit` is there, and answers alike."""
    X, y = numbers()
    ours, theirs = both(
        "GridSearchCV",
        make_pipeline(StandardScaler(), LogisticRegression()),
        {"logisticregression__C": [1, 2]},
    )
    with pytest.raises(NotFittedError):
        ours.predict(X)
    ours.fit(X, y)
    theirs.fit(X, y)
    for method in ("predict", "predict_proba", "predict_log_proba", "decision_function"):
        assert_same(getattr(ours, method)(X), getattr(theirs, method)(X), method)
    assert ours.score(X, y) == theirs.score(X, y)
    assert not hasattr(ours, "transform")


@pytest.mark.parametrize("method", ["transform", "inverse_transform", "score_samples"])
def test_methods_of_transformers_and_densities(method, in_process):
    """`transform`, `inverse_transform` and `score_samples` pass through where the best estimator has them."""
    X, _ = numbers()
    estimator = PCA(random_state=0)
    ours, theirs = both("GridSearchCV", estimator, {"n_components": [1, 2]}, cv=3)
    ours.fit(X)
    theirs.fit(X)
    given = theirs.transform(X) if method == "inverse_transform" else X
    assert_same(getattr(ours, method)(given), getattr(theirs, method)(given), method)


@pytest.mark.parametrize(
    "options",
    [
        {"scoring": ["accuracy", "f1_macro"], "refit": "f1_macro"},
        {"scoring": {"a": "accuracy", "b": accuracy}, "refit": "b"},
        {"scoring": {"score": "accuracy"}, "refit": "score"},
        {"scoring": two_scores, "refit": "acc"},
        {"scoring": accuracy},
        {"scoring": ["accuracy", "f1_macro"], "refit": False},
        {"refit": False},
        {"refit": lambda results: 1},
    ],
)
def test_scoring_and_refit_leave_what_sklearn_leaves(options, in_process):
    """`score`, `multimetric_`, `best_*` are scikit-learn's under every scoring and refit."""
    X, y = numbers()
    ours, theirs = both("GridSearchCV", LogisticRegression(), {"C": [0.01, 1]}, **options)
    ours.fit(X, y)
    theirs.fit(X, y)
    for name in (
        "best_index_",
        "best_score_",
        "best_params_",
        "best_estimator_",
        "multimetric_",
        "refit_time_",
    ):
        assert hasattr(ours, name) == hasattr(theirs, name), name
    assert ours.multimetric_ == theirs.multimetric_
    assert type(ours.scorer_) is type(theirs.scorer_)
    if options.get("refit", True):
        assert ours.best_index_ == theirs.best_index_
        assert ours.score(X, y) == theirs.score(X, y)


def test_frames_give_feature_names(in_process):
    """A search fitted on a frame knows its columns, and its answers are labelled as scikit-learn's."""
    X, y = frame()
    ours, theirs = both(
        "GridSearchCV",
        make_pipeline(StandardScaler(), LogisticRegression()),
        {"logisticregression__C": [1, 2]},
    )
    table = X[["a", "c"]]
    ours.fit(table, y)
    theirs.fit(table, y)
    assert ours.feature_names_in_.tolist() == ["a", "c"]
    assert_same(ours.predict(table), theirs.predict(table), "predict")


def test_randomized_draws_sklearns_candidates(in_process):
    """With a seed the same candidates are drawn, in the same order, as numpy values."""
    X, y = target()
    space = {"alpha": np.logspace(-2, 2, 30), "fit_intercept": [True, False]}
    ours, theirs = both("RandomizedSearchCV", Ridge(), space, n_iter=5, random_state=3)
    ours.fit(X, y)
    theirs.fit(X, y)
    assert_same_table(ours.cv_results_, theirs.cv_results_)


def test_arguments_of_fit_arrive(in_process):
    """`fit` passes weights and groups on as scikit-learn's does."""
    make, X, y, params = QUESTIONS["fit_weights"]()
    theirs = make().fit(X, y, **params)
    ours = prefect_tune.GridSearchCV(theirs.estimator, theirs.param_grid, cv=3).fit(X, y, **params)
    assert_same_table(ours.cv_results_, theirs.cv_results_)


@pytest.mark.parametrize("unsupervised", [True, False])
def test_no_target(unsupervised, in_process):
    """Without y the search is unsupervised."""
    X, y = numbers()
    ours, theirs = both("GridSearchCV", KMeans(n_init=1, random_state=0), {"n_clusters": [2, 3]})
    given = (X,) if unsupervised else (X, y)
    assert_same_table(ours.fit(*given).cv_results_, theirs.fit(*given).cv_results_)


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_copies_and_descriptions(ours, theirs):
    """Clone, pickle, repr, HTML, tags and `set_params` work as on scikit-learn's class, with our settings."""
    search = ours(SVC(), {"C": [1, 2]}, cv=3, store="somewhere", seed=4, resources={"svc": {"GPU": 1}})
    for copied in (clone(search), pickle.loads(pickle.dumps(search))):
        assert copied.get_params()["seed"] == 4
        assert copied.store == "somewhere"
        assert repr(copied) == repr(search)
    plain = theirs(SVC(), {"C": [1, 2]}, cv=3)
    assert {**plain.get_params(), **dict.fromkeys(OWN)}.keys() == search.get_params().keys()
    assert "SVC" in estimator_html_repr(search)
    assert get_tags(search) == get_tags(plain)
    assert is_classifier(search)
    assert is_regressor(ours(Ridge(), {"alpha": [1]}))
    assert search.set_params(estimator__C=5, seed=1).estimator.C == 5


def test_a_fitted_search_travels(in_process):
    """A fitted search is pickled with its best estimator."""
    X, y = numbers()
    search = prefect_tune.GridSearchCV(SVC(), {"C": [1, 2]}, cv=3).fit(X, y)
    copied = pickle.loads(pickle.dumps(search))
    assert copied.predict(X).tolist() == search.predict(X).tolist()
    assert_same_table(copied.cv_results_, search.cv_results_)


def test_parameters_are_checked_as_sklearn_checks_them():
    """A setting of the wrong type is refused by `fit`, by scikit-learn's own check."""
    X, y = numbers()
    ours, theirs = both("GridSearchCV", SVC(), {"C": [1]}, return_train_score="yes")
    with pytest.raises(ValueError, match="return_train_score") as expected:
        theirs.fit(X, y)
    with pytest.raises(type(expected.value), match="return_train_score"):
        ours.fit(X, y)


def test_a_nested_search_is_an_estimator_like_any_other(in_process):
    """A search around scikit-learn's search equals scikit-learn's."""
    X, y = numbers()
    inner = model_selection.GridSearchCV(SVC(), {"C": [0.1, 1]}, cv=2)
    ours, theirs = both(
        "GridSearchCV",
        make_pipeline(StandardScaler(), inner),
        {"gridsearchcv__estimator__kernel": ["rbf", "linear"]},
        cv=3,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert_same_table(ours.fit(X, y).cv_results_, theirs.fit(X, y).cv_results_)


def test_table_is_a_frame_for_pandas(in_process):
    """`cv_results_` becomes a frame, as people do with it."""
    X, y = numbers()
    search = prefect_tune.GridSearchCV(SVC(), {"C": [1, 2]}, cv=3).fit(X, y)
    assert list(pd.DataFrame(search.cv_results_)["param_C"]) == [1, 2]
