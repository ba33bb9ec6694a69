"""Journals: what a search decided, line by line, in the order in which it was decided.

Rule 1: a line is on disk before it is acted on. It carries the digest of its text and of the line before, so
a torn end and a changed line both show.
Rule 2: one process at a time writes a journal; the kernel frees the lock when that process ends.
Rule 3: a journal that cannot be written is said once; the search goes on and cannot be resumed.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self

import orjson
from blake3 import blake3

from prefect_tune.errors import UserError
from prefect_tune.store.records import is_key
from prefect_tune.store.values import freeze, thaw

_CHECK = 32  # hex digits of a line's digest


class JournalBusy(UserError):
    """Another process runs this search."""


class Journal:
    """The journal of one search; open it with `Journal.open`.

    Attributes:
        path: the file.
        lines: what it held when it was opened.
        torn: lines at the end that did not verify and were cut off.
    """

    def __init__(
        self, path: Path, descriptor: int, lines: list[dict[str, Any]], torn: int, last: str
    ) -> None:
        self.path, self.lines, self.torn = path, lines, torn
        self._descriptor: int | None = descriptor
        self._last = last

    @classmethod
    def open(cls, root: Path | str, key: str, *, fresh: bool = False) -> Self:
        """The journal of that search in the store's folder, locked for this process.

        Args:
            root: folder of the store.
            key: of the search, 64 hex digits.
            fresh: put what is there aside and begin anew.

        Raises:
            JournalBusy: another process has it.
            OSError: the folder cannot be written.
        """
        if not is_key(key):
            raise ValueError(f"journal: {key!r} is not 64 lower-case hex digits.")
        folder = Path(root) / "journal"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = folder / f"{key}.jsonl"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _lock(descriptor, path)
            if fresh:
                _put_aside(descriptor, path)
            lines, good, last = _read(descriptor)
            size = os.lseek(descriptor, 0, os.SEEK_END)
            torn = 0
            if good < size:
                torn = 1
                os.ftruncate(descriptor, good)
            os.lseek(descriptor, good, os.SEEK_SET)
        except BaseException:
            os.close(descriptor)
            raise
        return cls(path, descriptor, lines, torn, last)

    @staticmethod
    def read(root: Path | str, key: str) -> list[dict[str, Any]]:
        """What the journal of that search holds; empty without one. Somebody else may be writing it."""
        if not is_key(key):
            raise ValueError(f"journal: {key!r} is not 64 lower-case hex digits.")
        try:
            return verified_lines((Path(root) / "journal" / f"{key}.jsonl").read_bytes())[0]
        except OSError:
            return []

    def append(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """Nothing; the lines are on disk.

        Raises:
            OSError: they could not be written.
        """
        assert self._descriptor is not None  # not after close
        data, last = encode_lines(lines, self._last)
        if data:
            start = os.lseek(self._descriptor, 0, os.SEEK_CUR)
            try:
                _write(self._descriptor, data)
                os.fdatasync(self._descriptor)
            except OSError:
                with contextlib.suppress(OSError):
                    os.ftruncate(self._descriptor, start)
                    os.lseek(self._descriptor, start, os.SEEK_SET)
                raise
            self._last = last

    def rewrite(self, data: bytes) -> None:
        """Nothing; the file holds these lines instead, which verify."""
        assert self._descriptor is not None
        os.ftruncate(self._descriptor, 0)
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        _write(self._descriptor, data)
        os.fdatasync(self._descriptor)
        self.lines, _, self._last = verified_lines(data)

    def close(self) -> None:
        """Gives the lock back."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _lock(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise JournalBusy(
            f"the search of {path.name[:12]}… is being run by another process; wait for it, or give this one "
            "another name=."
        ) from error


def _put_aside(descriptor: int, path: Path) -> None:
    """Keeps what is there under another name: a journal is history."""
    if os.fstat(descriptor).st_size:
        os.lseek(descriptor, 0, os.SEEK_SET)
        data = Path(path).read_bytes()
        Path(f"{path}.{blake3(data).hexdigest()[:8]}.old").write_bytes(data)
        os.ftruncate(descriptor, 0)


def _read(descriptor: int) -> tuple[list[dict[str, Any]], int, str]:
    """(lines, bytes that verify, digest of the last line)."""
    os.lseek(descriptor, 0, os.SEEK_SET)
    with os.fdopen(os.dup(descriptor), "rb") as file:
        return verified_lines(file.read())


def verified_lines(data: bytes) -> tuple[list[dict[str, Any]], int, str]:
    """(lines, bytes that verify, digest of the last line) of what a journal's file holds."""
    lines: list[dict[str, Any]] = []
    good, last = 0, ""
    for raw in data.splitlines(keepends=True):
        check, _, text = raw.rstrip(b"\n").partition(b" ")
        if not raw.endswith(b"\n") or check.decode("ascii", "replace") != _check(last, text):
            break
        lines.append(thaw(orjson.loads(text)))
        good, last = good + len(raw), check.decode()
    return lines, good, last


def encode_lines(lines: Iterable[Mapping[str, Any]], last: str) -> tuple[bytes, str]:
    """(bytes of those lines, digest of the last one) after a line with that digest."""
    parts = []
    for line in lines:
        text = orjson.dumps(freeze(dict(line)))
        last = _check(last, text)
        parts.append(last.encode() + b" " + text + b"\n")
    return b"".join(parts), last


def _check(last: str, text: bytes) -> str:
    return blake3(last.encode() + b"\n" + text).hexdigest()[:_CHECK]


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
