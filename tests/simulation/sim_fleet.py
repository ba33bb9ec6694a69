"""A model of the cluster: workers that take task runs in turn, and what may become of each.

Rule 1: a run is worked out at the moment it ends, but may see the store as it was when it began: of two that
overlap, neither need see the other's results.
Rule 2: a worker that dies has done what it did up to some operation, and nothing after.
Rule 3: what a lost worker goes on doing, and the news of it, may come later than its replacement's.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from distributed import KilledWorker
from sim_store import Shelf, Store
from sim_world import Killed, World

DRIVER = "driver"


class Death(BaseException):
    """SIGKILL of a worker's process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """What may go wrong, each as a chance.

    Attributes:
        kills: how often the driver is killed, at most.
        points: operations of the driver within which a kill falls.
        dies: of a run: its worker dies somewhere within it.
        mute: its worker dies after it, before the result is told.
        late: its worker counts as lost while it goes on.
        twice: its result is told twice.
        raises: the objective raises, this once.
        crashes: the process of the objective exits.
        lost: of the store's entries, at some moment.
        refuses: that the store refuses writes for a while.
        jumps: of an event: the clock jumps by an hour.
        survives: of a run whose driver is killed: it goes on.
        at_once: of a run: its worker's deaths are blamed on it at once.
        most: deaths of one task run; fewer than make the driver give it up where order is to be kept.
    """

    kills: int = 0
    points: int = 80
    dies: float = 0.0
    mute: float = 0.0
    late: float = 0.0
    twice: float = 0.0
    raises: float = 0.0
    crashes: float = 0.0
    lost: float = 0.0
    refuses: float = 0.0
    jumps: float = 0.0
    survives: float = 0.5
    at_once: float = 0.0
    most: int = 99


NONE = Faults()


class Life:
    """One process of the driver.

    Attributes:
        dead: whether it was killed.
    """

    def __init__(self, world: World, points: int | None) -> None:
        self.world, self.left, self.dead = world, points, False

    def point(self, name: str) -> None:
        """Nothing, unless the process is killed here.

        Raises:
            Killed: it is.
        """
        if self.dead:
            raise Killed(name)
        if self.left is not None:
            self.left -= 1
            if self.left <= 0:
                self.world.note(f"driver killed at {name}")
                self.dead = True
                raise Killed(name)

    def torn(self, size: int) -> int | None:
        """For a journal that writes so many bytes: how many are on disk when the process dies; None: all.

        Raises:
            Killed: before the first byte, or (size -1) after the last that was written.
        """
        if size < 0:
            self.dead = True
            raise Killed("torn")
        if not self.dead and self.left is not None and self.left <= 1:
            self.left, self.dead = 0, True
            written = self.world.draw.randrange(size + 1)
            self.world.note(f"driver killed in the journal after {written} of {size} bytes")
            return written
        self.point("journal")
        return None


class SimFuture:
    """A task run, as the driver sees it."""

    def __init__(self, life: Life) -> None:
        self.life = life
        self.found: Any = None
        self.lost: BaseException | None = None
        self.told: list[Callable[[Any], None]] = []
        self.wanted = True

    def outcome(self) -> Any:
        """Its result, or the exception by which it was lost."""
        return self.lost if self.lost is not None else "state"

    def result(self) -> Any:
        """Its result, if it was not lost."""
        return self.found

    def add_done_callback(self, function: Callable[[Any], None]) -> None:
        """Calls `function` whenever there is news."""
        self.told.append(function)

    def cancel(self) -> None:
        """Nobody wants it any more."""
        self.wanted = False

    def settle(self, found: Any = None, lost: BaseException | None = None) -> None:
        """Tells the driver, if it still lives."""
        self.found, self.lost = found, lost
        if not self.life.dead and self.wanted:
            for function in self.told:
                function(self)


@dataclass(slots=True, eq=False)
class Run:
    """A task run on a worker.

    Attributes:
        ask: what was sent.
        began: when a worker took it.
        deaths: workers that have died under it.
        fate: what becomes of it.
        broken: whether it did not come to its own end, or nobody was told.
        ended: when it was over.
        orphan: whether its driver is gone.
    """

    ask: Any
    future: SimFuture
    priority: int
    number: int
    began: float = 0.0
    deaths: int = 0
    fate: str = ""
    broken: bool = False
    ended: float = float("inf")
    orphan: bool = False
    stale: bool = False
    operations: int | None = None
    units: list[Any] = field(default_factory=list)


class Fleet:
    """The workers.

    Args:
        slots: threads.
        work: (run, store as the run sees it) -> result; what it raises is its result, too.
        duration: of a run, in seconds.
    """

    def __init__(
        self,
        world: World,
        shelf: Shelf,
        slots: int,
        faults: Faults,
        work: Callable[[Run, Store], Any],
        duration: Callable[[Run], float],
    ) -> None:
        self.world, self.shelf, self.slots, self.faults = world, shelf, slots, faults
        self.work, self.duration = work, duration
        self.waiting: list[Run] = []
        self.running: list[Run] = []
        self.all: list[Run] = []
        self.stopped: set[Life] = set()
        self.deaths: dict[Any, int] = {}

    def submit(self, life: Life, ask: Any, priority: int) -> SimFuture:
        """The future of a task run."""
        life.point("submit")
        run = Run(ask, SimFuture(life), priority, len(self.all))
        self.waiting.append(run)
        self._serve()
        return run.future

    def killed(self, life: Life) -> None:
        """The driver has been killed: what waits is dropped, what runs dies with it or goes on alone."""
        self.waiting = [run for run in self.waiting if run.future.life is not life]
        for run in [run for run in self.running if run.future.life is life and not run.orphan]:
            run.orphan = run.broken = True
            if self.world.draw.random() >= self.faults.survives:
                run.fate = "dies"
                self._end(run)

    def _serve(self) -> None:
        draw = self.world.draw
        while self.waiting and sum(not run.orphan for run in self.running) < self.slots:
            self.waiting.sort(key=lambda run: (-run.priority, run.number))
            run = self.waiting.pop(0)
            if not run.future.wanted:
                continue
            run.began, run.stale = self.world.now, draw.random() < 0.5
            run.fate = self._fate(run)
            self.all.append(run)
            self.running.append(run)
            self.world.note(f"start {run.ask.label} {run.fate}")
            self.world.after(self.duration(run), lambda run=run: self._end(run))

    def _fate(self, run: Run) -> str:
        point = self.world.draw.random()
        for name in ("dies", "mute", "late", "raises", "crashes"):
            chance = getattr(self.faults, name)
            if point < chance:
                spared = name in ("dies", "mute", "late") and self._deaths(run) >= self.faults.most
                return "" if spared else name
            point -= chance
        return ""

    def _deaths(self, run: Run) -> int:
        return self.deaths.get(run.ask.name, 0)

    def _end(self, run: Run) -> None:
        """A run ends, or its worker does."""
        if run not in self.running:
            return
        if run.fate == "late" and not run.orphan:
            run.orphan = run.broken = True
            self._lost(run)
            self.world.after(self.world.draw.expovariate(0.3), lambda: self._end(run))
            self._serve()
            return
        self.running.remove(run)
        found = self._worked(run)
        run.ended = self.world.now
        if run.orphan and run.fate != "late":
            pass  # nobody listens any more
        elif run.fate in ("dies", "mute"):
            run.broken = True
            self._lost(run)
        else:
            run.future.settle(found)
            if self.world.draw.random() < self.faults.twice:
                self.world.after(self.world.draw.expovariate(0.5), lambda: run.future.settle(found))
        self._serve()

    def _worked(self, run: Run) -> Any:
        """The run's result; what it did is in the store, as far as it came."""
        if run.fate == "dies":
            run.operations = self.world.draw.randrange(12)
        store = Store(self.shelf, lambda name: self._touched(run), run.began if run.stale else None)
        try:
            return self.work(run, store)
        except Death:
            run.fate = "dies"  # by its own doing, if it was not meant to
            return None

    def _touched(self, run: Run) -> None:
        if run.operations is not None:
            run.operations -= 1
            if run.operations < 0:
                run.operations = 0  # whatever its `finally` blocks try
                raise Death

    def unit(self, run: Run) -> None:
        """A unit of work is about to be done by a run, which may die here instead.

        Raises:
            Death: it does.
        """
        self._touched(run)

    def _lost(self, run: Run) -> None:
        """Dask sends the run again by itself, or the driver is told that it was lost."""
        draw = self.world.draw
        run.deaths += 1
        self.deaths[run.ask.name] = self._deaths(run) + 1
        self.world.note(f"lost {run.ask.label}")
        if run.fate == "dies" and run.deaths < 3 and draw.random() < 0.5:
            again = Run(run.ask, run.future, run.priority, run.number, deaths=run.deaths)
            self.waiting.append(again)
        elif run.deaths >= 3 or draw.random() < self.faults.at_once:
            run.future.settle(lost=KilledWorker("run", None, 3))
        else:
            run.future.settle(lost=ConnectionError("the worker is gone"))


class Runner:
    """What the drivers take for the started task runner.

    Args:
        told: makes of a task run's parameters what workers get; it has a `label` and a `name`.
    """

    def __init__(self, fleet: Fleet, life: Life, told: Callable[[str, Any], Any]) -> None:
        self.fleet, self.life, self.told = fleet, life, told

    def lost(self) -> None:
        """None: its scheduler is always there."""

    def submit(self, task: Any, parameters: dict[str, Any]) -> SimFuture:
        """The future of a task run."""
        import dask

        priority = (dask.get_annotations() or {}).get("priority", 0)
        ask = self.told(parameters["label"], pickle.loads(parameters["order"]))
        return self.fleet.submit(self.life, ask, priority)
