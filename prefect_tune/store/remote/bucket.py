"""What a store asks of a bucket: the half-dozen requests, and the one error they raise."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


class BucketError(OSError):
    """A request that failed; the text names no secret.

    Args:
        code: an `errno`: EACCES (refused), ENODEV (no such bucket), EFBIG (larger than allowed), else EIO.
        text: in words.
    """

    def __init__(self, code: int, text: str) -> None:
        super().__init__(code, text)

    def __str__(self) -> str:
        return str(self.strerror)

    @property
    def refused(self) -> bool:
        """Whether asking again gives the same answer."""
        return self.errno in (errno.EACCES, errno.ENODEV)


@dataclass(frozen=True, slots=True)
class Entry:
    """An object of a bucket: its name below the prefix, its bytes, when it was written (Unix time)."""

    name: str
    size: int
    written: float


class Bucket(Protocol):
    """Objects under one prefix; names are those of files below a store's folder. Raises BucketError."""

    def get(self, name: str, limit: int) -> tuple[bytes, str] | None:
        """The object's bytes and its tag, None without it; BucketError (EFBIG) above `limit` bytes."""

    def parts(self, name: str, size: int) -> Iterator[bytes]:
        """The first `size` bytes of a large object, piece by piece; fewer if it is shorter."""

    def size(self, name: str) -> int | None:
        """Bytes of the object, None without it."""

    def create(self, name: str, data: bytes) -> bool:
        """Whether the object is now there with these bytes because it was absent."""

    def replace(self, name: str, data: bytes, tag: str) -> bool:
        """Whether the object had that tag, and now has these bytes."""

    def upload(self, name: str, path: Path) -> None:
        """The object has the file's bytes, whatever was there."""

    def entries(self, prefix: str) -> list[Entry]:
        """The objects whose name starts with that folder, which ends in a slash, in order of their names."""

    def delete(self, names: Iterable[str]) -> None:
        """The objects are gone; absent ones do not matter."""
