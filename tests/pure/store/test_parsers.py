"""Whatever lies in a store, reading it is no error: manifests, packs, journals and blobs made of any bytes.

What verifies must be what was written. The attacker of these tests works out digests himself: they are no
secret. Without a key nothing of his counts in a signed store; in another one at most what he says is said.
"""

from __future__ import annotations

import contextlib
import json
import warnings

import numpy as np
import orjson
import pytest
from blake3 import blake3
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prefect_tune.store import BlobRef, Record, StepStore, StoreWarning, open_store_at
from prefect_tune.store.actions import check_manifest, seal
from prefect_tune.store.container import MAGIC, BadBlob, aligned, unpack
from prefect_tune.store.journal import Journal, Marker, encode_lines, verified_lines
from prefect_tune.store.packs import _SHAPE, check_pack
from prefect_tune.store.records import COLUMNS, dump, from_row, is_digest, to_row
from prefect_tune.store.remote.journal import Segment
from prefect_tune.store.signing import MANIFEST, PACK, Keyring, Signer
from prefect_tune.store.values import thaw

from .conftest import SCOPE

KEY = "ab" * 32
DIGEST = "b3-256:" + "cd" * 32
SIGNER = Signer(Keyring({"one": b"1" * 32}), "a store")
many = settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])

BLOB = BlobRef(name="m", digest=DIGEST, size=9, codec="pickle")
RECORD = Record(
    key=KEY, kind="fit", outputs=(BLOB,), values={"score": 0.5, "n": [1, ("a", None)]}, created=1.0
)
SCORE = Record(key=KEY, kind="score", values={"score": 0.5}, created=1.0)

# Texts that were trouble for parsers elsewhere: tags of ours, paths, numbers beyond every size, no Unicode.
texts = st.text(max_size=8) | st.sampled_from(
    ["f:", "f:0x1p99999", "f:nan", "n:" + "f" * 18, "n:zz", "i:", "i:0x" + "f" * 500, "t:", "s:\0",
     "../../etc", DIGEST + "/..", "b3-256:../" + "c" * 61, KEY, KEY.upper(), "１" * 64, DIGEST]
)  # fmt: skip
numbers = st.integers() | st.sampled_from([2**63, -(2**64), 10**400, 0, True]) | st.floats()
plain = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
deep = st.sampled_from(["[" * n + "]" * n for n in (900, 1_020, 5_000)] + ['{"a":' * 900 + "1" + "}" * 900])


@st.composite
def documents(draw) -> bytes:
    """JSON near a record: fields changed, missing, doubled; and what is only nearly JSON."""
    fields = dict(zip(COLUMNS, to_row(RECORD), strict=True))
    parts = [f'"schema":{draw(st.sampled_from(["1", "1", "1", "2", "true", "1.0", "null", "1e0"]))}']
    for name, value in fields.items():
        kind = draw(st.sampled_from(["same"] * 12 + ["other", "deep", "gone", "twice"]))
        text = json.dumps(value)
        if kind == "other":
            text = json.dumps(draw(plain))
        elif kind == "deep":
            text = draw(deep)
        if kind != "gone":
            parts.append(f'"{name}":{text}')
        if kind == "twice":
            parts.append(f'"{name}":{json.dumps(draw(plain))}')
    return ("{" + ",".join(parts) + "}").encode("utf-8", "surrogatepass")


def mutated(data: bytes) -> st.SearchStrategy[bytes]:
    """The bytes with some of them changed, cut out or put in."""
    edits = st.lists(
        st.tuples(st.integers(0, len(data)), st.integers(0, 3), st.binary(max_size=3)), min_size=1, max_size=3
    )

    def apply(changes):
        out = bytearray(data)
        for place, removed, added in changes:
            out[place : place + removed] = added
        return bytes(out)

    return edits.map(apply)


def sane(record: Record | None) -> None:
    """Nothing, or a record that can be written again, and leads nowhere but to blobs."""
    if record is not None:
        assert record.key == KEY
        assert all(is_digest(ref.digest) and ref.size > 0 for ref in record.outputs)


# -- manifests -----------------------------------------------------------------------------------------


@many
@given(
    st.binary(max_size=300)
    | documents()
    | mutated(seal(RECORD.to_json()))
    | plain.map(json.dumps).map(str.encode)
)
def test_manifests_of_any_bytes(data):
    """As they are, and with a right digest: a record or a miss. Signed is none of them."""
    for file in (data, seal(data)):
        record, fault = check_manifest(KEY, file)
        assert record is None or not fault
        sane(record)
        assert check_manifest(KEY, file, SIGNER)[0] is None


