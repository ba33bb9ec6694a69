"""In a signed store an entry counts if somebody with a key put it there, for this store and under this name.

The attacker of these tests can write anything in the folder, and read everything, but has no key. His pickles
leave a file behind when they are read.
"""

from __future__ import annotations

import base64
import dataclasses
import logging
import os
import pickle
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from blake3 import blake3

from prefect_tune.errors import UserError
from prefect_tune.store import BlobRef, MissingBlob, Record, StepStore, StoreWarning, open_store_at
from prefect_tune.store.actions import seal
from prefect_tune.store.at import open_bucket_store
from prefect_tune.store.codec import encode
from prefect_tune.store.home import default_cache
from prefect_tune.store.journal import Journal
from prefect_tune.store.keys import KEYS, KEYS_FILE
from prefect_tune.store.packs import _SHAPE
from prefect_tune.store.records import dump, to_row
from prefect_tune.store.remote.sources import Source, register
from prefect_tune.store.signing import MANIFEST, Keyring, Signer, new_key

from .buckets import MemoryBucket
from .conftest import SCOPE, Gadget

ONE, TWO = f"one:{'11' * 32}", f"two:{'22' * 32}"
ARRAY = np.arange(20_000.0)


@pytest.fixture
def signed(root):
    """Opens the store with these keys."""
    return lambda keys=ONE, place=root: open_store_at(place, trust="signed", keys=keys)


