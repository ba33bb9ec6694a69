"""A store on object storage answers as a folder does; what it reads is verified, what fails is a miss.

The oracle is a store in a folder that gets the same calls. Every host is a tier of its own; the bucket is in
memory, so that it can be damaged and taken away.
"""

from __future__ import annotations

import itertools
import pickle
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prefect_tune.errors import UserError
from prefect_tune.store import MissingBlob, Record, StepStore, StoreWarning, open_store_at
from prefect_tune.store.at import open_bucket_store
from prefect_tune.store.remote.store import BucketStore

from .buckets import MemoryBucket
from .conftest import SCOPE

URL = "s3://bucket/team"


@contextmanager
def telling(words: str) -> Iterator[None]:
    """Fails unless just one thing was said, and these words are in it."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        yield
    assert [entry.category for entry in told] == [StoreWarning]
    assert words in str(told[0].message)


@pytest.fixture
def bucket() -> MemoryBucket:
    return MemoryBucket()


@pytest.fixture
def host(tmp_path, bucket):
    """Opens the store on another host each time: an empty tier, the same bucket."""
    numbers = itertools.count()

    def new(trust: str = "local", cache: Path | None = None) -> BucketStore:
        folder = cache or tmp_path / f"tier-{next(numbers)}"
        return open_bucket_store(bucket, url=URL, trust=trust, cache=folder)

    return new


def test_what_one_host_puts_another_has(host, record, key):
    """Records with their outputs, packs, data and files of a run; the arrays are maps of the tier."""
    a, b = host(), host()
    array = np.arange(50_000.0)
    a.put(record("fit", values={"score": 0.5}), {"out": array}, SCOPE)
    a.put_pack([record("score", values={"score": 0.1})], SCOPE)
    ref = a.put_blob(array[::-1])
    (path := a.scratch("run") / "search.pickle").write_bytes(b"order")
    a.share(path)

    found = b.lookup([key("fit"), key("score"), key("none")], SCOPE)
    assert {k: r.values for k, r in found.items()} == {
        key("fit"): {"score": 0.5},
        key("score"): {"score": 0.1},
    }
    loaded = b.load(found[key("fit")], "out")
    assert np.array_equal(loaded, array)
    assert not loaded.flags.writeable
    assert not loaded.flags.owndata
    assert b.has_blob(ref.digest)
    assert np.array_equal(b.load_blob(ref), array[::-1])
    assert b.read_shared(b.scratch("run") / "search.pickle") == b"order"
    a.drop_scratch("run")
    assert b.read_shared(path) is None
    assert (b.counters.hits, b.counters.misses) == (2, 1)
    assert b.verify() == []


def test_the_bucket_holds_what_a_folder_holds(host, bucket, record, tmp_path):
    """Names and bytes are those of a folder: a copy of the bucket is a store."""
    store = host()
    store.put(record("fit"), {"out": np.arange(9.0)}, SCOPE)
    store.put_pack([record("score", values={"score": 0.1})], SCOPE)
    for name, data in bucket.objects.items():
        (path := tmp_path / "copy" / name).parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    copy = StepStore.open(tmp_path / "copy")
    assert copy.store_id == store.store_id
    assert copy.verify() == []
    assert np.array_equal(copy.load(copy.get(record("fit").key, SCOPE), "out"), np.arange(9.0))


def test_the_first_writer_wins_between_hosts(host, record):
    """The second host goes on with what the first one stored, record and bytes."""
    a, b = host(), host()
    a.put(record("fit", values={"by": "a"}), {"out": np.zeros(3)}, SCOPE)
    won = b.put(record("fit", values={"by": "b"}), {"out": np.ones(3)}, SCOPE)
    assert won.values == {"by": "a"}
    assert np.array_equal(b.load(won, "out"), np.zeros(3))


def test_many_keys_are_few_requests(host, bucket, key):
    """A search of 10,000 unknown keys lists the 256 folders and the packs; none is asked for alone."""
    store = host()
    bucket.asked.clear()
    assert store.lookup([key(i) for i in range(10_000)], SCOPE) == {}
    assert len(bucket.asked) == 257
    assert not bucket.requests("get")


def test_what_is_here_is_not_asked_for(host, bucket, record, key):
    """A key that the tier has costs no request."""
    store = host()
    store.put(record("fit"), {"out": np.zeros(3)}, SCOPE)
    bucket.asked.clear()
    assert store.load(store.get(key("fit"), SCOPE), "out") is not None
    assert bucket.asked == []


def test_misses_are_not_remembered(host, record, key):
    """What another host stored a moment after a miss is found."""
    a, b = host(), host()
    assert b.lookup([key("fit"), key("score")], SCOPE) == {}
    a.put(record("fit"), {"out": np.zeros(3)}, SCOPE)
    a.put_pack([record("score", values={})], SCOPE)
    assert set(b.lookup([key("fit"), key("score")], SCOPE)) == {key("fit"), key("score")}


@pytest.mark.parametrize("area", ["ac/", "packs/", "cas/"])
def test_what_is_damaged_is_a_miss_and_is_mended(area, host, bucket, record, key):
    """A changed bit is noticed before anything is adopted; who computes the step again mends the object."""
    a = host()
    a.put(record("fit", values={"by": "a"}), {"out": np.zeros(3)}, SCOPE)
    a.put_pack([record("score", values={})], SCOPE)
    bucket.damage(area)
    b = host()
    with telling("counts as a miss"):
        found = b.lookup([key("fit"), key("score")], SCOPE)
        if area == "cas/":
            with pytest.raises(MissingBlob):
                b.load(found[key("fit")], "out")
    assert b.counters.corrupt == 1
    assert len(b.verify()) == 1
    assert len(b.lookup([key("fit"), key("score")], SCOPE)) == 1
    b.put(record("fit", values={"by": "b"}), {"out": np.ones(3)}, SCOPE)
    b.put_pack([record("score", values={})], SCOPE)
    c = host()
    with telling("counts as a miss") if area == "packs/" else nullcontext():  # a pack stays as it is
        found = c.lookup([key("fit"), key("score")], SCOPE)
    assert set(found) == {key("fit"), key("score")}
    assert np.array_equal(c.load(found[key("fit")], "out"), [float(area != "packs/")] * 3)


def test_a_missing_or_cut_blob_is_a_miss(host, bucket, record, key):
    """A record whose bytes are gone, or too short or long, cannot be loaded; put again it can."""
    large = np.arange(2_000_000.0)
    for change in (lambda data: None, lambda data: data[:-1], lambda data: data + b"x"):
        a, b = host(), host()
        a.put(record("fit"), {"out": large}, SCOPE)
        (name,) = [name for name in bucket.objects if name.startswith("cas/")]
        if (data := change(bucket.objects.pop(name))) is not None:
            bucket.objects[name] = data
        with pytest.warns(StoreWarning), pytest.raises(MissingBlob):
            b.load(b.get(key("fit"), SCOPE), "out")
        b.put(record("fit"), {"out": large}, SCOPE)
        assert np.array_equal((c := host()).load(c.get(key("fit"), SCOPE), "out"), large)
        bucket.objects = {"FORMAT": bucket.objects["FORMAT"]}


def test_a_copy_here_that_is_damaged_comes_again(host, record, key):
    """The tier's own damage costs a request, and no computation."""
    a = host()
    a.put(record("fit"), {"out": np.zeros(3)}, SCOPE)
    (blob,) = [path for path in (a.root / "cas").rglob("*") if path.is_file()]
    blob.chmod(0o600)
    blob.write_bytes(blob.read_bytes()[:-1] + b"x")
    with pytest.warns(StoreWarning):
        assert np.array_equal(a.load(a.get(key("fit"), SCOPE), "out"), np.zeros(3))


