"""What a step left behind, as a value; how it is written, and the strict parser that reads it back.

Rule 1: nothing read here is trusted. An unknown schema, a wrong type, a digest that is not 64 hex digits or a
size beyond the cap makes the whole record a miss (`None`), never an exception.
Rule 2: floats come back bit for bit (see `values`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from prefect_tune.store.values import freeze, thaw

Raw = bytes  # `bytes` is also a property below
SCHEMA = 1
DIGEST_PREFIX = "b3-256:"
MAX_RECORD = 1 << 20  # bytes of one record as JSON
MAX_BLOB = 1 << 44  # bytes; larger sizes are refused before anything is opened

_KEY = re.compile(r"[0-9a-f]{64}")
_SCOPE = re.compile(r"[0-9a-f]{1,64}")
_DIGEST = re.compile(r"b3-256:[0-9a-f]{64}")


def is_key(text: object) -> bool:
    """Whether `text` is 64 lower-case hex digits."""
    return type(text) is str and _KEY.fullmatch(text) is not None


def is_scope(text: object) -> bool:
    """Whether `text` can name a scope: 1 to 64 lower-case hex digits."""
    return type(text) is str and _SCOPE.fullmatch(text) is not None


def is_digest(text: object) -> bool:
    """Whether `text` is a content digest and nothing that could be a path."""
    return type(text) is str and _DIGEST.fullmatch(text) is not None


def check_names(scope: str, keys: Iterable[str]) -> None:
    """Raises ValueError for a scope or a key that could not be one: both become parts of paths."""
    if not is_scope(scope):
        raise ValueError(f"store: scope {scope!r} is not 1 to 64 lower-case hex digits.")
    for key in keys:
        if not is_key(key):
            raise ValueError(f"store: key {key!r} is not 64 lower-case hex digits.")


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobRef:
    """Where one output lies: its name within the record, the digest and size of its stored bytes."""

    name: str
    digest: str
    size: int
    codec: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What a step left behind.

    Args:
        key: 64 hex digits that name the computation.
        kind: what was computed, e.g. "score", "fit", "transform".
        family: what the cost model groups by, e.g. a class name.
        values: small JSON; floats survive bit for bit.
        outputs: one reference per stored object.
        inputs: keys of the records this one was computed from.
        seconds: what computing it took.
        created: Unix time; 0 is filled in when stored.
        creator: who stored it; empty is filled in when stored.
        explain: digest of the text the key was made of.
    """

    key: str
    kind: str
    family: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)
    outputs: tuple[BlobRef, ...] = ()
    inputs: tuple[str, ...] = ()
    seconds: float = 0.0
    created: float = 0.0
    creator: str = ""
    explain: str = ""
    mac: str = ""  # reserved: signature over schema, store id, key and digests
    key_id: str = ""  # reserved: which key signed
    schema: int = SCHEMA

    @property
    def bytes(self) -> int:
        """Size of all outputs together."""
        return sum(ref.size for ref in self.outputs)

    def to_json(self) -> Raw:
        """The record as one JSON document.

        Raises TypeError for values that have no JSON form, ValueError for a bad key or a record above 1 MiB.
        """
        document = dict(zip(COLUMNS, to_row(self), strict=True))
        data = dump({"schema": SCHEMA, **document})
        if len(data) > MAX_RECORD:
            raise ValueError(f"record {self.key[:16]}…: {len(data)} bytes; at most {MAX_RECORD} are allowed.")
        return data

    @staticmethod
    def from_json(data: Raw) -> Record | None:
        """The record, or `None` if `data` is not one that this version wrote."""
        if len(data) > MAX_RECORD:
            return None
        try:
            document = orjson.loads(data)
        except ValueError:
            return None
        if type(document) is not dict or document.pop("schema", None) != SCHEMA:
            return None
        if document.keys() != set(COLUMNS):
            return None
        return from_row([document[name] for name in COLUMNS])


COLUMNS = (
    "key", "kind", "family", "values", "outputs", "inputs",
    "seconds", "created", "creator", "explain", "mac", "key_id",
)  # fmt: skip
CREATED = COLUMNS.index("created")
_TYPES = [str, str, str, dict, list, list, str, str, str, str, str, str]


def dump(document: Any) -> bytes:
    """JSON bytes; TypeError for texts that are no Unicode."""
    return orjson.dumps(document)


def to_row(record: Record) -> list:
    """The fields in the order of `COLUMNS`, as plain JSON."""
    if not is_key(record.key):
        raise ValueError(f"record: key {record.key!r} is not 64 lower-case hex digits.")
    if record.schema != SCHEMA:
        raise ValueError(
            f"record {record.key[:16]}…: schema {record.schema} cannot be written, only {SCHEMA}."
        )
    return [
        record.key,
        record.kind,
        record.family,
        freeze(dict(record.values), path="values"),
        [[ref.name, ref.digest, ref.size, ref.codec] for ref in record.outputs],
        list(record.inputs),
        freeze(float(record.seconds)),
        freeze(float(record.created)),
        record.creator,
        record.explain,
        record.mac,
        record.key_id,
    ]


def from_row(row: object) -> Record | None:
    """The record of one row, or `None` if anything about it is not as `to_row` writes it."""
    if type(row) is not list or len(row) != len(COLUMNS) or not is_key(row[0]):
        return None
    if list(map(type, row)) != _TYPES:
        return None
    try:
        values = thaw(row[3])
        seconds, created = thaw(row[6]), thaw(row[7])
    except (ValueError, OverflowError, RecursionError, TypeError):
        return None
    outputs = tuple([ref for item in row[4] if (ref := _ref(item))])
    if len(outputs) != len(row[4]) or type(seconds) is not float or type(created) is not float:
        return None
    if not all(map(is_key, row[5])):
        return None
    return Record(
        key=row[0], kind=row[1], family=row[2], values=values, outputs=outputs, inputs=tuple(row[5]),
        seconds=seconds, created=created, creator=row[8], explain=row[9], mac=row[10], key_id=row[11],
    )  # fmt: skip


def _ref(item: object) -> BlobRef | None:
    if type(item) is not list or [type(part) for part in item] != [str, str, int, str]:
        return None
    name, digest, size, codec = item
    if not is_digest(digest) or not 0 < size <= MAX_BLOB:
        return None
    return BlobRef(name=name, digest=digest, size=size, codec=codec)
