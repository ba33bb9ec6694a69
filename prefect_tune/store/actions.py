"""Manifests: one small file per key that says what the computation of that key left behind.

Rule 1: the first manifest of a key stays; whoever comes later continues with it.
Rule 2: the file is the record's JSON and the digest of that JSON. A file that does not verify, or that speaks
of another key, is put aside and counts as a miss; one of a newer schema is a miss and is left alone.
Rule 3: in a signed store a file that nobody with a key signed is a miss before it is parsed. It stays, since
others may have its key, until the same step is stored again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import orjson
from blake3 import blake3

from prefect_tune.store.fs import quietly
from prefect_tune.store.records import MAX_RECORD, SCHEMA, Raw, Record
from prefect_tune.store.signing import MANIFEST, UNSIGNED, Signer
from prefect_tune.store.site import Site, discard, publish, write_temp

LISTED = 8  # from so many keys per folder on, one listing is cheaper than asking for each
_CHECK = 65  # bytes: newline and digest


def seal(document: Raw) -> Raw:
    """The file of a manifest."""
    return document + b"\n" + blake3(document).hexdigest().encode()


def unseal(data: Raw) -> Raw | None:
    """The document, or `None` if the file does not verify."""
    document, check = data[:-_CHECK], data[-_CHECK:]
    return document if check == b"\n" + blake3(document).hexdigest().encode() else None


class Actions:
    """The manifests of one store."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def read(self, key: str) -> Record | None:
        """The record of `key`; `None` if there is none that can be used."""
        return self._read(key)[0]

    def _read(self, key: str) -> tuple[Record | None, str]:
        """The record of `key`, and what is wrong with the file."""
        path = self._site.manifest(key)
        try:
            data = self._site.fs.read(path, MAX_RECORD + _CHECK)
        except OSError:
            return None, ""
        record, fault = check_manifest(key, data, self._site.signer)
        if fault == UNSIGNED:
            self._site.unsigned(path)
        elif fault:
            self._site.quarantine(path, fault)
        return record, fault

    def read_many(self, keys: Iterable[str]) -> dict[str, Record]:
        """The records of those keys that have one."""
        groups: dict[str, list[str]] = defaultdict(list)
        for key in keys:
            groups[key[:2]].append(key)
        found = {}
        for prefix, group in groups.items():
            for key in self._present(prefix, group):
                if (record := self.read(key)) is not None:
                    found[key] = record
        return found

    def _present(self, prefix: str, group: list[str]) -> Iterable[str]:
        if len(group) < LISTED:
            return group
        try:
            return sorted(set(self._site.fs.listdir(f"{self._site.root}/ac/{prefix}")).intersection(group))
        except OSError:
            return ()

    def put(self, record: Record, *, durable: bool = False) -> Record | None:
        """The record that is now stored under the key: ours, or that of whoever was first.

        `None` if the key is held by a manifest that this version cannot read. OSError if it was not written.
        """
        path = self._site.manifest(record.key)
        temp = write_temp(self._site, [seal(record.to_json())], durable=durable)
        winner = None
        for _ in range(2):  # a damaged winner is put aside by `_read`: then the name is free, once more
            if publish(self._site, temp, path):
                self._site.counters.add(writes=1, bytes_written=temp.size)
                return record
            winner, fault = self._read(record.key)
            if winner is not None:
                break
            if fault == UNSIGNED:
                self._site.quarantine(path, fault)
        discard(self._site, temp)
        return winner

    def drop(self, key: str) -> None:
        """Removes the manifest, so that the key is a miss."""
        quietly(self._site.fs.unlink, self._site.manifest(key))


def check_manifest(key: str, data: Raw, signer: Signer | None = None) -> tuple[Record | None, str]:
    """The record in a manifest's bytes, and what is wrong with them; neither for an unknown schema.

    Args:
        signer: of a signed store; None: the digest is enough.
    """
    document = unseal(data)
    if document is None:
        return None, "the manifest does not verify"
    if signer is not None and not signer.verifies(MANIFEST, key, document):
        return None, "" if _is_foreign(document) else UNSIGNED
    record = Record.from_json(document)
    if record is None:
        return None, "" if _is_foreign(document) else "the manifest is malformed"
    if record.key != key:
        return None, "the manifest belongs to another key"
    return record, ""


def _is_foreign(document: Raw) -> bool:
    try:
        plain = orjson.loads(document)
    except ValueError:
        return False
    return type(plain) is dict and plain.get("schema") != SCHEMA
