"""Resources other than calls: rows of an ordinary fit, parameters that grow warm or cold, boosters."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path
from typing import Any

import adaptive_oracle as hand
import learners
import numpy as np
import pandas as pd
import pytest
from adaptive_here import search
from learners import Shift, Sum
from sklearn.base import clone
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline

rng = np.random.default_rng(0)
X = rng.normal(size=(130, 4))
y = (X[:, 0] - X[:, 1] + 0.5 * rng.normal(size=130) > 0).astype(int)
LADDER = {"n_initial_parameters": "grid", "n_initial_iter": 1}
RUNGS = [(9, 1), (3, 3), (1, 9)]


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(learners.VARIABLE, str(tmp_path / "calls"))
    return tmp_path / "calls"


def training_rows(size: int = 50) -> tuple[hand.Split, Any, Any]:
    """The split by hand, and all its training rows in the order of the first pass."""
    (split,) = hand.one_split(hand.cut((X, y, {}), size))
    parts = [split.train[i] for i in split.order[: len(split.train)]]
    return split, *hand.joined(parts)[:2]


def assert_ladder(result: Any, fitted: Any) -> None:
    """Scores at each level are those of `fitted(params, levels)`, and the best of each rung go on."""
    split = training_rows()[0]
    scores: dict[Any, dict[int, float]] = {}
    for entry in result.history:
        scores.setdefault(entry["model_id"], {})[entry["partial_fit_calls"]] = entry["score"]
    for row, params in enumerate(result.cv_results["params"]):
        levels = sorted(scores[row])
        for i in range(len(levels)):
            model = fitted(params, levels[: i + 1])
            assert scores[row][levels[i]] == model.score(*split.valid[:2])
    for (_, level), (size, following) in itertools.pairwise(RUNGS):
        ranked = sorted((s[level] for s in scores.values() if level in s), reverse=True)
        promoted = [s[level] for s in scores.values() if following in s]
        assert sorted(promoted, reverse=True) == ranked[:size]


@pytest.mark.parametrize(
    "estimator",
    [GradientBoostingClassifier(random_state=0), RandomForestClassifier(random_state=0)],
    ids=["boosting", "forest"],
)
@pytest.mark.parametrize("piped", [False, True])
def test_n_estimators_grows_warm(estimator: Any, piped: bool, tmp_path: Path) -> None:
    """With `warm_start` each rung adds what is missing to the model of the rung before."""
    space = {"max_depth": [1, 2, 3], "min_samples_leaf": [1, 5, 9]}
    _, rows, target = training_rows()
    asked = {**LADDER, "chunk_size": 50, "store": tmp_path}

    def warm(params: dict[str, Any], levels: list[int]) -> Any:
        model = clone(estimator).set_params(**{n.removeprefix("clf__"): v for n, v in params.items()})
        for level in levels:
            model.set_params(n_estimators=level, warm_start=True).fit(rows, target)
        return model

    name, given = "n_estimators", estimator
    if piped:
        space = {f"clf__{n}": v for n, v in space.items()}
        name, given = "clf__n_estimators", Pipeline([("nothing", "passthrough"), ("clf", estimator)])
    result = search("successive_halving", given, space, X, y, resource=name, **asked)
    assert_ladder(result, warm)
    best = result.load_best()
    best = best[-1] if piped else best
    assert len(best.estimators_) == 9
    wanted = warm(result.best_params, [1, 3, 9])
    assert np.array_equal(best.predict_proba(X), wanted.predict_proba(X))


class Forest(RandomForestClassifier):
    """A forest that notes how many trees each fit adds."""

    def fit(self, X, y):
        before = len(getattr(self, "estimators_", ()))
        super().fit(X, y)
        learners.note(f"fit {self.max_depth} {before}->{len(self.estimators_)}")
        return self


def test_a_warm_fit_is_not_made_from_nothing(log: Path, tmp_path: Path) -> None:
    """Each fit adds trees to those before it; a repeat fits nothing, a larger search only what is missing."""
    space = {"max_depth": [1, 2, 3, 4, 5, 6, 7, 8, 9]}
    asked = {**LADDER, "resource": "n_estimators", "store": tmp_path / "s"}
    search("successive_halving", Forest(random_state=0), space, X, y, max_iter=9, **asked)
    assert Counter(line.split()[-1] for line in learners.taken(log)) == {"0->1": 9, "1->3": 3, "3->9": 1}
    search("successive_halving", Forest(random_state=0), space, X, y, max_iter=9, **asked)
    assert learners.taken(log) == []
    wider = {"max_depth": [*space["max_depth"], 10]}
    search("successive_halving", Forest(random_state=0), wider, X, y, max_iter=9, **asked)
    assert Counter(line.split()[-1] for line in learners.taken(log))["0->1"] == 1


def test_an_integer_parameter_grows_cold(tmp_path: Path) -> None:
    """Without `warm_start` each rung is a fit of its own with more of the parameter."""
    space = {"p": [1, 2, 3], "weights": ["uniform", "distance"], "leaf_size": [5, 30]}
    _, rows, target = training_rows()

    def cold(params: dict[str, Any], levels: list[int]) -> Any:
        return KNeighborsClassifier(**params, n_neighbors=levels[-1]).fit(rows, target)

    asked = {"n_initial_parameters": 9, "n_initial_iter": 1, "chunk_size": 50, "store": tmp_path}
    result = search(
        "successive_halving", KNeighborsClassifier(), space, X, y, resource="n_neighbors", **asked
    )
    assert_ladder(result, cold)
    assert result.load_best().n_neighbors == 9


def test_rows(log: Path, tmp_path: Path) -> None:
    """With `n_samples` each rung fits the first so many training rows, from nothing."""
    space = {"shift": np.linspace(0, 40, 9).tolist()}
    split, rows, target = training_rows()
    asked = {"n_initial_parameters": "grid", "n_initial_iter": 10, "chunk_size": 50, "resource": "n_samples"}
    result = search("successive_halving", Sum(), space, X, 1.0 * y, store=tmp_path / "s", **asked)
    assert Counter(line.split()[-1] for line in learners.taken(log)) == {"10": 9, "30": 3, "90": 1}
    for entry in result.history:
        model = Sum(**entry["params"]).fit(
            rows[: entry["partial_fit_calls"]], target[: entry["partial_fit_calls"]]
        )
        assert entry["score"] == model.score(*split.valid[:2])
    learners.taken(log)
    search("successive_halving", Sum(), space, X, 1.0 * y, store=tmp_path / "s", **asked)
    assert learners.taken(log) == []


def test_rows_of_appended_files(log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fit on the first rows reads no file behind them, and a new file does not make it run again."""
    folder = tmp_path / "data"
    folder.mkdir()
    for number in range(5):
        frame = pd.DataFrame(X[:20], columns=list("abcd")).assign(t=np.arange(20.0) + number)
        frame.to_parquet(folder / f"{number}.parquet", index=False)
    asked: dict[str, Any] = {"n_initial_parameters": "grid", "max_iter": 30, "fits_per_score": 15}
    asked |= {"resource": "n_samples", "store": tmp_path / "s"}
    asked["validation"] = (pd.DataFrame(X, columns=list("abcd")), 1.0 * y)
    (folder / "4.parquet").rename(tmp_path / "4.parquet")
    first = search("incremental", Sum(), {"shift": [0.0, 1.0]}, str(folder), "t", **asked)
    assert Counter(line.split()[-1] for line in learners.taken(log)) == {"15": 2, "30": 2}
    (tmp_path / "4.parquet").rename(folder / "4.parquet")
    second = search("incremental", Sum(), {"shift": [0.0, 1.0]}, str(folder), "t", **asked)
    assert learners.taken(log) == []
    assert first.cv_results["test_score"].tolist() == second.cv_results["test_score"].tolist()


