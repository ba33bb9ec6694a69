"""Parquet by path: files as chunks, read in place, named by their bytes."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from prefect_tune.chunks import ChunkedData, open_chunks, read_chunk
from prefect_tune.chunks import files as files_module
from prefect_tune.chunks import parquet as parquet_module
from prefect_tune.errors import DataError
from prefect_tune.store import StepStore


@pytest.fixture
def store(tmp_path: Path) -> StepStore:
    return StepStore.open(tmp_path / "store")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three files of 10, 0 and 25 rows, in row groups of at most 10."""
    path = tmp_path / "data"
    for number, rows in enumerate((10, 0, 25)):
        write(path / f"part-{number}.parquet", part(rows, seed=number))
    return path


def part(rows: int, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "a": rng.normal(size=rows),
            "b": rng.integers(0, 9, rows),
            "w": rng.random(rows),
            "label": rng.integers(0, 2, rows),
        }
    )


def write(path: Path, frame: pd.DataFrame, **options) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pandas(frame), path, **{"row_group_size": 10, **options})


def settle(*paths: Path) -> None:
    """Makes the files old enough that their digests are remembered: waits until they are."""
    newest = max(path.stat().st_ctime for path in paths)
    time.sleep(max(0.0, newest + files_module.SETTLED + 0.05 - time.time()))


def test_a_file_is_a_chunk(store, folder):
    """Chunks follow the files' names; X is a frame of the other columns, y and arguments are arrays."""
    data = open_chunks(folder, "label", store=store, params={"sample_weight": "w"})
    assert [chunk.rows for chunk in data.chunks] == [10, 0, 25]
    assert (data.rows, data.appendable, data.unstable) == (35, True, "")
    for number, chunk in enumerate(data.chunks):
        expected, read = pd.read_parquet(folder / f"part-{number}.parquet"), read_chunk(chunk, store)
        pd.testing.assert_frame_equal(read.X, expected[["a", "b"]])
        assert read.y.tolist() == expected["label"].tolist()
        assert read.params["sample_weight"].tolist() == expected["w"].tolist()


def test_large_files_are_cut_between_row_groups(store, folder):
    """With `chunk_size`, neighbouring row groups stay together while they fit; a smaller file stays whole."""
    cuts = {10: [10, 0, 10, 10, 5], 20: [10, 0, 20, 5], 15: [10, 0, 10, 15], 25: [10, 0, 25]}
    for size, rows in (*cuts.items(), (3, cuts[10])):
        data = open_chunks(folder, "label", store=store, chunk_size=size)
        assert [chunk.rows for chunk in data.chunks] == rows
        read = [read_chunk(chunk, store).X for chunk in data.chunks]
        whole = pd.concat([pd.read_parquet(path) for path in sorted(folder.iterdir())], ignore_index=True)
        pd.testing.assert_frame_equal(pd.concat(read, ignore_index=True), whole[["a", "b", "w"]])


def test_rows_come_in_the_order_asked_for(store, folder):
    """Positions count within the chunk, also behind its first row group."""
    data = open_chunks(folder, "label", store=store, chunk_size=20, row_params={"sample_weight": "w"})
    rows = np.array([19, 2, 11])
    expected = pd.read_parquet(folder / "part-2.parquet").iloc[rows]
    read = read_chunk(data.chunks[2], store, rows)
    assert read.X["a"].tolist() == expected["a"].tolist()
    assert read.y.tolist() == expected["label"].tolist()
    assert read.params["sample_weight"].tolist() == expected["w"].tolist()


def test_columns_are_read_in_the_order_given(store, folder):
    """`columns` chooses and orders the features; without a target y is None."""
    read = read_chunk(open_chunks(folder, store=store, columns=["w", "a"]).chunks[0], store)
    assert list(read.X.columns) == ["w", "a"]
    assert read.y is None
    assert list(read_chunk(open_chunks(folder, store=store).chunks[0], store).X.columns) == [
        "a",
        "b",
        "w",
        "label",
    ]


def test_only_needed_columns_are_read(store, folder, monkeypatch):
    """Columns that are neither features, target nor arguments are never asked for."""
    asked = []
    original = pq.ParquetFile.read_row_groups

    def noted(self, groups, columns=None, **options):
        asked.append(columns)
        return original(self, groups, columns=columns, **options)

    monkeypatch.setattr(pq.ParquetFile, "read_row_groups", noted)
    data = open_chunks(folder, "label", store=store, columns=["b"])
    assert asked == []
    read_chunk(data.chunks[0], store)
    assert asked == [["b", "label"]]


