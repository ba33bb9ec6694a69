"""What goes wrong with one candidate costs that one; what is asked wrongly is said before anything runs."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import dask.array as da
import learners
import numpy as np
import pandas as pd
import pytest
from adaptive_here import search
from distributed import KilledWorker
from learners import Draws, Learner, Shift
from scipy.stats import loguniform
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from prefect_tune import hyperband_search, successive_halving_search
from prefect_tune.errors import CandidateFailed, DataError, InfrastructureError, ScoringError, UserError
from prefect_tune.flows.adaptive.board import Board, BoardDispatch
from prefect_tune.flows.adaptive.ready import ready_adaptive
from prefect_tune.rounds import ModelUnit, TrainUnit

rng = np.random.default_rng(0)
X = rng.normal(size=(120, 3))
y = (X[:, 0] + 0.5 * rng.normal(size=120) > 0).astype(int)
ASKED = {"n_initial_parameters": "grid", "chunk_size": 30}


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(learners.VARIABLE, str(tmp_path / "calls"))
    return tmp_path / "calls"


@pytest.fixture
def options(tmp_path: Path) -> dict[str, Any]:
    return {**ASKED, "store": tmp_path / "store"}


@pytest.fixture
def undisturbed(tmp_path: Path) -> Any:
    """The search with the good candidates alone."""
    space = {"rate": [0.1, 0.2, 0.3]}
    return search("incremental", Learner(), space, X, y, max_iter=4, store=tmp_path / "alone", **ASKED)


WRONG = [
    ("raises", 1, "told to fail"),
    ("raises", 3, "told to fail"),
    ("exits", 2, "SystemExit"),
    ("nan", 2, ""),
]


@pytest.mark.parametrize(("wrong", "at", "cause"), WRONG)
@pytest.mark.parametrize("folds", [None, 2])
def test_one_candidate_fails(
    wrong: str, at: int, cause: str, folds: int | None, options: dict[str, Any], undisturbed: Any
) -> None:
    """A candidate that raises, exits or scores nan is out; the scores of the others are as without it."""
    space = {"rate": [0.1, 0.2, 0.3], "wrong": ["", wrong]}
    call = lambda: search("incremental", Learner(at=at), space, X, y, max_iter=4, cv=folds, **options)  # noqa: E731
    for attempt in range(2):  # the second finds what the first has left
        if cause:
            with pytest.warns(UserWarning, match="3 of 6 candidates failed"):
                result = call()
        else:
            result = call()
        table = result.cv_results
        bad = np.array([params["wrong"] == wrong for params in table["params"]])
        assert np.isnan(table["mean_test_score"][bad]).all()
        assert (table["rank_test_score"][bad] == 4).all()
        assert (table["partial_fit_calls"][bad] == at).all()
        assert (table["partial_fit_calls"][~bad] == 4).all()
        if folds is None:
            assert (
                table["mean_test_score"][~bad].tolist() == undisturbed.cv_results["mean_test_score"].tolist()
            )
            assert result.best_params == {**undisturbed.best_params, "wrong": ""}
        assert {failure.candidate for failure in result.failures} == (
            set(np.flatnonzero(bad)) if cause else set()
        )
        assert all(cause in failure.cause for failure in result.failures)
        if attempt:
            assert result.cost.calls == (0 if not cause else result.cost.calls)


@pytest.mark.parametrize("wrong", ["raises", "exits"])
def test_raise_stops_with_the_users_error(wrong: str, options: dict[str, Any]) -> None:
    """`error_score="raise"` raises what the estimator raised, by its own type."""
    space = {"rate": [0.1], "wrong": [wrong]}
    kind = ArithmeticError if wrong == "raises" else (SystemExit, Exception)
    with pytest.raises(kind):
        search("incremental", Learner(at=2), space, X, y, max_iter=3, error_score="raise", **options)


def test_a_candidate_that_takes_workers_down(options: dict[str, Any]) -> None:
    """It is out, or with `error_score="raise"` the error names it; what is nobody's says how to go on."""
    lost = KilledWorker("run_batch-1", None, 3)
    question = {**options, "estimator": Learner(), "parameters": {"rate": [0.1, 0.5]}, "X": X, "y": y}

    def dispatch(**more: Any) -> BoardDispatch:
        ready = ready_adaptive("incremental", {**question, **more})
        board = Board(ready.spec, ready.store, 2, 3, {}, 0.0, None)  # type: ignore[arg-type]
        return BoardDispatch(board, None, None)  # type: ignore[arg-type]

    unit, tolerant, strict = TrainUnit(1, 0, (3,)), dispatch(), dispatch(error_score="raise")
    tolerant.condemn(unit, lost)
    assert list(tolerant.board.failures) == [(1, 0)]
    with pytest.raises(CandidateFailed, match=r"candidate 1 \(rate=0.5\), split 0: KilledWorker") as caught:
        strict.condemn(unit, lost)
    assert caught.value.__cause__ is lost
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.candidate, again.split) == (str(caught.value), 1, 0)
    with pytest.raises(InfrastructureError, match="run the same search again"):
        tolerant.condemn(ModelUnit(1, 0, (3,)), lost)


