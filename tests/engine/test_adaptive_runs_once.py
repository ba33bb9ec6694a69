"""No call of `partial_fit` is made twice: within a search, in a repeat, in a larger one, with more data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import learners
import numpy as np
import pandas as pd
import pytest
from adaptive_here import search
from learners import Learner, Shift
from sklearn.pipeline import FeatureUnion, Pipeline
from spoiling import cut_model

from prefect_tune import rounds

rng = np.random.default_rng(0)
X = rng.normal(size=(120, 3))
y = (X[:, 0] + 0.5 * rng.normal(size=120) > 0).astype(int)
RATES = {"rate": np.linspace(0.001, 1, 100_000).tolist()}  # so many that no two brackets draw the same
FEW = {"rate": np.linspace(0.1, 1, 12).tolist()}


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file with a line per call: rate, number of the call, sum of the rows."""
    monkeypatch.setenv(learners.VARIABLE, str(tmp_path / "calls"))
    return tmp_path / "calls"


@pytest.fixture
def options(tmp_path: Path) -> dict[str, Any]:
    return {"store": tmp_path / "store", "chunk_size": 30}


def reached(result: Any) -> dict[float, int]:
    """How many calls each rate has had, over all brackets."""
    levels: dict[float, int] = {}
    for entry in result.history:
        rate = entry["params"]["rate"]
        levels[rate] = max(levels.get(rate, 0), entry["partial_fit_calls"])
    return levels


def assert_each_once(lines: list[str], *results: Any) -> None:
    """The calls are those that the results rest on, every one of them once."""
    assert len(lines) == len(set(lines))
    levels: dict[float, int] = {}
    for result in results:
        for rate, level in reached(result).items():
            levels[rate] = max(levels.get(rate, 0), level)
    assert sorted(line.rsplit(" ", 1)[0] for line in lines) == sorted(
        f"{rate:.6f} {call}" for rate, level in levels.items() for call in range(1, level + 1)
    )


def test_a_fresh_search(log: Path, options: dict[str, Any]) -> None:
    """All candidates are new: planned, executed and counted calls are the same number."""
    result = search("hyperband", Learner(), RATES, X, y, max_iter=27, **options)
    lines = learners.taken(log)
    assert len(lines) == len(set(lines)) == result.cost.calls
    assert result.metadata["partial_fit_calls"] == result.metadata_done["partial_fit_calls"] == 357


def test_brackets_share_candidates(log: Path, options: dict[str, Any]) -> None:
    """A candidate drawn by several brackets is trained for all of them, though they run side by side."""
    result = search(
        "hyperband", Learner(), FEW, X, y, brackets=[[12, 1], [12, 1], [12, 1]], max_iter=9, **options
    )
    lines = learners.taken(log)
    assert_each_once(lines, result)
    assert result.metadata_done["partial_fit_calls"] == 3 * (12 + 2 * 4 + 6) == 3 * len(lines)
    table = result.cv_results
    by_rate = {rate: set() for rate in FEW["rate"]}
    for params, score, calls in zip(
        table["params"], table["test_score"], table["partial_fit_calls"], strict=True
    ):
        by_rate[params["rate"]].add((score, calls))
    assert all(len(found) == 1 for found in by_rate.values())


def test_equal_candidates_of_one_bracket(log: Path, options: dict[str, Any]) -> None:
    """A candidate that is listed twice is trained once, and has two equal rows."""
    space = [{"rate": [0.1, 0.2]}, {"rate": [0.2, np.float64(0.1)]}]
    result = search("incremental", Learner(), space, X, y, n_initial_parameters="grid", max_iter=3, **options)
    scores = result.cv_results["mean_test_score"]
    assert (scores[0], scores[1]) == (scores[3], scores[2])
    assert_each_once(learners.taken(log), result)


def test_a_repeat_trains_nothing(log: Path, options: dict[str, Any]) -> None:
    """The same search again finds every round, and gives the same table and model."""
    first, second = (search("hyperband", Learner(), RATES, X, y, max_iter=9, **options) for _ in range(2))
    assert_each_once(learners.taken(log), first)
    assert (second.cost.calls, second.rounds_run, second.rounds_found) == (0, 0, first.rounds_run)
    assert [e["score"] for e in second.history] != []
    for column in ("test_score", "partial_fit_calls", "rank_test_score", "model_id"):
        assert first.cv_results[column].tolist() == second.cv_results[column].tolist()
    assert np.array_equal(first.load_best().weights_, second.load_best().weights_)


