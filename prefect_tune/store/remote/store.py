"""The store whose entries are in a bucket: a `StepStore` in a folder that asks there for what it lacks."""

from __future__ import annotations

import dataclasses
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from prefect_tune.errors import StoreUnavailable
from prefect_tune.store.fs import PosixFs
from prefect_tune.store.home import default_cache
from prefect_tune.store.journal import Journal, Marker, verified_lines
from prefect_tune.store.opening import Opened, open_site
from prefect_tune.store.records import BlobRef, Record, is_digest
from prefect_tune.store.remote.bucket import Bucket, BucketError
from prefect_tune.store.remote.inbound import Inbound
from prefect_tune.store.remote.journal import RemoteJournal, read_segments
from prefect_tune.store.remote.line import Line
from prefect_tune.store.remote.outbound import Outbound
from prefect_tune.store.remote.sources import Source
from prefect_tune.store.remote.urls import parse_url
from prefect_tune.store.signals import MissingBlob, Problem
from prefect_tune.store.store import StepStore

MAX_SHARED = 1 << 32  # bytes of what a driver leaves for its workers

_known: dict[tuple[int, str, str], BucketStore] = {}
_lock = threading.RLock()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """What makes a store on object storage, without a secret; this is what travels.

    Attributes:
        url: of the store.
        folder: the tier that is read through.
        store_id: of the store, so that the folder of another one is refused.
        trust: "local", "signed" or "data-only".
        reason: why, for people.
        source: where credentials come from.
    """

    url: str
    folder: str
    store_id: str
    trust: str
    reason: str
    source: Source


