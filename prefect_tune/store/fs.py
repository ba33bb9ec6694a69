"""The dozen system calls that the store makes, behind one object, so that a test can fail any of them.

Rule: nothing in the store's write, read or quarantine path touches the file system but through an `Fs`.
Every method raises `OSError` as the system does. Modes hold whatever the umask is.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
from typing import Protocol


class Fs(Protocol):
    """What the store asks of a file system; paths are texts, files being written are descriptors."""

    def open_new(self, path: str) -> int:
        """A descriptor to write a file that did not exist."""

    def write(self, fd: int, data: memoryview | bytes) -> int:
        """How many bytes were written; may be fewer than given."""

    def allocate(self, fd: int, size: int) -> None:
        """Reserves room, where the file system can: a full disk shows at once, and writing is faster."""

    def chmod(self, fd: int, mode: int) -> None: ...

    def fsync(self, fd: int) -> None: ...

    def fstat(self, fd: int) -> os.stat_result: ...

    def close(self, fd: int) -> None: ...

    def link(self, source: str, target: str) -> None:
        """A second name for a file; FileExistsError if the name is taken. The atomic put-if-absent."""

    def rename(self, source: str, target: str) -> None: ...

    def unlink(self, path: str) -> None: ...

    def mkdir(self, path: str, mode: int) -> None: ...

    def rmdir(self, path: str) -> None: ...

    def listdir(self, path: str) -> list[str]: ...

    def stat(self, path: str) -> os.stat_result: ...

    def touch(self, path: str) -> None:
        """Sets the time of change to now."""

    def read(self, path: str, limit: int) -> bytes:
        """The whole file; OSError (EFBIG) if it is larger than `limit`."""

    def map(self, path: str, writable: bool) -> tuple[mmap.mmap, os.stat_result]:
        """The file in memory, and what `fstat` says of it; `writable` changes a private copy only."""


class PosixFs:
    """The real calls."""

    def open_new(self, path: str) -> int:
        return os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)

    def write(self, fd: int, data: memoryview | bytes) -> int:
        return os.write(fd, data)

    def allocate(self, fd: int, size: int) -> None:
        if hasattr(os, "posix_fallocate"):
            try:
                os.posix_fallocate(fd, 0, size)
            except OSError as error:
                if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS):
                    raise

    def chmod(self, fd: int, mode: int) -> None:
        os.fchmod(fd, mode)

    def fsync(self, fd: int) -> None:
        os.fsync(fd)

    def fstat(self, fd: int) -> os.stat_result:
        return os.fstat(fd)

    def close(self, fd: int) -> None:
        os.close(fd)

    def link(self, source: str, target: str) -> None:
        os.link(source, target)

    def rename(self, source: str, target: str) -> None:
        os.rename(source, target)

    def unlink(self, path: str) -> None:
        os.unlink(path)

    def mkdir(self, path: str, mode: int) -> None:
        os.mkdir(path, 0o700)
        if mode != 0o700 or os.stat(path).st_mode & 0o7777 != mode:
            os.chmod(path, mode)

    def rmdir(self, path: str) -> None:
        os.rmdir(path)

    def listdir(self, path: str) -> list[str]:
        return os.listdir(path)

    def stat(self, path: str) -> os.stat_result:
        return os.stat(path)

    def touch(self, path: str) -> None:
        os.utime(path)

    def read(self, path: str, limit: int) -> bytes:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            size = os.fstat(fd).st_size
            if size > limit:
                raise OSError(errno.EFBIG, f"{size} bytes, at most {limit} are read", path)
            parts = []
            while part := os.read(fd, size + 1):
                parts.append(part)
            return parts[0] if len(parts) == 1 else b"".join(parts)
        finally:
            os.close(fd)

    def map(self, path: str, writable: bool) -> tuple[mmap.mmap, os.stat_result]:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            found = os.fstat(fd)
            if found.st_size == 0:
                raise OSError(errno.EINVAL, "an empty file cannot be mapped", path)
            access = mmap.ACCESS_COPY if writable else mmap.ACCESS_READ
            return mmap.mmap(fd, found.st_size, access=access), found
        finally:
            os.close(fd)


def quietly(call, *args) -> bool:
    """Whether `call` went through; used only where its failure changes nothing (clean-up, touch)."""
    with contextlib.suppress(OSError):
        call(*args)
        return True
    return False
