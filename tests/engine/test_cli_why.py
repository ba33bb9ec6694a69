"""`prefect-tune store why`: models, folds of trials, and searches that did not come to their end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_here import call_cli
from distributed.deploy.spec import SpecCluster
from looking import Looking, looking
from sklearn.datasets import load_iris
from sklearn.linear_model import SGDClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler

from prefect_tune import grid_search, halving_grid_search, hyperband_search, tune
from prefect_tune.explained import Book, leave
from prefect_tune.flows import noted
from prefect_tune.store import StepStore
from prefect_tune.store.inspect import searches

PIPE = Pipeline([("scale", MinMaxScaler()), ("clf", KNeighborsClassifier())])
X, Y = load_iris(return_X_y=True)


@pytest.fixture
def places(prefect_api: str, dask_threads: SpecCluster, tmp_path: Path) -> dict[str, Any]:
    """Store, cluster and silence for a search."""
    return {"store": str(tmp_path / "store"), "cluster": dask_threads.scheduler_address, "verbose": 0}


@pytest.fixture
def why(places: dict, capsys: Any) -> Callable[..., Any]:
    """What `store why` says of one or two keys, as JSON."""

    def say(*keys: str) -> Any:
        capsys.readouterr()
        assert call_cli("store", "why", *keys, "--json", "--store", places["store"]) == 0
        return json.loads(capsys.readouterr().out)

    return say


def listed(places: dict, capsys: Any) -> list[str]:
    """What the searches that `store ls` lists asked about."""
    capsys.readouterr()
    assert call_cli("store", "ls", "--json", "--store", places["store"]) == 0
    return [entry["what"] for entry in json.loads(capsys.readouterr().out)["searches"]]


@pytest.mark.parametrize("flow", [grid_search, halving_grid_search], ids=lambda flow: flow.name)
def test_why_knows_the_refitted_model(flow: Any, places: dict, why: Any, capsys: Any) -> None:
    """The model's chain ends at all rows; of two searches' models the parameter is named that differs."""
    first, second = (flow(PIPE, {"clf__n_neighbors": [k]}, X, Y, cv=3, **places).model.key for k in (3, 5))
    told = why(first)
    assert told["title"] == "model of clf (KNeighborsClassifier), all rows, train"
    assert told["record"]["kind"] == "model"
    assert [line["role"] for line in told["chain"]] == ["fit", "fit_transform", "rows"]
    assert {line["fold"] for line in told["chain"]} == {-1}
    found = why(first, second)["differences"]
    assert [(d["place"], d["left"], d["right"]) for d in found] == [("clf: parameter n_neighbors", "3", "5")]
    assert len(listed(places, capsys)) == 2


@pytest.mark.parametrize("refit", [False, True])
def test_why_knows_the_model_of_a_search_in_rounds(refit: bool, places: dict, why: Any, capsys: Any) -> None:
    """As it was scored it is of a split, trained once more of all rows; the search is listed once."""
    asked = {"max_iter": 9, "fit_params": {"classes": [0, 1, 2]}, "refit": refit, **places}
    found = hyperband_search(SGDClassifier(random_state=0), {"alpha": np.logspace(-4, 0, 9)}, X, Y, **asked)
    told = why(found.model.key)
    where = "all rows" if refit else "fold 0"
    assert told["title"] == f"model of estimator (SGDClassifier), {where}, train"
    assert told["chain"][0]["params"] == {"alpha": str(float(found.best_params["alpha"]))}
    assert listed(places, capsys) == ["rounds of partial_fit"]


def test_why_knows_the_folds_of_trials(places: dict, why: Any, capsys: Any) -> None:
    """The folds of a trial have a grid search's keys: both explain them, and the model too."""
    values = {"clf__n_neighbors": [3, 5]}
    tuned = tune(PIPE, {"clf__n_neighbors": {"choice": [3, 5]}}, X=X, y=Y, cv=3, **places)
    assert listed(places, capsys) == ["an objective"]
    mine = searches(StepStore.open(places["store"]))[0]
    grid_search(PIPE, values, X, Y, cv=3, refit=False, **places)
    theirs = searches(StepStore.open(places["store"]))[0]
    scores = [row[0] for row in theirs.document["scores"]]
    assert len(scores) == 6
    assert set(scores) <= set(mine.places)
    assert len(why(scores[0])["searches"]) == 2
    assert [d["place"] for d in why(scores[0], scores[3])["differences"]] == ["clf: parameter n_neighbors"]
    assert why(tuned.model.key)["title"] == "model of clf (KNeighborsClassifier), all rows, train"


def seen(places: dict) -> list[int]:
    """What was seen, in order."""
    return [int(line) for line in (Path(places["store"]).parent / "seen").read_text().split()]


def test_a_search_in_rounds_is_explained_before_it_trains(places: dict) -> None:
    """The first training finds the candidates and their first scores explained."""
    asked = {"max_iter": 3, "fit_params": {"classes": [0, 1, 2]}, **places}
    hyperband_search(Looking(places["store"]), {"alpha": [0.1, 0.01, 0.001]}, X, Y, **asked)
    assert seen(places)[0] > 3


def test_a_search_that_fails_is_explained_as_far_as_it_came(places: dict, why: Any) -> None:
    """With error_score="raise" the search ends early; the scores that it left in the store are known."""
    asked = {"max_iter": 9, "fit_params": {"classes": [0, 1, 2]}, "error_score": "raise", **places}
    with pytest.raises(RuntimeError, match="the fifth call"):
        hyperband_search(
            Looking(places["store"], fails=True), {"alpha": np.logspace(-4, 0, 9)}, X, Y, **asked
        )
    note = searches(StepStore.open(places["store"]))[0]
    stored = StepStore.open(places["store"]).lookup(note.places, note.record.values["scope"])
    left = [key for key, record in stored.items() if record.kind == "score"]
    assert left
    assert why(left[0])["chain"][0]["step"] == "estimator (Looking)"


def test_a_search_over_an_objective_is_explained_before_it_runs(places: dict, why: Any) -> None:
    """A second run of the search, which adds a trial, explains those of the first before it starts one."""
    objective, space = partial(looking, place=places["store"]), {"x": [0.1, 0.2, 0.3]}
    for trials in (2, 3):
        tune(objective, space, n_trials=trials, sampler="random", **places)
    first, *_, last = seen(places)
    assert first == 0
    assert last >= 2 * 4  # of each trial its training, its report, what came with it, its end
    notes = searches(StepStore.open(places["store"]))
    assert [note.record.values["candidates"] for note in notes] == [3, 2]


def test_a_document_is_renewed_while_the_search_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What has become known since is in the store before the end; readers see the newest document only."""
    monkeypatch.setattr(noted, "FIRST", 0.01)
    store, known = StepStore.open(tmp_path / "store"), [0]

    def make() -> Book:
        facts = {"name": "n", "what": "w", "candidates": known[0], "folds": 1, "seed": 0}
        return Book(facts, lambda value, name: b"")

    def found() -> list[int]:
        return sorted(note.record.values["candidates"] for note in searches(store))

    async def work() -> None:
        async with noted.noted(make, store, "ab" * 32):
            assert found() == [0, 0]
            known[0] = 7
            async with asyncio.timeout(30):
                while 7 not in found():
                    await asyncio.sleep(0.01)
            known[0] = 8

    leave(make(), store, "ab" * 32, "")  # somebody else's, which stays
    asyncio.run(work())
    assert found() == [0, 8]
