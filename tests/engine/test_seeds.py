"""What has no seed gets one by derivation: results repeat, whatever the order, the batches and the store."""

from __future__ import annotations

import numpy as np
import pytest
from differential import assert_same, assert_same_table, run_ours
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, KFold, RandomizedSearchCV
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.random_projection import GaussianRandomProjection
from structures import numbers
from toys import GlobalNoise

X, Y = numbers()
PIPE = make_pipeline(GaussianRandomProjection(2), RandomForestClassifier(3))
GRID = {"randomforestclassifier__max_depth": [1, 3], "gaussianrandomprojection__n_components": [2, 3]}


def by_candidate(run):
    """Scores of all folds by parameters, in no order."""
    columns = [run.table[f"split{i}_test_score"] for i in range(3)]
    return {repr(sorted(p.items())): [c[i] for c in columns] for i, p in enumerate(run.table["params"])}


@pytest.mark.parametrize("slots", [1, 16])
def test_unseeded_estimators_repeat_in_another_store(slots, tmp_path):
    """Two stores that know nothing of each other hold the same table and the same model."""
    make = lambda: GridSearchCV(PIPE, GRID, cv=3)  # noqa: E731
    one = run_ours(make(), X, Y, root=tmp_path / "one")
    two = run_ours(make(), X, Y, root=tmp_path / "two", slots=slots)
    assert_same_table(two.table, one.table)
    assert_same(two.model.predict_proba(X), one.model.predict_proba(X), "predict_proba")
    assert two.model.get_params()["randomforestclassifier__random_state"] is None


def test_order_and_company_of_candidates_change_no_seed(tmp_path):
    """A candidate scores the same alone, in a larger grid, and in reversed order."""
    whole = by_candidate(run_ours(GridSearchCV(PIPE, GRID, cv=3, refit=False), X, Y, root=tmp_path / "one"))
    rows = [
        {n: [v] for n, v in p.items()} for p in GridSearchCV(PIPE, GRID, cv=3).fit(X, Y).cv_results_["params"]
    ]
    turned = by_candidate(
        run_ours(GridSearchCV(PIPE, rows[::-1], cv=3, refit=False), X, Y, root=tmp_path / "two")
    )
    alone = by_candidate(
        run_ours(GridSearchCV(PIPE, rows[1:2], cv=3, refit=False), X, Y, root=tmp_path / "three")
    )
    assert turned == whole
    assert alone.items() <= whole.items()


def test_the_search_seed_changes_what_is_unseeded(tmp_path):
    """Another seed gives other numbers where chance decides, and needs no new run where it does not."""
    tables = [
        run_ours(GridSearchCV(PIPE, GRID, cv=3), X, Y, root=tmp_path / "s", seed=s).table for s in (0, 1)
    ]
    assert tables[0]["mean_test_score"].tolist() != tables[1]["mean_test_score"].tolist()
    seeded = make_pipeline(
        GaussianRandomProjection(2, random_state=0), RandomForestClassifier(3, random_state=0)
    )
    run_ours(GridSearchCV(seeded, {}, cv=3), X, Y, root=tmp_path / "s", seed=0)
    assert run_ours(GridSearchCV(seeded, {}, cv=3), X, Y, root=tmp_path / "s", seed=1).steps == 0


def test_twins_differ(tmp_path):
    """Two equal unseeded branches of one union are not copies of each other."""
    union = FeatureUnion([("a", GaussianRandomProjection(2)), ("b", GaussianRandomProjection(2))])
    pipe = Pipeline([("u", union), ("c", LogisticRegression())])
    run = run_ours(GridSearchCV(pipe, {}, cv=3), X, Y, root=tmp_path / "s")
    first, second = (part.components_ for _, part in run.model.named_steps["u"].transformer_list)
    assert not np.array_equal(first, second)


def test_folds_of_one_candidate_get_seeds_of_their_own(tmp_path):
    """The same rows in another order are another fold, and are fitted with another seed."""
    folds = [(np.arange(40), np.arange(40, 60)), (np.arange(39, -1, -1), np.arange(40, 60))]
    run = run_ours(
        GridSearchCV(RandomForestClassifier(1), {}, cv=folds, refit=False), X, Y, root=tmp_path / "s"
    )
    assert run.steps == 4


def test_global_generators_are_seeded(tmp_path):
    """A step that draws from the global generator of numpy repeats."""
    pipe = make_pipeline(GlobalNoise(scale=5.0), LogisticRegression())
    make = lambda: GridSearchCV(pipe, {"globalnoise__scale": [1.0, 5.0]}, cv=3)  # noqa: E731
    one = run_ours(make(), X, Y, root=tmp_path / "one")
    np.random.seed(7)
    two = run_ours(make(), X, Y, root=tmp_path / "two")
    assert_same_table(two.table, one.table)


@pytest.mark.parametrize("cv", [KFold(3, shuffle=True), None])
def test_unseeded_folds_and_candidates_repeat(cv, tmp_path):
    """Shuffled folds and drawn candidates without a seed are the same again: a second run runs nothing."""
    make = lambda: RandomizedSearchCV(LogisticRegression(), {"C": [0.1, 0.2, 0.3, 0.4]}, n_iter=2, cv=cv)  # noqa: E731
    one = run_ours(make(), X, Y, root=tmp_path / "s")
    two = run_ours(make(), X, Y, root=tmp_path / "s")
    assert_same_table(two.table, one.table)
    assert two.steps == 0
