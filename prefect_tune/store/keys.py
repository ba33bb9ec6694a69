"""Where the keys of a signed store come from: the caller, a named source, or the environment.

Rule: a key is read where it is used. A store that travels carries the name of its source, if it has one; each
process asks there, or else in `$PREFECT_TUNE_STORE_KEYS` and the file of `$PREFECT_TUNE_STORE_KEYS_FILE`.
"""

from __future__ import annotations

import os
import stat

from prefect_tune.errors import UserError
from prefect_tune.store.remote.sources import Source
from prefect_tune.store.signing import Keyring
from prefect_tune.store.site import creator

KEYS = "PREFECT_TUNE_STORE_KEYS"
KEYS_FILE = "PREFECT_TUNE_STORE_KEYS_FILE"
MAX_FILE = 1 << 16


def find_keys(source: Source | None = None) -> Keyring | None:
    """The keys that this process has for a store; None without any.

    Raises:
        UserError: what should hold keys does not, or others can read the file.
    """
    if source is not None:
        if source.keys is not None:
            return source.keys
        if source.name and (text := source.key_text()):
            return Keyring.parse(text, source.name)
    if text := os.environ.get(KEYS, "").strip():
        return Keyring.parse(text, f"${KEYS}")
    if path := os.environ.get(KEYS_FILE, ""):
        return Keyring.parse(_read(os.path.expanduser(path)), f"${KEYS_FILE}")
    return None


def need_keys(place: str, source: Source | None = None) -> Keyring:
    """The keys, for the store at `place`.

    Raises:
        UserError: there is none here, or `find_keys` raises it.
    """
    keys = find_keys(source)
    if keys is None:
        asked = f"{source.name} has none, and " if source is not None and source.name else ""
        raise UserError(
            f"store: {place} is to be opened with trust='signed', but process {creator()} has no key: "
            f"{asked}neither ${KEYS} nor ${KEYS_FILE} is set. Set one of them here, and for each "
            "worker; `prefect-tune store key` makes a key."
        )
    return keys


def is_exposed(found: os.stat_result) -> bool:
    """Whether somebody else than this user (and root) can read or change the file.

    A file of root that a group may read is a secret mounted into a container.
    """
    mounted = found.st_uid == 0 != os.geteuid()
    others = stat.S_IRWXO | stat.S_IWGRP | (0 if mounted else stat.S_IRGRP)
    return bool(found.st_mode & others) or found.st_uid not in (os.geteuid(), 0)


def _read(path: str) -> str:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            if is_exposed(os.fstat(descriptor)):
                raise UserError(
                    f"${KEYS_FILE}: others can read or change {path}; `chmod 0600` it, and own it."
                )
            data = file.read(MAX_FILE + 1)
        if len(data) > MAX_FILE:
            raise UserError(f"${KEYS_FILE}: {path} is larger than any file of keys.")
        return data.decode()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise UserError(
            f"${KEYS_FILE}: {path} cannot be read ({why}); name a file of lines ID:KEY."
        ) from None
