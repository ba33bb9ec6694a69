"""Steps with limits run in processes that can be killed: they cost themselves only, and change no number."""

from __future__ import annotations

import os
import re
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import odd
import pytest
from adaptive_here import search
from differential import Run, assert_equal_search, run_ours
from learners import Learner
from odd import Odd, OddScaler, Reader
from sklearn import model_selection
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA
from sklearn.exceptions import FitFailedWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from prefect_tune import (
    GridSearchCV,
    HalvingGridSearchCV,
    HalvingRandomSearchCV,
    HyperbandSearchCV,
    IncrementalSearchCV,
    InverseDecaySearchCV,
    RandomizedSearchCV,
    SuccessiveHalvingSearchCV,
    grid_search,
    hyperband_search,
)
from prefect_tune.errors import UserError
from prefect_tune.tasks.isolation import cell, steps
from prefect_tune.tasks.isolation.limits import At, StepLimits, Stopped, held_by
from prefect_tune.tasks.nursery import FORKS

X, y = load_iris(return_X_y=True)
LIMITS = StepLimits(seconds=2.0)
ROOMY = StepLimits(seconds=60.0, memory=200 << 20)
AMPLE = StepLimits(seconds=600.0, memory=8 << 30)


@pytest.fixture(autouse=True)
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the odd estimators note what they did; the cell of this thread starts anew and is ended."""
    monkeypatch.setenv(odd.NOTES, str(tmp_path / "notes"))
    yield tmp_path / "notes"
    if (cell := vars(steps._local).pop("cell", None)) is not None:
        cell.kill()
    vars(steps._local).clear()


def noted(notes: Path) -> Counter[str]:
    return Counter(notes.read_text().splitlines())


def run(estimator: Any, grid: Any, root: Path, *, limits: StepLimits = LIMITS, **options: Any) -> Run:
    """Our run over two folds of iris, with the warnings of failed fits left out."""
    search = model_selection.GridSearchCV(estimator, grid, cv=2, refit=False, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return run_ours(search, X, y, root=root, limits=limits)


def test_the_table_is_scikit_learns(tmp_path: Path) -> None:
    """With limits that nothing meets, table, winner and model are those of scikit-learn, bit for bit."""
    pipe = Pipeline([("scale", StandardScaler()), ("pca", PCA()), ("clf", LogisticRegression(max_iter=300))])
    grid = {"pca__n_components": [2, 3], "clf__C": [0.1, 1.0]}
    options = {"cv": 3, "scoring": ["accuracy", "f1_macro"], "refit": "accuracy", "return_train_score": True}
    make = lambda: model_selection.GridSearchCV(pipe, grid, **options)  # noqa: E731
    ours = assert_equal_search(make, X, y, root=tmp_path / "isolated", limits=AMPLE)
    here = assert_equal_search(make, X, y, root=tmp_path / "here")
    assert ours.steps == here.steps, "and each shared step ran once"


LATE = r"it took longer than step_seconds=2"
HARM = [  # more of it in tests/faults/test_candidates.py
    ("fits", "is deaf", LATE),
    ("fits", "hoards", r"it took 2\d\d MiB; step_memory is 200 MiB"),
    ("fits", "segfaults", r"its process was ended by SIGSEGV"),
    ("predicts", "sleeps", LATE),
    ("predicts", "leaves", r"its process exited with code 0"),
]


@pytest.mark.parametrize(("where", "harm", "cause"), HARM)
def test_harm_costs_its_candidate(where: str, harm: str, cause: str, tmp_path: Path, notes: Path) -> None:
    """The candidate failed with its cause, the other has its scores, and each step began once."""
    ran = run(Odd(), {where: ["nothing", harm]}, tmp_path, limits=LIMITS if cause == LATE else ROOMY)
    assert [failure.candidate for failure in ran.failures] == [1, 1]
    assert all(re.fullmatch(f"Stopped: {cause}", failure.cause) for failure in ran.failures), ran.failures
    assert ran.table["mean_test_score"][0] == pytest.approx(1 / 3)
    assert np.isnan(ran.table["mean_test_score"][1])
    assert noted(notes)[harm] == 2, "once on each fold"


@pytest.mark.skipif(not FORKS, reason="cells are not forked on this system")
def test_end_of_what_forks_cells_is_nobodys_fault(tmp_path: Path, notes: Path) -> None:
    """A step is run again whose process went with what had forked it; a second time it has failed."""
    ran = run(Odd(), {"fits": ["nothing", "is bereft", "is bereft again"]}, tmp_path, limits=ROOMY)
    assert {failure.candidate for failure in ran.failures} == {2}, ran.failures
    assert ran.table["mean_test_score"][:2] == pytest.approx([1 / 3, 1 / 3])
    assert noted(notes)["is bereft"] == 3, "one more for the first of two folds"
    assert noted(notes)["is bereft again"] == 4, "two for each fold"


def test_shared_step_is_tried_once(tmp_path: Path, notes: Path) -> None:
    """A shared step that hangs fails all candidates behind it, for the price of one limit a fold."""
    pipe = Pipeline([("scale", OddScaler()), ("clf", Odd())])
    grid = {"scale__fits": ["nothing", "sleeps"], "clf__shift": list(range(6))}
    ran = run(pipe, grid, tmp_path)
    behind = [row for row, params in enumerate(ran.table["params"]) if params["scale__fits"] == "sleeps"]
    assert sorted({failure.candidate for failure in ran.failures}) == behind
    assert noted(notes)["sleeps"] == 2


def test_error_score_raise_stops_at_the_first(tmp_path: Path) -> None:
    """The search fails with the limit that was passed."""
    with pytest.raises(Stopped, match="step_seconds=2"):
        run(Odd(), {"fits": ["sleeps", "nothing"]}, tmp_path, error_score="raise")


def test_mapped_pages_are_not_the_steps(tmp_path: Path) -> None:
    """Reading a dataset that is mapped from the store uses no memory of the step's; a copy of it does."""
    big = np.ones((400_000, 100)), np.arange(400_000) % 2  # 320 MB
    limits = StepLimits(seconds=120.0, memory=100 << 20)
    search = model_selection.GridSearchCV(
        Reader(), {"copies": [False, True]}, cv=[(np.arange(400_000), [0, 1])], refit=False
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ran = run_ours(search, *big, root=tmp_path, limits=limits)
    assert [failure.candidate for failure in ran.failures] == [1], ran.failures
    assert "step_memory is 100 MiB" in ran.failures[0].cause


@pytest.mark.parametrize(("wrong", "cause"), [("hangs", "step_seconds=1"), ("dies", "exited with code 0")])
def test_call_of_partial_fit_has_the_limit(wrong: str, cause: str, tmp_path: Path) -> None:
    """A candidate that harms its process at its third call is out; the others train as without it."""
    rows, target = X[:100], y[:100]
    asked = {"max_iter": 4, "chunk_size": 20, "n_initial_parameters": "grid"}
    good = {"rate": [0.1, 0.2]}
    alone = search("incremental", Learner(), good, rows, target, store=tmp_path / "a", **asked)
    space = {**good, "wrong": ["", wrong]}
    options = {"store": tmp_path / "b", "step_seconds": 1, "slots": 1, **asked}
    with pytest.warns(UserWarning, match="2 of 4 candidates failed"):
        found = search("incremental", Learner(at=3), space, rows, target, **options)
    assert all(cause in failure.cause for failure in found.failures)
    scores = [entry["score"] for entry in found.history if not entry["params"].get("wrong")]
    assert sorted(scores) == sorted(entry["score"] for entry in alone.history)


@pytest.mark.usefixtures("prefect_api")
def test_flow_takes_the_limits(dask_threads: Any, tmp_path: Path) -> None:
    """A search on a cluster: hanging candidates are failures in the result, and the report's."""
    options = {"cluster": dask_threads.scheduler_address, "store": str(tmp_path), "verbose": 0}
    with pytest.warns(FitFailedWarning):
        found = grid_search(Odd(), {"fits": ["nothing", "sleeps"]}, X, y, cv=2, step_seconds=1, **options)
    assert found.best_params == {"fits": "nothing"}
    assert {failure.cause for failure in found.failures} == {"Stopped: it took longer than step_seconds=1"}


CLASSES = [
    (GridSearchCV, {"shift": [0]}),
    (RandomizedSearchCV, {"shift": [0]}),
    (HalvingGridSearchCV, {"shift": [0]}),
    (HalvingRandomSearchCV, {"shift": [0]}),
    (HyperbandSearchCV, {"rate": [0.1]}),
    (SuccessiveHalvingSearchCV, {"rate": [0.1]}),
    (IncrementalSearchCV, {"rate": [0.1]}),
    (InverseDecaySearchCV, {"rate": [0.1]}),
]


@pytest.mark.parametrize(("family", "space"), CLASSES)
def test_classes_pass_the_limits_on(family: Any, space: Any, tmp_path: Path) -> None:
    """A limit that is none is refused through every class, so each of them hands it over."""
    estimator = Learner() if "rate" in space else Odd()
    for limit, said in (({"step_seconds": 0}, "step_seconds"), ({"step_memory": "much"}, "step_memory")):
        with pytest.raises(UserError, match=said):
            family(estimator, space, store=str(tmp_path), **limit).fit(X[:100], y[:100])


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        ({"step_seconds": 0}, "step_seconds: must be a number above 0, got 0"),
        ({"step_seconds": "1 h"}, "step_seconds: must be a number above 0, got '1 h'"),
        ({"step_memory": "much"}, "step_memory: give bytes or a text such as '2 GiB', got 'much'"),
        ({"step_memory": -1}, "step_memory: must be above 0 bytes, got -1"),
    ],
)
def test_limit_that_is_none(limit: dict[str, Any], said: str, tmp_path: Path) -> None:
    """It is said before anything runs."""
    with pytest.raises(UserError, match=said):
        grid_search(Odd(), {"shift": [0]}, X, y, store=str(tmp_path), **limit)
    with pytest.raises(UserError, match=said):
        hyperband_search(Learner(), {"rate": [0.1]}, X, y, store=str(tmp_path), **limit)


