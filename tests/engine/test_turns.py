"""Taking turns: two workers that want the same things crosswise neither repeat nor block each other."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from prefect_tune.store import Record, StepStore
from prefect_tune.store.leases import Leases
from prefect_tune.tasks import turns as module
from prefect_tune.tasks.outcome import BatchOutcome
from prefect_tune.tasks.turns import LEAST, Turns

SCOPE = "ab12"
KEYS = [f"{i:064x}" for i in range(6)]
PREFIX = "f" * 64


class Worker:
    """What a worker does with a batch: scores that all need one prefix, in the order that it is given."""

    def __init__(self, root: Path, log: list[str]) -> None:
        self.store, self.log, self.outcome = StepStore.open(root), log, BatchOutcome()
        self.turns = Turns(self.store, SCOPE)
        self.turns.begin(self.outcome)
        self.turns._leases = Leases(self.store._site, ttl=30.0)  # as in a process of its own

    def prefix(self) -> Record:
        def compute() -> Record:
            self.log.append("prefix")
            return self.store.put(Record(key=PREFIX, kind="transform"), {}, SCOPE)

        return self.turns.once(PREFIX, lambda: self.store.get(PREFIX, SCOPE), compute)

    def score(self, key: str) -> None:
        self.prefix()
        self.log.append(key)
        self.outcome.records.append(Record(key=key, kind="score", values={"score": 0.5}))

    def run(self, keys: list[str]) -> None:
        later = []
        for key in keys:
            mine = self.turns.mine([key])
            if mine:
                self.score(key)
            elif mine is False:
                later.append(key)
        self.turns.put_off(len(later))
        for key in later:
            if not self.turns.theirs([key]):
                self.score(key)
                self.turns.publish()
        self.turns.publish()


@pytest.fixture
def worker(tmp_path: Path) -> Callable[[], Worker]:
    log: list[str] = []
    return lambda: Worker(tmp_path / "store", log)


def test_batches_that_overlap_crosswise_end(worker: Callable[[], Worker]) -> None:
    """Four workers, two orders, one prefix: each key once, everybody has all of them, no lease is left."""
    workers = [worker() for _ in range(4)]
    orders = [KEYS, KEYS[::-1], KEYS[3:] + KEYS[:3], KEYS[::2] + KEYS[1::2]]
    threads = [
        threading.Thread(target=one.run, args=(order,)) for one, order in zip(workers, orders, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    assert Counter(workers[0].log) == Counter([*KEYS, "prefix"])
    for one in workers:
        assert sorted(record.key for record in one.outcome.records) == KEYS
    assert sum(one.outcome.waited for one in workers) >= 3 * len(KEYS)
    assert list((workers[0].store.root / "leases").iterdir()) == []


def test_what_was_left_since_the_plan_is_not_computed(worker: Callable[[], Worker]) -> None:
    """Scores of a search that ended after this one had looked are adopted, and not written again."""
    worker().run(KEYS)
    late = worker()
    late.run(KEYS)
    assert Counter(late.log) == Counter([*KEYS, "prefix"])
    assert late.outcome.waited == len(KEYS)
    assert late.outcome.bytes_written == 0
    assert len(list((late.store.root / "packs" / SCOPE).iterdir())) == 1


def test_scores_that_one_failed_to_make_are_made_by_the_other(worker: Callable[[], Worker]) -> None:
    """A failed fit leaves no scores: who waited for it computes, and has its own failure."""
    first, second = worker(), worker()
    assert first.turns.mine([KEYS[0]])
    thread = threading.Thread(target=second.run, args=(KEYS[:1],))
    thread.start()
    first.turns.publish()
    thread.join(60)
    assert not thread.is_alive()
    assert [record.key for record in second.outcome.records] == KEYS[:1]


def test_an_error_gives_the_lease_back(worker: Callable[[], Worker]) -> None:
    """Whatever the user's code raises."""
    one, other = worker(), worker()

    def fail() -> Record:
        raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"):
        one.turns.once(PREFIX, lambda: None, fail)
    assert other.turns._leases.take(PREFIX)


def test_short_work_asks_nobody(worker: Callable[[], Worker]) -> None:
    """What took less than a tenth of a second so far is computed at once; who knows nothing yet asks."""
    turns = worker().turns
    assert turns.matters("KNN.score")
    turns.learn("KNN.score", LEAST / 10)
    assert not turns.matters("KNN.score")
    turns.learn("SVC.score", LEAST * 10)
    assert turns.matters("SVC.score")
    turns._leases = None
    assert not turns.matters("SVC.score")


def test_one_stretch_of_a_trial_at_a_time(worker: Callable[[], Worker], monkeypatch) -> None:
    """The second begins when the first has ended, or when its work has become needless."""
    monkeypatch.setattr(module, "_lately", {})
    other = worker()
    monkeypatch.setattr(module, "leases_of", lambda store: other.turns._leases)
    held = worker().turns._leases
    assert held.take(PREFIX)
    asked: list[float] = []

    def needless() -> bool:
        asked.append(time.monotonic())
        return len(asked) == 3

    with other.turns.alone(PREFIX, "objective", needless):
        assert len(asked) == 3
    held.release([PREFIX])
    module._lately.clear()
    with other.turns.alone(PREFIX, "objective", lambda: False):
        assert not held.take(PREFIX)
    assert held.take(PREFIX)
