"""The journal of a search whose store is on object storage: the local file, and segments of it in the bucket.

    journal/<key>/00000000   {"writer": …, "base": true, …}   the lines so far
    journal/<key>/00000001   {"writer": …, "base": false, …}  lines that came later

Rule 1: lines are in the file before they go to the bucket, and in the bucket before they are acted on. While
the bucket is away they wait in the file and go with the next ones.
Rule 2: a segment is put only if absent. Whoever opens a journal puts a base under the next number; whoever
had it before meets that number with its next lines, and ends. The last base and what follows is the journal.
Rule 3: a base stays, so that no number is ever used twice; other segments go when a later base holds them.
Rule 4: what a segment says of itself is believed for the order only; lines count if they verify one by one.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import orjson
from blake3 import blake3

from prefect_tune.store.journal import Journal, JournalBusy, Marker, encode_lines, verified_lines
from prefect_tune.store.records import is_key
from prefect_tune.store.remote.bucket import Bucket, BucketError
from prefect_tune.store.remote.line import Line
from prefect_tune.store.signing import Signer

MAX_SEGMENT = 1 << 30
_NUMBER = re.compile(r"[0-9]{8,12}")
_READ = 64  # segments fetched at once, from the last one backwards


@dataclass(frozen=True, slots=True)
class Segment:
    """One object of a journal."""

    number: int
    writer: str
    base: bool
    start: int
    text: bytes

    def to_bytes(self) -> bytes:
        head = {"writer": self.writer, "base": self.base, "start": self.start}
        return orjson.dumps(head) + b"\n" + self.text

    @classmethod
    def from_bytes(cls, number: int, data: bytes) -> Segment | None:
        """The segment; None for bytes that are none."""
        head, _, text = data.partition(b"\n")
        try:
            found = orjson.loads(head)
            writer, base, start = found["writer"], found["base"], found["start"]
        except (ValueError, KeyError, TypeError):
            return None
        if (type(writer), type(base), type(start)) != (str, bool, int):
            return None
        return cls(number, writer, base, start, text)


def folder_of(key: str) -> str:
    """Where the segments of a search lie."""
    if not is_key(key):
        raise ValueError(f"journal: {key!r} is not 64 lower-case hex digits.")
    return f"journal/{key}/"


@dataclass(frozen=True, slots=True)
class Found:
    """What a bucket has of a journal.

    Attributes:
        text: the lines that verify.
        kept: the last base and what follows.
        next: number of the next segment.
        whole: whether all lines of `kept` verify.
    """

    text: bytes
    kept: list[Segment]
    next: int
    whole: bool


def read_segments(line: Line, key: str, signer: Signer | None = None) -> Found:
    """What the bucket has of that journal. Raises BucketError."""
    folder = folder_of(key)
    entries = line.read(lambda bucket: bucket.entries(folder), needed=True)
    names = [entry.name[len(folder) :] for entry in entries]
    numbers = sorted(int(name) for name in names if _NUMBER.fullmatch(name))
    kept: list[Segment] = []
    for end in range(len(numbers), 0, -_READ):
        some = line.each(lambda number: _segment(line, key, number), numbers[max(end - _READ, 0) : end])
        for item in some:
            if isinstance(item, BucketError):
                raise item
        found = [segment for segment in some if isinstance(segment, Segment)]
        bases = [place for place, segment in enumerate(found) if segment.base]
        kept = found[bases[-1] if bases else 0 :] + kept
        if bases:
            break
    text = b"".join(segment.text for segment in kept)
    good = verified_lines(text, Marker(key, signer))[1]
    return Found(text[:good], kept, numbers[-1] + 1 if numbers else 0, good == len(text))


def _segment(line: Line, key: str, number: int) -> Segment | None:
    name = f"{folder_of(key)}{number:08d}"
    found = line.read(lambda bucket: bucket.get(name, MAX_SEGMENT), needed=True)
    return Segment.from_bytes(number, found[0]) if found is not None else None


def _create(bucket: Bucket, *, name: str, data: bytes) -> bool:
    return bucket.create(name, data)


class RemoteJournal(Journal):
    """A journal that is in the bucket too; open it with `RemoteJournal.take`."""

    _line: Line
    _key: str
    _writer: str
    _start: int  # number of the base with which the search began anew
    _next: int
    _waiting: bytes  # lines that are not in the bucket
    _claimed: bool

    @classmethod
    def take(
        cls, root: Path, line: Line, key: str, *, fresh: bool = False, signer: Signer | None = None
    ) -> RemoteJournal:
        """The journal, taken over from whoever had it on another host.

        Args:
            root: folder of the store.
            line: to its bucket.
            key: of the search, 64 hex digits.
            fresh: begin anew; what was there stays under its numbers.
            signer: of a signed store.

        Raises:
            JournalBusy: another process of this host has it, or one somewhere else takes it right now.
            OSError: the bucket cannot be read, or the folder cannot be written.
        """
        ours = cls.open(root, key, fresh=fresh, signer=signer)
        try:
            ours._line, ours._key, ours._writer, ours._claimed = line, key, os.urandom(16).hex(), False
            there = read_segments(line, key, signer)
            ours._next = there.next
            ours._start = ours._next if fresh else next((segment.start for segment in there.kept), 0)
            ours._waiting = b"" if fresh else ours._meet(there.text, bool(there.kept))
            ours._mark.write_text(str(ours._start))
            with contextlib.suppress(BucketError):  # told by the line; the file is there
                ours._send()
                if not fresh and (there.whole or signer is None):  # else they may be somebody else's
                    ours._tidy(there.kept)
        except BaseException:
            ours.close()
            raise
        return ours

    def append(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """Nothing; the lines are on disk, and in the bucket unless that is away.

        Raises:
            JournalBusy: somebody else has taken the search over.
            OSError: they could not be written.
        """
        lines = list(lines)
        text, _ = encode_lines(lines, self._last, self._marker)
        super().append(lines)
        self._waiting += text
        if self._waiting:
            with contextlib.suppress(BucketError):
                self._send()

    @property
    def _mark(self) -> Path:
        """A file that says to which beginning the local lines belong."""
        return self.path.with_suffix(".start")

    def _meet(self, theirs: bytes, exists: bool) -> bytes:
        """The lines to go on from: those of the bucket, or the file's if it has the same and more."""
        ours = self.path.read_bytes()
        try:
            same = int(self._mark.read_text()) == self._start
        except (OSError, ValueError):
            same = False
        if not exists or (same and ours.startswith(theirs)):
            return ours
        if not theirs.startswith(ours):
            Path(f"{self.path}.{blake3(ours).hexdigest()[:8]}.old").write_bytes(ours)
        if ours != theirs:
            self.rewrite(theirs)
        return theirs

    def _send(self) -> None:
        while self._waiting or not self._claimed:
            segment = Segment(self._next, self._writer, not self._claimed, self._start, self._waiting)
            name = f"{folder_of(self._key)}{self._next:08d}"
            if not self._line.write(partial(_create, name=name, data=segment.to_bytes())):
                # Ours, if an answer got lost on the way: then it holds the beginning of what waits.
                there = _segment(self._line, self._key, self._next)
                if there is None or there.writer != self._writer:
                    raise JournalBusy(
                        f"the search of {self._key[:12]}… is being run by another process, on another host, "
                        "which has taken its journal over; let it end, or give this one another name=."
                    )
                segment = there
            self._waiting = self._waiting[len(segment.text) :]
            self._claimed, self._next = True, self._next + 1

    def _tidy(self, before: Iterable[Segment]) -> None:
        names = [f"{folder_of(self._key)}{segment.number:08d}" for segment in before if not segment.base]
        if names:
            self._line.write(lambda bucket: bucket.delete(names))