@pytest.fixture(autouse=True)
def quiet():
    """That an entry is not signed is said once per store; here it is asserted on counts instead."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StoreWarning)
        yield


def plant_blob(root: Path, value: object) -> BlobRef:
    """The value as a blob in the store, as its own writer would leave it."""
    codec, buffers = encode(value)
    data = b"".join(bytes(part) for part in buffers)
    name = blake3(data).hexdigest()
    put(root / "cas" / "b3-256" / name[:2] / name, data)
    return BlobRef(name="m", digest=f"b3-256:{name}", size=len(data), codec=codec)


def put(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.write_bytes(data)


def manifest(root: Path, key: str) -> Path:
    return root / "ac" / key[:2] / key


# -- the gadget, planted in every way ------------------------------------------------------------------


def unsigned(root, key, ref, _):
    put(manifest(root, key), seal(Record(key=key, kind="fit", outputs=(ref,)).to_json()))


def wrong_key(root, key, ref, _):
    signer = Signer(Keyring({"one": b"x" * 32}), StepStore.open(root, trust="data-only").store_id)
    put(manifest(root, key), seal(signer.sign_record(Record(key=key, kind="fit", outputs=(ref,))).to_json()))


def made_up_signature(root, key, ref, _):
    record = Record(key=key, kind="fit", outputs=(ref,), mac="0" * 64, key_id="one")
    put(manifest(root, key), seal(record.to_json()))


def changed_under_its_signature(root, key, ref, honest):
    record = dataclasses.replace(honest, key=key, outputs=(ref,))
    put(manifest(root, key), seal(record.to_json()))


def under_another_key(root, key, ref, honest):
    """The signed manifest of one step under the name of another."""
    put(manifest(root, key), manifest(root, honest.key).read_bytes())


def blob_replaced(root, key, ref, honest):
    """The honest record, and other bytes where its own were."""
    under = honest.outputs[0].digest.rpartition(":")[2]
    gadget = ref.digest.rpartition(":")[2]
    data = (root / "cas" / "b3-256" / gadget[:2] / gadget).read_bytes()
    put(root / "cas" / "b3-256" / under[:2] / under, data.ljust(honest.outputs[0].size, b"\0"))


def in_a_pack(root, key, ref, _):
    data = dump({**_SHAPE, "rows": [to_row(Record(key=key, kind="fit", outputs=(ref,), created=1.0))]})
    put(root / "packs" / SCOPE / blake3(data).hexdigest(), data)


PLANTS = [
    unsigned, wrong_key, made_up_signature, changed_under_its_signature, under_another_key, blob_replaced,
    in_a_pack,
]  # fmt: skip


def everything_read(store: StepStore, key: str, honest: str) -> None:
    """Reads all that can be read in all ways there are; what is missing is a miss."""
    for name in (key, honest):
        found = store.get(name, SCOPE)
        for ref in found.outputs if found else ():
            for read in (lambda f=found, r=ref: store.load(f, r.name), lambda r=ref: store.load_blob(r)):
                with pytest.raises(MissingBlob):
                    read()


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.__name__)
@pytest.mark.parametrize("trust", ["signed", "data-only", "local"])
def test_a_planted_gadget_never_fires(root, record, key, mark, signed, plant, trust):
    """Neither where signatures count nor where no pickle is read. Where only this user can write, what he
    himself put there is read if manifest and digest verify, and nothing else is."""
    honest = signed().put(record("honest"), {"m": {1: "model"}}, SCOPE)
    ref = plant_blob(root, Gadget(mark))
    name = key("planted")
    plant(root, name, ref, honest)
    store = signed() if trust == "signed" else StepStore.open(root, trust=trust)
    sound = plant in (unsigned, wrong_key, made_up_signature, changed_under_its_signature)
    if trust == "local" and sound:  # the control: this gadget does fire
        store.load(store.get(name, SCOPE), "m")
        assert mark.exists()
        return
    assert store.get(name, SCOPE) is None
    if plant is blob_replaced:
        everything_read(store, name, honest.key)
    assert not mark.exists()
    if trust == "signed":
        with pytest.raises(MissingBlob):  # however the attacker's record came here
            store.load(Record(key=name, kind="fit", outputs=(ref,)), "m")
        with pytest.raises(MissingBlob):
            store.load(dataclasses.replace(honest, outputs=(ref,)), "m")
        with pytest.raises(MissingBlob):  # or the digest, in a task run's parameters
            store.load_blob(ref)
        again = store.put(record("planted"), {"m": {1: "mine"}}, SCOPE)
        assert store.load(again, "m") == {1: "mine"}
        assert signed().load(signed().get(name, SCOPE), "m") == {1: "mine"}
        if plant is not blob_replaced:  # that one left by being noticed
            assert signed().load(signed().get(honest.key, SCOPE), "m") == {1: "model"}
    assert not mark.exists()


def test_entries_of_another_store_are_not_signed_for_this_one(tmp_path, record, key, mark, signed):
    """The same key signs in both; manifests, packs and journals of one are nothing in the other."""
    a, b = signed(place=tmp_path / "a"), signed(place=tmp_path / "b")
    a.put(record("fit"), {"m": {1: 2}}, SCOPE)
    a.put_pack([record("score", values={"score": 1.0})], SCOPE)
    journal = a.journal(key("search"))
    journal.append([{"n": 1}])
    journal.close()
    b.put_pack([record("own", values={"score": 2.0})], SCOPE)
    for area in ("ac", "cas", "packs", "journal"):
        shutil.copytree(tmp_path / "a" / area, tmp_path / "b" / area, dirs_exist_ok=True)
    fresh = signed(place=tmp_path / "b")
    assert set(fresh.lookup([key("fit"), key("score"), key("own")], SCOPE)) == {key("own")}
    assert fresh.journal_lines(key("search")) == []
    assert len(fresh.verify()) == 2
    assert a.verify() == []


def test_a_pack_is_signed_for_its_scope(root, record, key, signed):
    """Scores of one data set do not become those of another by a move."""
    signed().put_pack([record("score", values={"score": 1.0})], SCOPE)
    shutil.copytree(root / "packs" / SCOPE, root / "packs" / "cd34")
    store = signed()
    assert store.get(key("score"), SCOPE)
    assert store.get(key("score"), "cd34") is None
    assert store.counters.uncached["not signed"] == 1


def test_packs_that_are_not_signed_are_misses_and_stay(root, record, key, signed):
    """Those of somebody without a key, and those whose bytes changed along with their name."""
    StepStore.open(root).put_pack([record("plain", values={"score": 1.0})], SCOPE)
    signed().put_pack([record("mine", values={"score": 2.0})], SCOPE)
    for path in list((root / "packs" / SCOPE).iterdir()):
        data = path.read_bytes().replace(b"0x1.0000000000000p+1", b"0x1.8000000000000p+1")
        put(path.parent / blake3(data).hexdigest(), data)
    store = signed()
    found = store.lookup([key("plain"), key("mine")], SCOPE)
    assert {k: r.values for k, r in found.items()} == {key("mine"): {"score": 2.0}}
    assert len(os.listdir(root / "packs" / SCOPE)) == 3
    assert store.counters.corrupt == 0


def test_what_is_signed_works(root, record, key, signed):
    """Models, arrays, sparse matrices, JSON, data by digest, packs: all of it, by another opener too."""
    store = signed()
    matrix = sp.random(200, 100, 0.2, format="csr", random_state=0)
    wrote = store.put(record("a"), {"X": ARRAY, "S": matrix, "m": {1: ARRAY}, "j": [1.5]}, SCOPE)
    ref = store.put_blob({"a", "model"})
    data = store.put(Record(key=key("data"), kind="data"), {"data": {2, 3}}, SCOPE).outputs[0]
    assert store.load_blob(data) == {2, 3}
    other = signed()
    found = other.get(wrote.key, SCOPE)
    assert found == wrote
    assert np.array_equal(other.load(found, "X"), ARRAY)
    assert (other.load(found, "S") != matrix).nnz == 0
    assert np.array_equal(other.load(found, "m")[1], ARRAY)
    assert other.load(found, "j") == [1.5]
    assert other.load_blob(ref) == {"a", "model"}
    assert other.load_blob(data) == {2, 3}
    assert other.verify() == []
    assert not other.counters.uncached


def test_a_shared_folder_can_be_signed(root, record, signed):
    """`signed` needs no private folder, and gives back what `data-only` refuses there."""
    root.mkdir()
    root.chmod(0o777)
    wrote = signed().put(record("a"), {"m": {1, 2}}, SCOPE)
    assert signed().load(signed().get(wrote.key, SCOPE), "m") == {1, 2}
    assert StepStore.open(root).trust == "data-only"
    assert StepStore.open(root).get(wrote.key, SCOPE) is None


def test_a_private_store_reads_signed_entries_and_a_signed_one_no_unsigned(root, record, key, signed):
    """`local` goes by the folder's mode and does not ask who signed; the form of its entries is as it was."""
    signed().put(record("signed"), {"m": {1}}, SCOPE)
    local = StepStore.open(root)
    assert local.trust == "local"
    plain = local.put(record("plain"), {"m": {2}}, SCOPE)
    assert (plain.mac, plain.key_id) == ("", "")
    assert manifest(root, plain.key).read_bytes() == seal(plain.to_json())
    assert local.load(local.get(key("signed"), SCOPE), "m") == {1}
    assert signed().get(plain.key, SCOPE) is None
    assert signed().get(key("signed"), SCOPE)


