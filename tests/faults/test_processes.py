"""Rows 1, 2 and 4: a worker, the search's own process, or the scheduler is killed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from oracles import IN_FLIGHT, GoldenOf, check
from world import World, until, worker_pids


@pytest.mark.parametrize("kind", ["grid", "halving", "hyperband", "tune"])
def test_killed_worker(kind: str, world: World, golden: GoldenOf, dice: random.Random) -> None:
    """A worker is killed at three moments; the search does not notice but for what was in flight."""
    whole = golden(kind)
    times = sorted(dice.sample(range(2, len(whole.log) - 2), 3))
    run = world.start(kind)
    for count in times:
        world.worked(count)
        if not run.lives():
            break
        os.kill(dice.choice(worker_pids(world.cluster)), signal.SIGKILL)
        until(lambda: len(worker_pids(world.cluster)) == 2, "the killed worker is replaced")
    check(world, run, whole, repeated=len(times) * IN_FLIGHT[kind])


@pytest.mark.parametrize("kind", ["grid", "halving", "hyperband", "tune"])
def test_killed_at_any_moment(kind: str, world: World, golden: GoldenOf, dice: random.Random) -> None:
    """The search's process is killed three times by chance; each next run goes on, the last to the end."""
    whole = golden(kind)
    times = sorted(dice.sample(range(1, len(whole.log) - 1), 3))
    for count in times:
        run = world.start(kind)
        until(lambda c=count, r=run: len(world.log()) >= c or not r.lives(), "work is done")
        if run.lives():
            run.kill()
    check(world, world.start(kind), whole, repeated=len(times) * IN_FLIGHT[kind])


@pytest.mark.parametrize("point", ["F2", "F3", "F4", "F5", "F6", "F7"])
@pytest.mark.parametrize("kind", ["grid", "halving", "hyperband", "tune"])
def test_killed_at_a_failpoint(
    kind: str, point: str, world: World, golden: GoldenOf, dice: random.Random
) -> None:
    """Killed within a write, between blobs and manifest, before or after a decision is written down."""
    whole = golden(kind)
    times = 1 if (kind, point) == ("tune", "F5") else 3  # the search's own process stores nothing else there
    first = world.start(kind, failpoint=f"{point}:kill@{dice.randint(1, times)}")
    found = first.ended()
    if found is not None:  # a search that decides nothing does not come by there
        assert kind == "grid" or point in ("F2", "F4"), f"{kind} never came to {point}"
    check(world, world.start(kind), whole, repeated=IN_FLIGHT[kind] if found is None else 0)


@pytest.fixture
def own_scheduler(tmp_path: Path, api) -> Iterator[tuple[str, int]]:
    """The address and the process of a scheduler with one worker, which end with the test."""
    file = tmp_path / "scheduler.json"
    started = []

    def start(*command: str) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent), "PREFECT_API_URL": api.url}
        log = (tmp_path / f"dask-{len(started)}.log").open("wb")
        started.append(
            subprocess.Popen(
                [sys.executable, "-m", "distributed.cli.dask_" + command[0], *command[1:]],
                env=environment,
                stdout=log,
                stderr=log,
                cwd=tmp_path,
            )
        )
        return started[-1]

    where = ("--scheduler-file", str(file), "--no-dashboard")
    scheduler = start("scheduler", *where, "--host", "127.0.0.1", "--port", "0")
    until(file.exists, "the scheduler has said where it is")
    start("worker", *where, "--nthreads", "2", "--no-nanny", "--memory-limit", "0")
    import json

    yield json.loads(file.read_text())["address"], scheduler.pid
    for process in started:
        process.kill()
        process.wait()


@pytest.mark.parametrize("kind", ["grid", "hyperband", "tune"])
def test_killed_scheduler(
    kind: str, world: World, golden: GoldenOf, own_scheduler: tuple[str, int], dice: random.Random
) -> None:
    """The search ends with an error that says how to go on; run again elsewhere, it goes on."""
    whole = golden(kind)
    address, pid = own_scheduler
    run = world.under_way(kind, whole.log, dice, cluster=address)
    os.kill(pid, signal.SIGKILL)
    found = run.ended()
    assert found is not None, run.output()
    assert "again" in found["text"], found
    check(world, world.start(kind), whole, repeated=IN_FLIGHT[kind])
