"""A process that has imported what its children need, and forks them: the second costs milliseconds.

Rule 1: it runs no code of the user's and starts no thread. Where a library has started one all the same, its
        children are started from nothing, as they are where systems do not bear forks (all but Linux).
Rule 2: it ends when whoever started it is gone or closes it; its children notice, and end too.
Rule 3: a child gets the path, the folder and the environment of the moment in which it is asked for. What
        libraries read from the environment as they load, they have read with the nursery's.

Over a socket it gets a message per child, with the child's descriptors, and tells what begins and ends.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any

from prefect_tune.tasks.child import Child, child_order, start_child

FORKS = sys.platform == "linux"
"""Whether processes can be forked here; libraries of other systems do not expect it."""
_LONGEST = 1 << 17  # bytes of a message
_HARMLESS = {"jemalloc_bg_thd"}  # threads of libraries that survive a fork: jemalloc starts its own again
_LOOK = 0.02  # seconds
_PARENT = 0.5  # seconds between two looks at whoever started it


class Nursery:
    """Starts children of one role; close it when they have ended.

    Args:
        role: of the children.
        preload: modules that they need; one that is not installed is left out.
        environment: in which they are imported.
    """

    def __init__(self, role: str, preload: Sequence[str], environment: dict[str, str]) -> None:
        self._role, self._preload, self._environment = role, list(preload), environment
        self._lock = threading.RLock()
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._asked: list[Nursling] = []  # in the order in which they begin
        self._living: dict[int, Nursling] = {}

    def start(
        self, options: dict[str, Any], environment: dict[str, str], pass_fds: tuple[int, ...] = ()
    ) -> Child:
        """A new child; it may take the imports' seconds until it has begun.

        Args:
            options: of the child, JSON; `socket` is the descriptor in `pass_fds`, if there is one.
            environment: of the child.
            pass_fds: at most one.
        """
        if not FORKS:
            return start_child(self._role, options, environment, pass_fds=pass_fds)
        order = {**child_order(self._role, options), "cwd": os.getcwd(), "environment": environment}
        message = json.dumps(order).encode()
        if len(message) > _LONGEST:
            return start_child(self._role, options, environment, pass_fds=pass_fds)
        with self._lock:
            self.listen()
            if self._socket is None:
                self._open()
            assert self._socket is not None
            try:
                socket.send_fds(self._socket, [message], pass_fds)
            except OSError:  # it has just died
                self._lost()
                return start_child(self._role, options, environment, pass_fds=pass_fds)
            child = Nursling(self)
            self._asked.append(child)
            return child

    def close(self) -> None:
        """Ends it; whoever of its children is left ends soon."""
        with self._lock:
            if self._socket is not None:
                self._socket.close()
                self._socket = None
            if self._process is not None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(1.0)
                self._process.kill()
                self._process.wait()
                self._process = None

    def listen(self, seconds: float = 0.0) -> None:
        """Takes in what it has told, after at most so many seconds without a word."""
        with self._lock:
            while self._socket is not None and select.select([self._socket], [], [], seconds)[0]:
                seconds = 0.0
                try:
                    told = self._socket.recv(_LONGEST)
                except OSError:
                    told = b""
                if not told:
                    self._lost()
                    return
                self._heard(json.loads(told))

    def _open(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            options = {"socket": theirs.fileno(), "preload": self._preload}
            self._process = start_child("nursery", options, self._environment, pass_fds=(theirs.fileno(),))
        self._socket = ours

    def _heard(self, told: dict[str, Any]) -> None:
        if "ended" in told:
            if (ended := self._living.pop(told["ended"], None)) is not None:
                ended.returncode = told["code"]
            return
        child = self._asked.pop(0)
        child.begun(told.get("begun", 0))
        if child.returncode is None:
            self._living[child.pid] = child

    def _lost(self) -> None:
        """It is gone: its children, who end too, do so at once, and those that were asked for never begin."""
        for child in [*self._living.values(), *self._asked]:
            child.kill()
            child.returncode, child.bereft = -signal.SIGKILL, True
        self._living.clear()
        self._asked.clear()
        self.close()


class Nursling:
    """A child of a nursery, to be handled as a `subprocess.Popen`.

    Attributes:
        returncode: as there, None while it lives.
        bereft: whether it was ended because its nursery was gone.
    """

    def __init__(self, nursery: Nursery) -> None:
        self._nursery, self._pid, self._end = nursery, 0, 0
        self.returncode: int | None = None
        self.bereft = False

    @property
    def pid(self) -> int:
        """Its process, which has begun by now; 0 if it never did."""
        while not self._pid and self.returncode is None:
            self._nursery.listen(_LOOK)
        return self._pid

    def begun(self, pid: int) -> None:
        """Takes in that it is that process, or, with 0, that it could not be started."""
        self._pid = pid
        if not pid:
            self.returncode = -signal.SIGKILL
        elif self._end:  # it was told to end before it was there
            self._signal(self._end)

    def poll(self) -> int | None:
        """How it ended, None while it lives."""
        self._nursery.listen()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """How it ended, once it has.

        Raises:
            subprocess.TimeoutExpired: it lives after `timeout` seconds.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if deadline is not None and time.monotonic() >= deadline:
                raise subprocess.TimeoutExpired(f"process {self._pid}", timeout or 0.0)
            self._nursery.listen(_LOOK)
        return code

    def terminate(self) -> None:
        """Asks it to end."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """Ends it."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        if self.returncode is not None:
            return
        if not self._pid:
            self._end = number
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, number)