def test_columns_of_any_type_read_as_pandas_reads_them(store, tmp_path, monkeypatch):
    """Texts, categories, times, missing values and integers of all sizes, whole and by rows, however few are
    decoded at once."""
    frame = part(30).assign(
        text=[f"t{i % 3}" for i in range(30)],
        kind=pd.Categorical([f"k{i % 2}" for i in range(30)]),
        when=pd.date_range("2024-01-01", periods=30, tz="UTC"),
        hole=[None if i % 4 else i / 2 for i in range(30)],
        small=np.arange(30, dtype=np.int8),
        flag=np.arange(30) % 2 == 0,
    )
    write(tmp_path / "x.parquet", frame)
    chunk = open_chunks(tmp_path / "x.parquet", "label", store=store).chunks[0]
    rows = np.array([29, 0, 7])
    for decoded in (parquet_module.DECODED, 1):
        monkeypatch.setattr(parquet_module, "DECODED", decoded)
        pd.testing.assert_frame_equal(read_chunk(chunk, store).X, frame.drop(columns="label"))
        expected = frame.drop(columns="label").iloc[rows].reset_index(drop=True)
        pd.testing.assert_frame_equal(read_chunk(chunk, store, rows).X, expected)


def test_what_pandas_wrote_as_index_is_no_feature(store, tmp_path):
    """A frame with labelled rows has the features it would have in pandas, numbered from 0."""
    write(tmp_path / "data" / "x.parquet", part(10).set_index(pd.Index(range(5, 15), name="id")))
    read = read_chunk(open_chunks(tmp_path / "data", "label", store=store).chunks[0], store)
    assert list(read.X.columns) == ["a", "b", "w"]
    assert read.X.index.equals(pd.RangeIndex(10))


def test_files_of_a_folder(store, folder):
    """Subfolders are searched; hidden files, `_` files and other kinds are not data; `.pq` is."""
    write(folder / "later" / "x.pq", part(3))
    write(folder / "_temporary" / "x.parquet", part(4))
    write(folder / ".trash.parquet", part(5))
    (folder / "_SUCCESS").touch()
    (folder / "notes.txt").write_text("no data")
    names = [Path(chunk.source.path).name for chunk in open_chunks(str(folder), "label", store=store).chunks]
    assert names == ["x.pq", "part-0.parquet", "part-1.parquet", "part-2.parquet"]
    single = open_chunks(folder / "part-2.parquet", "label", store=store)
    assert [chunk.rows for chunk in single.chunks] == [25]


def test_a_dataset_opens_like_its_folder(store, folder):
    """A `pyarrow.dataset.Dataset` of these files gives these chunks; one of another format is refused."""
    by_path = open_chunks(folder, "label", store=store)
    by_dataset = open_chunks(ds.dataset(folder, format="parquet"), "label", store=store)
    assert by_dataset.chunks == by_path.chunks
    pd.DataFrame({"a": [1]}).to_csv(folder.parent / "x.csv", index=False)
    with pytest.raises(DataError, match="not made of Parquet"):
        open_chunks(ds.dataset(folder.parent / "x.csv", format="csv"), store=store)


def test_identity_is_bytes_and_choice_not_path(store, folder, tmp_path):
    """A copy elsewhere has the same chunks; other bytes, columns, target or cuts give others."""
    shutil.copytree(folder, tmp_path / "copy")
    data = open_chunks(folder, "label", store=store)
    assert open_chunks(tmp_path / "copy", "label", store=store).identity == data.identity
    spelled_out = open_chunks(folder, target="label", store=store, columns=["a", "b", "w"])
    assert spelled_out.identity == data.identity
    write(tmp_path / "copy" / "part-0.parquet", part(10, seed=99))
    others = [
        open_chunks(tmp_path / "copy", "label", store=store),
        open_chunks(folder, store=store),
        open_chunks(folder, "b", store=store),
        open_chunks(folder, "label", store=store, columns=["b", "a", "w"]),
        open_chunks(folder, "label", store=store, params={"sample_weight": "w"}),
        open_chunks(folder, "label", store=store, params={"weight": "w"}),
        open_chunks(folder, "label", store=store, chunk_size=20),
    ]
    assert len({data.identity, *(other.identity for other in others)}) == len(others) + 1
    assert others[0].chunks[1:] != data.chunks[1:]
    assert [c.identity for c in others[0].chunks[1:]] == [c.identity for c in data.chunks[1:]]


