"""Journals: what a search decided, line by line, in the order in which it was decided.

Rule 1: a line is on disk before it is acted on. It carries the digest of its text and of the line before, so
a torn end and a changed line both show.
Rule 2: one process at a time writes a journal; the kernel frees the lock when that process ends.
Rule 3: a journal that cannot be written is said once; the search goes on and cannot be resumed.
Rule 4: in a signed store each line is signed too, for this search and for the line before. One that is not
ends the journal, as a torn one does; what is cut off then is kept under another name.

    <32 hex digits> <json>                       the digest of the line before, and of this text
    <32 hex digits>.<key id>:<64 hex digits> <json>   the same in a signed store
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import orjson
from blake3 import blake3

from prefect_tune.errors import UserError
from prefect_tune.store.records import is_key
from prefect_tune.store.signing import Signer
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

    def __init__(self, path: Path, descriptor: int, marker: Marker) -> None:
        self.path, self.lines, self.torn = path, list[dict[str, Any]](), 0
        self._descriptor: int | None = descriptor
        self._marker, self._last = marker, ""

    @classmethod
    def open(cls, root: Path | str, key: str, *, fresh: bool = False, signer: Signer | None = None) -> Self:
        """The journal of that search in the store's folder, locked for this process.

        Args:
            root: folder of the store.
            key: of the search, 64 hex digits.
            fresh: put what is there aside and begin anew.
            signer: of a signed store.

        Raises:
            JournalBusy: another process has it.
            OSError: the folder cannot be written, or the file is a link to another.
        """
        path, marker = _path(root, key), Marker(key, signer)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Whoever can write in the folder could link the name to another file of this user.
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            _lock(descriptor, path)
            if fresh:
                _put_aside(descriptor, path)
            journal = cls(path, descriptor, marker)
            journal._recover(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        return journal

    def _recover(self, descriptor: int) -> None:
        """Reads what is there, and cuts off what does not verify."""
        data = _read(descriptor)
        self.lines, good, self._last = verified_lines(data, self._marker)
        if good < len(data):
            self.torn = 1
            # Whole lines may be a journal under somebody else's key; the rest of one is what a crash leaves.
            if self._marker.signer is not None and b"\n" in data[good:]:
                _keep(self.path, data)
            os.ftruncate(descriptor, good)
        os.lseek(descriptor, good, os.SEEK_SET)

    @staticmethod
    def read(root: Path | str, key: str, signer: Signer | None = None) -> list[dict[str, Any]]:
        """What the journal of that search holds; empty without one. Somebody else may be writing it."""
        try:
            return verified_lines(_path(root, key).read_bytes(), Marker(key, signer))[0]
        except OSError:
            return []

    def append(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """Nothing; the lines are on disk.

        Raises:
            OSError: they could not be written.
        """
        assert self._descriptor is not None  # not after close
        data, last = encode_lines(lines, self._last, self._marker)
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
        self.lines, _, self._last = verified_lines(data, self._marker)

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
        _keep(path, _read(descriptor))
        os.ftruncate(descriptor, 0)
        os.lseek(descriptor, 0, os.SEEK_SET)


def _keep(path: Path, data: bytes) -> None:
    """Writes what a journal held beside it; what has that name already is the same, or not ours to write."""
    aside = f"{path}.{blake3(data).hexdigest()[:8]}.old"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    with contextlib.suppress(FileExistsError), os.fdopen(os.open(aside, flags, 0o600), "wb") as file:
        file.write(data)


def _read(descriptor: int) -> bytes:
    os.lseek(descriptor, 0, os.SEEK_SET)
    with os.fdopen(os.dup(descriptor), "rb") as file:
        return file.read()


def _path(root: Path | str, key: str) -> Path:
    if not is_key(key):
        raise ValueError(f"journal: {key!r} is not 64 lower-case hex digits.")
    return Path(root) / "journal" / f"{key}.jsonl"


@dataclass(frozen=True, slots=True)
class Marker:
    """Makes and checks what stands before the lines of one journal.

    Args:
        key: of the search.
        signer: of a signed store; None: a digest is enough.
    """

    key: str
    signer: Signer | None = None

    def check(self, last: str, text: bytes) -> str:
        """What stands before a line, after a line that carried `last`."""
        digest = _check(last, text)
        return digest if self.signer is None else f"{digest}.{self.signer.mark(self.key, last, text)}"

    def verifies(self, check: str, last: str, text: bytes) -> bool:
        """Whether `check` is what was written before that line. Without a signer signatures do not count."""
        digest, _, mark = check.partition(".")
        if digest != _check(last, text):
            return False
        return self.signer is None or self.signer.marked(mark, self.key, last, text)


_PLAIN = Marker("")


def verified_lines(data: bytes, marker: Marker = _PLAIN) -> tuple[list[dict[str, Any]], int, str]:
    """(lines, bytes that verify, check of the last line) of what a journal's file holds."""
    lines: list[dict[str, Any]] = []
    good, last = 0, ""
    for raw in data.splitlines(keepends=True):
        start, _, text = raw.rstrip(b"\n").partition(b" ")
        check = start.decode("ascii", "replace")
        if not raw.endswith(b"\n") or not marker.verifies(check, last, text):
            break
        if (line := _parsed(text)) is None:
            break
        lines.append(line)
        good, last = good + len(raw), check
    return lines, good, last


def _parsed(text: bytes) -> dict[str, Any] | None:
    """The line; None for one that `encode_lines` did not write, whatever its digest says."""
    try:
        line = thaw(orjson.loads(text))
    except (ValueError, OverflowError, RecursionError, TypeError):
        return None
    return line if type(line) is dict else None


def encode_lines(lines: Iterable[Mapping[str, Any]], last: str, marker: Marker = _PLAIN) -> tuple[bytes, str]:
    """(bytes of those lines, check of the last one) after a line with that check."""
    parts = []
    for line in lines:
        text = orjson.dumps(freeze(dict(line)))
        last = marker.check(last, text)
        parts.append(last.encode() + b" " + text + b"\n")
    return b"".join(parts), last


def _check(last: str, text: bytes) -> str:
    return blake3(last.encode() + b"\n" + text).hexdigest()[:_CHECK]


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