def test_what_is_held_counts_no_mapped_pages(tmp_path: Path) -> None:
    """The measure of memory grows by what is made, and not by what is mapped."""
    if not Path("/proc/self/status").exists():
        pytest.skip("this system does not tell mapped pages from others")
    np.save(tmp_path / "rows.npy", np.ones(20_000_000))
    before = held_by(os.getpid())
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    assert mapped.sum() == 20_000_000
    assert held_by(os.getpid()) - before < 40 << 20
    made = np.array(mapped)
    assert held_by(os.getpid()) - before > 140 << 20
    assert made[0] == 1


def test_waiting_has_no_limit() -> None:
    """A cell that loads data, or waits for another search's step, is left alone; one at a step is not."""
    assert steps._breach(None, At(), 3600.0, LIMITS) == ""
    assert steps._breach(None, At("a step"), 3600.0, LIMITS) == "it took longer than step_seconds=2"


def test_cell_that_cannot_start_is_no_ones_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is tried twice, and then said with the next move."""
    monkeypatch.setattr(steps, "START", -1.0)
    monkeypatch.setattr(cell, "LOOK", 0.0)  # it starts within milliseconds
    begun = time.monotonic()
    with pytest.raises(Exception, match="ended 2 times while no step ran: it did not start"):
        run(Odd(), {"shift": [0]}, tmp_path)
    assert time.monotonic() - begun < 60
