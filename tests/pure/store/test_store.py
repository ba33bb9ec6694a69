"""The step store on a healthy disk: keys, packs, blobs, housekeeping."""

from __future__ import annotations

import os
import pickle
import stat
import time
from pathlib import Path

import numpy as np
import pytest

from prefect_tune.errors import StoreUnavailable
from prefect_tune.store import MissingBlob, Record, StepStore, default_root

SCOPE = "ab12"


def test_open_creates_a_private_folder_whatever_the_umask(root):
    """Root and areas are 0700; entries cannot be written by anyone."""
    before = os.umask(0)
    try:
        store = StepStore.open(root / "deep" / "er")
        store.put(Record(key="a" * 64, kind="t"), {"X": np.zeros(3)}, SCOPE)
    finally:
        os.umask(before)
    for folder, _, names in os.walk(root):
        assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700
        for name in names:
            assert stat.S_IMODE(os.stat(f"{folder}/{name}").st_mode) == 0o444
    assert store.trust == "local"
    assert store.writable


def test_open_finds_the_same_store_again(root):
    """The store id is drawn once."""
    assert StepStore.open(root).store_id == StepStore.open(str(root)).store_id
    assert len(StepStore.open(root).store_id) == 32


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"schema":99,"digest":"b3-256","store_id":"x"}'])
def test_open_refuses_what_it_cannot_read(root, content):
    """A damaged or foreign FORMAT is an error that says the place and the next move."""
    root.mkdir(mode=0o700)
    (root / "FORMAT").write_text(content)
    with pytest.raises(StoreUnavailable, match=str(root)) as caught:
        StepStore.open(root)
    assert caught.value.root == str(root)
    assert caught.value.move


def test_open_refuses_a_file(tmp_path):
    """A path that is no folder cannot be a store."""
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "store"):
        with pytest.raises(StoreUnavailable):
            StepStore.open(path)


def test_put_then_get_in_another_process(store, root, record):
    """A record and its outputs are there for whoever opens the folder next."""
    array = np.asfortranarray(np.arange(30_000.0).reshape(100, 300))
    wrote = store.put(record("a", values={"score": 0.1}), {"X": array, "names": ["x"]}, SCOPE)
    other = StepStore.open(root)
    found = other.get(wrote.key, SCOPE)
    assert found == wrote
    assert found.values == {"score": 0.1}
    loaded = other.load(found, "X")
    assert np.array_equal(loaded, array)
    assert loaded.flags.f_contiguous
    assert not loaded.flags.writeable
    assert other.load(found, "names") == ["x"]
    assert found.bytes == sum(ref.size for ref in found.outputs) > array.nbytes
    assert found.created > 0
    assert found.creator.endswith(f":{os.getpid()}")


@pytest.mark.usefixtures("no_temps")
def test_put_keeps_the_first_and_returns_it(store, root, record):
    """Whoever comes second continues with the winner's bits and writes nothing."""
    first = store.put(record("a", creator="one"), {"X": np.zeros(9)}, SCOPE)
    before = store.usage()
    second = StepStore.open(root).put(record("a", creator="two"), {"X": np.ones(9)}, SCOPE)
    assert second == first
    assert store.load(second, "X").tolist() == [0.0] * 9
    assert store.usage() == before


def test_equal_outputs_share_one_blob(store, record):
    """Two keys, one content, one file."""
    for name in "ab":
        store.put(record(name), {"X": np.arange(5)}, SCOPE)
    assert store.usage()["cas"]["files"] == 1
    assert store.usage()["ac"]["files"] == 2


def test_durable_put_reaches_the_disk(store, record, monkeypatch):
    """`durable` syncs each file once; without it nothing is synced."""
    synced = []
    monkeypatch.setattr(os, "fsync", synced.append)
    store.put(record("a"), {"X": np.zeros(3)}, SCOPE)
    assert synced == []
    store.put(record("b"), {"X": np.ones(3), "Y": np.ones(4)}, SCOPE, durable=True)
    assert len(synced) == 3


