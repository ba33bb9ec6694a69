"""What `doctor` looks at that others could see or do: the API's address, the store's mode, the file of keys.

Rule: as in `checks`, nothing raises and nothing is changed.
"""

from __future__ import annotations

import ipaddress
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from prefect.settings import PREFECT_API_URL

from prefect_tune.errors import UserError
from prefect_tune.flows.cli.checks import OK, WARN, Check
from prefect_tune.store import default_root
from prefect_tune.store.keys import KEYS_FILE, find_keys, is_exposed


def access_checks(place: str | None) -> Iterator[Check]:
    """Who else could listen to the API, read the store, and use the keys.

    Args:
        place: of the store; None: the default one.
    """
    yield from _api(PREFECT_API_URL.value() or "")
    root = place or str(default_root())
    if "://" not in root:
        yield from _readers(Path(root).expanduser())
    yield from _keys()


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine's own."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _api(url: str) -> Iterator[Check]:
    parts = urlsplit(url)
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        found = (
            f"http://{parts.hostname}: parameters, secrets of blocks and API keys cross the network in clear"
        )
        yield Check(
            "api access", WARN, found, "Put TLS before the server, and use https:// in PREFECT_API_URL."
        )
    elif parts.scheme:
        yield Check("api access", OK, "https" if parts.scheme == "https" else "this machine only")


def _readers(root: Path) -> Iterator[Check]:
    """Whether other users can read the store: its folder lets them, and every folder above."""
    try:
        modes = [path.stat().st_mode for path in (root, *root.resolve().parents)]
    except OSError:
        return  # there is none yet
    who = [
        name
        for name, read, enter in (
            ("its group", stat.S_IRGRP, stat.S_IXGRP),
            ("anybody", stat.S_IROTH, stat.S_IXOTH),
        )
        if modes[0] & read and modes[0] & enter and all(mode & (enter | stat.S_IXOTH) for mode in modes[1:])
    ]
    if not who:
        yield Check("store readers", OK, "only you, as far as modes tell")
        return
    move = f"`chmod -R go-rwx {root}` if it is yours alone; who shares it shares data and models."
    yield Check("store readers", WARN, f"{' and '.join(who)} can read data and models in {root}", move)


def _keys() -> Iterator[Check]:
    path = os.path.expanduser(os.environ.get(KEYS_FILE, ""))
    if path:
        try:
            exposed = is_exposed(os.stat(path))
        except OSError as error:
            yield Check("signing keys", WARN, f"${KEYS_FILE}: {path} cannot be read ({error.strerror})",
                        "Name a file of lines ID:KEY, as `prefect-tune store key` prints them.")  # fmt: skip
            return
        if exposed:
            yield Check("signing keys", WARN, f"others can read or change {path}, so it is refused",
                        f"`chmod 0600 {path}`, own it; make new keys if somebody read it.")  # fmt: skip
            return
    try:
        keys = find_keys()
    except UserError as error:
        yield Check("signing keys", WARN, str(error), "`prefect-tune store key` makes a key.")
        return
    if keys is not None:
        yield Check("signing keys", OK, f"{keys.ids[0]} signs, {len(keys.ids)} in all verify")