def test_an_appended_file_keeps_the_old_chunks(store, folder):
    """A file more is a chunk more; the others are what they were, whatever the order of the files."""
    old = open_chunks(folder, "label", store=store)
    write(folder / "part-3.parquet", part(5, seed=7))
    new = open_chunks(folder, "label", store=store)
    assert new.chunks[:3] == old.chunks
    assert (new.n_chunks, new.rows) == (4, 40)


def test_a_second_opening_reads_no_file(store, folder, monkeypatch):
    """Digests of settled files are remembered in the store; a file written since is read again."""
    read = []
    original = files_module._hash
    monkeypatch.setattr(
        files_module, "_hash", lambda path, stat: read.append(Path(path).name) or original(path, stat)
    )
    first = open_chunks(folder, "label", store=store)
    assert sorted(read) == ["part-0.parquet", "part-1.parquet", "part-2.parquet"]
    settle(*folder.iterdir())
    open_chunks(folder, "label", store=store)  # too young before: read, and remembered now
    read.clear()
    again = open_chunks(folder, "label", store=StepStore.open(store.root))
    assert (read, again) == ([], first)
    write(folder / "part-0.parquet", part(10, seed=5))
    os.utime(folder / "part-0.parquet", ns=(0, first.chunks[0].source.mtime_ns))
    changed = open_chunks(folder, "label", store=store)
    assert read == ["part-0.parquet"]
    assert changed.chunks[0].identity != first.chunks[0].identity


def test_young_files_are_not_remembered(store, folder, monkeypatch):
    """A file just written is read at every opening: its times may not show the next change."""
    read = []
    original = files_module._hash
    monkeypatch.setattr(files_module, "_hash", lambda path, stat: read.append(path) or original(path, stat))
    monkeypatch.setattr(files_module, "SETTLED", 3600.0)
    for _ in range(2):
        open_chunks(folder, "label", store=store)
    assert len(read) == 6


def test_a_file_changed_after_opening_is_an_error(store, folder):
    """Other bytes under the path are refused; the same bytes with other times are read."""
    chunk = open_chunks(folder, "label", store=store).chunks[0]
    os.utime(folder / "part-0.parquet", (1, 1))
    assert len(read_chunk(chunk, store).y) == 10
    write(folder / "part-0.parquet", part(10, seed=5))
    with pytest.raises(DataError, match=r"part-0\.parquet.*changed"):
        read_chunk(chunk, store)
    (folder / "part-0.parquet").unlink()
    with pytest.raises(DataError, match=r"part-0\.parquet.*cannot be read"):
        read_chunk(chunk, store)


def test_a_file_that_grows_while_it_is_hashed_is_an_error(store, folder, monkeypatch):
    """A writer at work is noticed by the file's size and times."""
    path = folder / "part-0.parquet"
    stat = files_module._stat

    def stat_then_grow(name):
        found = stat(name)
        if name == str(path):
            with path.open("ab") as file:
                file.write(b"more")
        return found

    monkeypatch.setattr(files_module, "_stat", stat_then_grow)
    with pytest.raises(DataError, match=r"part-0\.parquet.*changed while"):
        open_chunks(folder, "label", store=store)


