"""The step store: what steps left behind, by key.

Rule 1: trouble never fails a search. What cannot be read is a miss; what cannot be written is counted, said
once, and the caller goes on with what it computed. Only opening, and ingesting data, can raise.
Rule 2: nothing is unpickled unless nobody else can write in the store, or somebody with a key signed the
record that names it; and its digest was just verified.
Rule 3: no locks. Entries are immutable and appear whole, so any number of processes may share a folder.
"""

from __future__ import annotations

import dataclasses
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from prefect_tune.store import care
from prefect_tune.store.actions import Actions
from prefect_tune.store.blobs import Blobs, Unreadable
from prefect_tune.store.codec import CODECS, decode, encode
from prefect_tune.store.container import Bytes
from prefect_tune.store.failpoints import failpoint
from prefect_tune.store.fs import Fs, PosixFs
from prefect_tune.store.home import is_url
from prefect_tune.store.journal import Journal
from prefect_tune.store.opening import Opened, open_site
from prefect_tune.store.packs import Packs
from prefect_tune.store.records import DIGEST_PREFIX, BlobRef, Record, check_names, is_digest
from prefect_tune.store.remote.sources import Source
from prefect_tune.store.scratch import Scratch
from prefect_tune.store.signals import Counters, MissingBlob, Problem, unavailable
from prefect_tune.store.site import creator, hash_buffers, is_lasting
from prefect_tune.store.uses import Uses
from prefect_tune.store.vouchers import Vouchers, unsigned_entries

_reopened: dict[tuple[int, str, str, Source], StepStore] = {}
_reopening = threading.Lock()

Encoded = dict[str, tuple[str, list[Bytes]]]

_NOWHERE = Source()
# Indices that change under a sparse matrix lead outside its memory; under an array they are other numbers.
_COPIED = {"local": (), "data-only": ("sparse",), "signed": CODECS}


