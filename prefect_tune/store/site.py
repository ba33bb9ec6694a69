"""Where a store's entries lie, how one is written under its name, and how a bad one is put aside.

    FORMAT                          schema, store id, digest algorithm
    ac/<k2>/<key>                   manifest of one key
    cas/b3-256/<d2>/<digest>        blob
    packs/<scope>/<digest>          many small records
    journal/  leases/               reserved
    tmp/                            files being written, scratch folders of runs
    quarantine/                     what failed verification

Rule 1: an entry appears under its name whole or not at all: written in `tmp/`, then linked.
Rule 2: link is put-if-absent, so the first writer wins. Nothing is ever rewritten in place: a file that
shrinks under a map kills the process that reads it.
Rule 3: whatever goes wrong, the file in `tmp/` is removed; a killed process leaves one, which `clear` and the
next opening a day later collect.
"""

from __future__ import annotations

import errno
import itertools
import os
import socket
import stat
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field

from blake3 import blake3

from prefect_tune.store.container import Bytes
from prefect_tune.store.failpoints import failpoint
from prefect_tune.store.fs import Fs, quietly
from prefect_tune.store.signals import Counters, Notices
from prefect_tune.store.signing import UNSIGNED, Signer

AREAS = ("ac", "cas", "packs", "journal", "leases", "quarantine", "tmp")
ENTRY_MODE = 0o444
CHUNK = 1 << 22  # bytes written while they are hashed
THREADED = 1 << 23  # from this size on a second thread hashes
JOINED = 1 << 18  # up to this size the buffers go out in one call

# Hard links are missing on SMB and some FUSE file systems, or used up.
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK}
_FULL = {errno.ENOSPC, errno.EDQUOT}
_DENIED = {errno.EROFS, errno.EACCES, errno.EPERM}
_serial = itertools.count()


@dataclass(slots=True)
class Temp:
    """A file in `tmp/`, complete, not yet under its name."""

    path: str
    digest: str  # hex
    size: int
    stat: os.stat_result


@dataclass(slots=True)
class Site:
    """One store's folder, and what everyone who works on it shares."""

    root: str
    fs: Fs
    mode: int = 0o700  # of folders, taken from the root, so that a shared store stays shared
    counters: Counters = field(default_factory=Counters)
    notices: Notices = field(default_factory=Notices)
    signer: Signer | None = None  # of a signed store: what it does not verify is a miss

    def manifest(self, key: str) -> str:
        return f"{self.root}/ac/{key[:2]}/{key}"

    def blob(self, digest: str) -> str:
        name = digest.rpartition(":")[2]
        return f"{self.root}/cas/b3-256/{name[:2]}/{name}"

    def scope(self, scope: str) -> str:
        return f"{self.root}/packs/{scope}"

    def temp(self) -> str:
        return f"{self.root}/tmp/{os.getpid()}-{next(_serial)}-{os.urandom(6).hex()}"

    def make_parents(self, path: str) -> None:
        """Creates the folders above `path` that are missing, up to the root."""
        parts = os.path.relpath(os.path.dirname(path), self.root).split(os.sep)
        for end in range(1, len(parts) + 1):
            try:
                self.fs.mkdir("/".join([self.root, *parts[:end]]), self.mode)
            except FileExistsError:
                continue

    def quarantine(self, path: str, why: str) -> None:
        """Puts a bad entry aside, counts it, and says so the first time."""
        self.counters.add(corrupt=1)
        aside = f"{self.root}/quarantine/{os.path.basename(path)}.{os.urandom(4).hex()}"
        try:
            self.fs.rename(path, aside)
        except FileNotFoundError:
            quietly(self.make_parents, aside)
            quietly(self.fs.rename, path, aside)
        except OSError:
            pass  # a read-only store keeps it; it is verified, and refused, each time
        self.notices.once("corrupt", f"store: {path}: {why}. It was put aside and counts as a miss.")

    def unsigned(self, path: str) -> None:
        """Counts an entry that nobody with a key signed, and says so the first time; it stays where it is."""
        self.counters.refuse("not signed")
        self.notices.once(
            "unsigned",
            f"store: {path}: {UNSIGNED}. It counts as a miss; whoever computes it again replaces it.",
        )

    def write_failed(self, error: OSError) -> None:
        """Counts a failed write and says so the first time."""
        self.counters.refuse(errno.errorcode.get(error.errno or 0, "OSError"))
        if is_lasting(error):
            what = "store full, continuing uncached" if error.errno in _FULL else "cache read-only"
            self.notices.once("degraded", f"store: {self.root}: {what} ({error}).")
        else:
            self.notices.once("write", f"store: {self.root}: an entry was not written ({error}).")


def is_lasting(error: OSError) -> bool:
    """Whether the next write would fail as well: the disk is full, or writing is not allowed."""
    return error.errno in _FULL | _DENIED


