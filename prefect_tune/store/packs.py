"""Packs: many small records in one immutable file, named by its digest.

Rule 1: a pack is verified when it is read, once per process; only new names are read afterwards.
Rule 2: of several records under one key the earliest (created, pack name) wins, in
whatever order packs are read.
Rule 3: a pack that does not verify is put aside; its records are misses.
Rule 4: in a signed store a pack is signed as a whole, for its scope; one that is not holds misses, and stays.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Iterable, Sequence

import orjson
from blake3 import blake3

from prefect_tune.store.fs import quietly
from prefect_tune.store.records import (
    COLUMNS,
    CREATED,
    SCHEMA,
    Record,
    dump,
    from_row,
    is_key,
    to_row,
)
from prefect_tune.store.signing import PACK, UNSIGNED, Signer
from prefect_tune.store.site import Site, creator, discard, publish, write_temp
from prefect_tune.store.values import thaw

MAX_PACK = 1 << 30
_SHAPE = {"schema": SCHEMA, "kind": "pack", "columns": list(COLUMNS)}


class _Scope:
    """What is known of one folder of packs."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self.rows: dict[str, tuple[float, str, list]] = {}
        self.ready: dict[str, Record | None] = {}


class Packs:
    """The packs of one store; parsed ones are kept in memory."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._lock = threading.Lock()
        self._scopes: dict[str, _Scope] = {}

    def put(self, records: Sequence[Record], scope: str, *, durable: bool = False) -> str:
        """Name of the pack; OSError if it was not written.

        Raises ValueError for a record with outputs: a pack cannot be dropped key by key.
        """
        now, who = time.time(), creator()
        rows = []
        for record in records:
            if record.outputs:
                raise ValueError(f"pack: record {record.key[:16]}… has outputs. Store it with put().")
            filled = {"created": record.created or now, "creator": record.creator or who}
            rows.append(to_row(dataclasses.replace(record, **filled)))  # type: ignore[arg-type]
        data = dump({**_SHAPE, "rows": rows})
        if self._site.signer is not None:
            data = self._site.signer.sign(PACK, scope, data)
        temp = write_temp(self._site, [data], durable=durable)
        path = f"{self._site.scope(scope)}/{temp.digest}"
        if publish(self._site, temp, path):
            self._site.counters.add(writes=1, bytes_written=temp.size)
        else:
            discard(self._site, temp)
            quietly(self._site.fs.touch, path)
        return temp.digest

    def read_many(self, keys: Iterable[str], scope: str) -> dict[str, Record]:
        """The records of those keys that a pack of the scope holds."""
        with self._lock:
            known = self._refresh(scope)
            found = {}
            for key in keys:
                if key not in known.rows:
                    continue
                if key not in known.ready:
                    known.ready[key] = from_row(known.rows[key][2])
                if (record := known.ready[key]) is not None:
                    found[key] = record
            return found

    def forget(self) -> None:
        """Reads everything again at the next lookup."""
        with self._lock:
            self._scopes.clear()

    def _refresh(self, scope: str) -> _Scope:
        known = self._scopes.setdefault(scope, _Scope())
        try:
            names = self._site.fs.listdir(self._site.scope(scope))
        except OSError:
            return known
        for name in sorted(set(names) - known.seen):
            rows = self._rows(f"{self._site.scope(scope)}/{name}", name, scope)
            if rows is None:
                continue
            known.seen.add(name)
            for row in rows:
                self._add(known, name, row)
        return known

    def _rows(self, path: str, name: str, scope: str) -> list | None:
        """Rows of a pack, none if it is damaged or foreign; `None` if it could not be read this time."""
        if not is_key(name):
            return []
        try:
            data = self._site.fs.read(path, MAX_PACK)
        except OSError:
            return None
        self._site.counters.add(bytes_read=len(data))
        rows, fault = check_pack(name, data, scope, self._site.signer)
        if fault == UNSIGNED:
            self._site.unsigned(path)
        elif fault:
            self._site.quarantine(path, fault)
        return rows

    @staticmethod
    def _add(known: _Scope, name: str, row: object) -> None:
        if type(row) is not list or len(row) != len(COLUMNS) or type(row[0]) is not str:
            return
        try:
            created = thaw(row[CREATED])
        except (ValueError, OverflowError, RecursionError):
            return
        if type(created) is not float or created != created or row[4]:
            return
        before = known.rows.get(row[0])
        if before is None or (created, name) < before[:2]:
            known.rows[row[0]] = (created, name, row)
            known.ready.pop(row[0], None)


def check_pack(name: str, data: bytes, scope: str = "", signer: Signer | None = None) -> tuple[list, str]:
    """The rows in a pack's bytes, and what is wrong with them; no rows and no fault for a foreign schema.

    Args:
        scope: that it lies in, which its signature is for.
        signer: of a signed store; None: the digest is enough.
    """
    if blake3(data).hexdigest() != name:
        return [], "the pack's digest is not its name"
    if signer is not None and not signer.verifies(PACK, scope, data):
        return [], UNSIGNED
    try:
        document = orjson.loads(data)
    except ValueError:
        return [], "the pack is no JSON"
    if type(document) is not dict or type(document.get("rows")) is not list:
        return [], "the pack is malformed"
    if any(document.get(name) != expected for name, expected in _SHAPE.items()):
        return [], ""
    return document["rows"], ""