def test_a_damaged_best_model_is_made_again(log: Path, options: dict[str, Any]) -> None:
    """Its record is there and its bytes are not: the next run finds out, and trains nothing but that."""
    first = search("hyperband", Learner(), RATES, X, y, max_iter=9, **options)
    weights = first.load_best().weights_
    learners.taken(log)
    cut_model(first.model)
    second = search("hyperband", Learner(), RATES, X, y, max_iter=9, **options)
    again = learners.taken(log)
    assert (second.cost.calls, second.cost.refit_calls) == (0, len(again))
    assert {line.split()[0] for line in again} == {f"{first.best_params['rate']:.6f}"}
    assert np.array_equal(second.load_best().weights_, weights)


def levels_of(result: Any) -> dict[float, list[int]]:
    """The levels at which each rate was scored, in their order."""
    levels: dict[float, list[int]] = {}
    for entry in result.history:
        levels.setdefault(entry["params"]["rate"], []).append(entry["partial_fit_calls"])
    return levels


def missing_calls(first: Any, second: Any) -> list[str]:
    """What the second search has to call: from the last round before a target that anybody has left."""
    calls, left = [], levels_of(first)
    for rate, targets in levels_of(second).items():
        known = set(left.get(rate, ()))
        for target in targets:
            if target not in known:
                start = max([0, *(level for level in known if level < target)])
                calls += [f"{rate:.6f} {call}" for call in range(start + 1, target + 1)]
                known.add(target)
    return sorted(calls)


RUNG = {"n_initial_parameters": "grid", "n_initial_iter": 1}


@pytest.mark.parametrize(
    ("then", "asked"),
    [
        ("successive_halving", {**RUNG, "max_iter": 27}),
        ("successive_halving", {**RUNG, "aggressiveness": 2}),
        ("successive_halving", {**RUNG, "n_initial_iter": 2}),
        ("hyperband", {"max_iter": 9, "brackets": [[12, 1]]}),
        ("incremental", {"n_initial_parameters": "grid", "max_iter": 4}),
        ("inverse_decay", {"n_initial_parameters": "grid"}),
    ],
    ids=str,
)
def test_searches_share_training(
    then: str, asked: dict[str, Any], log: Path, options: dict[str, Any]
) -> None:
    """Another budget, factor or kind of search goes on from the last round that an earlier one has left."""
    first = search("successive_halving", Learner(), FEW, X, y, **RUNG, max_iter=9, **options)
    assert_each_once(learners.taken(log), first)
    second = search(then, Learner(), FEW, X, y, **asked, **options)
    assert sorted(line.rsplit(" ", 1)[0] for line in learners.taken(log)) == missing_calls(first, second)


