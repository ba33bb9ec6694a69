"""Making room in a store beside running searches: what can go, as a list first; then the removal.

Rule 1: nothing younger than the grace goes, whatever else is asked for. Searches write, touch and link within
it, so what one of them is about to use is never old.
Rule 2: manifests and packs go first, then blobs that no remaining manifest points to; each file's age is
asked once more right before it is removed. A search that meets a removed entry meets a miss.
Rule 3: journals and reports stay: they are small, and they are no cache.
Rule 4: a store above nine tenths of its budget is brought to three quarters of it. What goes first is what
costs least to compute again for the bytes it takes, the more so the longer nobody used it: seconds per byte,
halved for each week. Before all of it go checkpoints from which training has gone on.
Rule 5: one collector at a time, by a lease.
Rule 6: where a manifest of a newer version lies, no blob goes: it may be the one that this manifest means.
"""

from __future__ import annotations

import os
import shutil
import stat
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from prefect_tune.store import care
from prefect_tune.store.fs import quietly
from prefect_tune.store.inspect import manifests
from prefect_tune.store.leases import Leases
from prefect_tune.store.packs import MAX_PACK, check_pack
from prefect_tune.store.records import Record, from_row
from prefect_tune.store.site import Site

GRACE = 7 * 86_400.0
"""Seconds that everything is left alone, unless another grace is asked for."""
LEAST_GRACE = 3600.0
DAY = 86_400.0
"""Seconds for which `make_room` leaves data alone, and what no record points to: it may be data as well."""
HIGH, LOW = 0.90, 0.75
HALF_LIFE = 7 * DAY
UNKNOWN = 1.0
"""Seconds that a record counts for which does not say what it cost: data, explanations, states of trials."""


@dataclass(frozen=True, slots=True)
class Item:
    """Something that can go.

    Attributes:
        why: `temporary`, `quarantine`, `old record`, `old scores`, `unreferenced` or `over budget`.
        path: of the file or folder.
        bytes: that it holds.
        touched: when it was last written or renewed, Unix time.
    """

    why: str
    path: str
    bytes: int
    touched: float


def removable(site: Site, *, older_than: float | None = None, grace: float = GRACE) -> list[Item]:
    """What can go, in the order in which it is to be removed.

    Args:
        older_than: seconds after which records and scores go; None: they stay.
        grace: seconds that everything is left alone, an hour at least.
    """
    now = time.time()
    limit = now - max(grace, LEAST_GRACE)
    found = [*_temporary(site, limit), *_files(site, "quarantine", "quarantine", limit)]
    going: set[str] = set()
    if older_than is not None:
        old = min(limit, now - older_than)
        aged = [*_files(site, "ac", "old record", old), *_files(site, "packs", "old scores", old)]
        found += aged
        going = {item.path for item in aged}
    kept, foreign = set(), False
    for path, record in manifests(site):
        foreign = foreign or record is None
        if record is not None and path not in going:
            kept |= {site.blob(ref.digest) for ref in record.outputs}
    if not foreign:
        found += [item for item in _files(site, "cas", "unreferenced", limit) if item.path not in kept]
    return found


def make_room(site: Site, budget: int, *, grace: float = DAY, leases: Leases | None = None) -> int:
    """Bytes freed to bring the store into its budget; 0 while another process is at it.

    Args:
        budget: bytes that the store may hold. What is within the grace stays, even above the budget.
        grace: seconds that everything is left alone, an hour at least.
        leases: to take the collector's lease from; own ones by default.
    """
    leases = leases or Leases(site)
    if not leases.take(COLLECTOR):
        return 0
    try:
        return remove(site, excess(site, budget, grace=grace))
    finally:
        leases.release([COLLECTOR])


def excess(site: Site, budget: int, *, grace: float = DAY) -> list[Item]:
    """What is to go from a store that is above its budget, in the order in which it is to be removed."""
    held = care.usage(site)["total"]["bytes"]
    if held <= HIGH * budget:
        return []
    now = time.time()
    limit, day = now - max(grace, LEAST_GRACE), now - max(grace, DAY)
    found = [*_temporary(site, day), *_files(site, "quarantine", "quarantine", limit), *_leases(site, day)]
    entries, blobs, foreign = _entries_of(site, now)
    if foreign:
        return found
    users = Counter(path for entry in entries for path in entry.blobs)
    found += [Item("unreferenced", p, s.st_size, s.st_mtime) for p, s in blobs.items()
              if p not in users and s.st_mtime < day]  # fmt: skip
    missing = held - LOW * budget - sum(item.bytes for item in found)
    entries.sort(key=lambda entry: (not entry.superseded, entry.value(users, blobs), entry.item.path))
    freed: list[Item] = []
    for entry in entries:
        if missing <= 0:
            break
        spared = day if entry.data else limit
        if entry.item.touched >= spared:
            continue
        going = [entry.item]
        for path in entry.blobs:
            users[path] -= 1
            if not users[path] and path in blobs and blobs[path].st_mtime < spared:
                going.append(Item(OVER, path, blobs[path].st_size, blobs[path].st_mtime))
        missing -= sum(item.bytes for item in going)
        freed += going
    return found + freed


