"""Damaged entries are never used: they are put aside, counted, said once, and are misses."""

from __future__ import annotations

import os
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest

from prefect_tune.store import MissingBlob, StepStore, StoreWarning

SCOPE = "ab12"
ARRAY = np.arange(20_000.0)


def rewrite(path: Path, data: bytes) -> None:
    """Other bytes in the same place, as a failing disk would show them."""
    path.chmod(0o644)
    path.write_bytes(data)


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 0x10
    rewrite(path, bytes(data))


def only(folder: Path) -> Path:
    (path,) = (path for path in folder.rglob("*") if path.is_file())
    return path


def load_all(store: StepStore, entries: list) -> int:
    """How many warnings it takes to find all of them missing."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        for entry in entries:
            with pytest.raises(MissingBlob):
                store.load(entry, "X")
    return sum(issubclass(warning.category, StoreWarning) for warning in said)


@pytest.fixture
def entry(store, record):
    return store.put(record("a"), {"X": ARRAY}, SCOPE)


def assert_missing(root: Path, entry) -> None:
    """The entry is a miss, its bytes lie in quarantine, and computing it again heals the store."""
    store = StepStore.open(root)
    assert len(store.verify()) >= 1
    with pytest.warns(StoreWarning, match=str(root)), pytest.raises(MissingBlob):
        store.load(entry, "X")
    assert store.counters.corrupt == 1
    assert store.get(entry.key, SCOPE) is None
    again = store.put(entry, {"X": ARRAY}, SCOPE)
    assert np.array_equal(StepStore.open(root).load(again, "X"), ARRAY)
    assert store.verify() == []


@pytest.mark.parametrize("place", [0, 9, 20, 127, 128, 70_000, -1])
def test_a_flipped_bit_in_a_blob(root, entry, place):
    """Magic, length, header, first, middle and last byte of the payload."""
    flip(only(root / "cas"), place)
    assert_missing(root, entry)
    assert len(os.listdir(root / "quarantine")) == 1


@pytest.mark.parametrize("size", [0, 1, 15, 100, 4096, 65_536, 131_072, 160_127])
def test_a_truncated_blob(root, entry, size):
    """Any shorter file, the empty one of a power loss too."""
    path = only(root / "cas")
    rewrite(path, path.read_bytes()[:size])
    assert_missing(root, entry)


@pytest.mark.parametrize("data", [bytes(160_128), b"\xff" * 160_128, bytes(1 << 18)])
def test_a_zeroed_or_longer_blob(root, entry, data):
    """Blocks that were never written read as zeros."""
    rewrite(only(root / "cas"), data)
    assert_missing(root, entry)


def test_a_missing_blob(root, entry):
    """A record whose bytes are gone is worth nothing."""
    only(root / "cas").unlink()
    assert_missing(root, entry)


def test_swapped_blobs(store, root, record):
    """Two sound blobs under each other's names are both refused, sizes being equal."""
    one = store.put(record("a"), {"X": ARRAY}, SCOPE)
    two = store.put(record("b"), {"X": ARRAY + 1}, SCOPE)
    first, second = (path for path in (root / "cas").rglob("*") if path.is_file())
    shutil.move(first, root / "aside")
    shutil.move(second, first)
    shutil.move(root / "aside", second)
    fresh = StepStore.open(root)
    assert load_all(fresh, [one, two]) == 1
    assert fresh.counters.corrupt == 2


def test_a_blob_of_wrong_size_is_replaced_by_the_next_writer(store, root, record, entry):
    """Whoever stores the same bytes repairs the file, by a new one."""
    path = only(root / "cas")
    rewrite(path, b"short")
    inode = path.stat().st_ino
    other = StepStore.open(root).put(record("b"), {"X": ARRAY}, SCOPE)
    assert path.stat().st_ino != inode
    assert np.array_equal(StepStore.open(root).load(other, "X"), ARRAY)


def test_a_record_whose_blob_is_gone_does_not_win(store, root, record, entry):
    """Storing again writes anew instead of adopting a record that leads nowhere."""
    only(root / "cas").unlink()
    again = StepStore.open(root).put(record("a"), {"X": ARRAY}, SCOPE)
    assert np.array_equal(StepStore.open(root).load(again, "X"), ARRAY)


@pytest.mark.parametrize("place", [0, 30, 100, 300, -1, -20, -66])
def test_a_flipped_bit_in_a_manifest(root, entry, place):
    """The manifest carries its own digest: no changed score passes."""
    flip(only(root / "ac"), place)
    store = StepStore.open(root)
    assert len(store.verify()) == 1
    with pytest.warns(StoreWarning, match="manifest"):
        assert store.get(entry.key, SCOPE) is None
    assert store.counters.corrupt == 1
    assert store.put(entry, {"X": ARRAY}, SCOPE).outputs
    assert store.verify() == []


@pytest.mark.parametrize("size", [0, 1, 64, 65, 66, 200])
def test_a_truncated_manifest(root, entry, size):
    """Torn JSON is a miss; whoever computes it again gets the name."""
    path = only(root / "ac")
    rewrite(path, path.read_bytes()[:size])
    with pytest.warns(StoreWarning, match="manifest"):
        again = StepStore.open(root).put(entry, {"X": ARRAY}, SCOPE)
    assert StepStore.open(root).get(entry.key, SCOPE) == again


