"""Hours of searches in one process, with faults drawn by a seed: nothing may be lost, and nothing may grow.

    make endurance [ARGS="--minutes 120 --seed 0 --json FILE"]

One program runs small searches of all kinds one after the other, as a long-lived flow or notebook does, on
the local cluster and the temporary API that it keeps. Meanwhile its workers are killed or made to stand
still. Each table must be that of the undisturbed search, to the bit. After each search it notes what it and
its children hold: memory, open files, sockets, threads, processes, and entries of its temporary folder. At
the end the last quarter is compared with the second one; the first is left out, for caches fill there.
"""

from __future__ import annotations

import argparse
import atexit
import json
import logging
import os
import random
import shutil
import signal
import statistics
import sys
import tempfile
import threading
import time
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parent))

import psutil
from matrix import search, told
from slopes import lines

from prefect_tune.tasks.isolation.limits import held_by

KINDS = ("grid", "halving", "hyperband", "tune", "files")
FAULTS = ("nothing", "nothing", "kill a worker", "kill a worker", "stop a worker", "known")
SLACK = {
    "driver MiB": 16.0,
    "API MiB": 24.0,
    "files": 4,
    "sockets": 4,
    "threads": 4,
    "processes": 2,
    "temporary": 4,
}
"""By how much the median of the last quarter may be above that of the second, memory by a tenth as well."""


def children(role: str) -> list[psutil.Process]:
    """The processes of that role that this one, or one of its own, has started."""
    return [child for child in psutil.Process().children(recursive=True) if _name(child) == f"tune-{role}"]


def _name(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.Error:
        return ""


def disturb(fault: str, after: float, dice: random.Random) -> threading.Timer:
    """The fault, which happens so many seconds from now."""

    def strike() -> None:
        found = children("worker")
        if not found or fault not in ("kill a worker", "stop a worker"):
            return
        process = dice.choice(found)
        try:
            if fault == "kill a worker":
                process.kill()
                return
            process.send_signal(signal.SIGSTOP)
            time.sleep(1.0)
            process.send_signal(signal.SIGCONT)
        except psutil.Error:  # it has just been ended by something else
            return

    timer = threading.Timer(after, strike)
    timer.start()
    return timer


def measured() -> dict[str, float]:
    """What this process and its children hold now."""
    own = psutil.Process()
    return {
        "driver MiB": held_by(own.pid) / 2**20,
        "API MiB": sum(held_by(child.pid) for child in children("server")) / 2**20,
        "files": own.num_fds(),
        "sockets": len(own.net_connections()),
        "threads": own.num_threads(),
        "processes": len(own.children(recursive=True)),
        "temporary": len(os.listdir(tempfile.gettempdir())),
    }


class Endurance:
    """The searches and what is noted of them.

    Args:
        folder: where stores and logs lie; those of a search are removed after the next one.
        seed: of faults and their moments.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.dice = folder, random.Random(seed)
        self.golden = {kind: self._search(kind, folder / f"golden-{kind}") for kind in KINDS}
        self.notes: list[dict[str, Any]] = []
        self.met: Counter[str] = Counter()

    def _search(self, kind: str, place: Path) -> dict[str, Any]:
        place.mkdir(exist_ok=True)
        return told(kind, search(kind, place, n_workers=2))

    def step(self, number: int) -> None:
        """One search with its fault.

        Raises:
            AssertionError: its table is not that of the undisturbed search, or it ran what it knew.
        """
        kind, fault = self.dice.choice(KINDS), self.dice.choice(FAULTS)
        place = self.folder / str(number)
        timer = disturb(fault, self.dice.uniform(0.1, 1.5), random.Random(self.dice.random()))
        found = self._search(kind, place)
        timer.join()
        assert found["table"] == self.golden[kind]["table"], (
            f"search {number}: {kind}, {fault}: another table"
        )
        if fault == "known":
            before = lines(place / "log")
            self._search(kind, place)
            again = len(lines(place / "log")) - len(before)
            assert again == 0, f"search {number}: {kind} ran {again} known pieces again"
        shutil.rmtree(place)
        self.met[fault] += 1
        self.notes.append({"search": number, "kind": kind, "fault": fault, **measured()})

    def growth(self) -> dict[str, tuple[float, float]]:
        """Median of the second and of the last quarter of the searches, of each measure."""
        quarter = len(self.notes) // 4
        second, last = self.notes[quarter : 2 * quarter], self.notes[-quarter:]
        return {
            name: (statistics.median(n[name] for n in second), statistics.median(n[name] for n in last))
            for name in SLACK
        }


def leaks(growth: dict[str, tuple[float, float]]) -> list[str]:
    """What has grown by more than it may."""
    return [
        f"{name}: {before:.0f} in the second quarter, {after:.0f} in the last"
        for name, (before, after) in growth.items()
        if after - before > SLACK[name] + ("MiB" in name) * 0.1 * before
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=120.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write what was noted there")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)  # each killed worker is told of, as it should be
    folder = Path(tempfile.mkdtemp(prefix="prefect-tune-endurance-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)  # last, when workers and server are gone
    (own := folder / "temporary").mkdir()
    tempfile.tempdir = os.environ["TMPDIR"] = str(own)  # of this program and of all that it starts
    soak, number, began = Endurance(folder, asked.seed), 0, time.monotonic()
    while (passed := time.monotonic() - began) < 60 * asked.minutes:
        soak.step(number := number + 1)
        if number % 20 == 0:
            held = [f"{value:.0f} {name}" for name, value in soak.notes[-1].items() if name in SLACK]
            now = f"{passed / 60:.0f} of {asked.minutes:.0f} min"
            print(f"{now}, {number} searches: {', '.join(held)}", flush=True)
    growth = soak.growth()
    if asked.json:
        asked.json.write_text(json.dumps({"notes": soak.notes, "growth": growth}), encoding="utf-8")
    print(f"{number} searches, {dict(soak.met)}; all tables as undisturbed")
    for name, (before, after) in growth.items():
        print(f"{name:12s} {before:8.1f} {after:8.1f}   (median of the second and the last quarter)")
    for leak in (found := leaks(growth)):
        print(f"grown: {leak}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
