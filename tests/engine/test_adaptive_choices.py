"""What a user may choose in an adaptive search besides its numbers: columns, validation, what is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from adaptive_here import search
from sklearn.linear_model import SGDClassifier

from prefect_tune.errors import DataError
from prefect_tune.flows.adaptive.ready import ready_adaptive
from prefect_tune.store import StepStore

rng = np.random.default_rng(0)
X = rng.normal(size=(120, 3))
y = (X[:, 0] + 0.5 * rng.normal(size=120) > 0).astype(int)
SGD = SGDClassifier(random_state=0)
ALPHAS = {"alpha": np.logspace(-5, 0, 40).tolist()}
CLASSES = {"classes": [0, 1]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three files with features a, b, c, the target t and weights w; and one to score on."""
    frame = pd.DataFrame(X, columns=list("abc")).assign(t=y, w=np.linspace(0.1, 2, len(y)))
    for number in range(3):
        (tmp_path / "data").mkdir(exist_ok=True)
        frame[30 * number : 30 * number + 30].to_parquet(tmp_path / f"data/{number}.parquet", index=False)
    (tmp_path / "held").mkdir()
    frame[90:].to_parquet(tmp_path / "held" / "0.parquet", index=False)
    return tmp_path


def checkpoints(result: Any, store: Path) -> set[tuple[Any, int]]:
    """(model, calls) of the checkpoints that are still in the store, counted by their number."""
    ready = ready_adaptive("incremental", {**asked(store), "parameters": {"alpha": [1e-3, 1e-2, 1e-1]}})
    chains, opened, found = ready.spec.chains(), StepStore.open(store), set()
    for row, params in enumerate(ready.spec.candidates):
        chain = chains.chain(params, 0)
        for calls in range(1, 5):
            if opened.get(chain.link(calls).hex(), ready.spec.scope) is not None:
                found.add((row, calls))
    return found


def asked(store: Path) -> dict[str, Any]:
    """An incremental search whose three candidates are scored after each of four calls."""
    return {"estimator": SGD, "X": X, "y": y, "max_iter": 4, "n_initial_parameters": "grid",
            "chunk_size": 30, "random_state": 0, "fit_params": CLASSES, "store": store}  # fmt: skip


@pytest.mark.parametrize(
    ("keep", "candidates", "levels"),
    [(None, 3, 4), (1, 1, 4), (0, 0, 0), ({"per_candidate": 1}, 3, 1),
     ({"per_candidate": 2, "per_search": 2}, 2, 2)],
)  # fmt: skip
def test_keep_checkpoints(keep: Any, candidates: int, levels: int, tmp_path: Path) -> None:
    """As many candidates keep as many of their latest checkpoints as asked for, the best ones first."""
    options = {name: value for name, value in asked(tmp_path).items() if name not in ("estimator", "X", "y")}
    result = search("incremental", SGD, {"alpha": [1e-3, 1e-2, 1e-1]}, X, y, keep_checkpoints=keep, **options)
    left = checkpoints(result, tmp_path)
    assert len({row for row, _ in left}) == candidates
    assert len(left) == candidates * levels
    assert {calls for _, calls in left} == set(range(5 - levels, 5))
    if candidates == 1:
        assert {row for row, _ in left} == {result.best_index}
    assert result.load_best().t_ > 1
    again = search("incremental", SGD, {"alpha": [1e-3, 1e-2, 1e-1]}, X, y, **options)
    assert again.cost.calls == 0  # scores stay, whatever is released


def test_release_leaves_what_others_use(tmp_path: Path) -> None:
    """A blob that two records point to goes with the second of them."""
    from prefect_tune.store import Record

    store, scope = StepStore.open(tmp_path), "ab"
    for key in ("a" * 64, "b" * 64):
        store.put(Record(key=key, kind="checkpoint"), {"model": np.arange(100_000)}, scope)
    assert store.release(["a" * 64]) == 0
    assert store.get("a" * 64, scope) is None
    kept = store.get("b" * 64, scope)
    assert kept is not None
    assert store.load(kept, "model").sum() == np.arange(100_000).sum()
    assert store.release(["b" * 64, "c" * 64]) > 800_000
    assert store.verify() == []


def test_weights_are_no_features(folder: Path) -> None:
    """A column of per-row arguments is a feature neither of the training rows nor of the scored ones."""
    options = {"max_iter": 3, "random_state": 0, "store": folder / "s",
               "fit_params": {**CLASSES, "sample_weight": "w"}}  # fmt: skip
    held = (str(folder / "held"), "t")
    result = search("hyperband", SGD, ALPHAS, str(folder / "data"), "t", validation=held, **options)
    assert list(result.load_best().feature_names_in_) == ["a", "b", "c"]
    assert result.failures == ()


def test_columns(folder: Path) -> None:
    """Of Parquet files only the columns asked for are features."""
    options = {"max_iter": 3, "random_state": 0, "store": folder / "s", "fit_params": CLASSES}
    result = search(
        "hyperband", SGD, ALPHAS, str(folder / "data"), "t", columns=["c", "a"], test_size=0.3, **options
    )
    assert list(result.load_best().feature_names_in_) == ["c", "a"]


def test_classes_in_any_form(tmp_path: Path) -> None:
    """Lists, tuples and arrays of the same classes are the same question."""
    options = {"max_iter": 3, "chunk_size": 30, "random_state": 0, "store": tmp_path}
    calls = [
        search("hyperband", SGD, ALPHAS, X, y, fit_params={"classes": classes}, **options).cost.calls
        for classes in ([0, 1], (0, 1), np.array([0, 1]), range(2))
    ]
    assert calls[0] > 0
    assert calls[1:] == [0, 0, 0]


def test_missing_target(tmp_path: Path) -> None:
    """A classifier without a target is refused before any row is stored for a worker."""
    question = {"estimator": SGD, "parameters": ALPHAS, "X": X, "fit_params": CLASSES, "store": tmp_path}
    with pytest.raises(DataError, match=r"y: SGDClassifier learns from a target"):
        ready_adaptive("hyperband", {**question, "max_iter": 9})


def test_more_rows_than_there_are(tmp_path: Path) -> None:
    """Rungs of rows beyond the training rows are refused, with both numbers."""
    question = {"estimator": SGD, "parameters": ALPHAS, "X": X, "y": y, "fit_params": {}, "store": tmp_path}
    ladder = {"n_initial_parameters": 4, "n_initial_iter": 20, "max_iter": 500, "resource": "n_samples"}
    with pytest.raises(DataError, match=r"max_iter: .* 180 rows, but a split has 96"):
        ready_adaptive(
            "successive_halving", {**question, **ladder, "aggressiveness": 3, "n_initial_parameters": 9}
        )