@pytest.mark.parametrize("size", [10, 100_000])
def test_writable_loads_leave_the_file_alone(store, root, record, size):
    """A writable array is a private copy, small or mapped."""
    wrote = store.put(record("a"), {"X": np.zeros(size)}, SCOPE)
    array = store.load(wrote, "X", writable=True)
    array[:] = 1.0
    assert store.load(wrote, "X").sum() == 0.0
    assert StepStore.open(root).load(wrote, "X").sum() == 0.0
    assert store.verify() == []


def test_loads_share_one_map(store, record):
    """Two loads of one blob are views on the same memory, and hold one descriptor at most."""
    wrote = store.put(record("a"), {"X": np.zeros(100_000)}, SCOPE)
    one, two = store.load(wrote, "X"), store.load(wrote, "X")
    assert np.shares_memory(one, two)
    assert pickle.loads(pickle.dumps(one)).flags.writeable


def test_load_of_an_unknown_output_is_a_miss(store, record):
    """A record without the output asked for means: compute it."""
    wrote = store.put(record("a"), {"X": np.zeros(1)}, SCOPE)
    with pytest.raises(MissingBlob, match="no output 'Y'") as caught:
        store.load(wrote, "Y")
    assert caught.value.key == wrote.key
    assert pickle.loads(pickle.dumps(caught.value)).key == wrote.key


def test_packs_answer_lookups(store, root, record, key):
    """Many records, one file; a pack belongs to its scope."""
    records = [
        record(i, values={"score": i / 7, "fold": i}, seconds=0.25, inputs=(key("in"),)) for i in range(100)
    ]
    name = store.put_pack(records, SCOPE)
    assert os.listdir(root / "packs" / SCOPE) == [name]
    other = StepStore.open(root)
    found = other.lookup([*(record.key for record in records), key("unknown")], SCOPE)
    assert [found[r.key].values for r in records] == [r.values for r in records]
    assert {r.seconds for r in found.values()} == {0.25}
    assert (other.counters.hits, other.counters.misses) == (100, 1)
    assert other.get(key(3), "cd") is None
    assert other.lookup([], SCOPE) == {}


def test_lookup_sees_packs_that_arrive_later(store, root, record, key):
    """Packs are parsed once, but the folder is listed each time."""
    store.put_pack([record("a")], SCOPE)
    assert store.get(key("b"), SCOPE) is None
    StepStore.open(root).put_pack([record("b")], SCOPE)
    assert store.get(key("b"), SCOPE) is not None
    read = store.counters.bytes_read
    assert store.get(key("a"), SCOPE) is not None
    assert store.counters.bytes_read == read


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_the_earliest_record_of_a_key_wins(root, record, key, order):
    """Whatever order packs are written and read in, `created` decides, then the pack's name."""
    packs = [
        [record("a", created=2.0, values={"from": 0})],
        [record("a", created=1.0, values={"from": 1})],
        [record("a", created=3.0, values={"from": 2})],
    ]
    reader = StepStore.open(root)
    for i in order:
        StepStore.open(root).put_pack(packs[i], SCOPE)
        reader.get(key("a"), SCOPE)
    assert reader.get(key("a"), SCOPE).values == {"from": 1}
    assert StepStore.open(root).get(key("a"), SCOPE).values == {"from": 1}


@pytest.mark.parametrize("backwards", [False, True])
def test_ties_between_packs_go_to_the_smaller_name(store, tmp_path, record, key, backwards):
    """Records of one moment: every reader picks the same, also one that sees the packs arrive one by one."""
    packs = [[record("a", created=1.0, creator="c", values={"from": i})] for i in range(5)]
    names = {store.put_pack(pack, SCOPE): pack for pack in packs}
    reader = StepStore.open(tmp_path / "other")
    for name in sorted(names, reverse=backwards):
        assert StepStore.open(tmp_path / "other").put_pack(names[name], SCOPE) == name
        reader.get(key("a"), SCOPE)
    assert reader.get(key("a"), SCOPE) == store.get(key("a"), SCOPE) == names[min(names)][0]


