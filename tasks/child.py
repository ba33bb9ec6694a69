"""Processes that end with their parent: Dask workers, the temporary API server of a driver, the cells that
user code runs in, and the nurseries that fork workers and cells.

Rule 1: a child imports nothing of the user's `__main__`; it is told the driver's `sys.path` and no more.
Rule 2: a child lives in a session of its own, so Ctrl-C reaches only the driver, which then closes in order.
Rule 3: when the parent is gone, however it died, the child ends within seconds and removes its
        scratch folder.

The parent writes an `Order` as JSON into the command line; `BOOTSTRAP` reads it.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from typing import Any, Protocol

BOOTSTRAP = (
    "import json, sys; order = json.loads(sys.argv[1]); sys.path[:] = order['path'];"
    " from prefect_tune.tasks.child import main; main(order)"
)
ORDERLY = 86
"""Exit code of a worker that was told to end. Not 0: user code may leave its process with that."""
_LOOK_AGAIN = 0.5  # seconds between two looks at the parent
_GRACE = 3.0  # seconds to end well once the parent is gone


def driver_path() -> list[str]:
    """The driver's `sys.path`, the working directory spelled out, so that a child imports what it can."""
    return [os.path.abspath(entry) if entry else os.getcwd() for entry in sys.path]


class Child(Protocol):
    """What is asked of a started process; `subprocess.Popen` has it."""

    @property
    def pid(self) -> int: ...

    def poll(self) -> int | None: ...

    def wait(self, timeout: float | None = None) -> int: ...

    def terminate(self) -> None: ...

    def kill(self) -> None: ...


def child_order(role: str, options: dict[str, Any]) -> dict[str, Any]:
    """What a child of this process is told, as JSON."""
    return {"role": role, "parent": os.getpid(), "path": driver_path(), "options": options}


def start_child(
    role: str,
    options: dict[str, Any],
    environment: dict[str, str],
    *,
    pass_fds: tuple[int, ...] = (),
    cwd: str | None = None,
    path: list[str] | None = None,
) -> subprocess.Popen[bytes]:
    """The started process.

    Args:
        role: `worker`, `server`, `cell` or `nursery`.
        options: of that role, JSON.
        environment: all of it.
        pass_fds: descriptors that it gets.
        cwd: its folder; None: ours.
        path: its `sys.path`; None: ours.
    """
    order = child_order(role, options)
    order["path"] = order["path"] if path is None else path
    return subprocess.Popen(
        [sys.executable, "-c", BOOTSTRAP, json.dumps(order)],
        env=environment,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        pass_fds=pass_fds,
        cwd=cwd,
    )


def stop_child(process: Child, grace: float) -> None:
    """Asks the process to end, and kills it after `grace` seconds."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(grace)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def main(order: dict[str, Any]) -> None:
    """Runs the child until it is told to end."""
    _show(order["role"])
    if order["role"] == "nursery":
        from prefect_tune.tasks import nursery

        forked = nursery.serve(order["options"], order["parent"])
        if forked is None:
            os._exit(0)  # nothing of its own is left to be done
        main(forked)
        return
    family = _Family(order["parent"], order.get("grandparent"), order["options"].get("scratch"))
    threading.Thread(target=family.watch, daemon=True).start()
    {"worker": _worker, "server": _server, "cell": _cell}[order["role"]](order["options"], family)


def _show(role: str) -> None:
    """Names the process after its role where processes are listed: its command line may be a nursery's."""
    with contextlib.suppress(OSError), open("/proc/self/comm", "w", encoding="ascii") as file:
        file.write(f"tune-{role}")


class _Family:
    """The parent, and of a forked child the driver that started its nursery, as the child sees them."""

    def __init__(self, parent: int, grandparent: int | None, scratch: str | None) -> None:
        self.parent, self.grandparent, self.scratch = parent, grandparent, scratch

    def orphaned(self) -> bool:
        """Whether the parent is gone, or the grandparent: a nursery may notice later than its children."""
        if os.getppid() != self.parent:
            return True
        return self.grandparent is not None and _parent_of(self.parent) != self.grandparent

    def watch(self) -> None:
        """Ends this process when the parent is gone, gently at first."""
        while not self.orphaned():
            time.sleep(_LOOK_AGAIN)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(_GRACE)
        self.leave(1)

    def leave(self, code: int) -> None:
        """Ends this process at once; an orphan takes the scratch folder along, for nobody else will."""
        if self.scratch and self.orphaned():
            shutil.rmtree(self.scratch, ignore_errors=True)
        os._exit(code)


def _parent_of(process: int) -> int | None:
    """The number of its parent; None when it is gone. For systems that have nurseries."""
    try:
        with open(f"/proc/{process}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[1])
    except OSError:
        return None


def _worker(options: dict[str, Any], family: _Family) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Before a task can arrive: the first one must not wait for imports.
    for name in options["preload"]:
        try:
            importlib.import_module(name)
        except ImportError:
            continue
    from distributed import Worker

    async def run() -> None:
        async with Worker(options["scheduler"], **options["worker"]) as worker:

            def end() -> None:
                asyncio.ensure_future(worker.close(timeout=2, executor_wait=False))  # noqa: RUF006

            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, end)
            await worker.finished()

    # A driver that was killed is no fault of the worker's: its complaints would be the user's last lines.
    logging.getLogger("distributed.worker").addFilter(lambda record: not family.orphaned())
    asyncio.run(run())
    _flush_prefect()
    family.leave(ORDERLY)  # threads of user code may still run; nobody waits for them


def _flush_prefect() -> None:
    """Sends the events and logs that wait in this process; without them task runs would stay 'Running'."""
    from prefect_tune.tasks import internals

    if internals.FAST_PATH:
        internals.EventsWorker.drain_all(timeout=4)
        internals.APILogWorker.drain_all(timeout=4)
    sys.stdout.flush()
    sys.stderr.flush()


def _server(options: dict[str, Any], family: _Family) -> None:
    import socket

    import uvicorn

    config = uvicorn.Config(
        "prefect.server.api.server:create_app",
        factory=True,
        log_level="error",
        lifespan="on",
        timeout_graceful_shutdown=2,
    )
    with socket.socket(fileno=options["socket"]) as listening:
        uvicorn.Server(config).run(sockets=[listening])


def _cell(options: dict[str, Any], _: _Family) -> None:
    importlib.import_module(options["module"]).serve(options["socket"])
