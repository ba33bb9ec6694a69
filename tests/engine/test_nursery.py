"""Processes that are forked by one that has imported what they need."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil
import pytest

from prefect_tune.tasks.child import Child
from prefect_tune.tasks.nursery import FORKS, Nursery

pytestmark = pytest.mark.skipif(not FORKS, reason="processes are not forked on this system")


class Nursed:
    """A child, and the way to it."""

    def __init__(self, nursery: Nursery, **environment: str) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            options = {"module": "cradle", "socket": theirs.fileno()}
            own = {**os.environ, **environment}
            self.process: Child = nursery.start(options, own, pass_fds=(theirs.fileno(),))
        self.connection = Connection(ours.detach())

    def says(self, *question: Any) -> Any:
        """Its answer."""
        self.connection.send(question)
        assert self.connection.poll(60), question
        return self.connection.recv()


def lives(pid: int) -> bool:
    """Whether the process is there and does not merely wait to be buried."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def nursery() -> Iterator[Nursery]:
    made = Nursery("cell", ("cradle", "no_such_module"), dict(os.environ))
    yield made
    made.close()


def test_children_are_processes_of_their_own(
    nursery: Nursery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has the environment, folder and path of its moment, a session, a name and chance of its own."""
    first = Nursed(nursery, WHO="first")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path / "later"))
    second = Nursed(nursery, WHO="second")
    assert [child.says("environment", "WHO") for child in (first, second)] == ["first", "second"]
    assert second.says("folder") == str(tmp_path) != first.says("folder")
    assert str(tmp_path / "later") in second.says("path")
    assert str(tmp_path / "later") not in first.says("path")
    assert first.says("parent") == second.says("parent") != os.getpid()
    for child in (first, second):
        assert child.says("session", 0) == child.process.pid
        assert child.says("name") == "tune-cell"
        assert child.says("threads") == 2  # its own, and the one that looks whether its parent is there
    mine, other = first.says("chance"), second.says("chance")
    assert mine[0] != other[0]
    assert mine[1] != other[1]


def test_second_child_costs_no_imports(nursery: Nursery) -> None:
    """It has used a fraction of the processor's time that the nursery has."""
    first, second = Nursed(nursery), Nursed(nursery)
    assert second.says("threads") == 2
    used = psutil.Process(second.process.pid).cpu_times()
    imports = psutil.Process(first.says("parent")).cpu_times()
    assert used.user + used.system < (imports.user + imports.system) / 2


def test_ends_are_told(nursery: Nursery) -> None:
    """Exit codes and signals come back as of `subprocess.Popen`; one that lives has none."""
    leaves, dies, asked = (Nursed(nursery) for _ in range(3))
    assert [child.process.poll() for child in (leaves, dies, asked)] == [None] * 3
    leaves.connection.send(("exit", 7))
    assert leaves.process.wait(10) == 7
    dies.process.kill()
    assert dies.process.wait(10) == -signal.SIGKILL
    with pytest.raises(subprocess.TimeoutExpired):
        asked.process.wait(0.05)
    asked.connection.close()
    assert asked.process.wait(10) == 0
    dies.process.terminate()  # nobody any more


def test_child_that_is_ended_before_it_begins(nursery: Nursery) -> None:
    """It is killed as soon as it is there: imports take longer than this."""
    child = Nursed(nursery)
    child.process.kill()
    assert child.process.wait(60) == -signal.SIGKILL


def test_nursery_that_dies(nursery: Nursery) -> None:
    """Its children end with it, and are said to; the next child has another nursery."""
    first = Nursed(nursery)
    os.kill(first.says("parent"), signal.SIGKILL)
    assert first.process.wait(10) == -signal.SIGKILL
    second = Nursed(nursery)
    assert second.says("environment", "HOME") == os.environ.get("HOME")
    assert not lives(first.process.pid)


def test_nothing_is_left(nursery: Nursery) -> None:
    """Closed under a child that lives, it ends, and so does the child."""
    child = Nursed(nursery)
    pids = [child.says("parent"), child.process.pid]
    nursery.close()
    deadline = time.monotonic() + 20
    while any(map(lives, pids)):
        assert time.monotonic() < deadline, pids
        time.sleep(0.05)


def test_threads_are_not_forked() -> None:
    """Where a library has started a thread, children start from nothing, with folder, path and descriptor."""
    nursery = Nursery("cell", ("cradle", "restless"), dict(os.environ))
    child = Nursed(nursery, WHO="me")
    try:
        assert child.says("environment", "WHO") == "me"
        assert child.says("folder") == os.getcwd()
        assert child.says("threads") == 2  # a forked one would lack the third, and whatever that holds
        assert "tasks.child" in " ".join(psutil.Process(child.process.pid).cmdline())
        assert sys.executable in psutil.Process(child.process.pid).cmdline()[0]
        assert '"role": "cell"' in " ".join(psutil.Process(child.process.pid).cmdline())
        child.connection.send(("exit", 3))
        assert child.process.wait(10) == 3
    finally:
        nursery.close()