def test_between_pack_and_manifest_the_earlier_wins(store, record, key):
    """The rule holds across both kinds of records."""
    store.put(record("a", created=2.0), {"X": 1}, SCOPE)
    store.put_pack([record("a", created=1.0, kind="early"), record("b", created=5.0, kind="late")], SCOPE)
    store.put(record("b", created=4.0), {"X": 1}, SCOPE)
    found = store.lookup([key("a"), key("b")], SCOPE)
    assert [found[key(name)].kind for name in "ab"] == ["early", "test"]


def test_bulk_lookup_finds_manifests(store, root, record, key):
    """One or many keys in a folder: asked for one by one, or listed."""
    shared = [f"00{i:062x}" for i in range(40)]
    for one in (*shared, key("x")):
        store.put(Record(key=one, kind="t"), {}, SCOPE)
    wanted = [*shared, key("x"), "00" + "f" * 62, key("y")]
    assert list(StepStore.open(root).lookup(wanted, SCOPE)) == [*shared, key("x")]


def test_misuse_raises(store, record):
    """Scopes and keys become paths, packs hold no outputs, values are JSON: a caller's bug is not hidden."""
    with pytest.raises(ValueError, match=r"scope '\.\./x'"):
        store.get("a" * 64, "../x")
    with pytest.raises(ValueError, match=r"key '\.\./x'"):
        store.lookup(["../x"], SCOPE)
    wrote = store.put(record("a"), {"X": np.zeros(1)}, SCOPE)
    with pytest.raises(ValueError, match=r"Store it with put\(\)"):
        store.put_pack([wrote], SCOPE)
    with pytest.raises(TypeError, match=r"values\.x"):
        store.put(record("b", values={"x": object()}), {}, SCOPE)
    with pytest.raises(TypeError, match=r"values\.x"):
        store.put_pack([record("b", values={"x": object()})], SCOPE)
    with pytest.raises(ValueError, match="trust 'all'"):
        StepStore.open(store.root, trust="all")
    assert store.put_pack([], SCOPE) == ""


def test_unpicklable_outputs_are_uncached(store, record, tmp_path):
    """What cannot be stored is said once and counted; the record comes back without outputs."""
    with (tmp_path / "x").open("w") as file, pytest.warns(match="not cacheable"):
        wrote = store.put(record("a"), {"X": file}, SCOPE)
    assert wrote.outputs == ()
    assert store.get(wrote.key, SCOPE) is None
    assert store.counters.uncached == {"not picklable": 1}


def test_blobs_by_content(store, root):
    """Data is stored by what it is: the same bytes, the same reference."""
    array = np.arange(50_000.0)
    ref = store.put_blob(array)
    assert ref.name == "data"
    assert store.put_blob(array.copy()) == ref
    other = StepStore.open(root)
    assert other.has_blob(ref.digest)
    assert not other.has_blob("b3-256:" + "0" * 64)
    assert not other.has_blob("../FORMAT")
    assert np.array_equal(other.load_blob(ref), array)
    assert store.put_blob([1], codec="pickle").codec == "pickle"


def test_digest_covers_the_file(store, root):
    """The name of a blob is what b3sum says of the file."""
    from blake3 import blake3

    ref = store.put_blob(np.arange(5_000_000, dtype="i4"))
    (path,) = (root / "cas").glob("b3-256/*/*")
    assert ref.digest == "b3-256:" + path.name == "b3-256:" + blake3(path.read_bytes()).hexdigest()
    assert ref.size == path.stat().st_size


def test_store_pickles_as_root_and_trust(store, root, record):
    """Copies that arrive in one process share what was read; they open the same folder."""
    wrote = store.put(record("a"), {"X": 1}, SCOPE)
    data = pickle.dumps(store)
    assert len(data) < 300
    one, two = pickle.loads(data), pickle.loads(data)
    assert one is two
    assert one.root == store.root == root
    assert one.get(wrote.key, SCOPE) == wrote


