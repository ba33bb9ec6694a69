"""What a candidate can do to the process that it runs in."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time


class Unpicklable(Exception):
    """An error that cannot travel."""

    def __init__(self) -> None:
        super().__init__("cannot travel")
        self.handle = open(os.devnull)  # noqa: SIM115 - what makes it so

    def __reduce__(self):
        raise TypeError("it holds an open file")


def _ignore_and_sleep() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(3600)


def _hold_the_interpreter() -> None:
    # A C function called through PyDLL keeps the interpreter's lock: no other thread of the process runs.
    ctypes.PyDLL(None).sleep(3600)


def _grow() -> None:
    hoard = []
    while True:
        hoard.append(bytearray(b"x" * (32 << 20)))
        time.sleep(0.01)


def _raise(error: BaseException) -> None:
    raise error


MISDEEDS = {
    "raise": lambda: _raise(ValueError("it went wrong")),
    "SystemExit": lambda: sys.exit(3),
    "KeyboardInterrupt": lambda: _raise(KeyboardInterrupt()),
    "unpicklable": lambda: _raise(Unpicklable()),
    "huge": lambda: _raise(ValueError("x" * (50 << 20))),
    "segfault": lambda: ctypes.string_at(0),
    "abort": os.abort,
    "exit 0": lambda: os._exit(0),
    "sleep": lambda: time.sleep(3600),
    "ignore SIGTERM": _ignore_and_sleep,
    "hold the interpreter": _hold_the_interpreter,
    "grow": _grow,
    "allocate at once": lambda: bytearray(64 << 30).extend(b"x"),
    "nan score": lambda: None,
}
"""By name; the last one is done where it is scored."""


def misbehave(name: str) -> None:
    """Does that, and returns only if it does nothing here."""
    MISDEEDS[name]()
