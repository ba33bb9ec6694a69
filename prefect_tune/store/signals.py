"""What the store tells its callers: a blob is gone, the cache is in trouble, what was counted."""

from __future__ import annotations

import threading
import warnings
from collections import Counter
from dataclasses import dataclass

from prefect_tune.errors import InfrastructureError, StoreUnavailable


class StoreWarning(UserWarning):
    """The store is full, read-only or damaged; the search goes on without that part of it."""


class MissingBlob(InfrastructureError):
    """A record was found, but what it points to cannot be used; compute it again.

    Args:
        key: key of the record (digest, for data that was stored by its content only).
        reason: what was wrong, in words.
    """

    def __init__(self, key: str, reason: str = "its bytes are missing") -> None:
        self.key, self.reason = key, reason
        super().__init__(f"store: record {key[:16]}…: {reason}. It counts as a miss: compute it again.")

    def __reduce__(self) -> tuple:
        return MissingBlob, (self.key, self.reason)


def unavailable(root: str, why: str, move: str) -> StoreUnavailable:
    """The error for a folder that cannot serve as a store: place, value, next move."""
    error = StoreUnavailable(f"store: {root}: {why}. {move}")
    error.root, error.why, error.move = root, why, move  # type: ignore[attr-defined]
    return error


@dataclass(frozen=True, slots=True)
class Problem:
    """One entry of a store that does not verify."""

    path: str
    fault: str

    def __str__(self) -> str:
        return f"{self.path}: {self.fault}"


class Counters:
    """What one opened store did since it was opened; safe to change from several threads.

    `hits` and `misses` count keys looked up, `corrupt` counts entries that failed verification, `uncached`
    counts, by reason, what was computed but could not be kept or used.
    """

    NAMES = ("hits", "misses", "writes", "bytes_written", "bytes_read", "corrupt")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.hits = self.misses = self.writes = self.corrupt = 0
        self.bytes_written = self.bytes_read = 0
        self.uncached: Counter[str] = Counter()

    def add(self, **amounts: int) -> None:
        with self._lock:
            for name, amount in amounts.items():
                setattr(self, name, getattr(self, name) + amount)

    def refuse(self, reason: str) -> None:
        with self._lock:
            self.uncached[reason] += 1

    def as_dict(self) -> dict:
        """The numbers as plain JSON."""
        return {name: getattr(self, name) for name in self.NAMES} | {"uncached": dict(self.uncached)}

    def __repr__(self) -> str:
        return f"Counters({self.as_dict()})"


class Notices:
    """Warnings of one opened store: each kind is said once, later ones are only counted."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def once(self, kind: str, message: str) -> None:
        if kind not in self._said:
            self._said.add(kind)
            warnings.warn(message, StoreWarning, stacklevel=4)
