"""What must hold after every fault (the eight oracles of the design's fault matrix)."""

from __future__ import annotations

import os
import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from world import Run, World, until

from prefect_tune.store import StepStore

DAYS = 3 * 86_400.0

# Pieces of work that two workers may have in flight: halving's longest round is that of one candidate from 9
# to 27 calls, Hyperband's from 3 to 9; a batch of the grid and a stretch of a trial are 6 at most here.
IN_FLIGHT = {"grid": 2 * 36, "halving": 2 * 18, "hyperband": 2 * 9, "tune": 6}


@dataclass(frozen=True)
class Golden:
    """A search that nothing happened to.

    Attributes:
        found: what it said.
        log: its pieces of work, each once.
    """

    found: dict[str, Any]
    log: list[str]


GoldenOf = Callable[..., Golden]
"""The golden search of a kind, and of what one candidate does in it."""


def check(
    world: World,
    run: Run,
    golden: Golden,
    *,
    repeated: int,
    failures: Sequence[tuple[str, str]] = (),
) -> None:
    """Nothing; after that run ended, all oracles hold.

    Args:
        world: where the fault happened.
        run: the last search.
        golden: what it must come to.
        repeated: pieces of work that may have been done twice: those in flight at the faults.
        failures: (candidate, pattern of the cause) of those that must have failed; no others may have.
    """
    found = run.well()
    same_table(found, golden)
    nothing_lost(world.log(), golden.log, repeated)
    store_is_whole(world.store)
    nothing_old_stays(world.store)
    failed_by_name(found, failures)
    assert found["size"] == golden.found["size"], "O7: candidates are missing"
    until(
        lambda: world.states().count("COMPLETED") == _ended_well(world), "O7: the API knows who has ended", 30
    )
    until(lambda: not world.left(), f"O8: nothing is left behind: {world.left()}", 30)


def same_table(found: dict[str, Any], golden: Golden) -> None:
    """O1: scores, ranks and the best model are as if nothing had happened, to the bit."""
    assert found["table"] == golden.found["table"], "O1"


def nothing_lost(log: list[str], whole: list[str], repeated: int) -> None:
    """O2: all work was done, and at most what was in flight twice."""
    assert set(log) == set(whole), "O2"
    again = Counter(log) - Counter(set(log))
    assert sum(again.values()) <= repeated, (
        f"O2: {sum(again.values())} done again, {repeated} allowed: {again}"
    )


def store_is_whole(root: Path) -> None:
    """O3: every entry that can be found verifies."""
    if root.exists():
        problems = [str(problem) for problem in StepStore.open(root).verify()]
        assert not problems, f"O3: {problems}"


def nothing_old_stays(root: Path) -> None:
    """O4: what was begun and never ended goes when the store is next opened, once it is old."""
    begun = [path for area in ("tmp", "leases") for path in (root / area).rglob("*") if path.is_file()]
    for path in begun:
        os.utime(path, (time.time() - DAYS,) * 2)
    if root.exists() and os.access(root, os.W_OK):
        StepStore.open(root)
    assert [path for path in begun if path.exists() and path.parent.name == "tmp"] == [], "O4"


def failed_by_name(found: dict[str, Any], failures: Sequence[tuple[str, str]]) -> None:
    """O6: who failed is named with the cause, and nobody else failed."""
    told = {str(who): cause for who, cause in found["failures"]}
    assert len(told) == len(failures), f"O6: {told}"
    for (who, pattern), (name, cause) in zip(failures, told.items(), strict=True):
        assert who in name, f"O6: {name}"
        assert re.search(pattern, cause), f"O6: {cause!r} is not like {pattern!r}"
        assert len(cause) < 2000, "O6: the cause is capped"


def _ended_well(world: World) -> int:
    """How many searches have ended well; the model of one may be gone before its program loads it."""
    return sum(run.written.with_suffix(".searched").exists() for run in world.runs)
