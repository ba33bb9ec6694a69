"""Leases: who computes what, so that searches that run at once on one store do not do the same work twice.

Rule 1: a lease saves work and decides nothing. Whatever goes wrong with one, the caller computes; who loses
put-if-absent continues with the winner's result. All lease files may be deleted at any moment.
Rule 2: no clock of another machine is believed. A lease is stale when this process has watched it for a TTL
by its own monotonic clock and its file did not change; or at once, when its holder is a process of this very
machine, boot and process namespace, and is gone.
Rule 3: whoever waits holds no lease that another waits for (see `tasks.turns`), and waits for a limited time.

A lease is a file `leases/NAME`, written in `tmp/` and linked, so that it appears whole and only once. All
leases of one process are names of one file: taking another is one `link`, and the holder's sign of life, a
new time of change every third of a TTL, comes from one thread per process. Stores in buckets have no leases:
conditional puts keep their results right, work may be done twice there.
"""

from __future__ import annotations

import os
import random
import socket
import threading
import time
import uuid
import weakref
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import orjson

from prefect_tune.store.fs import quietly
from prefect_tune.store.home import is_url
from prefect_tune.store.site import Site, discard, write_temp

Found = TypeVar("Found")

VARIABLE = "PREFECT_TUNE_LEASE_TTL"
TTL = 30.0
"""Seconds without a sign of life after which a holder counts as dead; 0 in the variable turns leases off."""
MAX_WAIT = 1800.0
"""Seconds after which who waits computes anyway."""
SOONEST, LATEST = 0.05, 2.0
"""Seconds between two looks of who waits: a quarter of what was waited so far, within these."""
MAX_FILE = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """The process that holds a lease.

    Attributes:
        uuid: of the holder; decides whose lease a file is.
        host: for people.
        machine: boot and process namespace within which `pid` means something; empty if that is unknown.
        pid, start: the process, and when it started, in ticks since the boot.
    """

    uuid: str
    host: str = ""
    machine: str = ""
    pid: int = 0
    start: int = 0

    @classmethod
    def here(cls) -> Holder:
        """A new holder in this process."""
        pid = os.getpid()
        return cls(
            uuid=uuid.uuid4().hex,
            host=socket.gethostname(),
            machine=_machine(),
            pid=pid,
            start=_started(pid) or 0,
        )

    @classmethod
    def read(cls, data: bytes) -> Holder:
        """The holder in a lease file; one of no machine, named by the bytes, if it cannot be read."""
        try:
            return cls(**orjson.loads(data))
        except (ValueError, TypeError):
            return cls(uuid=repr(data))

    def gone(self) -> bool:
        """Whether it is certain that its process has ended."""
        if not (self.machine and self.start and self.machine == _machine()):
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except OSError:
            return False  # somebody else's, and alive
        started = _started(self.pid)
        return started is not None and started != self.start


@dataclass(slots=True)
class _Watched:
    """What was last seen of another's lease, and for how long it has stayed so by our own clock."""

    holder: Holder
    changed: int
    looked: float
    still: float = 0.0


