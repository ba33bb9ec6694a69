"""Rows 6, 7, 18, 19 and 20: entries are spoilt, the store is emptied under way, processes are stopped."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import time
from pathlib import Path

import pytest
from matrix import write_rows
from oracles import IN_FLIGHT, GoldenOf, check
from world import World, worker_pids

from prefect_tune.store import StepStore
from prefect_tune.store.gc import put_aside
from prefect_tune.store.inspect import site_of

KINDS = ["grid", "halving", "tune"]


def entries(root: Path) -> list[Path]:
    """The files that searches read."""
    return sorted(
        path
        for area in ("ac", "cas", "packs", "journal")
        for path in (root / area).rglob("*")
        if path.is_file()
    )


def spoil(path: Path, how: str, dice: random.Random, others: list[Path]) -> None:
    """Changes a file as bad disks, broken copies and forgers do."""
    data = bytearray(path.read_bytes())
    path.chmod(0o600)
    if how == "cut":
        del data[dice.randrange(len(data)) :]
    elif how == "zeroed":
        data[:] = bytes(len(data))
    elif how == "flipped":
        data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    elif how == "swapped":
        data[:] = dice.choice(others).read_bytes()
    path.write_bytes(data)


@pytest.mark.parametrize("how", ["cut", "zeroed", "flipped", "swapped", "removed"])
@pytest.mark.parametrize("kind", KINDS)
def test_spoilt_entries(kind: str, how: str, world: World, golden: GoldenOf, dice: random.Random) -> None:
    """Half of all entries are spoilt between two runs: the second finds out, and computes them again."""
    whole = golden(kind)
    world.start(kind).well()
    first = world.store.with_name("first")
    world.store.rename(first)  # a copy, which no process remembers
    shutil.copytree(first, world.store)
    found = entries(world.store)
    for path in dice.sample(found, (len(found) + 1) // 2):
        if how == "removed":
            path.unlink()
        else:
            spoil(path, how, dice, [other for other in found if other.exists()])
    run = world.start(kind)
    run.well()
    put_aside_the_rest(world.store)
    check(world, run, whole, repeated=len(whole.log))


def put_aside_the_rest(root: Path) -> None:
    """What no search has read is still there; `prefect-tune store verify` and `gc` do this."""
    store = StepStore.open(root)
    while problems := store.verify():  # without its blob a manifest is the next one
        put_aside(site_of(store), [problem.path for problem in problems])


@pytest.mark.parametrize("kind", KINDS)
def test_emptied_under_way(kind: str, world: World, golden: GoldenOf, dice: random.Random) -> None:
    """All entries are cleared under it, its rows as well: it ends well or says so; run again it is right."""
    whole = golden(kind)
    run = world.start(kind)
    world.worked(2)
    store = StepStore.open(world.store)
    while run.lives():
        store.clear(older_than_seconds=0.5)
        time.sleep(0.2)
    found = run.ended()
    if found is None or "error" in found:
        said = f"{run.output()} {found}"  # its model may go after its end, before it is loaded
        assert re.search(r"MissingBlob|[Rr]un the (same )?(search|command) again", said), said
        run = world.start(kind)
    check(world, run, whole, repeated=20 * len(whole.log))


@pytest.mark.parametrize("who", ["search", "worker"])
@pytest.mark.parametrize("kind", KINDS)
def test_stopped_and_continued(
    kind: str, who: str, world: World, golden: GoldenOf, dice: random.Random
) -> None:
    """A process that stands still for three seconds goes on as if nothing had been."""
    whole = golden(kind)
    run = world.under_way(kind, whole.log, dice)
    pid = run.pid if who == "search" else dice.choice(worker_pids(world.cluster))
    os.kill(pid, signal.SIGSTOP)
    time.sleep(3)
    os.kill(pid, signal.SIGCONT)
    check(world, run, whole, repeated=IN_FLIGHT[kind])


def test_table_rewritten_under_way(world: World, golden: GoldenOf) -> None:
    """Files that change under a running search get into results of neither the old rows nor the new ones."""
    whole = golden("files")
    run = world.start("files")
    world.worked(3)
    write_rows(world.folder, 1)
    found = run.ended()
    assert found is not None, run.output()
    assert found.get("table") == whole.found["table"] or "changed" in found["text"], found
    elsewhere = World(world.folder / "elsewhere", world.forker, world.api, world.cluster)
    elsewhere.folder.mkdir()
    write_rows(elsewhere.folder, 1)
    fresh = elsewhere.start("files", write=False).well()["table"]
    assert fresh != whole.found["table"]
    assert world.start("files", write=False).well()["table"] == fresh
    assert world.start("files").well()["table"] == whole.found["table"]
