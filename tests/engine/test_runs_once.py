"""Each distinct step runs exactly once: within a search, in a repeat, in a wider grid."""

from __future__ import annotations

import runpy
import textwrap
from collections import Counter

import counting
import numpy as np
import pytest
from counting import Nearest, OnlyFit, Step, double, halve
from differential import assert_same_table, forget, run_ours
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.model_selection import GridSearchCV, KFold, ParameterGrid
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from spoiling import cut_model

FOLDS = 3


@pytest.fixture
def log(tmp_path, monkeypatch):
    """The file that counts; emptied by `counting.calls`."""
    path = tmp_path / "calls.txt"
    monkeypatch.setenv(counting.VARIABLE, str(path))
    forget()
    return path


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 30)
    return rng.normal(size=(30, 3)) + y[:, None], y


def search(estimator, grid, **options):
    """A grid search over three folds without a refit."""
    return GridSearchCV(estimator, grid, **{"cv": KFold(FOLDS), "refit": False, **options})


def twice(**counts):
    """Expected lines: name -> times."""
    return Counter({name: n for name, n in counts.items() if n})


def test_a_shared_prefix_runs_once_per_fold(log, data, tmp_path):
    """Each fit and transform of a prefix runs once per fold, each final fit and predict once per leaf."""
    pipe = Pipeline([("a", Step()), ("b", Step()), ("c", Nearest())])
    grid = {"a__tag": [1, 2], "b__tag": [3, 4], "c__shrink": [0.5, 1.0]}
    run = run_ours(search(pipe, grid), *data, root=tmp_path / "s")
    # 2 different a, each with 2 different b, each with 2 final fits; all in 3 folds.
    expected = {}
    for tag, uses in ((1, 1), (2, 1), (3, 2), (4, 2)):
        expected[f"Step({tag}).fit_transform"] = expected[f"Step({tag}).transform"] = FOLDS * uses
    expected["Nearest(0).fit"] = expected["Nearest(0).predict"] = FOLDS * 8
    assert counting.calls(log) == Counter(expected)
    assert run.steps == run.plan.to_run == run.plan.distinct


def test_training_scores_transform_the_training_rows_once(log, data, tmp_path):
    """Training scores add one transform of the training rows per fold, and one predict per leaf."""
    pipe = Pipeline([("a", Step()), ("c", Nearest())])
    run = run_ours(
        search(pipe, {"c__shrink": [0.5, 1.0]}, return_train_score=True), *data, root=tmp_path / "s"
    )
    assert counting.calls(log) == Counter(
        {"Step(0).fit_transform": 3, "Step(0).transform": 6, "Nearest(0).fit": 6, "Nearest(0).predict": 12}
    )
    assert run.steps == run.plan.to_run == run.plan.distinct


def test_a_repeat_runs_nothing(log, data, tmp_path):
    """The same search again runs no step, not even the refit, and gives the same table."""
    make = lambda: search(make_pipeline(Step(), Nearest()), {"step__tag": [1, 2]}, refit=True)  # noqa: E731
    first = run_ours(make(), *data, root=tmp_path / "s")
    counting.calls(log)
    second = run_ours(make(), *data, root=tmp_path / "s")
    assert counting.calls(log) == Counter()
    assert (second.steps, second.plan.to_run, second.plan.task_runs) == (0, 0, 0)
    assert second.refit_ran == Counter()
    assert_same_table(second.table, first.table)


def test_a_damaged_best_model_is_made_again(log, data, tmp_path):
    """Its record is there and its bytes are not: the next run finds out, and fits nothing but that."""
    make = lambda: search(make_pipeline(Step(), Nearest()), {"step__tag": [1, 2]}, refit=True)  # noqa: E731
    first = run_ours(make(), *data, root=tmp_path / "s")
    counting.calls(log)
    cut_model(first.ref)
    tag = first.best_params["step__tag"]
    second = run_ours(make(), *data, root=tmp_path / "s")
    assert second.steps == 0
    assert counting.calls(log) == Counter({f"Step({tag}).fit_transform": 1, "Nearest(0).fit": 1})
    assert np.array_equal(second.model.predict(data[0]), first.model.predict(data[0]))


