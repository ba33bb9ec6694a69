"""What a search finds equals what scikit-learn finds: table, winner and model, bit for bit."""

from __future__ import annotations

import copy
import warnings

import numpy as np
import pytest
from differential import assert_equal_search, assert_same, run_ours
from questions import QUESTIONS, RAISES
from sklearn import config_context
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.metrics import make_scorer
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from structures import STRUCTURES, numbers


@pytest.mark.parametrize("name", STRUCTURES)
def test_structure_equals_sklearn(name, tmp_path):
    """However an estimator is put together, table, winner and model are those of scikit-learn."""
    make, X, y = STRUCTURES[name]()
    assert_equal_search(make, X, y, root=tmp_path / "store")


@pytest.mark.parametrize("name", QUESTIONS)
def test_question_equals_sklearn(name, tmp_path):
    """Whatever the data, folds, scoring, fit parameters and failures, the answers are scikit-learn's."""
    make, X, y, params = QUESTIONS[name]()
    assert_equal_search(make, X, y, root=tmp_path / "store", **params)


@pytest.mark.parametrize("name", RAISES)
def test_error_is_sklearns(name, tmp_path):
    """What makes scikit-learn's search raise makes ours raise the same kind of error, or a narrower one."""
    make, X, y, params = RAISES[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(Exception) as theirs:  # noqa: PT011
            copy.deepcopy(make()).fit(X, y, **params)
        with pytest.raises(theirs.type):
            run_ours(copy.deepcopy(make()), X, y, root=tmp_path / "store", **params)


def test_fortran_order_is_taken_as_c_order(tmp_path):
    """Data is canonical: columns first or rows first, the model is the one of rows first."""
    X, y = numbers()
    make = lambda: GridSearchCV(make_pipeline(StandardScaler(), LogisticRegression()), {}, cv=3)  # noqa: E731
    ours = run_ours(make(), np.asfortranarray(X), y, root=tmp_path / "store")
    assert_same(ours.model, make().fit(np.ascontiguousarray(X), y).best_estimator_, "model")


def test_arrays_to_start_from_are_not_trained_in(tmp_path):
    """Each fit starts from `coef_init` as it was passed; scikit-learn's search trains in it fold by fold."""
    X, y = numbers(classes=2)
    start, cv = np.ones((1, 5)), KFold(3)
    search = GridSearchCV(SGDClassifier(random_state=0), {"alpha": [1e-4, 1e-1]}, cv=cv)
    ours = run_ours(search, X, y, root=tmp_path / "store", coef_init=start)
    alone = [
        SGDClassifier(random_state=0, alpha=alpha)
        .fit(X[train], y[train], coef_init=np.ones((1, 5)))
        .score(X[test], y[test])
        for alpha in (1e-4, 1e-1)
        for train, test in cv.split(X)
    ]
    table = np.column_stack([ours.table[f"split{i}_test_score"] for i in range(3)])
    assert table.ravel().tolist() == alone
    assert start.tolist() == np.ones((1, 5)).tolist()


@pytest.mark.parametrize(
    "flags", [{"fit": True, "score": True}, {"fit": True, "score": False}, {"fit": False, "score": False}]
)
def test_metadata_routing_equals_sklearn(flags, tmp_path):
    """With metadata routing weights and groups go where they are asked for, in fits and in scores."""
    X, y = numbers()
    weights = np.linspace(0.1, 2, 60)
    with config_context(enable_metadata_routing=True):
        scale = StandardScaler().set_fit_request(sample_weight=flags["fit"])
        model = (
            LogisticRegression()
            .set_fit_request(sample_weight=flags["fit"])
            .set_score_request(sample_weight=flags["score"])
        )
        scorer = make_scorer(_weighted).set_score_request(sample_weight=flags["score"])
        given = {"sample_weight": weights} if flags["fit"] or flags["score"] else {}
        pipe, C = make_pipeline(scale, model), {"logisticregression__C": [0.1, 1]}
        # Where nobody asks for weights, scikit-learn's own Pipeline.score fails under routing (1.9.1).
        for scoring in (None, scorer) if flags["score"] else (scorer,):
            assert_equal_search(
                lambda scoring=scoring: GridSearchCV(pipe, C, cv=GroupKFold(3), scoring=scoring),
                X, y, root=tmp_path / "store", groups=np.arange(60) // 6, **given,
            )  # fmt: skip


def _weighted(y, predicted, sample_weight=None):
    return float(np.average(y == predicted, weights=sample_weight))


@pytest.mark.parametrize("output", ["pandas", "default"])
def test_global_output_container_equals_sklearn(output, tmp_path):
    """The global `transform_output` holds in every step."""
    make, X, y = STRUCTURES["columns_by_name"]()
    with config_context(transform_output=output):
        if output == "pandas":
            make.args[0].set_params(prep__cat__sparse_output=False)
        assert_equal_search(make, X, y, root=tmp_path / "store")