def serve(options: dict[str, Any], starter: int) -> dict[str, Any] | None:
    """The order of a child, in the child that it has just forked; None when its own parent is gone.

    Args:
        options: `socket`, its descriptor, and `preload`, modules.
        starter: process that has started it; forks of that one may keep the socket open when it is gone.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in options["preload"]:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    gc.collect()
    gc.freeze()  # a collection in a child would touch, and so copy, all that they share
    parent = socket.socket(fileno=options["socket"])
    ended, wake = os.pipe()
    os.set_blocking(ended, False)
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    before = signal.signal(signal.SIGCHLD, lambda *_: None)
    while True:
        watched: list[Any] = [parent, ended]
        ready = select.select(watched, [], [], _PARENT)[0]
        if os.getppid() != starter:
            return None
        if ended in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(ended, 4096)
            _tell_ends(parent)
        if parent not in ready:
            continue
        try:
            message, descriptors, _, _ = socket.recv_fds(parent, _LONGEST, 1)
        except OSError:  # closed with words of ours unread
            return None
        if not message:
            return None
        order = json.loads(message)
        try:
            child = os.fork() if _alone() else _started(order, descriptors)
        except OSError:
            child = -1
        if child == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, before)
            for descriptor in (ended, wake):
                os.close(descriptor)
            parent.close()
            return _made_own(order, descriptors, starter)
        for descriptor in descriptors:
            os.close(descriptor)
        parent.send(json.dumps({"begun": max(child, 0)}).encode())


def _alone() -> bool:
    """Whether this process has one thread, so that its children are whole."""
    names = []
    for thread in os.listdir("/proc/self/task"):
        with contextlib.suppress(OSError), open(f"/proc/self/task/{thread}/comm", encoding="utf-8") as file:
            names.append(file.read().strip())
    return sum(name not in _HARMLESS for name in names) == 1


def _started(order: dict[str, Any], descriptors: Sequence[int]) -> int:
    """The process of a child that begins from nothing."""
    options = {**order["options"], "socket": descriptors[0]} if descriptors else order["options"]
    here = {"cwd": order["cwd"], "path": order["path"]}
    started = start_child(order["role"], options, order["environment"], pass_fds=tuple(descriptors), **here)
    started.returncode = 0  # its end is told by `_tell_ends`, not here
    return started.pid


def _made_own(order: dict[str, Any], descriptors: Sequence[int], starter: int) -> dict[str, Any]:
    """The child's order, after it has become a process of its own."""
    os.setsid()
    os.environ.clear()
    os.environ.update(order["environment"])
    with contextlib.suppress(OSError):
        os.chdir(order["cwd"])
    sys.path[:] = order["path"]
    if "numpy" in sys.modules:
        import numpy as np

        np.random.seed()  # the standard library's generator sees to that itself
    if descriptors:
        order["options"]["socket"] = descriptors[0]
    order["parent"], order["grandparent"] = os.getppid(), starter
    return order


def _tell_ends(parent: socket.socket) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        with contextlib.suppress(OSError):
            parent.send(json.dumps({"ended": pid, "code": os.waitstatus_to_exitcode(status)}).encode())
