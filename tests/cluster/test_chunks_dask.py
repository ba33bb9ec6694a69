"""Dask collections as chunks, on worker processes: stored where they lie, equal to what they hold."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from distributed import Client, LocalCluster

from prefect_tune.chunks import ChunkedData, open_chunks, read_chunk
from prefect_tune.errors import DataError
from prefect_tune.store import StepStore
from prefect_tune.tasks.chunks import chunk_collection, is_chunked

pytestmark = pytest.mark.cluster

X = np.random.default_rng(0).normal(size=(20, 4))
Y = np.arange(20)
FRAME = pd.DataFrame({"a": X[:, 0], "b": Y, "text": [f"t{i % 3}" for i in Y]})


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        yield client


@pytest.fixture
def store(tmp_path: Path) -> StepStore:
    return StepStore.open(tmp_path / "store")


def ids(data: ChunkedData) -> list[str]:
    return [chunk.identity for chunk in data.chunks]


def bounds(collection, rows):
    """An array from a collection of unknown sizes: rows where `rows` is true, per block."""
    return collection[da.from_array(rows, chunks=collection.chunks[0])]


def test_blocks_are_stored_by_the_workers(client, store, tmp_path):
    """The process that asks neither computes, reads nor writes a block; workers do, and it can read them."""

    def noted(block, folder):
        (Path(folder) / f"{os.getpid()}-{block.mean()}").touch()
        return block

    (tmp_path / "seen").mkdir()
    lazy = da.from_array(X, chunks=(5, 4)).map_blocks(noted, str(tmp_path / "seen"), meta=X[:0])
    data = chunk_collection(lazy, da.from_array(Y, chunks=5), client=client, store=store)
    assert (store.counters.bytes_read, store.counters.bytes_written) == (0, 0)
    pids = {int(path.name.partition("-")[0]) for path in (tmp_path / "seen").iterdir()}
    assert pids <= set(client.run(os.getpid).values())
    assert (data.n_chunks, data.rows, data.unstable, data.appendable) == (4, 20, "", False)
    for number, chunk in enumerate(data.chunks):
        read = read_chunk(chunk, StepStore.open(store.root))
        assert read.X.tolist() == X[5 * number : 5 * number + 5].tolist()
        assert read.y.tolist() == list(range(5 * number, 5 * number + 5))


def test_collections_equal_the_data_they_hold(client, store):
    """With the same boundaries, arrays, matrices and Delayed give the chunks of the data in memory."""
    weights = Y / 7
    lazy_y, lazy_w = da.from_array(Y, chunks=5), da.from_array(weights, chunks=5)
    blocks = [slice(start, start + 5) for start in range(0, 20, 5)]
    plain = open_chunks(X, Y, store=store, chunk_size=5, params={"sample_weight": weights})
    array = da.from_array(X, chunks=(5, 4))
    for lazy in (array, array.rechunk((5, 1)), [dask.delayed(X[block]) for block in blocks]):
        data = chunk_collection(lazy, lazy_y, client=client, store=store, params={"sample_weight": lazy_w})
        assert ids(data) == ids(plain)
    matrix = sp.csr_array(np.where(X > 0, X, 0))
    lazy = [dask.delayed(matrix[block]) for block in blocks]
    y = [dask.delayed(Y[block].tolist()) for block in blocks]
    data = chunk_collection(lazy, y, client=client, store=store)
    assert ids(data) == ids(open_chunks(matrix, Y.tolist(), store=store, chunk_size=5))


def test_frames_equal_the_frames_they_hold(client, store):
    """Partitions are chunks; row numbers made up by pandas do not count, so place does not."""
    with dask.config.set({"dataframe.convert-string": False}):
        lazy = dd.from_pandas(FRAME, npartitions=4)
        data = chunk_collection(lazy[["a", "b", "text"]], lazy["b"], client=client, store=store)
    assert ids(data) == ids(open_chunks(FRAME, FRAME["b"], store=store, chunk_size=5))
    pd.testing.assert_frame_equal(
        pd.concat([read_chunk(c, store).X for c in data.chunks], ignore_index=True), FRAME
    )


def test_blocks_of_unknown_size(client, store):
    """Sizes come back with the chunks; a block may turn out empty."""
    keep = (Y % 2 == 0) & (Y >= 5)
    lazy_x, lazy_y = bounds(da.from_array(X, chunks=(5, 2)), keep), bounds(da.from_array(Y, chunks=5), keep)
    assert np.isnan(lazy_x.chunks[0]).all()
    data = chunk_collection(lazy_x, lazy_y, client=client, store=store)
    assert [chunk.rows for chunk in data.chunks] == [0, 2, 3, 2]
    assert np.concatenate([read_chunk(c, store).X for c in data.chunks]).tolist() == X[keep].tolist()


def test_equal_names_do_not_mix_data(client, store):
    """Two collections that dask cannot tell apart by name are two data sets; equal blocks are one chunk."""
    first, second = (
        chunk_collection(da.from_array(values, chunks=(10, 4), name="same"), client=client, store=store)
        for values in (X, X + 1)
    )
    assert read_chunk(second.chunks[0], store).X.tolist() == (X + 1)[:10].tolist()
    assert not set(ids(first)) & set(ids(second))
    twice = chunk_collection([dask.delayed(X), dask.delayed(X)], client=client, store=store)
    assert len(set(ids(twice))) == 1
    assert twice.n_chunks == 2


def test_persisted_blocks_stay_where_they_are(client, store):
    """What the cluster holds already is not computed again, and is still held afterwards."""
    calls = da.from_array(X, chunks=(5, 4)).map_blocks(lambda block: block + np.random.rand(), meta=X[:0])
    held = client.persist(calls)
    data = chunk_collection(held, client=client, store=store)
    assert [read_chunk(c, store).X.tolist() for c in data.chunks] == [
        held.compute()[start : start + 5].tolist() for start in range(0, 20, 5)
    ]


def test_nothing_is_left_on_the_cluster(client, store):
    """When the chunks are known, the scheduler forgets the tasks that stored them."""
    chunk_collection(da.from_array(X, chunks=(5, 4)), client=client, store=store)
    deadline = time.monotonic() + 20
    while (left := client.run_on_scheduler(_names)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left == []


def _names(dask_scheduler) -> list[str]:
    return [str(key) for key in dask_scheduler.tasks if "store_block" in str(key)]


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ((da.from_array(X, chunks=(5, 4)), da.from_array(Y, chunks=4)), ["y:", "5 blocks", "4"]),
        ((da.from_array(X, chunks=((5, 15), 4)), da.from_array(Y, chunks=10)), ["y, block 0", "10", "5"]),
        ((da.from_array(X, chunks=(5, 4)), Y), ["y:", "ndarray", "from_array"]),
        ((da.from_array(X, chunks=(5, 4)), None, {"sample_weight": Y}), ["sample_weight:", "ndarray"]),
        (
            (dd.from_pandas(FRAME, npartitions=4), dd.from_pandas(FRAME["b"], npartitions=2)),
            ["y:", "2 blocks"],
        ),
        (
            (
                dd.from_pandas(FRAME, npartitions=4),
                dd.from_pandas(FRAME["b"], npartitions=2).repartition([0, 3, 10, 15, 19]),
            ),
            ["y:", "other labels", "repartition"],
        ),
    ],
)
def test_parts_that_do_not_line_up_are_refused_at_once(client, store, parts, words):
    """What the graph knows is checked before anything is computed."""
    X_, y_, *params = parts
    with pytest.raises(DataError) as caught:
        chunk_collection(X_, y_, client=None, store=store, params=params[0] if params else None)
    assert all(word in str(caught.value) for word in words)


def test_blocks_that_do_not_line_up_are_named(client, store):
    """Where sizes are unknown, the worker that has the blocks says which one, and both lengths."""
    lazy_x = bounds(da.from_array(X, chunks=(5, 4)), Y != 12)
    with pytest.raises(DataError, match=r"y, block 2: has 5 entries, but X has 4 rows"):
        chunk_collection(lazy_x, da.from_array(Y, chunks=5), client=client, store=store)


def test_a_block_that_cannot_be_computed_is_named(client, store):
    """The failure of the user's own graph is told with its block, and the cause is chained."""

    def broken(number):
        if number == 1:
            raise OSError("disk gone")
        return X[:5]

    with pytest.raises(DataError, match=r"block 1: .*OSError: disk gone") as caught:
        chunk_collection([dask.delayed(broken)(i) for i in range(3)], client=client, store=store)
    assert isinstance(caught.value.__cause__, OSError)
    with pytest.raises(DataError, match="all blocks are empty"):
        chunk_collection(bounds(da.from_array(X, chunks=(5, 4)), Y < 0), client=client, store=store)


def test_what_is_chunked():
    """Collections and lists of Delayed are; data in memory, and lists of it, are not."""
    assert is_chunked(da.from_array(X))
    assert is_chunked(dd.from_pandas(FRAME, npartitions=2))
    assert is_chunked([dask.delayed(X)])
    assert not any(map(is_chunked, (X, FRAME, [1, 2], [], None, "path")))


def test_dask_data_needs_the_cluster(store):
    """The core opens no dask collection; it says what to do."""
    for parts in ((da.from_array(X), None), (X, da.from_array(Y))):
        with pytest.raises(DataError, match="dask"):
            open_chunks(*parts, store=store)