@pytest.mark.parametrize(
    "asked",
    [
        {"max_iter": 27},
        {"max_iter": 27, "slots": 5},
        {"max_iter": 20, "aggressiveness": 2.5, "slots": 3},
        {"max_iter": 27, "brackets": [[12, 9], [12, 2], [12, 5], [12, 1]]},
        {"max_iter": 9, "resource": "epochs", "chunk_size": 60},
        {"max_iter": 9, "cv": 2},
        {"max_iter": 27, "longest": 0.005},
    ],
    ids=str,
)
def test_brackets_with_unlike_rungs(
    asked: dict[str, Any], log: Path, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Brackets that draw the same few candidates train each link once, though their rungs are unlike.

    A link is a rate, the number of a call and the rows that it is given; the learner notes all three.
    """
    options, learner = {**options, **asked}, Learner()
    if longest := options.pop("longest", None):  # task runs have time for a call or two
        monkeypatch.setattr(rounds, "LONGEST", longest)
        learner = Learner(pause=longest / 2)
    result = search("hyperband", learner, FEW, X, y, **options)
    per_unit = 2 if asked.get("resource") == "epochs" else 1
    wanted = {
        f"{r:.6f} {call}" for r, level in reached(result).items() for call in range(1, per_unit * level + 1)
    }
    lines = learners.taken(log)
    if result.refit_seconds and "cv" in asked:
        lines = lines[: len(lines) - result.cost.refit_calls]  # the best once more, on all rows
    assert {line.rsplit(" ", 1)[0] for line in lines} == wanted
    assert len(lines) == len(set(lines)) == result.cost.calls == len(wanted) * result.n_splits
    assert len(lines) < 0.8 * per_unit * result.n_splits * result.metadata["partial_fit_calls"]


def test_another_metric_needs_checkpoints_only(log: Path, options: dict[str, Any]) -> None:
    """Scores by another metric are made from the checkpoints that are there."""
    asked = {"n_initial_parameters": "grid", "max_iter": 3, **options}
    search("incremental", Learner(), FEW, X, y, **asked)
    assert len(learners.taken(log)) == 12 * 3
    search("incremental", Learner(), FEW, X, y, scoring="accuracy", **asked)
    assert learners.taken(log) == []


def test_more_calls_for_all(log: Path, options: dict[str, Any]) -> None:
    """With `max_iter` tripled each candidate makes its missing calls."""
    asked = {"n_initial_parameters": "grid", "fits_per_score": 2, **options}
    search("incremental", Learner(), FEW, X, y, max_iter=3, **asked)
    assert len(learners.taken(log)) == 12 * 3
    second = search("incremental", Learner(), FEW, X, y, max_iter=9, **asked)
    assert len(learners.taken(log)) == second.cost.calls == 12 * 6


def test_order_of_candidates(log: Path, options: dict[str, Any]) -> None:
    """Candidates in another order, with others between them, are the same candidates."""
    asked = {"n_initial_parameters": "grid", "max_iter": 3, **options}
    search("incremental", Learner(), {"rate": [0.1, 0.2, 0.3]}, X, y, **asked)
    learners.taken(log)
    search("incremental", Learner(), {"rate": [0.3, 0.9, 0.1, 0.2]}, X, y, **asked)
    assert {line.split()[0] for line in learners.taken(log)} == {"0.900000"}


def test_a_lost_checkpoint_costs_its_round(log: Path, options: dict[str, Any]) -> None:
    """Scores are known without checkpoints; training goes on from the last checkpoint that is left."""
    asked = {"n_initial_parameters": "grid", "fits_per_score": 2, **options}
    search("incremental", Learner(), {"rate": [0.5]}, X, y, max_iter=4, keep_checkpoints=0, **asked)
    learners.taken(log)
    search("incremental", Learner(), {"rate": [0.5]}, X, y, max_iter=4, **asked)
    assert learners.taken(log) == []
    search("incremental", Learner(), {"rate": [0.5]}, X, y, max_iter=6, **asked)
    assert len(learners.taken(log)) <= 6


@pytest.mark.parametrize(("cv", "kept"), [(None, 4 * 5), (3, 3 * 4 * 5)])
def test_calls_of_the_refit(cv: int | None, kept: int, log: Path, options: dict[str, Any]) -> None:
    """The best candidate's training on all rows is counted, apart from the rounds; a repeat has none."""
    asked = {"n_initial_parameters": "grid", "max_iter": 5, "refit": True, "cv": cv, **options}
    space = {"rate": [0.1, 0.2, 0.3, 0.4]}
    first, second = (search("incremental", Learner(), space, X, y, **asked) for _ in range(2))
    assert (first.cost.calls, first.cost.refit_calls) == (kept, 5)
    assert len(learners.taken(log)) == first.cost.calls + first.cost.refit_calls
    assert (second.cost.calls, second.cost.refit_calls) == (0, 0)


def test_calls_of_a_best_model_that_need_not_be_trained(log: Path, options: dict[str, Any]) -> None:
    """Without a refit the best model is what was scored: no call."""
    result = search("hyperband", Learner(), RATES, X, y, max_iter=9, **options)
    assert result.cost.refit_calls == 0
    assert len(learners.taken(log)) == result.cost.calls


# -- data that grows ---------------------------------------------------------------------------------------


def write(folder: Path, number: int) -> None:
    frame = pd.DataFrame(rng.normal(size=(40, 3)), columns=list("abc"))
    frame.assign(t=(frame["a"] > 0).astype(int)).to_parquet(folder / f"part-{number}.parquet", index=False)


@pytest.mark.parametrize("steps", [False, True])
def test_appended_file(steps: bool, log: Path, tmp_path: Path) -> None:
    """A new file changes no call of the first pass: only scores are new, and calls that reach the file."""
    folder = tmp_path / "data"
    folder.mkdir()
    for number in range(4):
        write(folder, number)
    estimator: Any = Learner()
    space = {"rate": [0.1, 0.5, 0.9]}
    options: dict[str, Any] = {"store": tmp_path / "s", "n_initial_parameters": "grid"}
    if steps:
        estimator = Pipeline([("shift", Shift()), ("clf", Learner())])
        space, options["prefix_rows"] = {"clf__rate": space["rate"]}, 50
    first = search("incremental", estimator, space, str(folder), "t", max_iter=4, **options)
    assert len(learners.taken(log)) == 3 * 4 + steps
    write(folder, 4)
    second = search("incremental", estimator, space, str(folder), "t", max_iter=4, **options)
    assert learners.taken(log) == []
    assert second.cost.calls == 0
    assert first.cv_results["test_score"].tolist() != second.cv_results["test_score"].tolist()
    search("incremental", estimator, space, str(folder), "t", max_iter=5, **options)
    assert [line.split()[1] for line in learners.taken(log)] == ["5"] * 3


def test_chunks_appended_in_memory(log: Path, options: dict[str, Any]) -> None:
    """With an explicit validation set and passes in order of files, equal chunks are equal calls."""
    asked = {"n_initial_parameters": "grid", "max_iter": 1, "validation": (X[:30], y[:30]), **options}
    search("incremental", Learner(), {"rate": [0.1]}, X[30:60], y[30:60], **asked)
    assert len(learners.taken(log)) == 1
    search("incremental", Learner(), {"rate": [0.1]}, X[30:60].copy(), y[30:60].copy(), **asked)
    assert learners.taken(log) == []


# -- pipelines ---------------------------------------------------------------------------------------------


def fits(lines: list[str]) -> list[str]:
    return sorted(line for line in lines if line.startswith("fit"))


def test_first_steps_are_fitted_once(log: Path, options: dict[str, Any]) -> None:
    """Every distinct first step is fitted once per split, on all training rows, for all candidates."""
    pipe = Pipeline([("shift", Shift()), ("clf", Learner())])
    space = {"shift__by": [0.0, 0.5], "clf__rate": [0.1, 0.2, 0.3]}
    asked = {"n_initial_parameters": "grid", "max_iter": 3, "cv": 3, **options}
    search("incremental", pipe, space, X, y, refit=False, **asked)
    found = fits(learners.taken(log))
    # Three splits of 120 rows, and the best once more on all of them.
    assert len(found) == 2 * 3 + 1
    assert sum("on 80" in line for line in found) == 6
    search("incremental", pipe, {**space, "clf__rate": [0.1, 0.4]}, X, y, **asked)
    assert sum("on 80" in line for line in fits(learners.taken(log))) == 0


def test_first_steps_on_a_sample(log: Path, options: dict[str, Any]) -> None:
    """`prefix_rows` are the rows of the first calls, and no more."""
    pipe = Pipeline([("shift", Shift()), ("clf", Learner())])
    asked = {"n_initial_parameters": "grid", "max_iter": 2, "prefix_rows": 40, **options}
    result = search("incremental", pipe, {"clf__rate": [0.1, 0.2]}, X, y, **asked)
    assert fits(learners.taken(log)) == ["fit Shift(0.0) on 40"]
    assert result.load_best()[0].mean_.shape == (3,)


def test_branches_are_fitted_once(log: Path, options: dict[str, Any]) -> None:
    """A branch that several candidates have in common is fitted once, whatever the other branches are."""
    union = FeatureUnion([("left", Shift()), ("right", Shift(9.0))])
    pipe = Pipeline([("first", Shift(1.0)), ("union", union), ("clf", Learner())])
    space = {"union__left__by": [2.0, 3.0, 4.0], "clf__rate": [0.1, 0.2]}
    search("incremental", pipe, space, X, y, n_initial_parameters="grid", max_iter=2, **options)
    assert [line.split()[1] for line in fits(learners.taken(log))] == [
        f"Shift({by}.0)" for by in (1, 2, 3, 4, 9)
    ]


def test_pipeline_equals_its_parts(log: Path, options: dict[str, Any]) -> None:
    """A pipeline's candidate is its last step, trained on what the fitted first steps make of each chunk."""
    import adaptive_oracle as hand

    pipe = Pipeline([("shift", Shift(0.25)), ("clf", Learner())])
    asked = {"n_initial_parameters": "grid", "max_iter": 5, **options}
    result = search("incremental", pipe, {"clf__rate": [0.1, 0.7]}, X, y, **asked)
    (split,) = hand.one_split(hand.cut((X, y, {}), 30))
    order = split.order[:4]
    sample = np.concatenate([split.train[i][0] for i in order])
    shift = Shift(0.25).fit(sample)
    for row, rate in enumerate((0.1, 0.7)):
        model = Learner(rate)
        for call in range(5):
            rows, target, _ = split.train[split.order[call]]
            model.partial_fit(shift.transform(rows), target)
        wanted = model.score(shift.transform(split.valid[0]), split.valid[1])
        assert result.cv_results["mean_test_score"][row] == wanted
    best = result.load_best()
    assert list(best.named_steps) == ["shift", "clf"]
    assert np.array_equal(best.decision_function(X[:5]), best[1].decision_function(shift.transform(X[:5])))
