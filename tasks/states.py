"""Trained states that a process keeps in memory between rounds.

Rule: a state has one owner. Who takes it out may train it further; what others need is in the store.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

HELD_STATES, HELD_BYTES = 512, 128 * 2**20
"""Trained states that a process keeps in memory, so that the next round need not read them."""


class States:
    """Trained states of this process by key; the least recently used go first."""

    def __init__(self) -> None:
        self._items: OrderedDict[bytes, tuple[Any, int]] = OrderedDict()
        self._bytes = 0

    def take(self, key: bytes) -> Any:
        """The state, which is forgotten here: its taker may train it further. None if there is none."""
        state, size = self._items.pop(key, (None, 0))
        self._bytes -= size
        return state

    def put(self, key: bytes, state: Any, size: int) -> None:
        self.take(key)
        self._items[key] = (state, size)
        self._bytes += size
        while self._items and (len(self._items) > HELD_STATES or self._bytes > HELD_BYTES):
            _, (_, dropped) = self._items.popitem(last=False)
            self._bytes -= dropped
