"""What a signed store says of its entries: which pickles may be read by their digest, and what is unsigned.

A worker is told the digest of its data, and no record: whoever can start a task run could name any bytes. So
in a signed store a pickle that is read by its digest has a record of its own, its voucher, signed as all are.
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable, Iterator

from blake3 import blake3

from prefect_tune.store.actions import check_manifest
from prefect_tune.store.fs import quietly
from prefect_tune.store.packs import MAX_PACK, check_pack
from prefect_tune.store.records import MAX_RECORD, BlobRef, Record
from prefect_tune.store.signals import Problem
from prefect_tune.store.signing import UNSIGNED
from prefect_tune.store.site import Site, creator

KIND = "voucher"
DATA = "data"
"""Kind of the records whose outputs are read by digest."""


class Vouchers:
    """The vouchers of one store; where nothing is signed, everything passes.

    Args:
        site: of the store.
        read: gives the verified record of a key, wherever the store has it, or None.
        settle: stores a record.
    """

    def __init__(
        self, site: Site, read: Callable[[str], Record | None], settle: Callable[[Record, bool], object]
    ) -> None:
        self._site, self._read, self._settle = site, read, settle
        self._noticed: set[str] = set()
        self._standing: set[str] = set()

    def signed(self, record: Record) -> Record:
        """The record, signed if the store is."""
        return record if self._site.signer is None else self._site.signer.sign_record(record)

    def hold(self, record: Record) -> bool:
        """Whether the pickles of a record, wherever it comes from, may be read as far as signatures go."""
        return self._site.signer is None or self._site.signer.holds(record) or self._refused()

    def notice(self, record: Record) -> None:
        """Nothing; what a verified record of data names will get a voucher when it is read by its digest."""
        if self._site.signer is not None and record.kind == DATA:
            self._noticed.update(ref.digest for ref in record.outputs if ref.codec == "pickle")

    def write(self, ref: BlobRef) -> None:
        """Nothing; the store says that these bytes, which this process wrote, may be unpickled.

        Raises OSError.
        """
        if self._site.signer is None or ref.codec != "pickle" or self._stands(ref):
            return
        named = dataclasses.replace(ref, name=DATA)
        record = Record(
            key=key_of(ref.digest), kind=KIND, outputs=(named,), created=time.time(), creator=creator()
        )
        self._settle(self.signed(record), False)
        self._standing.add(ref.digest)

    def stand_for(self, ref: BlobRef) -> bool:
        """Whether somebody with a key said that these bytes may be unpickled."""
        if self._site.signer is None or self._stands(ref):
            return True
        if ref.digest not in self._noticed:
            return self._refused()
        try:
            self.write(ref)
        except OSError as error:
            self._site.write_failed(error)
        return True

    def _refused(self) -> bool:
        self._site.counters.refuse("not signed")
        return False

    def _stands(self, ref: BlobRef) -> bool:
        if ref.digest in self._standing:
            return True
        record = self._read(key_of(ref.digest))
        if record is None or record.kind != KIND or [out.digest for out in record.outputs] != [ref.digest]:
            return False
        quietly(self._site.fs.touch, self._site.manifest(record.key))  # it is in use: no collector's business
        self._standing.add(ref.digest)
        return True


def key_of(digest: str) -> str:
    """Key of the voucher for the bytes of that digest; no step has it."""
    return blake3(f"prefect-tune/voucher/1:{digest}".encode()).hexdigest()


def unsigned_entries(site: Site) -> list[Problem]:
    """The entries whose digests verify and that nobody with a key signed; none if the store is not signed."""
    if site.signer is None:
        return []
    problems = []
    for path in _files(f"{site.root}/ac"):
        data = _bytes(site, path, 2 * MAX_RECORD)
        if check_manifest(os.path.basename(path), data, site.signer)[1] == UNSIGNED:
            problems.append(Problem(path, UNSIGNED))
    for path in _files(f"{site.root}/packs"):
        scope, name = os.path.basename(os.path.dirname(path)), os.path.basename(path)
        if check_pack(name, _bytes(site, path, MAX_PACK), scope, site.signer)[1] == UNSIGNED:
            problems.append(Problem(path, UNSIGNED))
    return problems


def _files(folder: str) -> Iterator[str]:
    for place, _, names in os.walk(folder):
        yield from (f"{place}/{name}" for name in sorted(names))


def _bytes(site: Site, path: str, limit: int) -> bytes:
    try:
        return site.fs.read(path, limit)
    except OSError:
        return b""
