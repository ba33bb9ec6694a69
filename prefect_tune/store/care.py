"""Looking after a store: how much it holds, whether it verifies, and making room.

Rule 1: `verify` changes nothing and trusts nothing that was verified before.
Rule 2: `clear` removes manifests and packs first, then blobs that no remaining manifest points to: a run that
goes on meanwhile meets misses, never half an entry.
"""

from __future__ import annotations

import os
import shutil
import stat
import time
from collections.abc import Iterable, Iterator

from blake3 import blake3

from prefect_tune.store.actions import check_manifest
from prefect_tune.store.fs import quietly
from prefect_tune.store.packs import MAX_PACK, check_pack
from prefect_tune.store.records import DIGEST_PREFIX, MAX_RECORD, BlobRef, from_row
from prefect_tune.store.signals import Problem
from prefect_tune.store.site import AREAS, Site

TEMP_GRACE = 3600.0  # seconds that files in tmp/ are left alone: somebody may be writing them


def _walk(site: Site, area: str) -> Iterator[tuple[str, os.stat_result]]:
    for folder, _, names in os.walk(f"{site.root}/{area}"):
        for name in sorted(names):
            path = f"{folder}/{name}"
            try:
                yield path, os.lstat(path)
            except OSError:
                continue  # removed meanwhile


def usage(site: Site) -> dict[str, dict[str, int]]:
    """Files and bytes per area, and in total."""
    areas = {}
    for area in AREAS:
        sizes = [found.st_size for _, found in _walk(site, area)]
        areas[area] = {"files": len(sizes), "bytes": sum(sizes)}
    total = {unit: sum(area[unit] for area in areas.values()) for unit in ("files", "bytes")}
    return {**areas, "total": total}


def verify(site: Site) -> list[Problem]:
    """Every manifest, pack and blob that is not what its name or its record says."""
    problems = []
    blobs: dict[str, int] = {}
    for path, found in _walk(site, "cas"):
        name = os.path.basename(path)
        blobs[DIGEST_PREFIX + name] = found.st_size
        if _digest(site, path) != name:
            problems.append(Problem(path, "its digest is not its name"))
    for path, refs, fault in _manifests(site):
        if fault:
            problems.append(Problem(path, fault))
        for ref in refs:
            if blobs.get(ref.digest) != ref.size:
                problems.append(Problem(path, f"output {ref.name!r} is missing or has another size"))
    for path, _ in _walk(site, "packs"):
        try:
            rows, fault = check_pack(os.path.basename(path), site.fs.read(path, MAX_PACK))
        except OSError as error:
            rows, fault = [], f"cannot be read: {error}"
        if not fault and None in map(from_row, rows):
            fault = "a record in it is malformed"
        if fault:
            problems.append(Problem(path, fault))
    return problems


def _manifests(site: Site) -> Iterator[tuple[str, tuple[BlobRef, ...], str]]:
    for path, _ in _walk(site, "ac"):
        try:
            record, fault = check_manifest(os.path.basename(path), site.fs.read(path, 2 * MAX_RECORD))
        except OSError as error:
            record, fault = None, f"cannot be read: {error}"
        yield path, record.outputs if record else (), fault


def _digest(site: Site, path: str) -> str:
    try:
        source, _ = site.fs.map(path, False)
        return blake3(source).hexdigest()
    except OSError:
        return ""


def clear(site: Site, older_than: float | None) -> int:
    """Bytes freed; see `StepStore.clear`."""
    now = time.time()
    limit = now + 1.0 if older_than is None else now - older_than
    freed = sum(_remove(site, area, limit) for area in ("ac", "packs"))
    kept = {site.blob(ref.digest) for _, refs, _ in _manifests(site) for ref in refs}
    freed += _remove(site, "cas", limit, kept)
    freed += _remove(site, "quarantine", limit)
    freed += _remove_temps(site, min(limit, now - TEMP_GRACE))
    _remove_empty(site)
    return freed


def release(site: Site, keys: Iterable[str]) -> int:
    """Bytes freed by removing the manifests of `keys` and the blobs that no other manifest points to."""
    freed, digests = 0, set()
    for key in keys:
        path = site.manifest(key)
        record, _ = check_manifest(key, _read(site, path))
        if record is not None:
            digests |= {ref.digest for ref in record.outputs}
            quietly(site.fs.unlink, path)
    if digests:
        digests -= {ref.digest for _, refs, _ in _manifests(site) for ref in refs}
    for digest in digests:
        path = site.blob(digest)
        try:
            size = os.lstat(path).st_size
            site.fs.unlink(path)
        except OSError:
            continue  # removed meanwhile, or read-only
        freed += size
    return freed


def _read(site: Site, path: str) -> bytes:
    try:
        return site.fs.read(path, MAX_RECORD + 65)
    except OSError:
        return b""


def _remove(site: Site, area: str, limit: float, kept: set[str] | frozenset = frozenset()) -> int:
    freed = 0
    for path, found in _walk(site, area):
        if found.st_mtime < limit and path not in kept and quietly(site.fs.unlink, path):
            freed += found.st_size
    return freed


def _remove_temps(site: Site, limit: float) -> int:
    return sum(_remove_temp(site, path, limit) for path in _entries(f"{site.root}/tmp"))


def _entries(folder: str) -> list[str]:
    try:
        return [f"{folder}/{name}" for name in sorted(os.listdir(folder))]
    except OSError:
        return []


def _remove_temp(site: Site, path: str, limit: float) -> int:
    """Bytes freed by removing a file or scratch folder, unless anything in it is younger than `limit`."""
    inside = [found for _, found in _walk(site, os.path.relpath(path, site.root))]
    try:
        own = os.lstat(path)
    except OSError:
        return 0  # its writer has just finished
    if max(found.st_mtime for found in (own, *inside)) >= limit:
        return 0
    if stat.S_ISDIR(own.st_mode):
        shutil.rmtree(path, ignore_errors=True)
        return sum(found.st_size for found in inside)
    return own.st_size if quietly(site.fs.unlink, path) else 0


def _remove_empty(site: Site) -> None:
    for folder, _, _ in os.walk(f"{site.root}/packs", topdown=False):
        if folder != f"{site.root}/packs":
            quietly(site.fs.rmdir, folder)
