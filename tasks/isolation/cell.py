"""The worker's end of a cell: a process of its own for user code, watched while it works."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from typing import Any

import psutil

from prefect_tune.errors import InfrastructureError
from prefect_tune.tasks.isolation.limits import held_by
from prefect_tune.tasks.nursery import Nursery, Nursling

LOOK = 0.1
"""Seconds between two looks at memory, time and whether the work is still wanted."""
START = 300.0
"""Seconds that a new cell may take to load what it is to run."""
GONE = (EOFError, OSError)
"""What talking to a cell raises whose process is gone."""
_GRACE = 1.0  # seconds that a process gets to end

_nurseries: dict[str, Nursery] = {}  # module -> what forks the cells that serve it
_lock = threading.Lock()


class Cell:
    """A process that runs what it is told, one thing after the other.

    Args:
        module: with a function `serve(descriptor)`, which talks over the socket until that is closed.
        preload: what else it will need in any case.
    """

    def __init__(self, module: str, preload: Sequence[str] = ()) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            options = {"socket": theirs.fileno(), "module": module}
            nursery = _nursery_for(module, preload)
            self._process = nursery.start(options, dict(os.environ), pass_fds=(theirs.fileno(),))
        self._connection = Connection(ours.detach())
        if not (pid := self._process.pid):
            raise InfrastructureError(
                "this worker cannot start a process for user code (no memory, or no processes left); give it "
                "more of them, or run fewer workers."
            )
        self._seen = psutil.Process(pid)

    @property
    def alive(self) -> bool:
        """Whether it can be told anything."""
        return self._process.poll() is None and not self._connection.closed

    @property
    def bereft(self) -> bool:
        """Whether it has ended because what had forked it was gone: nothing that it did."""
        return isinstance(self._process, Nursling) and self._process.bereft

    def asked(self, message: Any) -> Iterator[Any]:
        """What it says to the message, as it comes, and None whenever it is time to look at its limits."""
        self._connection.send(message)
        looked = time.monotonic()
        while True:
            if self._connection.poll(LOOK):
                yield self._connection.recv()
            if time.monotonic() - looked >= LOOK:
                looked = time.monotonic()
                yield None

    def memory(self) -> int:
        """Bytes that the process and those it has started have made, 0 once they are gone."""
        with contextlib.suppress(psutil.Error):
            return sum(held_by(one.pid) for one in [self._seen, *self._seen.children(recursive=True)])
        return 0

    def epitaph(self) -> str:
        """How the process ended, in words; it is gone then."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_GRACE)
        code = self._process.poll()
        self.kill()
        if code is None:
            return "its process closed the connection"
        if code < 0:
            name = signal.Signals(-code).name
            hint = " (often: the machine ran out of memory)" if name == "SIGKILL" else ""
            return f"its process was ended by {name}{hint}"
        return f"its process exited with code {code}"

    def kill(self) -> None:
        """Ends the process and whatever it has started."""
        with contextlib.suppress(psutil.Error):
            for child in self._seen.children(recursive=True):
                child.kill()
        self._process.kill()
        self._process.wait()
        self._connection.close()


def _nursery_for(module: str, preload: Sequence[str]) -> Nursery:
    with _lock:
        if module not in _nurseries:
            _nurseries[module] = Nursery("cell", (module, *preload), dict(os.environ))
        return _nurseries[module]
