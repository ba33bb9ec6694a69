"""What lies in a store, for people: its records, its scopes, and where the bytes are. Changes nothing.

Rule: only `care` and `gc` remove things; what is listed here may be gone a moment later, if a search runs.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from prefect_tune.errors import UserError
from prefect_tune.store import care
from prefect_tune.store.actions import check_manifest
from prefect_tune.store.explain import Note, notes
from prefect_tune.store.packs import MAX_PACK, check_pack
from prefect_tune.store.records import MAX_RECORD, Record, from_row, is_key
from prefect_tune.store.site import Site
from prefect_tune.store.store import StepStore

LEAST_PREFIX = 6
"""Digits of a key that a person must give."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """The packs of one scope: all scores computed on the same data.

    Attributes:
        name: of the scope.
        files, bytes: of its packs.
        newest: when the last one was written, Unix time.
    """

    name: str
    files: int
    bytes: int
    newest: float


def site_of(store: Any) -> Site:
    """The folder of a store.

    Raises:
        UserError: it is not in a folder.
    """
    site = getattr(store, "_site", None)
    if not isinstance(site, Site) or not os.path.isdir(site.root):
        raise UserError(f"store: {getattr(store, 'root', store)} is no folder that could be listed.")
    return site


def manifests(site: Site) -> Iterator[tuple[str, Record | None]]:
    """(path, record) of every manifest; None for one that cannot be used."""
    for path, _ in care._walk(site, "ac"):
        try:
            data = site.fs.read(path, 2 * MAX_RECORD)
        except OSError:
            continue  # removed meanwhile
        yield path, check_manifest(os.path.basename(path), data, site.signer)[0]


def packed(site: Site) -> Iterator[tuple[str, list[Record]]]:
    """(scope, records) of every pack that verifies."""
    for path, _ in care._walk(site, "packs"):
        try:
            scope = os.path.basename(os.path.dirname(path))
            rows, _ = check_pack(os.path.basename(path), site.fs.read(path, MAX_PACK), scope, site.signer)
        except OSError:
            continue
        yield scope, [r for r in map(from_row, rows) if r is not None]


def records(store: StepStore) -> Iterator[Record]:
    """Every record of the store, manifests first."""
    site = site_of(store)
    yield from (record for _, record in manifests(site) if record is not None)
    for _, found in packed(site):
        yield from found


def searches(store: StepStore, *, parts: bool = False) -> list[Note]:
    """What searches left behind, newest first; with `parts` also what they wrote later, of their models."""
    found = notes(store, (record for _, record in manifests(site_of(store)) if record is not None))
    return [note for note in found if parts or not note.part]


def scopes(site: Site) -> list[Scope]:
    """The scopes, the one written last first."""
    found: dict[str, list[os.stat_result]] = defaultdict(list)
    for path, stat in care._walk(site, "packs"):
        found[os.path.basename(os.path.dirname(path))].append(stat)
    made = [
        Scope(
            name=name,
            files=len(stats),
            bytes=sum(stat.st_size for stat in stats),
            newest=max(stat.st_mtime for stat in stats),
        )
        for name, stats in found.items()
    ]
    return sorted(made, key=lambda scope: -scope.newest)


def kinds(site: Site) -> dict[str, dict[str, int]]:
    """Kind of record -> how many have a manifest, and the bytes of what they point to, each blob once."""
    found: dict[str, dict[str, int]] = {}
    seen: set[str] = set()
    for _, record in manifests(site):
        name = record.kind if record is not None else "unusable"
        entry = found.setdefault(name, {"records": 0, "bytes": 0})
        entry["records"] += 1
        for ref in record.outputs if record is not None else ():
            entry["bytes"] += 0 if ref.digest in seen else ref.size
            seen.add(ref.digest)
    return dict(sorted(found.items(), key=lambda item: -item[1]["bytes"]))


def find_key(store: StepStore, text: str) -> tuple[str, Record | None, list[Note]]:
    """(the key that begins with `text`, its record if there is one, the searches that know it, newest first).

    Raises:
        UserError: `text` is no beginning of a key, or of none or several that the store knows.
    """
    text = text.lower()
    if len(text) < LEAST_PREFIX or not is_key(text.ljust(64, "0")):
        raise UserError(f"key: {text!r} is not the beginning of a key: at least {LEAST_PREFIX} hex digits.")
    known: dict[str, Record | None] = {
        record.key: record for record in reversed(list(records(store))) if record.key.startswith(text)
    }
    every = searches(store, parts=True)
    for note in every:
        for key in note.places:
            if key.startswith(text):
                known.setdefault(key, None)
    if not known:
        raise UserError(
            f"key: the store at {store.root} knows no key that begins with {text!r}; `prefect-tune store ls "
            "--records 20` shows some, `--store` names another store."
        )
    if len(known) > 1:
        few = ", ".join(key[:16] for key in list(known)[:3])
        raise UserError(f"key: {len(known)} keys begin with {text!r} ({few}, …). Give more digits.")
    key, record = next(iter(known.items()))
    return key, record, [note for note in every if key in note.places or key == note.record.key]