def test_files_of_others_are_copied_before_they_are_verified(root, record, signed, monkeypatch):
    """Where somebody else owns the file he could change it under a map: then what was verified is ours."""
    wrote = signed().put(record("a"), {"X": ARRAY, "m": {1: ARRAY}}, SCOPE)
    own = signed().load(wrote, "X")
    assert not own.flags.owndata
    me = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: me + 1)
    theirs = signed()
    X, m = theirs.load(wrote, "X"), theirs.load(wrote, "m")
    for path in (root / "cas").rglob("*"):
        if path.is_file():  # the owner rewrites his file in place, and sets its time back
            before = path.stat()
            path.chmod(0o644)
            data = path.read_bytes()
            path.write_bytes(data[:-9] + b"\xff" + data[-8:])
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert np.array_equal(X, ARRAY)
    assert np.array_equal(m[1], ARRAY)
    with pytest.raises(MissingBlob):
        theirs.load(wrote, "X")


# -- keys ----------------------------------------------------------------------------------------------


def test_rotation(root, record, key, signed):
    """The first key signs, all verify: add the new one second, make it first, drop the old one. What the old
    one signed is then a miss, and is signed by the new one when it is computed again."""
    signed(ONE).put(record("old"), {"m": {1}}, SCOPE)
    assert signed(f"{ONE} {TWO}").get(key("old"), SCOPE).key_id == "one"
    turned = signed(f"{TWO} {ONE}")
    assert turned.put(record("new"), {"m": {2}}, SCOPE).key_id == "two"
    assert set(signed(f"{ONE} {TWO}").lookup([key("old"), key("new")], SCOPE)) == {key("old"), key("new")}
    last = signed(TWO)
    assert set(last.lookup([key("old"), key("new")], SCOPE)) == {key("new")}
    assert last.put(record("old"), {"m": {3}}, SCOPE).key_id == "two"
    assert signed(TWO).load(signed(TWO).get(key("old"), SCOPE), "m") == {3}
    assert len(os.listdir(root / "quarantine")) == 1


