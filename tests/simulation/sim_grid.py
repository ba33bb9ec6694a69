"""Batches of a grid search: the real dispatch, its retries and cuts, in a simulated world."""

from __future__ import annotations

import dataclasses
import random
from collections import Counter
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from sim_fleet import NONE, Death, Faults, Fleet, Life, Run, Runner
from sim_store import SCOPE, Shelf, Store
from sim_world import World, check, live

from prefect_tune.batches import Batch
from prefect_tune.flows.dispatch import Dispatch, Tally
from prefect_tune.identity.encode import digest
from prefect_tune.store import Record
from prefect_tune.tasks.outcome import BatchOutcome, FailedLeaf

Leaf = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A grid and what happens to it.

    Attributes:
        seed: of the story.
        prefixes: steps that several batches need; each needs the one before with even chance.
        sizes: leaves of each batch.
        poison: leaves that take their process down, which need not be their worker.
        stubborn: those of them that take their worker down from any process.
        slots: workers.
    """

    seed: int
    prefixes: int
    sizes: tuple[int, ...]
    poison: frozenset[Leaf]
    stubborn: frozenset[Leaf] = frozenset()
    slots: int = 2
    faults: Faults = NONE
    kind: str = "grid"

    def batches(self, known: set[Leaf]) -> list[Batch]:
        """The plan, without the leaves that are known."""
        draw = random.Random(f"plan {self.seed}")
        found: list[Batch] = []
        for index in range(self.prefixes):
            after = (index - 1,) if index and draw.random() < 0.5 else ()
            key = digest("prefix", index)
            found.append(
                Batch(index=index, leaves=((index, 0),), prefixes=(key,), after=after, label="prefix")
            )
        for number, size in enumerate(self.sizes):
            needs = tuple(i for i in range(self.prefixes) if draw.random() < 0.5)
            leaves = tuple((number, i) for i in range(size) if (number, i) not in known)
            if leaves:
                index = self.prefixes + number
                found.append(Batch(index=index, leaves=leaves, after=needs, label=f"batch {number}"))
        return found


def scenario_of(seed: int) -> Scenario:
    """The scenario of a seed."""
    draw = random.Random(f"grid {seed}")
    rate = lambda most=0.3: draw.random() * most if draw.random() < 0.5 else 0.0  # noqa: E731
    sizes = tuple(draw.randint(1, 4) for _ in range(draw.randint(1, 6)))
    leaves = [(number, i) for number, size in enumerate(sizes) for i in range(size)]
    poison = [leaf for leaf in leaves if draw.random() < draw.choice([0.0, 0.0, 0.2])]
    return Scenario(
        seed=seed,
        prefixes=draw.randint(0, 3),
        sizes=sizes,
        poison=frozenset(poison),
        stubborn=frozenset(leaf for leaf in poison if draw.random() < 0.3),
        slots=draw.randint(1, 4),
        faults=Faults(
            kills=draw.choice([0, 1, 3]),
            points=draw.choice([8, 30]),
            dies=rate(),
            mute=rate(),
            late=rate(),
            survives=draw.random(),
            most=2,
        ),
    )


class Grid(Dispatch):
    """The dispatch of one process, which notes what comes back."""

    def __init__(self, story: Story, life: Life) -> None:
        runner: Any = Runner(story.fleet, life, self._ask)
        super().__init__(SimpleNamespace(), runner, story.scenario.slots, Tally())  # type: ignore[arg-type]
        self.scores: dict[Leaf, float] = {}
        self.failed: set[Leaf] = set()
        self.condemned: set[Leaf] = set()

    def _ask(self, label: str, order: Any) -> Any:
        _, batch, isolated = order
        name = (batch.leaves, batch.prefixes)
        return SimpleNamespace(label=label, name=name, batch=batch, isolated=isolated)

    def absorb(self, outcome: BatchOutcome) -> None:
        failed = {(failure.row, failure.fold) for failure in outcome.failures}
        scored = [place for place in outcome.done if place not in failed]
        for place, record in zip(scored, outcome.records, strict=True):
            self.scores[place] = record.values["score"]
        self.failed |= failed
        self.tally.count(outcome)

    def condemn(self, leaf: Any, cause: BaseException) -> None:
        self.condemned.add(leaf)


@dataclass(slots=True)
class Story:
    """One grid search, whatever happens.

    Attributes:
        table: leaf -> its score in hex, `failed` where it takes its process down, `lost` where its workers.
    """

    scenario: Scenario
    table: dict[Leaf, str] | None = None
    lives: int = 0
    ran: dict[Any, list[Run]] = field(default_factory=dict)
    world: Any = None
    shelf: Any = None
    fleet: Any = None

    def run(self) -> Story:
        """The end of the story; the oracles have been asked."""
        scenario = self.scenario
        self.world = World(f"grid {scenario.seed} {scenario.faults}")
        self.shelf = Shelf(self.world)
        seconds = lambda run: self.world.draw.expovariate(1.0)  # noqa: E731
        self.fleet = Fleet(self.world, self.shelf, scenario.slots, scenario.faults, self._work, seconds)
        try:
            while self.table is None:
                self._live()
            self.world.rest()
            self._judge()
        finally:
            self.shelf.close()
        return self

    def _live(self) -> None:
        faults, draw = self.scenario.faults, self.world.draw
        self.lives += 1
        life = Life(self.world, draw.randint(1, faults.points) if self.lives <= faults.kills else None)
        self.table = live(self.world, life, lambda: self._main(life))
        self.fleet.killed(life)

    async def _main(self, life: Life) -> dict[Leaf, str]:
        store, keys = Store(self.shelf, life.point), {self._key(leaf): leaf for leaf in self._leaves()}
        found = store.lookup(keys, SCOPE)
        grid = Grid(self, life)
        grid.scores |= {keys[key]: record.values["score"] for key, record in found.items()}
        await grid.run(self.scenario.batches(set(grid.scores)))
        check(not grid.condemned & grid.scores.keys(), "a leaf has a score and was given up")
        check(not grid.failed & grid.scores.keys(), "a leaf has a score and has failed")
        bad = dict.fromkeys(grid.failed, "failed") | dict.fromkeys(grid.condemned, "lost")
        return dict(sorted({leaf: score.hex() for leaf, score in grid.scores.items()}.items())) | bad

    def _work(self, run: Run, store: Store) -> BatchOutcome:
        """What a worker does with a batch."""
        outcome = BatchOutcome()
        for key in run.ask.batch.prefixes:
            if store.get(key.hex(), SCOPE) is None:
                self._did(key, run)
                store.put(Record(key=key.hex(), kind="fit"), {"out": key}, SCOPE)
        for leaf in run.ask.batch.leaves if not run.ask.batch.prefixes else ():
            record = store.get(self._key(leaf), SCOPE)
            if record is None:
                if leaf in self.scenario.poison:
                    self._harm(leaf, run, outcome)
                    continue
                self._did(leaf, run)
                record = Record(key=self._key(leaf), kind="score", values={"score": self._score(leaf)})
            outcome.done.append(leaf)
            outcome.records.append(record)
        store.put_pack(outcome.records, SCOPE)
        return outcome

    def _harm(self, leaf: Leaf, run: Run, outcome: BatchOutcome) -> None:
        """A leaf takes its process down: a worker, or a cell that was given it alone.

        Raises:
            Death: of the worker.
        """
        if leaf in self.scenario.stubborn or not run.ask.isolated:
            raise Death
        outcome.done.append(leaf)
        outcome.failures.append(FailedLeaf(row=leaf[0], fold=leaf[1], cause="its process was ended"))

    def _did(self, what: Any, run: Run) -> None:
        self.fleet.unit(run)
        self.ran.setdefault(what, []).append(run)

    def _leaves(self) -> list[Leaf]:
        return [(number, i) for number, size in enumerate(self.scenario.sizes) for i in range(size)]

    def _key(self, leaf: Leaf) -> str:
        return digest("leaf", list(leaf)).hex()

    def _score(self, leaf: Leaf) -> float:
        return int.from_bytes(digest("score", list(leaf))[:6], "little") / 2**48

    def _judge(self) -> None:
        """Each leaf has its own score, those that take processes down have none, and nobody else suffers."""
        assert self.table is not None
        poison, stubborn = self.scenario.poison, self.scenario.stubborn
        expected = {
            leaf: "lost" if leaf in stubborn else "failed" if leaf in poison else self._score(leaf).hex()
            for leaf in self._leaves()
        }
        check(self.table == expected, f"{self.table} is not {expected}")
        for what, runs in self.ran.items():
            free = [r for r in runs[:-1] if r.broken or r.orphan or r.ended > runs[-1].began]
            check(len(free) == len(runs) - 1, f"{what} was run {len(runs)} times")


def judge(seed: int) -> Counter[str]:
    """What a seed has met, by fault; its oracles hold.

    Raises:
        Broken: one of them does not.
    """
    scenario = scenario_of(seed)
    story = Story(scenario).run()
    quiet = Story(dataclasses.replace(scenario, faults=NONE)).run()
    check(story.table == quiet.table, "the table is not that of the undisturbed search")
    met = Counter(run.fate for run in story.fleet.all if run.fate)
    met.update(kills=story.lives - 1, leaves=len(story.table or ()))
    return met
