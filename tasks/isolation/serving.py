"""The loop inside a cell. It imports neither Prefect nor Dask, so that a cell starts fast."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any


def answer_all(connection: Connection, answer: Callable[[Any], Any]) -> None:
    """Answers every message; returns when the other end is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        try:
            connection.send(answer(connection.recv()))
        except (EOFError, ConnectionError):  # the worker is gone, however it went
            return


def flush() -> None:
    """Writes what was printed and waits."""
    with contextlib.suppress(Exception):
        sys.stdout.flush()
        sys.stderr.flush()
