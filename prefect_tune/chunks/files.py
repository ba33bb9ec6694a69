"""Digests of files: every byte is read, in small blocks, and the result is remembered.

Rule 1: path, size and times are never identity. They are the key of a memo that only this machine can hit:
device, inode and change time are in it.
Rule 2: a file younger than two seconds is not remembered: it may be written again within one tick of its
clock.
Rule 3: no file is mapped: mapped pages count as memory of the process that hashes them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from blake3 import blake3

from prefect_tune.errors import DataError
from prefect_tune.identity.encode import hexdigest
from prefect_tune.store import Record, StepStore
from prefect_tune.store.records import is_key

FILE_SCOPE = "f11e"
BLOCK = 2 << 20  # bytes read at once
SETTLED = 2.0  # seconds after which a file's times tell one state of it from the next
_THREADS = 4
_THREADED = 100e-6  # seconds that a file's state takes from which on threads ask for it, as on file servers


@dataclass(frozen=True, slots=True, kw_only=True)
class FileState:
    """A file at one moment: where it is, what its bytes are, and how a change would be noticed."""

    path: str
    digest: str
    size: int
    mtime_ns: int


def file_states(paths: Sequence[str], store: StepStore) -> list[FileState]:
    """The state of each file, in the order of `paths`; files known to the store's memo are not read.

    Raises:
        DataError: a file cannot be read, or changes while it is read.
    """
    with ThreadPoolExecutor(min(_THREADS, os.cpu_count() or 1), "file-hash") as pool:
        found = _stats(paths, pool)
        keys = [_memo_key(path, stat) for path, stat in zip(paths, found, strict=True)]
        known = {key: record.values.get("digest") for key, record in store.lookup(keys, FILE_SCOPE).items()}
        known = {key: value for key, value in known.items() if is_key(value)}
        unknown = [i for i, key in enumerate(keys) if key not in known]
        hashed = pool.map(lambda i: _hash(paths[i], found[i]), unknown)
        fresh = dict(zip(unknown, hashed, strict=True))
    _remember({keys[i]: value for i, value in fresh.items() if _is_settled(found[i])}, store)
    digests = [fresh[i] if i in fresh else known[key] for i, key in enumerate(keys)]
    return [
        FileState(path=path, digest=str(value), size=stat.st_size, mtime_ns=stat.st_mtime_ns)
        for path, stat, value in zip(paths, found, digests, strict=True)
    ]


def _remember(digests: dict[str, str], store: StepStore) -> None:
    records = [Record(key=key, kind="file", values={"digest": value}) for key, value in digests.items()]
    store.put_pack(records, FILE_SCOPE)


def _stats(paths: Sequence[str], pool: ThreadPoolExecutor) -> list[os.stat_result]:
    """What the system says of each file. A local one answers faster than a thread can be asked to ask."""
    few = max(1, len(paths) // 50)
    start = time.perf_counter()
    found = [_stat(path) for path in paths[:few]]
    ask = pool.map if time.perf_counter() - start > _THREADED * few else map
    return [*found, *ask(_stat, paths[few:])]


def _stat(path: str) -> os.stat_result:
    try:
        return os.stat(path)
    except OSError as error:
        raise DataError(f"X: {path!r} cannot be read ({error.strerror}); check the path.") from error


def _memo_key(path: str, found: os.stat_result) -> str:
    return hexdigest("file-memo/v1", os.path.abspath(path), *_marks(found))


def _marks(found: os.stat_result) -> tuple[int, ...]:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _is_settled(found: os.stat_result) -> bool:
    return time.time() - max(found.st_mtime, found.st_ctime) >= SETTLED


def _hash(path: str, before: os.stat_result) -> str:
    """BLAKE3 of the file's bytes, 64 hex digits."""
    total, block = blake3(), bytearray(BLOCK)
    try:
        with open(path, "rb", buffering=0) as file:
            while count := file.readinto(block):
                total.update(memoryview(block)[:count])
            after = os.fstat(file.fileno())
    except OSError as error:
        raise DataError(f"X: {path!r} cannot be read ({error.strerror}); check the path.") from error
    if _marks(after) != _marks(before):
        raise DataError(f"X: {path!r} changed while it was read. Run again when its writer is done.")
    return total.hexdigest()