def test_a_name_is_no_key(root, record, key, signed):
    """Another key under the same name verifies nothing."""
    signed(ONE).put(record("a"), {"m": {1}}, SCOPE)
    assert signed(f"one:{'33' * 32}").get(key("a"), SCOPE) is None


@pytest.mark.parametrize(
    "text",
    ["", "# a comment", "one", "one:", "one:zz", "one:" + "11" * 31, "one:" + "11" * 33, ":" + "11" * 32,
     "o/e:" + "11" * 32, f"{ONE} {ONE}", f"{ONE} two", "x" * 33 + ":" + "11" * 32,
     "one:" + base64.b64encode(b"short").decode()],
)  # fmt: skip
def test_what_is_no_key_is_refused_and_not_repeated(text):
    """The place and the next move are said; what was given is not, it may be a key with a slip in it."""
    with pytest.raises(UserError, match=r"(?s)here.*ID:KEY|here.*name of its own") as caught:
        Keyring.parse(text, "here")
    assert "11" not in str(caught.value)
    assert "zz" not in str(caught.value)


def test_keys_as_hex_and_as_base64_are_the_same():
    """Either form, blanks or lines between them, comments between lines."""
    plain = base64.b64encode(bytes.fromhex("11" * 32)).decode()
    url = base64.urlsafe_b64encode(b"\xff" * 32).decode()
    ring = Keyring.parse(f"# ours\none:{plain}\n  # old\ntwo:{'22' * 32} three:{url}\n", "here")
    assert ring.ids == ("one", "two", "three")
    assert (ring.key("one"), ring.key("two")) == (b"\x11" * 32, b"\x22" * 32)
    assert ring.key("three") == b"\xff" * 32


def test_new_keys_are_keys():
    """What the command prints can be used as it is, and is another one each time."""
    made = {new_key() for _ in range(5)} | {new_key("ci")}
    assert len({Keyring.parse(text, "x").key(text.partition(":")[0]) for text in made}) == 6
    with pytest.raises(UserError, match="no name"):
        new_key("a b")


def test_keys_from_the_environment_and_from_a_file(root, record, signed, monkeypatch, tmp_path):
    """Either is found; a file that others can read is refused, and so is one without keys."""
    wrote = signed().put(record("a"), {"m": {1}}, SCOPE)
    with pytest.raises(UserError, match=f"{root}.*no key.*{KEYS}.*{KEYS_FILE}.*store key"):
        StepStore.open(root, trust="signed")
    file = tmp_path / "keys"
    file.write_text(f"# rotation of May\n{TWO}\n{ONE}\n")
    file.chmod(0o600)
    monkeypatch.setenv(KEYS_FILE, str(file))
    assert StepStore.open(root, trust="signed").get(wrote.key, SCOPE) == wrote
    for mode in (0o640, 0o604, 0o602):
        file.chmod(mode)
        with pytest.raises(UserError, match=r"others can read or change .*chmod 0600"):
            StepStore.open(root, trust="signed")
    file.chmod(0o600)
    file.write_text("secret words")
    with pytest.raises(UserError) as caught:
        StepStore.open(root, trust="signed")
    assert "secret" not in str(caught.value)
    monkeypatch.setenv(KEYS_FILE, str(tmp_path / "none"))
    with pytest.raises(UserError, match="cannot be read"):
        StepStore.open(root, trust="signed")
    monkeypatch.setenv(KEYS, ONE)
    assert StepStore.open(root, trust="signed").get(wrote.key, SCOPE) == wrote