def test_a_wider_grid_runs_only_what_is_new(log, data, tmp_path):
    """New values of the last step meet the stored prefixes; a new prefix runs alone."""
    pipe = make_pipeline(Step(), Nearest())
    run_ours(search(pipe, {"step__tag": [1], "nearest__shrink": [0.5, 1.0]}), *data, root=tmp_path / "s")
    counting.calls(log)
    wider = run_ours(
        search(pipe, {"step__tag": [1], "nearest__shrink": [0.5, 1.0, 2.0]}), *data, root=tmp_path / "s"
    )
    assert counting.calls(log) == Counter({"Nearest(0).fit": 3, "Nearest(0).predict": 3})
    assert wider.steps == wider.plan.to_run == 6
    run_ours(search(pipe, {"step__tag": [1, 2], "nearest__shrink": [0.5]}), *data, root=tmp_path / "s")
    assert counting.calls(log) == Counter(
        {"Step(2).fit_transform": 3, "Step(2).transform": 3, "Nearest(0).fit": 3, "Nearest(0).predict": 3}
    )


def test_another_metric_fits_the_prefix_no_more(log, data, tmp_path):
    """Another scorer needs the final fits again, but no prefix."""
    pipe, grid = make_pipeline(Step(), Nearest()), {"nearest__shrink": [0.5, 1.0]}
    run_ours(search(pipe, grid), *data, root=tmp_path / "s")
    counting.calls(log)
    run_ours(search(pipe, grid, scoring="f1"), *data, root=tmp_path / "s")
    assert counting.calls(log) == Counter({"Nearest(0).fit": 6, "Nearest(0).predict": 6})


def test_more_folds_of_one_splitter_reuse_nothing_wrong(log, data, tmp_path):
    """A fold is its rows: the same rows in another order of folds are known, other rows are not."""
    X, y = data
    pipe, folds = make_pipeline(Step(), Nearest()), list(KFold(FOLDS).split(X))
    run_ours(search(pipe, {}, cv=folds), X, y, root=tmp_path / "s")
    counting.calls(log)
    turned = run_ours(search(pipe, {}, cv=folds[::-1]), X, y, root=tmp_path / "s")
    assert turned.steps == 0
    run_ours(search(pipe, {}, cv=KFold(2)), X, y, root=tmp_path / "s")
    assert counting.calls(log)["Nearest(0).fit"] == 2


def test_numpy_scalars_are_their_python_values(log, data, tmp_path):
    """np.float64(0.5) and 0.5, np.int64(1) and 1, np.bool(True) and True are one candidate each."""
    grid = {"shrink": [0.5, np.float64(0.5)], "tag": [1, np.int64(1), True, np.bool_(True)]}
    run = run_ours(search(Nearest(), grid), *data, root=tmp_path / "s")
    assert counting.calls(log)["Nearest(1).fit"] == FOLDS
    assert run.plan.candidates == 8
    assert run.plan.distinct == 2 * FOLDS * 2


def test_one_as_int_float_and_bool_are_kept_apart(log, data, tmp_path):
    """1, 1.0 and True are three candidates, 0.0 and -0.0 two: an estimator may tell them apart."""
    run_ours(search(Nearest(), {"tag": [1, 1.0, True, 0.0, -0.0]}), *data, root=tmp_path / "s")
    fits = {name: n for name, n in counting.calls(log).items() if name.endswith("fit")}
    assert fits == {f"Nearest({tag}).fit": FOLDS for tag in ("1", "1.0", "True", "0.0", "-0.0")}


def test_duplicates_run_once(log, data, tmp_path):
    """A candidate listed three times, and in two grids, is one; its rows in the table are equal."""
    grids = [{"shrink": [0.5, 0.5]}, {"shrink": [0.5, 1.0]}]
    run = run_ours(search(Nearest(), grids), *data, root=tmp_path / "s")
    assert counting.calls(log)["Nearest(0).fit"] == 2 * FOLDS
    assert (
        run.table["mean_test_score"][0] == run.table["mean_test_score"][1] == run.table["mean_test_score"][2]
    )


def test_passthrough_adds_nothing(log, data, tmp_path):
    """Passthrough, None and a missing step lead to the same final fit."""
    pipe = Pipeline([("a", Step()), ("c", Nearest())])
    run = run_ours(search(pipe, {"a": ["passthrough", None]}), *data, root=tmp_path / "s")
    assert counting.calls(log) == Counter({"Nearest(0).fit": FOLDS, "Nearest(0).predict": FOLDS})
    alone = run_ours(search(Nearest(), {}), *data, root=tmp_path / "s")
    assert counting.calls(log) == Counter()
    assert alone.table["mean_test_score"][0] == run.table["mean_test_score"][0]