def test_first_steps_before_a_growing_one(log: Path, tmp_path: Path) -> None:
    """First steps are fitted once, whatever grows behind them."""
    pipe = Pipeline([("shift", Shift(0.5)), ("clf", RandomForestClassifier(random_state=0))])
    space = {"clf__max_depth": [1, 2, 3, 4, 5, 6, 7, 8, 9]}
    asked = {**LADDER, "resource": "clf__n_estimators", "store": tmp_path / "s", "chunk_size": 50}
    result = search("successive_halving", pipe, space, X, y, **asked)
    assert len(learners.taken(log)) == 1
    assert len(result.load_best()[-1].estimators_) == 9


@pytest.mark.parametrize("kind", ["lightgbm", "xgboost"])
def test_boosters_continue(kind: str, tmp_path: Path) -> None:
    """A booster gets the missing rounds on top of those it has; all of them are in the best model."""
    module = pytest.importorskip(kind, reason=f"{kind} is not installed")
    quiet = {"lightgbm": {"verbose": -1, "min_child_samples": 5}, "xgboost": {}}[kind]
    estimator = {"lightgbm": "LGBMClassifier", "xgboost": "XGBClassifier"}[kind]
    estimator = getattr(module, estimator)(random_state=0, n_jobs=1, **quiet)
    _, rows, target = training_rows()

    def more(params: dict[str, Any], levels: list[int]) -> Any:
        before, at = None, 0
        for level in levels:
            model = clone(estimator).set_params(**params, n_estimators=level - at)
            known = {} if before is None else {"init_model": before}
            if kind == "xgboost" and before is not None:
                known = {"xgb_model": before.get_booster()}
            before, at = model.fit(rows, target, **known), level
        return before

    asked = {**LADDER, "resource": "n_estimators", "store": tmp_path, "chunk_size": 50}
    space = {"max_depth": [1, 2, 3], "learning_rate": [0.1, 0.3, 0.5]}
    result = search("successive_halving", estimator, space, X, y, **asked)
    assert_ladder(result, more)
    best = result.load_best()
    trees = best.booster_.num_trees() if kind == "lightgbm" else best.get_booster().num_boosted_rounds()
    assert (trees, best.n_estimators) == (9, 9)
    assert np.array_equal(best.predict_proba(X), more(result.best_params, [1, 3, 9]).predict_proba(X))