COLLECTOR, OVER = "collector", "over budget"


@dataclass(slots=True)
class _Entry:
    """A manifest or a pack that could go, and what it is worth."""

    item: Item
    seconds: float
    age: float
    blobs: list[str] = field(default_factory=list)
    superseded: bool = False
    data: bool = False

    def value(self, users: Counter[str], blobs: dict[str, os.stat_result]) -> float:
        """Seconds that it saves per byte that it takes; of a blob that others use it takes its share."""
        shares = (blobs[path].st_size / users[path] for path in self.blobs if path in blobs)
        return self.seconds / (self.item.bytes + sum(shares) + 1) * 0.5 ** (self.age / HALF_LIFE)


def _entries_of(site: Site, now: float) -> tuple[list[_Entry], dict[str, os.stat_result], bool]:
    """(manifests and packs, files of blobs, whether there is a manifest that this version cannot read)."""
    blobs = dict(care._walk(site, "cas"))  # first: whatever is linked later is younger than any limit
    entries: list[_Entry] = []
    furthest: dict[tuple[tuple[str, ...], str], int] = {}
    checkpoints: list[tuple[_Entry, tuple[tuple[str, ...], str], int]] = []
    for path, record in manifests(site):
        if record is None:
            return [], blobs, True
        if (entry := _entry(path, [record], now)) is None:
            continue
        entry.blobs = sorted({site.blob(ref.digest) for ref in record.outputs})
        entries.append(entry)
        level = record.values.get("level")
        if record.kind == "checkpoint" and isinstance(level, int):
            chain = (record.inputs, record.family)
            furthest[chain] = max(level, furthest.get(chain, 0))
            checkpoints.append((entry, chain, level))
    for entry, chain, level in checkpoints:
        entry.superseded = level < furthest[chain]
    for path, _ in care._walk(site, "packs"):
        try:
            rows, _ = check_pack(os.path.basename(path), site.fs.read(path, MAX_PACK))
        except OSError:
            continue
        if rows and (entry := _entry(path, [r for r in map(from_row, rows) if r is not None], now)):
            entries.append(entry)
    return entries, blobs, False


def _entry(path: str, records: list[Record], now: float) -> _Entry | None:
    try:
        found = os.lstat(path)
    except OSError:
        return None  # removed meanwhile
    seconds = sum(record.seconds or UNKNOWN for record in records)
    item = Item(OVER, path, found.st_size, found.st_mtime)
    data = any(record.kind in ("data", "voucher") for record in records)
    return _Entry(item, seconds, max(0.0, now - found.st_mtime), data=data)


def _leases(site: Site, limit: float) -> Iterator[Item]:
    """Leases of holders that died and whose work nobody else wanted."""
    return _files(site, "leases", "temporary", limit)


def remove(site: Site, items: list[Item]) -> int:
    """Bytes freed; what was touched since it was listed stays, and what a record points to by now."""
    cas = f"{site.root}/cas/"
    blobs = [item for item in items if item.path.startswith(cas)]
    freed = _unlink(site, [item for item in items if not item.path.startswith(cas)])
    if blobs:
        known = list(manifests(site))
        if all(record is not None for _, record in known):
            kept = {site.blob(ref.digest) for _, record in known if record for ref in record.outputs}
            freed += _unlink(site, [item for item in blobs if item.path not in kept])
    care._remove_empty(site)
    return freed


def _unlink(site: Site, items: list[Item]) -> int:
    freed = 0
    for item in items:
        if (now := _touched(site, item.path)) is None or now > item.touched:
            continue
        if os.path.isdir(item.path):
            shutil.rmtree(item.path, ignore_errors=True)
            freed += item.bytes
        elif quietly(site.fs.unlink, item.path):
            freed += item.bytes
    return freed


def _files(site: Site, area: str, why: str, limit: float) -> Iterator[Item]:
    for path, found in care._walk(site, area):
        if found.st_mtime < limit:
            yield Item(why, path, found.st_size, found.st_mtime)


def _temporary(site: Site, limit: float) -> Iterator[Item]:
    """Files and whole folders in tmp/ in which nothing was touched since `limit`."""
    for path in care._entries(f"{site.root}/tmp"):
        touched = _touched(site, path)
        if touched is None or touched >= limit:
            continue
        inside = list(care._walk(site, os.path.relpath(path, site.root)))
        yield Item("temporary", path, _size(path, [found for _, found in inside]), touched)


def _touched(site: Site, path: str) -> float | None:
    """When a file, or anything in a folder, was last written; None if it is gone."""
    try:
        own = os.lstat(path)
    except OSError:
        return None
    inside = care._walk(site, os.path.relpath(path, site.root)) if stat.S_ISDIR(own.st_mode) else ()
    return max([own.st_mtime, *(found.st_mtime for _, found in inside)])


def _size(path: str, inside: list[os.stat_result]) -> int:
    return sum(found.st_size for found in inside) if os.path.isdir(path) else os.lstat(path).st_size


def put_aside(site: Site, paths: list[str]) -> None:
    """Moves entries that do not verify to quarantine/, where no search looks."""
    for path in paths:
        site.quarantine(path, "it does not verify")