def test_names_of_steps_do_not_matter(log, data, tmp_path):
    """Another name for a step changes no key; the model of each search bears its own names."""
    one, two = (Pipeline([(name, Step()), ("c", Nearest())]) for name in ("one", "two"))
    first = run_ours(search(one, {}, refit=True), *data, root=tmp_path / "s")
    counting.calls(log)
    second = run_ours(search(two, {}, refit=True), *data, root=tmp_path / "s")
    assert second.steps == 0
    assert [list(run.model.named_steps) for run in (first, second)] == [["one", "c"], ["two", "c"]]


def test_branches_are_shared(log, data, tmp_path):
    """Branches of unions run once per distinct columns and parameters, whatever the other branches do."""
    columns = ColumnTransformer([("l", Step(), [0, 1]), ("r", OnlyFit(), [2])])
    pipe = Pipeline([("u", columns), ("c", Nearest())])
    run = run_ours(search(pipe, {"u__l__tag": [1, 2], "u__r__tag": [5, 6]}), *data, root=tmp_path / "s")
    found = counting.calls(log)
    for tag in (1, 2):
        assert found[f"Step({tag}).fit_transform"] == found[f"Step({tag}).transform"] == FOLDS
    for tag in (5, 6):
        # OnlyFit transforms once while it is fitted and once for the rows to be scored.
        assert (found[f"OnlyFit({tag}).fit"], found[f"OnlyFit({tag}).transform"]) == (FOLDS, 2 * FOLDS)
    assert found["Nearest(0).fit"] == 4 * FOLDS
    assert run.steps == run.plan.to_run == run.plan.distinct


def test_equal_branches_run_once(log, data, tmp_path):
    """Two branches of a union that do the same are one step."""
    union = FeatureUnion([("one", Step(1)), ("two", Step(1)), ("three", Step(2))])
    run_ours(search(make_pipeline(union, Nearest()), {}), *data, root=tmp_path / "s")
    found = counting.calls(log)
    assert found["Step(1).fit_transform"] == found["Step(2).fit_transform"] == FOLDS


def test_functions_as_parameters_are_shared(log, data, tmp_path):
    """A function is its code: the same one twice is one candidate, in a second search too."""
    pipe = make_pipeline(FunctionTransformer(), Step(), Nearest())
    grid = {"functiontransformer__func": [double, halve, double]}
    run_ours(search(pipe, grid), *data, root=tmp_path / "s")
    assert counting.calls(log)["Step(0).fit_transform"] == 2 * FOLDS
    assert run_ours(search(pipe, grid), *data, root=tmp_path / "s").steps == 0


def test_estimators_as_candidates_are_shared(log, data, tmp_path):
    """Equal estimators listed as candidates are one step, and the same step as the declared one."""
    pipe = Pipeline([("a", Step(1)), ("c", Nearest())])
    grid = [{"a": [Step(1), Step(2), Step(1)]}, {"a__tag": [1, 2]}, {"a": [Step(9)], "a__tag": [2]}]
    run_ours(search(pipe, grid), *data, root=tmp_path / "s")
    found = counting.calls(log)
    assert {name: n for name, n in found.items() if "fit_transform" in name} == {
        "Step(1).fit_transform": FOLDS,
        "Step(2).fit_transform": FOLDS,
    }


def test_order_of_candidates_and_size_of_batches_do_not_matter(log, data, tmp_path):
    """Reversed candidates find everything; many small batches run no step twice."""
    pipe = make_pipeline(Step(), Step(), Nearest())
    grid = [
        {"step-1__tag": [a], "step-2__tag": [b], "nearest__shrink": [0.5, 1.0]}
        for a in (1, 2)
        for b in (3, 4)
    ]
    first = run_ours(search(pipe, grid), *data, root=tmp_path / "s", slots=16)
    assert counting.calls(log)["Step(1).fit_transform"] == FOLDS
    assert first.steps == first.plan.to_run
    assert run_ours(search(pipe, grid[::-1]), *data, root=tmp_path / "s").steps == 0


def test_a_callable_scorer_runs_prefixes_once(log, data, tmp_path):
    """A scorer that is shown the whole estimator transforms by itself; fits are shared as ever."""
    pipe = make_pipeline(Step(), Nearest())
    run = run_ours(
        search(pipe, {"nearest__shrink": [0.5, 1.0]}, scoring=lambda e, X, y: e.score(X, y)),
        *data,
        root=tmp_path / "s",
    )
    assert counting.calls(log) == Counter(
        {"Step(0).fit_transform": 3, "Step(0).transform": 6, "Nearest(0).fit": 6, "Nearest(0).predict": 6}
    )
    assert run.steps == run.plan.to_run == run.plan.distinct


