"""A bucket in memory, which tests can damage, refuse and take away, and which remembers what it was asked."""

from __future__ import annotations

import errno
import hashlib
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

from prefect_tune.store.remote.bucket import BucketError, Entry


class MemoryBucket:
    """The objects of one bucket; `down` makes every request fail, `closed` every one that writes."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.asked: list[tuple[str, str]] = []
        self.down = self.closed = False
        self._lock = threading.Lock()

    def get(self, name: str, limit: int) -> tuple[bytes, str] | None:
        self._note("get", name)
        data = self.objects.get(name)
        if data is not None and len(data) > limit:
            raise BucketError(errno.EFBIG, "too large")
        return None if data is None else (data, self._tag(data))

    def parts(self, name: str, size: int) -> Iterator[bytes]:
        self._note("get", name)
        yield from (self.objects[name][i : i + 1000] for i in range(0, size, 1000))

    def size(self, name: str) -> int | None:
        self._note("size", name)
        return len(self.objects[name]) if name in self.objects else None

    def create(self, name: str, data: bytes) -> bool:
        self._note("put", name)
        with self._lock:
            return self.objects.setdefault(name, mine := bytes(bytearray(data))) is mine

    def replace(self, name: str, data: bytes, tag: str) -> bool:
        self._note("put", name)
        with self._lock:
            if name not in self.objects or self._tag(self.objects[name]) != tag:
                return False
            self.objects[name] = bytes(data)
            return True

    def upload(self, name: str, path: Path) -> None:
        self._note("put", name)
        self.objects[name] = Path(path).read_bytes()

    def entries(self, prefix: str) -> list[Entry]:
        self._note("list", prefix)
        assert prefix.endswith("/")
        return [
            Entry(name, len(self.objects[name]), 0.0)
            for name in sorted(self.objects)
            if name.startswith(prefix)
        ]

    def delete(self, names: Iterable[str]) -> None:
        for name in list(names):
            self._note("delete", name)
            self.objects.pop(name, None)

    def requests(self, kind: str) -> list[str]:
        """Names of the requests of that kind."""
        return [name for asked, name in self.asked if asked == kind]

    def damage(self, prefix: str) -> list[str]:
        """Names of the objects of which one bit is now another."""
        names = [name for name in self.objects if name.startswith(prefix)]
        for name in names:
            data = bytearray(self.objects[name])
            data[len(data) // 2] ^= 1
            self.objects[name] = bytes(data)
        return names

    def _note(self, kind: str, name: str) -> None:
        self.asked.append((kind, name))
        if self.down:
            raise BucketError(errno.EIO, "the server cannot be reached")
        if self.closed and kind in ("put", "delete"):
            raise BucketError(errno.EACCES, "access was refused")

    @staticmethod
    def _tag(data: bytes) -> str:
        return hashlib.md5(data).hexdigest()
