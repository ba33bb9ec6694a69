"""The Prefect API that a driver and its workers talk to.

Rule 1: a configured `PREFECT_API_URL` is used, and must answer; nothing is started then.
Rule 2: without one, the driver process has one temporary server, started once, used by all its searches,
        ended with the process. Its database lies in PREFECT_HOME, as with Prefect's own temporary server.
Rule 3: a temporary server that Prefect itself has started in this process already is used, not doubled.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import httpx
from prefect.client.orchestration import get_client
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED,
    PREFECT_SERVER_EPHEMERAL_ENABLED,
    PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS,
    get_current_settings,
    temporary_settings,
)

from prefect_tune.errors import InfrastructureError
from prefect_tune.tasks.child import start_child, stop_child
from prefect_tune.tasks.exits import API, at_exit

Announce = Callable[[str], None] | None

_REACH = 5.0  # seconds a configured API may take to answer
# The first start migrates a new database, which takes many seconds on a small machine.
_STARTUP_AT_LEAST = 60.0

_QUIET_SERVER = {
    "PREFECT_SERVER_UI_ENABLED": "false",
    "PREFECT__SERVER_EPHEMERAL": "1",
    "PREFECT__SERVER_FINAL": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_SERVICES_TRIGGERS_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_READ_BATCH_SIZE": "100",
}

_lock = threading.Lock()
_server: tuple[subprocess.Popen[bytes], str] | None = None


def ensure_api(announce: Announce = None) -> str:
    """The URL of an API that answers: the configured one, else this process's temporary server.

    Blocks while the server starts (seconds; on a new database several). Safe from any thread.

    Raises:
        InfrastructureError: the configured API does not answer, or no server can be started.
    """
    if configured := PREFECT_API_URL.value():
        _check(configured)
        return configured
    if running := _prefects_own():
        return running
    if not PREFECT_SERVER_EPHEMERAL_ENABLED.value():
        raise InfrastructureError(
            "Prefect has no API: PREFECT_API_URL is not set and temporary servers are switched off"
            " (PREFECT_SERVER_EPHEMERAL_ENABLED=false). Run `prefect server start` and set PREFECT_API_URL."
        )
    with _lock:
        if _server is None or _server[0].poll() is not None:
            _start(announce)
        assert _server is not None
        return _server[1]


def driver_api_url() -> str:
    """The URL that workers are told: the one in force here; cheap enough to ask for each task run."""
    if configured := PREFECT_API_URL.value():
        return configured
    return _prefects_own() or ensure_api()


def others_can_reach() -> bool:
    """Whether a Prefect API is configured that is more than this process's temporary server."""
    configured = PREFECT_API_URL.value()
    return bool(configured) and (_server is None or configured != _server[1])


@contextlib.contextmanager
def api_settings(url: str) -> Iterator[None]:
    """Puts the API at `url` in force for the Prefect calls made inside, in this context."""
    with temporary_settings({PREFECT_API_URL: url, PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED: False}):
        yield


def _check(url: str) -> None:
    with get_client(httpx_settings={"timeout": _REACH}, sync_client=True) as client:
        problem = client.api_healthcheck()
    if problem is not None:
        raise InfrastructureError(
            f"The Prefect API at {url} (PREFECT_API_URL) does not answer:"
            f" {type(problem).__name__}: {problem}."
            " Start it with `prefect server start`, or unset PREFECT_API_URL to use a temporary server."
        ) from problem


def _prefects_own() -> str | None:
    """The URL of the temporary server that Prefect runs in this process, if there is one."""
    module = sys.modules.get("prefect.server.api.server")  # importing it takes seconds; asking does not
    instance = getattr(module, "SubprocessASGIServer", None)
    server = getattr(instance, "_instances", {}).get(None)
    if server is None or not getattr(server, "running", False):
        return None
    process = server.server_process
    return server.api_url if process is not None and process.poll() is None else None


def _start(announce: Announce) -> None:
    """Starts the server on a socket that is open already, so that no port can be lost in between."""
    global _server
    if announce:
        announce("starting a temporary Prefect API")
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(128)
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/api"
        environment = {
            **_QUIET_SERVER,
            **os.environ,
            **get_current_settings().to_environment_variables(exclude_unset=True),
        }
        environment.pop("PREFECT_API_URL", None)
        options = {"socket": listening.fileno()}
        process = start_child("server", options, environment, pass_fds=(listening.fileno(),))
    try:
        _wait(process, url)
    except BaseException:
        stop_child(process, grace=1.0)
        raise
    _server = (process, url)
    at_exit(API, close_api)


def _wait(process: subprocess.Popen[bytes], url: str) -> None:
    limit = max(_STARTUP_AT_LEAST, float(PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS.value()))
    deadline = time.monotonic() + limit
    with httpx.Client(timeout=2.0, trust_env=False, verify=False) as client:  # plain HTTP on loopback
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise InfrastructureError(
                    f"The temporary Prefect API ended while starting (exit code {process.returncode}); its"
                    " message is above. Run `prefect server start` to see more, or set PREFECT_API_URL to a"
                    " running server."
                )
            try:  # the socket listens already: the request waits in its queue until the server accepts it
                if client.get(f"{url}/health").status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.02)
    raise InfrastructureError(
        f"The temporary Prefect API did not start within {limit:.0f} s. Raise"
        " PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS, or run `prefect server start` and set"
        " PREFECT_API_URL."
    )


def close_api() -> None:
    """Ends the temporary server of this process, if one runs; the next `ensure_api` starts another."""
    global _server
    with _lock:
        if _server is not None:
            stop_child(_server[0], grace=4.0)
            _server = None
