"""Blobs: immutable bytes under their own digest.

Rule 1: existence, mode and size prove nothing. A blob is read after its full digest was verified in this
process for this very file (device, inode, time, size), or because this process wrote it; pickles are verified
at every load.
Rule 2: bytes that were there first stay; ours are dropped and theirs are touched, which restarts their grace
before eviction. A file of wrong size under the name is replaced by rename, never rewritten.
Rule 3: where others can write, a file that is not this user's alone could change after it was verified. So
codecs that could do harm then are copied first, and it is the copy that is verified and used.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections import OrderedDict
from collections.abc import Collection, Sequence

from blake3 import blake3

from prefect_tune.store.container import Bytes, Source, aligned
from prefect_tune.store.fs import quietly
from prefect_tune.store.records import DIGEST_PREFIX, BlobRef
from prefect_tune.store.site import Site, discard, is_private, publish, write_temp

MAPPED = 1 << 16  # smaller blobs are copied: a map costs a descriptor
_REMEMBERED = 100_000

Identity = tuple[int, int, int, int]


class Unreadable(Exception):
    """A blob that cannot be used.

    Args:
        reason: in words.
        gone: whether it is absent or was put aside, so that its record is worthless.
    """

    def __init__(self, reason: str, *, gone: bool) -> None:
        super().__init__(reason)
        self.reason, self.gone = reason, gone


def identity(found: os.stat_result) -> Identity:
    """What tells one state of a file from another."""
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size


class Blobs:
    """The blobs of one store.

    Args:
        copied: codecs whose bytes are copied from files that others could change.
    """

    def __init__(self, site: Site, copied: Collection[str] = ()) -> None:
        self._site, self._copied = site, copied
        self._lock = threading.Lock()
        self._verified: OrderedDict[Identity, str] = OrderedDict()
        self._maps: weakref.WeakValueDictionary[Identity, Source] = weakref.WeakValueDictionary()

    def put(self, name: str, codec: str, buffers: Sequence[Bytes], *, durable: bool = False) -> BlobRef:
        """Where the bytes now lie; OSError if they could not be written."""
        site = self._site
        temp = write_temp(site, buffers, durable=durable, within="F2")
        digest = DIGEST_PREFIX + temp.digest
        final = site.blob(digest)
        if publish(site, temp, final):
            self._trust(identity(temp.stat), digest)
            site.counters.add(writes=1, bytes_written=temp.size)
        elif self._size(final) == temp.size and self._intact(
            BlobRef(name=name, digest=digest, size=temp.size, codec=codec)
        ):
            discard(site, temp)
            self._renew(final, digest)
        else:
            try:
                site.fs.rename(temp.path, final)
            except BaseException:
                discard(site, temp)
                raise
            self._trust(identity(temp.stat), digest)
        return BlobRef(name=name, digest=digest, size=temp.size, codec=codec)

    def open(self, ref: BlobRef, *, writable: bool = False) -> Source:
        """The verified bytes, mapped if large; `writable` gives a private copy-on-write view.

        Raises Unreadable; bytes that are not what `ref` says are put aside before.
        """
        path = self._site.blob(ref.digest)
        try:
            found = self._site.fs.stat(path)
            if found.st_size != ref.size:
                raise self._bad(path, f"has {found.st_size} bytes instead of {ref.size}")
            copied = ref.codec in self._copied
            source, found, own = self._source(path, found, writable, copied)
        except FileNotFoundError:
            reason = f"store: {path}: is missing under a valid record, which counts as a miss."
            self._site.notices.once("missing", reason)
            self._site.counters.add(corrupt=1)
            raise Unreadable(f"{path} is missing", gone=True) from None
        except OSError as error:
            raise Unreadable(f"{path} cannot be read: {error}", gone=False) from error
        self._verify(path, ref, source, found, known=own)
        self._site.counters.add(bytes_read=ref.size)
        return source

    def _intact(self, ref: BlobRef) -> bool:
        """Whether the bytes that lie there are the right ones; damaged ones are put aside, to be replaced."""
        try:
            self.open(ref)
        except Unreadable:
            return False
        return True

    def usable(self, ref: BlobRef) -> bool:
        """Whether a file of that size is there; says nothing about its bytes."""
        return self._size(self._site.blob(ref.digest)) == ref.size

    def gone(self, ref: BlobRef) -> bool:
        """Whether it is certain that no file of that size is there; a failing disk proves nothing."""
        return self._size(self._site.blob(ref.digest)) not in (ref.size, None)

    def has(self, digest: str) -> bool:
        """Whether a file is there; says nothing about its bytes."""
        return (self._size(self._site.blob(digest)) or 0) > 0

    def forget(self) -> None:
        """Verify everything again."""
        with self._lock:
            self._verified.clear()

    def _source(
        self, path: str, found: os.stat_result, writable: bool, copied: bool
    ) -> tuple[Source, os.stat_result, bool]:
        """(the bytes, the file's state, whether that state says which bytes they are)."""
        if found.st_size < MAPPED:
            # The file may have been replaced since `stat`: then its digest decides.
            return aligned(self._site.fs.read(path, MAPPED), writable), found, True
        known = None if writable else self._maps.get(identity(found))
        if known is not None and (not copied or is_private(found)):
            return known, found, True
        source, found = self._site.fs.map(path, writable)
        if copied and not is_private(found):
            return aligned(bytes(source), writable), found, False
        if not writable:
            self._maps[identity(found)] = source
        return source, found, True

    def _verify(self, path: str, ref: BlobRef, source: Source, found: os.stat_result, *, known: bool) -> None:
        if len(source) != ref.size:
            raise self._bad(path, f"has {len(source)} bytes instead of {ref.size}")
        who = identity(found)
        with self._lock:
            known = known and self._verified.get(who) == ref.digest
        if known and ref.codec != "pickle" and ref.size >= MAPPED:
            return
        digest = blake3(source).hexdigest()  # type: ignore[arg-type]
        if DIGEST_PREFIX + digest != ref.digest:
            raise self._bad(path, "its digest is not its name")
        self._trust(who, ref.digest)

    def _bad(self, path: str, why: str) -> Unreadable:
        self._site.quarantine(path, why)
        return Unreadable(f"{path} {why}", gone=True)

    def _trust(self, who: Identity, digest: str) -> None:
        with self._lock:
            self._verified[who] = digest
            if len(self._verified) > _REMEMBERED:
                self._verified.popitem(last=False)

    def _renew(self, path: str, digest: str) -> None:
        """Touches a blob; if it was verified before, it still is."""
        try:
            before = identity(self._site.fs.stat(path))
            if quietly(self._site.fs.touch, path) and self._verified.get(before) == digest:
                self._trust(identity(self._site.fs.stat(path)), digest)
        except OSError:
            return  # gone in this very moment: a miss later

    def _size(self, path: str) -> int | None:
        """Bytes of the file, -1 without one, `None` if that cannot be told."""
        try:
            return self._site.fs.stat(path).st_size
        except FileNotFoundError:
            return -1
        except OSError:
            return None