@many
@given(mutated(SIGNER.sign_record(RECORD).to_json()))
def test_signed_manifests_cannot_be_changed(document):
    """Of a signed manifest no byte is free: what still counts is what was signed."""
    record, _ = check_manifest(KEY, seal(document), SIGNER)
    assert record in (None, SIGNER.sign_record(RECORD))
    assert record is None or document == record.to_json()


@many
@given(documents())
def test_a_holder_of_a_key_that_writes_nonsense(document):
    """Signed nonsense is a miss, too: a signature is no reason to believe a form."""
    sane(check_manifest(KEY, seal(SIGNER.sign(MANIFEST, KEY, document)), SIGNER)[0])


# -- packs ---------------------------------------------------------------------------------------------


@st.composite
def packs(draw) -> bytes:
    """JSON near a pack."""
    rows = [to_row(SCORE)]
    for _ in range(draw(st.integers(0, 3))):
        row = to_row(SCORE)
        row[draw(st.integers(0, len(row) - 1))] = draw(plain)
        rows.append(draw(st.sampled_from([row, row[:-1], row * 2])))
    rows += draw(st.lists(plain, max_size=2))
    shape = {**_SHAPE, **draw(st.dictionaries(st.sampled_from([*_SHAPE, "rows", "more"]), plain, max_size=1))}
    return json.dumps({**shape, "rows": rows} | draw(st.sampled_from([{}, {"rows": 1}]))).encode()


@many
@given(
    st.binary(max_size=200)
    | packs()
    | mutated(dump({**_SHAPE, "rows": [to_row(SCORE)]}))
    | deep.map(str.encode)
)
def test_packs_of_any_bytes(in_memory, data):
    """Under their right name: their rows are records or misses; in a signed store there are none."""
    name = blake3(data).hexdigest()
    rows, fault = check_pack(name, data)
    assert not (rows and fault)
    for row in rows:
        sane_or_none = from_row(row)
        assert sane_or_none is None or len(sane_or_none.key) == 64
    assert check_pack(name, data, SCOPE, SIGNER)[0] == []
    assert check_pack(name, SIGNER.sign(PACK, SCOPE, data), SCOPE, SIGNER)[0] == []  # its name is another now
    read_from_a_store(in_memory, f"packs/{SCOPE}/{name}", data)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("created", '"n:' + "f" * 18 + '"'),
        ("created", "[" * 1_000 + "]" * 1_000),
        ("created", '"f:0x1p99999"'),
        ("created", "null"),
        ("seconds", '"n:' + "0" * 40 + '"'),
        ("values", '{"a":' * 1_000 + "1" + "}" * 1_000),
        ("values", '{"a":"n:' + "f" * 18 + '"}'),
    ],
)
def test_what_was_trouble(in_memory, column, value):
    """A float of too many digits, and lists deeper than Python's stack: misses, in manifests and packs."""
    plain = SCORE.to_json().decode()
    old = json.dumps(json.loads(plain)[column], separators=(",", ":"))
    document = plain.replace(f'"{column}":{old}', f'"{column}":{value}').encode()
    assert value.encode() in document
    assert check_manifest(KEY, seal(document))[0] is None
    row = ",".join(json.dumps(item) for item in to_row(SCORE))
    row = row.replace(json.dumps(to_row(SCORE)[COLUMNS.index(column)]), value, 1)
    assert value in row
    pack = dump({**_SHAPE, "rows": []}).replace(b'"rows":[]', f'"rows":[[{row}]]'.encode())
    read_from_a_store(in_memory, f"packs/{SCOPE}/{blake3(pack).hexdigest()}", pack)


def read_from_a_store(folder, place: str, data: bytes) -> None:
    """Looks everything up in two stores that hold these bytes, one of them signed."""
    for trust in ("data-only", "signed"):
        root = folder / trust
        keys = f"one:{'11' * 32}" if trust == "signed" else None
        store = open_store_at(root, trust=trust, keys=keys)
        path = root / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", StoreWarning)
            found = store.get(KEY, SCOPE)
            store.verify()
        assert found is None or (trust == "data-only" and found.key == KEY)
        path.unlink(missing_ok=True)


# -- journals ------------------------------------------------------------------------------------------