def test_a_bucket_that_is_away_costs_no_search(host, bucket, record, key, monkeypatch):
    """It is said once; what was put is here, and in the bucket as soon as that is back."""
    a = host()
    bucket.down = True
    bucket.asked.clear()
    with telling("cannot be reached"):
        for i in range(5):
            assert a.put(record(i), {"out": np.full(3, i)}, SCOPE).outputs
        a.put_pack([record("score", values={})], SCOPE)
        a.put_blob(np.arange(7))
        assert a.get(key("nothing"), SCOPE) is None
    assert len(bucket.requests("put")) == 1  # it was left alone after the first
    bucket.down = False
    monkeypatch.setattr(a._line, "_until", 0.0)
    a.put(record("late"), {"out": np.zeros(3)}, SCOPE)
    assert a.catch_up() == 0
    b = host()
    found = b.lookup([*map(key, range(5)), key("score"), key("late")], SCOPE)
    assert len(found) == 7
    assert np.array_equal(b.load(found[key(3)], "out"), np.full(3, 3))
    assert sum(name.startswith("cas/") for name in bucket.objects) == 7


def test_what_is_pending_goes_when_the_store_is_opened_next(host, bucket, record, key):
    """The notes of a process that ended are read by the next one."""
    a = host()
    bucket.down = True
    with pytest.warns(StoreWarning):
        a.put(record("fit"), {"out": np.zeros(3)}, SCOPE)
    bucket.down = False
    assert host(cache=a.root).catch_up() == 0
    assert host().get(key("fit"), SCOPE)


