"""Which estimators grow exactly, and when they do not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.neural_network import MLPClassifier

from prefect_tune import growing
from prefect_tune.growing import Growth, grower_of, why_from_nothing
from prefect_tune.halving_models import growth_in
from prefect_tune.halving_result import Ladder
from prefect_tune.schedules.rungs import Rung


class OwnForest(RandomForestClassifier):
    """A subclass may do anything in its fit."""


TREES, ROUNDS = "n_estimators", "max_iter"
FRESH: dict[str, tuple[Any, str, str]] = {
    "no seed": (RandomForestClassifier(), TREES, "random_state is None"),
    "a generator moves on": (
        ExtraTreesClassifier(random_state=np.random.RandomState(0)), TREES, "random_state is an object",
    ),
    "a seed that is none": (RandomForestClassifier(random_state=True), TREES, "random_state"),
    "another parameter": (RandomForestClassifier(random_state=0), "max_depth", "max_depth"),
    "a subclass": (OwnForest(random_state=0), TREES, "OwnForest"),
    "warns": (RandomForestClassifier(random_state=0, class_weight="balanced"), TREES, "class_weight"),
    "own score": (RandomForestRegressor(random_state=0, oob_score=max), TREES, "oob_score"),
    "may stop": (GradientBoostingClassifier(random_state=0, n_iter_no_change=3), TREES, "n_iter_no_change"),
    "own start": (
        GradientBoostingClassifier(random_state=0, init=LogisticRegression()), TREES, "init",
    ),
    "may stop too": (
        HistGradientBoostingClassifier(random_state=0, early_stopping=True), ROUNDS, "early_stopping",
    ),
    "no seed either": (HistGradientBoostingClassifier(), ROUNDS, "random_state is None"),
    "wrong name": (HistGradientBoostingClassifier(random_state=0), TREES, "n_estimators"),
    "not by max_iter": (SGDClassifier(random_state=0), ROUNDS, "SGDClassifier"),
    "nor this": (MLPClassifier(random_state=0), ROUNDS, "MLPClassifier"),
    "ends elsewhere": (LogisticRegression(random_state=0), ROUNDS, "LogisticRegression"),
    "remembers its last samples": (BaggingClassifier(random_state=0), TREES, "BaggingClassifier"),
    "has no warm start": (AdaBoostClassifier(random_state=0), TREES, "AdaBoostClassifier"),
}  # fmt: skip


@pytest.mark.parametrize("case", FRESH)
def test_in_doubt_a_fit_starts_from_nothing(case: str) -> None:
    """What is not known to grow exactly is refused, by the name of what stands in the way."""
    estimator, parameter, reason = FRESH[case]
    assert reason in why_from_nothing(estimator, parameter, 100, {})


def test_numbers_of_rows_and_arguments_matter() -> None:
    """By default histograms stop early beyond 10,000 rows; weights are rows, other arguments unknown."""
    forest, histograms = ExtraTreesClassifier(random_state=0), HistGradientBoostingClassifier(random_state=0)
    assert why_from_nothing(forest, TREES, 10, {"sample_weight": np.ones(10)}) == ""
    assert "monitor" in why_from_nothing(forest, TREES, 10, {"monitor": print})
    assert why_from_nothing(histograms, ROUNDS, 10_000, {}) == ""
    assert "early_stopping" in why_from_nothing(histograms, ROUNDS, 10_001, {})
    assert why_from_nothing(histograms.set_params(early_stopping=False), ROUNDS, 10_001, {}) == ""


def test_other_versions_are_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside the versions that were tested nothing grows."""
    assert grower_of(RandomForestClassifier()) is not None
    for version in ("1.7.2", "1.10.0", "2.0", "", "next"):
        monkeypatch.setattr("sklearn.__version__", version)
        assert grower_of(RandomForestClassifier()) is None


def test_a_build_that_rounds_otherwise_is_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where predictions are not the sum that training had, gradient boosting starts from nothing."""
    monkeypatch.setattr(growing, "adds_up", lambda: False)
    assert "rounds" in why_from_nothing(GradientBoostingClassifier(random_state=0), TREES, 10, {})


def test_each_row_says_why() -> None:
    """Nobody is in the table without a reason."""
    assert all(row.why.endswith(".") and row.conditions for row in growing.TABLE.values())


def test_the_parameter_belongs_to_one_step() -> None:
    """Only the step that owns the growing parameter grows."""
    growth = Growth(parameter="a__b__n_estimators", before=(1,), keep=True)
    assert [growth.own_name(path) for path in ("a__b", "a", "b", "")] == ["n_estimators", "", "", ""]
    assert Growth(parameter="n_estimators", before=(), keep=False).own_name("") == "n_estimators"


def test_levels_go_on_from_those_below() -> None:
    """20, 20, 60, 180 (aggressive): the first two are one level, the last is gone on from by nobody."""
    resources = (20, 20, 60, 180)
    rungs = tuple(Rung(level=i, size=4, resource=r) for i, r in enumerate(resources))
    ladder = Ladder(
        rungs=rungs,
        resource="n",
        min_resources=20,
        max_resources=180,
        n_required=4,
        n_possible=3,
        n_remaining=1,
    )
    found = [growth_in(ladder, rung) for rung in rungs]
    assert [(growth.before, growth.keep) for growth in found if growth is not None] == [
        ((), True), ((), True), ((20,), True), ((20, 60), False),
    ]  # fmt: skip
