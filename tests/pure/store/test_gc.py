"""Making room in a budget: who goes, who stays, and what remains whole."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest

from prefect_tune.store import MissingBlob, Record, StepStore, gc
from prefect_tune.store.leases import Leases
from prefect_tune.store.uses import EVERY

SCOPE = "ab12"
HOUR, DAY = 3600.0, 86_400.0
MB = 125_000  # numbers of eight bytes


def aged(store: StepStore, seconds: float, *paths: Path) -> None:
    """Sets the time of change of some files, or of all, so far back."""
    then = time.time() - seconds
    for path in paths or [p for p in Path(store.root).rglob("*") if p.is_file()]:
        os.utime(path, (then, then))


def fill(store: StepStore, record, costs: dict[str, float], **fields) -> dict[str, Record]:
    """A record of a megabyte for each name, which cost so many seconds."""
    return {
        name: store.put(
            record(name, seconds=cost, **fields), {"out": np.full(MB, float(i))}, SCOPE
        )
        for i, (name, cost) in enumerate(costs.items())
    }  # fmt: skip


def kept(store: StepStore, made: dict[str, Record]) -> str:
    return "".join(name for name, found in made.items() if store.get(found.key, SCOPE))


def held(store: StepStore) -> int:
    return store.usage()["total"]["bytes"]


def test_the_cheapest_seconds_per_byte_go_first(store, record):
    """Ten megabytes in a budget of ten are brought to seven and a half, the dear ones last."""
    made = fill(store, record, {name: 10.0 + i for i, name in enumerate("jihgfedcba")})
    aged(store, 2 * DAY)
    freed = store.make_room(10_000_000)
    assert kept(store, made) == "gfedcba"
    assert 2_900_000 < freed < 3_100_000
    assert held(store) <= 7_500_000
    assert store.verify() == []


@pytest.mark.parametrize(("budget", "goes"), [(12_000_000, False), (11_000_000, True)])
def test_nothing_goes_below_the_high_watermark(store, record, budget, goes):
    """Nine tenths are enough to stay: ten megabytes are less than that of twelve, and more than of eleven."""
    fill(store, record, dict.fromkeys("abcdefghij", 1.0))
    aged(store, 2 * DAY)
    assert (store.make_room(budget) > 0) == goes


def test_age_wears_worth_off(store, record):
    """After two weeks without use a second counts for a quarter."""
    made = fill(store, record, {"a": 3.0, "b": 1.0, "c": 1.0, "d": 1.0})
    aged(store, 2 * DAY)
    aged(store, 16 * DAY, Path(store._site.manifest(made["a"].key)))
    store.make_room(4_300_000)
    assert kept(store, made) == "bcd"


def test_a_hit_makes_young_again(store, record):
    """Using a record once touches its manifest, so it outlives what is dearer and was not used."""
    made = fill(store, record, {"a": 1.0, "b": 5.0, "c": 5.0, "d": 5.0})
    aged(store, 30 * DAY)
    StepStore.open(store.root).get(made["a"].key, SCOPE)
    path = Path(store._site.manifest(made["a"].key))
    assert time.time() - path.stat().st_mtime < HOUR
    store.make_room(4_300_000)
    assert "a" in kept(store, made)


def test_young_files_are_not_touched(store, record):
    """What was renewed within a quarter of an hour is left alone."""
    made = fill(store, record, {"a": 1.0})
    path = Path(store._site.manifest(made["a"].key))
    aged(store, EVERY / 2, path)
    before = path.stat().st_mtime_ns
    StepStore.open(store.root).get(made["a"].key, SCOPE)
    assert path.stat().st_mtime_ns == before


def test_the_grace_is_an_hour_at_least(store, record):
    """Whatever is asked for, what was written within the hour stays, above the budget too."""
    made = fill(store, record, dict.fromkeys("abcd", 1.0))
    aged(store, HOUR - 60)
    assert store.make_room(1_000_000, grace=0.0) == 0
    aged(store, HOUR + 60)
    assert store.make_room(1_000_000, grace=0.0) > 3_000_000
    assert kept(store, made) == ""


def test_data_and_what_no_record_names_stay_for_a_day(store):
    """A running search uses its data, which have no record of their own."""
    ref = store.put_blob(np.arange(float(MB)))
    aged(store, DAY - HOUR)
    assert store.make_room(1000, grace=HOUR) == 0
    aged(store, DAY + HOUR)
    assert store.make_room(1000, grace=HOUR) == ref.size


def test_reading_data_keeps_them(store):
    """A worker that maps its data renews them."""
    ref = store.put_blob(np.arange(float(MB)))
    aged(store, 2 * DAY)
    StepStore.open(store.root).load_blob(ref)
    assert store.make_room(1000) == 0
    assert store.has_blob(ref.digest)


def test_a_shared_blob_stays_while_a_record_names_it(store, record):
    """Two records of equal bytes: the cheap one goes, the blob stays for the dear one."""
    same = np.arange(float(MB))
    cheap = store.put(record("a", seconds=0.1), {"out": same}, SCOPE)
    dear = store.put(record("b", seconds=1e6), {"out": same}, SCOPE)
    other = store.put(record("c", seconds=1.0), {"out": same + 1}, SCOPE)
    aged(store, 2 * DAY)
    store.make_room(1_500_000)
    assert store.get(other.key, SCOPE) is None
    assert np.array_equal(store.load(dear, "out"), same)
    assert store.get(cheap.key, SCOPE) is None


def test_superseded_checkpoints_go_first(store, record, key):
    """A checkpoint that training went on from goes before what is worth less."""
    made = fill(store, record, {"a": 1.0, "b": 1.0})
    chain = {"kind": "checkpoint", "family": "SGD.partial_fit", "inputs": (key("chain"),)}
    for level in (1, 3):
        name = f"level {level}"
        made[str(level)] = store.put(
            record(name, seconds=100.0 * level, values={"level": level}, **chain),
            {"model": np.full(MB, 0.5 + level)},
            SCOPE,
        )
    aged(store, 2 * DAY)
    store.make_room(4_300_000)
    assert kept(store, made) == "ab3"


def test_scores_outlive_arrays(store, record):
    """Packs of scores are the last to go: they save most for their bytes."""
    made = fill(store, record, {"a": 1.0, "b": 1.0})
    scores = [record(f"score {i}", seconds=0.5, values={"score": i / 3}) for i in range(100)]
    store.put_pack(scores, SCOPE)
    aged(store, 30 * DAY)
    store.make_room(500_000)
    assert kept(store, made) == ""
    assert len(StepStore.open(store.root).lookup([r.key for r in scores], SCOPE)) == 100


def test_journals_and_reports_stay(store, record):
    """They are no cache."""
    fill(store, record, {"a": 1.0})
    journal = store.journal("c" * 64)
    journal.append([{"kind": "begun"}])
    journal.close()
    report = Path(store.root) / "reports" / "r.md"
    report.parent.mkdir()
    report.write_text("found")
    aged(store, 400 * DAY)
    store.make_room(1)
    assert store.journal_lines("c" * 64) == [{"kind": "begun"}]
    assert report.read_text() == "found"
    assert store.usage()["cas"]["bytes"] == 0


def test_one_collector_at_a_time(store, record):
    """While another process collects, nothing is done."""
    fill(store, record, {"a": 1.0})
    aged(store, 2 * DAY)
    other = Leases(store._site, heart=False)
    assert other.take(gc.COLLECTOR)
    assert store.make_room(1) == 0
    other.release([gc.COLLECTOR])
    assert store.make_room(1) > 1_000_000


def test_what_is_used_while_it_is_collected_stays(store, record):
    """A record that was touched, or written again, after the list was made keeps its blobs."""
    made = fill(store, record, {"a": 1.0, "b": 1.0})
    aged(store, 2 * DAY)
    items = gc.excess(store._site, 1)
    StepStore.open(store.root).get(made["a"].key, SCOPE)
    gc.remove(store._site, items)
    assert kept(store, made) == "a"
    assert store.load(made["a"], "out")[0] == 0.0
    with pytest.raises(MissingBlob), pytest.warns(UserWarning, match="missing"):
        store.load(made["b"], "out")
    assert store.verify() == []


def test_a_manifest_of_a_newer_version_holds_every_blob(store, record):
    """Nobody here can tell which blobs it means."""
    made = fill(store, record, {"a": 1.0})
    path = Path(store._site.manifest("e" * 64))
    path.parent.mkdir(exist_ok=True)
    path.write_text("{}")
    aged(store, 2 * DAY)
    store.make_room(1)
    assert kept(store, made) == "a"