def test_json_and_pickle_bring_the_data_back(store, folder):
    """The JSON form and a pickle mean the same chunks of the same files."""
    data = open_chunks(folder, "label", store=store, chunk_size=10, params={"sample_weight": "w"})
    for twin in (ChunkedData.from_json(data.to_json()), pickle.loads(pickle.dumps(data))):
        assert twin == data
        assert twin.identity == data.identity


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"y": "labl"}, ["'labl'", "part-0", "'label'"]),
        ({"columns": ["a", "bb"]}, ["'bb'", "Did you mean 'b'"]),
        ({"params": {"sample_weight": "weight"}}, ["'weight'", "It has: a, b, w, label"]),
        ({"params": {"sample_weight": np.ones(35)}}, ["sample_weight:", "name of a column", "ndarray"]),
        ({"y": np.ones(35)}, ["y:", "name of a column", "ndarray"]),
        ({"y": "label", "target": "b"}, ["'label'", "'b'"]),
        ({"y": "label", "columns": ["a", "label"]}, ["columns", "'label'", "target"]),
        ({"columns": "a"}, ["columns:", "['a']"]),
        ({"columns": []}, ["X:", "no column"]),
        ({"chunk_size": -1}, ["chunk_size", "-1"]),
    ],
)
def test_bad_arguments_are_refused(store, folder, arguments, words):
    """The error names the argument or column, where it was looked for, and the closest name."""
    with pytest.raises(DataError) as caught:
        open_chunks(folder, store=store, **arguments)
    assert all(word in str(caught.value) for word in words)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (part(4).drop(columns="b"), ["'b'", "part-0", "part-9"]),
        (part(4).rename(columns={"b": "B"}), ["'b'", "Did you mean 'B'"]),
        (part(4).assign(extra=1), ["'extra'", "part-9"]),
        (part(4).astype({"b": float}), ["'b'", "double", "int64", "part-9"]),
        (part(4).astype({"label": str}), ["'label'", "string", "part-9"]),
    ],
)
def test_files_with_other_columns_are_refused(store, folder, other, words):
    """All files have the same columns and types; the error names file and column."""
    write(folder / "part-9.parquet", other)
    with pytest.raises(DataError) as caught:
        open_chunks(folder, "label", store=store)
    assert all(word in str(caught.value) for word in words)


def test_files_may_order_their_columns_otherwise(store, folder):
    """X has the columns in the order of the first file, in every chunk."""
    write(folder / "part-9.parquet", part(4)[["label", "w", "b", "a"]])
    read = read_chunk(open_chunks(folder, "label", store=store).chunks[-1], store)
    assert list(read.X.columns) == ["a", "b", "w"]


def test_other_columns_do_not_matter_when_features_are_named(store, folder):
    """With `columns`, only those that are read are compared."""
    write(folder / "part-9.parquet", part(4).assign(extra=1).astype({"w": str}))
    assert open_chunks(folder, "label", store=store, columns=["a", "b"]).n_chunks == 4


def test_places_without_data_are_refused(store, tmp_path):
    """No such path, no Parquet file in the folder, a file that is none, and files without rows."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.parquet").write_bytes(b"no parquet")
    write(tmp_path / "zero.parquet", part(0))
    for name, words in (
        ("missing", "no file or folder"),
        ("empty", "holds no Parquet file"),
        ("broken.parquet", "cannot be read as Parquet"),
        ("zero.parquet", "no rows"),
    ):
        with pytest.raises(DataError, match=words) as caught:
            open_chunks(tmp_path / name, "label", store=store)
        assert name in str(caught.value)


MEASURED = """
    import sys
    from prefect_tune.chunks import open_chunks, plan_split, read_chunk
    from prefect_tune.store import StepStore

    def peak():
        for line in open("/proc/self/status"):
            if line.startswith("VmHWM"):
                return int(line.split()[1]) * 1024

    def read_all(folder):
        data = open_chunks(folder, "c0", store=StepStore.open(sys.argv[3]))
        split = plan_split(data, random_state=0)
        for number, chunk in enumerate(data.chunks):
            read = read_chunk(chunk, StepStore.open(sys.argv[3]), split.rows(0, number, "train", chunk.rows))
            assert len(read.X) == len(read.y) == int(0.95 * chunk.rows)
            del read
        return len(data.chunks)

    assert read_all(sys.argv[1]) == 1  # loads the libraries
    before = peak()
    assert read_all(sys.argv[2]) == 8
    print(peak() - before)
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="peak memory is read from /proc")
def test_memory_is_that_of_one_file(tmp_path):
    """Opening and reading eight files of 24 MB each takes less than three times the memory of one."""
    rng = np.random.default_rng(0)
    table = pa.table({f"c{i}": rng.normal(size=200_000) for i in range(15)})
    for name in ("small", "data"):
        (tmp_path / name).mkdir()
    pq.write_table(table.slice(0, 100), tmp_path / "small" / "0.parquet")
    for number in range(8):
        path = tmp_path / "data" / f"{number}.parquet"
        pq.write_table(table, path, use_dictionary=False, compression=None)
    folders = [str(tmp_path / name) for name in ("small", "data", "store")]
    command = [sys.executable, "-c", textwrap.dedent(MEASURED), *folders]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 3 * table.nbytes
    print(int(done.stdout) / table.nbytes)
