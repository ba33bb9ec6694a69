"""File systems that fail on purpose: the n-th call, or every call that would write. For tests.

`FailNth` numbers the calls of a run from 1 and lets the n-th go wrong; a loop over n until a run meets no
fault visits every place where the world can break (the method SQLite proved).
"""

from __future__ import annotations

import errno
import mmap
import os
from collections.abc import Callable
from typing import Any

from prefect_tune.store.fs import Fs, PosixFs


class Killed(BaseException):
    """The simulated death of the process: no handler may go on, and every later call dies too."""


class Wrapped:
    """An `Fs` that passes every call through `_call`; base of the ones below."""

    def __init__(self, inner: Fs | None = None) -> None:
        self.inner: Fs = inner or PosixFs()

    def _call(self, name: str, *args: Any) -> Any:
        return getattr(self.inner, name)(*args)

    def open_new(self, path: str) -> int:
        return self._call("open_new", path)

    def write(self, fd: int, data: memoryview | bytes) -> int:
        return self._call("write", fd, data)

    def allocate(self, fd: int, size: int) -> None:
        self._call("allocate", fd, size)

    def chmod(self, fd: int, mode: int) -> None:
        self._call("chmod", fd, mode)

    def fsync(self, fd: int) -> None:
        self._call("fsync", fd)

    def fstat(self, fd: int) -> os.stat_result:
        return self._call("fstat", fd)

    def close(self, fd: int) -> None:
        self._call("close", fd)

    def link(self, source: str, target: str) -> None:
        self._call("link", source, target)

    def rename(self, source: str, target: str) -> None:
        self._call("rename", source, target)

    def unlink(self, path: str) -> None:
        self._call("unlink", path)

    def mkdir(self, path: str, mode: int) -> None:
        self._call("mkdir", path, mode)

    def rmdir(self, path: str) -> None:
        self._call("rmdir", path)

    def listdir(self, path: str) -> list[str]:
        return self._call("listdir", path)

    def stat(self, path: str) -> os.stat_result:
        return self._call("stat", path)

    def touch(self, path: str) -> None:
        self._call("touch", path)

    def read(self, path: str, limit: int) -> bytes:
        return self._call("read", path, limit)

    def map(self, path: str, writable: bool) -> tuple[mmap.mmap, os.stat_result]:
        return self._call("map", path, writable)


class FailNth(Wrapped):
    """An `Fs` whose n-th call goes wrong.

    Args:
        n: which call, from 1.
        how: an errno name ("EIO", "ENOSPC", …): that error, nothing done; "after": EIO although it was done
            (a lost reply); "short": half of a write or read, else EIO; "kill": the process dies before the
            call; "torn": half of a write is done, then the process dies.
    """

    def __init__(self, inner: Fs | None, n: int, how: str) -> None:
        super().__init__(inner)
        self.n, self.how = n, how
        self.calls: list[str] = []
        self.dead = False
        self._open: set[int] = set()

    @property
    def fired(self) -> bool:
        """Whether the run came as far as call n."""
        return len(self.calls) >= self.n

    def _call(self, name: str, *args: Any) -> Any:
        if self.dead:
            raise Killed
        self.calls.append(name)
        if len(self.calls) == self.n:
            return self._fail(name, *args)
        return self._do(name, *args)

    def _do(self, name: str, *args: Any) -> Any:
        result = super()._call(name, *args)
        if name == "open_new":
            self._open.add(result)
        if name == "close":
            self._open.discard(args[0])
        return result

    def _fail(self, name: str, *args: Any) -> Any:
        half: Callable[[bytes | memoryview], bytes | memoryview] = lambda data: data[: len(data) // 2]  # noqa: E731
        if self.how in ("kill", "torn"):
            if self.how == "torn" and name == "write":
                self._do(name, args[0], half(args[1]))
            self._die()
        if self.how == "short" and name == "write" and len(args[1]) > 1:
            return self._do(name, args[0], half(args[1]))
        if self.how == "short" and name == "read":
            return half(self._do(name, *args))
        if self.how == "after" or (name == "close" and self.how != "kill"):
            self._do(name, *args)  # a failing close has released the descriptor all the same
        number = getattr(errno, self.how, errno.EIO)
        raise OSError(number, f"call {self.n} ({name}) fails: {self.how}")

    def _die(self) -> None:
        self.dead = True
        for fd in self._open:
            self.inner.close(fd)  # the system does so when a process dies
        raise Killed


class ReadOnlyFs(Wrapped):
    """An `Fs` that answers every writing call with EROFS, as a read-only mount does."""

    READS = frozenset({"fstat", "close", "listdir", "stat", "read", "map"})

    def _call(self, name: str, *args: Any) -> Any:
        if name not in self.READS:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), name)
        return super()._call(name, *args)
