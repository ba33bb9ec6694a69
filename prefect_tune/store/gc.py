"""Making room in a store beside running searches: what can go, as a list first; then the removal.

Rule 1: nothing younger than the grace goes, whatever else is asked for. Searches write, touch and link within
it, so what one of them is about to use is never old.
Rule 2: manifests and packs go first, then blobs that no remaining manifest points to; each file's age is
asked once more right before it is removed. A search that meets a removed entry meets a miss.
Rule 3: journals and reports stay: they are small, and they are no cache.
Rule 4: where a manifest of a newer version lies, no blob goes: it may be the one that this manifest means.
"""

from __future__ import annotations

import os
import shutil
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass

from prefect_tune.store import care
from prefect_tune.store.fs import quietly
from prefect_tune.store.inspect import manifests
from prefect_tune.store.site import Site

GRACE = 7 * 86_400.0
"""Seconds that everything is left alone, unless another grace is asked for."""
LEAST_GRACE = 3600.0


@dataclass(frozen=True, slots=True)
class Item:
    """Something that can go.

    Attributes:
        why: `temporary`, `quarantine`, `old record`, `old scores` or `unreferenced`.
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


def remove(site: Site, items: list[Item]) -> int:
    """Bytes freed; what was touched since it was listed stays."""
    freed = 0
    for item in items:
        if (now := _touched(site, item.path)) is None or now > item.touched:
            continue
        if os.path.isdir(item.path):
            shutil.rmtree(item.path, ignore_errors=True)
            freed += item.bytes
        elif quietly(site.fs.unlink, item.path):
            freed += item.bytes
    care._remove_empty(site)
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