class Leases:
    """The leases that this process takes in one store.

    Args:
        site: the store's folder.
        ttl: seconds; see `TTL`.
        max_wait: seconds; see `MAX_WAIT`.
        clock: monotonic, in seconds.
        pause: sleeps so many seconds.
        heart: whether a thread gives signs of life; without it call `beat`.
        holder: who takes them; this process by default.
    """

    def __init__(
        self,
        site: Site,
        *,
        ttl: float = TTL,
        max_wait: float = MAX_WAIT,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], None] = time.sleep,
        heart: bool = True,
        holder: Holder | None = None,
    ) -> None:
        self.ttl, self.max_wait = ttl, max_wait
        self._site, self._clock, self._pause, self._heart = site, clock, pause, heart
        self.holder = holder or Holder.here()
        self._document = orjson.dumps({name: getattr(self.holder, name) for name in Holder.__slots__})
        self._held: dict[str, int] = {}  # name -> the thread that took it
        self._watched: dict[str, _Watched] = {}
        self._lock = threading.RLock()

    @property
    def held(self) -> frozenset[str]:
        """Names of the leases that this process has, as far as it knows."""
        return frozenset(self._held)

    def take(self, name: str) -> bool:
        """Whether to compute now: the lease is ours, or leases do not work here.

        False: another is at it. Each call is also a look at the other's signs of life; a stale lease is taken
        over. Returns at once.
        """
        with self._lock:
            if name in self._held:
                return self._held[name] == threading.get_ident()
            try:
                if not self._put(name) and not self._take_over(name):
                    return False
            except OSError:
                return True  # without a lease
            self._watched.pop(name, None)
        return True

    def wait(self, name: str, known: Callable[[], Found | None]) -> Found | None:
        """What `known` finds; None when it is to be computed here, with the lease if it could be had.

        Args:
            name: of the lease.
            known: looks for the result; asked again and again, and once more when the lease is ours.
        """
        begun = self._clock()
        while True:
            if (found := known()) is not None:
                return found
            if self.take(name):
                # Who had it may have left its result between our look and our lease.
                if (found := known()) is not None:
                    self.release([name])
                return found
            waited = self._clock() - begun
            if waited >= self.max_wait:
                return None
            # Jitter: several who wait should not look all at once.
            self._pause(min(max(waited / 4, SOONEST), LATEST) * random.uniform(0.5, 1.0))

    def release(self, names: Iterable[str]) -> None:
        """Gives back those that this thread took; one that another has taken over meanwhile stays."""
        with self._lock:
            for name in list(names):
                if self._held.get(name) == threading.get_ident():
                    del self._held[name]
                    with suppress(OSError):
                        if self._read(name).uuid == self.holder.uuid:
                            self._site.fs.unlink(self._path(name))

    def beat(self) -> None:
        """A sign of life of every lease that is held; those that were taken over are forgotten."""
        with self._lock:
            for name in sorted(self._held):
                try:
                    if self._read(name).uuid == self.holder.uuid:
                        self._site.fs.touch(self._path(name))
                    else:
                        del self._held[name]
                except FileNotFoundError:
                    del self._held[name]
                except OSError:
                    continue  # the disk may be better at the next beat

    # How it is done

    def _path(self, name: str) -> str:
        return f"{self._site.root}/leases/{name}"

    def _read(self, name: str) -> Holder:
        return Holder.read(self._site.fs.read(self._path(name), MAX_FILE))

    def _put(self, name: str) -> bool:
        """Whether the lease was free and is now ours."""
        for _ in range(2):
            try:
                self._link(name)
            except OSError as error:
                taken = isinstance(error, FileExistsError)
                try:
                    # Over a network the reply may get lost: then the file that is in our way is our own.
                    ours = self._read(name).uuid == self.holder.uuid
                except FileNotFoundError:
                    if taken:
                        continue  # given back in this moment
                    raise error from None
                if not ours:
                    if taken:
                        return False
                    raise
            self._held[name] = threading.get_ident()
            if self._heart:
                _heart.watch(self)
            return True
        return False

    def _link(self, name: str) -> None:
        """Another name for the file of a lease that we have, else for a new one."""
        fs, path = self._site.fs, self._path(name)
        if (other := next(iter(self._held), None)) is not None:
            try:
                if self._read(other).uuid == self.holder.uuid:
                    fs.link(self._path(other), path)
                    return
            except FileNotFoundError:
                pass
            del self._held[other]  # it was taken over
        temp = write_temp(self._site, [self._document])
        try:
            try:
                fs.link(temp.path, path)
            except FileNotFoundError:
                self._site.make_parents(path)
                fs.link(temp.path, path)
        finally:
            discard(self._site, temp)

    def _take_over(self, name: str) -> bool:
        """Whether another's lease was stale and is now ours."""
        try:
            holder = self._read(name)
            changed = self._site.fs.stat(
                self._path(name)
            ).st_mtime_ns  # after opening it: NFS keeps old times
        except FileNotFoundError:
            return self._put(name)
        now, seen = self._clock(), self._watched.get(name)
        if seen is None or (seen.holder, seen.changed) != (holder, changed):
            self._watched[name] = seen = _Watched(holder, changed, now)
        # Who was stopped itself has seen nothing meanwhile: one look counts for a third of a TTL at most.
        seen.still += min(now - seen.looked, self.ttl / 3)
        seen.looked = now
        if seen.still < self.ttl and not holder.gone():
            return False
        self._steal(name, holder)
        del self._watched[name]
        return self._put(name)

    def _steal(self, name: str, stale: Holder) -> None:
        fs, path, aside = self._site.fs, self._path(name), self._site.temp()
        try:
            fs.rename(path, aside)
        except FileNotFoundError:
            return  # its holder lives, or another was faster
        try:
            moved = Holder.read(fs.read(aside, MAX_FILE))
            if moved != stale:  # another was faster, and has it now
                quietly(fs.link, aside, path)
        finally:
            quietly(fs.unlink, aside)


def _machine() -> str:
    """Boot and process namespace, within which equal process numbers are equal processes; "" if unknown."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return f"{file.read().strip()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _started(pid: int) -> int | None:
    """When a process started, in ticks since the boot; 0 for one that has ended; None if that is unknown."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        return 0 if fields[0] in (b"Z", b"X") else int(fields[19])
    except (OSError, ValueError, IndexError):
        return None


class _Heart:
    """The thread that gives signs of life; it sleeps while no lease is held."""

    def __init__(self) -> None:
        self._wake = threading.Condition()
        self._watched: weakref.WeakSet[Leases] = weakref.WeakSet()
        self._thread: threading.Thread | None = None
        self._asleep = False

    def watch(self, leases: Leases) -> None:
        """Looks after the leases from now on."""
        with self._wake:
            self._watched.add(leases)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="leases", daemon=True)
                self._thread.start()
            elif self._asleep:
                self._wake.notify()

    def _run(self) -> None:
        while True:
            with self._wake:
                while not (busy := [leases for leases in self._watched if leases.held]):
                    self._asleep = True
                    self._wake.wait()
                self._asleep = False
            time.sleep(min(leases.ttl for leases in busy) / 3)
            for leases in busy:
                leases.beat()


_heart = _Heart()
_known: dict[tuple[int, str], Leases] = {}
_knowing = threading.Lock()


def leases_of(store: Any) -> Leases | None:
    """This process's leases in that store; None where there are none: in a bucket, in a store that cannot be
    written, and where the variable PREFECT_TUNE_LEASE_TTL is 0.
    """
    site, ttl = getattr(store, "_site", None), _ttl()
    if not isinstance(site, Site) or not store.writable or is_url(store.place) or ttl <= 0:
        return None
    who = (os.getpid(), site.root)
    with _knowing:
        if who not in _known:
            _known[who] = Leases(site, ttl=ttl)
        return _known[who]


def _ttl() -> float:
    try:
        return float(os.environ.get(VARIABLE, TTL))
    except ValueError:
        return TTL