def test_a_manifest_under_another_key(store, root, record, entry):
    """A sound manifest that was copied to another name is refused."""
    other = store.put(record("b"), {"X": ARRAY + 1}, SCOPE)
    path = root / "ac" / other.key[:2] / other.key
    rewrite(path, (root / "ac" / entry.key[:2] / entry.key).read_bytes())
    fresh = StepStore.open(root)
    with pytest.warns(StoreWarning, match="another key"):
        assert fresh.get(other.key, SCOPE) is None


def test_a_manifest_of_a_newer_version_is_left_alone(root, entry):
    """Its key is a miss, its file stays, and what we compute is used but not recorded."""
    from prefect_tune.store.actions import seal

    path = only(root / "ac")
    rewrite(path, seal(b'{"schema":2,"news":true}'))
    newer = path.read_bytes()
    store = StepStore.open(root)
    assert store.get(entry.key, SCOPE) is None
    mine = store.put(entry, {"X": ARRAY + 1}, SCOPE)
    assert np.array_equal(store.load(mine, "X"), ARRAY + 1)
    assert path.read_bytes() == newer
    assert store.counters.uncached == {"key held by a newer version": 1}
    assert store.counters.corrupt == 0


@pytest.mark.parametrize("damage", ["flip-first", "flip-middle", "flip-last", "half", "empty"])
def test_a_damaged_pack(store, root, record, key, damage):
    """Its records are misses, others are found, and the same records can be stored again."""
    records = [record(i, values={"score": i / 3}) for i in range(20)]
    store.put_pack(records, SCOPE)
    path = only(root / "packs")
    data = path.read_bytes()
    if damage.startswith("flip"):
        flip(path, {"first": 0, "middle": len(data) // 2, "last": -1}[damage[5:]])
    else:
        rewrite(path, data[: len(data) // 2] if damage == "half" else b"")
    store.put_pack([record("other")], SCOPE)
    fresh = StepStore.open(root)
    assert len(fresh.verify()) == 1
    with pytest.warns(StoreWarning, match="pack"):
        found = fresh.lookup([record.key for record in records] + [key("other")], SCOPE)
    assert list(found) == [key("other")]
    assert fresh.counters.corrupt == 1
    fresh.put_pack(records, SCOPE)
    assert len(StepStore.open(root).lookup([record.key for record in records], SCOPE)) == 20


def test_a_damaged_entry_is_said_once(store, root, record):
    """The first names the path; the others are counted."""
    entries = [store.put(record(i), {"X": ARRAY + i}, SCOPE) for i in range(3)]
    for path in (root / "cas").rglob("*"):
        if path.is_file():
            flip(path, 200)
    fresh = StepStore.open(root)
    assert load_all(fresh, entries) == 1
    assert fresh.counters.corrupt == 3


def test_a_pickle_is_verified_at_every_load(store, root, record):
    """A pickle that changed after its first load is not unpickled, though its file looks the same."""
    entry = store.put(record("a"), {"m": {1: ARRAY}}, SCOPE)
    store.load(entry, "m")
    path = only(root / "cas")
    before = path.stat()
    flip(path, 200)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.warns(StoreWarning), pytest.raises(MissingBlob):
        store.load(entry, "m")


def test_an_array_is_verified_again_when_its_file_changed(store, root, entry):
    """Trust ends with the time stamp, also for what this process wrote."""
    assert np.array_equal(store.load(entry, "X"), ARRAY)
    path = only(root / "cas")
    flip(path, 200)
    os.utime(path, (1, 1))
    with pytest.warns(StoreWarning), pytest.raises(MissingBlob):
        store.load(entry, "X")


def test_what_cannot_be_unpickled_is_a_miss(root, run_script, key):
    """A class that this process lacks makes a miss, not an error, and does not stay in the way."""
    script = (
        "import sys, types; from prefect_tune.store import *\n"
        "gone = types.ModuleType('gone'); sys.modules['gone'] = gone\n"
        "exec('class Model: pass', gone.__dict__)\n"
        "StepStore.open(sys.argv[1]).put(Record(key=sys.argv[2], kind='fit'), {'m': gone.Model()}, 'ab12')\n"
    )
    done = run_script(script, root, key("a"))
    assert done.returncode == 0, done.stderr
    store = StepStore.open(root)
    found = store.get(key("a"), SCOPE)
    with pytest.raises(MissingBlob, match="gone"):
        store.load(found, "m")
    assert store.get(key("a"), SCOPE) is None
    assert store.counters.uncached == {"cannot be decoded": 1}


def test_a_store_that_is_wiped_meanwhile(store, root, record, key):
    """Reads are misses, writes build the folders again."""
    entry = store.put(record("a"), {"X": ARRAY}, SCOPE)
    for area in ("ac", "cas", "packs", "tmp"):
        shutil.rmtree(root / area)
    assert store.get(entry.key, SCOPE) is None
    with pytest.warns(StoreWarning), pytest.raises(MissingBlob):
        store.load(entry, "X")
    again = store.put(record("a"), {"X": ARRAY}, SCOPE)
    assert store.put_pack([record("b")], SCOPE)
    assert np.array_equal(store.load(again, "X"), ARRAY)
    assert len(StepStore.open(root).lookup([key("a"), key("b")], SCOPE)) == 2


def test_open_arrays_survive_removal(store, entry):
    """A map keeps its bytes when the file is cleared."""
    array = store.load(entry, "X")
    store.clear()
    assert np.array_equal(array, ARRAY)
