"""A model of the store: what a reader may see, and what may happen to it.

Rule 1: an entry is there or it is not; of two under one key the first stands. Blobs come before the manifest.
Rule 2: entries remember when they were born and when they died, so that a reader may see a past moment.
Rule 3: two entries under one key say the same, but for times. Whoever breaks that has computed otherwise.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sim_world import World, check

from prefect_tune.store import BlobRef, MissingBlob, Record
from prefect_tune.store.journal import encode_lines, verified_lines

SCOPE = "ab"
_TIMES = ("seconds", "fit_seconds", "score_seconds", "calls")  # what may differ between two tellings
_shelves: dict[int, Shelf] = {}


@dataclass(slots=True)
class Entry:
    """One record, its outputs, and its days."""

    record: Record
    outputs: dict[str, Any]
    born: float
    died: float = math.inf
    pack: int = 0


class Shelf:
    """The folder, as all processes share it.

    Attributes:
        refuses: whether nothing can be written.
        lost: keys of entries that were lost, refused or let go, so that work may have to be done again.
        disk: bytes of the journal's file.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.entries: dict[str, list[Entry]] = {}
        self.packs = 0
        self.refuses = False
        self.lost: set[str] = set()
        self.orphans = 0
        self.disk = b""
        self.busy = False
        _shelves[id(self)] = self

    def close(self) -> None:
        """Forgets the shelf, which pickles as its number."""
        _shelves.pop(id(self), None)

    def __reduce__(self) -> tuple[Any, ...]:
        return _shelves.get, (id(self),)

    def seen(self, key: str, at: float | None = None) -> Entry | None:
        """The entry under a key now, or at a moment."""
        moment = self.world.now if at is None else at
        found = [e for e in self.entries.get(key, ()) if e.born <= moment < e.died]
        return found[0] if found else None

    def enter(self, record: Record, outputs: Mapping[str, Any], pack: int = 0) -> Record:
        """The record that now stands under its key."""
        there = self.seen(record.key)
        if there is not None and there.record.outputs and not there.outputs:
            there.died, there = self.world.now, None  # whoever wants to write looks at the blobs
        if there is not None:
            same = _said(there.record) == _said(record) and (not outputs or there.outputs == dict(outputs))
            check(same, f"two values under one key: {there.record} {there.outputs}, then {record} {outputs}")
            return there.record
        refs = tuple(BlobRef(name=n, digest="", size=8, codec="pickle") for n in outputs)
        record = dataclasses.replace(record, outputs=refs)
        self.entries.setdefault(record.key, []).append(
            Entry(record, dict(outputs), self.world.now, pack=pack)
        )
        return record

    def lose(self, share: float) -> int:
        """How many entries are gone, drawn with that chance for each manifest and each pack."""
        gone, draw = 0, self.world.draw
        packs = {number for number in range(1, self.packs + 1) if draw.random() < share}
        for key in list(self.entries):
            entry = self.seen(key)
            if entry is not None and (entry.pack in packs or (not entry.pack and draw.random() < share)):
                gone += 1
                self.lost.add(key)
                if entry.record.outputs and self.world.draw.random() < 0.5:
                    entry.outputs = {}  # the manifest is there, its blob is not
                else:
                    entry.died = self.world.now
        return gone


def _said(record: Record) -> tuple[Any, ...]:
    values = {name: value for name, value in record.values.items() if name not in _TIMES}
    return record.kind, repr(sorted(values.items()))


@dataclass(slots=True)
class Store:
    """The store as one process sees it.

    Attributes:
        shelf: behind it.
        touched: called before each operation with its name; it may raise.
        at: the moment that reads see; None is now.
    """

    shelf: Shelf
    touched: Callable[[str], None] = field(default=lambda name: None)
    at: float | None = None

    place = root = "model"

    @property
    def writable(self) -> bool:
        """Whether entries can be made now."""
        return not self.shelf.refuses

    def lookup(self, keys: Iterable[str], scope: str) -> dict[str, Record]:
        """The records that are there, in the order of their keys."""
        self.touched("lookup")
        found = {key: self.shelf.seen(key, self.at) for key in dict.fromkeys(keys)}
        return {key: entry.record for key, entry in found.items() if entry is not None}

    def get(self, key: str, scope: str) -> Record | None:
        """One record."""
        return self.lookup((key,), scope).get(key)

    def put(self, record: Record, outputs: Mapping[str, Any], scope: str, durable: bool = False) -> Record:
        """The record that stands; without outputs where nothing can be written."""
        self.touched("blob")
        if not self.writable:
            self.shelf.lost.add(record.key)
            return record
        self.shelf.orphans += 1
        self.touched("manifest")
        self.shelf.orphans -= 1
        return self.shelf.enter(record, outputs)

    def put_pack(self, records: Sequence[Record], scope: str, *, durable: bool = False) -> str:
        """The pack's name; empty where nothing can be written."""
        self.touched("pack")
        if not self.writable:
            self.shelf.lost |= {record.key for record in records}
            return ""
        self.shelf.packs += 1
        for record in records:
            self.shelf.enter(record, {}, self.shelf.packs)
        return "pack"

    def load(self, record: Record, name: str, *, writable: bool = False) -> Any:
        """An output.

        Raises:
            MissingBlob: it is gone, and now the record is, too.
        """
        self.touched("load")
        entry = self.shelf.seen(record.key, self.at)
        if entry is None or name not in entry.outputs:
            if entry is not None:
                entry.died = self.shelf.world.now
            raise MissingBlob("gone")
        return entry.outputs[name]

    def release(self, keys: Iterable[str]) -> int:
        """Lets go of entries."""
        self.touched("release")
        for key in keys:
            self.shelf.lost.add(key)
            if (entry := self.shelf.seen(key)) is not None:
                entry.died = self.shelf.world.now
        return 0


class Pages:
    """The journal's file in the hands of one process.

    Attributes:
        lines: what it held when it was opened.
        kept: all lines that it holds now.
    """

    def __init__(self, shelf: Shelf, torn: Callable[[int], int | None], may_fail: Callable[[], bool]) -> None:
        self.shelf, self._torn, self._may_fail = shelf, torn, may_fail
        self.lines, good, self._last = verified_lines(shelf.disk)
        shelf.disk = shelf.disk[:good]

    def append(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """Nothing; the lines are on disk.

        Raises:
            OSError: the store refuses.
        """
        data, last = encode_lines(lines, self._last)
        written = self._torn(len(data))  # raises when the process dies before or after the write
        if self.shelf.refuses and self._may_fail():
            raise OSError(28, "No space left on device")
        if written is not None:
            self.shelf.disk += data[:written]
            self._torn(-1)
        self.shelf.disk += data
        self._last = last

    def close(self) -> None:
        """Nothing."""
