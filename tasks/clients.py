"""Dask clients shared by the runners of one process: one connection per cluster, however many subflows."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

from prefect_dask.client import PrefectDaskClient

_lock = threading.Lock()
_lent: dict[Any, tuple[PrefectDaskClient, int]] = {}


def _key(target: Any, options: dict[str, Any]) -> Any:
    """What makes two requests the same client: the target and the options, objects by identity."""
    place = target if isinstance(target, str) else id(target)
    named = tuple(sorted((name, repr(value), id(value)) for name, value in options.items()))
    return place, named


@contextlib.contextmanager
def lent_client(target: Any, options: dict[str, Any]) -> Iterator[PrefectDaskClient]:
    """A client of the cluster or address `target`, closed when the last borrower gives it back."""
    key = _key(target, options)
    with _lock:
        client, borrowers = _lent.get(key, (None, 0))
        if client is None or client.status not in ("running", "connecting"):
            client, borrowers = PrefectDaskClient(target, **options), 0
        _lent[key] = (client, borrowers + 1)
    try:
        yield client
    finally:
        with _lock:
            current, borrowers = _lent.get(key, (client, 1))
            if current is not client:  # it broke and was replaced meanwhile
                last = True
            elif last := borrowers <= 1:
                _lent.pop(key, None)
            else:
                _lent[key] = (client, borrowers - 1)
        if last:
            client.close()