def test_scratch_is_a_folder_per_run(store, root):
    """The same run gets the same folder, inside tmp/, until it is dropped."""
    path = store.scratch("run-1.a")
    (path / "file").write_text("x")
    assert store.scratch("run-1.a") == path
    assert StepStore.open(root).scratch("run-1.a") == path
    assert path.parent == root / "tmp"
    store.drop_scratch("run-1.a")
    assert not path.exists()
    for bad in ("..", "a/b", "", ".x"):
        with pytest.raises(ValueError, match="run id"):
            store.scratch(bad)


def test_usage_counts_files_and_bytes(store, root, record):
    """The numbers are those of the files."""
    store.put(record("a"), {"X": np.zeros(100)}, SCOPE)
    store.put_pack([record("b")], SCOPE)
    usage = store.usage()
    assert {area: usage[area]["files"] for area in ("ac", "cas", "packs", "tmp")} == {
        "ac": 1, "cas": 1, "packs": 1, "tmp": 0,
    }  # fmt: skip
    on_disk = sum(p.stat().st_size for p in root.rglob("*") if p.is_file() and p.name != "FORMAT")
    assert usage["total"]["bytes"] == on_disk
    assert (store.counters.writes, store.counters.bytes_written) == (3, on_disk)


def test_clear_removes_everything(store, root, record, key):
    """After `clear` the store is empty, still works, and says what it freed."""
    store.put(record("a"), {"X": np.zeros(100)}, SCOPE)
    store.put_pack([record("b")], SCOPE)
    store.put_blob([1, 2])
    total = store.usage()["total"]["bytes"]
    assert store.clear() == total
    assert store.usage()["total"] == {"files": 0, "bytes": 0}
    assert store.lookup([key("a"), key("b")], SCOPE) == {}
    again = store.put(record("a"), {"X": np.ones(100)}, SCOPE)
    assert store.load(again, "X").sum() == 100
    assert store.verify() == []


def test_clear_by_age_keeps_what_is_young_or_needed(store, root, record, key):
    """Old records go; a blob stays while a record points to it, and storing it again makes it young."""

    def age(path: Path, seconds: float) -> None:
        os.utime(path, (time.time() - seconds,) * 2)

    old = store.put(record("old"), {"X": np.zeros(10)}, SCOPE)
    young = store.put(record("young"), {"X": np.ones(10)}, SCOPE)
    data, used = store.put_blob(np.arange(10)), store.put_blob(np.arange(11))
    for path in root.rglob("*"):
        if path.is_file():
            age(path, 1000)
    os.utime(root / "ac" / young.key[:2] / young.key)
    store.put_blob(np.arange(11))
    stale, fresh = root / "tmp" / "stale", root / "tmp" / "fresh"
    stale.write_text("x")
    age(stale, 7200)
    fresh.write_text("x")
    assert store.clear(older_than_seconds=500) > 0
    assert store.get(old.key, SCOPE) is None
    assert store.load(store.get(young.key, SCOPE), "X").sum() == 10
    assert [store.has_blob(ref.digest) for ref in (data, used)] == [False, True]
    assert (stale.exists(), fresh.exists()) == (False, True)
    assert store.verify() == []


def test_temps_of_the_dead_are_swept(store, root):
    """Opening removes what a killed process left a day ago, and nothing else."""
    for name, hours in (("old", 25), ("young", 1)):
        (root / "tmp" / name).write_text("x")
        os.utime(root / "tmp" / name, (time.time() - hours * 3600,) * 2)
    run = store.scratch("r")
    os.utime(run, (0, 0))
    StepStore.open(root)
    assert sorted(os.listdir(root / "tmp")) == ["run-r", "young"]


def test_default_root(monkeypatch):
    """The store's own variable, then Prefect's home, then the user's."""
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("PREFECT_HOME", "/data/prefect")
    monkeypatch.setenv("PREFECT_TUNE_STORE", "~/cache")
    assert default_root() == Path("/home/me/cache")
    monkeypatch.delenv("PREFECT_TUNE_STORE")
    assert default_root() == Path("/data/prefect/tune")
    monkeypatch.delenv("PREFECT_HOME")
    assert default_root() == Path("/home/me/.prefect/tune")
