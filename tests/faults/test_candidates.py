"""Rows 9 to 12: a candidate that raises, dies, hangs or eats memory costs itself only, and is named."""

from __future__ import annotations

import pytest
from oracles import GoldenOf, failed_by_name, store_is_whole
from world import World

CAUSES = {
    "raise": "ValueError: it went wrong",
    "SystemExit": "SystemExit",
    "KeyboardInterrupt": "KeyboardInterrupt",
    "unpicklable": "Unpicklable",
    "huge": "ValueError: x+",
}
DEADLY = {
    "segfault": "its process was ended by SIGSEGV",
    "abort": "its process was ended by SIGABRT",
    "exit 0": "its process exited with code 0",
}
ENDLESS = {
    "sleep": "trial_seconds=3",
    "ignore SIGTERM": "trial_seconds=3",
    "hold the interpreter": "trial_seconds=3",
    "grow": "trial_memory",
    "allocate at once": "trial_memory|MemoryError",
}


def siblings(table: list, kind: str) -> list:
    """The table without the candidate that fails, the ranks and the best model."""
    rows = table if kind == "tune" else [row[:-1] for row in table[:-1]]
    return [row for row in rows if row[1 if kind == "tune" else 0] != (5 if kind == "tune" else 0.5)]


@pytest.mark.parametrize("does", [*CAUSES, *DEADLY])
@pytest.mark.parametrize("kind", ["grid", "halving", "tune"])
def test_bad_candidate(kind: str, does: str, world: World, golden: GoldenOf) -> None:
    """It failed, with its cause, capped; its siblings have the scores that they have without it."""
    found = world.start(kind, does=does).well()
    wanted = golden(kind, "raise")
    assert siblings(found["table"], kind) == siblings(wanted.found["table"], kind), "O1"
    assert found["size"] == wanted.found["size"], "O7"
    failures = [cause for _, cause in found["failures"]]
    assert failures, "O6"
    failed_by_name({"failures": found["failures"][:1]}, [("5", (CAUSES | DEADLY)[does])])
    store_is_whole(world.store)
    again = world.start(kind, does=does).well()
    assert siblings(again["table"], kind) == siblings(wanted.found["table"], kind), "O1"


@pytest.mark.parametrize("does", ENDLESS)
@pytest.mark.parametrize("kind", ["grid", "halving", "tune"])
def test_endless_candidate(kind: str, does: str, world: World, golden: GoldenOf) -> None:
    """With limits, a candidate that hangs or eats memory is ended with its process; the others go on."""
    unit, seconds = "trial" if kind == "tune" else "step", 3 if "seconds" in ENDLESS[does] else 60
    found = world.start(kind, does=does, **{f"{unit}_seconds": seconds, f"{unit}_memory": "700 MiB"}).well()
    assert siblings(found["table"], kind) == siblings(golden(kind, "raise").found["table"], kind), "O1"
    assert found["failures"], "O6"
    failed_by_name({"failures": found["failures"][:1]}, [("5", ENDLESS[does].replace("trial", unit))])
    store_is_whole(world.store)


@pytest.mark.parametrize("kind", ["halving", "tune"])
def test_score_that_is_no_number(kind: str, world: World) -> None:
    """NaN is never promoted over a number."""
    table = world.start(kind, does="nan score").well()["table"]
    if kind == "halving":
        (bad,) = [row for row in table[:-1] if row[0] == 0.5]
        assert bad[-1] == max(row[-1] for row in table[:-1])
        assert bad[1] == min(row[1] for row in table[:-1])
    else:
        assert len(table) == 8