MAIN = """
import sys
import numpy as np
from pathlib import Path
from sklearn.base import BaseEstimator, TransformerMixin, ClassifierMixin
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.naive_bayes import GaussianNB

class Local(TransformerMixin, BaseEstimator):
    def __init__(self, power=1):
        self.power = power
    def fit(self, X, y=None):
        self.seen_ = len(X)
        return self
    def transform(self, X):
        return X ** self.power * {factor}

if __name__ == "__main__":
    from differential import run_ours
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(30, 3)), np.arange(30) % 2
    search = GridSearchCV(make_pipeline(Local(), GaussianNB()), {{"local__power": [1, 2]}}, cv=3)
    run = run_ours(search, X, y, root=Path(sys.argv[1]))
    theirs = search.fit(X, y)
    assert run.table["mean_test_score"].tolist() == theirs.cv_results_["mean_test_score"].tolist()
    assert type(run.model[0]) is Local
    result = (run.steps, run.model.predict(X).tolist() == theirs.predict(X).tolist(), len(run.uncacheable))
"""


def test_classes_of_a_script_are_shared_by_their_code(tmp_path, monkeypatch):
    """A class defined in `__main__` runs once as long as its code is the same, and again when it changes."""
    results = []
    for factor in (1, 1, 2):
        script = tmp_path / "script.py"
        script.write_text(textwrap.dedent(MAIN).format(factor=factor), encoding="utf-8")
        monkeypatch.setattr("sys.argv", ["script.py", str(tmp_path / "s")])
        results.append(runpy.run_path(str(script), run_name="__main__")["result"])
    steps, alike, uncacheable = zip(*results, strict=True)
    # 2 powers x 3 folds: fit_transform, transform, fit, score; at first and once the code is another.
    assert steps == (24, 0, 24)
    assert alike == (True, True, True)
    assert uncacheable == (0, 0, 0)


# -- a dumb oracle -----------------------------------------------------------------------------------------

SHRINK = st.sampled_from([0.25, 0.5, 1.0, 2.0])
TAGS = st.sampled_from([0, 1, 2, 0.5])
PARTS = st.one_of(
    st.builds(Step, TAGS),
    st.builds(OnlyFit, TAGS),
    st.just(StandardScaler()),
    st.just("passthrough"),
    st.builds(lambda a, b: FeatureUnion([("l", Step(a)), ("r", Step(b))]), TAGS, TAGS),
    st.builds(lambda a: ColumnTransformer([("l", Step(a), [0])], remainder=OnlyFit()), TAGS),
    st.builds(lambda a: Pipeline([("i", Step(a)), ("j", "passthrough")]), TAGS),
)


@st.composite
def searches(draw):
    """A small pipeline and a list of grids over its steps."""
    pipe = Pipeline([*((name, draw(PARTS)) for name in "abc"[: draw(st.integers(1, 3))]), ("z", Nearest())])
    grids = []
    for _ in range(draw(st.integers(1, 2))):
        grid = {}
        for name, part in pipe.steps[:-1]:
            if draw(st.booleans()):
                grid[name] = draw(st.lists(PARTS, min_size=1, max_size=2))
            elif hasattr(part, "tag") and draw(st.booleans()):
                grid[f"{name}__tag"] = draw(st.lists(TAGS, min_size=1, max_size=2))
        if draw(st.booleans()):
            grid["z__shrink"] = draw(st.lists(SHRINK, min_size=1, max_size=3))
        grids.append(grid)
    return pipe, grids


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(searches(), st.integers(1, 8))
def test_table_equals_every_candidate_run_alone(data, tmp_path_factory, question, slots):
    """Whatever is shared and however it is cut, each score is that of the candidate cloned, fitted and scored
    alone, and as many steps run as the plan has distinct ones."""
    (X, y), (pipe, grids) = data, question
    root = tmp_path_factory.mktemp("store")
    run = run_ours(search(pipe, grids), X, y, root=root, slots=slots)
    alone = [
        [
            clone(pipe)
            .set_params(**clone(params, safe=False))
            .fit(X[train], y[train])
            .score(X[test], y[test])
            for train, test in KFold(FOLDS).split(X)
        ]
        for params in ParameterGrid(grids)
    ]
    table = np.column_stack([run.table[f"split{i}_test_score"] for i in range(FOLDS)])
    assert table.tolist() == alone
    assert run.steps == run.plan.to_run == run.plan.distinct
    assert run_ours(search(pipe, grids), X, y, root=root).steps == 0
