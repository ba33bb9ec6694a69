"""A Prefect API that can be killed and started again, for tests that take it away."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from prefect_tune.tasks.child import start_child

LONG = 240.0  # seconds after which a process is taken for stuck; none takes a tenth of it


def until(true: Callable[[], bool], what: str) -> None:
    """Returns when something is so."""
    deadline = time.monotonic() + LONG
    while not true():
        assert time.monotonic() < deadline, f"it never was so: {what}"
        time.sleep(0.05)


FRUGAL = {
    "PREFECT_SERVER_UI_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_SCHEDULER_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_LATE_RUNS_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_FOREMAN_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_TRIGGERS_ENABLED": "false",
}
"""A server without services that nothing here needs."""


class ApiProcess:
    """A Prefect API in a process of its own, at one port and with one database, whenever it is started."""

    def __init__(self, home: Path) -> None:
        self.environment = {**os.environ, **FRUGAL, "PREFECT_HOME": str(home)}
        self.environment.pop("PREFECT_API_URL", None)
        self.port, self.process = 0, None
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/api"

    def start(self) -> None:
        with self._bound() as listening:
            self.port = listening.getsockname()[1]
            listening.listen(128)
            place = {"socket": listening.fileno()}
            self.process = start_child("server", place, self.environment, pass_fds=(listening.fileno(),))
        until(self._answers, "the server answers")

    def _bound(self) -> socket.socket:
        deadline = time.monotonic() + LONG
        while True:
            listening = socket.socket()
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listening.bind(("127.0.0.1", self.port))
                return listening
            except OSError:  # for a moment the port may be somebody else's end of a connection
                listening.close()
                assert time.monotonic() < deadline
                time.sleep(0.2)

    def _answers(self) -> bool:
        assert self.lives()
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(f"{self.url}/health", timeout=5).status_code == 200
        return False

    def lives(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def kill(self) -> None:
        """Ends it as the machine would that runs out of memory."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def states(self) -> list[str]:
        """The states of all flow runs so far."""
        answer = httpx.post(f"{self.url}/flow_runs/filter", json={}, timeout=60)
        return [run["state_type"] for run in answer.raise_for_status().json()]