def creator() -> str:
    """Who writes: host and process."""
    return f"{socket.gethostname()}:{os.getpid()}"


def write_temp(site: Site, buffers: Sequence[Bytes], *, durable: bool = False, within: str = "") -> Temp:
    """The buffers as one file in `tmp/`, hashed while they were written.

    Args:
        durable: wait until the bytes are on the disk.
        within: failpoint to pass in the middle of the write.
    """
    return _fill_temp(site, lambda fd: _stream(site.fs, fd, buffers, within), durable)


def receive_temp(site: Site, chunks: Iterable[Bytes], limit: int) -> Temp:
    """Bytes that arrive piece by piece as one file in `tmp/`; OSError (EFBIG) beyond `limit` bytes."""

    def fill(fd: int) -> tuple[str, int]:
        hasher, size = blake3(), 0
        for chunk in chunks:
            size += len(chunk)
            if size > limit:
                raise OSError(errno.EFBIG, f"more than {limit} bytes")
            hasher.update(chunk)
            _write(site.fs, fd, memoryview(chunk))
        return hasher.hexdigest(), size

    return _fill_temp(site, fill, False)


def _fill_temp(site: Site, fill: Callable[[int], tuple[str, int]], durable: bool) -> Temp:
    path = site.temp()
    try:
        fd = site.fs.open_new(path)
    except FileNotFoundError:
        site.make_parents(path)
        fd = site.fs.open_new(path)
    try:
        try:
            digest, size = fill(fd)
            site.fs.chmod(fd, ENTRY_MODE)
            if durable:
                site.fs.fsync(fd)
            found = site.fs.fstat(fd)
        except BaseException:
            quietly(site.fs.close, fd)
            raise
        site.fs.close(fd)  # on a network the last writes fail here
    except BaseException:
        quietly(site.fs.unlink, path)
        raise
    return Temp(path, digest, size, found)


def _stream(fs: Fs, fd: int, buffers: Sequence[Bytes], within: str) -> tuple[str, int]:
    size = sum(map(len, buffers))
    if size <= JOINED:
        buffers = [b"".join(buffers)]
    hasher = blake3()
    threaded = size >= THREADED
    if threaded:
        fs.allocate(fd, size)
    with ThreadPoolExecutor(1, "store-hash") if threaded else nullcontext() as pool:
        for chunk in _chunks(buffers):
            if pool:
                pool.submit(hasher.update, chunk)  # both let go of the interpreter's lock
            else:
                hasher.update(chunk)
            _write(fs, fd, chunk)
            if within:
                failpoint(within)
    return hasher.hexdigest(), size


def _chunks(buffers: Sequence[Bytes]):
    for buffer in buffers:
        view = memoryview(buffer)
        for start in range(0, len(view), CHUNK):
            yield view[start : start + CHUNK]


def _write(fs: Fs, fd: int, chunk: memoryview) -> None:
    while chunk:
        done = fs.write(fd, chunk)
        if done <= 0:
            raise OSError(errno.EIO, "nothing was written")
        chunk = chunk[done:]


def hash_buffers(buffers: Sequence[Bytes]) -> tuple[str, int]:
    """Digest (hex) and size of the blob that the buffers would make."""
    hasher = blake3()
    for chunk in _chunks(buffers):
        hasher.update(chunk)
    return hasher.hexdigest(), sum(map(len, buffers))


def discard(site: Site, temp: Temp) -> None:
    """Removes the file in `tmp/`."""
    quietly(site.fs.unlink, temp.path)


def publish(site: Site, temp: Temp, final: str) -> bool:
    """Whether the file is now at `final`; False if another was there first (ours is kept in `tmp/`).

    On an error the file in `tmp/` is removed.
    """
    try:
        failpoint("F3")
        try:
            won = _link(site, temp.path, final)
        except FileNotFoundError:
            site.make_parents(final)
            won = _link(site, temp.path, final)
    except BaseException:
        discard(site, temp)
        raise
    if won:
        discard(site, temp)
    return won


def _link(site: Site, source: str, target: str) -> bool:
    try:
        site.fs.link(source, target)
        return True
    except OSError as error:
        # Over a network the reply may get lost: a second name of our file says that the link was made.
        if _names(site.fs, source) == 2:
            return True
        if isinstance(error, FileExistsError):
            return False
        if error.errno not in _NO_LINKS:
            raise
    try:
        site.fs.stat(target)
        return False
    except FileNotFoundError:
        site.fs.rename(source, target)
        return True


def _names(fs: Fs, path: str) -> int:
    try:
        return fs.stat(path).st_nlink
    except OSError:
        return 0


def is_private(found: os.stat_result) -> bool:
    """Whether nobody but this user (and root) can write in the folder."""
    owner = getattr(os, "geteuid", lambda: found.st_uid)()
    return found.st_uid == owner and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
