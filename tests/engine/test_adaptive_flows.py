"""Adaptive searches as flows on a cluster: the same results as without flows, also for dask collections."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dask.array as da
import learners
import numpy as np
import pandas as pd
import pytest
from adaptive_here import search
from distributed import Client
from distributed.deploy.spec import SpecCluster
from learners import Learner
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterParentFlowRunId
from seen import run_id

from prefect_tune import hyperband_search, successive_halving_search

pytestmark = pytest.mark.usefixtures("prefect_api")

rng = np.random.default_rng(0)
X = rng.normal(size=(120, 3))
y = (X[:, 0] + 0.5 * rng.normal(size=120) > 0).astype(int)
SPACE = {"rate": np.linspace(0.01, 1, 50).tolist()}
COLUMNS = ("model_id", "test_score", "partial_fit_calls", "rank_test_score", "bracket")


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(learners.VARIABLE, str(tmp_path / "calls"))
    return tmp_path / "calls"


def rows(result: Any) -> list[tuple]:
    return list(zip(*(result.cv_results[column].tolist() for column in COLUMNS), strict=True))


def brackets_of(result: Any) -> set[str]:
    """First words of the names of the flow runs below the search's."""
    below = FlowRunFilter(parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=[run_id(result)]))
    with get_client(sync_client=True) as client:
        return {run.name.split(" · ")[0] for run in client.read_flow_runs(flow_run_filter=below)}


def test_brackets_are_subflows(log: Path, dask_threads: SpecCluster, tmp_path: Path) -> None:
    """Each bracket is a flow run below the search's; a repeat finds all rounds and runs no training."""
    asked = {"max_iter": 9, "chunk_size": 30, "random_state": 0}
    expected = search("hyperband", Learner(), SPACE, X, y, store=tmp_path / "here", **asked)
    once = len(learners.taken(log))
    place = {"cluster": dask_threads.scheduler_address, "store": str(tmp_path / "s"), "verbose": 0}
    first = hyperband_search(Learner(), SPACE, X, y, **asked, **place)
    assert rows(first) == rows(expected)
    assert len(learners.taken(log)) == first.cost.calls == expected.cost.calls == once
    assert np.array_equal(first.load_best().weights_, expected.load_best().weights_)
    assert brackets_of(first) == {"bracket 0", "bracket 1", "bracket 2"}
    second = hyperband_search(Learner(), SPACE, X, y, **asked, **place)
    assert learners.taken(log) == []
    assert (rows(second), second.cost.calls, second.rounds_run) == (rows(expected), 0, 0)


@pytest.mark.parametrize("kind", ["array", "frame"])
def test_dask_collections(kind: str, log: Path, dask_threads: SpecCluster, tmp_path: Path) -> None:
    """Blocks are chunks, stored where they lie: the same calls and scores as of data in memory cut so."""
    asked = {"n_initial_parameters": 9, "n_initial_iter": 1, "random_state": 0}
    given = pd.DataFrame(X, columns=list("abc")) if kind == "frame" else X
    target = pd.Series(y, name="t") if kind == "frame" else y
    options = {**asked, "chunk_size": 30, "store": tmp_path / "here"}
    expected = search("successive_halving", Learner(), SPACE, given, target, **options)
    calls = sorted(learners.taken(log))
    if kind == "array":
        blocks, labels = da.from_array(X, chunks=(30, 2)), da.from_array(y, chunks=30)
    else:
        import dask.dataframe as dd

        blocks, labels = dd.from_pandas(given, npartitions=4), dd.from_pandas(target, npartitions=4)
    with Client(dask_threads, set_as_default=True):
        found = successive_halving_search(
            Learner(), SPACE, blocks, labels, store=str(tmp_path / "s"), verbose=0, **asked
        )
    assert rows(found) == rows(expected)
    assert sorted(learners.taken(log)) == calls