@pytest.mark.parametrize("wrong", ["raises", "exits", "nan"])
def test_all_fail(wrong: str, options: dict[str, Any]) -> None:
    """When nobody is left the error says so, and shows the first cause."""
    space = {"rate": [0.1, 0.2], "wrong": [wrong]}
    with pytest.raises(UserError, match="all 2 candidates failed") as caught:
        search("incremental", Learner(at=1), space, X, y, max_iter=3, **options)
    assert {"raises": "told to fail", "exits": "SystemExit", "nan": "finite"}[wrong] in str(caught.value)


def test_halving_goes_on_with_those_that_are_left(options: dict[str, Any]) -> None:
    """A rung with failures promotes only the others, even if they are fewer than planned."""
    space = {"rate": np.linspace(0.1, 0.9, 9).tolist(), "wrong": ["", "raises"]}
    with pytest.warns(UserWarning, match="candidates failed"):
        result = search("successive_halving", Learner(at=2), space, X, y, n_initial_iter=1, **options)
    levels = result.cv_results["partial_fit_calls"]
    bad = np.array([params["wrong"] != "" for params in result.cv_results["params"]])
    assert levels.max() == 9
    assert levels[bad].max() <= 3
    assert np.isfinite(result.best_score)


def test_a_first_step_that_fails(options: dict[str, Any]) -> None:
    """Candidates behind a step that cannot be fitted fail; the others do not."""
    from toys import Scaler

    pipe = Pipeline([("scale", Scaler()), ("clf", Learner())])
    space = {"scale__fail": [False, True], "clf__rate": [0.1, 0.2]}
    with pytest.warns(UserWarning, match="2 of 4 candidates failed"):
        result = search("incremental", pipe, space, X, y, max_iter=2, **options)
    assert np.isnan(result.cv_results["mean_test_score"]).sum() == 2
    assert all("ArithmeticError" in failure.cause for failure in result.failures)


def broken(estimator: Any, X: Any, y: Any) -> float:
    raise KeyError("no such thing")


def test_a_secondary_metric_that_fails(options: dict[str, Any]) -> None:
    """A metric that does not rank may fail; the candidate goes on."""
    scoring = {"good": lambda e, X, y: e.score(X, y), "broken": broken}
    call = lambda: search(  # noqa: E731
        "successive_halving", Learner(), {"rate": np.linspace(0.1, 0.9, 9).tolist()}, X, y,
        n_initial_iter=1, scoring=scoring, refit="good", **options,
    )  # fmt: skip
    with pytest.warns(UserWarning, match="candidates failed"):
        result = call()
    assert sorted(result.cv_results["partial_fit_calls"].tolist()) == [1] * 6 + [3] * 2 + [9]
    assert np.isnan(result.cv_results["mean_test_broken"]).all()
    assert np.isfinite(result.cv_results["mean_test_good"]).all()


