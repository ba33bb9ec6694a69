"""What must be closed when the driver ends, in our order: clusters before the API they talk to.

`atexit` runs what was registered last first. Prefect and distributed register their own closers at any time,
so the list is registered anew with each entry and always runs ahead of theirs.
"""

from __future__ import annotations

import atexit
import contextlib
import threading
from collections.abc import Callable

CLUSTER, API = 0, 1

_lock = threading.Lock()
_closers: list[tuple[int, Callable[[], None]]] = []


def at_exit(rank: int, close: Callable[[], None]) -> None:
    """Calls `close` at the end of the process, lower ranks first; once, however often it is given."""
    with _lock:
        if (rank, close) not in _closers:
            _closers.append((rank, close))
        atexit.unregister(_close_all)
        atexit.register(_close_all)


def _close_all() -> None:
    for _, close in sorted(_closers, key=lambda entry: entry[0]):
        with contextlib.suppress(Exception):  # the next one must have its turn
            close()