class BucketStore(StepStore):
    """A store on object storage; open it with `StepStore.open("s3://bucket/prefix")`.

    What it has here is served from the folder `root`, by memory map; the rest is fetched from the bucket,
    verified and kept. What is put goes to both. Pickles as URL, folder and trust: credentials do not travel.

    Attributes:
        url: of the store.
    """

    def __init__(self, where: Where, opened: Opened, bucket: Bucket | None = None) -> None:
        super().__init__(dataclasses.replace(opened, trust_reason=where.reason), where.trust, where.source)
        self.url, self._where, self._process = where.url, where, os.getpid()
        self._line = Line(self._site, self.url, lambda: bucket or connect(where))
        self._inbound = Inbound(self._site, self._line)
        self._outbound = Outbound(self._site, self._line, self._inbound)

    def __reduce__(self) -> tuple:
        return reopen, (self._where,)

    def __repr__(self) -> str:
        return f"BucketStore({self.url!r}, trust={self.trust!r}, tier={str(self.root)!r})"

    @property
    def place(self) -> str:
        return self.url

    def home_of(self, key: str, scope: str) -> str:
        """The URL: whatever the folder has, the bucket has too."""
        return self.url

    # Records

    def put_pack(self, records: Sequence[Record], scope: str, *, durable: bool = False) -> str:
        """As `StepStore.put_pack`; the pack is in the bucket too."""
        name = super().put_pack(records, scope, durable=durable)
        if name:
            self._outbound.entries([f"{self._site.scope(scope)}/{name}"])
        return name

    def _find(self, wanted: Iterable[str], scope: str) -> dict[str, Record]:
        wanted = list(wanted)
        found = super()._find(wanted, scope)
        missing = [key for key in wanted if key not in found]
        if missing:
            self._inbound.records(missing, scope)
            found |= super()._find(missing, scope)
        return found

    def _settle(self, ours: Record, durable: bool) -> Record | None:
        stored = self._outbound.record(ours)
        return None if stored is None else self._actions.put(stored, durable=durable)

    # Blobs

    def put_blob(self, value: object, codec: str | None = None) -> BlobRef:
        """As `StepStore.put_blob`; the bytes are in the bucket too."""
        ref = super().put_blob(value, codec)
        self._outbound.entries([self._site.blob(ref.digest)])
        return ref

    def has_blob(self, digest: str) -> bool:
        if super().has_blob(digest):
            return True
        if not is_digest(digest):
            return False
        name = self._inbound.name(self._site.blob(digest))
        try:
            return bool(self._line.read(lambda bucket: bucket.size(name)))
        except BucketError:
            return False

    def _load(self, key: str, ref: BlobRef, writable: bool, drop: Callable[[], None]) -> Any:
        if ref.codec == "pickle" and not self._unpickles:
            return super()._load(key, ref, writable, drop)  # which refuses it
        if self._blobs.usable(ref):
            try:
                return super()._load(key, ref, writable, drop)
            except MissingBlob:
                if self._blobs.usable(ref):  # it is whole, and cannot be decoded
                    raise
        if why := self._inbound.blob(ref):
            drop()
            raise MissingBlob(key, why)
        return super()._load(key, ref, writable, drop)

    # Housekeeping

    def verify(self) -> list[Problem]:
        """What does not verify in the folder, and what did not when it came from the bucket.

        An output that was never fetched is no problem.
        """
        here = [problem for problem in super().verify() if not problem.fault.endswith(" another size")]
        return here + self._inbound.problems

    def release(self, keys: Iterable[str]) -> int:
        """Bytes freed in the folder; in the bucket the records go, and their blobs with `sweep`."""
        keys = list(keys)
        freed = super().release(keys)
        names = [self._inbound.name(self._site.manifest(key)) for key in keys]
        if names:
            self._try(lambda bucket: bucket.delete(names))
        return freed

    def sweep(self, older_than_seconds: float = 7 * 86_400.0) -> int:
        """Bytes freed in the bucket by removing blobs that nobody wrote for so long and no record points to.

        Raises BucketError.
        """
        from prefect_tune.store.remote.sweep import sweep

        return sweep(self._line, older_than_seconds)

    def catch_up(self) -> int:
        """How many entries the bucket still lacks, after trying to send those that could not go before."""
        return self._outbound.catch_up()

    # What a search decided, and files of one run

    def journal(self, key: str, *, fresh: bool = False) -> Journal:
        return RemoteJournal.take(self.root, self._line, key, fresh=fresh, signer=self._site.signer)

    def journal_lines(self, key: str) -> list[dict[str, Any]]:
        try:
            found = read_segments(self._line, key, self._site.signer)
        except BucketError:
            return super().journal_lines(key)
        marker = Marker(key, self._site.signer)
        return verified_lines(found.text, marker)[0] if found.kept else super().journal_lines(key)

    def share(self, path: Path | str) -> None:
        """Nothing; workers of other hosts can read the file of a run's scratch folder, by `read_shared`."""
        path = Path(path)
        self._try(lambda bucket: bucket.upload(_shared(path), path))

    def read_shared(self, path: Path | str) -> bytes | None:
        name = _shared(Path(path))
        try:
            found = self._line.read(lambda bucket: bucket.get(name, MAX_SHARED), needed=True)
        except BucketError:
            return None
        return found and found[0]

    def drop_scratch(self, run_id: str) -> None:
        folder = f"tmp/{self.scratch(run_id).name}/"
        super().drop_scratch(run_id)
        self._try(lambda bucket: bucket.delete([entry.name for entry in bucket.entries(folder)]))

    def _try(self, call: Callable[[Bucket], None]) -> None:
        """Asks the bucket for something that changes nothing but the room that is used."""
        try:
            self._line.write(call)
        except BucketError:
            return  # counted and told by the line


def _shared(path: Path) -> str:
    """What a file of a run is called in the bucket; folders of two hosts may differ above the run's."""
    return f"tmp/{path.parent.name}/{path.name}"


def connect(where: Where) -> Bucket:
    """The bucket, with the credentials that this process finds."""
    from prefect_tune.store.remote.s3 import S3Bucket

    return S3Bucket(parse_url(where.url), where.source.options())


def remembered(
    url: str, folder: str, make: Callable[[], BucketStore], *, replace: bool = False
) -> BucketStore:
    """The store of this process for that URL and folder; made if there is none, or to replace it."""
    who = (os.getpid(), url, folder)
    with _lock:
        if replace or who not in _known:
            _known[who] = make()
        return _known[who]


def reopen(where: Where) -> BucketStore:
    """The store in another process: in this host's own folder if that is set, else in the same one if it can.

    A copy that comes back to where it was opened is that store.
    """

    def make() -> BucketStore:
        own = str(default_cache() / where.store_id)
        first, second = (own, where.folder) if os.environ.get("PREFECT_TUNE_CACHE") else (where.folder, own)
        try:
            opened = open_site(first, PosixFs(), where.trust, where.store_id, where.source)
        except StoreUnavailable:
            opened = open_site(second, PosixFs(), where.trust, where.store_id, where.source)
        return BucketStore(where, opened)

    return remembered(f"{where.url} {where.trust}", where.folder, make)