def test_a_bucket_that_may_only_be_read_serves(host, bucket, record, key):
    """A refusal is said once and asked for once; hits count, new results stay here."""
    host().put(record("old"), {"out": np.zeros(3)}, SCOPE)
    b = host()
    bucket.closed = True
    bucket.asked.clear()
    with telling("refused"):
        assert b.get(key("old"), SCOPE)
        for i in range(5):
            b.put(record(i), {"out": np.full(3, i)}, SCOPE)
    assert len(bucket.requests("put")) == 1
    assert b.get(key(4), SCOPE)


def test_pickles_of_a_bucket_are_not_read_unless_that_is_asked_for(host, record, key, monkeypatch):
    """`auto` is data-only: the record is a miss and its bytes are not fetched. The variable allows it."""
    host().put(record("fit"), {"out": {1, 2}}, SCOPE)
    b = host("auto")
    assert b.trust == "data-only"
    assert "trust='local'" in b.trust_reason
    assert b.get(key("fit"), SCOPE) is None
    assert not b.put(record("other"), {"out": {3}}, SCOPE).outputs
    assert not list((b.root / "cas").rglob("*"))
    monkeypatch.setenv("PREFECT_TUNE_TRUSTED", "s3://other s3://bucket")
    c = host("auto")
    assert c.load(c.get(key("fit"), SCOPE), "out") == {1, 2}
    monkeypatch.setenv("PREFECT_TUNE_TRUSTED", "s3://buck s3://bucket/te")
    assert host("auto").trust == "data-only"


def test_released_keys_are_gone_and_their_blobs_are_swept(host, bucket, record, key):
    """Records go at once, here and there; blobs that no record means go later, others stay."""
    a = host()
    a.put(record(1), {"out": np.zeros(3)}, SCOPE)
    a.put(record(2), {"out": np.ones(3)}, SCOPE)
    a.put(record(3), {"out": np.ones(3)}, SCOPE)
    a.release([key(1), key(2)])
    b = host()
    assert set(b.lookup([key(1), key(2), key(3)], SCOPE)) == {key(3)}
    assert b.sweep(0) > 0
    assert sum(name.startswith("cas/") for name in bucket.objects) == 1
    assert np.array_equal(b.load(b.get(key(3), SCOPE), "out"), np.ones(3))


def test_a_folder_of_another_store_is_refused(host, bucket, tmp_path):
    """A tier says whose it is: a bucket that was emptied and filled anew does not get old entries."""
    a = host()
    bucket.objects.clear()
    with pytest.raises(Exception, match="belongs to another store"):
        host(cache=a.root)


def test_a_server_that_overwrites_is_refused(host, bucket, monkeypatch):
    """Without put-if-absent two searches would overwrite each other."""
    monkeypatch.setattr(bucket, "create", lambda name, data: bucket.objects.update({name: data}) or True)
    with pytest.raises(UserError, match="If-None-Match"):
        host()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("s3://AKIA:geheim@bucket/x", "Give credentials in the environment"),
        ("s3://bucket/x?key=geheim", "Give credentials in the environment"),
        ("s3:///x", "names no bucket"),
        ("s3://bucket/../geheim", "a prefix is made of"),
        ("ftp://bucket/x", "no store for 'ftp' URLs"),
    ],
)
def test_urls_are_checked(url, words):
    """What is no store's URL is refused before anything is asked, and secrets in it are not repeated."""
    with pytest.raises(UserError, match=words) as caught:
        StepStore.open(url)
    if "credentials" in words:
        assert "geheim" not in str(caught.value)