def test_an_unfinished_batch_is_taken_up_again(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Units that a task run had no time for are trained in another one, failed secondary metrics or not."""
    from prefect_tune import rounds

    monkeypatch.setattr(rounds, "LONGEST", 0.005)
    scoring = {"good": lambda e, X, y: e.score(X, y), "broken": broken}
    with pytest.warns(UserWarning, match="candidates failed"):
        result = search(
            "successive_halving", Learner(pause=0.004), {"rate": np.linspace(0.1, 0.9, 9).tolist()}, X, y,
            n_initial_iter=1, scoring=scoring, refit="good", **options,
        )  # fmt: skip
    assert np.isfinite(result.cv_results["mean_test_good"]).all()
    assert sorted(result.cv_results["partial_fit_calls"].tolist()) == [1] * 6 + [3] * 2 + [9]


def test_an_estimator_that_overwrites_its_rows(log: Path, options: dict[str, Any], tmp_path: Path) -> None:
    """It gets rows of its own, each call counts once, and its neighbours see nothing of it."""
    import adaptive_oracle as hand

    space = {"rate": [0.1, 0.2, 0.3, 0.4], "writes": [False, True]}
    result = search("incremental", Learner(), space, X, y, max_iter=4, **options)
    (split,) = hand.one_split(hand.cut((X, y, {}), 30))
    for row, params in enumerate(result.cv_results["params"]):
        model = Learner(**params)
        for call in range(4):
            rows, target, _ = split.train[split.order[call]]
            model.partial_fit(rows.copy(), target)
        assert result.cv_results["mean_test_score"][row] == model.score(*split.valid[:2])


def test_data_that_vanishes_is_nobodys_failure(options: dict[str, Any], tmp_path: Path) -> None:
    """A file that is gone in the middle of a search stops it; it is not the candidates' fault."""
    folder = tmp_path / "data"
    folder.mkdir()
    for number in range(3):
        frame = pd.DataFrame(X[number * 40 : number * 40 + 40], columns=list("abc"))
        frame.assign(t=y[number * 40 : number * 40 + 40]).to_parquet(
            folder / f"{number}.parquet", index=False
        )

    class Deletes(Learner):
        def partial_fit(self, X, y):
            (folder / "2.parquet").unlink(missing_ok=True)
            return super().partial_fit(X, y)

    asked = {**options, "chunk_size": None, "validation": (pd.DataFrame(X, columns=list("abc")), y)}
    with pytest.raises(DataError, match=r"2\.parquet"):
        search("incremental", Deletes(), {"rate": [0.1, 0.2]}, str(folder), "t", max_iter=3, **asked)


# -- bad input ---------------------------------------------------------------------------------------------

SGD, ALPHA = SGDClassifier(), {"alpha": loguniform(1e-5, 1)}
CLASSES = {"classes": [0, 1]}

BAD: dict[str, tuple[str, dict[str, Any], type[Exception], list[str]]] = {
    # what is asked beyond a good search -> error, words of its text
    "no partial_fit": (
        "hyperband",
        {"estimator": LogisticRegression(), "parameters": {"C": [1.0]}, "fit_params": {}},
        UserError,
        ["LogisticRegression", "partial_fit", "SGDClassifier", "resource="],
    ),
    "no partial_fit in a pipeline": (
        "hyperband",
        {
            "estimator": Pipeline([("s", StandardScaler()), ("c", LogisticRegression())]),
            "parameters": {"c__C": [1.0]},
            "fit_params": {},
        },
        UserError,
        ["LogisticRegression", "partial_fit"],
    ),
    "pipeline ends in passthrough": (
        "hyperband",
        {
            "estimator": Pipeline([("s", StandardScaler()), ("c", "passthrough")]),
            "parameters": {},
            "fit_params": {},
            "scoring": lambda e, X, y: 0.0,
        },
        UserError,
        ["passthrough"],
    ),
    "max_iter 0": ("hyperband", {"max_iter": 0}, UserError, ["max_iter", "0", "at least 1"]),
    "max_iter True": ("hyperband", {"max_iter": True}, UserError, ["max_iter", "True"]),
    "max_iter 2.5": ("hyperband", {"max_iter": 2.5}, UserError, ["max_iter", "2.5"]),
    "max_iter 0, passive": ("incremental", {"max_iter": 0}, UserError, ["max_iter", "0"]),
    "max_iter 2.5, passive": ("incremental", {"max_iter": 2.5}, UserError, ["max_iter", "2.5"]),
    "max_iter 0, decay": ("inverse_decay", {"max_iter": 0}, UserError, ["max_iter", "0"]),
    "max_iter 0, halving": (
        "successive_halving",
        {"max_iter": 0, "n_initial_iter": 1},
        UserError,
        ["max_iter", "0"],
    ),
    "fits_per_score 0": ("incremental", {"fits_per_score": 0}, UserError, ["fits_per_score", "0"]),
    "decay 0": ("inverse_decay", {"decay_rate": 0}, UserError, ["decay_rate", "0"]),
    "aggressiveness 1": (
        "hyperband",
        {"aggressiveness": 1},
        UserError,
        ["aggressiveness", "1", "at least 2"],
    ),
    "aggressiveness text": ("hyperband", {"aggressiveness": "3"}, UserError, ["aggressiveness", "'3'"]),
    "aggressiveness 1, halving": (
        "successive_halving",
        {"aggressiveness": 1, "n_initial_iter": 1},
        UserError,
        ["aggressiveness", "1"],
    ),
    "n_initial_iter missing": ("successive_halving", {}, UserError, ["n_initial_iter", "max_iter"]),
    "n_initial_iter 0": ("successive_halving", {"n_initial_iter": 0}, UserError, ["n_initial_iter", "0"]),
    "n_initial_iter above max_iter": (
        "successive_halving",
        {"n_initial_iter": 9, "max_iter": 3},
        UserError,
        ["n_initial_iter", "9", "3"],
    ),
    "n_initial_parameters 0": (
        "incremental",
        {"n_initial_parameters": 0},
        UserError,
        ["n_initial_parameters", "0"],
    ),
    "grid of distributions": ("incremental", {"n_initial_parameters": "grid"}, UserError, ["parameters"]),
    "patience 1": ("hyperband", {"patience": 1}, UserError, ["patience", "1", "at least 2"]),
    "patience 2.5": ("incremental", {"patience": 2.5}, UserError, ["patience", "2.5"]),
    "patience True without brackets": ("incremental", {"patience": True}, UserError, ["patience", "True"]),
    "bracket_sizes": ("hyperband", {"bracket_sizes": "none"}, UserError, ["bracket_sizes", "none", "jmlr"]),
    "brackets": ("hyperband", {"brackets": [3]}, UserError, ["brackets"]),
    "unknown resource": ("hyperband", {"resource": "epoch"}, UserError, ["resource", "epoch", "epochs"]),
    "searched resource": (
        "hyperband",
        {"resource": "max_iter", "parameters": {"max_iter": [5, 10]}, "fit_params": {}},
        UserError,
        ["resource", "max_iter", "searched"],
    ),
    "resource of another step": (
        "hyperband",
        {
            "estimator": Pipeline([("s", StandardScaler()), ("c", SGD)]),
            "parameters": {"c__alpha": [1e-3]},
            "resource": "s__copy",
        },
        UserError,
        ["resource", "s__copy", "last step"],
    ),
    "parameter that is no integer": (
        "hyperband",
        {"resource": "penalty", "fit_params": {}},
        UserError,
        ["resource", "penalty"],
    ),
    "classes missing": (
        "hyperband",
        {"fit_params": {}},
        UserError,
        ["classes", "SGDClassifier", "fit_params="],
    ),
    "classes missing in a pipeline": (
        "hyperband",
        {
            "estimator": Pipeline([("s", StandardScaler()), ("c", SGD)]),
            "parameters": {"c__alpha": [1e-3]},
            "fit_params": {},
        },
        UserError,
        ["classes", "SGDClassifier"],
    ),
    "unknown fit parameter": (
        "hyperband",
        {"fit_params": {**CLASSES, "wait": 1}},
        UserError,
        ["fit_params", "wait"],
    ),
    "fit parameter of a first step": (
        "hyperband",
        {
            "estimator": Pipeline([("s", StandardScaler()), ("c", SGD)]),
            "parameters": {"c__alpha": [1e-3]},
            "fit_params": {"c__classes": [0, 1], "s__sample_weight": y},
        },
        UserError,
        ["s__sample_weight"],
    ),
    "unknown parameter": ("hyperband", {"parameters": {"alpah": [1e-3]}}, UserError, ["alpah", "alpha"]),
    "empty space": ("hyperband", {"parameters": []}, UserError, ["parameters", "empty"]),
    "no values": ("hyperband", {"parameters": {"alpha": []}}, UserError, ["alpha"]),
    "space of another kind": ("hyperband", {"parameters": "alpha"}, UserError, ["parameters"]),
    "value that is no list": ("hyperband", {"parameters": {"alpha": 0.1}}, UserError, ["alpha"]),
    "refit missing": (
        "hyperband",
        {"scoring": ["accuracy", "f1"]},
        ScoringError,
        ["refit", "accuracy", "f1"],
    ),
    "refit of no metric": (
        "hyperband",
        {"scoring": ["accuracy", "f1"], "refit": "recall"},
        ScoringError,
        ["refit", "recall", "accuracy"],
    ),
    "unknown scorer": ("hyperband", {"scoring": "acuracy"}, ScoringError, ["acuracy", "accuracy"]),
    "prefix_rows 0": ("hyperband", {"prefix_rows": 0}, UserError, ["prefix_rows", "0", "at least 1"]),
    "keep_checkpoints -1": ("hyperband", {"keep_checkpoints": -1}, UserError, ["keep_checkpoints", "-1"]),
    "chunk_size 0": ("hyperband", {"chunk_size": 0}, DataError, ["chunk_size", "0"]),
    "test_size 1.5": ("hyperband", {"test_size": 1.5}, DataError, ["test_size", "1.5"]),
    "cv 1": ("hyperband", {"cv": 1}, DataError, ["cv", "1"]),
    "cv and validation": ("hyperband", {"cv": 3, "validation": (X, y)}, DataError, ["cv", "validation"]),
    "validation no pair": ("hyperband", {"validation": X}, DataError, ["validation", "pair"]),
    "unlike lengths": ("hyperband", {"y": y[:-1]}, DataError, ["y", "119", "120"]),
    "unlike weights": (
        "hyperband",
        {"fit_params": {**CLASSES, "sample_weight": np.ones(7)}},
        DataError,
        ["sample_weight", "7", "120"],
    ),
    "no rows": ("hyperband", {"X": X[:0], "y": y[:0]}, DataError, ["X", "no rows"]),
    "one row in a chunk": ("hyperband", {"X": X[:1], "y": y[:1]}, DataError, ["rows"]),
    "random_state": ("hyperband", {"random_state": "0"}, UserError, ["random_state", "'0'"]),
    "error_score": ("hyperband", {"error_score": "rais"}, UserError, ["error_score", "rais"]),
    "no estimator": ("hyperband", {"estimator": 3}, UserError, ["estimator", "3"]),
    "resources of another step": (
        "hyperband",
        {"resources": {"x": {"GPU": 1}}},
        UserError,
        ["resources", "x"],
    ),
    "groups of another length": (
        "hyperband",
        {"fit_params": {**CLASSES, "groups": y[:5]}},
        DataError,
        ["cv", "120", "5"],
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input(name: str, tmp_path: Path) -> None:
    """What cannot work is said before anything is submitted: place, value and what to do."""
    kind, wrong, error, words = BAD[name]
    asked = {"estimator": SGD, "parameters": ALPHA, "X": X, "y": y, "fit_params": CLASSES, "chunk_size": 30}
    if kind in ("hyperband",):
        asked["max_iter"] = 9
    with pytest.raises(error) as caught:
        ready_adaptive(kind, {**asked, "store": tmp_path, **wrong})
    text = str(caught.value)
    assert not [word for word in words if word not in text], text


def test_empty_parquet_file(tmp_path: Path) -> None:
    """A file without rows would be a call that trains nothing; the error names it."""
    folder = tmp_path / "data"
    folder.mkdir()
    frame = pd.DataFrame(X, columns=list("abc")).assign(t=y)
    for number, part in enumerate((frame[:60], frame[:0], frame[60:])):
        part.to_parquet(folder / f"{number}.parquet", index=False)
    asked = {"estimator": SGD, "parameters": ALPHA, "X": str(folder), "y": "t", "fit_params": CLASSES}
    with pytest.raises(DataError, match=r"1\.parquet.*no rows"):
        ready_adaptive("hyperband", {**asked, "store": tmp_path / "s", "max_iter": 9})


def test_dask_chunks_that_do_not_line_up(
    tmp_path: Path, prefect_api: str, dask_threads: Any, log: Path
) -> None:
    """Known sizes are compared before any block is computed, and numbers before the data."""
    blocks, target = da.from_array(X, chunks=30), da.from_array(y, chunks=40)
    asked = {"cluster": dask_threads.scheduler_address, "store": str(tmp_path / "s"), "verbose": 0}
    with pytest.raises(DataError, match="blocks"):
        hyperband_search(Learner(), {"rate": [0.1]}, blocks, target, max_iter=3, **asked)
    uneven = da.from_array(y, chunks=((40, 20, 30, 30),))
    with pytest.raises(DataError, match=r"y, block 0.*has 40 rows.*30"):
        successive_halving_search(Learner(), {"rate": [0.1]}, blocks, uneven, n_initial_iter=1, **asked)
    with pytest.raises(UserError, match="max_iter"):
        hyperband_search(Learner(), {"rate": [0.1]}, blocks, target, max_iter=0, **asked)
    with pytest.raises(DataError, match="chunk_size"):
        hyperband_search(Learner(), {"rate": [0.1]}, blocks, target, max_iter=3, chunk_size=10, **asked)
    assert learners.taken(log) == []


# -- the same bits, however it runs ------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["hyperband", "inverse_decay"])
def test_same_bits_however_it_runs(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers, sizes of batches and the order of candidates change no bit of the ranking."""
    from prefect_tune import rounds

    space = {"rate": np.linspace(0.01, 1, 40).tolist()}
    pipe = Pipeline([("shift", Shift(0.5)), ("clf", Draws())])
    asked = {"max_iter": 9, "chunk_size": 30}

    def table(name: str, slots: int, **more: Any) -> dict[float, Any]:
        found = search(kind, pipe, {"clf__rate": space["rate"]}, X, y, slots=slots, store=tmp_path / name,
                       **{**asked, **more})  # fmt: skip
        rows = zip(
            *(found.cv_results[c] for c in ("model_id", "test_score", "partial_fit_calls")), strict=True
        )
        return {str(name): (score.hex(), int(calls)) for name, score, calls in rows} | {
            "best": (found.best_score.hex(), found.best_params, found.load_best()[1].weights_.tolist())
        }

    first = table("one", 1)
    assert table("two", 2) == first
    for shortest, longest in ((10.0, 100.0), (1e-6, 1e-5)):
        monkeypatch.setattr(rounds, "SHORTEST", shortest)
        monkeypatch.setattr(rounds, "LONGEST", longest)
        assert table(f"batches {shortest}", 3) == first


def test_same_bits_in_any_order_of_candidates(tmp_path: Path) -> None:
    """Candidates listed in another order have the same scores and survivors, ties included."""
    rates = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
    found = []
    for number, order in enumerate((rates, rates[::-1])):
        asked = {**ASKED, "n_initial_iter": 1, "scoring": "accuracy", "store": tmp_path / str(number)}
        result = search("successive_halving", Draws(), {"rate": order}, X, y, **asked)
        columns = ("test_score", "partial_fit_calls", "rank_test_score")
        rows = zip(
            result.cv_results["params"], *(result.cv_results[c].tolist() for c in columns), strict=True
        )
        found.append((sorted((p["rate"], *rest) for p, *rest in rows), result.best_params))
    assert found[0] == found[1]
