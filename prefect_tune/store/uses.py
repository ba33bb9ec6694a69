"""What was used lately, as times of change: `gc` goes by them, since times of access are often switched off.

Rule: a file that is younger than a quarter of an hour is left alone, so that a hit costs one look now and
then, and processes that use the same entry touch it once between them.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from prefect_tune.store.fs import quietly
from prefect_tune.store.site import Site

EVERY = 900.0
"""Seconds for which a file that was just touched needs no other touch."""
DATA_EVERY = 6 * 3600.0
"""The same for data. A touched blob is verified again, by every process that uses it."""


class Uses:
    """Touches what this process uses.

    Args:
        site: of the store.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._looked: dict[str, float] = {}
        self._data: set[str] = set()
        self._due = 0.0  # when the data are to be renewed

    def records(self, keys: Iterable[str]) -> None:
        """The manifests of these keys were used."""
        now = time.monotonic()
        if len(self._looked) > 100_000:
            self._looked.clear()
        for key in keys:
            if now - self._looked.get(key, -EVERY) >= EVERY:
                self._looked[key] = now
                self._renew(self._site.manifest(key), EVERY)
        if now >= self._due:
            self._due = now + DATA_EVERY
            for digest in list(self._data):
                self._renew(self._site.blob(digest), DATA_EVERY)

    def data(self, digest: str) -> None:
        """These bytes were read or written as data; while this process uses the store they stay in use."""
        if digest not in self._data:
            self._data.add(digest)
            self._renew(self._site.blob(digest), DATA_EVERY)

    def _renew(self, path: str, every: float) -> None:
        try:
            old = time.time() - self._site.fs.stat(path).st_mtime >= every
        except OSError:
            return  # in a pack, or gone
        if old:
            quietly(self._site.fs.touch, path)
