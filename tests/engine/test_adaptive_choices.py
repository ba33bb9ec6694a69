"""What a user may choose in an adaptive search besides its numbers: columns, validation, what is kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pandas as pd
import pytest
from adaptive_here import search
from sklearn.linear_model import SGDClassifier

from prefect_tune import hyperband_search
from prefect_tune.errors import DataError
from prefect_tune.flows.adaptive.ready import adaptive_parameters, ready_adaptive
from prefect_tune.request import reference
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


HELD = pd.DataFrame(X[90:], columns=list("abc"))


@pytest.mark.parametrize(
    ("validation", "words"),
    [
        ((HELD[["a", "b"]], y[90:]), ["no column 'c'", "a, b"]),
        ((HELD.assign(d=1), y[90:]), ["column 'd'", "Leave it out"]),
        ((HELD[["c", "b", "a"]], y[90:]), ["another order", "a, b, c"]),
        ((X[90:, :2], y[90:]), ["2 columns", "3 columns"]),
        ((X[90:, 0], y[90:]), ["single values", "3 columns"]),
        ((HELD.assign(b="low"), y[90:]), ["column 'b' holds text", "numbers"]),
        ((X[90:].astype(str), y[90:]), ["column 'a' holds text", "numbers"]),
        ((HELD, y[90:].astype(str)), ["y holds text", "numbers"]),
        ((HELD, None), ["no target"]),
        ((HELD, y[91:]), ["y: has 29 entries", "30 rows"]),
        (("nowhere", "t"), ["nowhere", "check the path"]),
    ],
)
@pytest.mark.parametrize("files", [False, True])
def test_validation_unlike_the_data(
    validation: Any, words: list[str], files: bool, folder: Path, tmp_path: Path
) -> None:
    """Rows that no candidate could be scored on are refused before anything runs, wherever the data lie."""
    question = {**asked(tmp_path / "s"), "parameters": ALPHAS, "validation": validation}
    if files:
        question |= {"X": str(folder / "data"), "y": "t", "columns": ["a", "b", "c"], "chunk_size": None}
    else:
        question |= {"X": pd.DataFrame(X, columns=list("abc"))}
    with pytest.raises(DataError, match=r"^validation\b") as caught:
        ready_adaptive("incremental", {**question, "n_initial_parameters": 3})
    assert not [word for word in words if word not in str(caught.value)], str(caught.value)


@pytest.mark.parametrize(
    ("columns", "names", "words"),
    [
        (None, ["c", "w", "a", "b"], None),
        (["c", "a"], ["b", "a", "c"], None),
        (["c", "a"], ["b", "a"], ["no column 'c'", "b, a"]),
        (None, ["a", "b", "c"], ["no column 'w'"]),
        (None, ["a", "b", "c", "w", "more"], ["column 'more'"]),
    ],
)
def test_validation_in_files(
    columns: list[str] | None, names: list[str], words: list[str] | None, folder: Path
) -> None:
    """Columns of files are taken by their names, in the order of X, and only those of `columns`."""
    frame = pd.DataFrame(X[90:], columns=list("abc")).assign(w=1.0, more=1.0)
    frame[names].assign(t=y[90:]).to_parquet(folder / "held" / "0.parquet", index=False)
    options = {"max_iter": 3, "random_state": 0, "store": folder / "s", "fit_params": CLASSES}
    held, place = (str(folder / "held"), "t"), (str(folder / "data"), "t")
    if words is None:
        result = search("hyperband", SGD, ALPHAS, *place, columns=columns, validation=held, **options)
        assert list(result.load_best().feature_names_in_) == (columns or ["a", "b", "c", "w"])
        assert result.failures == ()
        return
    with pytest.raises(DataError, match=r"^validation: ") as caught:
        search("hyperband", SGD, ALPHAS, *place, columns=columns, validation=held, **options)
    assert not [word for word in words if word not in str(caught.value)], str(caught.value)


def test_validation_unlike_a_dask_collection(tmp_path: Path, prefect_api: str, dask_threads: Any) -> None:
    """What the graph says of the columns is enough: no block is computed."""
    place = {"cluster": dask_threads.scheduler_address, "store": str(tmp_path / "s"), "verbose": 0}
    computed = tmp_path / "computed"

    def block(rows: np.ndarray) -> np.ndarray:
        computed.touch()
        return rows

    blocks = da.from_array(X, chunks=(30, 3)).map_blocks(block, dtype=X.dtype, meta=X[:0])
    target = da.from_array(y, chunks=30)
    with pytest.raises(DataError, match="validation: has 2 columns, but X has 3"):
        hyperband_search(
            SGD, ALPHAS, blocks, target, max_iter=3, validation=(X[:, :2], y), fit_params=CLASSES, **place
        )
    assert not computed.exists()
    options = {"max_iter": 3, "random_state": 0, "fit_params": CLASSES, **place}
    found = hyperband_search(SGD, ALPHAS, blocks, target, validation=(X[90:], y[90:]), **options)
    assert computed.exists()
    assert found.failures == ()


def test_validation_survives_a_flow_run(tmp_path: Path) -> None:
    """The flow run's parameters say it again as JSON, in place or by reference, and it is checked again."""
    question = {**asked(tmp_path), "parameters": {"alpha": [0.1]}, "validation": (X[90:], y[90:])}
    first = ready_adaptive("incremental", question)
    form = json.loads(json.dumps(adaptive_parameters(question, first)["validation"]))
    held = first.spec.split.validation
    for again in (form, reference(held, first.store)):
        second = ready_adaptive("incremental", {**question, "validation": again})
        assert second.spec.split.validation == held
        with pytest.raises(DataError, match="validation: has 3 columns, but X has 2"):
            ready_adaptive("incremental", {**question, "X": X[:, :2], "validation": again})


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
