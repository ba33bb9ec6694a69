"""Opening a folder as a store: create it if need be, read its FORMAT, decide whom it may be trusted by.

Rule 1: a new folder is the user's alone (0700, whatever the umask). An existing one keeps its mode.
Rule 2: who else can write decides the trust. `local`: nobody, so pickles are read. `data-only`: somebody, so
only JSON, arrays and sparse matrices are. `signed`: somebody, and this process has keys, so what a holder of
one of them stored is read, pickles too. "auto" takes the first that fits of local, signed, data-only.
Rule 3: a store that can be read but not written serves hits.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import Any

import orjson

from prefect_tune.store.fs import Fs, quietly
from prefect_tune.store.keys import find_keys, need_keys
from prefect_tune.store.records import SCHEMA
from prefect_tune.store.remote.sources import Source
from prefect_tune.store.signals import unavailable
from prefect_tune.store.signing import Keyring, Signer
from prefect_tune.store.site import AREAS, Site, discard, is_private, publish, write_temp

TRUSTS = ("auto", "local", "data-only", "signed")
MAX_FORMAT = 1 << 16
STALE_TEMP = 86_400.0  # seconds after which a file in tmp/ belongs to nobody


@dataclass(frozen=True, slots=True)
class Opened:
    """What opening found out: the place, its identity, whether it can be written, its trust and why."""

    site: Site
    store_id: str
    writable: bool
    trust: str
    trust_reason: str


def open_site(root: str, fs: Fs, trust: str, store_id: str = "", source: Source | None = None) -> Opened:
    """The folder as a store.

    Args:
        store_id: whose it must be, if that is known.
        source: of the keys of a signed store; None: the environment.

    Raises StoreUnavailable when it can be neither created nor read, is of another schema or another store, or
    when `trust` is "local" and others can write in it. UserError when it is "signed" and there is no key.
    """
    if trust not in TRUSTS:
        raise ValueError(f"store: trust {trust!r} is unknown. It has: {', '.join(TRUSTS)}.")
    keys = need_keys(root, source) if trust == "signed" else None
    site = Site(root, fs)
    try:
        _create_root(site)
        site.mode = fs.stat(root).st_mode & 0o3777
        document = _read_format(site, store_id)
    except OSError as error:
        raise unavailable(root, f"cannot be used: {error}", _MOVE) from error
    if store_id and document["store_id"] != store_id:
        raise unavailable(root, "it belongs to another store", "Name another folder.")
    writable = _probe(site)
    level, reason, keys = _trust(site, trust, keys, source)
    site.signer = Signer(keys, document["store_id"]) if keys is not None else None
    if writable:
        _sweep(site)
    return Opened(site, document["store_id"], writable, level, reason)


_MOVE = "Name another folder ($PREFECT_TUNE_STORE), or make this one readable and writable for you."


def _create_root(site: Site) -> None:
    missing, path = [], site.root
    while not _exists(site.fs, path):
        missing.append(path)
        path = os.path.dirname(path)
    for folder in reversed(missing):
        try:
            site.fs.mkdir(folder, 0o700)
        except FileExistsError:
            continue


def _exists(fs: Fs, path: str) -> bool:
    try:
        fs.stat(path)
    except FileNotFoundError:
        return False
    return True


def _read_format(site: Site, store_id: str) -> dict[str, Any]:
    path = f"{site.root}/FORMAT"
    try:
        data = site.fs.read(path, MAX_FORMAT)
    except FileNotFoundError:
        _create_format(site, path, store_id)
        data = site.fs.read(path, MAX_FORMAT)
    return check_format(data, site.root)


def check_format(data: bytes, place: str) -> dict[str, Any]:
    """The document in a file FORMAT; StoreUnavailable for one that this version cannot read."""
    try:
        document = orjson.loads(data)
        schema, digest, store_id = (document[name] for name in ("schema", "digest", "store_id"))
    except (ValueError, KeyError, TypeError) as error:
        move = "Move the store away, or remove FORMAT to keep what verifies."
        raise unavailable(place, "its file FORMAT is damaged", move) from error
    if schema != SCHEMA or digest != "b3-256" or type(store_id) is not str:
        why = f"it has schema {schema!r} and digest {digest!r}, this version reads {SCHEMA} and 'b3-256'"
        raise unavailable(place, why, "Name another place, or use the version that wrote it.")
    return document


def new_format(store_id: str = "") -> bytes:
    """The file FORMAT of a new store."""
    own = store_id or os.urandom(16).hex()
    return orjson.dumps({"schema": SCHEMA, "store_id": own, "digest": "b3-256", "created": time.time()})


def _create_format(site: Site, path: str, store_id: str) -> None:
    for area in AREAS:
        site.make_parents(f"{site.root}/{area}/x")
    temp = write_temp(site, [new_format(store_id)], durable=True)
    if not publish(site, temp, path):
        discard(site, temp)  # somebody else opened the folder at the same moment


def _probe(site: Site) -> bool:
    """Whether a file can be created; modes and mounts alone do not tell."""
    path = site.temp()
    try:
        site.make_parents(path)
        site.fs.close(site.fs.open_new(path))
    except OSError:
        quietly(site.fs.unlink, path)
        return False
    return quietly(site.fs.unlink, path)


def _trust(
    site: Site, asked: str, keys: Keyring | None, source: Source | None
) -> tuple[str, str, Keyring | None]:
    """(trust, why, the keys of a signed store)."""
    if asked in ("data-only", "signed"):
        return asked, "it was asked for", keys
    why = _not_private(site)
    if not why:
        return "local", "only you can write in it", None
    if asked == "local":
        move = "Own it and chmod it to 0700, or open it with trust='signed' or 'data-only'."
        raise unavailable(site.root, f"trust='local' was asked for, but {why}", move)
    keys = find_keys(source)
    if keys is None:
        return "data-only", why, None
    return "signed", f"{why}; this process has a key", keys


def _not_private(site: Site) -> str:
    """Why others may be able to write in the folder; empty if nobody can."""
    for folder in (site.root, *(f"{site.root}/{area}" for area in ("ac", "cas", "packs"))):
        try:
            private = is_private(site.fs.stat(folder))
        except FileNotFoundError:
            continue  # will be created with the root's mode
        except OSError:
            private = False
        if not private:
            return f"{folder} belongs to somebody else, or others can write in it"
    return ""


def _sweep(site: Site) -> None:
    """Removes what processes that died a day ago and more left in tmp/."""
    try:
        names = site.fs.listdir(f"{site.root}/tmp")
    except OSError:
        return
    for name in names[:1000]:
        if name.startswith("run-"):
            continue
        path = f"{site.root}/tmp/{name}"
        try:
            old = site.fs.stat(path).st_mtime < time.time() - STALE_TEMP
        except OSError:
            continue
        if old:
            quietly(site.fs.unlink, path)