def test_auto_signs_where_others_can_write_and_there_are_keys(root, record, monkeypatch):
    """A private folder stays local; a shared one is data-only without keys."""
    StepStore.open(root)
    monkeypatch.setenv(KEYS, ONE)
    assert StepStore.open(root).trust == "local"
    root.chmod(0o777)
    store = StepStore.open(root)
    assert store.trust == "signed"
    assert pickle.loads(pickle.dumps(store)).trust == "signed"
    monkeypatch.delenv(KEYS)
    assert StepStore.open(root).trust == "data-only"


def test_keys_are_for_signed_stores(root):
    """Keys beside another trust are a mistake, told before anything is opened."""
    with pytest.raises(UserError, match="trust='signed'"):
        open_store_at(root, trust="data-only", keys=ONE)
    assert open_store_at(root, keys=ONE).trust == "signed"


def test_keys_do_not_travel(root, signed, caplog):
    """Neither a pickle nor a repr nor the log has them, and what holds them refuses to be pickled."""
    caplog.set_level(logging.DEBUG)
    store = signed()
    signer = store._site.signer
    for thing in (store, store._source, signer, store._source.keys, store._site):
        assert "1111" not in repr(thing)
    for thing in (store, store._source):
        assert b"1111" not in pickle.dumps(thing)
        assert b"\x11" * 8 not in pickle.dumps(thing)
    for thing in (signer, store._source.keys):
        with pytest.raises(TypeError, match="not pickled"):
            pickle.dumps(thing)
    assert pickle.loads(pickle.dumps(store)) is store  # in the same process it is the same store
    assert "1111" not in caplog.text


def test_a_source_gives_keys_wherever_the_store_is_opened(root, record, signed):
    """A store that names its source asks it in each process; one that has none says so."""
    wrote = signed().put(record("a"), {"m": {1}}, SCOPE)
    register("vault", lambda name: {"signing_keys": ONE} if name == "tune" else {})
    store = open_store_at(root, trust="signed", source="vault/tune")
    assert store.get(wrote.key, SCOPE) == wrote
    with pytest.raises(UserError, match="vault/none has none"):
        open_store_at(root, trust="signed", source="vault/none")
    assert not Source("vault/tune").options()


PROCESS = """
import pickle, sys
from prefect_tune.errors import UserError
try:
    store = pickle.loads(bytes.fromhex(sys.argv[1]))
except UserError as error:
    print(error); sys.exit(3)
found = store.get(sys.argv[2], "ab12")
print(store.trust, store.load(found, "m") if found else None)
"""


def test_each_process_finds_its_keys_itself(root, record, signed, monkeypatch):
    """A copy of the store in another process: with the key it reads, with another one it knows nothing,
    without it says what is missing."""
    wrote = signed().put(record("a"), {"m": {1}}, SCOPE)
    travelling = pickle.dumps(signed()).hex()

    def process(**keys: str) -> subprocess.CompletedProcess:
        env = {name: value for name, value in os.environ.items() if name not in (KEYS, KEYS_FILE)}
        command = [sys.executable, "-W", "ignore", "-c", PROCESS, travelling, wrote.key]
        return subprocess.run(
            command, env=env | keys, capture_output=True, text=True, timeout=60, check=False
        )

    assert process(**{KEYS: ONE}).stdout.strip() == "signed {1}"
    assert process(**{KEYS: TWO}).stdout.strip() == "signed None"
    without = process()
    assert without.returncode == 3
    assert str(root) in without.stdout
    assert KEYS in without.stdout


# -- journals ------------------------------------------------------------------------------------------


def write(store: StepStore, key: str, *values: object) -> Path:
    journal = store.journal(key)
    journal.append([{"n": value} for value in values])
    journal.close()
    return journal.path


