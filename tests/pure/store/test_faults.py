"""Every system call may fail, at any moment, in any way: the store stays whole and no search fails."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import warnings
from pathlib import Path

import numpy as np
import pytest

from prefect_tune.errors import StoreUnavailable
from prefect_tune.store import MissingBlob, Record, StepStore, StoreWarning, site
from prefect_tune.store.failpoints import arm, failpoint
from prefect_tune.store.faults import FailNth, Killed, ReadOnlyFs, Wrapped
from prefect_tune.store.fs import PosixFs

SCOPE = "ab12"
ARRAY = np.arange(10_000.0)
PREFIX = Record(key="a" * 64, kind="transform", created=1.0, creator="c", values={"score": 0.1})
SCORES = [
    Record(key=f"{i:064x}", kind="score", created=1.0, creator="c", values={"s": i / 3}) for i in range(5)
]
KEYS = [PREFIX.key, *(record.key for record in SCORES)]


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    """A blob of 80 kB takes the way of a large one: several writes, a second thread that hashes."""
    monkeypatch.setattr(site, "CHUNK", 1 << 14)
    monkeypatch.setattr(site, "JOINED", 1 << 10)
    monkeypatch.setattr(site, "THREADED", 1 << 16)


def scenario(root: Path, fs=None) -> dict[str, object]:
    """What one run of a small step finds out; computes what it cannot load."""
    store = StepStore.open(root, fs=fs)
    known = store.lookup(KEYS, SCOPE)
    results: dict[str, object] = {key: record.values for key, record in known.items()}
    prefix = known.get(PREFIX.key) or store.put(PREFIX, {"X": ARRAY, "model": {1: "m"}}, SCOPE, durable=True)
    try:
        results["X"], results["model"] = store.load(prefix, "X").sum(), store.load(prefix, "model")
    except MissingBlob:
        results["X"], results["model"] = ARRAY.sum(), {1: "m"}
        store.put(PREFIX, {"X": ARRAY, "model": {1: "m"}}, SCOPE)
    store.put_pack([record for record in SCORES if record.key not in known], SCOPE, durable=True)
    return results | {record.key: record.values for record in (PREFIX, *SCORES)}


EXPECTED = {record.key: record.values for record in (PREFIX, *SCORES)} | {"X": ARRAY.sum(), "model": {1: "m"}}


def temps(root: Path) -> list[str]:
    return os.listdir(root / "tmp") if (root / "tmp").exists() else []


def half_done(root: Path) -> None:
    """A store that knows the scores but not the prefix."""
    StepStore.open(root).put_pack(SCORES, SCOPE)


def all_done(root: Path) -> None:
    scenario(root)


def dangling(root: Path) -> None:
    """A store whose record leads nowhere."""
    scenario(root)
    shutil.rmtree(root / "cas")


@pytest.mark.parametrize("how", ["EIO", "ENOSPC", "EACCES", "after", "short", "kill", "torn"])
@pytest.mark.parametrize(
    "start", [None, half_done, all_done, dangling], ids=["new", "half", "done", "dangling"]
)
@pytest.mark.filterwarnings("ignore::prefect_tune.store.signals.StoreWarning")
def test_every_single_call_may_fail(in_memory, how, start):
    """For every n the n-th call fails; the run ends right or dies, and the store is old or complete."""
    n, fs = 0, None
    while fs is None or fs.fired:
        n += 1
        root = in_memory / str(n)
        if start:
            start(root)
        fs = FailNth(None, n, how)
        try:
            assert scenario(root, fs) == EXPECTED
        except StoreUnavailable:
            assert not (root / "FORMAT").exists() or fs.calls[-1] in ("read", "stat")
        except Killed:
            assert how in ("kill", "torn")
        failed = fs.calls[n - 1] if fs.fired else ""
        if how not in ("kill", "torn") and failed != "unlink" and (how, failed) != ("after", "open_new"):
            assert temps(root) == [], (n, failed)
        check_after(root, spoiled=(how, failed) == ("short", "read"))
        shutil.rmtree(root)
    assert n > 10


def check_after(root: Path, *, spoiled: bool) -> None:
    """With a healthy disk everything verifies, what is found is right, and a rerun completes it."""
    if root.exists():
        store = StepStore.open(root)
        assert all("missing" in problem.fault for problem in store.verify())
        assert spoiled or not os.listdir(root / "quarantine")
        for key, record in store.lookup(KEYS, SCOPE).items():
            assert record.values == EXPECTED[key]
    assert scenario(root) == EXPECTED
    store = StepStore.open(root)
    assert store.verify() == []
    assert len(store.lookup(KEYS, SCOPE)) == len(KEYS)
    assert np.array_equal(store.load(store.get(PREFIX.key, SCOPE), "X"), ARRAY)


class Intruder(Wrapped):
    """An `Fs` that lets somebody else act just before a call on a matching path."""

    def __init__(self, name, part, act):
        super().__init__()
        self.name, self.part, self.act = name, part, act

    def _call(self, name, *args):
        if self.act and name == self.name and any(self.part in str(arg) for arg in args):
            act, self.act = self.act, None
            act()
        return super()._call(name, *args)


@pytest.mark.usefixtures("no_temps")
def test_a_race_lost_at_the_last_moment(root, record):
    """Somebody links the same key between our blobs and our manifest: we continue with their bits."""
    theirs = []
    act = lambda: theirs.append(StepStore.open(root).put(record("a"), {"X": ARRAY + 1}, SCOPE))  # noqa: E731
    StepStore.open(root)
    store = StepStore.open(root, fs=Intruder("link", "/ac/", act))
    ours = store.put(record("a"), {"X": ARRAY}, SCOPE)
    assert ours == theirs[0]
    assert np.array_equal(store.load(ours, "X"), ARRAY + 1)


def test_a_blob_that_goes_while_it_is_opened(root, record):
    """A file that vanishes between two calls is a miss."""
    wrote = StepStore.open(root).put(record("a"), {"X": ARRAY}, SCOPE)
    act = lambda: shutil.rmtree(root / "cas")  # noqa: E731
    store = StepStore.open(root, fs=Intruder("map", "/cas/", act))
    with pytest.warns(StoreWarning, match="missing"), pytest.raises(MissingBlob):
        store.load(wrote, "X")


def test_a_disk_that_fails_once_does_not_unseat_the_winner(root, record):
    """That a blob cannot be looked at proves nothing: the first record stays."""

    def fail():
        raise OSError(errno.EIO, "on purpose")

    first = StepStore.open(root).put(record("a"), {"X": ARRAY}, SCOPE)
    store = StepStore.open(root, fs=Intruder("stat", "/cas/", fail))
    assert store.put(record("a"), {"X": ARRAY + 1}, SCOPE) == first
    assert StepStore.open(root).get(first.key, SCOPE) == first


class NoLinks(Wrapped):
    """A file system without hard links, as SMB and some FUSE ones are."""

    def link(self, source, target):
        raise OSError(errno.EOPNOTSUPP, "no links here")


@pytest.mark.usefixtures("no_temps")
def test_no_hard_links(root, record):
    """Entries are renamed into place instead; who was first still wins."""
    store = StepStore.open(root, fs=NoLinks())
    first = store.put(record("a"), {"X": ARRAY}, SCOPE)
    assert store.put(record("a"), {"X": ARRAY + 1}, SCOPE) == first
    assert store.put_pack(SCORES, SCOPE)
    assert StepStore.open(root).verify() == []
    assert np.array_equal(StepStore.open(root).load(first, "X"), ARRAY)


def test_read_only_store_serves_hits(root, record):
    """Nothing is written, nothing raises but ingesting; it is said once and counted."""
    healthy = StepStore.open(root)
    wrote = healthy.put(record("a"), {"X": ARRAY}, SCOPE)
    healthy.put_pack(SCORES, SCOPE)
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    store = StepStore.open(root, fs=ReadOnlyFs())
    assert not store.writable
    assert len(store.lookup([wrote.key, *KEYS], SCOPE)) == 6
    assert np.array_equal(store.load(wrote, "X"), ARRAY)
    assert store.put_blob(ARRAY).digest == wrote.outputs[0].digest
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        assert store.put(PREFIX, {"X": ARRAY}, SCOPE).outputs == ()
        assert store.put_pack(SCORES, SCOPE) == ""
        with pytest.raises(StoreUnavailable, match="read-only"):
            store.put_blob(ARRAY + 1)
        scratch = store.scratch("r")
    assert [str(warning.message) for warning in said] == [f"store: {root}: cache read-only, hits still work."]
    assert store.counters.uncached == {"read-only": 2}
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before
    assert scratch.is_dir()
    assert root not in scratch.parents
    store.drop_scratch("r")
    assert not scratch.exists()


def test_damage_in_a_read_only_store(root, record):
    """It cannot be put aside, but it is refused all the same, and packs are not read twice."""
    healthy = StepStore.open(root)
    wrote = healthy.put(record("a"), {"X": ARRAY}, SCOPE)
    name = healthy.put_pack(SCORES, SCOPE)
    for path in (root / "packs" / SCOPE / name, root / "ac" / wrote.key[:2] / wrote.key):
        path.chmod(0o644)
        path.write_bytes(path.read_bytes()[:-1])
    store = StepStore.open(root, fs=ReadOnlyFs())
    with pytest.warns(StoreWarning):
        assert store.lookup([wrote.key, *KEYS], SCOPE) == {}
    assert store.lookup(KEYS, SCOPE) == {}
    assert store.counters.corrupt == 2


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write in any folder; ReadOnlyFs stands in above")
def test_read_only_folder(root, record):
    """The same by mode bits."""
    wrote = StepStore.open(root).put(record("a"), {"X": ARRAY}, SCOPE)
    folders = [root, *(path for path in root.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o500)
    try:
        store = StepStore.open(root)
        assert not store.writable
        assert np.array_equal(store.load(wrote, "X"), ARRAY)
    finally:
        for folder in folders:
            folder.chmod(0o700)


def test_missing_read_only_store_is_an_error(root):
    """What can be neither created nor read cannot be opened."""
    with pytest.raises(StoreUnavailable, match="PREFECT_TUNE_STORE"):
        StepStore.open(root, fs=ReadOnlyFs())


@pytest.mark.parametrize("number", ["ENOSPC", "EDQUOT", "EROFS", "EACCES", "EIO", "EFBIG"])
def test_a_failing_write_is_said_once(root, record, number):
    """Full and forbidden disks end writing; other errors cost that entry only."""

    class Failing(Wrapped):
        def write(self, fd, data):
            raise OSError(getattr(errno, number), "on purpose")

    StepStore.open(root)
    store = StepStore.open(root, fs=Failing())
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        for name in "abc":
            assert store.put(record(name), {"X": ARRAY}, SCOPE).outputs == ()
            assert store.put_pack(SCORES, SCOPE) == ""
    assert len(said) == 1
    assert store.writable == (number in ("EIO", "EFBIG"))
    assert store.counters.uncached[number] == (6 if store.writable else 1)
    assert temps(root) == []


def test_a_failing_sync_drops_the_entry(root, record):
    """After a failed fsync nobody knows what is on the disk: the entry does not appear."""

    class Failing(PosixFs):
        def fsync(self, fd):
            raise OSError(errno.EIO, "on purpose")

    StepStore.open(root)
    store = StepStore.open(root, fs=Failing())
    with pytest.warns(StoreWarning, match="on purpose"):
        store.put(record("a"), {"X": ARRAY}, SCOPE, durable=True)
    assert store.usage()["total"]["files"] == 0


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 8 MiB, where mounting is permitted."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=8m,mode=0700", "tmpfs", str(place)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small tmpfs is not permitted here; RLIMIT_FSIZE stands in below")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_full_disk(small_disk, record):
    """The search goes on, it is said once, no torn entry is left, and what was stored can be read."""
    store = StepStore.open(small_disk / "store")
    array = np.arange(1 << 17, dtype="f8")
    with pytest.warns(StoreWarning, match="store full, continuing uncached") as said:
        wrote = [store.put(record(i), {"X": array + i}, SCOPE) for i in range(12)]
    assert len(said) == 1
    assert not store.writable
    assert temps(store.root) == []
    assert store.put_pack(SCORES, SCOPE) == ""
    kept = [entry for entry in wrote if entry.outputs]
    assert 5 <= len(kept) < 8
    again = StepStore.open(store.root)
    assert again.verify() == []
    assert all(np.array_equal(again.load(entry, "X"), array + i) for i, entry in enumerate(kept))


def test_limited_file_size(root, run_script):
    """A blob beyond the limit is uncached, smaller ones are still stored."""
    script = """