LINES = [{"event": "told", "value": 0.5}, {"event": "asked", "n": 7}]


@st.composite
def journals(draw) -> bytes:
    """Lines whose digests are right, and whose texts are anything."""
    marker, last, data = Marker(KEY), "", b""
    for _ in range(draw(st.integers(1, 4))):
        value = draw(plain.map(json.dumps).map(str.encode) | deep.map(str.encode) | st.binary(max_size=20))
        text = value.replace(b"\n", b" ").replace(b"\r", b" ")
        last = marker.check(last, text)
        data += last.encode() + b" " + text + b"\n"
    return data


@many
@given(st.binary(max_size=200) | journals() | mutated(encode_lines(LINES, "", Marker(KEY))[0]))
def test_journals_of_any_bytes(data):
    """Lines up to the first that is none; signed there are none at all."""
    lines, good, _ = verified_lines(data, Marker(KEY))
    assert all(type(line) is dict for line in lines)
    assert verified_lines(data[:good], Marker(KEY))[0] == lines or lines != lines  # NaN is not itself
    assert verified_lines(data, Marker(KEY, SIGNER))[:2] == ([], 0)


@many
@given(mutated(encode_lines(LINES, "", Marker(KEY, SIGNER))[0]))
def test_signed_journals_cannot_be_changed(data):
    """What counts is a beginning of what was written."""
    lines, _, _ = verified_lines(data, Marker(KEY, SIGNER))
    assert lines == LINES[: len(lines)]


@many
@given(st.binary(max_size=100) | plain.map(json.dumps).map(str.encode) | deep.map(str.encode))
def test_segments_of_any_bytes(data):
    """What a bucket has of a journal is a segment or none."""
    Segment.from_bytes(3, data)


def test_a_journal_with_a_nonsense_line_can_be_opened(tmp_path):
    """A line that verifies and is no JSON ends the journal, which goes on from there."""
    path = tmp_path / "journal" / f"{KEY}.jsonl"
    path.parent.mkdir()
    good, last = encode_lines(LINES, "")
    path.write_bytes(good + Marker(KEY).check(last, b"nonsense").encode() + b" nonsense\n")
    journal = Journal.open(tmp_path, KEY)
    assert (journal.lines, journal.torn) == (LINES, 1)
    journal.append([{"n": 1}])
    journal.close()
    assert Journal.read(tmp_path, KEY) == [*LINES, {"n": 1}]


# -- values, blobs, FORMAT -----------------------------------------------------------------------------


def parsed(text: str) -> object:
    try:
        return orjson.loads(text)
    except ValueError:
        return None


@many
@given(plain | deep.map(parsed))
def test_values_of_any_form(value):
    """`thaw` gives a value or one of the errors that its callers know."""
    with contextlib.suppress(ValueError, OverflowError, RecursionError, TypeError):
        thaw(value)


@many
@given(
    st.binary(max_size=100),
    st.integers(0, 2**64 - 1) | st.integers(0, 100),
    plain | st.fixed_dictionaries({"codec": st.just("pickle"), "meta": st.just({}), "segments": plain}),
)
def test_blobs_of_any_bytes(tail, length, header):
    """A blob's header is one of ours or `BadBlob`, and its segments lie within it."""
    text = json.dumps(header).encode()
    for size in (length, len(text)):
        data = MAGIC + size.to_bytes(8, "little") + text + tail
        try:
            _, places = unpack("pickle", aligned(data, False))
        except BadBlob:
            continue
        assert all(0 <= start <= start + size <= max(len(data), start) for start, size in places)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"schema":2}', '{"schema":1,"digest":"b3-256","store_id":7}', "[" * 5_000,
     '{"schema":1,"digest":"md5","store_id":"x"}'],
)  # fmt: skip
def test_format_of_any_bytes(root, text):
    """A store whose FORMAT is nonsense is unavailable, which every caller knows."""
    from prefect_tune.errors import StoreUnavailable

    StepStore.open(root)
    (root / "FORMAT").unlink()
    (root / "FORMAT").write_text(text)
    with pytest.raises(StoreUnavailable):
        StepStore.open(root)


def test_no_array_is_made_of_nonsense(root, record):
    """The control of this file: what was written in earnest comes back."""
    store = StepStore.open(root)
    wrote = store.put(record("a"), {"X": np.arange(3)}, SCOPE)
    assert store.load(store.get(wrote.key, SCOPE), "X").tolist() == [0, 1, 2]