def test_journals_are_signed_line_by_line(root, key, signed):
    """With a key they go on, after a change of keys too; each line is signed for the one before it."""
    path = write(signed(), key("s"), 1, 2)
    write(signed(f"{TWO} {ONE}"), key("s"), 3)
    assert [line["n"] for line in signed(f"{ONE} {TWO}").journal_lines(key("s"))] == [1, 2, 3]
    assert [line["n"] for line in signed(ONE).journal_lines(key("s"))] == [1, 2]
    assert [line["n"] for line in StepStore.open(root).journal_lines(key("s"))] == [1, 2, 3]
    first, _, third = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + third)
    assert [line["n"] for line in signed(f"{ONE} {TWO}").journal_lines(key("s"))] == [1]


def test_a_line_without_key_ends_the_journal_and_is_kept_aside(root, key, signed):
    """Somebody without a key adds a line, whose digest is right; a whole journal of his counts as none."""
    path = write(signed(), key("s"), 1)
    write(StepStore.open(root), key("s"), "forged")
    assert [line["n"] for line in signed().journal_lines(key("s"))] == [1]
    write(signed(), key("s"), 2)
    assert [line["n"] for line in signed().journal_lines(key("s"))] == [1, 2]
    assert len(list(path.parent.glob("*.old"))) == 1
    write(signed(TWO), key("s"), 9)  # with a wrong key nothing is known, and nothing is lost
    kept = max(path.parent.glob("*.old"), key=lambda file: file.stat().st_mtime_ns)
    path.write_bytes(kept.read_bytes())
    assert [line["n"] for line in signed().journal_lines(key("s"))] == [1, 2]


def test_a_journal_under_the_name_of_another_search_counts_as_none(root, key, signed):
    """Lines are signed for their search."""
    path = write(signed(), key("s"), 1)
    put(path.with_name(f"{key('t')}.jsonl"), path.read_bytes())
    assert signed().journal_lines(key("t")) == []


def test_what_is_not_promised_a_shorter_journal_passes(root, key, signed):
    """An earlier state of the same journal verifies: nothing that lies in the folder shows a rollback."""
    path = write(signed(), key("s"), 1)
    earlier = path.read_bytes()
    write(signed(), key("s"), 2)
    path.write_bytes(earlier)
    assert [line["n"] for line in signed().journal_lines(key("s"))] == [1]


def test_a_journal_that_is_a_link_is_not_followed(root, tmp_path, key):
    """Who can write in the folder cannot have another file of this user cut to nothing."""
    (tmp_path / "precious").write_text("words")
    (root / "journal").mkdir(parents=True)
    (root / "journal" / f"{key('s')}.jsonl").symlink_to(tmp_path / "precious")
    with pytest.raises(OSError, match="symbolic link"):
        Journal.open(root, key("s"))
    assert (tmp_path / "precious").read_text() == "words"


# -- in a bucket ---------------------------------------------------------------------------------------


@pytest.fixture
def bucket():
    return MemoryBucket()


@pytest.fixture
def host(tmp_path, bucket):
    """The store on another host each time."""
    count = iter(range(100))

    def new(keys=ONE, trust="signed"):
        source = Source(keys=Keyring.parse(keys, "test")) if keys else None
        tier = tmp_path / f"tier-{next(count)}"
        return open_bucket_store(bucket, url="s3://bucket/x", trust=trust, cache=tier, source=source)

    return new


def test_a_signed_bucket(host, bucket, record, key):
    """What one host signed another reads, models too; with another key it is a miss, and computed again."""
    a = host()
    a.put(record("fit"), {"m": {1}}, SCOPE)
    a.put_pack([record("score", values={"score": 1.0})], SCOPE)
    ref = a.put_blob({"data"})
    write(a, key("s"), 1)
    b, c = host(), host(TWO)
    assert b.load(b.get(key("fit"), SCOPE), "m") == {1}
    assert b.get(key("score"), SCOPE)
    assert b.load_blob(ref) == {"data"}
    assert b.journal_lines(key("s")) == [{"n": 1}]
    assert c.lookup([key("fit"), key("score")], SCOPE) == {}
    assert c.journal_lines(key("s")) == []
    with pytest.raises(MissingBlob):
        c.load_blob(ref)
    assert c.put(record("fit"), {"m": {2}}, SCOPE).key_id == "two"
    assert host(TWO).get(key("fit"), SCOPE).key_id == "two"
    assert host("", "data-only").get(key("score"), SCOPE)  # JSON is read whoever signed