import resource, sys, warnings
import numpy as np
from prefect_tune.store import Record, StepStore
store = StepStore.open(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    for key, size in (("a", 1 << 18), ("b", 1 << 21), ("c", 100), ("d", 1 << 18)):
        store.put(Record(key=key * 64, kind="t"), {"X": np.zeros(size)}, "ab12")
known = sorted(store.lookup([k * 64 for k in "abcd"], "ab12"))
print(len(said), store.writable, dict(store.counters.uncached), known)
"""
    done = run_script(script, root)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == f"1 True {{'EFBIG': 3}} ['{'c' * 64}']"
    assert StepStore.open(root).verify() == []
    assert temps(root) == []


@pytest.fixture
def disarmed():
    yield
    arm(None)


@pytest.mark.usefixtures("disarmed")
@pytest.mark.parametrize("point", ["F2", "F3", "F4"])
def test_failpoints_fail_a_write(store, record, point):
    """An error at any point of the write leaves the entry out."""
    arm(f"{point}:error@1")
    with pytest.warns(StoreWarning, match=f"failpoint {point}"):
        assert store.put(record("a"), {"X": ARRAY}, SCOPE).outputs == ()
    assert store.get(record("a").key, SCOPE) is None
    assert temps(store.root) == []
    assert store.put(record("a"), {"X": ARRAY}, SCOPE).outputs


@pytest.mark.usefixtures("disarmed")
def test_failpoints_count_passages():
    """`@n` is the n-th passage; a wrong text is an error."""
    arm("F1:error@2,F6:error")
    failpoint("F1")
    for name in ("F1", "F6"):
        with pytest.raises(OSError, match=name):
            failpoint(name)
    failpoint("F1")
    for bad in ("F1:explode@1", "F1", "F1:kill@x"):
        with pytest.raises(ValueError, match="F3:kill@2"):
            arm(bad)
