"""Where searches run and things go wrong: their folder, API, cluster, and the processes they leave."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import distributed
import httpx
import psutil
from forked import MARK
from slopes import lines

LONG = 120.0
"""Seconds after which a search has hung; undisturbed, none takes a tenth of it."""


def until(true: Callable[[], Any], what: str, seconds: float = LONG) -> Any:
    """What is true by then, as soon as it is."""
    deadline = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < deadline, f"it never was so within {seconds} s: {what}"
        time.sleep(0.02)
    return found


def worker_pids(cluster: str) -> list[int]:
    """The worker processes of the cluster."""
    with distributed.Client(cluster, set_as_default=False) as client:
        return list(client.run(os.getpid, on_error="ignore").values())


class Forker:
    """The process that forks all searches."""

    def __init__(self, home: Path) -> None:
        environment = {**os.environ, "PREFECT_HOME": str(home), "PREFECT_LOGGING_LEVEL": "WARNING"}
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("forked.py"))],
            env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def __call__(self, order: dict[str, Any]) -> int:
        """The process id of the search that has begun."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


@dataclass
class Run:
    """A search that has begun.

    Attributes:
        pid: its process.
        written: the file in which it says how it ended.
    """

    pid: int
    written: Path

    def lives(self) -> bool:
        """Whether its process is there."""
        try:
            return psutil.Process(self.pid).status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    def kill(self, number: int = signal.SIGKILL) -> None:
        os.kill(self.pid, number)
        if number == signal.SIGKILL:
            until(lambda: not self.lives(), "a killed process is gone")

    def ended(self, seconds: float = LONG) -> dict[str, Any] | None:
        """What it said when it ended, None if it was killed."""
        until(lambda: not self.lives(), f"{self.written.name} ends", seconds)
        return json.loads(self.written.read_text()) if self.written.exists() else None

    def well(self, seconds: float = LONG) -> dict[str, Any]:
        """What it found; it must have ended well."""
        found = self.ended(seconds)
        assert found is not None, self.output()
        assert "error" not in found, found
        return found

    def output(self) -> str:
        """What it printed."""
        return self.written.with_suffix(".out").read_text(errors="replace")[-4000:]


@dataclass
class World:
    """Where one case happens.

    Attributes:
        folder: with the store, the log and what searches say.
        forker: starts searches.
        api: the URL they use.
        cluster: the address they use.
        runs: those that have begun.
    """

    folder: Path
    forker: Forker
    api: str
    cluster: str
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)
    runs: list[Run] = field(default_factory=list)

    @property
    def store(self) -> Path:
        return self.folder / "store"

    def log(self) -> list[str]:
        """A line for each piece of work that was begun so far."""
        return lines(self.folder / "log")

    def start(self, kind: str, *, failpoint: str = "", environment: Any = None, largest_file: int = 0,
              **options: Any) -> Run:  # fmt: skip
        """A search that has begun; see `matrix.search` for the options."""
        (self.folder / "tmp").mkdir(exist_ok=True)
        number = len(self.runs)
        order = {
            "kind": kind, "folder": str(self.folder), "number": number, "api": self.api, "mark": self.mark,
            "failpoint": failpoint, "environment": environment or {}, "largest_file": largest_file,
            "options": {"cluster": self.cluster, "name": self.mark, **options},
        }  # fmt: skip
        self.runs.append(Run(self.forker(order), self.folder / f"{number}.json"))
        return self.runs[-1]

    def under_way(self, kind: str, work: list[str], dice: random.Random, **options: Any) -> Run:
        """A search that is somewhere in the first half of its work, by chance."""
        run = self.start(kind, **options)
        self.worked(dice.randint(2, len(work) // 2))
        return run

    def worked(self, count: int) -> None:
        """Returns once so many pieces of work have been begun."""
        until(lambda: len(self.log()) >= count, f"{count} pieces of work")

    def left(self) -> list[str]:
        """Processes that its searches started and that are still there."""
        found = [f"the search {run.pid}" for run in self.runs if run.lives()]
        for process in psutil.process_iter():
            try:
                if process.environ().get(MARK) == self.mark and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(" ".join(process.cmdline())[:200])
            except psutil.Error:
                continue
        return found

    def states(self) -> list[str]:
        """The states of the searches' own flow runs, as the API has them."""
        asked = {"flow_runs": {"name": {"any_": [self.mark]}}}
        answer = httpx.post(f"{self.api}/flow_runs/filter", json=asked, timeout=60)
        return [run["state_type"] for run in answer.raise_for_status().json()]

    def close(self) -> None:
        """Ends what is left after a failed case."""
        for run in self.runs:
            if run.lives():
                run.kill()
        for process in psutil.process_iter():
            try:
                if process.environ().get(MARK) == self.mark:
                    process.kill()
            except psutil.Error:
                continue
