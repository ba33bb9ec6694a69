"""Warnings of user code, collected per batch.

Rule: Python's `catch_warnings` changes the whole process and must be left in the order it was entered. On a
cluster of threads batches overlap, so one such block serves all of them, and each thread has its own list.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# scikit-learn says so of its own forests where another thread has just emptied the process's filters.
_RACE = "`sklearn.utils.parallel.delayed` should be used with"
_lock = threading.Lock()
_thread = threading.local()
_open = 0
_block: Any = None


@contextmanager
def caught_warnings() -> Iterator[list[tuple[str, str]]]:
    """A list that fills with (class name, text) of the warnings that this thread gives inside the block."""
    mine: list[tuple[str, str]] = []
    _enter()
    _thread.sink = mine
    try:
        yield mine
    finally:
        _thread.sink = None
        _leave()


def _enter() -> None:
    global _open, _block
    with _lock:
        if _open == 0:
            _block = warnings.catch_warnings()
            _block.__enter__()
            warnings.simplefilter("always")
            # The collector gives these in whatever thread it happens to run: they are nobody's here.
            warnings.simplefilter("ignore", ResourceWarning)
            warnings.showwarning = _passing_on(warnings.showwarning)
        _open += 1


def _leave() -> None:
    global _open
    with _lock:
        _open -= 1
        if _open == 0:
            _block.__exit__(None, None, None)


def _passing_on(show: Any) -> Any:
    def collect(message: Any, category: Any, *where: Any, **more: Any) -> None:
        if _RACE in str(message):
            return
        sink = getattr(_thread, "sink", None)
        if sink is None:
            show(message, category, *where, **more)
        else:
            sink.append((category.__name__, str(message)[:500]))

    return collect