def test_folders_and_file_urls_are_folders(tmp_path, monkeypatch):
    """A path, a file URL and the variable lead to the same store."""
    store = open_store_at(tmp_path / "a b")
    assert StepStore.open(f"file://{tmp_path}/a%20b").store_id == store.store_id
    assert store.place == str(tmp_path / "a b")
    monkeypatch.setenv("PREFECT_TUNE_STORE", "s3://bucket/x")
    from prefect_tune.store import default_root

    assert default_root() == "s3://bucket/x"


def test_secrets_do_not_travel(host, bucket, tmp_path):
    """Neither a pickle nor a repr has them, and what holds them refuses to be pickled."""
    from prefect_tune.store.remote.s3 import S3Bucket
    from prefect_tune.store.remote.sources import NAMES, Options, Source, register
    from prefect_tune.store.remote.urls import parse_url

    secrets = {name: f"geheim-{name}" for name in NAMES if "key" in name or "token" in name}
    source = Source("test/mine", Options(secrets))
    store = open_bucket_store(bucket, url=URL, trust="local", cache=tmp_path / "tier", source=source)
    for thing in (store, source):
        assert b"geheim" not in pickle.dumps(thing)
        assert "geheim" not in repr(thing)
    client = S3Bucket(parse_url(URL), Options({**secrets, "region": "eu-west-1"}))
    for thing in (source.given, client):
        assert "geheim" not in repr(thing)
        with pytest.raises(TypeError):
            pickle.dumps(thing)
    register("test", lambda name: {"region": name})
    assert pickle.loads(pickle.dumps(source)).options().reveal() == {"region": "mine"}
    with pytest.raises(UserError, match=r"no option 'acces_key_id'\. Did you mean 'access_key_id'"):
        Options({"acces_key_id": "geheim"})
    with pytest.raises(UserError, match="credentials called 'nobody'"):
        Source("nobody/x").options()


# -- the same calls on a folder and on hosts that share a bucket ---------------------------------------

NAMES_ = st.integers(0, 4)
CALLS = st.lists(
    st.tuples(st.sampled_from(["put", "pack", "lookup", "load", "fresh host"]), st.integers(0, 1), NAMES_),
    max_size=25,
)


@given(CALLS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_hosts_with_a_bucket_answer_as_one_folder(in_memory, key, calls):
    """Whichever of two hosts is asked, and however often one starts empty: the answers are a folder's."""
    number = itertools.count()
    bucket = MemoryBucket()
    base = Path(tempfile.mkdtemp(dir=in_memory))

    def new_host() -> BucketStore:
        return open_bucket_store(bucket, url=URL, trust="local", cache=base / f"tier-{next(number)}")

    folder, hosts = StepStore.open(base / "folder"), [new_host(), new_host()]
    for turn, (call, who, name) in enumerate(calls):
        if call == "fresh host":
            hosts[who] = new_host()
            continue
        answers = [_answer(store, call, key(name), turn) for store in (folder, hosts[who])]
        assert answers[0] == answers[1], (call, who, name)
    for store in hosts:
        assert store.counters.corrupt == 0


def _answer(store: StepStore, call: str, key: str, turn: int) -> object:
    """What a call gives, as plain values; computing a step gives something else each time."""
    if call == "put":
        record = Record(key=key, kind="test", values={"turn": turn}, created=1.0 + turn, creator="x")
        won = store.put(record, {"out": np.full(2, turn)}, SCOPE)
        return won.values, won.outputs, store.load(won, "out").tolist()
    if call == "pack":  # scores are the same whoever works them out
        key = key[::-1]
        return store.put_pack(
            [Record(key=key, kind="test", values={"of": key}, created=1.0, creator="x")], SCOPE
        )
    if call == "lookup":
        found = store.lookup([key, key[::-1]], SCOPE)
        return {k: (r.values, r.outputs, r.created) for k, r in found.items()}
    record = store.get(key, SCOPE)
    return record and store.load(record, "out").tolist()