@pytest.mark.parametrize(
    "plant", [unsigned, wrong_key, made_up_signature, in_a_pack], ids=lambda p: p.__name__
)
def test_a_gadget_in_a_bucket_never_fires(host, bucket, record, key, mark, tmp_path, plant):
    """Planted under a step's name, it is not even fetched; who computes the step replaces it."""
    host()
    put(tmp_path / "copy" / "FORMAT", bucket.objects["FORMAT"])
    ref = plant_blob(tmp_path / "copy", Gadget(mark))
    plant(tmp_path / "copy", key("a"), ref, None)
    for path in (tmp_path / "copy").rglob("*"):
        if path.is_file():
            bucket.objects[str(path.relative_to(tmp_path / "copy"))] = path.read_bytes()
    bucket.asked.clear()
    b = host()
    assert b.get(key("a"), SCOPE) is None
    with pytest.raises(MissingBlob):
        b.load_blob(ref)
    assert not [name for name in bucket.requests("get") if name.startswith("cas/")]
    b.put(record("a"), {"m": {1}}, SCOPE)
    assert host().load(host().get(key("a"), SCOPE), "m") == {1}
    assert not mark.exists()


def test_a_bucket_whose_journal_somebody_else_signed_keeps_it(host, bucket, key):
    """Who opens it with another key starts anew, and removes nothing of what was there."""
    write(host(), key("s"), 1)
    journal = host().journal(key("s"))
    journal.append([{"n": 2}])
    before = {name for name in bucket.objects if name.startswith("journal/")}
    journal.close()
    write(host(TWO), key("s"), 9)
    assert before <= set(bucket.objects)


def test_a_signed_bucket_without_a_key_is_refused(bucket, tmp_path):
    """Before the bucket is asked for anything."""
    with pytest.raises(UserError, match=r"s3://bucket/x.*no key"):
        open_bucket_store(bucket, url="s3://bucket/x", trust="signed", cache=tmp_path / "tier")
    assert bucket.asked == []


def test_a_bucket_is_signed_if_there_are_keys(bucket, tmp_path, monkeypatch):
    """`auto`, too; a URL that was named as trusted stays local."""
    monkeypatch.setenv(KEYS, ONE)
    assert open_bucket_store(bucket, url="s3://bucket/x", cache=tmp_path / "a").trust == "signed"
    monkeypatch.setenv("PREFECT_TUNE_TRUSTED", "s3://bucket")
    assert open_bucket_store(bucket, url="s3://bucket/x", cache=tmp_path / "b").trust == "local"
    assert default_cache()  # nothing was written there


# -- signatures ----------------------------------------------------------------------------------------


def test_a_signature_is_pinned():
    """A change of what is signed makes a signed store one of misses: then the domain's number rises."""
    signer = Signer(Keyring.parse(ONE, "test"), "a store")
    mac = b"d48ec4416b4100873827544b337221d3420a612b973c76d2373f40f186724571"  # signature/1
    assert signer.sign(MANIFEST, "a key", b'{"a":1}') == b'{"a":1,"mac":"%s","key_id":"one"}' % mac


@pytest.mark.parametrize(
    "other",
    [("pack", "name", b'{"a":1}', "s"), ("manifest", "nam", b'{"a":1}', "s"),
     ("manifest", "name", b'{"a":2}', "s"),
     ("manifest", "name", b'{"a":1}', "t"), ("manifestn", "ame", b'{"a":1}', "s")],
)  # fmt: skip
def test_everything_is_in_the_signature(other):
    """Kind, name, bytes and store; parts cannot be shifted into each other."""
    ring = Keyring.parse(ONE, "test")
    kind, name, document, store_id = other
    signed = Signer(ring, "s").sign("manifest", "name", b'{"a":1}')
    tail = signed[len(b'{"a":1') :]
    assert Signer(ring, "s").verifies("manifest", "name", signed)
    assert not Signer(ring, store_id).verifies(kind, name, document[:-1] + tail)
