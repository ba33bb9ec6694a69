"""Data in chunks: what names a chunk, what reading it gives, and what is refused before anything runs."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from prefect_tune.chunks import ChunkedData, open_chunks, read_chunk
from prefect_tune.data import ingest
from prefect_tune.errors import DataError
from prefect_tune.store import StepStore

N = 23
NUMBERS = np.random.default_rng(0).normal(size=(N, 3))
LABELS = np.arange(N) % 3
FRAME = pd.DataFrame({"a": NUMBERS[:, 0], "b": np.arange(N), "c": [f"t{i % 4}" for i in range(N)]})
FORMS = {
    "array": NUMBERS,
    "fortran": np.asfortranarray(NUMBERS),
    "strided": np.repeat(NUMBERS, 2, axis=0)[::2],
    "float32": NUMBERS.astype(np.float32),
    "objects": np.array([[i, str(i)] for i in range(N)], dtype=object),
    "frame": FRAME,
    "labelled frame": FRAME.set_index(pd.Index([f"r{i}" for i in range(N)])),
    "csr": sp.random_array((N, 4), density=0.4, format="csr", rng=1),
    "csc": sp.csc_matrix(sp.random_array((N, 4), density=0.4, rng=2)),
    "list": [[float(i), i % 2] for i in range(N)],
}


@pytest.fixture
def store(tmp_path: Path) -> StepStore:
    return StepStore.open(tmp_path / "store")


def dense(value):
    """The value as a list of rows."""
    if sp.issparse(value):
        return value.toarray().tolist()
    return (
        value.to_numpy().tolist()
        if hasattr(value, "to_numpy")
        else [list(row) for row in np.asarray(value, object)]
    )


@pytest.mark.parametrize("size", [None, 1, 5, 23, 100])
@pytest.mark.parametrize("form", FORMS)
def test_chunks_put_together_are_the_data(store, form, size):
    """Reading every chunk, in order, gives each row once, of the type that was given."""
    X = FORMS[form]
    data = open_chunks(X, LABELS, store=store, chunk_size=size, params={"sample_weight": LABELS + 1.0})
    read = [read_chunk(chunk, store) for chunk in data.chunks]
    assert [chunk.rows for chunk in data.chunks] == [len(part.y) for part in read]
    assert data.n_chunks == (1 if size is None else -(-N // size))
    assert data.rows == N
    assert [row for part in read for row in dense(part.X)] == dense(X)
    assert np.concatenate([part.y for part in read]).tolist() == LABELS.tolist()
    assert np.concatenate([part.params["sample_weight"] for part in read]).tolist() == (LABELS + 1.0).tolist()
    assert {type(part.X) for part in read} == {type(X)}
    assert (data.unstable, data.appendable) == ("", False)


@pytest.mark.parametrize("form", FORMS)
def test_rows_come_in_the_order_asked_for(store, form):
    """Positions within a chunk choose rows of X, y and arguments alike; none of them is fine, too."""
    data = open_chunks(FORMS[form], list(range(N)), store=store, chunk_size=10)
    whole = read_chunk(data.chunks[1], store)
    for rows in (np.array([7, 0, 3, 3]), np.array([], dtype=np.int64)):
        part = read_chunk(data.chunks[1], store, rows)
        assert dense(part.X) == [dense(whole.X)[i] for i in rows]
        assert part.y == [10 + i for i in rows]


@pytest.mark.parametrize("form", FORMS)
def test_appended_rows_keep_the_old_chunks(store, form):
    """Of 20 rows and of 23, the four chunks of 5 are the same; the last chunk is another."""
    X = FORMS[form]
    fewer = X.iloc[:20] if hasattr(X, "iloc") else X[:20]
    old = open_chunks(fewer, LABELS[:20], store=store, chunk_size=5, params={"w": LABELS[:20]})
    new = open_chunks(X, LABELS, store=store, chunk_size=5, params={"w": LABELS})
    ids = [chunk.identity for chunk in new.chunks]
    assert ids[:4] == [chunk.identity for chunk in old.chunks]
    assert len(set(ids)) == 5
    assert old.identity != new.identity


def test_a_chunk_is_named_by_content_not_by_place(store):
    """Equal rows elsewhere, or alone, or in another memory order have one identity; the data set does not."""
    twice = open_chunks(np.vstack([NUMBERS, NUMBERS]), np.tile(LABELS, 2), store=store, chunk_size=N)
    alone = open_chunks(np.asfortranarray(NUMBERS), LABELS, store=store)
    assert twice.chunks[0].identity == twice.chunks[1].identity == alone.chunks[0].identity
    frames = open_chunks(pd.concat([FRAME, FRAME], ignore_index=True), store=store, chunk_size=N)
    assert frames.chunks[0].identity == frames.chunks[1].identity
    assert frames.chunks[0].identity == open_chunks(FRAME, store=store).chunks[0].identity
    assert twice.identity != alone.identity


def test_every_part_of_a_chunk_is_in_its_identity(store):
    """X, y, each argument and its name, and the boundaries: none can change unseen."""
    other = NUMBERS.copy()
    other[-1, -1] += 1e-9
    variants = [
        open_chunks(NUMBERS, store=store),
        open_chunks(other, store=store),
        open_chunks(NUMBERS.astype(np.float32), store=store),
        open_chunks(NUMBERS, LABELS, store=store),
        open_chunks(NUMBERS, LABELS[::-1], store=store),
        open_chunks(NUMBERS, store=store, params={"w": LABELS}),
        open_chunks(NUMBERS, store=store, params={"v": LABELS}),
        open_chunks(NUMBERS, store=store, params={"w": LABELS, "v": LABELS}),
        open_chunks(NUMBERS, store=store, chunk_size=12),
    ]
    assert len({data.identity for data in variants}) == len(variants)
    assert len({chunk.identity for data in variants for chunk in data.chunks}) == len(variants) + 1
    assert open_chunks(NUMBERS, LABELS, store=store, params={"w": None}).identity == variants[3].identity


@pytest.mark.parametrize("size", [None, 7])
@pytest.mark.parametrize("form", ["array", "frame", "csr"])
def test_references_open_like_the_data_they_mean(store, form, size):
    """What `ingest` returned can stand for X and y, and gives the same chunks."""
    X = FORMS[form]
    plain = open_chunks(X, LABELS, store=store, chunk_size=size)
    by_ref = open_chunks(ingest(X, store), ingest(LABELS, store, name="y"), store=store, chunk_size=size)
    assert [c.identity for c in by_ref.chunks] == [c.identity for c in plain.chunks]
    assert dense(read_chunk(by_ref.chunks[0], store).X) == dense(read_chunk(plain.chunks[0], store).X)


def test_arrays_are_mapped_not_copied(store):
    """Chunks of one array are views on one stored blob, and cannot be written to."""
    X = np.arange(60_000.0).reshape(20_000, 3)
    data = open_chunks(X, X[:, 0], store=store, chunk_size=6_000)
    assert len({chunk.source.X.blob.digest for chunk in data.chunks}) == 1
    part = read_chunk(data.chunks[1], store)
    assert not part.X.flags.owndata
    assert not part.X.flags.writeable
    assert part.X.base is not None


def test_a_frame_comes_back_numbered_from_zero(store):
    """Row numbers that pandas made up do not tell chunks apart; labels that the user gave stay."""
    numbered = read_chunk(open_chunks(FRAME, store=store, chunk_size=10).chunks[1], store).X
    assert numbered.index.equals(pd.RangeIndex(10))
    labelled = read_chunk(open_chunks(FORMS["labelled frame"], store=store, chunk_size=10).chunks[1], store).X
    assert labelled.index.tolist() == [f"r{i}" for i in range(10, 20)]


def test_data_without_identity_says_so(store):
    """Chunks of objects that nobody can fingerprint are new each time, and the reason is told."""

    class Odd(np.ndarray):
        pass

    X = NUMBERS.view(Odd)
    first, second = (open_chunks(X, LABELS, store=store, chunk_size=8) for _ in range(2))
    assert "Odd" in first.unstable
    assert first.chunks[0].identity != second.chunks[0].identity


@pytest.mark.parametrize("form", ["array", "frame"])
def test_json_and_pickle_bring_the_data_back(store, form):
    """The JSON form is small, holds no data, and means the same chunks; so does a pickle."""
    data = open_chunks(FORMS[form], LABELS, store=store, chunk_size=4, params={"w": LABELS})
    text = json.dumps(data.to_json())
    for twin in (ChunkedData.from_json(json.loads(text)), pickle.loads(pickle.dumps(data))):
        assert twin == data
        assert (twin.identity, twin.digest, twin.scope) == (data.identity, data.digest, data.scope)
        assert dense(read_chunk(twin.chunks[-1], store).X) == dense(FORMS[form])[20:]
    assert data.scope == data.identity[:16]
    assert data.digest.hex() == data.identity


def test_json_grows_by_a_line_per_chunk(store):
    """What chunks have in common is written once."""
    small, large = (
        len(json.dumps(open_chunks(np.zeros((n, 2)), store=store, chunk_size=1).to_json())) for n in (10, 110)
    )
    assert (large - small) / 100 < 120


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"y": LABELS[:-1]}, ["y:", "22", "23"]),
        ({"params": {"sample_weight": [1.0] * 24}}, ["sample_weight:", "24", "23"]),
        ({"params": {"sample_weight": 2.0}}, ["sample_weight:", "one value", "23"]),
        ({"chunk_size": 0}, ["chunk_size", "0", "at least 1"]),
        ({"chunk_size": 2.5}, ["chunk_size", "2.5"]),
        ({"chunk_size": True}, ["chunk_size", "True"]),
        ({"target": "label"}, ["target:", "ndarray"]),
        ({"columns": ["a"]}, ["columns:", "ndarray"]),
        ({"X": NUMBERS[:0]}, ["X:", "no rows"]),
        ({"X": None}, ["X:", "no rows"]),
        ({"X": "nowhere/at/all"}, ["X:", "nowhere/at/all"]),
        ({"y": "labels.txt"}, ["y:", "labels.txt"]),
    ],
)
def test_bad_data_in_memory_is_refused(store, arguments, words):
    """The error names the argument, what was given and what to do."""
    with pytest.raises(DataError) as caught:
        open_chunks(**{"X": NUMBERS, **arguments}, store=store)
    assert all(word in str(caught.value) for word in words)


def test_a_foreign_mapping_is_no_chunked_data():
    """JSON that `to_json` did not write is refused in words."""
    for form in (
        {},
        {"chunks": [["00", 1, "odd", []]], "common": [], "kind": "", "unstable": "", "appendable": 0},
    ):
        with pytest.raises(DataError, match="to_json"):
            ChunkedData.from_json(form)
