"""Taking turns: work that several searches want at once on one store is done by one of them.

Rule 1: a worker that finds a step taken puts it off, does what else it has, leaves its scores in the store,
gives its leases back, and only then waits. So who waits for a score holds no lease at all.
Rule 2: a step that others need (a prefix) is waited for in place. Its holder can only wait for steps that it
itself needs, so nobody waits in a circle.
Rule 3: who waits keeps its slot of the cluster, and looks every 50 ms to 2 s. It computes after all when the
other died, gave up, or has taken half an hour.
Rule 4: what took less than a tenth of a second before is done without asking anybody: a lease and another
look at the store cost some 300 microseconds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from prefect_tune.store import Record
from prefect_tune.store.leases import leases_of
from prefect_tune.tasks.outcome import BatchOutcome

Found = TypeVar("Found")

LEAST = 0.1
"""Seconds of work from which on it is worth asking whether somebody else is at it."""
_lately: dict[str, float] = {}  # objective -> seconds that its last job took


def _slow(kind: str) -> bool:
    return _lately.get(kind, LEAST) >= LEAST


class Turns:
    """Whose turn it is, for one evaluator.

    Args:
        store: where leases lie, and records are left.
        scope: of the store.
    """

    def __init__(self, store: Any, scope: str) -> None:
        self.store, self.scope = store, scope
        self.outcome = BatchOutcome()
        self._leases: Any = None
        self._mine: list[str] = []
        self._adopted: set[str] = set()
        self._saved = 0
        self._pace: dict[str, tuple[int, float]] = {}

    def begin(self, outcome: BatchOutcome) -> None:
        """A new batch, whose outcome is filled from now on."""
        self.outcome, self._mine, self._adopted, self._saved = outcome, [], set(), 0
        self._leases = leases_of(self.store)

    # What is worth a lease

    def learn(self, name: str, seconds: float) -> None:
        """Takes in what work of that name has taken."""
        count, total = self._pace.get(name, (0, 0.0))
        self._pace[name] = count + 1, total + seconds

    def matters(self, name: str) -> bool:
        """Whether work of that name is worth a lease: it took long so far, or nobody knows."""
        if self._leases is None:
            return False
        count, total = self._pace.get(name, (0, 0.0))
        return not count or total / count >= LEAST

    # Steps that others need

    def once(self, name: str, known: Callable[[], Found | None], compute: Callable[[], Found]) -> Found:
        """What `known` finds, if another search is just computing it, else what `compute` gives.

        Args:
            name: the key, in hex; `compute` leaves its result in the store under it.
        """
        if self._leases is None:
            return compute()
        try:
            if self._leases.take(name):
                found = known()  # since it was asked for, another may have finished it
            else:
                self._tell(1)
                found = self._leases.wait(name, known)
            if found is None:
                return compute()
            self.outcome.waited += 1
            return found
        finally:
            self._leases.release([name])

    @contextmanager
    def alone(self, name: str, kind: str, needless: Callable[[], bool]) -> Iterator[None]:
        """A block that one search at a time is in; begun when it is our turn, or when it has become needless.

        Args:
            name: of the lease.
            kind: what work takes about as long.
            needless: asked again and again while another is at it.
        """
        leases = leases_of(self.store) if _slow(kind) else None
        if leases is not None and not leases.take(name):
            self._tell(1)
            leases.wait(name, lambda: needless() or None)
        start = time.perf_counter()
        try:
            yield
        finally:
            _lately[kind] = time.perf_counter() - start
            if leases is not None:
                leases.release([name])

    # Scores

    def mine(self, keys: Sequence[str]) -> bool | None:
        """Whether these scores are to be computed now.

        False: another search computes them; ask `theirs` later. None: the outcome has them, since another
        search has just left them in the store.
        """
        if not self._leases.take(keys[0]):
            return False
        self._mine.append(keys[0])
        if (records := self._find(keys)) is None:
            return True
        self._leases.release([self._mine.pop()])
        self._adopt(records)
        return None

    def put_off(self, count: int) -> None:
        """Leaves what is done and gives the leases back, before what others compute is waited for."""
        if count:
            self.publish()
            self._tell(count)

    def theirs(self, keys: Sequence[str]) -> bool:
        """Whether the outcome has the scores now, from another search; False: compute them after all."""
        records = self._leases.wait(keys[0], lambda: self._find(keys))
        if records is None:
            self._mine.append(keys[0])
            return False
        self._adopt(records)
        return True

    def publish(self) -> None:
        """Leaves the scores that are new in the store, and gives the leases back."""
        fresh = [record for record in self.outcome.records[self._saved :] if record.key not in self._adopted]
        self._saved = len(self.outcome.records)
        try:
            if fresh:
                self.store.put_pack(fresh, self.scope)
        finally:
            if self._mine:
                self._leases.release(self._mine)
                self._mine = []

    def _find(self, keys: Sequence[str]) -> list[Record] | None:
        found = self.store.lookup(keys, self.scope)
        return [found[key] for key in keys] if len(found) == len(set(keys)) else None

    def _adopt(self, records: Iterable[Record]) -> None:
        for record in records:
            self._adopted.add(record.key)
            self.outcome.records.append(record)
            self.outcome.waited += 1

    def _tell(self, count: int) -> None:
        noun = "result" if count == 1 else "results"
        _logger().info("waiting for %d %s of another search", count, noun)


def _logger() -> Any:
    """The logger of the task run, whose lines the UI shows; outside of one that of the package."""
    from prefect.exceptions import MissingContextError  # late: a cell starts without Prefect
    from prefect.logging import get_logger, get_run_logger

    try:
        return get_run_logger()
    except MissingContextError:
        return get_logger("prefect_tune")