class StepStore:
    """One folder of records and blobs; open it with `StepStore.open`. Pickles as its root and trust; a copy
    in another process finds the keys of a signed store there, or says that it has none.

    Attributes:
        root: the folder.
        store_id: random name it got when created.
        writable: False once the folder turned out to be read-only or full; hits still work.
        trust: "local"; where others can write "signed" or "data-only"; `trust_reason` says why.
        counters: hits, misses, writes, bytes and faults since it was opened.
    """

    def __init__(self, opened: Opened, asked: str, source: Source = _NOWHERE) -> None:
        site = opened.site
        self.root, self.store_id = Path(site.root), opened.store_id
        self.trust, self.trust_reason, self.writable = opened.trust, opened.trust_reason, opened.writable
        self._site, self._asked, self._source = site, asked, source
        self._unpickles = self.trust in ("local", "signed")
        self._blobs, self._actions = Blobs(site, _COPIED[self.trust]), Actions(site)
        self._packs, self._scratch, self._uses = Packs(site), Scratch(site), Uses(site)
        self._vouchers = Vouchers(site, lambda key: self._find((key,), "0").get(key), self._settle)

    @classmethod
    def open(cls, root: Path | str, *, fs: Fs | None = None, trust: str = "auto") -> StepStore:
        """The store in that folder, created if it is missing (0700), or in a bucket: `s3://bucket/prefix`.

        Args:
            root: the folder, or a URL (see `open_store_at`).
            fs: system calls to use; the real ones by default.
            trust: "auto", "local" (raises if others can write there), "data-only" (reads no pickles) or
                "signed" (reads what somebody with a key signed; see `open_store_at`).

        Raises StoreUnavailable when the folder can be neither created nor read, UserError for a signed store
        without a key.
        """
        if is_url(root):
            from prefect_tune.store.at import open_store_at

            return open_store_at(root, trust=trust)
        path = os.path.abspath(os.path.expanduser(os.fspath(root)))
        return cls(open_site(path, fs or PosixFs(), trust), trust)

    def __reduce__(self) -> tuple:
        return _reopen, (str(self.root), "signed" if self.trust == "signed" else self._asked, self._source)

    def __repr__(self) -> str:
        return f"StepStore({str(self.root)!r}, trust={self.trust!r}, writable={self.writable})"

    @property
    def counters(self) -> Counters:
        return self._site.counters

    @property
    def place(self) -> str:
        """What `StepStore.open` takes to open this store again, anywhere: the folder, or the URL."""
        return str(self.root)

    # Records

    def lookup(self, keys: Iterable[str], scope: str) -> dict[str, Record]:
        """The records of those keys that are known, from manifests and from packs of the scope.

        Of two under one key the earlier wins, then the manifest. Raises ValueError for what is no key or
        scope.
        """
        wanted = dict.fromkeys(keys)
        check_names(scope, wanted)
        found = self._find(wanted, scope)
        self.counters.add(hits=len(found), misses=len(wanted) - len(found))
        return {key: found[key] for key in wanted if key in found}

    def get(self, key: str, scope: str) -> Record | None:
        """The record of one key, or `None`."""
        return self.lookup((key,), scope).get(key)

    def put(self, record: Record, outputs: Mapping[str, object], scope: str, durable: bool = False) -> Record:
        """The record now stored under its key, with its outputs: ours, or that of whoever was first.

        Blobs are written before the manifest. If nothing could be stored, the record comes back without
        outputs. `durable` waits for the disk: worth it above a second of work. `scope` is checked only: keys
        of manifests are unique across scopes. Raises TypeError for `values` that have no JSON form.
        """
        check_names(scope, (record.key,))
        record = dataclasses.replace(
            record, outputs=(), created=record.created or time.time(), creator=record.creator or creator(),
            mac="", key_id="",
        )  # fmt: skip
        record.to_json()  # a misuse raises before anything is written
        if (winner := self._winner(record.key)) is not None:
            return winner
        encoded = self._encode(outputs)
        if encoded is None or not self._can_write():
            return record
        try:
            return self._put(record, encoded, durable)
        except OSError as error:
            self._degrade(error)
            return record

    def put_pack(self, records: Sequence[Record], scope: str, *, durable: bool = False) -> str:
        """Name of the one file that now holds the records; empty if it could not be written.

        Raises ValueError for records with outputs, TypeError for values that have no JSON form.
        """
        check_names(scope, ())
        if not records or not self._can_write():
            return ""
        try:
            name = self._packs.put(records, scope, durable=durable)
            failpoint("F5")
            return name
        except OSError as error:
            self._degrade(error)
            return ""

    # Blobs

    def load(self, record: Record, name: str, *, writable: bool = False) -> Any:
        """The output of that name; arrays are read-only views on a map.

        Args:
            writable: arrays are private copies on write instead.

        Raises MissingBlob when it cannot be had: compute the step again. A bad record has been removed.
        """
        ref = next((ref for ref in record.outputs if ref.name == name), None)
        if ref is None:
            raise MissingBlob(record.key, f"it has no output {name!r}")
        if ref.codec == "pickle" and not self._vouchers.hold(record):
            raise MissingBlob(record.key, f"its output {name!r} is a pickle, and nobody with a key signed it")
        return self._load(record.key, ref, writable, lambda: self._actions.drop(record.key))

    def put_blob(self, value: object, codec: str | None = None) -> BlobRef:
        """Where the value now lies, by its content alone.

        A read-only store serves what it already has. Raises StoreUnavailable when the value is not there and
        cannot be written: without it no step can run elsewhere.
        """
        name, buffers = encode(value, codec)
        cause: OSError | None = None
        if self.writable:
            try:
                ref = self._blobs.put("data", name, buffers)
                self._vouchers.write(ref)
                self._uses.data(ref.digest)
                return ref
            except OSError as error:
                self._degrade(error)
                cause = error
        digest, size = hash_buffers(buffers)
        ref = BlobRef(name="data", digest=DIGEST_PREFIX + digest, size=size, codec=name)
        if self._blobs.usable(ref):
            return ref
        why = f"{size} bytes of data cannot be written: {cause or 'it is read-only'}"
        raise unavailable(str(self.root), why, "Free space, or name another folder.") from cause

    def load_blob(self, ref: BlobRef, *, writable: bool = False) -> Any:
        """The value that `put_blob` stored; raises MissingBlob, with the digest as key."""
        if not is_digest(ref.digest):
            raise ValueError(f"store: {ref.digest!r} is no digest.")
        if ref.codec == "pickle" and not self._vouchers.stand_for(ref):
            raise MissingBlob(ref.digest, "it is a pickle, and nobody with a key says that it may be read")
        self._uses.data(ref.digest)
        return self._load(ref.digest, ref, writable, lambda: None)

    def has_blob(self, digest: str) -> bool:
        """Whether a file is there for that digest; its bytes are verified when loaded."""
        return is_digest(digest) and self._blobs.has(digest)

    # Housekeeping

    def scratch(self, run_id: str) -> Path:
        """A private folder for files of one run, the same for the same run; in `tmp/` if it can be."""
        return self._scratch.open(run_id, inside=self.writable)

    def drop_scratch(self, run_id: str) -> None:
        """Removes the run's folder and what is in it."""
        self._scratch.drop(run_id)

    def usage(self) -> dict[str, dict[str, int]]:
        """Files and bytes per area, and their total."""
        return care.usage(self._site)

    def verify(self) -> list[Problem]:
        """Every entry that does not verify; changes nothing."""
        return care.verify(self._site) + unsigned_entries(self._site)

    def clear(self, older_than_seconds: float | None = None) -> int:
        """Bytes freed by removing all entries, or those that nobody wrote or renewed for so long.

        Blobs that a remaining manifest points to stay; files in `tmp/` stay for an hour.
        """
        freed = care.clear(self._site, older_than_seconds)
        self._packs.forget()
        self._blobs.forget()
        return freed

    def make_room(self, budget: int, *, grace: float = 86_400.0) -> int:
        """Bytes freed to bring the folder into its budget (bytes), sparing what is younger than the grace."""
        from prefect_tune.store import gc

        freed = gc.make_room(self._site, budget, grace=grace) if self.writable else 0
        self._packs.forget()
        return freed

    def release(self, keys: Iterable[str]) -> int:
        """Bytes freed by removing what is stored under `keys`; blobs that others point to stay."""
        keys = list(keys)
        check_names("0", keys)
        freed = care.release(self._site, keys) if self.writable else 0
        self._blobs.forget()
        return freed

    # What a search decided

    def journal(self, key: str, *, fresh: bool = False) -> Journal:
        """The journal of the search with that key, locked for this process (see `Journal.open`)."""
        return Journal.open(self.root, key, fresh=fresh, signer=self._site.signer)

    def journal_lines(self, key: str) -> list[dict[str, Any]]:
        """What that journal holds; somebody else may be writing it."""
        return Journal.read(self.root, key, self._site.signer)

    # Files of one run

    def share(self, path: Path | str) -> None:
        """Nothing; a file in a run's scratch folder can be read by workers that do not see the folder."""

    def read_shared(self, path: Path | str) -> bytes | None:
        """The bytes of a file that was shared, under the path that it had; None without them."""
        return None

    # How it is done

    def _find(self, wanted: Iterable[str], scope: str) -> dict[str, Record]:
        found = self._packs.read_many(wanted, scope)
        listed = self._actions.read_many(wanted)
        self._uses.records(listed)
        for key, record in listed.items():
            if key not in found or record.created <= found[key].created:
                found[key] = record
        return {key: record for key, record in found.items() if self._may_use(record)}

    def _winner(self, key: str) -> Record | None:
        """The record that is already stored and, as far as sizes tell, whole."""
        record = self._actions.read(key)
        if record is None or not self._may_use(record):
            return None
        if not any(map(self._blobs.gone, record.outputs)):
            return record
        self._actions.drop(key)
        return None

    def _encode(self, outputs: Mapping[str, object]) -> Encoded | None:
        try:
            encoded = {name: encode(value) for name, value in outputs.items()}
        except Exception as error:  # pickling runs foreign code
            self.counters.refuse("not picklable")
            self._site.notices.once("pickle", f"store: not cacheable: {type(error).__name__}: {error}")
            return None
        if not self._unpickles and any(codec == "pickle" for codec, _ in encoded.values()):
            self.counters.refuse("pickle in a data-only store")
            return None
        return encoded

    def _put(self, record: Record, encoded: Encoded, durable: bool) -> Record:
        refs = [
            self._blobs.put(name, codec, buffers, durable=durable)
            for name, (codec, buffers) in encoded.items()
        ]
        failpoint("F4")
        ours = self._vouchers.signed(dataclasses.replace(record, outputs=tuple(refs)))
        stored = self._settle(ours, durable)
        failpoint("F5")
        if stored is None:
            self.counters.refuse("key held by a newer version")
            return ours
        return stored if self._may_use(stored) else record

    def _settle(self, ours: Record, durable: bool) -> Record | None:
        """The record that now holds the key, whoever wrote it; None for one of a newer version."""
        return self._actions.put(ours, durable=durable)

    def _may_use(self, record: Record) -> bool:
        if self._unpickles or all(ref.codec != "pickle" for ref in record.outputs):
            self._vouchers.notice(record)
            return True
        self.counters.refuse("pickle in a data-only store")
        return False

    def _load(self, key: str, ref: BlobRef, writable: bool, drop: Callable[[], None]) -> Any:
        # What a caller's digest names may be anything: only a pickle is known to be signed by now.
        unpickle = self.trust == "local" or (self._unpickles and ref.codec == "pickle")
        if ref.codec == "pickle" and not unpickle:
            self.counters.refuse("pickle in a data-only store")
            raise MissingBlob(key, f"its output {ref.name!r} is a pickle, and {self.trust_reason}")
        try:
            source = self._blobs.open(ref, writable=writable)
        except Unreadable as error:
            if error.gone:
                drop()
            raise MissingBlob(key, error.reason) from error
        try:
            return decode(ref.codec, source, unpickle=unpickle)
        except Exception as error:  # unpickling runs foreign code
            # Kept, the record would win over every one that comes after it.
            drop()
            self.counters.refuse("cannot be decoded")
            raise MissingBlob(
                key, f"{ref.name!r} cannot be decoded: {type(error).__name__}: {error}"
            ) from error

    def _can_write(self) -> bool:
        if not self.writable:
            self.counters.refuse("read-only")
            self._site.notices.once("degraded", f"store: {self.root}: cache read-only, hits still work.")
        return self.writable

    def _degrade(self, error: OSError) -> None:
        # Before the warning: where warnings are errors, the store must be in order already.
        self.writable = self.writable and not is_lasting(error)
        self._site.write_failed(error)


def remembered_here(store: StepStore) -> StepStore:
    """The store, which copies of it that come back to this process are, too: they bring no keys along."""
    with _reopening:
        _reopened[os.getpid(), str(store.root), store.trust, Source(store._source.name)] = store
    return store


def _reopen(root: str, trust: str, source: Source = _NOWHERE) -> StepStore:
    """The store of this process for that folder: unpickled copies share what was read and verified."""
    who = (os.getpid(), root, trust, source)
    with _reopening:
        if who not in _reopened:
            _reopened[who] = StepStore(open_site(root, PosixFs(), trust, source=source), trust, source)
        return _reopened[who]
